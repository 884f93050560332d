"""The store as it is, for a look that is not felt: it makes, migrates and writes nothing, and does not wait."""

import stat
import time
from pathlib import Path

from raptchat.errors import StoreError
from raptchat.store import Store
from raptchat.store.connection import Connection

_PATIENCE_SECONDS = 0.3
# How many instructions of SQLite's machine run between two looks at the clock: less than a millisecond's.
_INSTRUCTIONS = 10_000


class ReadOnlyConnection(Connection):
    """An open file that SQLite cannot write.

    Who writes it is waited for *patience* seconds; whatever is not read in *seconds* is a `StoreError`.
    """

    def __init__(
        self, path: Path, *, patience: float = _PATIENCE_SECONDS, seconds: float = _PATIENCE_SECONDS
    ) -> None:
        try:
            # What would wait for somebody who writes, such as a pipe, is not opened.
            if not stat.S_ISREG(path.stat().st_mode):
                raise StoreError(f"the store `{path}` is not a file")
        except (OSError, ValueError):
            raise StoreError(f"the store `{path}` cannot be opened") from None
        self._connect(path, mode="ro", timeout=patience)
        ends = time.monotonic() + seconds
        self.raw.set_progress_handler(lambda: time.monotonic() > ends, _INSTRUCTIONS)
        self.execute("PRAGMA trusted_schema=OFF")


def peek(path: Path) -> Store:
    """The store at *path*, to be read from at once and then closed; `StoreError` where there is none."""
    return Store(ReadOnlyConnection(path))
