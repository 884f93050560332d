"""`raptchat doctor`: how it says what it found."""

import io
import json
import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from conftest import Run
from diagnosis import own_home_fixture  # noqa: F401 - a fixture
from processes import AtTerminal, run
from web_server import running, silent

from raptchat.cli.doctor import _show
from raptchat.doctor import Subject, examine, gateway
from raptchat.doctor.finding import ok, warning
from raptchat.render import Terminal

pytestmark = pytest.mark.usefixtures("own_home")

HOSTILE = "\x1b]0;owned\x07\x9b2J\u202ex"


def test_each_finding_is_a_line_of_five_fields_in_a_pipe(biology: Run) -> None:
    said = biology("doctor")
    lines = [line.split("\t") for line in said.out.splitlines()]

    assert {len(line) for line in lines} == {5}
    assert next(line for line in lines if line[1] == "recovery")[:3] == ["vault", "recovery", "warning"]
    assert next(line for line in lines if line[1] == "recovery")[4] == "raptchat vault add recovery"
    assert {line[4] for line in lines if line[2] == "ok"} == {"-"}
    assert said.err == "no problems, 1 warning\n"


def test_areas_come_in_their_order(biology: Run) -> None:
    areas = [line.split("\t")[0] for line in biology("doctor").out.splitlines()]

    assert list(dict.fromkeys(areas)) == ["store", "vault", "gateway", "environment", "versions"]


def test_a_document_says_whether_all_is_well(biology: Run, tmp_path: Path) -> None:
    document = json.loads(biology("doctor --json").out)
    assert document["ok"] is True
    assert all(set(one) == {"area", "name", "level", "text", "fix"} for one in document["findings"])

    (tmp_path / "master.key").unlink()
    said = biology("doctor --json", exit_code=1)
    assert json.loads(said.out)["ok"] is False
    assert said.err == ""


def test_a_problem_ends_it_with_1_and_is_counted(biology: Run, home: Path) -> None:
    (home / "raptchat.db").chmod(0o666)
    said = biology("doctor", exit_code=1)

    assert said.err == "1 problem, 1 warning\n"


@pytest.mark.parametrize("columns", [100, 40, 20])
def test_every_finding_is_drawn_and_every_fix_can_be_pasted(columns: int) -> None:
    terminal = Terminal.recorded(is_tty=True, width=columns)
    fix = f"chmod 600 /{'long/' * 30}way"
    _show(terminal, [ok("store", "mode", "all well"), warning("vault", "recovery", "none", fix)])

    assert isinstance(terminal.out, io.StringIO)
    said = terminal.out.getvalue()
    lines = [line.split() for line in re.sub(r"\x1b\[[0-9;]*m", "", said).splitlines()]
    if columns == 100:
        assert lines == [
            ["area", "check", "state", "found"],
            ["store", "mode", "ok", "all", "well"],
            ["vault", "recovery", "warning", "none"],
            ["fix", "for", "vault:", "recovery"],
            fix.split(),
        ]
    else:
        assert lines[:2] == [["ok", "store:", "mode"], ["all", "well"]]
        assert lines[-1] == fix.split()


@pytest.mark.process
@pytest.mark.parametrize("columns", [100, 40])
def test_at_a_terminal_a_fix_has_a_line_of_its_own(biology: Run, columns: int) -> None:
    with AtTerminal("doctor", columns=columns, lines=200) as terminal:
        terminal.ends(0)
        lines = [line.strip() for line in terminal.screen() if line.strip()]

    assert lines[-3:-1] == ["fix for vault: recovery", "raptchat vault add recovery"]
    assert max(map(len, lines)) <= columns
    assert lines[-1] == "no problems, 1 warning"
    assert lines[0].split() == (
        ["area", "check", "state", "found"] if columns == 100 else ["ok", "store:", "file"]
    )


@pytest.mark.process
def test_nothing_that_was_stored_or_set_acts_on_the_terminal(
    biology: Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(sqlite3.connect(home / "raptchat.db")) as db, db:
        for table, column in [("groups", "name"), ("vault_slots", "kind"), ("ai_credentials", "key_hint")]:
            db.execute(f"UPDATE {table} SET {column} = {column} || ?", [HOSTILE])  # noqa: S608
    (home / "config.toml").write_text(f"{json.dumps(HOSTILE)} = 1\n")
    (home / f"raptchat.db.{HOSTILE}.bak").touch()
    monkeypatch.setenv(f"RAPTCHAT_{HOSTILE}", "1")
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", HOSTILE)
    monkeypatch.setenv("RAPTCHAT_PASSPHRASE_FILE", HOSTILE)
    with AtTerminal("doctor", "--offline") as terminal:
        said = terminal.ends(1)

    assert "\u241b]0;owned\u2407" in said
    assert not {"\x07", "\x9b", "\u202e"} & set(said)
    assert "\x1b]" not in said
    assert "\x1b[2J" not in said


@pytest.mark.process
def test_ctrl_c_ends_it_while_it_waits(biology: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with running() as server:
        server.pages["/models"] = silent(b"")
        monkeypatch.setenv("AI_GATEWAY_URL", server.url)
        with AtTerminal("doctor") as terminal:
            terminal.until("waiting for the store, the keyring and the gateway")
            terminal.keys("\x03")
            terminal.ends(130)


@pytest.mark.process
def test_it_runs_where_the_network_the_home_and_the_terminal_are_missing(tmp_path: Path) -> None:
    env = {"PATH": os.environ["PATH"], "RAPTCHAT_HOME": str(tmp_path / "none"), "TERM": "dumb"}
    said = run("doctor", "--offline", env=env)

    assert "not made yet" in said.stdout
    assert not (tmp_path / "none").exists()


def test_an_area_that_does_not_end_is_a_problem_and_the_others_are_said(
    biology: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raptchat.doctor.LONGEST_SECONDS", 0.5)
    monkeypatch.setattr(gateway, "SECONDS", 1.0)
    with running() as server:
        server.pages["/models"] = silent(b"")
        monkeypatch.setenv("AI_GATEWAY_URL", server.url)
        found = examine(Subject.found())

    assert [(one.area, one.text) for one in found if one.name == "time"] == [
        ("gateway", "not all was looked at in 0.5 s")
    ]
    assert {one.area for one in found} == {"store", "vault", "gateway", "environment", "versions"}


def test_what_looks_like_a_key_is_in_no_finding(biology: Run, tmp_path: Path) -> None:
    key = "sk-or-v1-0123456789abcdef"
    found = examine(Subject.found(store=tmp_path / key / "raptchat.db", offline=True))

    assert any("***" in one.text for one in found)
    assert not any(key in one.text + one.fix for one in found)
