"""`raptchat doctor` on variables, settings, and keys that other tools keep in plain text."""

import json
import os
import sqlite3
import sys
from pathlib import Path

import pytest
from conftest import Run, environment
from diagnosis import diagnose, own_home_fixture  # noqa: F401 - a fixture
from processes import AtTerminal, run
from test_secret_scan import KEY, check

from raptchat.doctor import Subject, examine, versions

LLM = {
    "// Note": "This file stores secret API credentials. Do not share!",
    "openai": "sk-x1" * 9,
    "openrouter": KEY,
}
AICHAT = f"""\
model: openai:gpt-4o
clients:
- type: openai
  api_key: {KEY}
- type: claude
  api_key: "{KEY}"  # the team's
- type: gemini
  api_key: <your key>
"""
SGPTRC = f"CACHE_PATH=/tmp/cache\nDEFAULT_MODEL=gpt-4o-2024-05-13\nOPENAI_API_KEY={KEY}\n"
FABRIC = f"DEFAULT_VENDOR=OpenRouter\nexport YOUTUBE_API_KEY='{KEY}'\nOPENROUTER_API_KEY={KEY}\nOPENAI_API_KEY=\n"


def keep(path: Path, text: str, mode: int = 0o600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def test_keys_that_other_tools_keep_are_found_and_never_shown(raptchat: Run, own_home: Path) -> None:
    llm = keep(own_home / ".config/io.datasette.llm/keys.json", json.dumps(LLM))
    aichat = keep(own_home / ".config/aichat/config.yaml", AICHAT)
    sgpt = keep(own_home / ".config/shell_gpt/.sgptrc", SGPTRC, 0o644)
    fabric = keep(own_home / ".config/fabric/.env", FABRIC)
    found = diagnose(raptchat).of("environment", "plaintext keys")

    assert [one["text"].removesuffix("; delete it there once a group has it") for one in found] == [
        f"`llm` keeps 2 keys in plain text in `{llm}`",
        f"`aichat` keeps 2 keys in plain text in `{aichat}`",
        f"`shell_gpt` keeps a key in plain text in `{sgpt}`, which others can read (mode 0644)",
        f"`fabric` keeps 2 keys in plain text in `{fabric}`",
    ]
    assert [one["fix"] for one in found] == [
        f"raptchat import-keys {client}" for client in ("llm", "aichat", "shell_gpt", "fabric")
    ]
    assert {one["level"] for one in found} == {"warning"}
    check(json.dumps(found).encode(), "the document")
    check(raptchat("doctor --offline").out.encode(), "the lines")
    with AtTerminal("doctor", "--offline") as terminal:
        terminal.ends(0)
    check(terminal.said.encode(), "the table")


def test_their_files_are_found_where_variables_put_them(
    raptchat: Run, own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_USER_PATH", str(tmp_path / "llm"))
    monkeypatch.setenv("AICHAT_CONFIG_DIR", str(tmp_path / "aichat"))
    llm = keep(tmp_path / "llm/keys.json", json.dumps(LLM))
    aichat = keep(tmp_path / "aichat/.env", f"OPENAI_API_KEY={KEY}")
    found = diagnose(raptchat).of("environment", "plaintext keys")
    assert [(str(llm) in one["text"], str(aichat) in one["text"]) for one in found] == [
        (True, False),
        (False, True),
    ]

    monkeypatch.delenv("AICHAT_CONFIG_DIR")
    monkeypatch.delenv("LLM_USER_PATH")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert [one["text"].split("`")[1] for one in diagnose(raptchat).of("environment", "plaintext keys")] == [
        "aichat"
    ]


@pytest.mark.parametrize(
    "value",
    [
        "",
        "$KEY",
        "${OPENROUTER_API_KEY}",
        "<paste your key here 1>",
        "sk-xxxxxxxxxxxxxxxxxxxxxxxx",
        "changeme1",
        "a key 1 in words",
    ],
)
def test_a_place_for_a_key_is_none(raptchat: Run, own_home: Path, value: str) -> None:
    keep(own_home / ".config/fabric/.env", f"OPENAI_API_KEY={value}\n")
    keep(own_home / ".config/aichat/config.yaml", f"- api_key: {value}\n")
    keep(own_home / ".config/io.datasette.llm/keys.json", json.dumps({"openai": value}))

    [found] = diagnose(raptchat).of("environment", "plaintext keys")
    assert (found["level"], found["text"]) == ("ok", "none in the files of llm, aichat, shell_gpt, fabric")


@pytest.mark.parametrize("text", ["[1]", "no json", "[" * 100_000, '{"a": {"b": 1}}', "\x00\xff"])
def test_files_that_are_something_else_are_passed_over(raptchat: Run, own_home: Path, text: str) -> None:
    keep(own_home / ".config/io.datasette.llm/keys.json", text)
    (own_home / ".config/fabric").mkdir()
    os.mkfifo(own_home / ".config/fabric/.env")

    *passed, clean = diagnose(raptchat).of("environment", "plaintext keys")
    assert passed
    assert all(one["text"].endswith(": not looked at") for one in passed)
    assert (clean["level"], clean["text"].split()[0]) == ("ok", "none")


def test_keys_that_no_group_could_use_are_for_their_owner_only(raptchat: Run, own_home: Path) -> None:
    path = keep(own_home / ".config/fabric/.env", f"YOUTUBE_API_KEY={KEY[6:]}\n", 0o644)
    [found] = diagnose(raptchat).of("environment", "plaintext keys")
    assert (found["level"], found["fix"]) == ("warning", f"chmod 600 {path}")

    path.chmod(0o600)
    [found] = diagnose(raptchat).of("environment", "plaintext keys")
    assert found["level"] == "ok"
    assert found["text"] == f"`fabric` keeps a key in plain text in `{path}`; no group could use it"


@pytest.mark.usefixtures("own_home")
def test_an_exported_key_is_said_to_be_ignored(raptchat: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_API_KEY", "")
    found = diagnose(raptchat)

    [ignored] = found.of("environment", "ignored keys")
    assert ignored["level"] == "warning"
    assert ignored["text"].startswith("OPENROUTER_API_KEY is set, and ignored")
    assert ignored["fix"] == "raptchat group add-key NAME --from-env OPENROUTER_API_KEY"
    assert KEY not in json.dumps(found.document)


@pytest.mark.usefixtures("own_home")
def test_a_group_that_a_variable_chooses_and_that_is_not_there_is_a_problem(
    biology: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert diagnose(biology).of("environment", "group") == []
    monkeypatch.setenv("RAPTCHAT_GROUP", "Biology")
    assert diagnose(biology).the("environment", "group")["text"] == "RAPTCHAT_GROUP chooses `biology`"

    monkeypatch.setenv("RAPTCHAT_GROUP", "history")
    found = diagnose(biology, ok=False).the("environment", "group")
    assert (found["level"], found["fix"]) == ("problem", "unset RAPTCHAT_GROUP")
    assert "there is no group `history`" in found["text"]


@pytest.mark.usefixtures("own_home")
def test_variables_that_raptchat_does_not_know_are_said_without_their_values(
    raptchat: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAPTCHAT_PASSPHRASE", "correct horse")
    monkeypatch.setenv("RAPTCHAT_DEBUG", "1")
    found = diagnose(raptchat)

    known, unknown = found.of("environment", "variables")
    assert known["text"] == "set: RAPTCHAT_DEBUG, RAPTCHAT_HOME"
    assert unknown["text"] == "`RAPTCHAT_PASSPHRASE` is set, and raptchat knows no such variable"
    assert "correct horse" not in json.dumps(found.document)


@pytest.mark.usefixtures("own_home")
def test_settings_are_read_as_every_command_reads_them(raptchat: Run, home: Path) -> None:
    keep(home / "config.toml", "AI_MAX_RETRIES = 1\nspeed = 3\n", 0o666)
    odd, open_to_all, valid = diagnose(raptchat).of("environment", "settings")
    assert "sets `speed`, which is no setting" in odd["text"]
    assert open_to_all["fix"] == f"chmod 600 {home}/config.toml"
    assert valid["text"].endswith("is valid; it sets 1")

    keep(home / "config.toml", "AI_MAX_RETRIES =")
    found = diagnose(raptchat, ok=False)
    assert found.the("environment", "settings")["level"] == "problem"
    assert "not asked" in found.the("gateway", "reachable")["text"]
    assert found.the("store", "file")["level"] == "ok"


@pytest.mark.usefixtures("own_home")
def test_a_variable_that_cannot_be_right_is_a_problem(raptchat: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AI_GATEWAY_URL", f"http://user:{KEY}@gateway.example")
    found = diagnose(raptchat, ok=False)

    assert "`AI_GATEWAY_URL`" in found.the("environment", "settings")["text"]
    assert KEY not in json.dumps(found.document)


@pytest.mark.usefixtures("own_home")
@pytest.mark.parametrize(("encoding", "level"), [("latin-1", "warning"), ("UTF_8", "ok"), ("utf-8", "ok")])
def test_another_encoding_than_utf8_is_said(encoding: str, level: str) -> None:
    [found] = [one for one in examine(Subject.found(encoding=encoding, offline=True)) if one.name == "encoding"]

    assert (found.level, "characters that it lacks" in found.text) == (level, level == "warning")


@pytest.mark.usefixtures("own_home")
@pytest.mark.process
def test_the_encoding_is_that_of_standard_output(own_home: Path) -> None:
    env = {**environment(), "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "latin-1"}

    assert "environment\tencoding\twarning\toutput is written in " in run("doctor", "--offline", env=env).stdout


@pytest.mark.usefixtures("own_home")
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_umask_that_lets_anyone_write_is_said(raptchat: Run) -> None:
    old = os.umask(0)
    try:
        found = diagnose(raptchat)
    finally:
        os.umask(old)

    assert "the umask is 0000" in found.the("environment", "umask")["text"]


@pytest.mark.usefixtures("own_home")
def test_where_the_working_folder_is_gone_the_rest_is_looked_at(
    biology: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert [name for _, name, _ in diagnose(biology).worse()] == ["recovery", "folder"]

    found = diagnose(biology, "--store", "relative.db", ok=False)
    assert "the working folder is gone" in found.the("store", "file")["text"]
    assert "not looked at" in found.the("vault", "slots")["text"]
    assert found.the("versions", "raptchat")["level"] == "ok"


def test_without_a_home_it_says_where_things_are(
    raptchat: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOME", "RAPTCHAT_HOME"):
        monkeypatch.delenv(name)
    for name in ("DATA", "CONFIG", "STATE", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path))

    assert "HOME is not set" in diagnose(raptchat).the("environment", "home")["text"]


@pytest.mark.usefixtures("own_home")
def test_a_program_that_is_too_old_or_missing_is_a_problem(raptchat: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 36, 0))
    monkeypatch.setattr(versions, "_PACKAGES", ("no-such-package",))
    found = diagnose(raptchat, ok=False)

    assert "too old" in found.the("versions", "SQLite")["text"]
    assert found.the("versions", "no-such-package")["text"] == "it is not installed"
