"""Lists and single things: a table for a person, separated values or one JSON document for a script.

At a terminal the columns are aligned under a header. Into a pipe a list is tab-separated lines without a header,
as `gh` has it, so that `cut` and `sort` work as they stand; a cell holds no tab and no newline. What is not known
is `-`, `null` in JSON and empty in CSV.
"""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import chain, islice
from typing import TypeVar

from raptchat.outside import for_pipe, safe_line
from raptchat.render import Terminal
from raptchat.render.formats import UNKNOWN

Row = Sequence[str | None]

T = TypeVar("T")

# Where spreadsheet programs begin a formula, also in full width, and behind what some of them, as set up for other
# countries, take for the end of a cell (OWASP, "CSV Injection").
_FORMULA = "^(?=[=+@\t\r\n\uff1d\uff0b\uff0d\uff20-])|(?<=[;\t\r\n])(?=[=+@\uff1d\uff0b\uff0d\uff20-])"
_NUMBER = r"[+-]?[0-9]+(\.[0-9]+)?"
# How many rows are written at once of what may have any number of them.
_AT_ONCE = 1_000


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


def documents(terminal: Terminal, values: Iterable[object]) -> None:
    """Write *values* as `document` writes a list, a part at a time: there may be any number of them."""
    before = "[\n"
    for some in parts(values):
        texts = (json.dumps(value, indent=2, default=_digits, allow_nan=False) for value in some)
        terminal.write(f"{before}  " + ",\n  ".join(text.replace("\n", "\n  ") for text in texts))
        before = ",\n"
    terminal.write("[]\n" if before == "[\n" else "\n]\n")


def csv_rows(terminal: Terminal, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Write a header and *rows* as CSV (RFC 4180); what a spreadsheet would run gets a `'` in front.

    They are written a part at a time: there may be any number of them.
    """
    import csv
    import io

    clean = safe_line if terminal.out_is_tty else for_pipe
    for some in parts(chain([columns], rows)):
        page = io.StringIO()
        writer = csv.writer(page)
        for row in some:
            writer.writerow([_unlike_formula(clean(cell)) if cell is not None else "" for cell in row])
        terminal.write(page.getvalue())


def parts(values: Iterable[T]) -> Iterator[list[T]]:
    """*values*, so many at once as are written at once."""
    rest = iter(values)
    while some := list(islice(rest, _AT_ONCE)):
        yield some


def _cell(text: str | None) -> str:
    return UNKNOWN if text is None else safe_line(text)


def _unlike_formula(cell: str) -> str:
    return cell if cell.isalnum() or re.fullmatch(_NUMBER, cell) else re.sub(_FORMULA, "'", cell)


def _digits(value: object) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    raise TypeError(f"not a value of a JSON document: {type(value).__name__}")
