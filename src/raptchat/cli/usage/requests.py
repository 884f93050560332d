"""Requests one by one: what a sum is made of, with the gateway's own name for each."""

from collections.abc import Iterator

from raptchat.cli.documents import Document, tokens_and_cost
from raptchat.cli.invocation import Invocation
from raptchat.cli.usage.report import NOTHING, Report, added, cell, dollars, note_unknown, number, requests
from raptchat.records import BookedRequest, Usage, UsageRow
from raptchat.render import Terminal, tables
from raptchat.render.formats import costs, tokens
from raptchat.render.tables import Row

_COLUMNS = [
    "time (UTC)",
    "group",
    "model",
    "credential",
    "session",
    "input",
    "output",
    "cost",
    "finish",
    "generation",
]
_NUMERIC = ["input", "output", "cost"]
_FIGURES = ("input tokens", "output tokens", "cost (USD)")
_BILLED = ("time", "group", "model", "credential", "session", *_FIGURES, "finish", "generation")


def write(run: Invocation, report: Report) -> None:
    """Write a line for each request, the first first; however many there are, few of them are in memory."""
    found = run.factory.store.ledger.requests(
        group_id=report.group.id if report.group is not None else None,
        since=report.period.since,
        until=report.period.until,
    )
    match report.form:
        case "json":
            tables.documents(run.terminal, map(_document, found))
        case "csv":
            columns = list(_document(_NONE))
            rows = ([cell(value) for value in _document(request).values()] for request in found)
            tables.csv_rows(run.terminal, columns, rows)
        case "markdown":
            _write_bill(run.terminal, report, found)
        case "plain":
            _write_table(run.terminal, found, empty=report.nothing)


def _write_table(terminal: Terminal, found: Iterator[BookedRequest], *, empty: str) -> None:
    written = False
    for some in tables.parts(found):
        rows = [_row(terminal, request) for request in some]
        tables.table(terminal, _COLUMNS, rows, empty=empty, numeric=_NUMERIC)
        written = True
    if not written:
        terminal.say(empty)


def _row(terminal: Terminal, request: BookedRequest) -> list[str | None]:
    return [
        _time(request)[:16],
        request.group_name,
        request.model,
        tables.id_cell(terminal, request.credential_id),
        tables.id_cell(terminal, request.session_id) if request.session_id else None,
        tokens(request.usage.input_tokens),
        tokens(request.usage.output_tokens),
        costs(request.usage.cost, 0),
        request.finish_reason,
        request.generation_id,
    ]


def _write_bill(terminal: Terminal, report: Report, found: Iterator[BookedRequest]) -> None:
    bill, total = report.bill(terminal, _BILLED, numeric=_FIGURES), NOTHING

    def lines() -> Iterator[Row]:
        nonlocal total
        for request in found:
            total = added(total, _as_sums(request.usage))
            yield _billed(request)

    bill.lines(lines())
    if not total.requests:
        return report.note_nothing(bill)
    figures = (number(total.input_tokens), number(total.output_tokens), dollars(total.cost))
    bill.total(f"total of {requests(total.requests)}", dict(zip(_FIGURES, figures, strict=True)))
    return note_unknown(bill, total)


def _as_sums(usage: Usage) -> UsageRow:
    return UsageRow(
        **usage._asdict(),
        keys={},
        requests=1,
        unknown_tokens=usage.total_tokens is None,
        unknown_costs=usage.cost is None,
    )


def _billed(request: BookedRequest) -> list[str | None]:
    return [
        _time(request),
        request.group_name,
        request.model,
        request.credential_id,
        request.session_id,
        number(request.usage.input_tokens),
        number(request.usage.output_tokens),
        dollars(request.usage.cost),
        request.finish_reason,
        request.generation_id,
    ]


def _time(request: BookedRequest) -> str:
    # As the days of sums, and of the period.
    return request.created_at[:19].replace("T", " ")


def _document(request: BookedRequest) -> Document:
    return {
        "createdAt": request.created_at,
        "group": request.group_name,
        "model": request.model,
        "credential": request.credential_id,
        "session": request.session_id,
        **tokens_and_cost(request.usage),
        "finishReason": request.finish_reason,
        "generationId": request.generation_id,
    }


_NONE = BookedRequest(0, "", "", "", None, "", "", "", None, None, Usage())
