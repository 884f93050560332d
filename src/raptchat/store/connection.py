"""The connection to the store's file: its mode, its pragmas, its transactions, and the border of `sqlite3`.

Rollback journal and `synchronous=EXTRA`: a store must open on a read-only mount and survive a network home, and
a command line never waits long for the difference to WAL.
"""

import contextlib
import os
import shlex
import sqlite3
import stat
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, urlencode

from raptchat.errors import StoreBusyError, StoreError, UnconfirmedError, UsageError

BUSY_SECONDS = 30
# Between two tries to write; from none to twice as long, so that those who wait take turns.
_PAUSE_SECONDS = 0.01
# "rapt" in ASCII; marks the file as ours (SQLite file format, offset 68).
APPLICATION_ID = 0x72617074

# `recursive_triggers`: what REPLACE takes away is deleted as by DELETE, so that triggers see it go.
PRAGMAS = (
    "synchronous=EXTRA",
    "foreign_keys=ON",
    "secure_delete=ON",
    "trusted_schema=OFF",
    "recursive_triggers=ON",
)

Mode = Literal["ro", "rw", "copy", "temporary"]
Parameters = Sequence[object] | Mapping[str, object]
_QUERIES = {"ro": {"mode": "ro"}, "rw": {"mode": "rw"}, "copy": {"mode": "ro", "nolock": "1"}}
_CHANGES = ("INSERT", "UPDATE", "DELETE")


class DamagedStoreError(StoreError):
    """The file is no database, or one that SQLite finds damaged."""


class Connection:
    """One open file; writes are transactions that begin with `BEGIN IMMEDIATE`.

    *mode* `rw` makes the file where it is not there. `ro` writes nothing, whoever the file belongs to; `copy`
    neither, and takes no lock on what nobody else has yet. `temporary` is a database of its own that is nowhere to
    be found and gone once it is closed; errors call it *path*.
    """

    def __init__(self, path: Path, *, mode: Mode = "rw") -> None:
        path = path.absolute()
        if mode == "rw":
            # SQLite never makes the file, which would be readable by others.
            _make_file(path)
            _check_file(path)
        self._connect(path, mode=mode, timeout=BUSY_SECONDS)
        try:
            for pragma in PRAGMAS:
                self.execute(f"PRAGMA {pragma}")
        except BaseException:
            self.close()
            raise

    def _connect(self, path: Path, *, mode: Mode, timeout: float) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._before_writing: Callable[[Connection], None] | None = None
        self._writing = False
        with self.errors():
            self.raw = sqlite3.connect(
                # An empty name: a file that SQLite unlinks when it begins to write it ("Temporary Databases").
                "" if mode == "temporary" else uri(path, **_QUERIES[mode]),
                uri=True,
                timeout=timeout,
                isolation_level=None,
                # The lock is what keeps threads apart.
                check_same_thread=False,
            )
            self.raw.row_factory = sqlite3.Row
        # Also when nobody says `close`, such as a service made for one call.
        self.close = weakref.finalize(self, self.raw.close)

    def execute(self, sql: str, parameters: Parameters = ()) -> sqlite3.Cursor:
        """Run one statement; `StoreError` when the file does not let it."""
        with self._lock:
            if sql.startswith(_CHANGES) and not self._writing:
                with self.write():
                    return self.execute(sql, parameters)
            with self.errors():
                return self.raw.execute(sql, parameters)

    def row(self, sql: str, parameters: Parameters = ()) -> dict[str, Any] | None:
        """The first row, if there is one."""
        with self._lock, self.errors():
            row = self.raw.execute(sql, parameters).fetchone()
        return _named(row) if row is not None else None

    def rows(self, sql: str, parameters: Parameters = ()) -> list[dict[str, Any]]:
        """All rows."""
        with self._lock, self.errors():
            return [_named(row) for row in self.raw.execute(sql, parameters)]

    @contextlib.contextmanager
    def write(self) -> Iterator[None]:
        """A transaction that may write; one inside another is part of it."""
        # Never a plain BEGIN: a transaction that reads first and writes later fails at once when another
        # process wrote in between, whatever the busy timeout.
        with self._lock:
            if self._writing:
                yield
                return
            assert not self.raw.in_transaction, "a snapshot is not for writing"
            if self._before_writing is not None:
                self._before_writing(self)
                self._before_writing = None
            with self._transaction(self._begin_writing):
                self._writing = True
                try:
                    yield
                finally:
                    self._writing = False

    def before_first_write(self, prepare: "Callable[[Connection], None]") -> None:
        """Have *prepare* run once, before the first transaction that may write."""
        self._before_writing = prepare

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """A transaction that only reads: what is read in it is of one moment."""
        with self._transaction(lambda: self.execute("BEGIN")):
            yield

    @contextlib.contextmanager
    def _transaction(self, begin: Callable[[], object]) -> Iterator[None]:
        with self._lock:
            if self.raw.in_transaction:
                yield
                return
            try:
                begin()
                yield
                self.execute("COMMIT")
            except BaseException:
                # Without effect where a full disk has ended the transaction already; where the disk fails here
                # too, the journal undoes it when the store is next opened.
                with contextlib.suppress(sqlite3.Error):
                    self.raw.rollback()
                raise

    def _begin_writing(self) -> None:
        # Whoever waits by SQLite's own clock asks ten times a second in the end, while those who have just come
        # ask a hundred times: of fifty processes one could wait past any patience.
        ends = time.monotonic() + BUSY_SECONDS
        self.execute("PRAGMA busy_timeout=0")
        try:
            while True:
                try:
                    self.execute("BEGIN IMMEDIATE")
                except StoreBusyError:
                    if time.monotonic() > ends:
                        raise
                else:
                    return
                time.sleep(_PAUSE_SECONDS * os.urandom(1)[0] / 128)
        finally:
            self.execute(f"PRAGMA busy_timeout={int(BUSY_SECONDS * 1000)}")

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """The border of `sqlite3`: what it raises inside becomes a `StoreError`."""
        try:
            yield
        except sqlite3.Error as error:
            raise translated(error, self.path) from error
        except UnicodeDecodeError:  # SQLite's message about a damaged table quotes it
            raise damaged(self.path) from None
        except UnicodeEncodeError:
            raise UsageError("a text that is not valid UTF-8 cannot be stored") from None


