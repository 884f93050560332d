"""Rows in aligned columns, for a person; loaded only when a terminal is drawn on.

Not rich's own table, which takes seconds for thousands of rows: of their cells few need more than padding.
"""

import io
from collections.abc import Iterator, Sequence
from itertools import zip_longest

from rich.cells import cell_len
from rich.color import ColorSystem
from rich.style import Style
from rich.text import Text

from raptchat.render import Terminal
from raptchat.render.drawing import console

# Narrower columns would fold names into towers of letters, and days into pieces.
_NARROWEST = 10
_GAP = "  "
_BOLD = Style(bold=True)
_FOLDING = console(io.StringIO(), width=1, colors=None)


def draw(terminal: Terminal, rows: Sequence[Sequence[str]], right: Sequence[bool]) -> bool:
    """Write *rows*, the first of which is the header, each cell on one line of safe text; whether they fit.

    Long cells are folded. *right* says which columns are aligned to the right.
    """
    widths = _widths(rows, terminal.width)
    if widths is None:
        return False
    header, *others = ([_folded(cell, width) for cell, width in zip(row, widths, strict=True)] for row in rows)
    lines = [_bold(line, terminal) for line in _lines(header, widths, right)]
    lines += (line for row in others for line in _lines(row, widths, right))
    terminal.write("".join(f"{line}\n" for line in lines))
    return True


def draw_pairs(terminal: Terminal, pairs: Sequence[tuple[str, str]]) -> None:
    """Write each name and its value beside each other, in safe text; what is long is folded."""
    widest = min(max((cell_len(name) for name, _ in pairs), default=0), terminal.width // 2)
    room = terminal.width - widest - len(_GAP)
    lines = []
    for name, value in pairs:
        for left, right in zip_longest(_folded(name, widest), _folded(value, room), fillvalue=""):
            lines.append(_bold(left, terminal) + " " * (widest - cell_len(left)) + _GAP + right)
    terminal.write("".join(f"{line.rstrip(' ')}\n" for line in lines))


def _widths(rows: Sequence[Sequence[str]], width: int) -> list[int] | None:
    """How wide the columns are in a terminal of *width*, the widest cut first; `None` where they do not fit."""
    wanted = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    room = width - len(_GAP) * (len(wanted) - 1)
    for widest in range(room, _NARROWEST - 1, -1):
        widths = [min(each, widest) for each in wanted]
        if sum(widths) <= room:
            return widths
    return None


def _folded(cell: str, width: int) -> list[str]:
    if cell_len(cell) <= width:
        return [cell]
    return [line.plain.rstrip(" ") for line in Text(cell).wrap(_FOLDING, width, overflow="fold")]


def _lines(row: Sequence[Sequence[str]], widths: Sequence[int], right: Sequence[bool]) -> Iterator[str]:
    for pieces in zip_longest(*row, fillvalue=""):
        cells = []
        for piece, width, is_right in zip(pieces, widths, right, strict=True):
            padding = " " * (width - cell_len(piece))
            cells.append(padding + piece if is_right else piece + padding)
        yield _GAP.join(cells).rstrip(" ")


def _bold(line: str, terminal: Terminal) -> str:
    return _BOLD.render(line, color_system=ColorSystem.STANDARD if terminal.out_colors else None)
