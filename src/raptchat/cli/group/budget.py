"""`raptchat group budget`: what a group may spend in a day, a week or a month."""

import re
from typing import Annotated

import typer

from raptchat import naming
from raptchat.cli import documents
from raptchat.cli.budget_left import standing_of
from raptchat.cli.invocation import Invocation, invocation
from raptchat.cli.options import GroupArgument, amount_or_none
from raptchat.errors import UsageError
from raptchat.outside import safe_line
from raptchat.records import Budget, Group, Period
from raptchat.render import tables


def budget(
    ctx: typer.Context,
    group: GroupArgument,
    dollars: Annotated[
        str | None, typer.Argument(metavar="[AMOUNT|none]", help="In US dollars; none takes the budget away.")
    ] = None,
    per: Annotated[Period | None, typer.Option("--per", help="The period, which begins at 00:00 UTC.")] = None,
    warn: Annotated[
        str | None, typer.Option("--warn", metavar="PERCENT", help="Warn when so much is spent, such as 80%.")
    ] = None,
) -> None:
    """Show or set what a group may spend; a request that could cost more is refused before it is sent.

    Weeks begin on Monday, months on the 1st, at midnight UTC, as the caps of the gateway do. What a request may
    cost is estimated from list prices, and kept until its cost is known.
    """
    from raptchat.store.groups import budget_columns

    run = invocation(ctx)
    percent = _percent(warn) if warn is not None else None
    limit = amount_or_none(dollars, "AMOUNT", zero=True) if dollars is not None else None
    if dollars is not None and limit is None and (per or warn):
        raise UsageError("a budget that is taken away has neither period nor warning", hint="leave out the flags")
    if dollars is None and per is None and percent is None:
        return _show(run, naming.find_group(run.factory.store, group))
    with run.factory.store.write():
        found = naming.find_group(run.factory.store, group)
        old = found.budget
        if limit is None and dollars is None:
            if old is None:
                name = naming.as_argument(found.name)
                raise UsageError(f"group `{found.name}` has no budget", hint=f"raptchat group budget {name} 20")
            limit = old.amount
        new = None
        if limit is not None:
            before = old or Budget(limit, "month")
            new = Budget(limit, per or before.period, percent or before.warn_percent)
        run.factory.store.groups.set(found.id, **budget_columns(new))
        changed = naming.find_group(run.factory.store, found.id)
    return _show(run, changed)


def _show(run: Invocation, group: Group) -> None:
    standing = standing_of(run, group)
    if run.json:
        document = {
            "group": group.name,
            "groupId": group.id,
            "budget": documents.standing(standing) if standing else None,
        }
        return tables.document(run.terminal, document)
    if standing is None:
        name = naming.as_argument(group.name)
        return run.terminal.say(f"group `{group.name}` has no budget: raptchat group budget {name} 20 --per month")
    from raptchat.store.money import in_words

    count = standing.unknown_costs
    unknown = f", with {count} of unknown cost as estimated: raptchat usage --refresh" if count else ""
    return tables.fields(
        run.terminal,
        [
            ("group", group.name),
            ("budget", f"{in_words(standing.budget.amount)} a {standing.budget.period}"),
            ("spent", f"{in_words(standing.spent)}{unknown}"),
            ("reserved", in_words(standing.reserved)),
            ("left", in_words(standing.left)),
            ("resets", standing.resets),
            ("warns at", f"{standing.budget.warn_percent}%"),
        ],
    )


def _percent(text: str) -> int:
    found = re.fullmatch(r"([0-9]{1,3})%?", text.strip(), re.ASCII)
    percent = int(found[1]) if found else 0
    if not 1 <= percent <= 100:
        raise UsageError(f"`--warn` must be from 1% to 100%: `{safe_line(text)[:80]}`")
    return percent