def uri(path: Path, **query: str) -> str:
    """The name by which SQLite opens the file at *path*, an absolute one (SQLite, "URI Filenames")."""
    return f"file://{quote(os.fsencode(path))}?{urlencode(query)}"


def translated(error: sqlite3.Error, path: Path) -> StoreError:
    """What SQLite said of the store at *path*, as an error of ours."""
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return damaged(path)
    kind, problem, hint = StoreError, f"failed: {error}", ""
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        kind, problem = StoreBusyError, f"was held by another process for {BUSY_SECONDS} seconds"
        hint = "try again"
    elif name.startswith("SQLITE_FULL"):
        problem, hint = "cannot be written: the disk is full", "make room and try again"
    elif name == "SQLITE_IOERR_DIR_FSYNC":  # the journal is gone, and nothing will be undone
        kind, problem = UnconfirmedError, f"was changed, but the disk does not say that it will last: {error}"
    elif name == "SQLITE_READONLY_ROLLBACK":
        problem = "was left in the middle of a change, which is undone where it can be written"
        hint = f"raptchat --store {shlex.quote(str(path))} group list"
    elif name.startswith("SQLITE_READONLY"):
        problem = "cannot be written: it is read-only"
    return kind(f"the store `{path}` {problem}", hint=hint)


def _named(row: sqlite3.Row) -> dict[str, Any]:
    # Columns are called as in the schema, where a flipped bit can change the case of a letter unnoticed.
    return {name.lower(): row[name] for name in row.keys()}  # noqa: SIM118 - iterating over it gives the values


def damaged(path: Path) -> DamagedStoreError:
    """What is said of the file at *path* when it cannot be what raptchat wrote."""
    return DamagedStoreError(
        f"the store `{path}` is damaged, or no store of raptchat",
        hint="raptchat restore FILE puts a backup in its place; the file was not touched",
    )


def _make_file(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        os.close(os.open(path, flags, 0o600))
    except FileExistsError:
        return
    except ValueError:
        raise StoreError("the store's path holds a NUL character") from None
    except OSError as error:
        # A read-only folder or mount: the store in it can be read. (Path.exists raises for some paths.)
        if os.path.exists(path):  # noqa: PTH110
            return
        raise StoreError(f"the store `{path}` cannot be made: {error.strerror}") from None


def _check_file(path: Path) -> None:
    try:
        status = path.stat()
    except OSError as error:
        raise StoreError(f"the store `{path}` cannot be opened: {error.strerror}") from None
    if not stat.S_ISREG(status.st_mode):
        raise StoreError(f"the store `{path}` is not a file")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise StoreError(f"others can write the store `{path}`", hint=f"chmod 600 '{path}'")
    folder = path.resolve().parent.stat().st_mode
    if folder & stat.S_IWOTH and not folder & stat.S_ISVTX:
        raise StoreError(
            f"anyone can write the folder of the store `{path}`",
            hint=f"chmod 700 '{path.resolve().parent}', or name a folder in it: it is made for you alone",
        )
    if status.st_uid not in {os.geteuid(), 0} and os.geteuid() != 0:
        raise StoreError(f"the store `{path}` belongs to another user")
