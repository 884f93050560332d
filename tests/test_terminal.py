"""What a terminal is, decided from the process's streams and environment; and writing to it."""

import io
import os
import sys
import termios
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from raptchat.errors import AiNotConfiguredError, OutputError
from raptchat.render import Terminal, errors


class Screen(io.TextIOWrapper):
    """A real pseudo-terminal of 100 x 30 cells, to write on."""

    def __init__(self, *, columns: int = 100, lines: int = 30) -> None:
        self.other, mine = os.openpty()
        termios.tcsetwinsize(mine, (lines, columns))
        super().__init__(os.fdopen(mine, "wb", buffering=0), encoding="utf-8", write_through=True)

    def close(self) -> None:
        if not self.closed:
            os.close(self.other)
        super().close()


@pytest.fixture
def screen() -> Iterator[Screen]:
    with Screen() as screen:
        yield screen


def of(environ: Mapping[str, str]) -> Terminal:
    return Terminal.of_process({"TERM": "xterm-256color", **environ})


At = Callable[..., Terminal]


@pytest.fixture
def at_screen(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> At:
    """Where both streams are the screen, with these variables."""

    def at_screen(**environ: str) -> Terminal:
        # Not before the test runs: pytest has streams of its own until then.
        monkeypatch.setattr(sys, "stdout", screen)
        monkeypatch.setattr(sys, "stderr", screen)
        return of(environ)

    return at_screen


def test_a_terminal_is_measured(at_screen: At) -> None:
    terminal = at_screen()

    assert (terminal.width, terminal.height) == (100, 30)
    assert (terminal.out_is_tty, terminal.err_is_tty, terminal.repaints) == (True, True, True)


@pytest.mark.parametrize(
    ("environ", "size"),
    [
        ({"COLUMNS": "60", "LINES": "9"}, (60, 9)),
        ({"COLUMNS": "wide", "LINES": "-4"}, (100, 30)),
        ({"COLUMNS": "0"}, (100, 30)),
        ({"COLUMNS": "3"}, (20, 30)),
    ],
)
def test_columns_and_lines_win_if_they_are_numbers(
    at_screen: At, environ: Mapping[str, str], size: tuple[int, int]
) -> None:
    terminal = at_screen(**environ)

    assert (terminal.width, terminal.height) == size


def test_a_terminal_that_knows_no_size_has_the_usual_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with Screen(columns=0, lines=0) as unsized:
        monkeypatch.setattr(sys, "stdout", unsized)
        monkeypatch.setattr(sys, "stderr", io.StringIO())

        terminal = of({})

    assert (terminal.width, terminal.height) == (80, 24)


def test_with_stdout_in_a_pipe_the_screen_on_stderr_is_measured(
    screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr(sys, "stderr", screen)

    terminal = of({})

    assert (terminal.out_is_tty, terminal.err_is_tty, terminal.width) == (False, True, 100)
    assert (terminal.out_colors, terminal.err_colors) == (None, "256")


@pytest.mark.parametrize(
    ("environ", "colors", "repaints"),
    [
        ({}, "256", True),
        ({"TERM": "xterm"}, "standard", True),
        ({"COLORTERM": "truecolor"}, "truecolor", True),
        ({"NO_COLOR": "1"}, None, True),
        ({"NO_COLOR": ""}, "256", True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, None, True),
        ({"TERM": "dumb"}, None, False),
        ({"TERM": ""}, None, False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, "standard", False),
    ],
)
def test_the_environment_says_what_the_terminal_can(
    *, at_screen: At, environ: Mapping[str, str], colors: str | None, repaints: bool
) -> None:
    terminal = at_screen(**environ)

    assert (terminal.out_colors, terminal.err_colors, terminal.repaints) == (colors, colors, repaints)


def test_colours_can_be_forced_into_a_pipe_but_nothing_is_repainted_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())

    terminal = of({"FORCE_COLOR": "1"})

    assert (terminal.out_colors, terminal.repaints) == ("256", False)


def test_a_missing_stdout_is_an_error_when_it_is_written_and_a_missing_stderr_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    monkeypatch.setattr(sys, "stdin", None)

    terminal = of({})
    terminal.say("nobody hears this")

    assert (terminal.out_is_tty, terminal.err_is_tty, terminal.in_is_tty) == (False, False, False)
    with pytest.raises(OutputError, match="it is closed"):
        terminal.write("Hello")


def test_a_closed_stdout_is_an_error_when_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "out").open("w") as file:
        monkeypatch.setattr(sys, "stdout", file)
    terminal = of({})

    with pytest.raises(OutputError, match="it is closed"):
        terminal.write("Hello")


def test_a_locale_without_a_character_writes_a_question_mark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "out").open("w", encoding="ascii") as file:
        monkeypatch.setattr(sys, "stdout", file)
        of({}).write("café\n")

    assert (tmp_path / "out").read_bytes() == b"caf?\n"


def test_other_bugs_of_a_stream_are_not_hidden() -> None:
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        replace(Terminal.recorded(), out=Broken()).write("Hello")


def test_a_result_is_flushed_at_once(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as out, (tmp_path / "err").open("w") as err:
        terminal = replace(Terminal.recorded(), out=out, err=err)
        terminal.write("Hello")
        terminal.say("a\x1bnote")

        assert (tmp_path / "out").read_text() == "Hello"
        assert (tmp_path / "err").read_text() == "a␛note\n"


def test_each_line_of_a_note_is_an_argument_and_none_can_forge_another() -> None:
    terminal = Terminal.recorded()
    terminal.say("one", "two\nraptchat: forged\r\x1b[2J", "")

    assert isinstance(terminal.err, io.StringIO)
    assert terminal.err.getvalue() == "one\ntwo␊raptchat: forged␍␛[2J\n\n"


def test_a_broken_stderr_stops_nothing() -> None:
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    replace(Terminal.recorded(), err=Broken()).say("nobody hears this")


def test_a_frame_is_drawn_in_ascii_where_there_is_nothing_else(tmp_path: Path) -> None:
    with (tmp_path / "err").open("w", encoding="ascii") as err:
        terminal = replace(Terminal.recorded(is_tty=True), err=err, err_colors=None)
        errors.error(terminal, AiNotConfiguredError("no key", hint="raptchat group add-key biology"))

    assert (tmp_path / "err").read_text("ascii").startswith("+- AI is not configured for this group -")
