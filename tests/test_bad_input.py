"""Every row of the issue's table of bad input, on the command line."""

import json
import os
import re
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from conftest import Run, rows

from raptchat.demo import DEMO_KEY, Answer, DemoGateway

KEY = "sk-or-v1-0123456789abcdef0123456789abcdef"
# Not of the form that the mask knows: nothing but never repeating it keeps it out.
OTHER_KEY = "Zm9vYmFyYmF6cXV4Zm9vYmFy"

MEGABYTE = 1024 * 1024


def with_ids(home: Path, table: str, *ids: str) -> None:
    """Give the rows of a table these ids, oldest first."""
    with closing(sqlite3.connect(home / "raptchat.db")) as db, db:
        found = [rowid for (rowid,) in db.execute(f"SELECT rowid FROM {table} ORDER BY rowid")]  # noqa: S608
        for rowid, new in zip(found, ids, strict=True):
            db.execute(f"UPDATE {table} SET id = ? WHERE rowid = ?", (new, rowid))  # noqa: S608


# Unknown, ambiguous, oddly written


def test_an_unknown_group_gets_the_nearest_names(biology: Run) -> None:
    biology("group create biochemistry")
    said = biology("chat -g biolgy hello", exit_code=3)

    assert "there is no group `biolgy`" in said.err
    assert "did you mean `biology`" in said.err


def test_an_ambiguous_id_lists_the_candidates(raptchat: Run, home: Path) -> None:
    raptchat("group create one")
    raptchat("group create two")
    with_ids(home, "groups", "aaaa1111-0000-4000-8000-000000000001", "aaaa1111-0000-4000-8000-000000000002")
    said = raptchat("chat -g aaaa hello", exit_code=3)

    assert "more than one group begins with `aaaa`" in said.err
    assert "(one)" in said.err
    assert "(two)" in said.err


def test_ambiguous_sessions_and_credentials_list_the_candidates(biology: Run, home: Path) -> None:
    biology("chat one")
    biology("chat two")
    first, second = "bbbb1111-0000-4000-8000-000000000001", "bbbb2222-0000-4000-8000-000000000002"
    with closing(sqlite3.connect(home / "raptchat.db")) as db, db:
        db.execute("DELETE FROM messages")
    with_ids(home, "sessions", first, second)
    said = biology("sessions show BBBB", exit_code=3)
    assert "more than one session" in said.err
    assert first[:13] in said.err
    assert second[:13] in said.err
    assert biology("sessions show bbbb1").out

    biology("group add-key biology --stdin --replace", stdin="sk-or-v1-demo-key-number-two")
    with_ids(home, "ai_credentials", first, second)
    assert "more than one credential" in biology("credentials show bbbb", exit_code=3).err
    assert "there is no credential `bbb`" in biology("credentials show bbb", exit_code=3).err


@pytest.mark.parametrize("word", ["", " ", "-", "%", "_", "*", "../..", "bio", "nobody\x1b[31m", "\u202eygoloib"])
def test_oddly_written_groups_are_not_found_and_shown_safely(biology: Run, word: str) -> None:
    said = biology(["chat", "-g", word, "hello"], exit_code=3)

    assert "\x1b" not in said.err
    assert "\u202e" not in said.err
    assert biology(["chat", "-g", word, "--json", "hello"], exit_code=3).out == ""


