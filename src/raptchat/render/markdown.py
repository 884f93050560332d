"""A reply as Markdown (CommonMark 0.31, with tables and strikethrough), written while it arrives.

What is finished is written once and stays: every top-level block but the last, since a later line can only change
the last one (CommonMark, appendix, "Phase 1: block structure"). The last one, the tail, is painted below it, at
most ten times a second, and painted over. So the end is the same however the text was cut into pieces.

Two departures keep that true and lose no character: link reference definitions are text, because one may come
after the block that uses it; and HTML is text. Links and images show their URL.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import ClassVar

from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich.console import Console, ConsoleOptions, JustifyMethod, RenderableType, RenderResult
from rich.markdown import CodeBlock, Markdown, MarkdownElement, TableDataElement, TableElement
from rich.syntax import Syntax
from rich.text import Text

from raptchat.outside import safe
from raptchat.render import Terminal
from raptchat.render.drawing import drawn
from raptchat.render.writers import Writer

_PARSER = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"]).disable("reference")

_SECONDS_BETWEEN_PAINTINGS = 0.1
# A long tail costs more to paint; painting then takes at most a fifth of the time.
_REST_PER_PAINTING = 4

# The parser drops what is nested more deeply than ten lists, and every level takes some cells from the line.
_DEEPEST = 8
_CELLS_PER_LEVEL = 8
_NARROWEST_TABLE_COLUMN = 4

_CONTAINERS = {"blockquote", "ul", "ol"}

# Cursor to the first painted line, erase to the end of the screen; and lines that do not wrap (ECMA-48 CUU and
# ED, DEC DECAWM): where terminal and rich disagree about the width of a character, a line stays one line.
_BACK = "\r\x1b[{}A\x1b[J"
_UNWRAPPED = "\x1b[?7l{}\x1b[?7h"


class MarkdownWriter(Writer):
    """Finished blocks once, and the tail repainted where the terminal can do that."""

    def __init__(self, terminal: Terminal, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._terminal = terminal
        self._clock = clock
        self._repaints = terminal.repaints and terminal.height > 3
        self._pieces: list[str] = []
        self._above: Block | None = None
        self._painted = 0
        self._due = clock()

    def text(self, text: str) -> None:
        """Take the next piece; from time to time write what it finished."""
        self._pieces.append(safe(text))
        begun = self._clock()
        if begun < self._due:
            return
        self._advance()
        now = self._clock()
        self._due = now + max(_SECONDS_BETWEEN_PAINTINGS, (now - begun) * _REST_PER_PAINTING)

    def end(self) -> None:
        """Write the tail as what it has become."""
        blocks = _blocks("".join(self._pieces))
        self._write(self._draw(blocks, below=self._above), [])
        self._pieces.clear()

    def _advance(self) -> None:
        tail = "".join(self._pieces)
        # Half a line can look like a block of its own (`*` before `*bold*`): only whole ones finish anything.
        blocks = _blocks(tail[: tail.rfind("\n") + 1])
        finished = blocks[:-1]
        if finished:
            tail = "\n".join(tail.split("\n")[blocks[-1].line :])
        text = self._draw(finished, below=self._above)
        above = finished[-1] if finished else self._above
        painting = self._draw(_blocks(tail), below=above) if self._repaints else ""
        # Only now, and all at once: Ctrl-C while it is drawn loses nothing.
        self._pieces, self._above = [tail], above
        # One line is left for the cursor, so that the first painted line can always be reached again.
        self._write(text, painting.splitlines(keepends=True)[2 - self._terminal.height :])

    def _draw(self, blocks: "Sequence[Block]", *, below: "Block | None") -> str:
        terminal, text = self._terminal, ""
        for block in blocks:
            page = drawn(
                block.renderable(terminal.width),
                width=terminal.width,
                colors=terminal.out_colors,
                stream=terminal.out,
            )
            # rich puts an empty line after a rule, and before a list even if nothing is above it.
            gap = "" if below is None or below.is_rule else "\n"
            text += gap + (page if block.is_code else page.lstrip("\n"))
            below = block
        return text

    def _write(self, text: str, painting: list[str]) -> None:
        back = _BACK.format(self._painted) if self._painted else ""
        self._painted = len(painting)
        tail = _UNWRAPPED.format("".join(painting)) if painting else ""
        if back or text or tail:
            self._terminal.write(back + text + tail)


@dataclass(frozen=True, slots=True)
class Block:
    """One top-level block: the line it begins at, its source, and what the parser made of it."""

    line: int
    source: str
    tokens: Sequence[Token]

    @property
    def is_rule(self) -> bool:
        """Whether it is a thematic break."""
        return self.tokens[0].type == "hr"

    @property
    def is_code(self) -> bool:
        """Whether its empty lines are its own."""
        return self.tokens[0].type in {"fence", "code_block"}

    def renderable(self, width: int) -> RenderableType:
        """What rich lays out in *width* cells; nested too deeply for that, it is the source as it stands."""
        if _depth(self.tokens) > min(_DEEPEST, width // _CELLS_PER_LEVEL):
            return Text(self.source)
        return _Page(self.tokens)


def _blocks(text: str) -> list[Block]:
    tokens = _PARSER.parse(text)
    lines = text.split("\n")
    starts = [index for index, token in enumerate(tokens) if token.level == 0 and token.nesting >= 0]
    blocks: list[Block] = []
    for start, end in pairwise([*starts, len(tokens)]):
        begin, until = tokens[start].map or (0, 0)
        blocks.append(Block(begin, "\n".join(lines[begin:until]), tokens[start:end]))
    return blocks


def _depth(tokens: Sequence[Token]) -> int:
    return max(accumulate(token.nesting if token.tag in _CONTAINERS else 0 for token in tokens))


class _Code(CodeBlock):
    """A code block in the terminal's own colours, set in by two cells."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Syntax(
            str(self.text).removesuffix("\n"),
            self.lexer_name,
            theme="ansi_dark",
            word_wrap=True,
            padding=(0, 2),
        )


