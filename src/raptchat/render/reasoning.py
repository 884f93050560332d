"""What a model thinks before it answers, on standard error: hidden, folded to its last lines, or all of it."""

import time
from collections import deque
from collections.abc import Callable

from raptchat.outside import safe
from raptchat.render import Terminal
from raptchat.render.formats import duration
from raptchat.render.region import cut, dimmed
from raptchat.render.waiting import Waiting

_LINES = 4
# More than four lines of the widest terminal: what came before scrolls by unseen between two paintings.
_MOST_CHARACTERS = 4000
_TAB = "    "


class HiddenReasoning:
    """That it thinks is all that is shown. `end` is called once, before a part of the answer is written."""

    def __init__(self, waiting: Waiting) -> None:
        self._waiting = waiting

    def text(self, text: str) -> None:  # noqa: ARG002 - it is not shown here
        """Take the next piece."""
        self._waiting.note("thinking")

    def end(self) -> None:
        """Finish it."""


class WrittenReasoning(HiddenReasoning):
    """All of it, by *write*, also between the parts of the answer."""

    def __init__(self, waiting: Waiting, write: Callable[[str], None]) -> None:
        super().__init__(waiting)
        self._write = write

    def text(self, text: str) -> None:
        """Write it at once."""
        self._waiting.stop()
        self._write(text)


class FoldedReasoning(HiddenReasoning):
    """Its last lines while it comes, then one line with its length; what comes after `end` is not shown."""

    def __init__(
        self, terminal: Terminal, waiting: Waiting, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(waiting)
        self._tail = Tail()
        self._length = Length(terminal, clock)
        waiting.show_below(self._tail.lines)

    def text(self, text: str) -> None:
        """Take the next piece, for the next painting."""
        super().text(text)
        self._length.add(text)
        self._tail.add(text)

    def end(self) -> None:
        """Say how long it was."""
        self._length.say()


class ShownReasoning(HiddenReasoning):
    """All of it as it comes, then the line with its length if not *quiet*; nothing of what comes after `end`."""

    def __init__(
        self,
        terminal: Terminal,
        waiting: Waiting,
        *,
        quiet: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(waiting)
        self._terminal = terminal
        self._quiet = quiet
        self._length = Length(terminal, clock)
        self._ends_line = True
        self._ended = False

    def text(self, text: str) -> None:
        """Write it at once."""
        text = safe(text)
        if text and not self._ended:
            self._waiting.stop()
            self._length.add(text)
            self._terminal.write_error(dimmed(self._terminal, text))
            self._ends_line = text.endswith("\n")

    def end(self) -> None:
        """Leave the terminal at the beginning of a line."""
        self._ended = True
        if not self._ends_line:
            self._terminal.write_error("\n")
        if not self._quiet:
            self._length.say()


class Length:
    """How long it was thought, and how much."""

    def __init__(self, terminal: Terminal, clock: Callable[[], float]) -> None:
        self._terminal = terminal
        self._clock = clock
        self._characters = 0
        self._begun = self._last = 0.0

    def add(self, text: str) -> None:
        """Count the next piece."""
        self._last = self._clock()
        if not self._characters:
            self._begun = self._last
        self._characters += len(text)

    def say(self) -> None:
        """Say it in one line, if there was anything."""
        if self._characters:
            said = f"thought for {duration(self._last - self._begun)}, {self._characters:,} characters"
            self._terminal.write_error(dimmed(self._terminal, said) + "\n")


class Tail:
    """The last lines of a text that grows, folded to a width; one thread adds to it, another one looks."""

    def __init__(self) -> None:
        self._new: deque[str] = deque(maxlen=_MOST_CHARACTERS)
        self._lines: deque[str] = deque(maxlen=_LINES)
        self._line = ""
        self._width = 0

    def add(self, text: str) -> None:
        """Take the next piece; nothing is done with it until somebody looks."""
        if text:
            self._new.append(text[-_MOST_CHARACTERS:])

    def lines(self, width: int) -> list[str]:
        """The last lines, each at most *width* cells wide; empty ones are left out."""
        if width != self._width:
            self._width, before = width, [*self._lines]
            for line in before:
                self._extend(_folded(line, width))
        pieces = [self._new.popleft() for _ in range(len(self._new))]
        text = self._line + safe("".join(pieces)[-_MOST_CHARACTERS:]).replace("\t", _TAB)
        *whole, last = text.split("\n")
        for line in whole:
            self._extend(_folded(line, width))
        *folded, self._line = _folded(last, width)
        self._extend(folded)
        return [line for line in [*self._lines, self._line] if line.strip()][-_LINES:]

    def _extend(self, lines: list[str]) -> None:
        self._lines.extend(line for line in lines if line.strip())


def _folded(line: str, width: int) -> list[str]:
    """*line* in lines of at most *width* cells, between words where that is possible."""
    lines = []
    # Characters that take no cell may make a line shorter than it could be; never longer.
    while len(head := cut(line[: 4 * width], width)) < len(line):
        words = head if line[len(head)] == " " else head[: head.rfind(" ") + 1]
        lines.append(words if words.strip() else head or line[0])
        line = line[len(lines[-1]) :].lstrip(" ")
    return [*lines, line]
