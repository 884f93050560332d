"""The files that go with messages; each content is kept once, by its SHA-256."""

from collections.abc import Iterable

from raptchat.errors import StoreError
from raptchat.records import Attachment
from raptchat.store.connection import Connection
from raptchat.store.rows import record


class Attachments:
    """Files, by the message they go with; one that no message needs any more is gone (a trigger)."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def add(self, session_id: str, seq: int, attachments: Iterable[Attachment]) -> None:
        """Keep *attachments*, which have their content, with a message."""
        for position, one in enumerate(attachments):
            self._db.execute(
                "INSERT INTO attachments (hash, size, content) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                (one.hash, one.size, one.content),
            )
            self._db.execute(
                "INSERT INTO message_attachments (message_id, position, hash, name, media_type)"
                " SELECT id, ?, ?, ?, ? FROM messages WHERE session_id = ? AND seq = ?",
                (position, one.hash, one.name, one.media_type, session_id, seq),
            )

    def of_session(self, session_id: str, *, with_content: bool) -> dict[int, tuple[Attachment, ...]]:
        """The attachments of a session's messages, by their `seq`."""
        content = "attachments.content" if with_content else "NULL AS content"
        found: dict[int, tuple[Attachment, ...]] = {}
        for row in self._db.rows(
            f"SELECT seq, name, media_type, hash, size, {content} FROM messages"
            " JOIN message_attachments ON message_id = messages.id JOIN attachments USING (hash)"
            " WHERE session_id = ? ORDER BY seq, position",
            (session_id,),
        ):
            seq = row.pop("seq")
            found[seq] = (*found.get(seq, ()), record(Attachment, row))
        return found

    def content(self, hash: str) -> bytes:  # noqa: A002 - the column's name
        """The content with this hash; `StoreError` when the store has lost it."""
        row = self._db.row("SELECT content FROM attachments WHERE hash = ?", (hash,))
        if row is None:
            raise StoreError(f"the store is damaged: it has no attachment `{hash[:12]}`")
        return bytes(row["content"])
