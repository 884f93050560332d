"""One SQLite file: groups, credentials, sessions, messages, usage, events."""

from contextlib import AbstractContextManager
from pathlib import Path

from raptchat.errors import StoreError
from raptchat.store import row_sums
from raptchat.store.attachments import Attachments
from raptchat.store.checks import Checks
from raptchat.store.connection import Connection
from raptchat.store.credentials import Credentials
from raptchat.store.groups import Groups
from raptchat.store.ledger import Ledger
from raptchat.store.migrations import migrate
from raptchat.store.search import SearchIndex
from raptchat.store.sessions import Sessions
from raptchat.store.vault import VaultRows


class Store:
    """An open store, with one attribute for each noun; close it when done."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        index = SearchIndex(connection)
        self.groups = Groups(connection, index)
        self.credentials = Credentials(connection)
        self.sessions = Sessions(connection, index)
        self.attachments = Attachments(connection)
        self.ledger = Ledger(connection)
        self.vault = VaultRows(connection)
        self.checks = Checks(connection)

    @classmethod
    def open(cls, path: Path) -> "Store":
        """Open the store at *path*, made when it is not there, and run what migrations are pending.

        Raises `StoreError` for a file that is damaged, newer than this program, not ours, or that others can
        write; such a file is left as it is.
        """
        connection = Connection(path)
        try:
            migrate(connection)
        except BaseException:
            connection.close()
            raise
        connection.before_first_write(row_sums.keep_true)
        return cls(connection)

    @property
    def id(self) -> str:
        """The store's own id; what is sealed in one store does not open in another."""
        row = self._connection.row("SELECT id FROM store")
        if row is None:
            raise StoreError(f"the store `{self._connection.path}` is damaged: it has no id")
        return str(row["id"])

    def write(self) -> AbstractContextManager[None]:
        """A transaction that may write; one inside another is part of it."""
        return self._connection.write()

    def snapshot(self) -> AbstractContextManager[None]:
        """A transaction that only reads: what is read in it is of one moment."""
        return self._connection.snapshot()

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()
