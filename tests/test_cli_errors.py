"""Every code of the contract's section 3: what a shell sees, what a script reads, and never a traceback."""

import json
import shlex
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import typer
from conftest import Run, rows
from typer.testing import CliRunner

from raptchat.cli import Cli
from raptchat.cli.command import Command
from raptchat.demo import DEMO_KEY, DemoGateway

GATEWAY = [
    ("status-302", 69, "INVALID_RESPONSE", 502),
    ("status-400", 69, "GATEWAY_ERROR", 502),
    ("status-401", 77, "AUTHENTICATION_FAILED", 401),
    ("status-402", 5, "INSUFFICIENT_CREDIT", 402),
    ("status-403", 69, "CONTENT_REFUSED", 403),
    ("status-404", 69, "MODEL_NOT_AVAILABLE", 404),
    ("status-408", 75, "TIMEOUT", 504),
    ("status-413", 69, "GATEWAY_ERROR", 502),
    ("status-429", 75, "RATE_LIMITED", 429),
    ("status-500", 69, "GATEWAY_ERROR", 502),
    ("status-502", 69, "GATEWAY_ERROR", 502),
    ("status-503", 69, "GATEWAY_ERROR", 502),
    ("status-504", 75, "TIMEOUT", 504),
    ("status-520", 69, "GATEWAY_ERROR", 502),
    ("status-529", 69, "GATEWAY_ERROR", 502),
    ("garbage", 69, "INVALID_RESPONSE", 502),
    ("html", 69, "INVALID_RESPONSE", 502),
    ("not-http", 69, "INVALID_RESPONSE", 502),
    ("hang", 75, "TIMEOUT", 504),
    ("keepalives", 75, "TIMEOUT", 504),
    ("nonesuch", 69, "MODEL_NOT_AVAILABLE", 404),
    ("empty", 1, "INCOMPLETE_REPLY", 502),
]
CUT = ["cut", "hangup", "reset", "error-midstream", "stall"]


@pytest.fixture(autouse=True)
def once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AI_MAX_RETRIES", "0")


def read(err: str) -> dict[str, object]:
    """The one line of JSON on standard error."""
    [line] = err.splitlines()
    fields: dict[str, object] = json.loads(line)
    assert list(fields)[:4] == ["error", "code", "statusCode", "hint"]
    assert fields["error"]
    return fields


@pytest.mark.parametrize(("model", "exit_code", "code", "status"), GATEWAY, ids=[each[0] for each in GATEWAY])
def test_what_the_gateway_answers_has_its_code(
    biology: Run, home: Path, model: str, exit_code: int, code: str, status: int
) -> None:
    words = f"chat -m demo/{model} --timeout 0.2 hello"
    said = biology(words, exit_code=exit_code)
    assert said.out == ""
    assert said.err.startswith("raptchat: ")
    assert "Traceback" not in said.err

    said = biology(f"{words} --json", exit_code=exit_code)
    assert said.out == ""
    fields = read(said.err)
    assert (fields["code"], fields["statusCode"]) == (code, status)

    said = biology(f"{words} --jsonl", exit_code=exit_code)
    assert said.out == ""
    assert read(said.err)["code"] == code
    assert rows(home, "SELECT last_used_at FROM ai_credentials") == [(None,)]


@pytest.mark.parametrize("model", CUT)
def test_a_cut_reply_is_shown_and_kept_and_ends_with_1(biology: Run, home: Path, model: str) -> None:
    words = f"chat -m demo/{model} --timeout 0.2 hello"
    said = biology(words, exit_code=1)
    assert said.out == "The beginning of a reply\n"
    assert "cut short" in said.err

    said = biology(f"{words} --json", exit_code=1)
    document = json.loads(said.out)
    assert document["content"] == "The beginning of a reply"
    assert document["usage"]["cost"] is None
    assert read(said.err)["code"] == "INCOMPLETE_REPLY"

    said = biology(f"{words} --jsonl", exit_code=1)
    lines = [json.loads(line) for line in said.out.splitlines()]
    assert "".join(line.get("text", "") for line in lines) == "The beginning of a reply"
    assert (lines[-1]["type"], lines[-1]["code"]) == ("error", "INCOMPLETE_REPLY")

    states = rows(home, "SELECT content, state FROM messages WHERE role = 'assistant'")
    assert states == [("The beginning of a reply", "incomplete")] * 3
    assert rows(home, "SELECT count(*), count(cost_nano_usd) FROM ai_usage") == [(3, 0)]
    assert rows(home, "SELECT last_used_at FROM ai_credentials") == [(None,)]


