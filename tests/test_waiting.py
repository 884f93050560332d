"""While nothing of a reply came: what is said of it on standard error, and that nothing of that is left."""

import io
import os
import signal
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pyte
import pytest
from conftest import Run, environment, rows
from hypothesis import given, settings
from hypothesis import strategies as st
from processes import AtTerminal
from rich.cells import split_graphemes
from screen import Clock, error_of, one_screen, shown

from raptchat.records import Progress
from raptchat.render import Terminal
from raptchat.render.region import Region, cut
from raptchat.render.terminal_modes import modes_restored
from raptchat.render.waiting import Waiting


def lines_of(terminal: Terminal) -> list[str]:
    return shown(error_of(terminal), width=terminal.width, height=terminal.height)


def cells(text: str) -> int:
    """The cells that *text* takes, an emoji sequence those of one character."""
    return split_graphemes(text)[1]


def test_it_is_seen_while_it_is_there_and_leaves_what_was_above() -> None:
    terminal = one_screen()
    region = Region(terminal)
    terminal.say("above")

    region.paint(["one", "two", "three"])
    assert lines_of(terminal) == ["above", "one", "two", "three"]
    region.paint(["four"])
    assert lines_of(terminal) == ["above", "four"]
    region.erase()
    terminal.say("below")

    assert lines_of(terminal) == ["above", "below"]


@settings(max_examples=60, deadline=None, database=None)
@given(
    width=st.sampled_from([1, 2, 20, 40, 80]),
    height=st.sampled_from([1, 2, 5, 24]),
    paintings=st.lists(st.lists(st.text("ab 核é👩\u200d🔬", max_size=100), max_size=8), max_size=4),
)
def test_whatever_is_painted_nothing_is_left(width: int, height: int, paintings: list[list[str]]) -> None:
    terminal = one_screen(width, height)
    region = Region(terminal)
    terminal.say("a", "b")

    for lines in paintings:
        region.paint(lines)
    region.erase()
    terminal.say("c")

    assert lines_of(terminal) == ["a", "b", "c"]


def test_the_cursor_rests_on_its_first_line_so_that_a_folded_window_changes_nothing() -> None:
    terminal = one_screen()
    screen = pyte.Screen(80, 24)
    region = Region(terminal)
    terminal.say("above")

    region.paint(["x" * 200, "y" * 200, "z"])
    pyte.Stream(screen).feed(error_of(terminal).replace("\n", "\r\n"))

    assert (screen.cursor.y, screen.cursor.x) == (1, 0)
    assert screen.mode & {pyte.modes.DECAWM}


def test_it_takes_the_size_that_the_window_has_now() -> None:
    terminal = one_screen(80, 24)
    mine, theirs = os.openpty()
    with os.fdopen(mine, "rb", buffering=0) as seen, os.fdopen(theirs, "w") as stream:
        region = Region(replace(terminal, out=stream, err=stream))
        for columns, lines in [(80, 24), (30, 3), (200, 50)]:
            termios.tcsetwinsize(stream.fileno(), (lines, columns))
            region.paint(["x" * 300] * 60)
            painted = seen.read(100_000).decode()
            while painted.count("x") < (columns - 1) * (lines - 1):
                painted += seen.read(100_000).decode()
            assert painted.count("x") == (columns - 1) * (lines - 1)


def test_without_colours_it_has_none() -> None:
    coloured, plain = one_screen(), replace(one_screen(), err_colors=None)
    for terminal in (coloured, plain):
        Region(terminal).paint(["hello", ""])

    assert "\x1b[2mhello\x1b[22m\n" in error_of(coloured)
    assert "m" not in error_of(plain).replace("hello", "")


class Stderr(io.StringIO):
    """A stream with a descriptor."""

    def fileno(self) -> int:
        return 2


def test_a_process_in_the_background_leaves_the_terminal_to_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    err = Stderr()
    region = Region(replace(Terminal.recorded(is_tty=True), err=err))

    monkeypatch.setattr(os, "tcgetpgrp", lambda _: os.getpgrp() + 1)
    region.paint(["hello"])
    assert err.getvalue() == ""

    monkeypatch.setattr(os, "tcgetpgrp", lambda _: os.getpgrp())
    region.paint(["hello"])
    assert "hello" in (painted := err.getvalue())

    monkeypatch.setattr(os, "tcgetpgrp", lambda _: os.getpgrp() + 1)
    region.erase()
    assert err.getvalue() == painted


@settings(max_examples=100, deadline=None, database=None)
@given(line=st.text("ab 核é\u0301👩\u200d🔬\ufe0f", max_size=60), width=st.integers(1, 50))
def test_a_line_is_cut_by_cells(line: str, width: int) -> None:
    head = cut(line, width)

    assert line.startswith(head)
    assert cells(head) <= width
    assert head == line or cells(line) > width


class Painted(io.StringIO):
    """A stream that can be waited on."""

    def __init__(self) -> None:
        super().__init__()
        self._came = threading.Condition()

    def write(self, text: str) -> int:
        with self._came:
            count = super().write(text)
            self._came.notify_all()
        return count

    def wait_for(self, text: str) -> None:
        with self._came:
            assert self._came.wait_for(lambda: text in self.getvalue(), timeout=30)


