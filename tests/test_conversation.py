"""A conversation at a real terminal: what its keys, its signals and its screen do."""

import os
import re
import signal
import stat
import termios
from pathlib import Path
from typing import Any

import pytest
from conftest import Run, environment, rows
from processes import AtTerminal

from raptchat.demo import DEMO_KEY, DemoGateway
from raptchat.render.group_color import color_of

pytestmark = pytest.mark.process

# The line editor says so to the terminal whenever it begins and ends to read: from here on a paste is one.
READY, TAKEN = "\x1b[?2004h", "\x1b[?2004l"


class Talk(AtTerminal):
    """`raptchat chat` at a terminal, where the line editor is ready."""

    def __init__(self, *words: str, **more: Any) -> None:
        super().__init__("chat", *words, **more)
        self.before = termios.tcgetattr(self._mine)
        self.introduction = self.until(READY)

    def says(self, line: str) -> str:
        """Type *line* and Enter; what was written until the next line could be typed."""
        self.keys(f"{line}\r")
        self.until(TAKEN)
        return self.until(READY)

    def leaves(self, exit_code: int = 0) -> str:
        """Type Ctrl-D; what was written until the end."""
        self.keys("\x04")
        return self.ends(exit_code)

    def is_as_before(self) -> bool:
        """Whether the terminal's modes are those of the beginning."""
        return termios.tcgetattr(self._mine) == self.before

    def hang_up(self) -> None:
        """Close the terminal, as its window is closed."""
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, self._mine)
        os.close(nothing)


def test_a_conversation_remembers_what_was_said_and_has_the_groups_colour(
    biology: Run, gateway: DemoGateway, home: Path
) -> None:
    with Talk(env=environment(COLORTERM="truecolor")) as terminal:
        terminal.says("What is osmosis?")
        terminal.says("And why?")
        terminal.leaves()
        assert terminal.is_as_before()

    payer = f"biology (chosen by the only group) · {DEMO_KEY[:8]}...{DEMO_KEY[-4:]}"
    assert f"{payer} · ~anthropic/claude-haiku-latest · vault: file" in terminal.introduction
    assert "Ctrl-D leaves" in terminal.introduction
    assert [message["role"] for message in gateway.requests[-1].body["messages"]] == ["user", "assistant", "user"]
    assert rows(home, "SELECT count(*) FROM sessions") == [(1,)]
    assert rows(home, "SELECT seq, state FROM messages") == [(n, "complete") for n in (1, 2, 3, 4)]
    [(group_id,)] = rows(home, "SELECT id FROM groups")
    red, green, blue = bytes.fromhex(color_of(group_id)[1:])
    assert f"\x1b[0;38;2;{red};{green};{blue};1mbiology> " in terminal.said


def test_a_session_goes_on_and_what_is_attached_from_the_start_goes_with_the_first_message(
    biology: Run, gateway: DemoGateway, home: Path, tmp_path: Path
) -> None:
    biology("chat before")
    (tmp_path / "notes.txt").write_text("the notes")
    with Talk("-c", "-a", "notes.txt", "-m", "demo/echo") as terminal:
        assert "notes.txt (text/plain, 9 bytes)" in terminal.introduction
        terminal.says("what is this?")
        terminal.says("and now?")
        terminal.leaves()

    before, _, first, _, last = gateway.requests[-1].body["messages"]
    assert before["content"] == "before"
    assert "the notes" in str(first)
    assert "the notes" not in str(last)
    assert rows(home, "SELECT count(*) FROM sessions") == [(1,)]


def test_the_screen_is_what_a_person_expects(biology: Run) -> None:
    with Talk("-q", "-m", "demo/echo") as terminal:
        terminal.says("one")
        terminal.keys("two\x1b\rthree\r")
        terminal.until(TAKEN)
        terminal.until(READY)
        terminal.leaves()
        lines = terminal.screen()

    # prompt_toolkit's own way to leave would draw the last line in this grey.
    assert "38;5;102" not in terminal.said
    assert lines == ["biology> one", "one", "", "biology> two", "  three", "two three", "", "biology>"]


def test_a_narrow_terminal_loses_nothing(biology: Run) -> None:
    with Talk("-q", "-m", "demo/echo", columns=20, lines=60) as terminal:
        terminal.says("the quick brown fox jumps over the lazy dog")
        terminal.leaves()
        page = "".join("".join(terminal.screen()).split())

    assert page == f"biology>{2 * 'thequickbrownfoxjumpsoverthelazydog'}biology>"


@pytest.mark.parametrize("private", [(), ("--private",)])
def test_a_reply_that_is_stopped_before_it_begins_is_not_said_to_be_kept(
    biology: Run, private: tuple[str, ...]
) -> None:
    biology("chat before")
    with Talk("-m", "demo/keepalives", *private) as terminal:
        terminal.keys("hello\r")
        terminal.until("the gateway is working on it")
        terminal.keys("\x03")
        assert "stopped; nothing had arrived" in terminal.until(READY)
        terminal.leaves()