def test_words_that_are_not_utf8_are_refused(biology: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = os.fsdecode(b"\xff")
    for words in (
        ["chat", odd],
        ["chat", "-g", odd, "hello"],
        ["chat", "-s", odd, "hello"],
        ["chat", "-o", odd, "1", "hello"],
        ["group", "create", odd],
        ["group", "create", "x", "--description", odd],
        ["group", "show", odd],
        ["sessions", "rename", "12345678", odd],
        ["usage", odd],
        [odd],
    ):
        said = biology(words, exit_code=2)
        assert "is not valid UTF-8" in said.err
        assert said.out == ""


# A group's name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "is empty"),
        (" \t ", "is empty"),
        ("x" * 65, "has 65 characters; 64 is the most"),
        ("a\x1bb", "U+001B"),
        ("a\nb", "U+000A"),
        ("a\x7fb", "U+007F"),
        ("a\x9bb", "U+009B"),
        ("a\u202eb", "U+202E RIGHT-TO-LEFT OVERRIDE"),
        ("a\u2066b", "U+2066 LEFT-TO-RIGHT ISOLATE"),
        ("a\ufeffb", "U+FEFF"),
    ],
)
def test_a_bad_name_is_refused_and_says_why(
    raptchat: Run, gateway: DemoGateway, home: Path, name: str, message: str
) -> None:
    raptchat("group create other")
    for words in (
        ["group", "create", name],
        ["group", "add-key", name, "--stdin"],
        ["group", "rename", "other", name],
    ):
        said = raptchat(words, stdin=KEY, exit_code=2)
        assert message in said.err
        assert not {"\x1b", "\u202e", "\x9b"} & set(said.err)

    assert rows(home, "SELECT name FROM groups") == [("other",)]


def test_a_name_of_64_characters_in_any_script_is_fine(raptchat: Run) -> None:
    name = "生物" * 32
    raptchat(["group", "create", f"  {name} "])

    assert json.loads(raptchat(["group", "show", name, "--json"]).out)["name"] == name


# A key


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("", "is empty"),
        ("  \n ", "is empty"),
        ("sk-or-v1-0123 456789abcdef", "holds white space"),
        ("sk-or-v1-0123\n456789abcdef", "holds white space"),
        ("sk-or-v1-0123456789é", "not ASCII"),
        ("sk-or-v1-0123456789\x1b[A", "control character"),
        ("sk-or-v1-0123456789\0", "control character"),
        ("k" * 513, "longer than 512"),
        ("k" * MEGABYTE, "longer than 512"),
        (b"sk-or-v1-\xff\xfe0123456789", "is not text"),
    ],
)
def test_a_bad_key_is_refused_and_never_repeated(
    biology: Run, home: Path, tmp_path: Path, key: str | bytes, message: str
) -> None:
    said = biology("group add-key history --stdin", stdin=key, exit_code=2)

    assert message in said.err
    assert "0123" not in said.out + said.err
    assert "kkk" not in said.out + said.err
    assert rows(home, "SELECT name FROM groups") == [("biology",)]


def test_white_space_around_a_key_goes(biology: Run, gateway: DemoGateway) -> None:
    biology("group add-key history --stdin", stdin=" \r\n sk-or-v1-demo-of-history \r\n")
    biology("chat -g history hello")

    assert gateway.requests[-1].api_key == "sk-or-v1-demo-of-history"


def test_a_key_that_another_group_has_is_refused_unless_allowed(biology: Run, home: Path) -> None:
    said = biology("group add-key history --stdin", stdin=DEMO_KEY, exit_code=6)
    assert "serves group `biology` already" in said.err
    assert "--allow-shared" in said.err
    assert DEMO_KEY not in said.err
    assert rows(home, "SELECT name FROM groups") == [("biology",)]

    biology("group add-key history --stdin --allow-shared", stdin=DEMO_KEY)
    biology("chat -g history hello")


@pytest.mark.parametrize("key", [KEY, OTHER_KEY])
@pytest.mark.parametrize(
    "words",
    [
        "group add-key biology {}",
        "group add-key biology --key {}",
        "group add-key biology --key={}",
        "group add-key biology --api-key {}",
        "group add-key biology --api-key={}",
        "group add-key --key {} biology",
        "group add-key biology --stdin {}",
        "chat --key={} hello",
        "chat --api-key {} hello",
        "--key={} chat hello",
        "group create biology {}",
        "whoami {}",
    ],
)
def test_a_key_as_an_argument_is_refused_and_not_repeated(biology: Run, words: str, key: str) -> None:
    for more in ("", " --json"):
        said = biology(words.format(key) + more, stdin=KEY, exit_code=2)
        assert said.out == ""
        assert key not in said.err
        assert "add-key" not in words or "--stdin" in said.err


