"""Bars, and a line of small ones for the days of a month: what figures alone leave to be compared digit by digit.

What is not known is hatched, and never drawn as nothing. Where the terminal's encoding has no blocks (U+2580 to
U+259F) they are drawn with ASCII.
"""

from calendar import monthrange
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from datetime import date
from decimal import Decimal

from rich.cells import cell_len
from rich.console import Group
from rich.text import Text

from raptchat.outside import safe_line
from raptchat.render import Terminal, can_show
from raptchat.render.drawing import drawn
from raptchat.render.region import cut

_GAP = "  "
_WIDEST_BAR = 60
_NARROWEST_BAR = 8
_NARROWEST_LABEL = 8
# How many cells are hatched of a bar that is not wholly known.
_HATCHED = 3
_MONTH_LABEL = "2026-11  "


@dataclass(frozen=True, slots=True)
class Bar:
    """One line of a chart: *known* is its length, `None` where nothing of it is known.

    *unknown* says that it is in truth longer. *figures* are its columns, the most important first.
    """

    label: str
    known: Decimal | None
    unknown: bool
    figures: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Glyphs:
    full: str
    parts: str
    """What fills a part of a cell, the least first."""
    hatched: str
    heights: str
    """Small bars, the lowest first."""
    nothing: str
    cut: str


_BLOCKS = _Glyphs("█", "▏▎▍▌▋▊▉", "░", "▁▂▃▄▅▆▇█", "·", "…")
_ASCII = _Glyphs("#", "", "?", "_-=+*%#@", ".", "~")