@contextmanager
def waiting(terminal: Terminal, clock: Clock, *, quiet: bool = False) -> Iterator[Waiting]:
    with Waiting(terminal, host="gw.example", model="a/model", clock=clock, quiet=quiet) as opened:
        yield opened


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        ("connecting", "connecting to gw.example 3 s"),
        ("waiting", "waiting for a/model 3 s"),
        ("processing", "the gateway is working on it, waiting for a/model 3 s"),
    ],
)
def test_it_says_what_is_waited_for_and_for_how_long(stage: Progress, words: str) -> None:
    terminal, clock = one_screen(), Clock()
    with waiting(terminal, clock) as line:
        line.note("connecting")
        clock.now += 1.5
        line.note(stage)
        clock.now += 2
        line.paint()
        [seen] = lines_of(terminal)

    assert seen[1:] == f" {words}"
    assert lines_of(terminal) == []


def test_the_seconds_of_a_thought_are_its_own() -> None:
    terminal, clock = one_screen(), Clock()
    with waiting(terminal, clock) as line:
        line.note("waiting")
        clock.now += 60
        for _ in range(3):
            line.note("thinking")
            clock.now += 2
        line.paint()
        assert "thinking 6 s" in lines_of(terminal)[0]
        line.note("receiving")
        line.paint()
        assert "receiving the reply 1 min 6 s" in lines_of(terminal)[0]


def test_in_a_narrow_window_the_words_are_cut_and_not_the_seconds() -> None:
    terminal, clock = one_screen(width=20), Clock()
    with waiting(terminal, clock) as line:
        line.note("processing")
        clock.now += 71
        line.paint()
        assert lines_of(terminal) == ["⠋ the ga 1 min 11 s"]


def test_nothing_is_painted_before_there_is_something_to_wait_for() -> None:
    terminal = one_screen()
    with waiting(terminal, Clock()) as line:
        line.paint()

    assert error_of(terminal) == ""


def test_a_thread_of_its_own_paints_it_and_ends_with_it() -> None:
    terminal = one_screen()
    painted = Painted()
    with waiting(replace(terminal, err=painted), Clock()) as line:
        line.note("connecting")
        painted.wait_for("connecting")

    assert painted.getvalue().endswith("\r\x1b[J")
    assert shown(painted.getvalue()) == []


def test_a_note_stays_above_it() -> None:
    terminal, clock = one_screen(), Clock()
    with waiting(terminal, clock) as line:
        line.note("connecting")
        line.paint()
        line.say("busy\x1b[2J")
        line.note("pausing")
        line.paint()
        assert [one.lstrip("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏") for one in lines_of(terminal)] == [
            "busy␛[2J",
            " waiting to try again 0 s",
        ]

    assert lines_of(terminal) == ["busy␛[2J"]


@pytest.mark.parametrize("why", ["quiet", "dumb", "pipe"])
def test_where_nobody_looks_on_or_wants_to_nothing_is_painted(why: str) -> None:
    terminal = replace(one_screen(), err_repaints=why == "quiet")
    painted = Painted()
    with waiting(replace(terminal, err=painted), Clock(), quiet=why == "quiet") as line:
        line.note("connecting")
        assert line._thread is None
        line.say("a note")

    assert painted.getvalue() == "a note\n"


class Interrupting(io.StringIO):
    """A stream at which Ctrl-C comes while the line is erased."""

    def write(self, text: str) -> int:
        if text == "\r\x1b[J":
            signal.raise_signal(signal.SIGINT)
        return super().write(text)


@pytest.mark.parametrize("how", ["stop", "say"])
def test_ctrl_c_while_it_is_erased_comes_when_it_is_gone(how: str) -> None:
    terminal = replace(one_screen(), err=Interrupting())
    with waiting(terminal, Clock()) as line:
        line.note("connecting")
        line.paint()
        with pytest.raises(KeyboardInterrupt):
            line.stop() if how == "stop" else line.say("a note")
        assert lines_of(terminal) == ([] if how == "stop" else ["a note"])

    assert lines_of(terminal) == ([] if how == "stop" else ["a note"])


def test_once_stopped_it_stays_so() -> None:
    terminal = one_screen()
    with waiting(terminal, Clock()) as line:
        line.stop()
        line.note("connecting")
        assert line._thread is None


def test_names_do_not_act_on_the_terminal() -> None:
    terminal = one_screen()
    with Waiting(terminal, host="a\x1b[2J", model="b\nc") as line:
        for stage in ("connecting", "waiting", "processing"):
            line.note(stage)
            line.paint()

    assert "\x1b[2J" not in error_of(terminal)
    assert "b␊c" in error_of(terminal)


def test_an_ascii_terminal_gets_an_ascii_line() -> None:
    raw = io.BytesIO()
    terminal = replace(one_screen(), err=io.TextIOWrapper(raw, encoding="ascii", errors="strict"))
    with waiting(terminal, Clock()) as line:
        line.note("connecting")
        line.paint()

    assert b"| connecting to gw.example 0 s" in raw.getvalue()


