"""The store's file as it lies there, looked at without making, migrating or repairing anything.

What kind of file it is stands in the database header (SQLite file format, section 1.3), which can be read whatever
state the rest is in. SQLite itself opens only what that says it can open without writing beside it.
"""

import os
import shlex
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self

from raptchat.doctor.finding import Finding, ok, problem, warning
from raptchat.errors import StoreBusyError, StoreError
from raptchat.store import Store
from raptchat.store.connection import APPLICATION_ID
from raptchat.store.peek import ReadOnlyConnection
from raptchat.store.version import NEWEST

# How long a writer is waited for, and how long reading all of a large store may take.
PATIENCE_SECONDS = 2.0
READING_SECONDS = 60.0

RESTORE = "raptchat restore BACKUP"

_MAGIC = b"SQLite format 3\0"
_HEADER_SIZE = 100
_WAL = 2

# `absent` also stands for a file without content, `closed` for all that cannot be read, or not now.
State = Literal["absent", "closed", "older", "current"]
Look = tuple[State, tuple[Finding, ...]]


@dataclass(frozen=True, slots=True)
class StoreFile:
    """A store's file: its *state*, and what is to be said of it."""

    path: Path
    state: State
    findings: tuple[Finding, ...]
    _open: list[ReadOnlyConnection] = field(default_factory=list, compare=False)

    @classmethod
    def at(cls, path: Path) -> Self:
        """The file at *path*, whatever is there."""
        return cls(path, *_look(path))

    @contextmanager
    def opened(self) -> Iterator[Store]:
        """The store, to be read from; `StoreError` where that fails or takes too long."""
        connection = ReadOnlyConnection(self.path, patience=PATIENCE_SECONDS, seconds=READING_SECONDS)
        self._open.append(connection)
        try:
            yield Store(connection)
        finally:
            self._open.remove(connection)
            connection.close()

    def interrupt(self) -> None:
        """End whatever another thread is reading."""
        for connection in list(self._open):
            connection.raw.interrupt()


def _look(path: Path) -> Look:
    try:
        header = _header(path)
    except FileNotFoundError:
        return _nothing_there(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "its path is none"
        return _closed(f"`{path}` cannot be read: {reason}", f"ls -ld {_word(path)}")
    if header is None:
        return _closed(f"`{path}` is not a file", "name another with --store")
    if not header:
        return "absent", (ok("store", "file", f"`{path}` is empty: the next command makes its tables"),)
    if not header.startswith(_MAGIC) or len(header) < _HEADER_SIZE:
        return _closed(f"`{path}` is damaged, or no store of raptchat", RESTORE)
    return _look_inside(path, header)


def _nothing_there(path: Path) -> Look:
    if path.is_symlink():
        return _closed(f"`{path}` is a link that leads nowhere", "put the store back where it leads")
    return "absent", (ok("store", "file", f"not made yet: the first group makes `{path}`"),)


def _look_inside(path: Path, header: bytes) -> Look:
    version, application = (int.from_bytes(header[at : at + 4], "big") for at in (60, 68))
    if application != APPLICATION_ID:
        return _closed(f"`{path}` is a database, but no store of raptchat", "name another with --store")
    there = ok("store", "file", f"`{path}`")
    if version > NEWEST:
        text = f"made by a newer raptchat (version {version}, known here: {NEWEST})"
        return "closed", (there, problem("store", "schema", text, "upgrade raptchat"))
    if _WAL in header[18:20]:
        # SQLite would make two more files to read it.
        mend = f"sqlite3 {_word(path)} 'PRAGMA journal_mode=DELETE'"
        return _closed(f"another program made `{path}` keep a write-ahead log (WAL)", mend)
    if obstacle := _obstacle(path):
        return "closed", (obstacle,)
    if version < NEWEST:
        text = f"version {version}: the next command brings it to {NEWEST}, and leaves a copy beside it"
        return "older", (there, warning("store", "schema", text, "raptchat group list"))
    return "current", (there, ok("store", "schema", f"version {version}, the newest that is known here"))


def _closed(text: str, fix: str) -> Look:
    return "closed", (problem("store", "file", text, fix),)


def _obstacle(path: Path) -> Finding | None:
    """What keeps SQLite from reading the file now, without a trace of having tried."""
    try:
        connection = ReadOnlyConnection(path, patience=PATIENCE_SECONDS, seconds=READING_SECONDS)
        try:
            connection.row("SELECT count(*) FROM sqlite_schema")
        finally:
            connection.close()
    except StoreBusyError:
        text = f"another process has been writing `{path}` for {PATIENCE_SECONDS:g} s"
        return problem("store", "file", text, f"wait for it, or find it: fuser {_word(path)}")
    except StoreError as error:
        # A journal that is left is played back by whoever may write; SQLite refuses to read without that.
        if getattr(error.__cause__, "sqlite_errorname", "").startswith("SQLITE_READONLY"):
            text = f"a command was killed while it wrote `{path}`; the next one undoes what was half done"
            return warning("store", "journal", text, "raptchat group list")
        return problem("store", "file", str(error), error.hint or RESTORE)
    return None


def _header(path: Path) -> bytes | None:
    """The database header; `None` for what is no plain file. Nobody here has the file open, so no lock is lost."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return os.read(descriptor, _HEADER_SIZE) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None
    finally:
        os.close(descriptor)


def _word(path: Path) -> str:
    return shlex.quote(str(path))
