"""The index of the words of all messages (SQLite FTS5, an external content table), kept true; `search.py` asks it.

Whoever writes messages keeps it true, in the same transaction: what is to change is left out before, and taken in
again after.
"""

from raptchat.store.connection import Connection, Parameters


class WordIndex:
    """The words of all messages."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def take_in(self, where: str, parameters: Parameters) -> None:
        """Add the messages for which *where* (a condition on `messages`) holds."""
        self._db.execute(
            f"INSERT INTO messages_fts (rowid, content) SELECT id, content FROM messages WHERE {where}", parameters
        )

    def leave_out(self, where: str, parameters: Parameters) -> None:
        """Take the messages out again for which *where* holds, while they are as they were taken in."""
        self._db.execute(
            "INSERT INTO messages_fts (messages_fts, rowid, content)"
            f" SELECT 'delete', id, content FROM messages WHERE {where}",
            parameters,
        )

    def forget(self, where: str, parameters: Parameters) -> None:
        """As `leave_out`, and their words are gone from the file with the end of the transaction."""
        self.leave_out(where, parameters)
        # What is left out is only marked, until the index's parts are merged (FTS5, "The 'optimize' command").
        self._db.execute("INSERT INTO messages_fts (messages_fts) VALUES ('optimize')")
