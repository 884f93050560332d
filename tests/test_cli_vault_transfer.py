"""`raptchat vault export` and `vault import`: keys from one machine to another, also by way of the stock `age`."""

import json
import os
import sqlite3
import stat
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from age_files import Identity, with_passphrase
from bundles import KEY, OTHER, THIRD, add, exported, keys_of, store_in, talk
from conftest import Run, environment, rows
from processes import AtTerminal
from programs import installed

from raptchat import CredentialService
from raptchat.demo import DEMO_KEY, DemoGateway

PASSPHRASE = "correct horse battery"


@pytest.fixture
def identity(tmp_path: Path) -> Identity:
    return Identity(tmp_path / "identity.txt")


@pytest.fixture
def passphrase_file(tmp_path: Path) -> Path:
    file = tmp_path / "passphrase"
    file.write_text(f"{PASSPHRASE}\n")
    file.chmod(0o600)
    return file


@pytest.fixture
def bundle(home: Path, identity: Identity, raptchat: Run, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the store of another machine was exported to, for *identity*."""
    there = home.parent / "there"
    with store_in(there) as factory:
        talk(factory, add(factory, "biology", OTHER, KEY), "What is osmosis?")
        add(factory, "history", THIRD)
    file = home.parent / "bundle.age"
    raptchat(["--store", str(there / "raptchat.db"), *export(file, identity)])
    return file


def export(file: Path, identity: Identity, *words: str) -> list[str]:
    return ["vault", "export", str(file), "--recipient", identity.recipient, *words]


def take_in(file: Path, identity: Identity, *words: str) -> list[str]:
    return ["vault", "import", str(file), "--identity", str(identity.file), *words]


def with_vault(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the first key of this home make a vault with a key file."""
    monkeypatch.setenv("RAPTCHAT_MASTER_KEY_FILE", str(home.parent / "master.key"))


def test_a_new_machine_is_one_import_away(
    biology: Run, gateway: DemoGateway, identity: Identity, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    biology("group set biology --model demo/echo")
    biology("chat -g biology hello")
    file = home.parent / "bundle.age"
    said = biology(export(file, identity, "--with-sessions"))
    assert said.out == ""
    assert said.err.startswith(f"wrote {file}: 1 key of 1 group, 1 conversation\n")
    assert "can read the keys" in said.err
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert DEMO_KEY.encode() not in file.read_bytes()

    monkeypatch.setenv("RAPTCHAT_HOME", str(home.parent / "new"))
    monkeypatch.setenv("RAPTCHAT_MASTER_KEY_FILE", str(home.parent / "new.key"))
    said = biology(take_in(file, identity))

    assert (
        said.out
        == f"biology\tnew\t{DEMO_KEY[:8]}...{DEMO_KEY[-4:]} for http://127.0.0.1:{gateway.url.split(':')[2][:5]}\t1\n"
    )
    assert said.err == "imported 1 group with 1 new key\n"
    assert biology("chat -c again").out == "again\n"
    assert gateway.requests[-1].api_key == DEMO_KEY
    assert [message["content"] for message in gateway.requests[-1].body["messages"]] == ["hello", "hello", "again"]
    events = [row[0] for row in rows(home, "SELECT action FROM events WHERE group_id NOTNULL ORDER BY id")]
    assert events == ["credential.create", "credential.export"]
    assert rows(home.parent / "new", "SELECT command FROM events WHERE action = 'credential.import'") == [
        ("vault import",)
    ]


def test_what_goes_out_can_be_chosen(raptchat: Run, identity: Identity, home: Path) -> None:
    with store_in(home) as factory:
        talk(factory, add(factory, "biology", KEY), "What is osmosis?")
        add(factory, "history", OTHER)
        add(factory, "empty")
    file = home.parent / "bundle.age"

    said = json.loads(raptchat(export(file, identity, "-g", "BIOLOGY", "-g", "empty", "--json")).out)

    assert said == {"path": str(file), "groups": 2, "credentials": 1, "sessions": 0, "opensWith": "identity"}
    found = json.loads(identity.decrypt(file.read_bytes()))
    assert [(one["name"], one["sessions"]) for one in found["groups"]] == [("biology", []), ("empty", [])]
    assert "did you mean `biology`" in raptchat(export(file, identity, "-g", "biologie"), exit_code=3).err


def test_groups_without_a_key_need_no_vault(raptchat: Run, identity: Identity, home: Path) -> None:
    assert "no group to export" in raptchat(export(home.parent / "b", identity), exit_code=3).err
    raptchat("group create biology")
    raptchat(export(home.parent / "b", identity))
    raptchat("group remove biology --yes")
    raptchat(take_in(home.parent / "b", identity))

    assert json.loads(raptchat("vault --json").out)["exists"] is False
    assert json.loads(raptchat("group list --json").out)[0]["name"] == "biology"


def test_no_file_is_written_over_unasked(biology: Run, identity: Identity, tmp_path: Path, home: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "link").symlink_to("notes.txt")
    for name in ("notes.txt", "link"):
        assert "needs --yes" in biology(export(tmp_path / name, identity), exit_code=2).err
    assert (tmp_path / "notes.txt").read_text() == "mine"

    (tmp_path / "other").symlink_to(home / "raptchat.db")
    assert "is the store itself" in biology(export(tmp_path / "other", identity, "--yes"), exit_code=2).err

    biology(export(tmp_path / "link", identity, "--yes"))
    assert (tmp_path / "link").is_symlink()
    assert identity.decrypt((tmp_path / "notes.txt").read_bytes())
    assert stat.S_IMODE((tmp_path / "notes.txt").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["{tmp}", "{recipient}"], 74, "Is a directory"),
        (["{tmp}/none/bundle", "{recipient}"], 74, "No such file"),
        (["/dev/full", "{recipient}"], 74, "No space left on device"),
        (["{tmp}/bundle"], 2, "no terminal to ask for it"),
        (["{tmp}/bundle", "--recipient", "age1abc"], 2, "takes a public key"),
        (["{tmp}/bundle", "{recipient}", "--passphrase-file", "x"], 2, "exclude each other"),
        (["{tmp}/bundle", "--passphrase-file", "{tmp}/none"], 2, "cannot be read"),
        (["{tmp}/bundle", "--passphrase-file", "{tmp}/empty"], 2, "exactly one line"),
        (["{tmp}/bundle", "--passphrase-file", "{tmp}/blank"], 2, "the passphrase is empty"),
        (["{tmp}/bundle", "--passphrase-file", "{tmp}/open"], 2, "others can read"),
    ],
)
def test_what_cannot_be_exported_is_said(
    biology: Run, identity: Identity, tmp_path: Path, words: list[str], code: int, said: str
) -> None:
    for name, text in {"empty": "", "blank": "\n", "open": "x\n"}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o644 if name == "open" else 0o600)
    spelled = [
        word.replace("{tmp}", str(tmp_path)).replace("{recipient}", f"--recipient={identity.recipient}")
        for word in words
    ]

    ended = biology(["vault", "export", *spelled], exit_code=code)

    assert said in ended.err
    assert ended.out == ""
    assert not (tmp_path / "bundle").exists()


