"""`raptchat usage --refresh`: the costs that were not known when their requests ended."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from raptchat.cli.invocation import Invocation
from raptchat.cli.usage.report import Report, requests
from raptchat.errors import RaptchatError
from raptchat.naming import as_argument
from raptchat.providers import DEFAULT_PROVIDER
from raptchat.records import Group

if TYPE_CHECKING:
    from raptchat.refreshing import Refreshed


def refresh(run: Invocation, group: Group | None) -> RaptchatError | None:
    """Ask for the unknown costs of *group*, or of all, and say what was learnt; the first problem, if any."""
    from raptchat import refreshing
    from raptchat.render.passing_line import PassingLine

    store = run.factory.store
    line = PassingLine(run.terminal)

    def show(done: int, total: int) -> None:
        if run.terminal.err_repaints:
            line.show(f"asked what {done:,} of {requests(total)} cost")

    try:
        found = refreshing.refresh(
            run.factory,
            [group] if group is not None else store.groups.all(),
            progress=show,
        )
    finally:
        line.show("")
    rows = store.ledger.report([], group_id=group.id if group is not None else None)
    run.terminal.say(_said(found, sum(row.unknown_costs for row in rows)))
    # A key that is refused is no problem where another one did.
    return found.problems[0] if found.left else None


def suggest(run: Invocation, report: Report) -> None:
    """Where a person is looking and there is something to ask for, say how."""
    if not run.terminal.err_is_tty:
        return
    from raptchat.refreshing import oldest

    store = run.factory.store
    groups: Sequence[str] = (
        [report.group.id]
        if report.group is not None
        else list(dict.fromkeys(one.group_id for one in store.credentials.all()))
    )
    since = max(report.period.since, oldest())
    if any(
        store.ledger.unknown(group, DEFAULT_PROVIDER, since=since, until=report.period.until, limit=1)
        for group in groups
    ):
        of = f" {as_argument(report.group.name)}" if report.group is not None else ""
        run.terminal.say(f"hint: raptchat usage --refresh{of} asks the gateway for costs that are not known")


def _said(found: "Refreshed", unknown: int) -> str:
    from raptchat.refreshing import ASKED_FOR_DAYS

    reasons = {
        "not known at the gateway yet": found.unknown,
        "could not be asked for": found.left,
        "to be asked for the next time": found.later,
        f"older than {ASKED_FOR_DAYS} days": found.old,
        "without a generation id": found.nameless,
    }
    # Of other providers, and of groups that are gone.
    reasons["without an OpenRouter key to ask with"] = max(0, unknown - sum(reasons.values()))
    learnt = f"learnt what {requests(found.learnt)} cost" if found.learnt else "no cost was learnt"
    still = ", ".join(f"{count:,} {reason}" for reason, count in reasons.items() if count)
    return f"{learnt}; still unknown: {still}" if still else f"{learnt}; none is unknown"
