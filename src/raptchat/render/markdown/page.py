"""The page that a reply is written on: how wide it is, its styles and signs, and rows as a terminal takes them."""

import io
from dataclasses import astuple, dataclass

from rich.color import ColorSystem
from rich.style import Style
from rich.text import Text

from raptchat.render import Terminal, can_show
from raptchat.render.drawing import console

_SYSTEMS = {
    "standard": ColorSystem.STANDARD,
    "256": ColorSystem.EIGHT_BIT,
    "truecolor": ColorSystem.TRUECOLOR,
}


@dataclass(frozen=True, slots=True)
class Signs:
    """What is drawn beside the text: before an item, beside a quote, and under the head of a table."""

    bullet: str
    bar: str
    line: str


# On less nothing can be laid out; the terminal then wraps the lines itself.
_NARROWEST = 20
_SIGNS = Signs("•", "▌", "─")
_ASCII_SIGNS = Signs("*", "|", "-")


class Page:
    """The width in cells, the styles and the signs of *terminal*."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self.width = terminal.width
        self.signs = _SIGNS if can_show("".join(astuple(_SIGNS)), terminal.out) else _ASCII_SIGNS
        self._colors = terminal.out_colors and _SYSTEMS[terminal.out_colors]
        self._console = console(io.StringIO(), width=self.width, colors=terminal.out_colors)

    def measure(self) -> None:
        """Take the width that the terminal has now: its window may have been resized."""
        self.width = max(self._terminal.size_now().columns, _NARROWEST)

    def wrapped(self, text: Text, width: int) -> list[Text]:
        """The lines of *text* in *width* cells, broken between words where that is possible."""
        lines = text.wrap(self._console, width)
        for line in lines:
            line.rstrip()
        return list(lines)

    def row(self, line: Text) -> str:
        """*line* with the escape sequences of its styles (SGR), and no others."""
        if self._colors is None or not (line.spans or line.style):
            return line.plain.rstrip()
        line.rstrip()
        return "".join(
            segment.style.render(segment.text, color_system=self._colors)
            if isinstance(segment.style, Style)
            else segment.text
            for segment in line.render(self._console)
        )


@dataclass(frozen=True, slots=True)
class Column:
    """The part of a page that one block is laid out in: *width* cells between its margins."""

    page: Page
    width: int

    def wrapped(self, text: Text) -> list[Text]:
        """The lines of *text* in this column."""
        return self.page.wrapped(text, self.width)
