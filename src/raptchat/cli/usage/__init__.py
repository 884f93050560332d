"""`raptchat usage`: what was used, by whom, and what it cost."""

from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer

from raptchat import naming
from raptchat.cli.command import Command, CommandWithOthers
from raptchat.cli.invocation import Invocation, invocation
from raptchat.cli.options import OnlyGroupArgument, OnlyGroupOption, only_group
from raptchat.cli.usage import reconcile, refresh, requests, sums
from raptchat.cli.usage.period import read_period
from raptchat.cli.usage.report import Form, Report
from raptchat.clock import utc_now
from raptchat.errors import UsageError
from raptchat.outside import safe_line

if TYPE_CHECKING:
    from raptchat.store.ledger import By

app = typer.Typer(rich_markup_mode=None, add_completion=False)
app.command("reconcile", cls=Command)(reconcile.reconcile)


@app.callback(cls=CommandWithOthers, invoke_without_command=True)
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
    month: Annotated[str | None, typer.Option(metavar="YYYY-MM", help="The whole of this month (UTC).")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Since the first day, not only this month.")] = False,
    detail: Annotated[bool, typer.Option("--detail", help="A line for each request instead of sums.")] = False,
    ask_again: Annotated[
        bool, typer.Option("--refresh", help="First ask the gateway for costs that are not known yet.")
    ] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Write comma-separated values.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Write a Markdown table, with a total.")] = False,
) -> None:
    """Sum up tokens and cost; what the gateway did not name is unknown, never zero.

    Without --month, --since, --until or --all it is the month to date (UTC).
    """
    if ctx.invoked_subcommand is not None:
        return
    run = invocation(ctx)
    if detail and by:
        raise UsageError("--detail is a line for each request, and --by sums them up", hint="leave out one")
    keys = _keys(by)
    now = utc_now()
    period = read_period(since, until, month, everything=everything, today=date.fromisoformat(now[:10]))
    form = _form(run, csv=csv, markdown=markdown)
    store = run.factory.store
    named = only_group(group, of_group)
    found = naming.find_group(store, named) if named is not None else None
    report = Report(found, period, now, form)
    problem = refresh.refresh(run, found) if ask_again else None
    if detail:
        requests.write(run, report)
    else:
        rows = sums.write(run, report, keys)
        if not ask_again and any(row.unknown_costs for row in rows):
            refresh.suggest(run, report)
    if problem is not None:
        raise problem


def _form(run: Invocation, *, csv: bool, markdown: bool) -> Form:
    wanted: dict[Form, bool] = {"json": run.json, "csv": csv, "markdown": markdown}
    chosen = [form for form, is_wanted in wanted.items() if is_wanted]
    if len(chosen) > 1:
        raise UsageError(f"--{chosen[1]} and --{chosen[0]} exclude each other")
    return chosen[0] if chosen else "plain"


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
