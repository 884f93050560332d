"""The files that go with messages; each content is kept once, by its SHA-256."""

from collections.abc import Iterable

from raptchat.errors import StoreError, UsageError
from raptchat.outside import safe_line
from raptchat.records import Attachment
from raptchat.store.connection import Connection
from raptchat.store.rows import record


class Attachments:
    """Files, by the message they go with; one that no message needs any more is gone (a trigger)."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def add(self, message_id: int, attachments: Iterable[Attachment]) -> None:
        """Keep *attachments* with a message; `UsageError` when one has not the content that its hash names."""
        import hashlib  # it brings OpenSSL, which no list needs

        for position, one in enumerate(attachments):
            # Else a later message would be sent with the file of somebody else.
            if one.content is None or hashlib.sha256(one.content).hexdigest() != one.hash:
                raise UsageError(f"the content of `{safe_line(one.name)}` is not there", hint="attach it again")
            self._db.execute(
                "INSERT INTO attachments (hash, size, content) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                (one.hash, one.size, one.content),
            )
            self._db.execute(
                "INSERT INTO message_attachments (message_id, position, hash, name, media_type)"
                " VALUES (?, ?, ?, ?, ?)",
                (message_id, position, one.hash, one.name, one.media_type),
            )

    def of_session(
        self, session_id: str, *, with_content: bool, since: int = 1
    ) -> dict[int, tuple[Attachment, ...]]:
        """The attachments of a session's messages, by their `seq`, from the one numbered *since* on."""
        found: dict[int, tuple[Attachment, ...]] = {}
        contents: dict[str, bytes] = {}
        for row in self._db.rows(
            "SELECT seq, name, media_type, hash, size FROM messages"
            " JOIN message_attachments ON message_id = messages.id JOIN attachments USING (hash)"
            " WHERE session_id = ? AND seq >= ? ORDER BY seq, position",
            (session_id, since),
        ):
            seq, hash_ = row.pop("seq"), row["hash"]
            if with_content and hash_ not in contents:
                contents[hash_] = self.content(hash_)
            one = record(Attachment, {**row, "content": contents.get(hash_)})
            found[seq] = (*found.get(seq, ()), one)
        return found

    def content(self, hash: str) -> bytes:  # noqa: A002 - the column's name
        """The content with this hash; `StoreError` when the store has lost it."""
        row = self._db.row("SELECT content FROM attachments WHERE hash = ?", (hash,))
        if row is None:
            raise StoreError(f"the store is damaged: it has no attachment `{hash[:12]}`")
        return bytes(row["content"])
