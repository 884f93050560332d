"""The pager: a person at a terminal turns pages, everybody else gets the text."""

import io
import os
import shlex
import signal
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Run, environment
from processes import AtTerminal

from raptchat.render import Terminal, can_show, encoding_of
from raptchat.render.pager import paged

MANY = 60
# Of less, at the bottom of the screen.
PROMPT = ":\x1b[K"


@pytest.fixture
def pager(tmp_path: Path) -> Path:
    """A pager that writes down its words, its environment and what it was given, and shows it in capitals."""
    script = tmp_path / "my pager"
    script.write_text(
        f"#!{sys.executable}\n"
        "import json, os, signal, sys\n"
        "deaf = signal.getsignal(signal.SIGINT) == signal.SIG_IGN\n"
        "text = sys.stdin.read()\n"
        f"with open({str(tmp_path / 'seen')!r}, 'w') as file:\n"
        "    json.dump([sys.argv[1:], dict(os.environ), text, deaf], file)\n"
        "sys.stdout.write(text.upper())\n"
    )
    script.chmod(0o755)
    return script


def seen(tmp_path: Path) -> tuple[list[str], dict[str, str], str, bool]:
    """The words, the environment and the text that the pager was given, and whether it is deaf to Ctrl-C."""
    import json

    words, env, text, deaf = json.loads((tmp_path / "seen").read_text())
    return words, env, text, deaf


def on_file(path: Path) -> Terminal:
    """A terminal whose output goes to a file, as that of a pager can."""
    return replace(Terminal.recorded(is_tty=True), out=path.open("w", encoding="utf-8"))


def shown(path: Path, environ: dict[str, str], text: str = "page\n") -> str:
    """What stands on the terminal after *text* was paged."""
    terminal = on_file(path)
    with terminal.out, paged(terminal, environ) as page:
        page.write(text)
    return path.read_text(encoding="utf-8")


def test_the_output_goes_through_the_pager_with_its_arguments(pager: Path, tmp_path: Path) -> None:
    environ = {"PAGER": f"{shlex.quote(str(pager))} -R 'two words'"}

    assert shown(tmp_path / "out", environ, "één page\n") == "ÉÉN PAGE\n"
    words, _, text, deaf = seen(tmp_path)
    assert words == ["-R", "two words"]
    assert text == "één page\n"
    assert not deaf


def test_the_pager_is_told_to_end_by_itself_and_nothing_of_the_vault(pager: Path, tmp_path: Path) -> None:
    environ = {
        "PAGER": shlex.quote(str(pager)),
        "RAPTCHAT_MASTER_KEY_FILE": "/somewhere/master.key",
        "RAPTCHAT_PASSPHRASE_FILE": "/somewhere/passphrase",
        "EDITOR": "ed",
    }
    shown(tmp_path / "out", environ)
    _, env, _, _ = seen(tmp_path)
    assert (env["LESS"], env["LV"], env["EDITOR"]) == ("FRX", "-c", "ed")
    assert not [name for name in env if name.startswith("RAPTCHAT_")]

    shown(tmp_path / "out", {**environ, "LESS": "S"})
    assert seen(tmp_path)[1]["LESS"] == "S"


@pytest.mark.parametrize(
    "pager",
    ["", " ", "cat", "no-such-pager", "/", "/dev/null", "'unbalanced", "less\0"],
)
def test_without_a_pager_the_text_stands_there(tmp_path: Path, pager: str) -> None:
    assert shown(tmp_path / "out", {"PAGER": pager, "PATH": os.environ["PATH"]}) == "page\n"


def test_without_less_the_text_stands_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert shown(tmp_path / "out", {}) == "page\n"


@pytest.mark.parametrize(("keyboard", "repaints"), [(False, True), (True, False)])
def test_nobody_who_could_not_turn_a_page_gets_a_pager(
    pager: Path, tmp_path: Path, *, keyboard: bool, repaints: bool
) -> None:
    terminal = replace(on_file(tmp_path / "out"), in_is_tty=keyboard, repaints=repaints)
    with terminal.out, paged(terminal, {"PAGER": shlex.quote(str(pager))}) as page:
        assert page is terminal


def test_what_is_no_real_terminal_gets_the_text() -> None:
    terminal = Terminal.recorded(is_tty=True)
    with paged(terminal, {"PAGER": "tr a b"}) as page:
        page.write("aaa")

    assert isinstance(terminal.out, io.StringIO)
    assert terminal.out.getvalue() == "aaa"