def test_a_refused_key_is_named_with_its_group_and_what_to_do(biology: Run) -> None:
    fields = read(biology("chat -m demo/status-401 --json hello", exit_code=77).err)

    assert f"(key `{DEMO_KEY[:8]}...{DEMO_KEY[-4:]}` of group `biology`)" in str(fields["error"])
    assert fields["group"] == "biology"
    assert fields["hint"] == "raptchat group add-key biology --replace"


def test_retry_after_is_a_field(biology: Run, gateway: DemoGateway) -> None:
    fields = read(biology("chat -m demo/status-429 --json hello", exit_code=75).err)

    assert isinstance(fields["retryAfter"], int | float)


def test_what_is_retried_is_said_unless_quiet(biology: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AI_MAX_RETRIES", "1")
    assert "trying again in " in biology("chat -m demo/flaky-1 hello").err
    assert biology("chat -q -m demo/flaky-1 hello").err == ""


def test_nobody_answers_at_the_gateways_address(biology: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AI_GATEWAY_URL", "http://127.0.0.1:9/api/v1")
    biology("group add-key history --stdin", stdin="sk-or-v1-another-key-of-no-value")

    assert read(biology("chat -g history --json hello", exit_code=69).err)["code"] == "GATEWAY_ERROR"


def test_a_group_without_a_key_is_4(biology: Run, gateway: DemoGateway, home: Path) -> None:
    biology("group create history")
    said = biology("chat -g history hello", exit_code=4)
    assert said.err == (
        "raptchat: AI is not configured for this group. Please add an API key: raptchat group add-key history\n"
        "hint: raptchat group add-key history\n"
    )

    assert read(biology("chat -g history --json hello", exit_code=4).err) == {
        "error": "AI is not configured for this group. Please add an API key: raptchat group add-key history",
        "code": "AI_NOT_CONFIGURED",
        "statusCode": 424,
        "hint": "raptchat group add-key history",
        "group": "history",
        "provider": "openrouter",
    }
    assert gateway.requests == []
    assert rows(home, "SELECT count(*) FROM sessions") == [(0,)]


def test_the_command_in_the_hint_can_be_pasted(biology: Run) -> None:
    biology(["group", "create", "it's $HOME; rm -rf"])
    said = biology(["chat", "-g", "it's $HOME; rm -rf", "--json", "hello"], exit_code=4)
    biology(str(read(said.err)["hint"]).removeprefix("raptchat ") + " --stdin", stdin="sk-or-v1-demo-of-its-own-1")

    biology(["chat", "-g", "IT'S $HOME; RM -RF", "hello"])


def pasted(command: str) -> list[str]:
    """The words of a command as a shell reads it."""
    return shlex.split(command.removeprefix("raptchat "))


def test_hints_about_a_group_whose_name_begins_like_a_flag_can_be_pasted(
    biology: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    biology("group create -- '-x y'")
    hint = str(read(biology("chat hello --json", exit_code=3).err)["hint"])
    flag, variable, bind = hint.removesuffix(" for this folder").split(", or ")
    assert json.loads(biology(["whoami", *pasted(flag), "--json"]).out)["reason"] == "--group"
    [assignment] = pasted(variable)
    monkeypatch.setenv(*assignment.split("=", 1))
    assert json.loads(biology("whoami --json").out)["group"] == "-x y"
    monkeypatch.delenv("RAPTCHAT_GROUP")
    biology(pasted(bind))
    add = str(read(biology("chat hello --json", exit_code=4).err)["hint"])
    biology(["group", "add-key", "--stdin", *pasted(add)[2:]], stdin="sk-or-v1-demo-of-its-own-1")

    replace = str(read(biology("chat -m demo/status-401 hello --json", exit_code=77).err)["hint"])
    biology(["group", "add-key", "--stdin", *pasted(replace)[2:]], stdin="sk-or-v1-demo-of-its-own-2")
    session = json.loads(biology("chat hello --json").out)["session"]
    wrong = str(read(biology(f"chat -g biology --session {session} hello --json", exit_code=6).err)["hint"])
    biology(["chat", *pasted(wrong.partition(" (")[0]), "--session", session, "hello"])


@pytest.mark.parametrize(
    ("words", "exit_code", "code", "status"),
    [
        ("frobnicate", 2, "USAGE", 400),
        ("chat --frobnicate", 2, "USAGE", 400),
        ("chat --temperature hot hello", 2, "USAGE", 400),
        ("config get nonsense", 2, "USAGE", 400),
        ("chat -g nobody hello", 3, "GROUP_NOT_FOUND", 404),
        ("group show nobody", 3, "GROUP_NOT_FOUND", 404),
        ("credentials show 12345678", 3, "CREDENTIAL_NOT_FOUND", 404),
        ("credentials delete 12345678 --yes", 3, "CREDENTIAL_NOT_FOUND", 404),
        ("sessions show 12345678", 3, "SESSION_NOT_FOUND", 404),
        ("chat --session 12345678 hello", 3, "SESSION_NOT_FOUND", 404),
        ("chat -c hello", 3, "SESSION_NOT_FOUND", 404),
        ("group create BIOLOGY", 6, "DUPLICATE_GROUP", 409),
        ("group add-key biology --stdin", 6, "DUPLICATE_CREDENTIAL", 409),
        ("group add-key history --stdin", 6, "SHARED_KEY", 409),
        ("group add-key history", 2, "USAGE", 400),
        ("group remove biology", 2, "USAGE", 400),
    ],
)
def test_what_is_asked_for_wrongly_has_its_code(
    biology: Run, home: Path, words: str, exit_code: int, code: str, status: int
) -> None:
    said = biology(f"{words} --json", stdin=DEMO_KEY, exit_code=exit_code)
    assert said.out == ""
    fields = read(said.err)
    assert (fields["code"], fields["statusCode"]) == (code, status)

    said = biology(words, stdin=DEMO_KEY, exit_code=exit_code)
    assert said.out == ""
    assert said.err.startswith("raptchat: ")
    assert rows(home, "SELECT name FROM groups") == [("biology",)]


@pytest.mark.parametrize(
    ("words", "command"),
    [
        ("frobnicate", "raptchat"),
        ("--frobnicate", "raptchat"),
        ("group frobnicate", "raptchat group"),
        ("group --frobnicate", "raptchat group list"),
        ("chat --frobnicate", "raptchat chat"),
        ("chat --temperature hot hello", "raptchat chat"),
        ("chat -g", "raptchat chat"),
        ("--store", "raptchat"),
        ("group show", "raptchat group show"),
        ("group add-key", "raptchat group add-key"),
        ("credentials list one two", "raptchat credentials list"),
        ("usage --by", "raptchat usage"),
    ],
)
def test_wrong_words_hint_at_the_commands_own_help(raptchat: Run, words: str, command: str) -> None:
    assert raptchat(words, exit_code=2).err.splitlines()[1:] == [f"hint: {command} --help"]
    raptchat(f"{command.removeprefix('raptchat')} --help")


def test_an_error_without_a_hint_has_an_empty_one_in_json(raptchat: Run) -> None:
    assert read(raptchat("chat -c --session x hello --json", exit_code=2).err)["hint"] == ""


def test_without_a_group_there_is_no_group(raptchat: Run) -> None:
    assert read(raptchat("chat --json hello", exit_code=3).err)["code"] == "NO_GROUP"
    assert "raptchat group add-key NAME" in raptchat("chat hello", exit_code=3).err


def test_with_several_groups_one_must_be_chosen(biology: Run, gateway: DemoGateway) -> None:
    biology("group create history")
    said = biology("chat hello", exit_code=3)

    assert "`biology`, `history`" in said.err
    for way in ("--group biology", "RAPTCHAT_GROUP=biology", "raptchat group bind biology"):
        assert way in said.err
    assert gateway.requests == []


def test_a_session_of_another_group_is_6(biology: Run) -> None:
    biology("group add-key history --stdin", stdin="sk-or-v1-demo-of-history-1")
    session = json.loads(biology("chat -g history hello --json").out)["session"]
    fields = read(biology(f"chat -g biology --session {session} hello --json", exit_code=6).err)

    assert (fields["code"], fields["statusCode"], fields["group"]) == ("WRONG_GROUP", 409, "biology")
    assert "`history`" in str(fields["error"])


def test_a_store_that_is_held_too_long_or_damaged_is_74(biology: Run, home: Path) -> None:
    (home / "raptchat.db").write_bytes(b"no database" * 1000)

    fields = read(biology("group list --json", exit_code=74).err)
    assert (fields["code"], fields["statusCode"]) == ("STORE_ERROR", 500)


def test_vault_errors_are_78(biology: Run, home: Path, tmp_path: Path) -> None:
    key_file = tmp_path / "master.key"
    kept = key_file.read_text()

    key_file.unlink()
    assert read(biology("chat hello --json", exit_code=78).err)["code"] == "VAULT_UNAVAILABLE"

    key_file.write_text("raptchat-key-1:" + "A" * 43 + "=\n")
    key_file.chmod(0o600)
    assert read(biology("chat hello --json", exit_code=78).err)["code"] == "DECRYPTION_FAILED"

    key_file.write_text(kept)
    with closing(sqlite3.connect(home / "raptchat.db")) as db, db:
        db.execute("UPDATE ai_credentials SET encrypted_key = zeroblob(length(encrypted_key))")
    fields = read(biology("chat hello --json", exit_code=78).err)
    assert (fields["code"], fields["statusCode"]) == ("DECRYPTION_FAILED", 500)


def test_no_keyring_is_78_and_says_the_other_ways(raptchat: Run, gateway: DemoGateway, home: Path) -> None:
    said = raptchat("group add-key biology --stdin --json", stdin=DEMO_KEY, exit_code=78)

    fields = read(said.err)
    assert (fields["code"], fields["statusCode"]) == ("VAULT_UNAVAILABLE", 503)
    assert "vault init --file" in str(fields["hint"])
    assert rows(home, "SELECT count(*) FROM groups") == [(0,)]


KEY_IN_A_LOCAL = "sk-or-v1-" + "0123456789abcdef"


def broken_app() -> typer.Typer:
    """The real group of commands, with one that has a bug."""
    app = typer.Typer(cls=Cli, rich_markup_mode=None, pretty_exceptions_enable=False)

    @app.callback()
    def top() -> None:
        """Do nothing."""

    @app.command(cls=Command)
    def fail() -> None:
        secret_of_a_local = KEY_IN_A_LOCAL
        raise ZeroDivisionError(f"the message holds {secret_of_a_local}")

    return app


def test_a_bug_is_one_line_and_says_where_to_report_it() -> None:
    ended = CliRunner().invoke(broken_app(), ["fail"])

    assert ended.exit_code == 1
    assert ended.stdout == ""
    assert ended.stderr == (
        "raptchat: a bug in raptchat: ZeroDivisionError\n"
        "hint: run it again with RAPTCHAT_DEBUG=1 and report what it says (README, Reporting a bug)\n"
    )
    ended = CliRunner().invoke(broken_app(), ["fail", "--json"])
    assert (read(ended.stderr)["code"], read(ended.stderr)["statusCode"]) == ("INTERNAL", 500)


def test_debug_shows_the_traceback_of_a_bug_without_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAPTCHAT_DEBUG", "1")
    ended = CliRunner().invoke(broken_app(), ["fail"])

    assert ended.exit_code == 1
    assert "Traceback (most recent call last)" in ended.stderr
    assert "in fail" in ended.stderr
    assert KEY_IN_A_LOCAL not in ended.stderr
    assert "the message holds ***" in ended.stderr


def test_debug_shows_no_traceback_of_an_error_that_is_none(biology: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAPTCHAT_DEBUG", "1")

    assert "Traceback" not in biology("chat -g nobody hello", exit_code=3).err


def test_sigterm_is_143_in_any_command() -> None:
    app = broken_app()

    @app.command(cls=Command)
    def wait() -> None:
        signal.raise_signal(signal.SIGTERM)

    ended = CliRunner().invoke(app, ["wait"])
    assert (ended.exit_code, ended.stderr) == (143, "raptchat: terminated\n")


def test_behind_two_dashes_nothing_is_a_flag(biology: Run) -> None:
    assert biology("chat -g nobody -- --json", exit_code=3).err.startswith("raptchat: ")


def test_signal_handlers_are_given_back(biology: Run) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]
    biology("whoami")
    biology("chat -g nobody hello", exit_code=3)

    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)] == before
