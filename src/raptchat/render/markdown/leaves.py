"""The blocks that hold text: paragraphs, headings, code and formulas (CommonMark 0.31, section 4).

Each takes its lines one after another and returns what is finished, as lines in a column. A piece of a line longer
than 500 characters comes in its own call. A block keeps no text that it has returned, and a copy of it is
independent of it: what is unfinished is drawn with a copy.
"""

from typing import TYPE_CHECKING, Protocol

from rich.text import Text

from raptchat.render.markdown.inline import inline, settled
from raptchat.render.markdown.page import Column

if TYPE_CHECKING:
    from raptchat.render.markdown.highlight import State

_INDENT = "  "
# Characters that take no cell would never fill a row, and it would be laid out again with each that comes.
_LONGEST_ROW = 2_000


class Leaf(Protocol):
    """A block that holds text and no other block."""

    def add(self, line: str, column: Column) -> list[Text]:
        """Take the next line, without what belongs to the blocks around it; return what is finished."""

    def extend(self, piece: str, column: Column) -> list[Text]:
        """Take the next piece of the line before; return what is finished."""

    def end(self, column: Column) -> list[Text]:
        """Return what is left."""


class Paragraph:
    """Text that is wrapped. Of a long one the lines go out whose meaning no later text can change."""

    def __init__(self, text: str) -> None:
        self._text = text
        # The beginning of the line that was not full when the text before was cut off.
        self._begun = Text()
        self._is_cut = False

    def add(self, line: str, column: Column) -> list[Text]:
        """Take the next line."""
        return self.extend(f"\n{line}", column)

    def extend(self, piece: str, column: Column) -> list[Text]:
        """Take the next piece of the line."""
        self._text += piece
        finished: list[Text] = []
        while size := settled(self._text):
            whole = self._begun.copy().append_text(inline(self._text[:size]))
            *lines, begun = column.wrapped(whole)
            finished += lines
            if len(begun) > _LONGEST_ROW:
                finished.append(begun)
                begun = Text()
            if whole.plain.endswith(" ") and begun:
                begun.append(" ")
            self._text, self._begun, self._is_cut = self._text[size:], begun, True
        return finished

    def end(self, column: Column) -> list[Text]:
        """Return the lines that are left."""
        whole = self._begun.copy().append_text(inline(self._text.rstrip()))
        return column.wrapped(whole) if whole else []

    def as_heading(self, level: int) -> "Heading | None":
        """What it becomes when it is underlined; `None` if a part of it has gone out already."""
        return None if self._is_cut else Heading(self._text, level)

    def split_last_line(self) -> tuple["Paragraph | None", str]:
        """What stands above the last line, and that line, which is empty if a part of it has gone out already."""
        above, newline, last = self._text.rpartition("\n")
        if not newline:
            return (self, "") if self._is_cut else (None, last)
        shorter = Paragraph(above)
        shorter._begun, shorter._is_cut = self._begun, self._is_cut
        return shorter, last


class Heading(Paragraph):
    """A line of its own; the first level stands in the middle."""

    def __init__(self, text: str, level: int) -> None:
        super().__init__(text)
        self._level = level

    def extend(self, piece: str, column: Column) -> list[Text]:
        """Take the next piece of the line."""
        return self._styled(super().extend(piece, column), column)

    def end(self, column: Column) -> list[Text]:
        """Return the lines that are left."""
        return self._styled(super().end(column), column)

    def _styled(self, lines: list[Text], column: Column) -> list[Text]:
        for line in lines:
            line.stylize_before(f"markdown.h{self._level}")
            if self._level == 1:
                line.align("center", column.width)
        return lines


class Code:
    """Lines as they are, in the colours of *language* and set in by two cells."""

    def __init__(self, language: str = "") -> None:
        self._language = language
        self._state: State | None = None

    def add(self, line: str, column: Column) -> list[Text]:
        """Take the next line, which is finished at once."""
        width = column.width - len(_INDENT)
        return [Text(_INDENT).append_text(part) for part in column.page.wrapped(self._text(line), width)]

    def extend(self, piece: str, column: Column) -> list[Text]:
        """Take the next piece of the line, which is a line for the colours and the page."""
        return self.add(piece, column)

    def end(self, column: Column) -> list[Text]:  # noqa: ARG002 - every line was finished
        """Return nothing."""
        return []

    def _text(self, line: str) -> Text:
        if not self._language:
            return Text(line)
        # Pygments is loaded for the first code in a language.
        from raptchat.render.markdown.highlight import State, highlighted

        text, self._state = highlighted(line, self._language, self._state or State())
        return text


class Fence(Code):
    """Code between two fences of *mark*, the first of them indented by *indent* cells."""

    def __init__(self, mark: str, info: str, indent: int) -> None:
        super().__init__(info.split(maxsplit=1)[0] if info else "")
        self._mark = mark
        self._indent = indent

    def is_closed_by(self, line: str) -> bool:
        """Whether *line* is the second fence."""
        mark = line.strip(" ")
        is_fence = len(mark) >= len(self._mark) and not mark.strip(self._mark[0])
        return is_fence and not line.startswith("    ")

    def add(self, line: str, column: Column) -> list[Text]:
        """Take the next line, indented as the fence."""
        indent = min(self._indent, len(line) - len(line.lstrip(" ")))
        return super().add(line[indent:], column)


class IndentedCode(Code):
    """Code set in by four spaces; empty lines belong to it when more code follows."""

    def __init__(self) -> None:
        super().__init__()
        self._empty = 0

    def skip(self) -> None:
        """Take an empty line."""
        self._empty += 1

    def add(self, line: str, column: Column) -> list[Text]:
        """Take the next line of code."""
        above, self._empty = [Text() for _ in range(self._empty)], 0
        return [*above, *super().add(line, column)]


class Formula:
    """A formula of LaTeX on lines of its own, as it was written; *closing* ends it."""

    def __init__(self, closing: str) -> None:
        self._closing = closing

    def is_closed_by(self, line: str) -> bool:
        """Whether *line* is the last."""
        return self._closing in line

    def add(self, line: str, column: Column) -> list[Text]:
        """Take the next line, which is finished at once."""
        return column.wrapped(Text(line))

    def extend(self, piece: str, column: Column) -> list[Text]:
        """Take the next piece of the line, which is a line on the page."""
        return self.add(piece, column)

    def end(self, column: Column) -> list[Text]:  # noqa: ARG002 - every line was finished
        """Return nothing."""
        return []
