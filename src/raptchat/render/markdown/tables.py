"""Tables (GitHub Flavored Markdown, section 4.10): their columns are as wide as the first rows want them.

So a row goes out when the next one begins, however many follow; a longer cell further down goes on in the next
line. A cell that has no column is kept, in the last one.
"""

import re
from itertools import zip_longest

from rich.cells import cell_len
from rich.text import Text

from raptchat.render.markdown.inline import inline
from raptchat.render.markdown.page import Column

_MEASURED_ROWS = 20
_MEASURED_CHARACTERS = 4_000
_LONGEST_ROW = 2_000
# Where more rows follow than were measured, a cell may be a little longer: 100 below 99.
_SPARE = 4
_NARROWEST = 4
_MARGIN = " "
_GAP = "  "

_BAR = re.compile(r"(?<!\\)\|")
_DELIMITERS = re.compile(r"[|:-][|: -]+")
_DELIMITER = re.compile(r":?-+:?")


def table(head: str, delimiters: str) -> "Table | None":
    """The table that a line and the line of *delimiters* below it begin; `None` if they begin none."""
    if "|" not in head or not _DELIMITERS.fullmatch(delimiters) or delimiters.startswith("- "):
        return None
    marks = delimiters.strip().removeprefix("|").removesuffix("|").split("|")
    names = _cells(head)
    if len(names) != len(marks) or not all(_DELIMITER.fullmatch(mark.strip(" ")) for mark in marks):
        return None
    return Table(names, [(mark.strip(" ")[0] == ":", mark.strip(" ")[-1] == ":") for mark in marks])


def _cells(row: str) -> list[str]:
    cells = [cell.strip(" ").replace("\\|", "|") for cell in _BAR.split(row.strip(" "))]
    if not cells[0]:
        cells.pop(0)
    if cells and not cells[-1]:
        cells.pop()
    return cells


class Table:
    """Rows of cells under a row of *names*; *alignments* say on which sides a column has a colon."""

    def __init__(self, names: list[str], alignments: list[tuple[bool, bool]]) -> None:
        self._alignments = alignments
        self._rows: tuple[tuple[Text, ...], ...] = (self._parsed(names),)
        self._characters = 0
        # What each column would take if there was room, once that is known.
        self._wanted: tuple[int, ...] = ()
        self._row: str | None = None

    def add(self, line: str, column: Column) -> list[Text]:
        """Take the next row; return the rows that are finished."""
        finished = self._finish_row(column)
        self._row = line
        return finished

    def extend(self, piece: str, column: Column) -> list[Text]:
        """Take the next piece of the row; a monstrous one is several."""
        row = self._row or ""
        if len(row) > _LONGEST_ROW:
            return self.add(piece, column)
        self._row = row + piece
        return []

    def end(self, column: Column) -> list[Text]:
        """Return the rows that are left."""
        return [*self._finish_row(column), *self._finish_measuring(column)]

    def _finish_row(self, column: Column) -> list[Text]:
        if self._row is None:
            return []
        row, self._row = self._parsed(_cells(self._row)), None
        if self._wanted:
            return self._lines(row, column)
        self._rows += (row,)
        self._characters += sum(map(len, row))
        if len(self._rows) <= _MEASURED_ROWS and self._characters <= _MEASURED_CHARACTERS:
            return []
        return self._finish_measuring(column, spare=_SPARE)

    def _finish_measuring(self, column: Column, *, spare: int = 0) -> list[Text]:
        if self._wanted:
            return []
        names, *rows = self._rows
        self._rows = ()
        self._wanted = tuple(spare + max(1, *map(_width, cells)) for cells in zip(names, *rows, strict=True))
        head = tuple(name.copy() for name in names)
        for name in head:
            name.stylize_before("bold")
            name.stylize_before("markdown.table.header")
        lines = self._lines(head, column)
        if widths := self._widths(column):
            rule = column.page.signs.line * (sum(widths) + len(_GAP) * (len(widths) - 1))
            lines.append(Text().append(_MARGIN + rule, "markdown.table.border"))
        return [*lines, *(line for row in rows for line in self._lines(row, column))]

    def _parsed(self, cells: list[str]) -> tuple[Text, ...]:
        last = len(self._alignments) - 1
        cells = [*cells[:last], " | ".join(cells[last:]), *[""] * (last - len(cells))]
        return tuple(inline(cell) for cell in cells)

    def _widths(self, column: Column) -> list[int]:
        """What the columns get of the page: narrow ones what they want, the others a like share; or nothing."""
        count = len(self._wanted)
        room = column.width - len(_MARGIN) - len(_GAP) * (count - 1)
        if room < count * _NARROWEST:
            return []
        share = room
        for index, wanted in enumerate(sorted(self._wanted)):
            share = room // (count - index)
            if wanted > share:
                break
            room -= wanted
        return [min(wanted, max(share, _NARROWEST)) for wanted in self._wanted]

    def _lines(self, row: tuple[Text, ...], column: Column) -> list[Text]:
        widths = self._widths(column)
        if not widths:
            return column.wrapped(Text(" | ").join(row))
        parts = [
            [cell] if _fits(cell, width) else column.page.wrapped(cell, width)
            for cell, width in zip(row, widths, strict=True)
        ]
        return [self._line(line, widths) for line in zip_longest(*parts, fillvalue=Text())]

    def _line(self, parts: tuple[Text, ...], widths: list[int]) -> Text:
        line, empty = Text(), len(_MARGIN)
        for part, width, (left, right) in zip(parts, widths, self._alignments, strict=True):
            free = max(0, width - _width(part))
            before = free * right // (1 + left)
            line.append(" " * (empty + before)).append_text(part)
            empty = free - before + len(_GAP)
        return line


def _width(text: Text) -> int:
    return cell_len(text.plain)


def _fits(text: Text, width: int) -> bool:
    return "\n" not in text.plain and _width(text) <= width