def bars(terminal: Terminal, rows: Sequence[Bar], columns: Sequence[str], *, total: Bar) -> None:
    """Draw *rows*, the longest as wide as there is room for, and the figures of *total* below them.

    *columns* are the headings of the figures. The last figures are left out where there is no room for them; where
    there is none beside the labels either, label, bar and figure stand one under the other.
    """
    glyphs = _glyphs(terminal)
    rows, columns, total = list(map(_safe, rows)), list(map(safe_line, columns)), _safe(total)
    longest = max((row.known for row in rows if row.known is not None), default=Decimal(0))
    # The total has no bar: its first figure may begin where the others have theirs.
    sums = ("", *total.figures[1:])
    widths = [
        max(map(cell_len, cells)) for cells in zip(columns, sums, *(row.figures for row in rows), strict=True)
    ]
    narrowest = max(_NARROWEST_BAR, cell_len(total.figures[0]) - len(_GAP) - widths[0])
    room, shown = _room(terminal.width, widths, narrowest)
    if room is None:
        lines = _stacked(terminal.width, [*rows, total], longest, glyphs, bare=total)
    else:
        widest_label = max(cell_len(row.label) for row in [*rows, total])
        label_width = min(widest_label, max(_NARROWEST_LABEL, room * 6 // 10), room - len(_GAP) - narrowest)
        bar_width = min(room - label_width - len(_GAP), _WIDEST_BAR)
        beside = _Beside(label_width, bar_width, tuple(widths[:shown]), glyphs)
        lines = [
            beside.line("", Text(), columns, style="bold"),
            *(beside.line(row.label, _bar(row, longest, bar_width, glyphs), row.figures) for row in rows),
            beside.line(total.label, Text(), total.figures, style="bold"),
        ]
    if any(row.unknown for row in rows):
        lines.append(Text(f"{glyphs.hatched} not known: the gateway did not say it", style="dim"))
    _write(terminal, lines)


def months(terminal: Terminal, days: Mapping[date, Bar], *, first: date | None = None, last: date) -> None:
    """Draw each month that has one of *days* as a line of small bars, a day each.

    Of the days before *first* and after *last* nothing is known: they are not drawn as days without use.
    """
    glyphs = _glyphs(terminal)
    highest = max((day.known for day in days.values() if day.known is not None), default=Decimal(0))
    lines = []
    for year, month in sorted({(day.year, day.month) for day in days}):
        label = f"{year:04}-{month:02}"
        all_days = [date(year, month, number) for number in range(1, monthrange(year, month)[1] + 1)]
        line = Text()
        for day in all_days:
            if day in days or (first or day) <= day <= last:
                line.append_text(_small_bar(days.get(day), highest, glyphs))
            elif day < last:
                line.append(" ")
        if len(_MONTH_LABEL) + len(all_days) <= terminal.width:
            lines.append(Text.assemble(label.ljust(len(_MONTH_LABEL)), line))
        else:
            lines += [Text(label), *line.divide(range(terminal.width, len(line), terminal.width))]
    _write(terminal, lines)


@dataclass(frozen=True, slots=True)
class _Beside:
    """Label, bar and figures on one line."""

    label_width: int
    bar_width: int
    widths: tuple[int, ...]
    glyphs: _Glyphs

    def line(self, label: str, bar: Text, figures: Sequence[str], *, style: str = "") -> Text:
        cells = _GAP.join(figure.rjust(width) for figure, width in zip(figures, self.widths, strict=False))
        text = Text(_cropped(label, self.label_width, self.glyphs, pad=True), style=style)
        bar.pad_right(self.bar_width + sum(len(_GAP) + width for width in self.widths) - bar.cell_len - len(cells))
        return Text.assemble(text, _GAP, bar, (cells, style))


def _safe(row: Bar) -> Bar:
    return replace(row, label=safe_line(row.label), figures=tuple(map(safe_line, row.figures)))


def _room(width: int, widths: Sequence[int], narrowest: int) -> tuple[int | None, int]:
    """The cells for label and bar beside as many of the figures as possible, and how many these are.

    The bar has at least *narrowest* of the cells; there are none where nothing fits beside it.
    """
    for shown in range(len(widths), 0, -1):
        room = width - sum(widths[:shown]) - shown * len(_GAP)
        if room >= _NARROWEST_LABEL + len(_GAP) + narrowest:
            return room, shown
    return None, 1


def _stacked(width: int, rows: Sequence[Bar], longest: Decimal, glyphs: _Glyphs, *, bare: Bar) -> list[Text]:
    lines = []
    for row in rows:
        lines.append(Text(_cropped(row.label, width, glyphs), style="bold"))
        if row is not bare:
            lines.append(_bar(row, longest, width, glyphs))
        lines.append(Text(row.figures[0]))
    return lines


def _bar(row: Bar, longest: Decimal, width: int, glyphs: _Glyphs) -> Text:
    # Room for the hatching is kept on every line: the known parts must stay comparable.
    share = row.known / longest if row.known and longest else Decimal(0)
    steps = len(glyphs.parts) + 1
    filled = round(share * (width - _HATCHED) * steps)
    if row.known and not filled:
        filled = 1
    full, part = divmod(filled, steps)
    text = Text(glyphs.full * full + (glyphs.parts[part - 1] if part else ""), style="cyan")
    return text.append(glyphs.hatched * _HATCHED, style="dim") if row.unknown else text


def _small_bar(day: Bar | None, highest: Decimal, glyphs: _Glyphs) -> Text:
    if day is None:
        return Text(glyphs.nothing, style="dim")
    if not day.known and day.unknown:
        return Text(glyphs.hatched, style="dim")
    share = (day.known or Decimal(0)) / highest if highest else Decimal(0)
    return Text(glyphs.heights[round(share * (len(glyphs.heights) - 1))], style="cyan")


def _cropped(label: str, width: int, glyphs: _Glyphs, *, pad: bool = False) -> str:
    if cell_len(label) > width:
        # One letter takes few characters; what a damaged store holds may have millions.
        label = cut(label[: 8 * width], width - 1) + glyphs.cut
    return label + " " * (width - cell_len(label)) if pad else label


def _glyphs(terminal: Terminal) -> _Glyphs:
    return _BLOCKS if can_show("".join(astuple(_BLOCKS)), terminal.out) else _ASCII


def _write(terminal: Terminal, lines: Sequence[Text]) -> None:
    page = Group(*lines)
    terminal.write(drawn(page, width=terminal.width, colors=terminal.out_colors, stream=terminal.out))