@pytest.mark.parametrize(
    ("words", "exit_code"),
    [
        ("group add-key {} --stdin", 2),
        ("group create {}", 2),
        ("group rename biology {}", 2),
        ("chat -g {} hello", 3),
        ("group show {}", 3),
        ("credentials list {}", 3),
        ("credentials show {}", 3),
        ("sessions show {}", 3),
        ("usage {}", 3),
        ("config get {}", 2),
        ("{}", 2),
        ("group add-key biology --provider {}", 2),
        ("group add-key biology --replace --from-env {}", 2),
    ],
)
def test_a_key_in_the_place_of_a_name_is_not_repeated(biology: Run, words: str, exit_code: int) -> None:
    for more in ("", " --json"):
        said = biology(words.format(KEY) + more, stdin="", exit_code=exit_code)
        assert KEY not in said.out + said.err


@pytest.mark.parametrize(
    ("words", "key"),
    [
        ("group add-key history --from-env {}", "sk-short"),
        ("group add-key history --from-env {}", "gsk_0123456789abcdef"),
        ("{}", "Zx0123456789abcdef0123secret"),
        ("group {}", "gsk_0123456789abcdef"),
        ("vault {}", "Zx0123456789abcdef0123secret"),
    ],
)
def test_a_key_of_another_form_is_not_repeated_either(biology: Run, words: str, key: str) -> None:
    for more in ("", " --json"):
        said = biology(words.format(key) + more, exit_code=2)
        assert key not in said.out + said.err


@pytest.mark.parametrize("flag", ["--ke", "--keyy", "--kay", "--api", "--api-kei", "--apikey", "--key-fil"])
def test_the_flags_that_only_refuse_a_key_are_never_suggested(biology: Run, flag: str) -> None:
    said = biology(f"group add-key history {flag} x", exit_code=2)

    assert f"no such option: {flag}" in said.err
    assert not re.search(r"--(api-)?key\b(?!-)", said.err)


def test_the_help_of_add_key_shows_neither_hidden_flags_nor_hidden_words(raptchat: Run) -> None:
    shown = raptchat("group add-key --help").out

    assert "--key-file" in shown
    assert not re.search(r"--(api-)?key\b(?!-)", shown)
    assert shown.splitlines()[0] == "Usage: raptchat group add-key [OPTIONS] G"


