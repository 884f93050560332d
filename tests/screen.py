"""What a person sees: the lines that a terminal emulator holds after a text was written to it."""

import io
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import pyte

from raptchat.render import Terminal

_HISTORY = 100_000
_ATOM = re.compile(r"\x1b\[(?P<mode>\?\d+)?(?P<number>[\d;]*)(?P<name>[A-Za-z])|\n|\r|[^\x1b\n\r]+")
# At a joiner or a variation selector pyte drops the rest of the text.
WITHOUT_CELL = re.compile("[\u200b-\u200f\u2060-\u2064\ufe00-\ufe0f]")


class Clock:
    """A clock that is set by hand, and that each look sets *step* seconds on."""

    def __init__(self, now: float = 0.0, *, step: float = 0.0) -> None:
        self.now = now
        self._step = step

    def __call__(self) -> float:
        self.now += self._step
        return self.now


class Recording(io.StringIO):
    """What is written, and in which writes."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []

    def write(self, text: str) -> int:
        self.writes.append(text)
        return super().write(text)


def one_screen(width: int = 80, height: int = 24) -> Terminal:
    """A terminal whose two streams go to the same screen."""
    terminal = Terminal.recorded(is_tty=True, width=width, height=height)
    return replace(terminal, err=terminal.out)


def error_of(terminal: Terminal) -> str:
    """What was written to its standard error."""
    assert isinstance(terminal.err, io.StringIO)
    return terminal.err.getvalue()


def shown(text: str, *, width: int = 80, height: int = 24) -> list[str]:
    """The lines in the scrollback and on the screen, without the empty ones at the end."""
    screen = CroppingScreen(width, height)
    screen.feed(text)
    return screen.shown()


def plain(text: str) -> str:
    """*text* without its escape sequences."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


@dataclass(frozen=True)
class Window(Terminal):
    """A terminal that keeps what is written to it, in a window that can be resized to the last of *sizes*."""

    sizes: list[tuple[int, int]] = field(default_factory=list)

    def size_now(self) -> os.terminal_size:
        """The last of the sizes."""
        return os.terminal_size(self.sizes[-1] if self.sizes else (self.width, self.height))


class Screen(Protocol):
    """A terminal in a window that can be resized."""

    def feed(self, text: str) -> None:
        """Show *text*."""

    def resize(self, width: int, height: int) -> None:
        """Have this size from now on."""

    def shown(self) -> list[str]:
        """The lines in the scrollback and on the screen, without the empty ones at the end."""


class CroppingScreen:
    """As xterm: what has no room in a smaller window is cut off, or moves into the scrollback."""

    def __init__(self, width: int, height: int) -> None:
        self._screen = pyte.HistoryScreen(width, height, history=_HISTORY, ratio=0.5)
        self._stream = pyte.Stream(self._screen)

    def feed(self, text: str) -> None:
        """Show *text*."""
        # The terminal driver's part (ONLCR): a newline also returns the carriage.
        self._stream.feed(WITHOUT_CELL.sub("", text).replace("\n", "\r\n"))

    def resize(self, width: int, height: int) -> None:
        """Have this size from now on; pyte's own way would lose lines at the top."""
        screen = self._screen
        for y in range(screen.cursor.y, height - 1, -1):
            screen.cursor.y = screen.lines - 1
            screen.index()
            screen.cursor.y = y - 1
        for y in [y for y in screen.buffer if y >= height]:
            del screen.buffer[y]
        for line in screen.buffer.values():
            for x in [x for x in line if x >= width]:
                del line[x]
        screen.lines, screen.columns = height, width
        screen.set_margins()

    def shown(self) -> list[str]:
        """The lines in the scrollback and on the screen, without the empty ones at the end."""
        rows = [self._screen.buffer[y] for y in range(self._screen.lines)]
        return _trimmed([_text(row) for row in [*self._screen.history.top, *rows]])


class ReflowingScreen:
    """As VTE, kitty or tmux: lines too long for a narrower window are wrapped, and made whole in a wider one.

    It knows text of one cell a character, and what this program writes. Its window must hold what is repainted.
    """

    def __init__(self, width: int, height: int) -> None:
        self._width, self._height = width, height
        self._lines = [""]
        self._line = self._column = 0
        self._wraps = True

    def feed(self, text: str) -> None:
        """Show *text*."""
        for atom in _ATOM.finditer(text):
            match atom[0], atom["name"], atom["mode"]:
                case "\n", _, _:
                    self._down()
                case "\r", _, _:
                    self._column -= self._column % self._width
                case _, "A", _:
                    self._up(int(atom["number"]))
                case _, "J", _:
                    self._lines[self._line :] = [self._lines[self._line][: self._column]]
                case _, "K", _:
                    self._erase_row()
                case _, "h" | "l", "?7":
                    self._wraps = atom["name"] == "h"
                case _, None, _:
                    self._put(atom[0])

    def resize(self, width: int, height: int) -> None:
        """Have this size from now on; the cursor stays where it is in the text."""
        self._width, self._height = width, height

    def shown(self) -> list[str]:
        """The lines as they were written."""
        return _trimmed(self._lines)

    def _put(self, text: str) -> None:
        line = self._lines[self._line].ljust(self._column)
        room = self._width - self._column % self._width
        if not self._wraps and len(text) > room:
            text = text[: room - 1] + text[-1]
        end = self._column + len(text)
        self._lines[self._line] = line[: self._column] + text + line[end:]
        self._column = end if self._wraps or len(text) < room else end - 1

    def _erase_row(self) -> None:
        line = self._lines[self._line]
        end = (self._column // self._width + 1) * self._width
        self._lines[self._line] = f"{line[: self._column]}{' ' * self._width if line[end:] else ''}{line[end:]}"

    def _down(self) -> None:
        length = len(self._lines[self._line])
        # Behind the last cell of a row the cursor is still in that row.
        row = (self._column - (self._column == length > 0)) // self._width
        if (row + 1) * self._width < length:
            self._column = (row + 1) * self._width
            return
        self._line, self._column = self._line + 1, 0
        if self._line == len(self._lines):
            self._lines.append("")

    def _up(self, rows: int) -> None:
        for _ in range(rows):
            if self._column >= self._width:
                self._column -= self._width
            else:
                self._line -= 1
                self._column = max(0, len(self._lines[self._line]) - 1) // self._width * self._width
        assert sum(max(0, len(line) - 1) // self._width + 1 for line in self._lines[self._line :]) <= self._height


def _text(line: Mapping[int, Any]) -> str:
    return "".join(line[x].data for x in range(max(line, default=-1) + 1))


def _trimmed(lines: list[str]) -> list[str]:
    text = "\n".join(line.rstrip() for line in lines).rstrip("\n")
    return text.split("\n") if text else []
