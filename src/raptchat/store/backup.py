"""Copies of the whole store, each of one moment, made while others write (SQLite Online Backup API).

Where others may write, all pages are copied in one step: it takes a shared lock, so that writers wait for its end
instead of having it begin again, as copying in several steps would.
"""

import os
import shlex
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from raptchat.errors import OutputError, StoreBusyError, StoreError, UsageError
from raptchat.outside import safe_line
from raptchat.store.checks import Checks
from raptchat.store.connection import BUSY_SECONDS, Connection, DamagedStoreError, translated, uri
from raptchat.whole_file import made_beside, put

# How many are copied between two looks at who waits: some milliseconds' worth.
_PAGES = 1_000
_BESIDE_A_STORE = ("-journal", "-wal", "-shm", ".vault-lock", ".key-lock", ".upgrade-lock")


def back_up(store: Path, file: Path, *, confirm: Callable[[], None]) -> None:
    """Copy the store to *file*, which only its owner can read; over one that is there after *confirm* returned.

    The file is then there whole, and was read through, or it is as it was. Raises `UsageError` for a place that no
    copy may take, `OutputError` when it cannot be written, `StoreError` for a damaged store.
    """
    place = _place(store, file)
    replace = os.path.lexists(place)
    if replace:
        confirm()
    try:
        place.parent.stat()  # one that is not there was mistyped
        copy_to(place, store, replace=replace, check=lambda copy: _check(copy, store))
    except FileExistsError:
        raise OutputError(
            f"`{safe_line(str(file))}` was made by somebody else meanwhile", hint="try again"
        ) from None
    except (OSError, ValueError) as error:
        raise _cannot_be_written(file, error) from None


def copy_to(
    place: Path,
    store: Path | Connection,
    *,
    replace: bool,
    check: Callable[[Path], None] = lambda _: None,
    copied: Callable[[int, int], None] | None = None,
) -> None:
    """Put a copy of *store* at *place*, made beside it, given to *check*, and renamed: there whole or not at all.

    With *copied*, for a store that nobody writes meanwhile, it is copied in parts: after each of them *copied* is
    told how many pages remain, and how many there are in all. Raises `OSError`, and `FileExistsError` where there
    is a file that nobody said to *replace*; `OutputError` where SQLite cannot write, `StoreError` where it cannot
    read.
    """
    with made_beside(place) as beside:
        if isinstance(store, Connection):
            _copy_pages(store, beside, place, copied)
        else:
            with closing(Connection(store, mode="ro")) as source:
                _copy_pages(source, beside, place, copied)
        check(beside)
        put(beside, place, replace=replace)


def run_backup(
    source: Connection, target: sqlite3.Connection, copied: Callable[[int, int], None] | None = None
) -> None:
    """Copy all pages of *source* over those of *target*, in one transaction there; raises `sqlite3.Error`.

    In one step, or in many where *copied* is told of each (as by `copy_to`).

    Raises `StoreBusyError` when one of the two was locked for longer than its connection waits.
    """

    def stop(status: int, remaining: int, total: int) -> None:
        # Else Python tries again for ever (Modules/_sqlite/connection.c).
        if status & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            raise StoreBusyError(
                f"the store `{source.path}` was held by another process for {BUSY_SECONDS} seconds",
                hint="try again",
            )
        if copied is not None:
            copied(remaining, total)

    source.raw.backup(target, pages=-1 if copied is None else _PAGES, progress=stop)


def _copy_pages(source: Connection, beside: Path, place: Path, copied: Callable[[int, int], None] | None) -> None:
    try:
        # Without locks: nobody else has it, and where flock(2) takes them too it is locked already.
        name = uri(beside, mode="rw", nolock="1")
        with closing(sqlite3.connect(name, uri=True, isolation_level=None)) as target:
            # What a killed process leaves of the copy is of no use: it needs no journal.
            target.execute("PRAGMA journal_mode = MEMORY")
            run_backup(source, target, copied)
    except sqlite3.Error as error:
        found, name = translated(error, source.path), getattr(error, "sqlite_errorname", "")
        # The source is only read.
        if isinstance(found, DamagedStoreError | StoreBusyError) or "IOERR_READ" in name:
            raise found from None
        reason = "the disk is full" if name.startswith("SQLITE_FULL") else str(error)
        raise OutputError(f"`{safe_line(str(place))}` cannot be written: {reason}", hint="make room") from None


def _check(copy: Path, store: Path) -> None:
    """Read a new copy through: a damaged one must not take the place of a good one."""
    with (
        closing(Connection(copy, mode="copy")) as written,
        closing(Connection(store, mode="ro")) as source,
    ):
        ids = [connection.row("SELECT id FROM store") for connection in (written, source)]
        problems = Checks(written).problems()
    if ids[0] != ids[1]:
        raise StoreBusyError(f"the store `{store}` was replaced by another one meanwhile", hint="try again")
    if problems:
        raise StoreError(
            f"the store `{store}` is damaged, and was not backed up: {safe_line(problems[0])}"
            + (f" (and {len(problems) - 1:,} more)" if len(problems) > 1 else ""),
            hint="raptchat doctor says what is damaged; raptchat restore FILE puts an older backup in its place",
        )


def _place(store: Path, file: Path) -> Path:
    """Where the copy goes: a link to a file stays one."""
    try:
        place = Path(os.path.realpath(file))
        own = Path(os.path.realpath(store))
        if place.exists() and place.samefile(own):
            raise UsageError(f"`{safe_line(str(file))}` is the store itself", hint="name another file")
        if place in {own.with_name(f"{own.name}{end}") for end in _BESIDE_A_STORE}:
            raise UsageError(f"`{safe_line(str(file))}` has a name that the store needs", hint="name another file")
        if place.is_dir():
            name = shlex.quote(str(place / f"{own.stem}.bak"))
            raise UsageError(f"`{safe_line(str(file))}` is a folder", hint=f"raptchat backup {name}")
        if os.path.lexists(place) and not place.is_file():
            raise UsageError(f"`{safe_line(str(file))}` is not a file", hint="name a file: a copy is not a stream")
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise _cannot_be_written(file, error) from None
    return place


def _cannot_be_written(file: Path, error: OSError | ValueError) -> OutputError:
    reason = getattr(error, "strerror", None) or "it is no name of a file"
    return OutputError(f"`{safe_line(str(file))}` cannot be written: {reason}")
