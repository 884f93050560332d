"""One SQLite file: groups, credentials, sessions, messages, usage, events."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from raptchat.errors import StoreError
from raptchat.store.attachments import Attachments
from raptchat.store.connection import Connection
from raptchat.store.credentials import Credentials
from raptchat.store.groups import Groups
from raptchat.store.ledger import Ledger
from raptchat.store.sessions import Sessions
from raptchat.store.vault import VaultRows
from raptchat.store.version import NEWEST, upgrade_lock, version_of
from raptchat.store.word_index import WordIndex

if TYPE_CHECKING:
    from raptchat.store.budgets import Budgets
    from raptchat.store.checks import Checks
    from raptchat.store.management import Management


class Store:
    """An open store, with one attribute for each noun; close it when done."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        index = WordIndex(connection)
        self.groups = Groups(connection, index)
        self.credentials = Credentials(connection)
        self.sessions = Sessions(connection, index)
        self.attachments = Attachments(connection)
        self.ledger = Ledger(connection)
        self.vault = VaultRows(connection)

    @classmethod
    def open(cls, path: Path, *, show: Callable[[str], None] = lambda _: None) -> "Store":
        """Open the store at *path*, made when it is not there, and run what migrations are pending.

        *show* is handed what is waited for, once that takes a second: a line in the place of the one before, and
        an empty one at the end. Raises `StoreError` for a file that is damaged, newer than this program, not
        ours, or that others can write; such a file is left as it is.
        """
        if os.path.lexists(upgrade_lock(path)):
            from raptchat.store.upgrade import await_upgrade

            await_upgrade(path, show=show)
        connection = Connection(path)
        try:
            if version_of(connection) < NEWEST:
                from raptchat.store.upgrade import migrate

                migrate(connection, show=show)
        except BaseException:
            connection.close()
            raise
        connection.before_first_write(_keep_row_sums_true)
        return cls(connection)

    @cached_property
    def budgets(self) -> "Budgets":
        """What groups have spent, and what is reserved; most have no budget, and need none of it."""
        from raptchat.store.budgets import Budgets

        return Budgets(self._connection)

    @cached_property
    def management(self) -> "Management":
        """The management keys, and the work with them that is not finished."""
        from raptchat.store.management import Management

        return Management(self._connection)

    @cached_property
    def checks(self) -> "Checks":
        """What can be wrong with the store, looked for."""
        from raptchat.store.checks import Checks

        return Checks(self._connection)

    @property
    def id(self) -> str:
        """The store's own id; what is sealed in one store does not open in another."""
        row = self._connection.row("SELECT id FROM store")
        if row is None:
            raise StoreError(f"the store `{self._connection.path}` is damaged: it has no id")
        return str(row["id"])

    def counts(self) -> dict[str, int]:
        """How many groups, credentials and sessions there are."""
        row = self._connection.row(
            "SELECT (SELECT count(*) FROM groups) AS groups, (SELECT count(*) FROM ai_credentials) AS credentials,"
            " (SELECT count(*) FROM sessions) AS sessions"
        )
        assert row is not None
        return row

    def write(self) -> AbstractContextManager[None]:
        """A transaction that may write; one inside another is part of it."""
        return self._connection.write()

    def snapshot(self) -> AbstractContextManager[None]:
        """A transaction that only reads: what is read in it is of one moment."""
        return self._connection.snapshot()

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()


def _keep_row_sums_true(connection: Connection) -> None:
    from raptchat.store import row_sums

    row_sums.keep_true(connection)