@pytest.mark.parametrize("private", [(), ("--private",)])
def test_ctrl_c_in_mid_reply_stops_the_reply_and_not_the_conversation(
    biology: Run, gateway: DemoGateway, home: Path, private: tuple[str, ...]
) -> None:
    with Talk("-m", "demo/endless", *private) as terminal:
        terminal.keys("count\r")
        terminal.until("20 21")
        terminal.keys("\x03")
        terminal.until("stopped; what had arrived is kept · cost not known yet")
        terminal.until(READY)
        assert "from now on demo/echo" in terminal.says("/model demo/echo")
        terminal.says("go on")
        terminal.leaves()
        assert terminal.is_as_before()

    # What is private is in no history either.
    files = b"".join(file.read_bytes() for file in home.rglob("*") if file.is_file())
    assert (b"go on" in files) is not bool(private)
    first, part, second = gateway.requests[-1].body["messages"]
    assert (first["content"], second["content"]) == ("count", "go on")
    assert part["content"].startswith("1 2 3 ")
    states = [state for (state,) in rows(home, "SELECT state FROM messages ORDER BY seq")]
    assert states == ([] if private else ["complete", "incomplete", "complete", "complete"])
    assert rows(home, "SELECT count(*) FROM ai_usage") == [(2,)]


def test_what_is_typed_while_a_reply_comes_waits_for_the_next_prompt_and_for_enter(
    biology: Run, gateway: DemoGateway
) -> None:
    with Talk("-q", "-m", "demo/slow") as terminal:
        terminal.keys("hello\r")
        terminal.until("One")
        terminal.keys("typed\rahead\r")
        terminal.until(READY)
        terminal.until("ahead")
        assert len(gateway.requests) == 1
        lines = [line.partition("  $")[0].rstrip() for line in terminal.screen()]
        assert lines == ["biology> hello", "One word after the other", "", "biology> typed", "  ahead"]
        terminal.keys("\x03")
        terminal.leaves()


def test_the_prompt_has_the_name_that_the_group_has_now(biology: Run) -> None:
    with Talk("-q", "-m", "demo/echo") as terminal:
        biology("group rename biology cells")
        assert "the group `biology` is called `cells` now" in terminal.says("hello")
        terminal.until("cells> ")
        terminal.leaves()


def test_ctrl_c_clears_a_line_and_then_says_how_to_leave(biology: Run, gateway: DemoGateway) -> None:
    with Talk() as terminal:
        terminal.keys("half a li")
        terminal.until("half a li")
        terminal.keys("\x03\x03")
        terminal.until(TAKEN)
        assert "Ctrl-D or /exit leaves" in terminal.until(READY)
        terminal.signal(signal.SIGINT)
        assert "Ctrl-D or /exit leaves" in terminal.until(READY)
        terminal.keys("/exit\r")
        terminal.ends(0)

    assert gateway.requests == []


@pytest.mark.parametrize(("number", "typed"), [(signal.SIGTERM, "half a line"), (signal.SIGHUP, "")])
def test_a_signal_that_ends_leaves_the_terminal_as_it_was(
    biology: Run, number: signal.Signals, typed: str
) -> None:
    with Talk() as terminal:
        terminal.keys(typed)
        terminal.until(typed)
        terminal.signal(number)
        assert "terminated" in terminal.ends(128 + number)
        assert terminal.is_as_before()
        assert TAKEN in terminal.said

    assert "Traceback" not in terminal.said


def test_sigterm_in_mid_reply_keeps_the_part_and_leaves_the_terminal_as_it_was(biology: Run, home: Path) -> None:
    with Talk("-m", "demo/endless") as terminal:
        terminal.keys("count\r")
        terminal.until("20 21")
        terminal.signal(signal.SIGTERM)
        terminal.ends(143)
        assert terminal.is_as_before()

    assert rows(home, "SELECT state FROM messages ORDER BY seq") == [("complete",), ("incomplete",)]


@pytest.mark.parametrize(("handler", "exit_code"), [(signal.SIG_DFL, 129), (signal.SIG_IGN, 0)])
def test_a_terminal_that_is_closed_ends_it(biology: Run, handler: signal.Handlers, exit_code: int) -> None:
    before = signal.signal(signal.SIGHUP, handler)
    try:
        terminal = Talk()
    finally:
        signal.signal(signal.SIGHUP, before)
    with terminal:
        terminal.hang_up()
        assert terminal._process.wait(30) == exit_code


def test_a_paste_of_fifty_lines_is_one_message_and_vi_keys_are_a_setting(biology: Run, home: Path) -> None:
    biology("config set editing_mode vi")
    pasted = "\n".join(["/exit", *(f"line {number} \x1b[2J" for number in range(50)), "/exit"])
    with Talk("-m", "demo/echo", lines=70) as terminal:
        terminal.keys(f"\x1b[200~{pasted}\x1b[201~")
        terminal.until("line 49")
        assert rows(home, "SELECT count(*) FROM messages") == [(0,)]
        terminal.says("")
        terminal.keys("one two")
        terminal.until("two")
        terminal.says("\x1bbcwthree")
        terminal.leaves()

    assert rows(home, "SELECT content FROM messages WHERE role = 'user'") == [(pasted,), ("one three",)]
    assert "\x1b[2J" not in terminal.said


