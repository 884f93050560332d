"""Sums of usage: bars for a person, a table for a bill, one document or separated values for a script."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import date
from decimal import Decimal
from functools import reduce
from typing import TYPE_CHECKING

from raptchat.cli.documents import Document, tokens_and_cost
from raptchat.cli.invocation import Invocation
from raptchat.cli.usage.report import NOT_KNOWN, NOTHING, Report, added, cell, dollars, note_unknown, number
from raptchat.outside import safe_line
from raptchat.records import UsageRow
from raptchat.render import Terminal, tables
from raptchat.render.formats import UNKNOWN, costs, tokens

if TYPE_CHECKING:
    from raptchat.render.charts import Bar
    from raptchat.store.ledger import By

# Narrower terminals show the sum of the tokens only.
_WIDE = 100
_BILLED = ("requests", "input tokens", "output tokens", "total tokens", "known cost (USD)", "costs not known")


def write(run: Invocation, report: Report, keys: "Sequence[By]") -> list[UsageRow]:
    """Write the sums for each combination of *keys*, and return them."""
    rows = run.factory.store.ledger.report(
        keys,
        group_id=report.group.id if report.group is not None else None,
        since=report.period.since,
        until=report.period.until,
    )
    match report.form:
        case "json":
            tables.document(run.terminal, [_document(row) for row in rows])
        case "csv":
            columns = [*keys, *(name for name in _document_columns() if name not in keys)]
            cells = [[cell(_document(row)[name]) for name in columns] for row in rows]
            tables.csv_rows(run.terminal, columns, cells)
        case "markdown":
            _write_bill(run.terminal, report, keys, rows)
        case "plain" if rows and run.terminal.out_is_tty:
            _draw(run, report, keys, rows)
        case "plain":
            tables.table(
                run.terminal,
                [*keys, "requests", "input", "output", "total", "cost"],
                [[*(row.keys[key] for key in keys), *_numbers(row)] for row in rows],
                empty=report.nothing,
            )
    return rows


def _write_bill(terminal: Terminal, report: Report, keys: "Sequence[By]", rows: Sequence[UsageRow]) -> None:
    bill = report.bill(terminal, [*keys, *_BILLED], numeric=_BILLED)
    if not rows:
        return report.note_nothing(bill)
    bill.lines([*(row.keys[key] for key in keys), *_billed(row)] for row in rows)
    total = reduce(added, rows)
    bill.total("total", dict(zip(_BILLED, _billed(total), strict=True)))
    return note_unknown(bill, total)


def _billed(row: UsageRow) -> list[str]:
    counts = [row.requests, row.input_tokens, row.output_tokens, row.total_tokens]
    return [*map(number, counts), dollars(row.cost), str(row.unknown_costs)]


def _draw(run: Invocation, report: Report, keys: "Sequence[By]", rows: Sequence[UsageRow]) -> None:
    from raptchat.render import charts
    from raptchat.render.pager import paged

    period = report.period
    of = f" of {safe_line(report.group.name)}" if report.group is not None else ""
    title = f"usage{of} {period.words}"
    columns = ["cost", "tokens", "requests", *(["input", "output"] if run.terminal.width >= _WIDE else [])]
    # Free models cost nothing, and are used all the same.
    by_tokens = not any(row.cost for row in rows) and any(row.total_tokens for row in rows)
    drawn = [_bar(row, _label(row, keys), columns, by_tokens) for row in rows]
    with paged(run.terminal) as terminal:
        terminal.write(f"{title}; bars: {'tokens' if by_tokens else 'cost'}\n\n")
        if list(keys) == ["day"]:
            last = min(period.last or period.today, period.today)
            charts.months(terminal, _by_date(drawn), first=period.first, last=last)
            terminal.write("\n")
        charts.bars(terminal, drawn, columns, total=_bar(reduce(added, rows), "total", columns, by_tokens))


def _label(row: UsageRow, keys: "Sequence[By]") -> str:
    # An id as other lists show it: the beginning is enough to name it.
    values = [(key, row.keys[key] or UNKNOWN) for key in keys]
    return ", ".join(value[:8] if key in {"session", "credential"} else value for key, value in values)


def _by_date(bars: "Sequence[Bar]") -> "dict[date, Bar]":
    found = {}
    for bar in bars:
        with suppress(ValueError):  # of a damaged store: it stands below, as it is
            found[date.fromisoformat(bar.label)] = bar
    return found


def _bar(row: UsageRow, label: str, columns: Sequence[str], by_tokens: bool) -> "Bar":
    from raptchat.render.charts import Bar

    cost = costs(row.cost, row.unknown_costs)
    figures = {
        "cost": NOT_KNOWN if cost == UNKNOWN else cost,
        "tokens": tokens(row.total_tokens),
        "requests": f"{row.requests:,}",
        "input": tokens(row.input_tokens),
        "output": tokens(row.output_tokens),
    }
    known_tokens = Decimal(row.total_tokens) if row.total_tokens is not None else None
    return Bar(
        label=label,
        known=known_tokens if by_tokens else row.cost,
        unknown=bool(row.unknown_tokens if by_tokens else row.unknown_costs),
        figures=tuple(figures[column] for column in columns),
    )


def _numbers(row: UsageRow) -> list[str | None]:
    sums = [tokens(row.input_tokens), tokens(row.output_tokens), tokens(row.total_tokens)]
    return [str(row.requests), *sums, costs(row.cost, row.unknown_costs)]


def _document(row: UsageRow) -> Document:
    return {
        **row.keys,
        "requests": row.requests,
        **tokens_and_cost(row),
        "unknownTokens": row.unknown_tokens,
        "unknownCosts": row.unknown_costs,
    }


def _document_columns() -> list[str]:
    return list(_document(NOTHING))
