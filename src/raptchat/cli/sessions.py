"""`raptchat sessions`: the conversations that are stored."""

from typing import Annotated

import typer

from raptchat import naming
from raptchat.cli import documents
from raptchat.cli.invocation import Command, invocation, noun
from raptchat.cli.options import SessionArgument, YesOption
from raptchat.errors import UsageError
from raptchat.outside import safe
from raptchat.render import tables
from raptchat.render.formats import when

app = noun("Sessions: conversations, each of one group.")

_LONGEST_TITLE = 200


@app.command("list", cls=Command)
def list_(
    ctx: typer.Context,
    group: Annotated[str | None, typer.Option("--group", "-g", metavar="G", help="Only this group's.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="Only the last N.")] = None,
) -> None:
    """List the sessions, the last used first."""
    run = invocation(ctx)
    store = run.factory.store
    with store.snapshot():
        group_id = naming.find_group(store, group).id if group is not None else None
        names = {each.id: each.name for each in store.groups.all()}
        found = store.sessions.listed(group_id, limit=limit or -1)
    if run.json:
        listed = [documents.session(one.session, names[one.session.group_id], one.messages) for one in found]
        return tables.document(run.terminal, listed)
    rows = [
        [
            one.session.id[:8] if run.terminal.out_is_tty else one.session.id,
            names[one.session.group_id],
            one.session.title,
            str(one.messages),
            when(one.session.last_used_at),
        ]
        for one in found
    ]
    return tables.table(
        run.terminal,
        ["id", "group", "title", "messages", "last used"],
        rows,
        numeric=("messages",),
        empty='there is no session yet: raptchat chat "..." begins one',
    )


@app.command(cls=Command)
def show(ctx: typer.Context, session: SessionArgument) -> None:
    """Show a session with its messages."""
    run = invocation(ctx)
    store = run.factory.store
    found = naming.find_session(store, session)
    messages, group = store.sessions.messages(found.id), store.groups.require(found.group_id)
    if run.json:
        about = documents.session(found, group.name, len(messages))
        return tables.document(run.terminal, {**about, "messages": [documents.message(one) for one in messages]})
    about_lines = [
        ("session", found.id),
        ("group", group.name),
        ("title", found.title),
    ]
    tables.fields(run.terminal, [*about_lines, ("system", found.system_prompt)])
    for one in messages:
        state = "" if one.state == "complete" else f", {one.state}"
        run.terminal.write(f"\n{one.seq}. {one.role} ({when(one.created_at)}{state})\n\n{safe(one.content)}\n")
    return None


@app.command(cls=Command)
def rename(
    ctx: typer.Context, session: SessionArgument, title: Annotated[str, typer.Argument(metavar="TITLE")]
) -> None:
    """Give a session another title."""
    run = invocation(ctx)
    store = run.factory.store
    found = naming.find_session(store, session)
    wanted = " ".join(title.split())
    if not wanted or len(wanted) > _LONGEST_TITLE:
        raise UsageError(f"a title has 1 to {_LONGEST_TITLE} characters")
    with store.write():
        store.sessions.set(found.id, title=wanted)
    renamed = naming.find_session(store, found.id)
    if run.json:
        count = len(store.sessions.messages(found.id))
        return tables.document(
            run.terminal, documents.session(renamed, run.factory.store.groups.require(found.group_id).name, count)
        )
    return run.terminal.say(f"session {found.id[:8]} is now `{wanted}`")


@app.command(cls=Command)
def remove(ctx: typer.Context, session: SessionArgument, yes: YesOption = False) -> None:
    """Remove a session and its messages from the file for good; its usage stays in the ledger."""
    run = invocation(ctx)
    store = run.factory.store
    found = naming.find_session(store, session)
    run.confirm(f"removing session {found.id[:8]} with its messages", yes=yes)
    with store.write():
        store.sessions.remove(found.id)
    if run.json:
        return tables.document(run.terminal, {"removed": found.id})
    return run.terminal.say(f"removed session {found.id[:8]}")