def test_without_a_thread_to_be_had_nothing_is_painted(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_thread(*_: object, **__: object) -> int:
        raise RuntimeError("can't start new thread")

    terminal = one_screen()
    for name in ("_start_new_thread", "_start_joinable_thread"):
        if hasattr(threading, name):
            monkeypatch.setattr(threading, name, no_thread)
    with waiting(terminal, Clock()) as line:
        line.note("connecting")

    assert error_of(terminal) == ""


def test_in_the_background_the_modes_are_those_of_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    mine, theirs = os.openpty()

    def shows_what_is_typed() -> bool:
        return bool(termios.tcgetattr(mine)[3] & termios.ECHO)

    def stand(*, in_foreground: bool) -> None:
        monkeypatch.setattr(os, "tcgetpgrp", lambda _: os.getpgrp() + (not in_foreground))

    with os.fdopen(mine, "rb"), os.fdopen(theirs, "w") as stream:
        stand(in_foreground=False)
        with modes_restored(stream, echo=False):
            assert shows_what_is_typed()
        stand(in_foreground=True)
        with modes_restored(stream, echo=False):
            assert not shows_what_is_typed()
            with modes_restored(stream, echo=True):
                assert shows_what_is_typed()
            assert not shows_what_is_typed()
        assert shows_what_is_typed()
        with modes_restored(stream, echo=False):
            stand(in_foreground=False)
        assert not shows_what_is_typed()


PAYER = "biology (chosen by the only group)"


def without_payer(lines: list[str]) -> list[str]:
    """What is on the screen behind the line that says who pays, and the end of that."""
    rest = lines[next(at for at, line in enumerate(lines) if line.startswith(PAYER)) + 1 :]
    return [line for line in rest if not line.endswith("vault: file")]


@pytest.mark.parametrize(
    ("model", "words", "number", "said"),
    [
        ("demo/hang", " 0 s", signal.SIGTERM, "terminated"),
        (
            "demo/keepalives",
            "the gateway is working on it, waiting for demo/keepalives",
            signal.SIGINT,
            "interrupted",
        ),
    ],
)
def test_a_signal_while_waiting_leaves_not_one_cell_of_it(
    biology: Run, home: Path, model: str, words: str, number: signal.Signals, said: str
) -> None:
    with AtTerminal("chat", "-m", model, "hello", columns=120) as terminal:
        before = termios.tcgetattr(terminal._mine)
        terminal.until(words)
        assert not termios.tcgetattr(terminal._mine)[3] & termios.ECHO
        terminal.keys("typed meanwhile\r\r")
        terminal.until(words)
        if number is signal.SIGINT:
            terminal.keys("\x03")
        else:
            terminal.signal(number)
        terminal.ends(128 + number)
        assert termios.tcgetattr(terminal._mine) == before

    assert without_payer(terminal.screen()) == [f"raptchat: {said}"]
    # It may have cost something.
    assert rows(home, "SELECT count(*) FROM ai_usage") == [(1,)]


def test_a_timeout_while_waiting_leaves_only_the_error(biology: Run) -> None:
    with AtTerminal(
        "chat", "-m", "demo/hang", "--timeout", "0.5", "hello", columns=150, env=environment(AI_MAX_RETRIES="0")
    ) as terminal:
        before = termios.tcgetattr(terminal._mine)
        terminal.until(" 0 s")
        terminal.keys("\r")
        terminal.ends(75)
        assert termios.tcgetattr(terminal._mine) == before

    error, hint = without_payer(terminal.screen())
    assert error.startswith("raptchat: ")
    assert error.endswith("sent nothing for too long")
    assert hint.startswith("hint: ")


def test_tries_that_failed_are_said_and_nothing_else_stays(biology: Run) -> None:
    with AtTerminal("chat", "-m", "demo/flaky-1", "--plain", "hello", columns=120) as terminal:
        terminal.ends(0)
    lines = without_payer(terminal.screen())
    assert "trying again in 0 s" in lines[0]
    assert lines[1] == "## A reply from the demo gateway"

    with AtTerminal("chat", "-m", "demo/status-503", "-q", "hello", columns=120) as terminal:
        terminal.ends(69)
    assert [line.partition(" ")[0] for line in terminal.screen()] in (["raptchat:"], ["raptchat:", "hint:"])


def test_a_slow_reply_takes_the_place_of_the_line_where_there_is_one(biology: Run) -> None:
    slow = partial(AtTerminal, "chat", "-m", "demo/slow", "hello", columns=120)
    with (
        slow() as streamed,
        slow("--no-stream") as whole,
        slow("--plain", "-q") as quiet,
        slow("--plain", env=environment(TERM="dumb")) as dumb,
    ):
        whole.until("receiving the reply")
        for terminal in (streamed, whole):
            terminal.ends(0)
            assert without_payer(terminal.screen()) == ["One word after the other"]
        for terminal in (quiet, dumb):
            terminal.ends(0)
            assert "\x1b" not in terminal.said
            assert "waiting" not in terminal.said
            assert "One word after the other" in terminal.said
