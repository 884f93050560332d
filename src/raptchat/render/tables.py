"""Lists and single things: a table for a person, separated values or one JSON document for a script.

At a terminal the columns are aligned under a header. Into a pipe a list is tab-separated lines without a header,
as `gh` has it, so that `cut` and `sort` work as they stand; a cell holds no tab and no newline. What is not known
is `-`, `null` in JSON and empty in CSV.
"""

import csv
import io
import json
import re
from collections.abc import Collection, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from raptchat.outside import for_pipe, safe_line
from raptchat.render import Terminal
from raptchat.render.formats import UNKNOWN

if TYPE_CHECKING:
    from rich.table import Table

Row = Sequence[str | None]

# Columns narrower than this fold names into towers of letters; rows are then shown one under the other.
_NARROWEST_COLUMN = 6

# What spreadsheet programs take for the beginning of a formula (OWASP, "CSV Injection").
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")


def table(
    terminal: Terminal,
    columns: Sequence[str],
    rows: Sequence[Row],
    *,
    empty: str,
    numeric: Collection[str] = (),
) -> None:
    """Write *rows*; the columns named in *numeric* are aligned to the right. Without rows *empty* is said."""
    if not rows:
        terminal.say(empty)
    elif not terminal.out_is_tty:
        terminal.write("".join("\t".join(map(_cell, row)) + "\n" for row in rows))
    elif len(columns) * _NARROWEST_COLUMN > terminal.width:
        for number, row in enumerate(rows):
            terminal.write("\n" if number else "")
            fields(terminal, list(zip(columns, row, strict=True)))
    else:
        _draw_table(terminal, columns, rows, numeric)


def fields(terminal: Terminal, pairs: Sequence[tuple[str, str | None]]) -> None:
    """Write one thing: each name and its value on a line; tab-separated into a pipe."""
    if not terminal.out_is_tty:
        terminal.write("".join(f"{_cell(name)}\t{_cell(value)}\n" for name, value in pairs))
        return
    from rich.table import Table

    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    _write_rows(terminal, grid, pairs)


def document(terminal: Terminal, value: object) -> None:
    """Write *value* as one JSON document of ASCII characters; a `Decimal` is a string of digits."""
    terminal.write(json.dumps(value, indent=2, default=_digits, allow_nan=False) + "\n")


def csv_rows(terminal: Terminal, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Write a header and *rows* as CSV (RFC 4180); a cell that a spreadsheet would run gets a `'` in front."""
    page = io.StringIO()
    writer = csv.writer(page)
    clean = safe_line if terminal.out_is_tty else for_pipe
    for row in [columns, *rows]:
        writer.writerow([_unlike_formula(clean(cell)) if cell is not None else "" for cell in row])
    terminal.write(page.getvalue())


def _draw_table(terminal: Terminal, columns: Sequence[str], rows: Sequence[Row], numeric: Collection[str]) -> None:
    from rich.table import Table
    from rich.text import Text

    sheet = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in columns:
        sheet.add_column(Text(safe_line(name)), justify="right" if name in numeric else "left", overflow="fold")
    _write_rows(terminal, sheet, rows)


def _write_rows(terminal: Terminal, sheet: "Table", rows: Sequence[Row]) -> None:
    from rich.text import Text

    from raptchat.render.drawing import drawn

    for row in rows:
        sheet.add_row(*(Text(_cell(cell)) for cell in row))
    terminal.write(drawn(sheet, width=terminal.width, colors=terminal.out_colors, stream=terminal.out))


def _cell(text: str | None) -> str:
    return UNKNOWN if text is None else safe_line(text)


def _unlike_formula(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) and not _NUMBER.fullmatch(cell) else cell


def _digits(value: object) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    raise TypeError(f"not a value of a JSON document: {type(value).__name__}")
