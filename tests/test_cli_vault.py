"""`raptchat vault`: the slots, and which of them open."""

import json
import re
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
from conftest import Run, rows
from processes import AtTerminal
from secret_service import SecretService

from raptchat.demo import DEMO_KEY, DemoGateway


@pytest.fixture
def passphrase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with a passphrase, which the environment does not name yet."""
    file = tmp_path / "passphrase"
    file.write_text("correct horse\n")
    file.chmod(0o600)
    return file


def test_without_a_vault_it_says_how_one_is_made(raptchat: Run) -> None:
    said = raptchat("vault")

    assert said.out == ""
    assert "raptchat vault init" in said.err
    assert json.loads(raptchat("vault status --json").out) == {"exists": False, "slots": [], "leftovers": []}


def test_a_key_file_is_made_private_and_opens(raptchat: Run, tmp_path: Path) -> None:
    said = raptchat(["vault", "init", "--file", str(tmp_path / "m.key"), "--json"])
    made = json.loads(said.out)
    assert made["kind"] == "file"
    assert made["createdAt"].endswith("Z")
    assert stat.S_IMODE((tmp_path / "m.key").stat().st_mode) == 0o600

    [slot] = json.loads(raptchat("vault --json").out)["slots"]
    assert (slot["opens"], slot["problem"]) == (True, None)
    assert raptchat("vault status").out.split("\t")[1:3] == ["file", "opens"]
    assert "has a vault already" in raptchat(["vault", "init", "--file", "other"], exit_code=2).err


def test_a_second_slot_opens_when_the_first_is_gone(
    biology: Run, tmp_path: Path, passphrase: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAPTCHAT_PASSPHRASE_FILE", str(passphrase))
    biology("vault add passphrase")
    (tmp_path / "master.key").unlink()
    biology("chat hello")

    slots = json.loads(biology("vault status --json").out)["slots"]
    assert [(one["kind"], one["opens"]) for one in slots] == [("file", False), ("passphrase", True)]
    assert "cannot be read" in slots[0]["problem"]
    monkeypatch.delenv("RAPTCHAT_PASSPHRASE_FILE")
    assert "not tried" in biology("vault status").out


def test_the_last_slot_that_opens_stays(biology: Run, passphrase: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "is the last that opens" in biology("vault remove file --yes", exit_code=2).err
    monkeypatch.setenv("RAPTCHAT_PASSPHRASE_FILE", str(passphrase))
    biology("vault add passphrase")
    assert "needs --yes" in biology("vault remove file", exit_code=2).err
    assert json.loads(biology("vault remove file --yes --json").out)["kind"] == "file"

    biology("chat hello")
    assert [one["kind"] for one in json.loads(biology("vault --json").out)["slots"]] == ["passphrase"]
    assert "there is no slot `file`" in biology("vault remove file --yes", exit_code=2).err


def test_the_environment_says_how_the_first_key_is_kept(
    raptchat: Run, gateway: DemoGateway, passphrase: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RAPTCHAT_MASTER_KEY_FILE", str(tmp_path / "named.key"))
    raptchat("group add-key biology --stdin", stdin=DEMO_KEY)

    assert (tmp_path / "named.key").exists()
    assert [one["kind"] for one in json.loads(raptchat("vault --json").out)["slots"]] == ["file"]


def test_without_a_keyring_nothing_weaker_is_made(raptchat: Run, home: Path) -> None:
    for words in ("vault init", "vault init --keyring"):
        assert "vault init --file" in raptchat(words, exit_code=78).err

    assert json.loads(raptchat("vault --json").out) == {"exists": False, "slots": [], "leftovers": []}


def test_the_keyring_is_the_default(
    raptchat: Run, gateway: DemoGateway, secret_service: SecretService, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    secret_service.apply(monkeypatch)
    monkeypatch.setenv("RAPTCHAT_HOME", str(home))
    monkeypatch.setenv("AI_GATEWAY_URL", gateway.url)
    raptchat("group add-key biology --stdin", stdin=DEMO_KEY)
    raptchat("chat hello")

    assert len(secret_service.services()) == 1
    assert raptchat("vault status").out.split("\t")[1:3] == ["keyring", "opens"]
    secret_service.lock()
    assert "78" not in raptchat("credentials list").err
    said = raptchat("chat hello --json", exit_code=78)
    assert json.loads(said.err)["code"] in {"VAULT_LOCKED", "VAULT_UNAVAILABLE"}
    assert raptchat("vault status").out.split("\t")[2] == "does not open"


def test_a_rotation_seals_every_key_anew_and_every_slot_goes_on(
    biology: Run, home: Path, tmp_path: Path, passphrase: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    biology("group add-key history --allow-shared --stdin", stdin=DEMO_KEY)
    monkeypatch.setenv("RAPTCHAT_PASSPHRASE_FILE", str(passphrase))
    biology("vault add passphrase")
    monkeypatch.delenv("RAPTCHAT_PASSPHRASE_FILE")
    before = rows(home, "SELECT id, encrypted_key FROM ai_credentials ORDER BY id")

    said = biology("vault rotate").err
    assert "sealed anew: 2 keys" in said
    assert "older copies of the store still open with file, passphrase" in said
    assert "keyring" not in said

    after = rows(home, "SELECT id, encrypted_key FROM ai_credentials ORDER BY id")
    assert [id_ for id_, _ in after] == [id_ for id_, _ in before]
    assert not {sealed for _, sealed in after} & {sealed for _, sealed in before}
    made = json.loads(biology("vault rotate --json").out)
    assert (made["rows"], [slot["kind"] for slot in made["slots"]]) == (2, ["file", "passphrase"])
    assert rows(home, "SELECT DISTINCT key_id FROM ai_credentials") == [(made["keyId"],)]
    biology("chat -g history hello")
    (tmp_path / "master.key").unlink()
    monkeypatch.setenv("RAPTCHAT_PASSPHRASE_FILE", str(passphrase))
    biology("chat -g biology hello")


def test_a_slot_gets_another_secret(
    biology: Run, home: Path, tmp_path: Path, passphrase: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [(sealed,)] = rows(home, "SELECT encrypted_key FROM ai_credentials")
    newer = tmp_path / "newer.key"
    said = biology(["vault", "rotate", "--slot", "file", "--file", str(newer)]).err
    assert "the file slot has a new secret" in said
    assert f"{tmp_path / 'master.key'} is still there, and opens older copies" in said
    assert newer.exists()
    (tmp_path / "master.key").unlink()
    biology("chat hello")
    assert rows(home, "SELECT encrypted_key FROM ai_credentials") == [(sealed,)]
    assert "--file goes with --slot" in biology("vault rotate --file x", exit_code=2).err
    assert "not with `keyring`" in biology("vault rotate --slot keyring --file x", exit_code=2).err
    assert "there is no slot `passphrase`" in biology("vault rotate --slot passphrase", exit_code=2).err


def test_the_old_key_file_that_a_variable_still_names_is_said(
    biology: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAPTCHAT_MASTER_KEY_FILE", str(tmp_path / "master.key"))

    said = biology(["vault", "rotate", "--slot", "file", "--file", str(tmp_path / "newer.key")]).err

    assert f"RAPTCHAT_MASTER_KEY_FILE still names {tmp_path / 'master.key'}" in said


def test_a_rotation_leaves_one_new_entry_in_the_keyring(
    raptchat: Run, gateway: DemoGateway, secret_service: SecretService, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    secret_service.apply(monkeypatch)
    monkeypatch.setenv("RAPTCHAT_HOME", str(home))
    monkeypatch.setenv("AI_GATEWAY_URL", gateway.url)
    raptchat("group add-key biology --stdin", stdin=DEMO_KEY)
    entries = [secret_service.services()]
    for words in ("vault rotate", "vault rotate --slot keyring"):
        said = raptchat(words).err
        assert ("with the keyring older copies do not open any more" in said) == (words == "vault rotate")
        assert "still open" not in said
        entries.append(secret_service.services())
        raptchat("chat hello")

    assert [len(each) for each in entries] == [1, 1, 1]
    assert len(set.union(*entries)) == 3


def test_after_a_removal_it_is_said_what_still_opens(
    biology: Run, tmp_path: Path, passphrase: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAPTCHAT_PASSPHRASE_FILE", str(passphrase))
    biology("vault add passphrase")

    said = biology("vault remove file --yes").err
    assert "raptchat vault rotate" in said
    assert f"{tmp_path / 'master.key'} is still there" in said


def test_a_key_file_that_was_made_anew_at_its_place_is_not_to_be_deleted(
    biology: Run, tmp_path: Path, passphrase: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAPTCHAT_PASSPHRASE_FILE", str(passphrase))
    biology("vault add passphrase")
    key_file = tmp_path / "master.key"
    key_file.unlink()

    assert "still there" not in biology(["vault", "rotate", "--slot", "file", "--file", str(key_file)]).err
    assert biology("vault check").out.count("opens") == 3
    biology("vault remove file --yes")
    refused = biology(["vault", "rotate", "--slot", "file", "--file", str(key_file)], exit_code=2).err
    assert "there is no slot `file`" in refused


def test_a_check_opens_every_key_with_every_slot_at_hand(
    biology: Run, home: Path, tmp_path: Path, passphrase: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAPTCHAT_PASSPHRASE_FILE", str(passphrase))
    biology("vault add passphrase")
    monkeypatch.delenv("RAPTCHAT_PASSPHRASE_FILE")
    said = biology("vault check")
    lines = [line.split("\t")[1:3] for line in said.out.splitlines()]
    assert lines == [["file slot", "opens"], ["passphrase slot", "not tried"], ["key of biology", "opens"]]
    assert "not tried: passphrase" in said.err
    found = json.loads(biology("vault check --json").out)
    assert [(one["kind"], one["opens"]) for one in found["slots"]] == [("file", True), ("passphrase", None)]
    [key] = found["credentials"]
    assert (found["ok"], key["group"], key["opens"], key["problem"]) == (True, "biology", True, None)

    with closing(sqlite3.connect(home / "raptchat.db")) as db, db:
        db.execute("UPDATE ai_credentials SET encrypted_key = zeroblob(60)")
    found = json.loads(biology("vault check --json", exit_code=1).out)
    assert (found["ok"], found["credentials"][0]["opens"]) == (False, False)
    assert "not every key opens" in biology("vault check", exit_code=1).err
    (tmp_path / "master.key").unlink()
    slots = json.loads(biology("vault check --json", exit_code=1).out)["slots"]
    assert [one["opens"] for one in slots] == [False, None]
    assert "no slot opened, so no key was tried; not tried: passphrase" in biology("vault check", exit_code=1).err


def test_without_a_vault_there_is_nothing_to_check(raptchat: Run) -> None:
    assert json.loads(raptchat("vault check --json").out) == {
        "ok": True,
        "slots": [],
        "credentials": [],
        "managementKeys": [],
    }
    assert "there is no vault yet" in raptchat("vault check").err


@pytest.mark.process
def test_at_a_terminal_a_check_asks_for_what_is_typed_and_what_is_on_paper(
    biology: Run, passphrase: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAPTCHAT_PASSPHRASE_FILE", str(passphrase))
    biology("vault add passphrase")
    monkeypatch.delenv("RAPTCHAT_PASSPHRASE_FILE")
    key = biology("vault add recovery").out.strip()

    def checked(passphrase: str, paper: str, exit_code: int, *, times: int = 1) -> list[str]:
        with AtTerminal("vault", "check", columns=200) as terminal:
            terminal.until("Enter alone goes on without")
            for prompt, typed in [*[("Passphrase: ", passphrase)] * times, *[("Recovery key: ", paper)] * times]:
                terminal.until(prompt)
                terminal.keys(f"{typed}\r")
            terminal.ends(exit_code)
        assert "correct horse" not in terminal.said
        assert key[:9] not in terminal.said
        lines = [re.split(r"\s{2,}", line) for line in terminal.screen()]
        return [line[2] for line in lines if len(line) > 2 and line[1].endswith("slot")]

    assert checked("correct horse", key, 0) == ["opens", "opens", "opens"]
    assert checked("", "", 0) == ["opens", "not tried", "not tried"]
    assert checked("wrong", key[:-2], 1, times=3) == ["opens", "does not open", "does not open"]


@pytest.mark.process
def test_a_status_at_a_terminal_names_what_is_missing(biology: Run) -> None:
    with AtTerminal("vault", columns=120) as terminal:
        assert "there is no recovery key: raptchat vault add recovery" in terminal.ends(0)
    biology("vault add recovery")
    with AtTerminal("vault", columns=120) as terminal:
        assert "there is no recovery key" not in terminal.ends(0)


@pytest.mark.process
def test_a_passphrase_is_changed_at_a_terminal(raptchat: Run) -> None:
    raptchat(["vault", "init", "--passphrase"], exit_code=78)
    with AtTerminal("vault", "init", "--passphrase", "--no-recovery") as terminal:
        type_each(terminal, ("Choose a passphrase: ", "first\r"), ("The same again: ", "first\r"))
        terminal.ends(0)
    with AtTerminal("vault", "rotate", "--slot", "passphrase") as terminal:
        type_each(terminal, ("Passphrase: ", "first\r"), ("Choose a passphrase: ", "\x03"))
        assert "interrupted" in terminal.ends(130)
    with AtTerminal("vault", "rotate", "--slot", "passphrase") as terminal:
        answers = (
            ("Passphrase: ", "first\r"),
            ("Choose a passphrase: ", "newer\r"),
            ("The same again: ", "newer\r"),
        )
        type_each(terminal, *answers)
        terminal.ends(0)
    assert not {"first", "newer"} & set(terminal.said.split())
    with AtTerminal("vault", "check") as terminal:
        type_each(
            terminal, ("Passphrase: ", "first\r"), ("the passphrase is wrong", ""), ("Passphrase: ", "newer\r")
        )
        terminal.ends(0)


def type_each(terminal: AtTerminal, *answers: tuple[str, str]) -> None:
    """Wait for each prompt, and type what answers it."""
    for prompt, typed in answers:
        terminal.until(prompt)
        terminal.keys(typed)