def test_tab_completes_and_the_editor_opens_with_what_was_typed(
    biology: Run, gateway: DemoGateway, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("the notes")
    editor = """sh -c 'printf " in the editor" >> "$0"'"""
    with Talk("-m", "demo/echo", env=environment(EDITOR=editor)) as terminal:
        terminal.keys("/sy\t")
        terminal.until("stem")
        terminal.keys("\x15/s\t")
        terminal.until("the group's last sessions")
        terminal.keys("\t")
        terminal.until("/system")
        terminal.keys("\r")
        assert "no system prompt" in terminal.says("")
        terminal.keys("/attach no\t")
        terminal.until("tes.txt")
        assert "notes.txt (text/plain, 9 bytes)" in terminal.says("")
        terminal.says("/detach")
        terminal.keys("half\x18\x05")
        terminal.until("half in the editor")
        assert gateway.requests == []
        terminal.says(" and here")
        terminal.leaves()

    assert gateway.requests[-1].body["messages"][-1]["content"] == "half in the editor and here"


def test_the_months_spend_stands_at_the_right_of_the_prompt(biology: Run) -> None:
    with Talk("-m", "demo/echo", env=environment(NO_COLOR="1")) as terminal:
        assert "this month" not in terminal.introduction
        terminal.says("hello")
        terminal.keys("x")
        terminal.until("x")
        assert re.search(r"^biology> x +\$0\.\d{6} this month$", "\n".join(terminal.screen()), re.MULTILINE)
        terminal.keys("\x03")
        terminal.leaves()

    assert "this month" not in "\n".join(terminal.screen())
    assert not re.search(r"\x1b\[[0-9;]*[34]8?;?[0-9;]*m(?=biology)", terminal.said)


@pytest.mark.parametrize("locale", ["C.UTF-8", "C"])
def test_what_is_no_text_does_not_end_a_conversation(biology: Run, gateway: DemoGateway, locale: str) -> None:
    with Talk(env=environment(LC_ALL=locale, PYTHONCOERCECLOCALE="0")) as terminal:
        assert "not UTF-8" in terminal.says("/system a\udce9 b")
        assert "not UTF-8" in terminal.says("a\udce9 b")
        terminal.says("hello")
        terminal.leaves()

    assert "Traceback" not in terminal.said
    assert gateway.requests[-1].body["messages"][-1]["content"] == "hello"


def test_the_history_is_the_groups_own_and_private(biology: Run, home: Path) -> None:
    for line in ("what was asked", "\x1b[A"):
        with Talk("-m", "demo/echo") as terminal:
            terminal.says(line)
            terminal.leaves()

    [(group_id,)] = rows(home, "SELECT id FROM groups")
    [file] = (home / "history").iterdir()
    assert file.name == group_id
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert file.read_text() == '"what was asked"\n'
    assert rows(home, "SELECT content FROM messages WHERE role = 'user'") == [("what was asked",)] * 2


def test_a_group_without_history_has_none_of_its_lines_either(biology: Run, home: Path) -> None:
    biology("group set biology --no-history")
    with Talk("-m", "demo/echo") as terminal:
        assert "what was asked" in terminal.says("what was asked")
        terminal.leaves()

    assert not list(home.glob("history/*"))
    assert rows(home, "SELECT count(*) FROM sessions") == [(0,)]


def test_a_group_that_is_removed_during_its_conversation_does_not_end_it(
    biology: Run, gateway: DemoGateway, home: Path
) -> None:
    with Talk() as asked, Talk() as silent:
        asked.says("hello")
        biology("group remove biology --yes")
        for terminal in (asked, silent):
            assert re.search("the group `biology` was removed meanwhile", terminal.says("hello again"))
            assert "/exit" in terminal.says("/help")
            terminal.leaves()

    assert len(gateway.requests) == 1
    assert not list(home.glob("history/*"))


def test_a_dumb_terminal_gets_no_escape_sequence(biology: Run, gateway: DemoGateway, home: Path) -> None:
    with AtTerminal("chat", "-m", "demo/echo", env=environment(TERM="dumb")) as terminal:
        for line in ('"""one\r\rtwo"""', "/copy", "/undo"):
            terminal.until("biology> ")
            terminal.keys(f"{line}\r")
        terminal.until("biology> ")
        terminal.keys("\x03")
        # CPython's `input` may see the signal with the next key only.
        terminal.keys("\r")
        terminal.until("Ctrl-D or /exit leaves")
        terminal.keys("\x04")
        terminal.ends(0)

    assert "\x1b" not in terminal.said
    assert "this terminal has no clipboard" in terminal.said
    assert [request.body["messages"][-1]["content"] for request in gateway.requests] == ["one\n\ntwo"]
    assert not list(home.glob("history/*"))
