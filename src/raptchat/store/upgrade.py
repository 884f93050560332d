"""The steps that a store has not seen yet, run on it: all of them or none, wherever a process is killed.

They and their number land in one transaction, and the number is read again inside it: of many first starts at
once, one makes the tables. A large store can take minutes: whoever waits is shown what for, and Ctrl-C ends it.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from raptchat.errors import OutputError, StoreError
from raptchat.interruptions import signals_held_back
from raptchat.store import row_sums
from raptchat.store.backup import copy_to
from raptchat.store.connection import APPLICATION_ID, Connection
from raptchat.store.migrations import LEAVES_ROWS, STEPS, Step
from raptchat.store.version import upgrade_lock, version_of

# What takes longer is shown; then it is shown anew as often.
_FIRST_PAUSE_SECONDS, _PAUSE_SECONDS = 1.0, 0.1
# How many instructions of SQLite's machine run between two looks at the clock: a few milliseconds' worth.
_INSTRUCTIONS = 100_000

# Shows a line in the place of the one before; an empty one leaves nothing.
Show = Callable[[str], None]


def migrate(
    connection: Connection,
    steps: Sequence[Step] = STEPS,
    *,
    backup: bool = True,
    show: Show = lambda _: None,
) -> None:
    """Bring the store up to date, with a copy of the older one beside it where *backup* says so.

    Another process that does it is waited for, however long it takes. Once it takes a second *show* is handed a
    line that says how far it is, ten times a second, and an empty one at the end. Ctrl-C and SIGTERM leave the
    store as it was. `StoreError` for a newer store and for a file that is not ours; it is left as it is.
    """
    version = version_of(connection, len(steps))
    if version == len(steps):
        return
    # A new store is made at once, and nobody else knows of a draft.
    alone = _alone(connection.path, show, make=True) if backup and version else nullcontext()
    with (
        alone,
        signals_held_back() as came,
        _Progress("upgrading the store", show, came) as progress,
        progress.told_by(connection),
    ):
        _run(connection, steps, progress, backup=backup)


def await_upgrade(store: Path, *, show: Show) -> None:
    """Wait until no process upgrades *store* any more; *show* is handed a line that says so, as by `migrate`."""
    with _alone(store.absolute(), show, make=False):
        pass


def _run(connection: Connection, steps: Sequence[Step], progress: "_Progress", *, backup: bool) -> None:
    # Loading sqlite-utils takes longer than all else a command does; only a pending step pays for it.
    from sqlite_utils import Database

    # No plugins: no foreign code on a connection that sees sealed keys.
    db = Database(connection.raw, execute_plugins=False)
    with connection.write():
        version = version_of(connection, len(steps))
        if version == len(steps):
            return  # another process was first
        if backup and version:
            _back_up(connection, version, progress)
        pending, has_sums = steps[version:], row_sums.exist(connection)
        # Rows that no step writes have the sums that they had, right or wrong.
        same = row_sums.tables(connection) if has_sums and LEAVES_ROWS.issuperset(pending) else ()
        progress.of("checking its rows")
        damaged = row_sums.damaged_rows(connection, but=same) if has_sums else []
        progress.of("changing its tables")
        with connection.errors():
            for step in pending:
                step(db)
        progress.of("summing up its rows")
        if row_sums.exist(connection):
            row_sums.renew(connection, damaged=damaged, but=same)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(steps)}")


class _Progress:
    """What is being done and for how long, shown while it is done; and what ends it when a signal *came*."""

    def __init__(self, work: str, show: Show, came: Sequence[int]) -> None:
        self._work, self._show, self._came = work, show, came
        self._begun = time.monotonic()
        self._shown = self._begun + _FIRST_PAUSE_SECONDS - _PAUSE_SECONDS
        self._part = ""
        self._has_shown = False

    def of(self, part: str) -> None:
        """From now on this *part* of the work is done."""
        self._part = part
        self.look()

    def copied(self, remaining: int, total: int) -> None:
        """Told by SQLite how many pages of a copy remain; `StoreError` ends it."""
        self._part = f"copying it, {100 * (total - remaining) // max(total, 1)} %"
        if self.look():
            raise StoreError("the upgrade of the store was interrupted")

    def look(self) -> bool:
        """Show it when it is time to; whether it is to end."""
        now = time.monotonic()
        if now - self._shown >= _PAUSE_SECONDS:
            self._shown, self._has_shown = now, True
            self._show(f"{self._work}: {self._part} ({int(now - self._begun)} s)" if self._part else self._work)
        return bool(self._came)

    @contextmanager
    def told_by(self, connection: Connection) -> Iterator[None]:
        """Meanwhile SQLite looks here from time to time, and ends a statement that is not to go on."""
        connection.raw.set_progress_handler(self.look, _INSTRUCTIONS)
        try:
            yield
        finally:
            connection.raw.set_progress_handler(None, 0)

    def __enter__(self) -> "_Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self._has_shown:
            self._show("")


@contextmanager
def _alone(store: Path, show: Show, *, make: bool) -> Iterator[None]:
    """Hold the lock that says that *store* is being upgraded, once nobody else does.

    SQLite's own lock is what keeps two apart; but whoever waits for that cannot tell what for, and gives up. So a
    folder that takes no such file, or no locks, is no error.
    """
    path = upgrade_lock(store)
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | (os.O_CREAT if make else 0)
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError:
        yield
        return
    try:
        with _Progress("waiting for another process, which upgrades the store", show, []) as progress:
            while not _locked(descriptor):
                time.sleep(_PAUSE_SECONDS)
                progress.look()
        try:
            yield
        finally:
            with suppress(OSError):
                if os.path.samestat(os.fstat(descriptor), path.stat()):
                    path.unlink()
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        # Where anyone can make files, as in /tmp, anyone could hold one for ever.
        return os.fstat(descriptor).st_uid not in {os.geteuid(), 0}
    except OSError:
        pass  # a file system without locks
    return True


def _back_up(connection: Connection, version: int, progress: _Progress) -> None:
    """Copy the store beside itself before its tables change.

    In a transaction that has not written yet: nobody else upgrades the store, or copies it, at the same time.
    """
    place = Path(f"{os.path.realpath(connection.path)}.v{version}.bak")
    try:
        # Not from this connection: SQLite does not copy from one that is about to write.
        copy_to(place, connection.path, replace=True, copied=progress.copied)
    except (OSError, OutputError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise StoreError(
            f"the store cannot be backed up to `{place}` before its upgrade: {reason}",
            hint="make room beside it, or `raptchat --store PATH restore FILE` it elsewhere; it was not touched",
        ) from None
