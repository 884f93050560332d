"""Sessions and their messages."""

import uuid
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from raptchat.clock import utc_now
from raptchat.errors import StoreError
from raptchat.records import Message, Role, Session, SessionSummary, State
from raptchat.store.attachments import Attachments
from raptchat.store.connection import Connection
from raptchat.store.money import dollars
from raptchat.store.rows import as_asked, record
from raptchat.store.word_index import WordIndex

if TYPE_CHECKING:
    from raptchat.store.search import Found, Query

COLUMNS = "id, group_id, title, model, system_prompt, created_at, last_used_at"
MESSAGE_COLUMNS = "role, content, seq, state, model, created_at, reasoning, reasoning_details"
_WRITTEN = "content, state, model, reasoning, reasoning_details"
_VALUES = ":content, :state, :model, :reasoning, :reasoning_details"
_NAMES = COLUMNS.split(", ")
# Of the session whose id is `this`.
_COUNTS = (
    "(SELECT count(*) FROM messages WHERE session_id = this) AS messages,"
    " (SELECT sum(cost_nano_usd) FROM ai_usage WHERE session_id = this) AS cost_nano_usd,"
    " (SELECT count(*) - count(cost_nano_usd) FROM ai_usage WHERE session_id = this) AS unknown_costs"
)


