"""`raptchat sessions`: the conversations that are stored."""

from collections.abc import Sequence
from datetime import date
from typing import Annotated

import typer

from raptchat import naming
from raptchat.cli import documents
from raptchat.cli.command import Command, noun
from raptchat.cli.invocation import Invocation, invocation
from raptchat.cli.options import MOST_ROWS, LastOption, SessionArgument, YesOption, day
from raptchat.cli.session_export import export
from raptchat.errors import UsageError
from raptchat.records import Session
from raptchat.render import search_results, tables
from raptchat.render.formats import costs, when
from raptchat.render.pager import paged

app = noun("Conversations that are stored.")

_LONGEST_TITLE = 200
# Nobody reads more of them, and nobody waits for so many.
_LISTED, _FOUND = 1_000, 20
_FORK = " (fork)"


@app.command("list", cls=Command)
def list_(
    ctx: typer.Context,
    group: Annotated[str | None, typer.Option("--group", "-g", metavar="G", help="Only this group's.")] = None,
    limit: LastOption = None,
) -> None:
    """List the sessions, the last used first; without --limit no more than 1,000 of them."""
    run = invocation(ctx)
    store = run.factory.store
    with store.snapshot():
        group_id = naming.find_group(store, group).id if group is not None else None
        found = store.sessions.listed(group_id, limit=min(limit, MOST_ROWS) if limit else _LISTED + 1)
        shown = found[: limit or _LISTED]
        owners = {one.session.group_id for one in shown}
        names = {owner: store.groups.require(owner).name for owner in owners}
    if len(found) > len(shown):
        run.terminal.say(f"there are more: --limit {_LISTED * 10} lists more of them")
    if run.json:
        listed = [documents.session(one, names[one.session.group_id]) for one in shown]
        return tables.document(run.terminal, listed)
    rows = [
        [
            tables.id_cell(run.terminal, one.session.id),
            names[one.session.group_id],
            one.session.title,
            str(one.messages),
            costs(one.cost, one.unknown_costs),
            when(one.session.last_used_at),
        ]
        for one in shown
    ]
    with paged(run.terminal) as page:
        return tables.table(
            page,
            ["id", "group", "title", "messages", "cost", "last used"],
            rows,
            numeric=("messages", "cost"),
            empty='there is no session yet: raptchat chat "..." begins one',
        )


@app.command(cls=Command)
def show(ctx: typer.Context, session: SessionArgument) -> None:
    """Show a session with its messages."""
    run = invocation(ctx)
    store = run.factory.store
    with store.snapshot():
        found = naming.find_session(store, session)
        listed, group = store.sessions.summary(found), store.groups.require(found.group_id)
        messages = store.sessions.messages(found.id)
    if run.json:
        return tables.document(run.terminal, documents.transcript(listed, group.name, messages))
    from raptchat.render import transcript

    with paged(run.terminal) as page:
        return transcript.show(page, transcript.as_markdown(found, group.name, messages))


