"""Lists and single things: a table for a person, separated values or one JSON document for a script.

At a terminal the columns are aligned under a header. Into a pipe a list is tab-separated lines without a header,
as `gh` has it, so that `cut` and `sort` work as they stand; a cell holds no tab and no newline. What is not known
is `-`, `null` in JSON and empty in CSV.
"""

import json
import re
from collections.abc import Collection, Sequence
from decimal import Decimal

from raptchat.outside import for_pipe, safe_line
from raptchat.render import Terminal
from raptchat.render.formats import UNKNOWN

Row = Sequence[str | None]

# What spreadsheet programs take for the beginning of a formula (OWASP, "CSV Injection").
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_NUMBER = r"[+-]?[0-9]+(\.[0-9]+)?"


def table(
    terminal: Terminal,
    columns: Sequence[str],
    rows: Sequence[Row],
    *,
    empty: str,
    numeric: Collection[str] = (),
) -> None:
    """Write *rows*; the columns named in *numeric* are aligned to the right. Without rows *empty* is said.

    Long cells are folded. Where even that does not fit, rows are shown one under the other.
    """
    if not rows:
        terminal.say(empty)
    elif not terminal.out_is_tty:
        terminal.write("".join("\t".join(map(_cell, row)) + "\n" for row in rows))
    else:
        from raptchat.render.columns import draw

        cells = [[safe_line(name) for name in columns], *([_cell(cell) for cell in row] for row in rows)]
        if draw(terminal, cells, [name in numeric for name in columns]):
            return
        for number, row in enumerate(rows):
            terminal.write("\n" if number else "")
            fields(terminal, list(zip(columns, row, strict=True)))


def id_cell(terminal: Terminal, id_: str) -> str:
    """An id in a table: its beginning, which names it as well, where a person reads it; whole for a script."""
    return id_[:8] if terminal.out_is_tty else id_


def fields(terminal: Terminal, pairs: Sequence[tuple[str, str | None]]) -> None:
    """Write one thing: each name and its value on a line; tab-separated into a pipe."""
    if not terminal.out_is_tty:
        terminal.write("".join(f"{_cell(name)}\t{_cell(value)}\n" for name, value in pairs))
        return
    from raptchat.render.columns import draw_pairs

    draw_pairs(terminal, [(_cell(name), _cell(value)) for name, value in pairs])


def document(terminal: Terminal, value: object) -> None:
    """Write *value* as one JSON document of ASCII characters; a `Decimal` is a string of digits."""
    terminal.write(json.dumps(value, indent=2, default=_digits, allow_nan=False) + "\n")


def csv_rows(terminal: Terminal, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Write a header and *rows* as CSV (RFC 4180); a cell that a spreadsheet would run gets a `'` in front."""
    import csv
    import io

    page = io.StringIO()
    writer = csv.writer(page)
    clean = safe_line if terminal.out_is_tty else for_pipe
    for row in [columns, *rows]:
        writer.writerow([_unlike_formula(clean(cell)) if cell is not None else "" for cell in row])
    terminal.write(page.getvalue())


def _cell(text: str | None) -> str:
    return UNKNOWN if text is None else safe_line(text)


def _unlike_formula(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) and not re.fullmatch(_NUMBER, cell) else cell


def _digits(value: object) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    raise TypeError(f"not a value of a JSON document: {type(value).__name__}")
