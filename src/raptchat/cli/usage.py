"""`raptchat usage`: what was used, by whom, and what it cost."""

from datetime import UTC, date, datetime
from typing import Annotated

import typer

from raptchat import naming
from raptchat.cli.documents import Document, money
from raptchat.cli.invocation import invocation
from raptchat.errors import UsageError
from raptchat.outside import safe_line
from raptchat.records import UsageRow
from raptchat.render import tables
from raptchat.render.formats import tokens, usd


def usage(
    ctx: typer.Context,
    group: Annotated[str | None, typer.Argument(metavar="[G]", help="Only this group's.")] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help="group, model, day, session or credential; may be given again."),
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="DATE", help="From this day on (UTC), such as 2026-11-01.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="DATE", help="Up to the end of this day (UTC).")] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Write comma-separated values.")] = False,
) -> None:
    """Sum up tokens and cost; what the gateway did not name is unknown, never zero."""
    from raptchat.store.ledger import BY, By

    run = invocation(ctx)
    keys: list[By] = []
    for word in ",".join(by or ["group"]).split(","):
        key = next((known for known in BY if known == word.strip().lower()), None)
        if key is None:
            raise UsageError(f"usage is not summed by `{safe_line(word)}`", hint=f"--by {', '.join(BY)}")
        if key not in keys:
            keys.append(key)
    if csv and run.json:
        raise UsageError("--csv and --json exclude each other")
    store = run.factory.store
    rows = store.ledger.report(
        keys,
        group_id=naming.find_group(store, group).id if group is not None else None,
        since=_day(since, "--since").isoformat() if since is not None else "",
        # Sorts behind every time of that day, and needs no day after it.
        until=_day(until, "--until").isoformat() + "\U0010ffff" if until is not None else "\U0010ffff",
    )
    if run.json:
        return tables.document(run.terminal, [_document(row) for row in rows])
    if csv:
        columns = [*keys, *(name for name in _document_columns() if name not in keys)]
        cells = [[_cell(_document(row)[name]) for name in columns] for row in rows]
        return tables.csv_rows(run.terminal, columns, cells)
    return tables.table(
        run.terminal,
        [*keys, "requests", "input", "output", "total", "cost"],
        [[*(row.keys[key] for key in keys), *_numbers(row)] for row in rows],
        numeric=("requests", "input", "output", "total", "cost"),
        empty="nothing was used" + (" in that time" if since or until else " yet"),
    )


def _numbers(row: UsageRow) -> list[str | None]:
    cost = usd(row.cost)
    unknown = f" + {row.unknown_costs} unknown" if row.unknown_costs and row.cost is not None else ""
    sums = [tokens(row.input_tokens), tokens(row.output_tokens), tokens(row.total_tokens)]
    return [str(row.requests), *sums, f"{cost}{unknown}"]


def _document(row: UsageRow) -> Document:
    return {
        **row.keys,
        "requests": row.requests,
        "inputTokens": row.input_tokens,
        "outputTokens": row.output_tokens,
        "totalTokens": row.total_tokens,
        "cachedTokens": row.cached_tokens,
        "reasoningTokens": row.reasoning_tokens,
        "cost": money(row.cost),
        "unknownTokens": row.unknown_tokens,
        "unknownCosts": row.unknown_costs,
    }


def _document_columns() -> list[str]:
    return list(_document(UsageRow({}, 0, None, None, None, None, None, None, 0, 0)))


def _cell(value: object) -> str | None:
    return None if value is None else str(value)


def _day(text: str, option: str) -> date:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        raise UsageError(f"`{option}` must be a day such as 2026-11-01: `{safe_line(text)}`") from None
