"""Bars at every width, and in every encoding."""

import io
import unicodedata
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from raptchat.render import Page, Terminal
from raptchat.render.charts import Bar, bars, months

TOTAL = Bar("total", None, unknown=False, figures=("$3.00 + 1 unknown", "1,234,567", "12"))
ROWS = [
    Bar("biology", Decimal(2), unknown=False, figures=("$2.00", "1,200,000", "5")),
    Bar("history", Decimal(1), unknown=True, figures=("$1.00 + 1 unknown", "34,567", "6")),
    Bar("art", None, unknown=True, figures=("unknown", "-", "1")),
]
COLUMNS = ("cost", "tokens", "requests")


def text(terminal: Terminal) -> str:
    assert isinstance(terminal.out, io.StringIO)
    return terminal.out.getvalue()


def drawn(rows: list[Bar] = ROWS, *, width: int = 80, encoding: str = "utf-8") -> list[str]:
    terminal = replace(Terminal.recorded(width=width), out=Page(encoding))
    bars(terminal, rows, COLUMNS, total=TOTAL)
    return text(terminal).splitlines()


def cells(line: str) -> int:
    """How wide a line is (UAX #11)."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else unicodedata.combining(c) == 0 for c in line)


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_no_line_is_wider_than_the_terminal_and_none_lacks_its_cost(encoding: str) -> None:
    wide = Bar("生物学のとても長いグループ" * 3, Decimal("0.001"), unknown=False, figures=("$0.001000", "1", "1"))
    for width in range(20, 201):
        lines = drawn([*ROWS, wide], width=width, encoding=encoding)

        assert max(map(cells, lines)) <= width
        page = " ".join(" ".join(lines).split())
        assert all(row.figures[0] in page for row in [*ROWS, wide, TOTAL]), width
        assert all(row.label in page for row in ROWS), width


def test_lengths_are_in_proportion_and_what_is_not_known_is_hatched() -> None:
    _, biology, history, art, _, legend = drawn()

    assert biology.count("█") == pytest.approx(2 * history.count("█"), abs=1)
    assert [line.count("░") for line in (biology, history, art)] == [0, 3, 3]
    assert "█" not in art
    assert legend == "░ not known: the gateway did not say it"


def test_a_little_is_more_than_nothing() -> None:
    tiny = Bar("tiny", Decimal("0.000001"), unknown=False, figures=("$0.000001", "1", "1"))
    nothing = Bar("nothing", Decimal(0), unknown=False, figures=("$0.000000", "1", "1"))
    for encoding, least in (("utf-8", "▏"), ("ascii", "#")):
        lines = drawn([ROWS[0], tiny, nothing], encoding=encoding)

        assert least in lines[2]
        assert lines[3].split() == ["nothing", "$0.000000", "1", "1"]
        assert lines[-1].startswith("total")


def test_where_all_is_zero_or_unknown_it_is_drawn_all_the_same() -> None:
    zero = Bar("free", Decimal(0), unknown=False, figures=("$0.000000", "1", "1"))

    assert drawn([zero, ROWS[2]])[1].startswith("free")
    assert "░░░" in drawn([ROWS[2]])[1]


def test_figures_go_before_labels_and_labels_before_costs() -> None:
    assert drawn(width=80)[0].split() == ["cost", "tokens", "requests"]
    assert drawn(width=50)[0].split() == ["cost", "tokens"]
    assert drawn(width=40)[0].split() == ["cost"]
    assert drawn(width=20)[:4] == ["biology", "█" * 17, "$2.00", "history"]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "nonesuch"])
def test_ascii_stands_in_where_there_are_no_blocks(encoding: str) -> None:
    assert all(line.isascii() for line in drawn(encoding=encoding))


def test_a_long_total_takes_no_room_from_the_bars() -> None:
    total = Bar("total", None, unknown=False, figures=("$1,234.567890 + 12 unknown", "9", "9"))
    rows = [Bar("biology", Decimal(2), unknown=False, figures=("$2.00", "9", "9"))]
    for width in range(20, 201):
        terminal = Terminal.recorded(width=width)
        bars(terminal, rows, COLUMNS, total=total)
        lines = text(terminal).splitlines()

        assert max(map(cells, lines)) <= width
        if width >= 41:
            assert len({len(line) for line in lines}) == 1
            assert lines[1].count("█") >= (40 if width >= 80 else 5)


def test_what_a_label_holds_acts_on_nothing() -> None:
    evil = Bar("\x1b[2J\n[bold]x", Decimal(1), unknown=False, figures=("$1.00", "1", "1"))
    lines = drawn([evil])

    assert lines[1].startswith("␛[2J␊[bold]x")
    assert not any("\x1b" in line for line in lines)


def test_colours_are_used_where_there_are_any() -> None:
    terminal = Terminal.recorded(is_tty=True)
    bars(terminal, ROWS, COLUMNS, total=TOTAL)

    assert "\x1b[36m█" in text(terminal)


def day(known: str | None) -> Bar:
    return Bar("", Decimal(known) if known is not None else None, unknown=known is None, figures=())


def test_each_month_is_a_line_of_its_days_up_to_the_last() -> None:
    terminal = Terminal.recorded(width=80)
    days = {
        date(2024, 2, 29): day("7"),
        date(2024, 2, 1): day("0"),
        date(2024, 4, 2): day(None),
        date(2024, 4, 3): day("3.5"),
    }
    months(terminal, days, last=date(2024, 4, 5))

    assert text(terminal) == "2024-02  ▁···························█\n2024-04  ·░▅··\n"


def test_a_day_that_was_not_asked_for_is_not_a_day_without_use() -> None:
    terminal = Terminal.recorded(width=80)
    months(terminal, {date(2024, 1, 3): day("1")}, first=date(2024, 1, 2), last=date(2024, 1, 5))
    months(terminal, {date(2024, 2, 3): day("1")}, first=date(2024, 1, 2), last=date(2024, 2, 4))

    assert text(terminal) == "2024-01   ·█··\n2024-02  ··█·\n"


def test_a_narrow_terminal_folds_the_month() -> None:
    terminal = replace(Terminal.recorded(width=20), out=Page("ascii"))
    months(terminal, {date(2024, 1, 31): day("1")}, last=date(2024, 12, 31))

    assert text(terminal) == f"2024-01\n{'.' * 20}\n{'.' * 10}@\n"


def test_a_day_after_the_last_one_is_shown_if_it_was_used() -> None:
    terminal = Terminal.recorded(width=80)
    months(terminal, {date(2024, 1, 3): day("1")}, last=date(2024, 1, 1))

    assert text(terminal) == "2024-01  ·█\n"