class _TableCell(TableDataElement):
    """A cell whose long words go on in the next line instead of ending in an ellipsis."""

    def __init__(self, justify: JustifyMethod) -> None:
        super().__init__(justify)
        self.content.overflow = "fold"


class _Table(TableElement):
    """A table; with more columns than the width has room for, its rows as they were written."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        parts = [part for part in (self.header and [self.header.row], self.body and self.body.rows) if part]
        rows = [row.cells for part in parts for row in part if row is not None]
        if max(map(len, rows)) * _NARROWEST_TABLE_COLUMN <= options.max_width:
            yield from super().__rich_console__(console, options)
            return
        for cells in rows:
            yield Text(" | ").join(cell.content for cell in cells)


class _Page(Markdown):
    """Tokens that were parsed here, drawn by elements that lose nothing."""

    elements: ClassVar[dict[str, type[MarkdownElement]]] = {
        **Markdown.elements,
        "fence": _Code,
        "code_block": _Code,
        "table_open": _Table,
        "td_open": _TableCell,
        "th_open": _TableCell,
    }

    def __init__(self, tokens: Sequence[Token]) -> None:
        super().__init__("", hyperlinks=False)
        self.parsed = [_cleaned(token) for token in tokens]


def _cleaned(token: Token) -> Token:
    # Once more, after the parser: an entity (`&#x202e;`) stood for a character that nobody has seen yet.
    attrs = {name: safe(value) if isinstance(value, str) else value for name, value in token.attrs.items()}
    children = list(_readable(token.children)) if token.children else token.children
    return token.copy(content=safe(token.content), attrs=attrs, children=children)


def _readable(tokens: Sequence[Token]) -> Iterator[Token]:
    """Inline *tokens* with titles as text and images as links; a URL that is its own text is no link."""
    titles: list[str] = []
    for token in map(_cleaned, tokens):
        match token.type:
            case "image":
                yield Token("link_open", "a", 1, attrs={"href": token.attrs["src"]})
                yield from token.children or [Token("text", "", 0, content="image")]
                yield Token("link_close", "a", -1)
                yield from _title(token.attrs.get("title"))
            case "link_open" | "link_close" if token.info == "auto":
                pass
            case "link_open":
                titles.append(str(token.attrs.get("title", "")))
                yield token
            case "link_close":
                yield token
                yield from _title(titles.pop())
            case _:
                yield token


def _title(title: object) -> Iterator[Token]:
    if title:
        yield Token("text", "", 0, content=f" “{title}”")
