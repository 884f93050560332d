"""A reply as Markdown (CommonMark 0.31, with tables, strikethrough and formulas), written while it arrives.

What is finished is written once and stays: `blocks` reads the reply line by line and says what that is. Its
unfinished end is painted below, at most fifteen times a second, and painted over by `tail`. The rows depend on the
text alone, so the end is the same however it was cut into pieces, and whether anything was painted.

HTML and link references are text; links and images show their URL.

What draws a page takes longer to load than a model takes for some words: it is loaded once the first are on the
screen.
"""

import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from raptchat.outside import safe
from raptchat.render import Terminal
from raptchat.render.markdown.tail import Tail
from raptchat.render.writers import Writer

if TYPE_CHECKING:
    from raptchat.render.markdown.blocks import Blocks

_PLAIN_WORDS = re.compile(r"[^\W\d_][^\\`*_~\[<&$|\n]*")

_SECONDS_BETWEEN_PAINTINGS = 1 / 15
# Painting takes at most a fifth of the time.
_REST_PER_PAINTING = 4


class MarkdownWriter(Writer):
    """Finished rows once, and the unfinished end repainted where the terminal can do that."""

    def __init__(self, terminal: Terminal, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._terminal = terminal
        self._clock = clock
        self._pieces: list[str] = []
        self._blocks: Blocks | None = None
        self._tail = Tail(terminal)
        self._due = clock()

    def text(self, text: str) -> None:
        """Take the next piece; from time to time write what it finished."""
        self._pieces.append(text)
        begun = self._clock()
        if begun < self._due or self._is_empty():
            return
        if self._blocks is None:
            self._tail.write([], self._first_words())
            self._blocks = self._begin()
            begun = self._clock()  # to load is not to paint
        blocks = self._read(self._blocks)
        tail = blocks.preview() if self._terminal.repaints else []
        self._write(blocks, tail)
        now = self._clock()
        self._due = now + max(_SECONDS_BETWEEN_PAINTINGS, (now - begun) * _REST_PER_PAINTING)

    def remainder(self, text: str) -> None:
        """Take all that there still is, which is written at the end."""
        self._pieces.append(text)

    def rest(self) -> float:
        """How many seconds nothing is painted yet, whatever comes."""
        return self._due - self._clock()

    def erase(self) -> None:
        """Take the unfinished end off the screen until the next painting."""
        self._tail.erase()

    def end(self) -> None:
        """Write the unfinished end as what it has become."""
        if self._is_empty():
            return
        try:
            blocks = self._read(self._blocks or self._begin())
            blocks.end()
        except BaseException:
            self._tail.leave()
            raise
        self._write(blocks, [])

    def _is_empty(self) -> bool:
        return self._blocks is None and not any(self._pieces)

    def _first_words(self) -> list[str]:
        """The row that the text begins with, up to its first markup, which takes more to be drawn."""
        words = _PLAIN_WORDS.match(safe("".join(self._pieces)))
        if words is None:
            return []
        row, width = words[0], self._terminal.size_now().columns
        if len(row) > width:
            row = row[:width].rpartition(" ")[0] or row[:width]
        return [row.rstrip(" ")]

    def _begin(self) -> "Blocks":
        from raptchat.render.markdown.blocks import Blocks
        from raptchat.render.markdown.page import Page

        return Blocks(Page(self._terminal))

    def _read(self, begun: "Blocks") -> "Blocks":
        blocks = begun.copy()
        blocks.page.measure()
        blocks.read(safe("".join(self._pieces)))
        return blocks

    def _write(self, blocks: "Blocks", tail: list[str]) -> None:
        # Only now, and all at once: Ctrl-C while it is drawn loses nothing.
        self._pieces, self._blocks = [], blocks
        self._tail.write(blocks.rows, tail)