def test_a_store_that_can_only_be_read_is_exported_all_the_same(
    biology: Run, identity: Identity, home: Path, tmp_path: Path
) -> None:
    biology(export(tmp_path / "first", identity))
    with store_in(home) as factory, factory.store.write():
        factory.store.ledger._db.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'read-only'); END"
        )

    said = biology(export(tmp_path / "second", identity))

    assert "warning: the events do not say that this was exported" in said.err
    first, second = (json.loads(identity.decrypt((tmp_path / name).read_bytes())) for name in ("first", "second"))
    assert first["groups"] == second["groups"]


def test_what_cannot_be_written_down_is_not_handed_out(
    biology: Run, identity: Identity, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raptchat.store.connection.BUSY_SECONDS", 0.05)
    with closing(sqlite3.connect(home / "raptchat.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert "another process" in biology(export(tmp_path / "bundle.age", identity), exit_code=75).err

    assert not (tmp_path / "bundle.age").exists()


def test_more_than_a_bundle_holds_is_refused(
    biology: Run, identity: Identity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    biology("chat -g biology hello")
    words = export(tmp_path / "bundle.age", identity, "--with-sessions")
    for name in ("raptchat.bundle.taking_out.MOST_BYTES", "raptchat.bundle.age.MOST_BYTES"):
        with monkeypatch.context() as patched:
            patched.setattr(name, 5)
            assert "export some groups at a time" in biology(words, exit_code=2).err

    assert not (tmp_path / "bundle.age").exists()
    biology(words)


def test_what_would_not_come_in_again_is_not_exported(
    raptchat: Run, identity: Identity, home: Path, tmp_path: Path
) -> None:
    with store_in(home) as factory:
        add(factory, "biology", KEY)
        add(factory, "history", OTHER, provider="another")

    said = raptchat(export(tmp_path / "bundle.age", identity), exit_code=2)

    assert "`groups[1].provider` cannot be what it is" in said.err
    assert not (tmp_path / "bundle.age").exists()
    raptchat(export(tmp_path / "bundle.age", identity, "-g", "biology"))


def test_conflicts_are_said_and_need_a_choice_where_nobody_can_be_asked(
    raptchat: Run, identity: Identity, bundle: Path, home: Path
) -> None:
    with store_in(home) as factory:
        add(factory, "Biology")
    before = (home / "raptchat.db").read_bytes()

    said = raptchat([*take_in(bundle, identity), "--json"], exit_code=2)
    assert json.loads(said.err)["error"] == "here already: `Biology`"
    assert "--on-conflict skip, replace or rename" in json.loads(said.err)["hint"]
    said = raptchat(take_in(bundle, identity, "--dry-run"))
    assert [line.split("\t")[:2] for line in said.out.splitlines()] == [
        ["biology", "conflict"],
        ["history", "new"],
    ]
    assert "nothing was changed" in said.err
    for choice, words in {
        "skip": "skip: `Biology`",
        "replace": "replace: `Biology`",
        "rename": "rename: `biology 2`",
    }.items():
        said = raptchat(take_in(bundle, identity, "--dry-run", "--on-conflict", choice))
        assert said.out.split("\t")[1] == words
    assert (home / "raptchat.db").read_bytes() == before

    done = json.loads(raptchat(take_in(bundle, identity, "--on-conflict", "rename", "--json")).out)
    assert done["dryRun"] is False
    [first, second] = done["groups"]
    assert (first["name"], first["action"], first["as"], second["action"]) == (
        "biology",
        "rename",
        "biology 2",
        "new",
    )
    assert first["conflictsWith"] is not None
    assert [(key["keyHint"], key["isActive"], key["action"]) for key in first["credentials"]] == [
        (f"{OTHER[:8]}...{OTHER[-4:]}", False, "new"),
        (f"{KEY[:8]}...{KEY[-4:]}", True, "new"),
    ]
    assert KEY not in json.dumps(done)
    with store_in(home) as factory:
        assert keys_of(factory, "biology 2") == [(OTHER, False), (KEY, True)]


def test_a_dry_run_makes_nothing(
    raptchat: Run, identity: Identity, bundle: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_vault(home, monkeypatch)
    said = json.loads(raptchat(take_in(bundle, identity, "--dry-run", "--json")).out)

    assert [one["action"] for one in said["groups"]] == ["new", "new"]
    assert rows(home, "SELECT count(*) FROM groups") == rows(home, "SELECT count(*) FROM vault_slots") == [(0,)]
    assert not (home.parent / "master.key").exists()


def test_a_key_of_another_group_needs_a_word(raptchat: Run, identity: Identity, bundle: Path, home: Path) -> None:
    with store_in(home) as factory:
        add(factory, "chemistry", THIRD)
    said = raptchat(take_in(bundle, identity, "--json"), exit_code=6)
    error = json.loads(said.err)

    assert (error["code"], error["group"]) == ("SHARED_KEY", "history")
    assert THIRD not in said.err
    assert len(json.loads(raptchat("group list --json").out)) == 1
    raptchat(take_in(bundle, identity, "--allow-shared"))
    assert len(json.loads(raptchat("group list --json").out)) == 3


def test_what_is_refused_makes_no_vault(
    raptchat: Run, identity: Identity, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_vault(home, monkeypatch)
    with store_in(tmp_path / "there") as factory:
        add(factory, "biology", KEY)
        add(factory, "history", KEY)
        (tmp_path / "bundle.age").write_bytes(identity.encrypt(json.dumps(exported(factory)).encode()))

    raptchat(take_in(tmp_path / "bundle.age", identity), exit_code=6)

    assert rows(home, "SELECT count(*) FROM vault_slots") == [(0,)]
    assert not (home.parent / "master.key").exists()


def sparse(file: Path) -> None:
    with file.open("wb") as opened:
        opened.truncate(257 * 2**20)


@pytest.mark.parametrize(
    ("make", "code", "said"),
    [
        (lambda file: None, 2, "No such file"),
        (lambda file: file.mkdir(), 2, "is not a plain file"),
        (os.mkfifo, 2, "is not a plain file"),
        (lambda file: file.symlink_to("/dev/zero"), 2, "is not a plain file"),
        (lambda file: file.write_bytes(b""), 2, "not in the age format"),
        (lambda file: file.write_bytes(b"\x89PNG\r\n"), 2, "not in the age format"),
        (lambda file: file.write_text("age-encryption.org/v1\n"), 2, "not in the age format"),
        (sparse, 2, "larger than 256 MiB"),
        (lambda file: file.write_bytes(with_passphrase(b"{}", "x")), 2, "no terminal to ask for it"),
    ],
)
def test_what_is_no_bundle_is_refused(
    raptchat: Run, identity: Identity, tmp_path: Path, make: Callable[[Path], object], code: int, said: str
) -> None:
    file = tmp_path / "bundle.age"
    make(file)

    ended = raptchat(take_in(file, identity), exit_code=code)

    assert said in ended.err
    assert ended.out == ""


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"hello", "no JSON document"),
        (b'{"groups": []}', "`format` is not there"),
        (b'{"format": "raptchat bundle", "version": 2}', "of version 2"),
        (b"[" * 100_000, "no JSON document"),
    ],
)
def test_an_age_file_with_something_else_is_refused(
    raptchat: Run, identity: Identity, tmp_path: Path, content: bytes, said: str
) -> None:
    (tmp_path / "bundle.age").write_bytes(identity.encrypt(content))

    assert said in raptchat(take_in(tmp_path / "bundle.age", identity), exit_code=2).err


def test_what_does_not_open_is_said(
    raptchat: Run, identity: Identity, bundle: Path, tmp_path: Path, passphrase_file: Path
) -> None:
    another = Identity(tmp_path / "another.txt")
    assert "its identity is another" in raptchat(take_in(bundle, another), exit_code=78).err
    said = raptchat(["vault", "import", str(bundle), "--passphrase-file", str(passphrase_file)], exit_code=2)
    assert "--identity PATH" in said.err
    bundle.write_bytes(bundle.read_bytes()[:-1])
    assert (
        json.loads(raptchat(take_in(bundle, identity, "--json"), exit_code=78).err)["code"] == "DECRYPTION_FAILED"
    )
    bundle.write_bytes(with_passphrase(b"{}", "another"))
    said = raptchat(["vault", "import", str(bundle), "--passphrase-file", str(passphrase_file)], exit_code=78)
    assert "its passphrase is wrong" in said.err
    assert PASSPHRASE not in said.err


@pytest.mark.parametrize(
    "text", ["", "# only a comment\n", "AGE-SECRET-KEY-1XYZ\n", "-----BEGIN OPENSSH PRIVATE KEY-----\n"]
)
def test_what_is_no_identity_is_refused(raptchat: Run, identity: Identity, bundle: Path, text: str) -> None:
    identity.file.write_text(text)
    said = raptchat(take_in(bundle, identity), exit_code=2)

    assert "identity" in said.err
    assert "age-keygen makes one" in said.err
    identity.file.chmod(0o644)
    assert "others can read the file with the identity" in raptchat(take_in(bundle, identity), exit_code=2).err


def test_nothing_of_a_bundle_acts_on_the_terminal(
    raptchat: Run, identity: Identity, tmp_path: Path, home: Path
) -> None:
    with store_in(tmp_path / "there") as factory:
        talk(factory, add(factory, "biology", KEY, system_prompt="\x1b[2J"), "\x1b]0;x\x07", title="\x1b[2J\u202e")
        whole = exported(factory)
    whole["groups"][0]["credentials"][0]["label"] = "\x1b[2J"
    file = tmp_path / "bundle.age"
    file.write_bytes(identity.encrypt(json.dumps(whole).encode()))
    with store_in(home):
        pass
    with AtTerminal(*take_in(file, identity)) as terminal:
        terminal.ends(0)
    assert "\x1b[2J" not in terminal.said
    assert "\u202e" not in terminal.said

    whole["groups"][0]["\x1b[2J"] = 1
    file.write_bytes(identity.encrypt(json.dumps(whole).encode()))
    with AtTerminal(*take_in(file, identity)) as terminal:
        assert "`groups[0].␛[2J` is not known" in terminal.ends(2)


@pytest.mark.process
@pytest.mark.parametrize("columns", [20, 80])
def test_a_person_is_asked_about_each_conflict(identity: Identity, bundle: Path, home: Path, columns: int) -> None:
    with store_in(home) as factory:
        add(factory, "Biology")
        add(factory, "history", KEY)
    with AtTerminal(*take_in(bundle, identity), columns=columns) as terminal:
        terminal.until("group `biology`, here `Biology`, is here already: ")
        terminal.until("? ")
        terminal.keys("what\r")
        terminal.until("group `biology`, here `Biology`, is here already: ")
        terminal.keys("s\r")
        terminal.until("group `history` is here already: ")
        terminal.until("its settings and key by one for https://openrouter.ai:443, re[n]ame it? ")
        terminal.keys("R\r")
        assert "imported 1 group with 1 new key" in terminal.ends(0).replace("\r\n", "\n")
    with store_in(home) as factory:
        assert keys_of(factory, "Biology") == []
        assert sorted(keys_of(factory, "history")) == sorted([(KEY, False), (THIRD, True)])


@pytest.mark.process
@pytest.mark.parametrize("change", ["remove", "another", "more"])
def test_an_answer_holds_for_the_group_that_was_asked_about(
    identity: Identity, bundle: Path, home: Path, change: str
) -> None:
    with store_in(home) as factory:
        asked_about = add(factory, "history")
    with AtTerminal(*take_in(bundle, identity)) as terminal:
        terminal.until("re[n]ame it? ")
        with store_in(home) as factory:
            if change == "more":
                add(factory, "biology")
            else:
                CredentialService(factory).remove_group(asked_about)
            if change == "another":
                add(factory, "history")
        terminal.keys("s\r" if change == "remove" else "r\r")
        assert "the store was changed meanwhile" in terminal.ends(75)

    with store_in(home) as factory:
        assert factory.store.credentials.all() == []


@pytest.mark.process
@pytest.mark.parametrize(("keys", "code"), [("\x03", 130), ("\x04", 130)])
def test_who_leaves_at_a_question_has_changed_nothing(
    identity: Identity, bundle: Path, home: Path, keys: str, code: int
) -> None:
    with store_in(home) as factory:
        add(factory, "history")
    before = (home / "raptchat.db").read_bytes()
    with AtTerminal(*take_in(bundle, identity)) as terminal:
        terminal.until("re[n]ame it? ")
        terminal.ends(code, pressing=keys)

    assert (home / "raptchat.db").read_bytes() == before


@pytest.mark.process
def test_a_passphrase_is_typed_twice_and_not_shown(biology: Run, tmp_path: Path) -> None:
    file = tmp_path / "bundle.age"
    for first, second, said in (("one", "two", "the two passphrases differ"), ("", "", "the passphrase is empty")):
        with AtTerminal("vault", "export", str(file)) as terminal:
            terminal.until("Choose a passphrase for the bundle: ")
            terminal.keys(f"{first}\r")
            if first:
                terminal.until("The same again: ")
                terminal.keys(f"{second}\r")
            assert said in terminal.ends(2)
            assert "one" not in terminal.said
    with AtTerminal("vault", "export", str(file)) as terminal:
        terminal.until("Choose a passphrase for the bundle: ")
        terminal.keys("\x03")
        terminal.ends(130)
    file.write_text("mine")
    with AtTerminal("vault", "export", str(file)) as terminal:
        terminal.until("? [y/N] ")
        terminal.keys("\r")
        assert "nothing was changed" in terminal.ends(1)
    assert file.read_text() == "mine"


@pytest.mark.process
def test_the_stock_age_opens_what_was_exported_with_a_passphrase(biology: Run, tmp_path: Path) -> None:
    program, file = installed("age", "age"), tmp_path / "bundle.age"
    with AtTerminal("vault", "export", str(file)) as terminal:
        terminal.until("Choose a passphrase for the bundle: ")
        terminal.keys(f"{PASSPHRASE}\r")
        terminal.until("The same again: ")
        terminal.keys(f"{PASSPHRASE}\r")
        assert "whoever has this file and the passphrase can read the keys" in terminal.ends(0)
    assert PASSPHRASE not in terminal.said

    with AtTerminal("-d", "-o", str(tmp_path / "plain.json"), str(file), program=(program,)) as terminal:
        terminal.until("Enter passphrase")
        terminal.keys(f"{PASSPHRASE}\r")
        terminal.ends(0)
    [group] = json.loads((tmp_path / "plain.json").read_text())["groups"]
    assert group["credentials"][0]["apiKey"] == DEMO_KEY


@pytest.mark.process
def test_a_bundle_that_the_stock_age_made_with_a_passphrase_is_imported(
    raptchat: Run, tmp_path: Path, home: Path
) -> None:
    program, file = installed("age", "age"), tmp_path / "bundle.age"
    with store_in(tmp_path / "there") as factory:
        add(factory, "biology", KEY)
        (tmp_path / "plain.json").write_text(json.dumps(exported(factory)))
    with AtTerminal("-p", "-o", str(file), str(tmp_path / "plain.json"), program=(program,)) as terminal:
        terminal.until("Enter passphrase")
        terminal.keys(f"{PASSPHRASE}\r")
        terminal.until("Confirm passphrase")
        terminal.keys(f"{PASSPHRASE}\r")
        terminal.ends(0)
    with store_in(home):
        pass

    with AtTerminal("vault", "import", str(file), env=environment()) as terminal:
        terminal.until("The bundle's passphrase: ")
        terminal.keys("wrong\r")
        terminal.until("its passphrase is wrong")
        terminal.until("The bundle's passphrase: ")
        terminal.keys(f"{PASSPHRASE}\r")
        assert "imported 1 group with 1 new key" in terminal.ends(0)
    assert PASSPHRASE not in terminal.said
    with store_in(home) as factory:
        assert keys_of(factory, "biology") == [(KEY, True)]


@pytest.mark.process
@pytest.mark.parametrize("flags", [[], ["-a"]])
def test_the_stock_age_and_its_identities_go_both_ways(
    biology: Run, tmp_path: Path, home: Path, flags: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    program, keygen, secret = installed("age", "age"), installed("age-keygen", "age"), tmp_path / "key.txt"

    def said(*command: str, content: bytes = b"") -> bytes:
        return subprocess.run(command, input=content, capture_output=True, check=True, timeout=30).stdout

    said(keygen, "-o", str(secret))
    recipient = said(keygen, "-y", str(secret)).decode().strip()
    biology(["vault", "export", "bundle.age", "--recipient", recipient])
    plain = said(program, "-d", "-i", str(secret), "bundle.age")
    assert json.loads(plain)["groups"][0]["credentials"][0]["apiKey"] == DEMO_KEY

    (tmp_path / "again.age").write_bytes(said(program, "-r", recipient, *flags, content=plain))
    monkeypatch.setenv("RAPTCHAT_HOME", str(tmp_path / "new"))
    monkeypatch.setenv("RAPTCHAT_MASTER_KEY_FILE", str(tmp_path / "new.key"))
    biology(["vault", "import", "again.age", "-i", str(secret)])
    assert biology("chat -m demo/echo again").out == "again\n"