def test_a_key_in_the_variable_that_names_the_group_is_not_repeated(
    biology: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAPTCHAT_GROUP", KEY)

    assert KEY not in biology("chat hello", exit_code=3).err
    assert KEY not in biology("chat hello --json", exit_code=3).err


# The gateway's address, and settings


@pytest.mark.parametrize(
    "url",
    [
        "http://openrouter.ai/api/v1",
        "http://127.0.0.1.example.com/v1",
        "ftp://openrouter.ai",
        "openrouter.ai/api/v1",
        "https://",
        "https://user:hunter2@openrouter.ai/api/v1",
        "https://openrouter.ai/api v1",
        "https://openrouter.ai\\@evil.example",
        "https://openrouter.ai/?key=1",
        "https://openrouter.ai:0/",
        "https://openrouter.ai:99999/",
    ],
)
def test_a_gateway_that_a_key_must_not_be_sent_to_is_refused(
    biology: Run, gateway: DemoGateway, monkeypatch: pytest.MonkeyPatch, home: Path, url: str
) -> None:
    refused = biology(["group", "add-key", "history", "--stdin", "--base-url", url], stdin=KEY, exit_code=2)
    assert "--base-url" in refused.err
    assert "hunter2" not in refused.err
    biology(["config", "set", "AI_GATEWAY_URL", url], exit_code=2)

    monkeypatch.setenv("AI_GATEWAY_URL", url)
    said = biology("chat hello", exit_code=2)
    assert "`AI_GATEWAY_URL`" in said.err
    assert "(from environment)" in said.err
    assert "hunter2" not in said.err

    monkeypatch.delenv("AI_GATEWAY_URL")
    (home / "config.toml").write_text(f"AI_GATEWAY_URL = {json.dumps(url)}\n")
    said = biology("chat hello", exit_code=2)
    assert f"(from {home / 'config.toml'})" in said.err
    assert gateway.requests == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AI_MAX_RETRIES", "ten"),
        ("AI_MAX_RETRIES", "6"),
        ("AI_MAX_RETRIES", "-1"),
        ("AI_MAX_RETRIES", "1.5"),
        ("AI_REQUEST_TIMEOUT_MS", "0"),
        ("AI_REQUEST_TIMEOUT_MS", "9" * 400),
        ("AI_DEFAULT_MODEL", "two words"),
        ("AI_DEFAULT_MODEL", "x" * 201),
    ],
)
def test_a_setting_out_of_range_says_its_name_and_where_it_came_from(
    biology: Run, monkeypatch: pytest.MonkeyPatch, home: Path, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    said = biology("chat hello", exit_code=2)
    assert f"`{name}`" in said.err
    assert "(from environment)" in said.err

    monkeypatch.delenv(name)
    (home / "config.toml").write_text(f'{name} = "{value}"\n')
    assert f"(from {home / 'config.toml'})" in biology("chat hello", exit_code=2).err

    biology(["config", "set", "history_messages", "20001"], exit_code=2)


@pytest.mark.parametrize("text", ["AI_MAX_RETRIES = ", "\xff", "[a", 'AI_MAX_RETRIES = "1'])
def test_a_settings_file_that_is_none(biology: Run, home: Path, text: str) -> None:
    (home / "config.toml").write_bytes(text.encode("latin-1"))
    for words in ("chat hello", "config list", "config set AI_MAX_RETRIES 1"):
        said = biology(words, exit_code=2)
        assert str(home / "config.toml") in said.err
    assert (home / "config.toml").read_bytes() == text.encode("latin-1")


def test_a_settings_file_that_is_a_folder(biology: Run, home: Path) -> None:
    (home / "config.toml").mkdir()
    for words in ("chat hello", "config set AI_MAX_RETRIES 1"):
        assert "cannot be read: Is a directory" in biology(words, exit_code=2).err


# The vault


def test_three_faults_of_the_vault_are_three_messages_and_other_groups_go_on(
    biology: Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    biology("group add-key history --stdin", stdin="sk-or-v1-demo-of-history")
    with closing(sqlite3.connect(home / "raptchat.db")) as db, db:
        db.execute(
            "UPDATE ai_credentials SET encrypted_key = zeroblob(length(encrypted_key))"
            " WHERE group_id = (SELECT id FROM groups WHERE name = 'history')"
        )
    damaged = biology("chat -g history hello", exit_code=78).err
    biology("chat -g biology hello")

    monkeypatch.setenv("RAPTCHAT_MASTER_KEY_FILE", str(tmp_path / "none.key"))
    missing = biology("chat -g biology hello", exit_code=78).err

    (tmp_path / "none.key").write_text("raptchat-key-1:" + "A" * 43 + "=\n")
    (tmp_path / "none.key").chmod(0o600)
    wrong = biology("chat -g biology hello", exit_code=78).err

    (tmp_path / "none.key").chmod(0o644)
    readable = biology("chat -g biology hello", exit_code=78).err

    assert "raptchat group add-key history --replace" in damaged
    assert "cannot be read: No such file" in missing
    assert "another master key" in wrong
    assert "chmod 600" in readable
    assert len({damaged, missing, wrong, readable}) == 4


def test_a_wrong_passphrase(
    raptchat: Run, gateway: DemoGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "passphrase"
    file.write_text("correct horse\n")
    file.chmod(0o600)
    monkeypatch.setenv("RAPTCHAT_PASSPHRASE_FILE", str(file))
    raptchat("group add-key biology --stdin", stdin=DEMO_KEY)
    raptchat("chat hello")

    file.write_text("battery staple\n")
    assert "the passphrase is wrong" in raptchat("chat hello", exit_code=78).err
    assert raptchat("credentials list").out


def become_a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir(0o700)


KEY_FILE_FAULTS: dict[str, Callable[[Path], object]] = {
    "gone": Path.unlink,
    "a folder": become_a_folder,
    "empty": lambda file: file.write_text(""),
    "two lines": lambda file: file.write_text("one\ntwo\n"),
    "junk": lambda file: file.write_text("junk\n"),
    "damaged": lambda file: file.write_text("raptchat-key-1:AAAA\n"),
    "another store's": lambda file: file.write_text("raptchat-key-1:" + "A" * 43 + "=\n"),
    "readable by others": lambda file: file.chmod(0o644),
}


@pytest.mark.parametrize("fault", KEY_FILE_FAULTS)
def test_whatever_is_wrong_with_the_key_file_there_is_a_hint(biology: Run, tmp_path: Path, fault: str) -> None:
    KEY_FILE_FAULTS[fault](tmp_path / "master.key")
    refused = biology("chat hello --json", exit_code=2 if fault in {"empty", "two lines"} else 78)

    assert json.loads(refused.err)["hint"]


@pytest.mark.parametrize("fault", ["gone", "empty", "another"])
def test_whatever_is_wrong_with_the_passphrase_file_there_is_a_hint(
    raptchat: Run, gateway: DemoGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    file = tmp_path / "passphrase"
    file.write_text("correct horse\n")
    file.chmod(0o600)
    monkeypatch.setenv("RAPTCHAT_PASSPHRASE_FILE", str(file))
    raptchat("group add-key biology --stdin", stdin=DEMO_KEY)
    if fault == "gone":
        file.unlink()
    else:
        file.write_text("" if fault == "empty" else "battery staple\n")

    refused = raptchat("chat hello --json", exit_code=2 if fault == "empty" else 78)
    assert json.loads(refused.err)["hint"]


# The store


@pytest.mark.parametrize("content", [b"no database at all " * 500, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_store_is_left_as_it_is(biology: Run, home: Path, content: bytes) -> None:
    store = home / "raptchat.db"
    store.write_bytes(content)
    for words in ("chat hello", "group list", "vault status"):
        assert biology(words, exit_code=74).out == ""

    assert store.read_bytes() == content


def test_times_that_are_none_are_shown_as_they_stand(biology: Run, home: Path) -> None:
    session = json.loads(biology("chat hello --json").out)["session"]
    [(credential,)] = rows(home, "SELECT id FROM ai_credentials")
    with closing(sqlite3.connect(home / "raptchat.db")) as db, db:
        db.execute("UPDATE groups SET created_at = 'garbage'")
        db.execute("UPDATE ai_credentials SET created_at = 'garbage', last_used_at = 'rubbish'")
        db.execute("UPDATE sessions SET created_at = 'garbage', last_used_at = 'garbage\x1b[2J'")
        db.execute("UPDATE messages SET created_at = 'garbage'")
        db.execute("UPDATE ai_usage_days SET day = 'garbage'")
        db.execute("UPDATE vault_slots SET created_at = 'garbage'")

    for words, shown in [
        ("group list", "rubbish"),
        ("group show biology", "garbage"),
        ("credentials list", "garbage"),
        (f"credentials show {credential}", "rubbish"),
        ("sessions list", "garbage"),
        (f"sessions show {session}", "garbage"),
        ("usage --by day --all", "garbage"),
        ("vault status", "garbage"),
    ]:
        said = biology(words)
        assert shown in said.out, words
        assert "\x1b" not in said.out
        assert "bug" not in said.err


def test_a_newer_store_is_refused_untouched(biology: Run, home: Path) -> None:
    store = home / "raptchat.db"
    with closing(sqlite3.connect(store)) as db:
        db.execute("PRAGMA user_version = 999")
    before = store.read_bytes()

    assert "newer raptchat" in biology("chat hello", exit_code=74).err
    assert store.read_bytes() == before


def test_somebody_elses_database_is_refused_untouched(raptchat: Run, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as db, db:
        db.execute("CREATE TABLE birds (name)")
    before = other.read_bytes()
    other.chmod(0o600)

    assert "no store of raptchat" in raptchat(["group", "list", "--store", str(other)], exit_code=74).err
    assert other.read_bytes() == before
    assert "is not a file" in raptchat(["group", "list", "--store", str(tmp_path)], exit_code=74).err


def test_a_store_that_others_can_write_is_refused(biology: Run, home: Path) -> None:
    (home / "raptchat.db").chmod(0o666)

    assert "chmod 600" in biology("group list", exit_code=74).err


def test_a_reply_that_cannot_be_stored_is_shown(biology: Run, gateway: DemoGateway, home: Path) -> None:
    with closing(sqlite3.connect(home / "raptchat.db")) as db, db:
        db.execute(
            "CREATE TRIGGER full BEFORE UPDATE ON ai_credentials"
            " BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
        )
    said = biology("chat -m demo/echo hello", exit_code=74)

    assert said.out == "hello\n"
    assert "disk is full" in said.err


# The prompt


@pytest.mark.parametrize("words", [["chat", ""], ["chat", " \n\t "], ["chat"]])
def test_an_empty_prompt_is_refused(biology: Run, gateway: DemoGateway, home: Path, words: list[str]) -> None:
    for stdin in ("", "\n"):
        assert "the prompt is empty" in biology(words, stdin=stdin, exit_code=2).err

    assert gateway.requests == []
    assert rows(home, "SELECT count(*) FROM sessions") == [(0,)]


def test_a_prompt_of_ten_megabytes_is_answered(biology: Run, gateway: DemoGateway, home: Path) -> None:
    prompt = "osmosis " * (10 * MEGABYTE // 8)
    said = biology("chat -m demo/reply", stdin=prompt)

    assert f"{len(prompt)} characters" in said.out
    assert rows(home, "SELECT length(content) FROM messages WHERE seq = 1") == [(len(prompt),)]


def test_more_than_64_megabytes_of_standard_input_are_refused(biology: Run, gateway: DemoGateway) -> None:
    assert "more than 64 MiB" in biology("chat", stdin=b"x" * (64 * MEGABYTE + 1), exit_code=2).err
    assert gateway.requests == []


@pytest.mark.parametrize(
    ("stdin", "message"),
    [
        (b"caf\xe9", "byte 0xe9 at position 3"),
        (b"\xff\xfeh\x00i\x00", "byte 0xff at position 0"),
        (b"a\0b", "NUL character at position 1"),
        (b"\xed\xa0\x80", "is not UTF-8"),
    ],
)
def test_what_is_no_text_on_standard_input_says_where(
    biology: Run, gateway: DemoGateway, stdin: bytes, message: str
) -> None:
    said = biology("chat", stdin=stdin, exit_code=2)

    assert message in said.err
    assert said.out == ""
    assert gateway.requests == []


def test_a_byte_order_mark_goes(biology: Run, gateway: DemoGateway) -> None:
    biology("chat", stdin=b"\xef\xbb\xbfhello")

    assert gateway.requests[-1].body["messages"][-1]["content"] == "hello"


# Flags


@pytest.mark.parametrize(
    "words",
    [
        "chat --temperature 2.1 hello",
        "chat --temperature -1 hello",
        "chat --temperature nan hello",
        "chat --top-p 1.1 hello",
        "chat --top-p nan hello",
        "chat --max-tokens 0 hello",
        "chat --max-tokens 1.5 hello",
        "chat --timeout 0 hello",
        "chat --timeout -1 hello",
        "chat --timeout nan hello",
        "chat --timeout inf hello",
        "chat -o model x hello",
        "chat -o messages [] hello",
        "chat -o stream false hello",
        "chat -o x NaN hello",
        "chat -o x 1e999 hello",
        "chat -o x",
        "chat --json --raw hello",
        "chat --plain --markdown hello",
        "chat --json --jsonl hello",
        "chat -c --session 12345678 hello",
        "chat -c --private hello",
        "chat -m 'two words' hello",
        "sessions list --limit 0",
        "usage --since yesterday",
        "usage --since 2026-02-30",
        "usage --since ''",
        "usage --until 01/02/2026",
        "usage --by colour",
        "usage --csv --json",
        "vault init --file x --passphrase",
        "vault add sesame",
        "vault add keyring --file x",
        "vault rotate --file x",
        "vault rotate --slot keyring --file x",
        "group set biology",
        "group add-key biology --provider nonesuch --stdin",
        "group add-key history --stdin --from-env X",
        "group add-key history --from-env NOT_SET_ANYWHERE",
        "demo --port 1",
        "demo --serve --port 65536",
        "config set AI_MAX_RETRIES",
        "config get nonsense",
    ],
)
def test_flags_out_of_range_are_refused_and_nothing_is_sent(
    biology: Run, gateway: DemoGateway, home: Path, words: str
) -> None:
    said = biology(words, stdin="", exit_code=2)

    assert said.out == ""
    assert said.err.startswith("{" if "--json" in words else "raptchat: ")
    assert gateway.requests == []
    assert rows(home, "SELECT (SELECT count(*) FROM ai_usage) + (SELECT count(*) FROM ai_credentials)") == [(1,)]


@pytest.mark.parametrize(
    "flags", ["-o x NaN", "-o x -Infinity", "-o x '[1e999]'", "--temperature nan", "--top-p nan"]
)
@pytest.mark.parametrize("more", ["", " --dry-run"])
def test_a_number_that_json_does_not_have_is_refused(
    biology: Run, gateway: DemoGateway, home: Path, flags: str, more: str
) -> None:
    said = biology(f"chat {flags}{more} hello", exit_code=2)

    assert said.out == ""
    assert "has no form in JSON" in said.err
    assert gateway.requests == []
    assert rows(home, "SELECT count(*) FROM sessions") == [(0,)]


def test_an_option_that_is_nested_too_deeply(biology: Run, gateway: DemoGateway) -> None:
    depth = 100_000
    said = biology(["chat", "-o", "x", "[" * depth + "]" * depth, "hello"], exit_code=2)
    assert "nested too deeply" in said.err
    assert gateway.requests == []


def test_the_last_day_of_the_calendar(biology: Run) -> None:
    biology("chat hello")

    assert biology("usage --since 0001-01-01 --until 9999-12-31").out.startswith("biology\t1\t")


# The gateway


def test_what_a_gateway_echoes_is_shown_without_acting_and_without_the_key(
    biology: Run, gateway: DemoGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AI_MAX_RETRIES", "0")
    body = json.dumps({"error": {"code": 400, "message": f"bad key {DEMO_KEY} \x1b[2J\u202e <b>[red]"}})
    for more in ("", " --json", " --jsonl"):
        gateway.answer(Answer(400, {"Content-Type": "application/json"}, [body.encode()]))
        said = biology(f"chat hello{more}", exit_code=69)
        assert DEMO_KEY not in said.out + said.err
        assert "\x1b" not in said.err
        assert "\u202e" not in said.err


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, {"Content-Type": "text/event-stream"}, []),
        Answer(200, {"Content-Type": "application/json"}, [b"{}"]),
        Answer(500, {"Content-Type": "text/html"}, [b"<html>" + b"x" * 100_000]),
        Answer(200, {"Content-Type": "text/event-stream", "Content-Encoding": "gzip"}, [b"not gzip"]),
        Answer(418, {"Content-Type": "application/json"}, [b'{"error": []}']),
        Answer(404, {"Content-Type": "application/json"}, [b'{"error": {"message": {"a": 1}}}']),
    ],
)
def test_odd_answers_are_errors_of_the_gateway(
    biology: Run, gateway: DemoGateway, monkeypatch: pytest.MonkeyPatch, answer: Answer
) -> None:
    monkeypatch.setenv("AI_MAX_RETRIES", "0")
    gateway.answer(answer)
    said = biology("chat hello --json", exit_code=69)

    assert said.out == ""
    assert len(said.err) < 2000
    assert json.loads(said.err)["code"] in {"GATEWAY_ERROR", "INVALID_RESPONSE", "MODEL_NOT_AVAILABLE"}


def test_a_key_file_must_be_private_and_hold_one_line(biology: Run, tmp_path: Path, home: Path) -> None:
    file = tmp_path / "key"
    file.write_text("sk-or-v1-demo-of-history\n")
    file.chmod(0o644)
    said = biology(["group", "add-key", "history", "--key-file", str(file)], exit_code=2)
    assert "chmod 600" in said.err
    assert "sk-or" not in said.err

    file.chmod(0o600)
    file.write_text("sk-or-v1-demo-of-history\nsk-or-v1-demo-of-geography\n")
    assert "exactly one line" in biology(["group", "add-key", "history", "--key-file", str(file)], exit_code=2).err

    file.write_text("sk-or-v1-demo-of-history\n")
    biology(["group", "add-key", "history", "--key-file", str(file)])
    assert stat.S_IMODE((home / "raptchat.db").stat().st_mode) == 0o600
