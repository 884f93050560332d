"""`raptchat events`: what was done to which credential."""

from typing import TYPE_CHECKING, Annotated

import typer

from raptchat import naming
from raptchat.cli import documents
from raptchat.cli.invocation import invocation
from raptchat.cli.options import MOST_ROWS, LastOption, day
from raptchat.errors import GroupNotFoundError
from raptchat.render import tables
from raptchat.render.formats import when
from raptchat.render.pager import paged

if TYPE_CHECKING:
    from raptchat.store import Store


def events(
    ctx: typer.Context,
    group: Annotated[
        str | None,
        typer.Option("--group", "-g", metavar="G", help="Only this group's, also a removed one's."),
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="DATE", help="From this day on (UTC), such as 2026-11-01.")
    ] = None,
    limit: LastOption = None,
) -> None:
    """List what was done to which key, when, by which command and by whom, the last first."""
    run = invocation(ctx)
    first = day(since, "--since").isoformat() if since is not None else ""
    store = run.factory.store
    with store.snapshot():
        group_ids = _group_ids(store, group) if group is not None else None
        found = store.ledger.events(group_ids=group_ids, since=first, limit=min(limit, MOST_ROWS) if limit else -1)
    if run.json:
        return tables.document(run.terminal, [documents.event(one) for one in found])
    rows = [
        [
            when(one.created_at),
            one.action,
            one.group_name,
            one.credential_id and tables.id_cell(run.terminal, one.credential_id),
            one.command,
            f"{one.os_user}@{one.host}",
        ]
        for one in found
    ]
    with paged(run.terminal) as terminal:
        return tables.table(
            terminal,
            ["when", "what", "group", "credential", "command", "by"],
            rows,
            empty="nothing was done to any key" + (" in that time" if since else " yet"),
        )


def _group_ids(store: "Store", word: str) -> list[str]:
    try:
        return [naming.find_group(store, word).id]
    except GroupNotFoundError:
        removed = store.ledger.removed_groups(word)
        if not removed:
            raise
        return removed