@app.command(cls=Command)
def search(
    ctx: typer.Context,
    text: Annotated[list[str], typer.Argument(metavar="TEXT...", help='Words, "phrases", beginnings*.')],
    group: Annotated[
        list[str] | None,
        typer.Option("--group", "-g", metavar="G", help="Only in this group; may be repeated."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, metavar="N", help="Only the first N.")] = _FOUND,
    best: Annotated[bool, typer.Option("--best", help="The best first, not the newest.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="All messages, also where that takes long.")] = False,
) -> None:
    """Find messages that hold all of these words, in any order; the newest first.

    What has no index (Chinese or other text without spaces, signs, and with --best what is best) is looked for in
    the newest 50,000 messages that come into question.
    """
    from raptchat.store.search import CANDIDATES, Query

    run = invocation(ctx)
    store = run.factory.store
    query = Query.read(" ".join(text))
    if not query:
        raise UsageError("there is nothing to search for", hint="raptchat sessions search WORD")
    with store.snapshot():
        group_ids = [naming.find_group(store, word).id for word in group] if group else None
        result = store.sessions.search(
            query, group_ids=group_ids, limit=min(limit, MOST_ROWS) + 1, best=best, everything=everything
        )
    shown = result.messages[:limit]
    if run.json:
        tables.document(run.terminal, [documents.found_message(one) for one in shown])
    elif shown:
        with paged(run.terminal) as page:
            search_results.show(page, shown)
    else:
        run.terminal.say("nothing was found")
    if len(result.messages) > limit:
        run.terminal.say(f"there are more: --limit {limit * 5} shows more of them")
    if not result.is_all and (best or len(result.messages) <= limit):
        run.terminal.say(f"only among the newest {CANDIDATES:,} messages: --all looks through all of them")


@app.command(cls=Command)
def rename(
    ctx: typer.Context, session: SessionArgument, title: Annotated[str, typer.Argument(metavar="TITLE")]
) -> None:
    """Give a session another title."""
    run = invocation(ctx)
    store = run.factory.store
    wanted = " ".join(title.split())
    if not wanted or len(wanted) > _LONGEST_TITLE:
        raise UsageError(f"a title has 1 to {_LONGEST_TITLE} characters")
    with store.write():
        found = naming.find_session(store, session)
        store.sessions.set(found.id, title=wanted)
        document = _document(run, found._replace(title=wanted))
    if run.json:
        return tables.document(run.terminal, document)
    return run.terminal.say(f"session {found.id[:8]} is now `{wanted}`")


@app.command(cls=Command)
def fork(
    ctx: typer.Context,
    session: SessionArgument,
    at: Annotated[int | None, typer.Option(metavar="SEQ", help="Only up to this message; default: all.")] = None,
) -> None:
    """Copy a session into a new one of the same group, to go on differently; its usage is not copied."""
    run = invocation(ctx)
    store = run.factory.store
    with store.write():
        found = naming.find_session(store, session)
        numbers = [message.seq for message in store.sessions.messages(found.id)]
        if at is not None and at not in numbers:
            has = f"its messages are {numbers[0]} to {numbers[-1]}" if numbers else "it has none"
            raise UsageError(f"session {found.id[:8]} has no message {at}: {has}")
        title = found.title and found.title[: _LONGEST_TITLE - len(_FORK)] + _FORK
        copied = store.sessions.copy(found.id, title=title, until=at or max(numbers, default=0))
        document = _document(run, copied)
    if run.json:
        return tables.document(run.terminal, document)
    # The id is the result: `raptchat chat --session "$(raptchat sessions fork ID)"`.
    run.terminal.write_line(copied.id)
    return None


app.command(cls=Command)(export)


@app.command(cls=Command)
def remove(
    ctx: typer.Context,
    session: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="A session: its id, or its beginning.")
    ] = None,
    before: Annotated[
        str | None, typer.Option(metavar="DATE", help="All that were last used before this day (UTC).")
    ] = None,
    group: Annotated[
        str | None, typer.Option("--group", "-g", metavar="G", help="With --before: only this group's.")
    ] = None,
    yes: YesOption = False,
) -> None:
    """Remove a session and its messages from the file for good; its usage stays in the ledger."""
    run = invocation(ctx)
    if (session is None) == (before is None):
        raise UsageError("name one session, or a day with --before", hint="raptchat sessions list")
    if session is not None:
        if group is not None:
            raise UsageError("--group goes with --before: a session has one group", hint="leave it out")
        return _remove_one(run, session, yes=yes)
    assert before is not None
    return _remove_before(run, day(before, "--before"), group, yes=yes)


def _remove_one(run: Invocation, word: str, *, yes: bool) -> None:
    from raptchat.cli.scrub import scrub

    store = run.factory.store
    found = naming.find_session(store, word)
    run.confirm(f"removing session {found.id[:8]} with its messages", yes=yes)
    with store.write():
        asked = store.sessions.questions(found.id)
        store.sessions.remove(found.id)
    _forget_typed(run, asked)
    scrub(run)
    if run.json:
        return tables.document(run.terminal, {"removed": found.id})
    return run.terminal.say(f"removed session {found.id[:8]}")


def _remove_before(run: Invocation, first_kept: date, group: str | None, *, yes: bool) -> None:
    from raptchat.cli.scrub import scrub

    store = run.factory.store
    owner = naming.find_group(store, group) if group is not None else None
    group_id = owner.id if owner else None
    count = store.sessions.count_unused_since(first_kept.isoformat(), group_id=group_id)
    whose = f"of group `{owner.name}`" if owner else "of all groups"
    if count:
        run.confirm(
            f"removing {_sessions(count)} {whose}, last used before {first_kept}, with their messages", yes=yes
        )
        with store.write():
            # Counted once more: one that was used while the question stood stays.
            asked = store.sessions.questions_unused_since(first_kept.isoformat(), group_id=group_id)
            count = store.sessions.remove_unused_since(first_kept.isoformat(), group_id=group_id)
        _forget_typed(run, asked)
    scrub(run)
    if run.json:
        return tables.document(run.terminal, {"removedSessions": count})
    return run.terminal.say(f"removed {_sessions(count)} {whose}")


def _forget_typed(run: Invocation, asked: Sequence[tuple[str, str]]) -> None:
    """Take questions, each with its group's id, out of the lines that a conversation remembers."""
    from raptchat.cli.chat.conversation.history import HistoryFile
    from raptchat.cli.chat.conversation.lines import message

    for group_id in {group_id for group_id, _ in asked}:
        path = run.factory.settings.paths.history_file(group_id)
        texts = {text for owner, text in asked if owner == group_id}
        if path.exists():
            history = HistoryFile(path)
            history.forget([entry for entry in history.read() if message(entry) in texts])


def _document(run: Invocation, session: Session) -> documents.Document:
    store = run.factory.store
    return documents.session(store.sessions.summary(session), store.groups.require(session.group_id).name)


def _sessions(count: int) -> str:
    return "1 session" if count == 1 else f"{count:,} sessions"
