"""A reply as Markdown (CommonMark 0.31, with tables, strikethrough and formulas), written while it arrives.

What is finished is written once and stays: `blocks` reads the reply line by line and says what that is. Its
unfinished end is painted below, at most fifteen times a second, and painted over by `tail`. The rows depend on the
text alone, so the end is the same however it was cut into pieces, and whether anything was painted.

HTML and link references are text; links and images show their URL.
"""

import time
from collections.abc import Callable

from raptchat.outside import safe
from raptchat.render import Terminal
from raptchat.render.markdown.blocks import Blocks
from raptchat.render.markdown.page import Page
from raptchat.render.markdown.tail import Tail
from raptchat.render.writers import Writer

_SECONDS_BETWEEN_PAINTINGS = 1 / 15
# Painting takes at most a fifth of the time.
_REST_PER_PAINTING = 4


class MarkdownWriter(Writer):
    """Finished rows once, and the unfinished end repainted where the terminal can do that."""

    def __init__(self, terminal: Terminal, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._terminal = terminal
        self._clock = clock
        self._pieces: list[str] = []
        self._page = Page(terminal)
        self._blocks = Blocks(self._page)
        self._tail = Tail(terminal)
        self._due = clock()

    def text(self, text: str) -> None:
        """Take the next piece; from time to time write what it finished."""
        self._pieces.append(text)
        begun = self._clock()
        if begun < self._due:
            return
        blocks = self._read()
        tail = blocks.preview() if self._terminal.repaints else []
        self._write(blocks, tail)
        now = self._clock()
        self._due = now + max(_SECONDS_BETWEEN_PAINTINGS, (now - begun) * _REST_PER_PAINTING)

    def rest(self) -> float:
        """How many seconds nothing is painted yet, whatever comes."""
        return self._due - self._clock()

    def erase(self) -> None:
        """Take the unfinished end off the screen until the next painting."""
        self._tail.erase()

    def end(self) -> None:
        """Write the unfinished end as what it has become."""
        try:
            blocks = self._read()
            blocks.end()
        except BaseException:
            self._tail.leave()
            raise
        self._write(blocks, [])

    def _read(self) -> Blocks:
        self._page.measure()
        blocks = self._blocks.copy()
        blocks.read(safe("".join(self._pieces)))
        return blocks

    def _write(self, blocks: Blocks, tail: list[str]) -> None:
        # Only now, and all at once: Ctrl-C while it is drawn loses nothing.
        self._pieces, self._blocks = [], blocks
        self._tail.write(blocks.rows, tail)
