"""Sessions and their messages."""

import uuid
from dataclasses import dataclass

from raptchat.clock import utc_now
from raptchat.records import Message, Role, Session, State
from raptchat.store.connection import Connection
from raptchat.store.rows import record

COLUMNS = "id, group_id, title, model, system_prompt, created_at, last_used_at"
MESSAGE_COLUMNS = "role, content, seq, state, model, created_at"


@dataclass(frozen=True, slots=True)
class Listed:
    """A session as a list shows it: with how many messages it has."""

    session: Session
    messages: int


class Sessions:
    """Conversations; each belongs to one group for ever."""

    def __init__(self, db: Connection) -> None:
        self._db = db

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
        self._db.execute("DELETE FROM sessions WHERE id = ?", (session_id,))

    def messages(self, session_id: str) -> list[Message]:
        """All messages of a session, in order."""
        rows = self._db.rows(
            f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE session_id = ? ORDER BY seq", (session_id,)
        )
        return [record(Message, row) for row in rows]

    def history(self, session_id: str, limit: int) -> list[Message]:
        """The last *limit* messages that go with a new one: all but questions that were refused."""
        rows = self._db.rows(
            f"SELECT {MESSAGE_COLUMNS} FROM messages"
            " WHERE session_id = ? AND NOT (role = 'user' AND state = 'failed') ORDER BY seq DESC LIMIT ?",
            (session_id, limit),
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
    ) -> int:
        """Append a message and return its `seq`; the session is in use now."""
        now = utc_now()
        row = self._db.row(
            "INSERT INTO messages (session_id, seq, role, content, state, model, created_at)"
            " SELECT :session_id, 1 + coalesce(max(seq), 0), :role, :content, :state, :model, :now"
            " FROM messages WHERE session_id = :session_id RETURNING seq",
            {
                "session_id": session_id,
                "role": role,
                "content": content,
                "state": state,
                "model": model,
                "now": now,
            },
        )
        assert row is not None
        self.set(session_id, last_used_at=now)
        return int(row["seq"])

    def update_message(self, session_id: str, seq: int, *, content: str, state: State, model: str | None) -> None:
        """Replace what a message holds so far."""
        self._db.execute(
            "UPDATE messages SET content = ?, state = ?, model = ? WHERE session_id = ? AND seq = ?",
            (content, state, model, session_id, seq),
        )

    def mark(self, session_id: str, seq: int, state: State) -> None:
        """Change the state of a message."""
        self._db.execute(
            "UPDATE messages SET state = ? WHERE session_id = ? AND seq = ?", (state, session_id, seq)
        )