class Sessions:
    """Conversations; each belongs to one group for ever."""

    def __init__(self, db: Connection, index: WordIndex) -> None:
        self._db = db
        self._index = index
        self._attachments = Attachments(db)
        self._owners: dict[str, str] = {}

    def add(
        self, group_id: str, *, title: str | None = None, model: str | None = None, system: str | None = None
    ) -> Session:
        """A new session of a group."""
        session = self.draft(group_id, title=title, model=model, system=system)
        self.put(session)
        return session

    def draft(
        self, group_id: str, *, title: str | None = None, model: str | None = None, system: str | None = None
    ) -> Session:
        """A new session that is not kept yet."""
        now = utc_now()
        return Session(str(uuid.uuid4()), group_id, title, model, system, now, now)

    def put(self, session: Session) -> None:
        """Keep a session as it is, such as one of another store; no other has its id."""
        self._db.execute(
            f"INSERT INTO sessions ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",
            [getattr(session, column) for column in _NAMES],
        )

    def get(self, session_id: str) -> Session | None:
        """The session with this id."""
        row = self._db.row(f"SELECT {COLUMNS} FROM sessions WHERE id = ?", (session_id,))
        return as_asked(self._session(row), id=session_id) if row else None

    def with_prefix(self, prefix: str) -> list[Session]:
        """The sessions whose id begins with *prefix*."""
        rows = self._db.rows(
            f"SELECT {COLUMNS} FROM sessions WHERE id >= ? AND id < ? ORDER BY last_used_at DESC LIMIT 10",
            (prefix, prefix + "\U0010ffff"),
        )
        return [session for session in map(self._session, rows) if session.id.startswith(prefix)]

    def last_used(self, group_id: str) -> Session | None:
        """The session that was used last in a group; one of refused questions only if there is no other."""
        of_group = f"SELECT {COLUMNS} FROM sessions WHERE group_id = ?"
        answered = "EXISTS (SELECT 1 FROM messages WHERE session_id = sessions.id AND state <> 'failed')"
        newest = "ORDER BY last_used_at DESC, rowid DESC LIMIT 1"
        # Two questions, for each of which the index is read from its end and no further than to the answer.
        row = self._db.row(f"{of_group} AND {answered} {newest}", (group_id,))
        row = row or self._db.row(f"{of_group} {newest}", (group_id,))
        return as_asked(self._session(row), group_id=group_id) if row else None

    def listed(self, group_id: str | None = None, *, limit: int = -1) -> list[SessionSummary]:
        """Sessions, the last used first, of one group or of all; all of them with a *limit* of -1."""
        of_group = "WHERE group_id = :group_id" if group_id is not None else ""
        newest = "ORDER BY last_used_at DESC, number DESC"
        # The limit first: only of the sessions that are shown are the messages counted and the costs summed.
        rows = self._db.rows(
            f"SELECT {COLUMNS}, {_COUNTS} FROM (SELECT {COLUMNS}, id AS this, rowid AS number FROM sessions"
            f" {of_group} {newest} LIMIT :limit) {newest}",
            {"group_id": group_id, "limit": limit},
        )
        return [_summary(self._session({name: row.pop(name) for name in _NAMES}), row) for row in rows]

    def summary(self, session: Session) -> SessionSummary:
        """*session* as a list shows it."""
        row = self._db.row(f"SELECT {_COUNTS} FROM (SELECT ? AS this)", (session.id,))
        assert row is not None
        return _summary(session, row)

    def search(
        self,
        query: "Query",
        *,
        group_ids: Collection[str] | None = None,
        limit: int = -1,
        best: bool = False,
        everything: bool = False,
    ) -> "Found":
        """The messages that *query* finds in these groups, or in all; see `search.find`."""
        from raptchat.store.search import find  # nobody else needs what it loads

        return find(self._db, query, group_ids=group_ids, limit=limit, best=best, everything=everything)

    def set(self, session_id: str, **values: str | None) -> None:
        """Change columns of a session."""
        assignments = ", ".join(f"{column} = :{column}" for column in values)
        self._db.execute(f"UPDATE sessions SET {assignments} WHERE id = :id", {**values, "id": session_id})

    def copy(self, session_id: str, *, title: str | None, until: int) -> Session:
        """A new session with the messages of another up to `seq` *until*, and what belongs to them; no usage."""
        original = self.get(session_id)
        assert original is not None  # the caller has found it in this transaction
        fork = self.add(original.group_id, title=title, model=original.model, system=original.system_prompt)
        both = {"original": session_id, "fork": fork.id, "until": until}
        self._db.execute(
            f"INSERT INTO messages (session_id, {MESSAGE_COLUMNS}) SELECT :fork, {MESSAGE_COLUMNS} FROM messages"
            " WHERE session_id = :original AND seq <= :until ORDER BY seq",
            both,
        )
        self._db.execute(
            "INSERT INTO message_attachments (message_id, position, hash, name, media_type)"
            " SELECT copied.id, position, hash, name, media_type FROM messages AS copied"
            " JOIN messages AS first ON first.session_id = :original AND first.seq = copied.seq"
            " JOIN message_attachments ON message_id = first.id WHERE copied.session_id = :fork",
            both,
        )
        self._index.take_in("session_id = ?", (fork.id,))
        return fork

    def remove(self, session_id: str) -> None:
        """Delete a session with its messages; `scrub` then takes what may be left of their text."""
        self._remove("id = ?", (session_id,))

    def count_unused_since(self, time: str, *, group_id: str | None = None) -> int:
        """How many sessions, of one group or of all, were last used before *time*."""
        where, parameters = _unused_since(time, group_id)
        row = self._db.row(f"SELECT count(*) AS sessions FROM sessions WHERE {where}", parameters)
        assert row is not None
        return int(row["sessions"])

    def remove_unused_since(self, time: str, *, group_id: str | None = None) -> int:
        """Delete the sessions, of one group or of all, that were last used before *time*; how many there were."""
        return self._remove(*_unused_since(time, group_id))

    def questions(self, session_id: str) -> list[tuple[str, str]]:
        """What was asked in a session: the group's id and the text, for each question."""
        return self._questions("sessions.id = ?", (session_id,))

    def questions_unused_since(self, time: str, *, group_id: str | None = None) -> list[tuple[str, str]]:
        """What was asked in the sessions that were last used before *time*: as `questions`."""
        return self._questions(*_unused_since(time, group_id))

    def _questions(self, where: str, parameters: tuple[str, ...]) -> list[tuple[str, str]]:
        rows = self._db.rows(
            "SELECT group_id, content FROM sessions JOIN messages ON session_id = sessions.id"
            f" WHERE role = 'user' AND {where}",
            parameters,
        )
        return [(row["group_id"], row["content"]) for row in rows]

    def scrub(self) -> None:
        """Write the file anew, outside of a transaction: nothing of what was removed is left in it.

        What is deleted is overwritten (secure_delete). But where SQLite had moved a row to another page to balance
        its tree, a copy stays in the gap between the rows of the first one.
        """
        self._db.execute("VACUUM")

    def _session(self, row: dict[str, Any]) -> Session:
        session = record(Session, row)
        # Whose it is was looked at before the message was stored: it must be the same when the key is opened.
        return as_asked(session, group_id=self._owners.setdefault(session.id, session.group_id))

    def _remove(self, where: str, parameters: tuple[str, ...]) -> int:
        self._index.forget(f"session_id IN (SELECT id FROM sessions WHERE {where})", parameters)
        return self._db.execute(f"DELETE FROM sessions WHERE {where}", parameters).rowcount

    def messages(self, session_id: str) -> list[Message]:
        """All messages of a session, in order; of their attachments all but the content."""
        rows = self._db.rows(
            f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE session_id = ? ORDER BY seq", (session_id,)
        )
        attachments = self._attachments.of_session(session_id, with_content=False)
        found = [record(Message, row) for row in rows]
        return [one._replace(attachments=attachments.get(one.seq, ())) for one in found]

    def history(self, session_id: str, limit: int, *, before: int | None = None) -> list[Message]:
        """The last *limit* messages, up to *before*, that go with a new one: all but refused questions."""
        rows = self._db.rows(
            f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE session_id = :session_id"
            " AND (:before IS NULL OR seq < :before) AND NOT (role = 'user' AND state = 'failed')"
            " ORDER BY seq DESC LIMIT :limit",
            {"session_id": session_id, "before": before, "limit": limit},
        )
        return [record(Message, row) for row in reversed(rows)]

    def add_message(
        self,
        session_id: str,
        role: Role,
        content: str,
        *,
        state: State = "complete",
        model: str | None = None,
        reasoning: str | None = None,
        reasoning_details: str | None = None,
    ) -> int:
        """Append a message and return its id, which no other ever has; the session is in use now."""
        now = utc_now()
        row = self._db.row(
            f"INSERT INTO messages (session_id, seq, {_WRITTEN}, role, created_at)"
            f" SELECT :session_id, 1 + coalesce(max(seq), 0), {_VALUES}, :role, :now"
            " FROM messages WHERE session_id = :session_id RETURNING id",
            {
                "session_id": session_id,
                "role": role,
                "content": content,
                "state": state,
                "model": model,
                "reasoning": reasoning,
                "reasoning_details": reasoning_details,
                "now": now,
            },
        )
        assert row is not None
        self._index.take_in("id = ?", (row["id"],))
        self.set(session_id, last_used_at=now)
        return int(row["id"])

    def put_message(self, session_id: str, message: Message) -> int:
        """Keep a message as it is, but for its attachments, at its own place and time; returns its id."""
        columns = MESSAGE_COLUMNS.split(", ")
        row = self._db.row(
            f"INSERT INTO messages (session_id, {MESSAGE_COLUMNS})"
            f" VALUES ({', '.join('?' * (1 + len(columns)))}) RETURNING id",
            [session_id, *(getattr(message, column) for column in columns)],
        )
        assert row is not None
        self._index.take_in("id = ?", (row["id"],))
        return int(row["id"])

    def message_id(self, session_id: str, seq: int) -> int | None:
        """The id of the message with this `seq`, which it keeps when others before it go."""
        row = self._db.row("SELECT id FROM messages WHERE session_id = ? AND seq = ?", (session_id, seq))
        return int(row["id"]) if row else None

    def has_message(self, message_id: int) -> bool:
        """Whether the message is still there."""
        return self._db.row("SELECT 1 AS one FROM messages WHERE id = ?", (message_id,)) is not None

    def update_message(
        self,
        message_id: int,
        *,
        content: str,
        state: State,
        model: str | None,
        reasoning: str | None = None,
        reasoning_details: str | None = None,
    ) -> None:
        """Replace what a message holds so far, if it is still there."""
        self._index.leave_out("id = ?", (message_id,))
        self._db.execute(
            f"UPDATE messages SET ({_WRITTEN}) = ({_VALUES}) WHERE id = :id",
            {
                "content": content,
                "state": state,
                "model": model,
                "reasoning": reasoning,
                "reasoning_details": reasoning_details,
                "id": message_id,
            },
        )
        self._index.take_in("id = ?", (message_id,))

    def remove_messages(self, session_id: str, *, since: int) -> None:
        """Delete the messages of a session from the one with `seq` *since* on; see `scrub`."""
        self._index.forget("session_id = ? AND seq >= ?", (session_id, since))
        self._db.execute("DELETE FROM messages WHERE session_id = ? AND seq >= ?", (session_id, since))

    def move_messages(self, first: int, *, instead_of: int) -> None:
        """Put the message with the id *first*, and all after it, in the place of *instead_of* and all up to there.

        Nothing changes where one of the two is gone.
        """
        row = self._db.row(
            "SELECT new.session_id, new.seq AS start, old.seq AS place FROM messages AS new JOIN messages AS old"
            " USING (session_id) WHERE new.id = :first AND old.id = :instead_of AND old.seq < new.seq",
            {"first": first, "instead_of": instead_of},
        )
        if row is None:
            return
        doomed = "session_id = :session_id AND seq >= :place AND seq < :start"
        self._index.forget(doomed, row)
        self._db.execute(f"DELETE FROM messages WHERE {doomed}", row)
        # In two moves, so that no number is taken twice on the way.
        far = 1 << 40
        for step in (far, row["place"] - row["start"] - far):
            self._db.execute(
                "UPDATE messages SET seq = seq + :step WHERE session_id = :session_id AND seq >= :start",
                {**row, "step": step},
            )

    def mark(self, message_id: int, state: State) -> None:
        """Change the state of a message."""
        self._db.execute("UPDATE messages SET state = ? WHERE id = ?", (state, message_id))


def _summary(session: Session, counts: dict[str, Any]) -> SessionSummary:
    cost = counts.pop("cost_nano_usd")
    if isinstance(cost, float):
        raise StoreError("the store is damaged: a cost in the ledger is of another type")
    return record(SessionSummary, {**counts, "session": session, "cost": dollars(cost)})


def _unused_since(time: str, group_id: str | None) -> tuple[str, tuple[str, ...]]:
    if group_id is None:
        return "last_used_at < ?", (time,)
    return "last_used_at < ? AND group_id = ?", (time, group_id)
