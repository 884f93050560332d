"""`raptchat usage`: what was used, by whom, and what it cost."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

import typer

from raptchat import naming
from raptchat.cli.documents import Document, tokens_and_cost
from raptchat.cli.invocation import Invocation, invocation
from raptchat.cli.options import OnlyGroupArgument, OnlyGroupOption, day, only_group
from raptchat.clock import utc_now
from raptchat.errors import UsageError
from raptchat.outside import safe_line
from raptchat.records import UsageRow
from raptchat.render import tables
from raptchat.render.formats import UNKNOWN, costs, tokens

if TYPE_CHECKING:
    from raptchat.render.charts import Bar
    from raptchat.store.ledger import By

_UNKNOWN_COST = "unknown"
# Narrower terminals show the sum of the tokens only.
_WIDE = 100


@dataclass(frozen=True, slots=True)
class Period:
    """The days that are summed up, in UTC, asked for on *today*; without *first* or *last* all on that side."""

    first: date | None
    last: date | None
    today: date
    words: str


def usage(
    ctx: typer.Context,
    group: OnlyGroupArgument = None,
    of_group: OnlyGroupOption = None,
    by: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help="group, model, day, session or credential; may be repeated."),
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="DATE", help="From this day on (UTC), such as 2026-11-01.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="DATE", help="Up to the end of this day (UTC).")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Since the first day, not only this month.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Write comma-separated values.")] = False,
) -> None:
    """Sum up tokens and cost; what the gateway did not name is unknown, never zero.

    Without --since, --until or --all it is the month to date (UTC).
    """
    run = invocation(ctx)
    keys = _keys(by)
    period = _period(since, until, everything=everything, today=date.fromisoformat(utc_now()[:10]))
    if csv and run.json:
        raise UsageError("--csv and --json exclude each other")
    store = run.factory.store
    named = only_group(group, of_group)
    found = naming.find_group(store, named) if named is not None else None
    rows = store.ledger.report(
        keys,
        group_id=found.id if found is not None else None,
        since=period.first.isoformat() if period.first is not None else "",
        # Sorts behind every time of that day, and needs no day after it.
        until=(period.last.isoformat() if period.last is not None else "") + "\U0010ffff",
    )
    if run.json:
        return tables.document(run.terminal, [_document(row) for row in rows])
    if csv:
        columns = [*keys, *(name for name in _document_columns() if name not in keys)]
        cells = [[_cell(_document(row)[name]) for name in columns] for row in rows]
        return tables.csv_rows(run.terminal, columns, cells)
    if rows and run.terminal.out_is_tty:
        of = f" of {safe_line(found.name)}" if found is not None else ""
        return _draw(run, keys, rows, period, f"usage{of} {period.words}")
    return tables.table(
        run.terminal,
        [*keys, "requests", "input", "output", "total", "cost"],
        [[*(row.keys[key] for key in keys), *_numbers(row)] for row in rows],
        empty=f"nothing was used {period.words}" if period.first or period.last else "nothing was used yet",
    )


def _keys(words: list[str] | None) -> "list[By]":
    from raptchat.store.ledger import BY

    keys: list[By] = []
    for word in ",".join(words or ["group"]).split(","):
        key = next((known for known in BY if known == word.strip().lower()), None)
        if key is None:
            raise UsageError(f"usage is not summed by `{safe_line(word)}`", hint=f"--by {', '.join(BY)}")
        if key not in keys:
            keys.append(key)
    return keys


def _period(since: str | None, until: str | None, *, everything: bool, today: date) -> Period:
    if everything and (since is not None or until is not None):
        raise UsageError("--all goes with neither --since nor --until", hint="leave out --all")
    first = day(since, "--since") if since is not None else None
    last = day(until, "--until") if until is not None else None
    if everything:
        return Period(None, None, today, "since the first day")
    if first is None and last is None:
        # What another machine's clock has put into a month to come is none of this one's.
        return Period(today.replace(day=1), today, today, f"in {today:%Y-%m}, to date (UTC)")
    words = [f"from {first}"] * (first is not None) + [f"up to {last}"] * (last is not None)
    return Period(first, last, today, f"{' '.join(words)} (UTC)")


def _draw(run: Invocation, keys: "Sequence[By]", rows: Sequence[UsageRow], period: Period, title: str) -> None:
    from raptchat.render import charts
    from raptchat.render.pager import paged

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
        charts.bars(terminal, drawn, columns, total=_bar(_sum(rows), "total", columns, by_tokens))


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
        "cost": _UNKNOWN_COST if cost == UNKNOWN else cost,
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


def _sum(rows: Sequence[UsageRow]) -> UsageRow:
    """All of *rows* as one; the sums are over what is known."""

    def total(numbers: list[int | None]) -> int | None:
        known = [number for number in numbers if number is not None]
        return sum(known) if known else None

    costs = [row.cost for row in rows if row.cost is not None]
    return UsageRow(
        keys={},
        requests=sum(row.requests for row in rows),
        input_tokens=total([row.input_tokens for row in rows]),
        output_tokens=total([row.output_tokens for row in rows]),
        total_tokens=total([row.total_tokens for row in rows]),
        cached_tokens=total([row.cached_tokens for row in rows]),
        reasoning_tokens=total([row.reasoning_tokens for row in rows]),
        cost=sum(costs, Decimal(0)) if costs else None,
        unknown_tokens=sum(row.unknown_tokens for row in rows),
        unknown_costs=sum(row.unknown_costs for row in rows),
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
    return list(_document(UsageRow({}, 0, None, None, None, None, None, None, 0, 0)))


def _cell(value: object) -> str | None:
    return None if value is None else str(value)
