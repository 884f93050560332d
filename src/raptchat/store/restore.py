"""A whole store put back from a copy, while other processes use the one that is there.

The copy is checked, and brought up to date, in a database that is nowhere to be found; what is there is kept as
one more copy. Then all pages are written in one transaction: with its journal the file is the old store or the new
one wherever a process is killed, and whoever has it open goes on with what is in it then.
"""

import os
import shlex
import stat
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from raptchat.caller import Caller
from raptchat.errors import OutputError, StoreError, UsageError
from raptchat.outside import safe_line
from raptchat.store import row_sums
from raptchat.store.backup import copy_to, run_backup
from raptchat.store.checks import Checks
from raptchat.store.connection import APPLICATION_ID, Connection, DamagedStoreError
from raptchat.store.ledger import Ledger
from raptchat.store.upgrade import migrate

_BEFORE = "before-restore"
_NAME_A_COPY = "name a file that raptchat backup made"


def restore(store: Path, file: Path, *, caller: Caller, confirm: Callable[[], None]) -> Path | None:
    """Put the store that was copied to *file* in the place of *store*; where the one of before is kept.

    Where there is one, *confirm* is called once *file* is known to be good; what it raises ends it.
    Raises `UsageError` where *file* is no file or the store itself, `StoreError` where it is damaged, newer or no
    store of raptchat, or the store cannot be written; *store* is as it was then. Whatever else is written to the
    store meanwhile is in the copy that is kept, or in the restored store.
    """
    _check_place(store, file)
    if store.exists():
        # A link to the store stays one.
        store = Path(os.path.realpath(store))
    with closing(Connection(file, mode="temporary")) as draft:
        _read(file, draft)
        _check(file, draft)
        # A draft needs no copy of what it was.
        migrate(draft, backup=False)
        _prepare(draft, caller)
        if store.exists() and store.stat().st_size:
            confirm()
        return _replace(store, draft)


def _check_place(store: Path, file: Path) -> None:
    name = safe_line(str(file))
    try:
        mode = file.stat().st_mode
        if store.exists() and file.samefile(store):
            raise UsageError(f"`{name}` is the store itself", hint=_NAME_A_COPY)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or "it is no name of a file"
        raise UsageError(f"`{name}` cannot be read: {reason}", hint=_NAME_A_COPY) from None
    if not stat.S_ISREG(mode):
        raise UsageError(f"`{name}` is not a file", hint=_NAME_A_COPY)


def _read(file: Path, draft: Connection) -> None:
    with closing(Connection(file, mode="ro")) as source, draft.errors():
        run_backup(source, draft.raw)
    draft.execute("PRAGMA journal_mode = DELETE")


def _check(file: Path, draft: Connection) -> None:
    """See that the copy is a whole store of raptchat; its version is seen to by `migrate`."""
    name = safe_line(str(file))
    application, version = _numbers(draft)
    if application != APPLICATION_ID or version < 1:
        raise StoreError(f"`{name}` is no copy of a store of raptchat", hint=_NAME_A_COPY)
    problems = Checks(draft).problems()
    if not problems and draft.row("SELECT id FROM store") is None:
        problems = ["it has no id"]
    if problems:
        more = f" (and {len(problems) - 1:,} more)" if len(problems) > 1 else ""
        raise StoreError(
            f"`{name}` is damaged, and nothing was changed: {safe_line(problems[0])}{more}",
            hint=f"restore an older one; to read what can be read: raptchat --store {shlex.quote(name)} sessions",
        )


def _prepare(draft: Connection, caller: Caller) -> None:
    draft.before_first_write(row_sums.keep_true)
    with draft.write():
        # What was pending or dying when the copy was made may be what opens the store that is kept: its secret
        # must not be taken for a leftover, and removed.
        draft.execute("DELETE FROM vault_slots WHERE state <> 'active'")
        Ledger(draft).note("store.restore", caller=caller)


def _replace(store: Path, draft: Connection) -> Path | None:
    try:
        with closing(Connection(store)) as live:
            return _write_over(live, draft)
    except DamagedStoreError:
        return _set_aside(store, draft)


def _write_over(live: Connection, draft: Connection) -> Path | None:
    # From here on until it is closed, nobody else reads or writes: what is kept is what is replaced. The mode is
    # set once the lock is there: a connection in it waits without letting go, and so would whoever it waits for.
    live.execute("BEGIN EXCLUSIVE")
    live.execute("PRAGMA locking_mode = EXCLUSIVE")
    live.execute("COMMIT")
    previous = _keep(live) if _holds_a_store(live) else None
    try:
        with live.errors():
            run_backup(draft, live.raw)
    except BaseException:
        if previous is not None:
            previous.unlink(missing_ok=True)
        raise
    return previous


def _holds_a_store(live: Connection) -> bool:
    application, version = _numbers(live)
    if application == APPLICATION_ID:
        return True
    if version or live.row("SELECT 1 AS one FROM sqlite_schema"):
        raise StoreError(
            f"`{live.path}` is a database, but no store of raptchat", hint="name another with --store"
        )
    return False


def _numbers(connection: Connection) -> tuple[int, int]:
    # Not as a table: reading these takes no schema that can be read.
    application, version = (
        connection.execute(f"PRAGMA {pragma}").fetchone()[0] for pragma in ("application_id", "user_version")
    )
    return int(application), int(version)


def _keep(live: Connection) -> Path:
    previous = _place_of_previous(live.path)
    try:
        copy_to(previous, live, replace=False)
    except (OSError, OutputError) as error:
        raise _cannot_be_kept(live.path, previous, error) from None
    return previous


def _set_aside(store: Path, draft: Connection) -> Path:
    """Put a new file in the place of one that is no database any more, and that nobody can be writing."""
    previous = _place_of_previous(store)
    try:
        # A journal of it is gone: SQLite used it up before it looked at the file.
        copy_to(store, draft, replace=True, check=lambda _: previous.hardlink_to(store))
    except (OSError, OutputError) as error:
        raise _cannot_be_kept(store, previous, error) from None
    return previous


def _place_of_previous(store: Path) -> Path:
    stem = f"{store.name}.{_BEFORE}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    names = (f"{stem}{end}.bak" for end in ("", *(f"-{number}" for number in range(2, 1000))))
    return next(store.with_name(name) for name in names if not os.path.lexists(store.with_name(name)))


def _cannot_be_kept(store: Path, previous: Path, error: Exception) -> StoreError:
    reason = getattr(error, "strerror", None) or str(error)
    return StoreError(
        f"the store `{store}` cannot be kept as `{previous.name}`: {reason}",
        hint="make room beside it and try again; the store is as it was",
    )