def test_nothing_is_paged_where_nothing_was_written_or_something_went_wrong(pager: Path, tmp_path: Path) -> None:
    terminal = on_file(tmp_path / "out")
    environ = {"PAGER": shlex.quote(str(pager))}
    with terminal.out:
        with paged(terminal, environ) as page:
            page.say("nothing is there")
        with suppress(KeyError), paged(terminal, environ) as page:
            page.write("half a page")
            raise KeyError

    assert not (tmp_path / "seen").exists()
    assert (tmp_path / "out").read_text() == ""


def test_a_pager_that_is_quit_early_ends_quietly(tmp_path: Path) -> None:
    assert (
        shown(tmp_path / "out", {"PAGER": "head -n 1", "PATH": os.environ["PATH"]}, "line\n" * 500_000) == "line\n"
    )


def test_ctrl_c_is_heard_again_afterwards(pager: Path, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    shown(tmp_path / "out", {"PAGER": shlex.quote(str(pager))})

    assert signal.getsignal(signal.SIGINT) == before


def test_characters_that_the_terminal_lacks_do_not_end_the_page(pager: Path, tmp_path: Path) -> None:
    terminal = replace(Terminal.recorded(is_tty=True), out=(tmp_path / "out").open("w", encoding="ascii"))
    with terminal.out, paged(terminal, {"PAGER": shlex.quote(str(pager))}) as page:
        page.write("café\n")

    assert (tmp_path / "out").read_text() == "CAF?\n"


def test_a_page_is_drawn_in_the_encoding_of_the_terminal(tmp_path: Path) -> None:
    with (
        (tmp_path / "out").open("w", encoding="ascii") as out,
        paged(replace(Terminal.recorded(is_tty=True), out=out), {"PAGER": "less"}) as page,
    ):
        assert encoding_of(page.out) == "ascii"
        assert not can_show("█", page.out)


@pytest.fixture
def long_session(biology: Run) -> str:
    """What the title of a session begins with whose transcript is longer than a screen."""
    biology(["chat", "-m", "demo/echo", "".join(f"line {number}\n\n" for number in range(MANY))])
    return "line 0"


def less(**more: str) -> dict[str, str]:
    return environment(PAGER="less", LESS="RX", **more)


def session_id(biology: Run) -> str:
    return biology("sessions list").out.partition("\t")[0]


def test_a_person_turns_the_pages_of_a_session_and_quits(biology: Run, long_session: str) -> None:
    with AtTerminal("sessions", "show", session_id(biology), env=less()) as terminal:
        first = terminal.until(PROMPT)
        terminal.keys("G")
        terminal.until(f"line {MANY - 1}")
        terminal.until("(END)")
        terminal.keys("q")
        terminal.ends(0)

    assert long_session in first
    assert f"line {MANY - 1}" not in first


def test_ctrl_c_is_for_the_pager(biology: Run, long_session: str, tmp_path: Path) -> None:
    script = tmp_path / "patient"
    script.write_text(
        "import signal, sys\n"
        "signal.signal(signal.SIGINT, lambda *_: print('heard', flush=True))\n"
        "print('ready', flush=True)\n"
        "open('/dev/tty').readline()\n"
        "sys.stdin.read()\n"
    )
    env = environment(PAGER=shlex.join([sys.executable, str(script)]))
    with AtTerminal("sessions", "list", env=env) as terminal:
        terminal.until("ready")
        terminal.keys("\x03")
        terminal.until("heard")
        terminal.keys("\r")
        terminal.ends(0)


def test_a_pager_that_ctrl_c_ends_is_the_end_of_it(biology: Run, long_session: str) -> None:
    env = environment(
        PAGER=shlex.join([sys.executable, "-c", "import time; print('ready', flush=True); time.sleep(60)"])
    )
    with AtTerminal("sessions", "show", session_id(biology), env=env) as terminal:
        terminal.until("ready")
        terminal.keys("\x03")
        terminal.ends(0)


def test_a_short_list_is_shown_without_a_page_to_turn(biology: Run, long_session: str) -> None:
    env = {name: value for name, value in less().items() if name not in {"LESS", "PAGER"}}
    with AtTerminal("sessions", "list", env=env) as terminal:
        terminal.ends(0)
        assert any(long_session in line for line in terminal.screen())


@pytest.mark.parametrize("words", [("--json",), ()])
def test_a_script_is_never_shown_a_pager(biology: Run, long_session: str, words: tuple[str, ...]) -> None:
    with AtTerminal("sessions", "list", *words, env=environment(PAGER="tr a-z A-Z")) as terminal:
        terminal.ends(0)

    assert (long_session in terminal.said) == bool(words)


def test_sigterm_takes_the_pager_along(biology: Run, long_session: str) -> None:
    with AtTerminal("sessions", "show", session_id(biology), env=less()) as terminal:
        terminal.until(PROMPT)
        terminal.signal(signal.SIGTERM)
        terminal.ends(143)
