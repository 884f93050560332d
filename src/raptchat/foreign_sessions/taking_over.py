"""Conversations of another client's become sessions of a group, each once, however often that is done."""

import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from raptchat.errors import PolicyError, UsageError
from raptchat.foreign_sessions import Conversation
from raptchat.naming import as_argument
from raptchat.records import Group, Session

if TYPE_CHECKING:
    from raptchat.foreign_sessions.llm_log import LlmLog
    from raptchat.store import Store

# What one transaction takes in at most: others wait for it to end.
_AT_ONCE = 50
_CHARACTERS_AT_ONCE = 4 * 2**20


class Taken(NamedTuple):
    """How many conversations are *new* here, were *continued* with what came since, or are here *unchanged*.

    *diverged* ones went on here otherwise than there, *elsewhere* are those of another group: both are left alone.
    *unreadable* ones could not be taken over.
    """

    new: int = 0
    continued: int = 0
    unchanged: int = 0
    diverged: int = 0
    elsewhere: int = 0
    unreadable: int = 0


def take_over(
    store: "Store", log: "LlmLog", group: Group, *, progress: Callable[[int, int], None] = lambda *_: None
) -> Taken:
    """Make what is in *log* sessions of *group*; a few conversations are one transaction.

    *progress* is told how many of how many are done, while there are more. What was taken over before is only
    added to, and what cannot be read is left out. `UsageError` when the log cannot be read at all, `PolicyError`
    for a group that keeps no conversation, and what writing to the store raises.
    """
    if group.policy.no_history:
        raise PolicyError(
            f"group `{group.name}` keeps no conversations",
            hint=f"raptchat group set {as_argument(group.name)} --history",
        )
    ids, taken = log.ids(), Taken()
    done = 0
    for batch in _batches(log, ids):
        with store.write():
            current = store.groups.require(group.id)
            for conversation in batch:
                what = _take_in(store, conversation, current) if conversation else "unreadable"
                taken = taken._replace(**{what: getattr(taken, what) + 1})
        done += len(batch)
        if done < len(ids):
            progress(done, len(ids))
    return taken


def session_id(conversation: Conversation) -> str:
    """The id of the session that a conversation becomes, the same wherever that is done (RFC 9562, UUIDv5)."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"https://llm.datasette.io/conversations/{conversation.id}"))


def _batches(log: "LlmLog", ids: list[str]) -> Iterator[list[Conversation | None]]:
    """The conversations, with `None` for what cannot be read; read before a transaction begins."""
    batch: list[Conversation | None] = []
    size = 0
    for id_ in ids:
        conversation = None
        try:
            conversation = log.conversation(id_)
            size += sum(len(one.content) for one in conversation.messages)
        except UsageError:
            pass
        batch.append(conversation)
        if len(batch) == _AT_ONCE or size > _CHARACTERS_AT_ONCE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _take_in(store: "Store", conversation: Conversation, group: Group) -> str:
    """Which of `Taken` it is."""
    messages = conversation.messages
    if not messages:
        return "unreadable"
    id_ = session_id(conversation)
    there = store.sessions.get(id_)
    if there is None:
        began, last = messages[0].created_at, messages[-1].created_at
        session = Session(
            id_, group.id, conversation.title, conversation.model, conversation.system, began, max(began, last)
        )
        store.sessions.put(session)
        known = 0
    elif there.group_id != group.id:
        return "elsewhere"
    else:
        here = [(one.role, one.content) for one in store.sessions.messages(id_)]
        known, now = len(here), [(one.role, one.content) for one in messages]
        if now == here[: len(now)]:
            return "unchanged"
        if here != now[:known]:
            return "diverged"
    for message in messages[known:]:
        store.sessions.put_message(id_, message)
    if there is None:
        return "new"
    store.sessions.set(id_, last_used_at=max(there.last_used_at, messages[-1].created_at))
    return "continued"
