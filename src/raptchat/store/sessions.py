"""Sessions and their messages."""

import uuid
from dataclasses import dataclass

from raptchat.clock import utc_now
from raptchat.records import Message, Role, Session, State
from raptchat.store.connection import Connection
from raptchat.store.rows import record
from raptchat.store.search import SearchIndex

COLUMNS = "id, group_id, title, model, system_prompt, created_at, last_used_at"
MESSAGE_COLUMNS = "role, content, seq, state, model, created_at, reasoning, reasoning_details"
_WRITTEN = "content, state, model, reasoning, reasoning_details"
_VALUES = ":content, :state, :model, :reasoning, :reasoning_details"


@dataclass(frozen=True, slots=True)
class Listed:
    """A session as a list shows it: with how many messages it has."""

    session: Session
    messages: int


class Sessions:
    """Conversations; each belongs to one group for ever."""

    def __init__(self, db: Connection, index: SearchIndex) -> None:
        self._db = db
        self._index = index

    def add(
        self, group_id: str, *, title: str | None = None, model: str | None = None, system: str | None = None
    ) -> Session:
        """A new session of a group."""
        now = utc_now()
        session = Session(str(uuid.uuid4()), group_id, title, model, system, now, now)
        self._db.execute(
            f"INSERT INTO sessions ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (session.id, group_id, title, model, system, now, now),
        )
        return session

    def get(self, session_id: str) -> Session | None:
        """The session with this id."""
        row = self._db.row(f"SELECT {COLUMNS} FROM sessions WHERE id = ?", (session_id,))
        return record(Session, row) if row else None

    def with_prefix(self, prefix: str) -> list[Session]:
        """The sessions whose id begins with *prefix*."""
        rows = self._db.rows(
            f"SELECT {COLUMNS} FROM sessions WHERE id >= ? AND id < ? ORDER BY last_used_at DESC LIMIT 10",
            (prefix, prefix + "\U0010ffff"),
        )
        return [record(Session, row) for row in rows]

    def last_used(self, group_id: str) -> Session | None:
        """The session that was used last in a group; one of refused questions only if there is no other."""
        row = self._db.row(
            f"SELECT {COLUMNS} FROM sessions WHERE group_id = ? ORDER BY EXISTS"
            " (SELECT 1 FROM messages WHERE session_id = sessions.id AND state <> 'failed') DESC,"
            " last_used_at DESC, rowid DESC LIMIT 1",
            (group_id,),
        )
        return record(Session, row) if row else None

    def listed(self, group_id: str | None = None, *, limit: int = -1) -> list[Listed]:
        """Sessions, the last used first, of one group or of all; all of them with a *limit* of -1."""
        rows = self._db.rows(
            f"SELECT {COLUMNS}, (SELECT count(*) FROM messages WHERE session_id = sessions.id) AS messages"
            " FROM sessions WHERE :group_id IS NULL OR group_id = :group_id"
            " ORDER BY last_used_at DESC, rowid DESC LIMIT :limit",
            {"group_id": group_id, "limit": limit},
        )
        return [Listed(messages=row.pop("messages"), session=record(Session, row)) for row in rows]

    def set(self, session_id: str, **values: str | None) -> None:
        """Change columns of a session."""
        assignments = ", ".join(f"{column} = :{column}" for column in values)
        self._db.execute(f"UPDATE sessions SET {assignments} WHERE id = :id", {**values, "id": session_id})

    def remove(self, session_id: str) -> None:
        """Delete a session with its messages; their text is overwritten in the file (secure_delete)."""
        self._index.forget("session_id = ?", (session_id,))
        self._db.execute("DELETE FROM sessions WHERE id = ?", (session_id,))

    def messages(self, session_id: str) -> list[Message]:
        """All messages of a session, in order."""
        rows = self._db.rows(
            f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE session_id = ? ORDER BY seq", (session_id,)
        )
        return [record(Message, row) for row in rows]

    def history(self, session_id: str, limit: int, *, before: int | None = None) -> list[Message]:
        """The last *limit* messages, up to *before*, that go with a new one: all but questions that were refused."""
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
        """Append a message and return its `seq`; the session is in use now."""
        now = utc_now()
        row = self._db.row(
            f"INSERT INTO messages (session_id, seq, {_WRITTEN}, role, created_at)"
            f" SELECT :session_id, 1 + coalesce(max(seq), 0), {_VALUES}, :role, :now"
            " FROM messages WHERE session_id = :session_id RETURNING seq",
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
        self._index.take_in("session_id = ? AND seq = ?", (session_id, row["seq"]))
        self.set(session_id, last_used_at=now)
        return int(row["seq"])

    def update_message(
        self,
        session_id: str,
        seq: int,
        *,
        content: str,
        state: State,
        model: str | None,
        reasoning: str | None = None,
        reasoning_details: str | None = None,
    ) -> None:
        """Replace what a message holds so far."""
        self._index.leave_out("session_id = ? AND seq = ?", (session_id, seq))
        self._db.execute(
            f"UPDATE messages SET ({_WRITTEN}) = ({_VALUES}) WHERE session_id = :session_id AND seq = :seq",
            {
                "content": content,
                "state": state,
                "model": model,
                "reasoning": reasoning,
                "reasoning_details": reasoning_details,
                "session_id": session_id,
                "seq": seq,
            },
        )
        self._index.take_in("session_id = ? AND seq = ?", (session_id, seq))

    def remove_messages(self, session_id: str, *, since: int) -> None:
        """Delete the messages of a session from the one with `seq` *since* on, for good."""
        self._index.forget("session_id = ? AND seq >= ?", (session_id, since))
        self._db.execute("DELETE FROM messages WHERE session_id = ? AND seq >= ?", (session_id, since))

    def move_messages(self, session_id: str, *, from_seq: int, to_seq: int) -> None:
        """Put the messages of a session from *from_seq* on in the place of those from *to_seq* to there."""
        doomed = {"session_id": session_id, "to": to_seq, "from": from_seq}
        self._index.forget("session_id = :session_id AND seq >= :to AND seq < :from", doomed)
        self._db.execute(
            "DELETE FROM messages WHERE session_id = :session_id AND seq >= :to AND seq < :from", doomed
        )
        # In two moves, so that no number is taken twice on the way.
        far = 1 << 40
        for step in (far, to_seq - from_seq - far):
            self._db.execute(
                "UPDATE messages SET seq = seq + ? WHERE session_id = ? AND seq >= ?", (step, session_id, from_seq)
            )

    def mark(self, session_id: str, seq: int, state: State) -> None:
        """Change the state of a message."""
        self._db.execute(
            "UPDATE messages SET state = ? WHERE session_id = ? AND seq = ?", (state, session_id, seq)
        )
