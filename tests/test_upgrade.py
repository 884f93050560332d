"""An upgrade that takes long: it says how far it is, and whoever ends it or waits for it finds a whole store."""

import fcntl
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from conftest import environment, rows
from processes import PATIENCE_SECONDS, read_until

from raptchat.errors import OutputError, StoreError
from raptchat.store import Store, row_sums
from raptchat.store.backup import copy_to
from raptchat.store.connection import Connection
from raptchat.store.migrations import LEAVES_ROWS, STEPS, Step
from raptchat.store.upgrade import migrate
from raptchat.store.version import NEWEST, upgrade_lock

if TYPE_CHECKING:
    from sqlite_utils import Database

GOLDEN = Path(__file__).parent / "golden"

# One that writes more than SQLite keeps in memory, so that nobody else can read the store, and that never ends.
ENDLESS = """
import sys
from contextlib import closing
from pathlib import Path

from raptchat.store.connection import Connection
from raptchat.store.migrations import STEPS
from raptchat.store.upgrade import migrate


def endless(db):
    db.execute("CREATE TABLE large (number INTEGER PRIMARY KEY, text TEXT) STRICT")
    db.execute("INSERT INTO large (text) SELECT hex(zeroblob(1000000)) FROM (VALUES (1), (2), (3), (4))")
    db.execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT 1 FROM n) SELECT count(*) FROM n")


with closing(Connection(Path(sys.argv[1]))) as connection:
    migrate(connection, [*STEPS, endless], show=lambda line: print(f"[{line}]", flush=True))
"""
OPENING = """
import sys
from pathlib import Path

from raptchat.store import Store

store = Store.open(Path(sys.argv[1]), show=lambda line: print(f"[{line}]", flush=True))
print([group.name for group in store.groups.all()])
store.close()
"""


@pytest.fixture
def path(home: Path) -> Path:
    """A store with a group in it."""
    with closing(Store.open(home / "raptchat.db")) as store, store.write():
        store.groups.add("biology")
    return home / "raptchat.db"


def add_colour(db: "Database") -> None:
    db.execute("ALTER TABLE groups ADD COLUMN colour TEXT")


def add_a_large_table(db: "Database") -> None:
    db.execute("CREATE TABLE large AS SELECT hex(zeroblob(1000000)) AS text")


def of_before(home: Path, step: Step) -> Path:
    """A store that has not seen *step* yet."""
    home.mkdir(mode=0o700)
    file = home / "raptchat.db"
    shutil.copyfile(GOLDEN / f"v{STEPS.index(step)}.db", file)
    file.chmod(0o600)
    return file


@contextmanager
def process(script: str, path: Path) -> "Iterator[subprocess.Popen[bytes]]":
    command = [sys.executable, "-c", script, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        try:
            yield running
        finally:
            running.kill()


def until(running: "subprocess.Popen[bytes]", text: str) -> str:
    assert running.stdout is not None
    return read_until(running.stdout.fileno(), text.encode()).decode()


def is_as_it_was(path: Path) -> bool:
    """Whether the store holds the group, in the version of before, and the copy beside it too."""
    copy = path.with_name(f"raptchat.db.v{NEWEST}.bak")
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert {entry.name for entry in path.parent.iterdir()} == {path.name, copy.name}
    for file in (path, copy):
        with closing(Store.open(file)) as store:
            assert store.checks.problems() == []
            assert [group.name for group in store.groups.all()] == ["biology"]
    return rows(path.parent, "SELECT 1 FROM sqlite_schema WHERE name = 'large'") == []


def test_the_schema_of_the_newest_version_is_what_the_steps_make() -> None:
    assert len(STEPS) == NEWEST


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_long_upgrade_says_how_far_it_is_until_a_signal_ends_it(path: Path, number: signal.Signals) -> None:
    with process(ENDLESS, path) as upgrade:
        until(upgrade, "[upgrading the store: changing its tables (1 s)]")
        until(upgrade, "(2 s)]")
        upgrade.send_signal(number)
        said, error = upgrade.communicate(timeout=PATIENCE_SECONDS)

    assert upgrade.returncode == -number
    assert said.decode().endswith("[]\n") or number != signal.SIGINT
    assert number != signal.SIGINT or b"KeyboardInterrupt" in error
    if number == signal.SIGTERM:
        Store.open(path).close()  # undoes what is half done, and takes the lock away
    assert is_as_it_was(path)


def test_a_killed_upgrade_is_as_if_it_had_not_been_and_the_next_one_goes_on(path: Path) -> None:
    with process(ENDLESS, path) as upgrade:
        until(upgrade, "changing its tables")
        upgrade.send_signal(signal.SIGKILL)
        upgrade.wait(PATIENCE_SECONDS)
    assert upgrade_lock(path).exists()
    assert path.with_name("raptchat.db-journal").stat().st_size

    Store.open(path).close()

    assert is_as_it_was(path)
    with closing(Connection(path)) as connection:
        migrate(connection, [*STEPS, add_colour])
    assert rows(path.parent, "SELECT name, colour FROM groups") == [("biology", None)]
    assert not upgrade_lock(path).exists()


def test_whoever_comes_meanwhile_waits_says_what_for_and_goes_on(path: Path) -> None:
    with process(ENDLESS, path) as upgrade:
        until(upgrade, "changing its tables")
        with (
            closing(sqlite3.connect(path, timeout=0)) as db,
            pytest.raises(sqlite3.OperationalError, match="locked"),
        ):
            db.execute("SELECT count(*) FROM groups")  # longer than any patience of SQLite's
        with process(OPENING, path) as other:
            until(other, "[waiting for another process, which upgrades the store")
            upgrade.kill()
            said, error = other.communicate(timeout=PATIENCE_SECONDS)

    assert (other.returncode, error) == (0, b"")
    assert said.decode().endswith("[]\n['biology']\n")
    assert is_as_it_was(path)


def test_the_lock_of_a_process_that_is_gone_is_waited_for_no_longer(path: Path) -> None:
    descriptor = os.open(upgrade_lock(path), os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    shown: list[str] = []

    def show(line: str) -> None:
        shown.append(line)
        if line:
            os.close(descriptor)

    with closing(Store.open(path, show=show)) as store:
        assert [group.name for group in store.groups.all()] == ["biology"]
    assert shown == ["waiting for another process, which upgrades the store", ""]
    assert not upgrade_lock(path).exists()


@pytest.mark.parametrize("moment", ["BEGIN IMMEDIATE", "ALTER TABLE groups ADD COLUMN colour TEXT"])
def test_ctrl_c_in_any_part_of_an_upgrade_leaves_the_store_as_it_was(path: Path, moment: str) -> None:
    def interrupt(sql: str) -> None:
        if sql == moment:
            signal.raise_signal(signal.SIGINT)

    def add_and_go_on(db: "Database") -> None:
        add_colour(db)
        db.execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT 1 FROM n) SELECT count(*) FROM n")

    with closing(Connection(path)) as connection:
        connection.raw.set_trace_callback(interrupt)
        with pytest.raises(KeyboardInterrupt):
            migrate(connection, [*STEPS, add_and_go_on])

    assert rows(path.parent, "SELECT 1 FROM pragma_table_info('groups') WHERE name = 'colour'") == []
    assert not upgrade_lock(path).exists()
    with closing(Store.open(path)) as store:
        assert store.checks.problems() == []


def test_ctrl_c_ends_the_waiting(path: Path) -> None:
    with process(ENDLESS, path) as upgrade:
        until(upgrade, "changing its tables")
        with process(OPENING, path) as other:
            until(other, "waiting")
            other.send_signal(signal.SIGINT)
            said, _ = other.communicate(timeout=PATIENCE_SECONDS)
        assert upgrade.poll() is None

    assert other.returncode == -signal.SIGINT
    assert said.decode().endswith("[]\n")


@pytest.mark.parametrize("step", [step for step in STEPS if step in LEAVES_ROWS])
def test_a_step_that_writes_no_row_of_before_leaves_their_sums_right_or_wrong(home: Path, step: Step) -> None:
    file = of_before(home, step)
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("UPDATE groups SET description = 'another' WHERE name = 'Gespräche'")
    before = set(rows(home, "SELECT * FROM row_sums WHERE table_name <> 'sqlite_schema'"))

    with closing(Connection(file)) as connection:
        migrate(connection, STEPS[: STEPS.index(step) + 1])
        [damaged] = row_sums.damaged_rows(connection)

    assert damaged.table == "groups"
    assert before <= set(rows(home, "SELECT * FROM row_sums"))


def test_an_upgrade_that_is_quick_says_nothing(path: Path) -> None:
    shown: list[str] = []
    with closing(Connection(path)) as connection:
        migrate(
            connection,
            [*STEPS, add_colour],
            show=shown.append,
        )

    assert shown == []


def test_a_disk_that_fills_up_leaves_the_store_and_the_copy(path: Path) -> None:
    with closing(Connection(path)) as connection:
        [pages] = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(StoreError, match="the disk is full"):
            migrate(connection, [*STEPS, add_a_large_table])

    assert is_as_it_was(path)


# Root may write anywhere: then it is done as nobody, who is handed the store.
READING = """
import os, sys
from pathlib import Path
from raptchat.store import Store, upgrade
from raptchat.store.version import upgrade_lock
path = Path(sys.argv[1])
if os.geteuid() == 0:
    os.chown(path, 65534, -1)
    os.setgroups([])
    os.setuid(65534)
try:
    upgrade_lock(path).open("rb")
except PermissionError:
    print([group.name for group in Store.open(path).groups.all()])
"""


def test_a_folder_that_takes_no_lock_is_no_obstacle_to_reading() -> None:
    # Not pytest's folder, which nobody else may enter.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "raptchat.db")
        with closing(Store.open(path)) as store, store.write():
            store.groups.add("biology")
        upgrade_lock(path).touch(mode=0)
        Path(folder).chmod(0o555)
        command = [sys.executable, "-c", READING, str(path)]
        try:
            read = subprocess.run(command, capture_output=True, text=True, check=True, env=environment())
        finally:
            Path(folder).chmod(0o700)

    assert read.stdout == "['biology']\n"


def test_a_lock_that_cannot_be_opened_keeps_nobody_out(path: Path) -> None:
    upgrade_lock(path).symlink_to("nowhere")

    with closing(Store.open(path)) as store:
        assert [group.name for group in store.groups.all()] == ["biology"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_lock_of_a_stranger_keeps_nobody_out(path: Path) -> None:
    with upgrade_lock(path).open("wb") as lock:
        os.chown(lock.fileno(), 65534, -1)
        fcntl.flock(lock, fcntl.LOCK_EX)
        with closing(Store.open(path)) as store:
            assert [group.name for group in store.groups.all()] == ["biology"]


@pytest.mark.parametrize("name", ["/", "/.", "."])
def test_a_folder_is_no_store(name: str) -> None:
    with pytest.raises(StoreError, match="is not a file"):
        Store.open(Path(name))


@pytest.mark.parametrize("step", [step for step in STEPS if step in LEAVES_ROWS])
def test_what_a_process_of_before_goes_on_writing_damages_nothing(home: Path, step: Step) -> None:
    file = of_before(home, step)
    with closing(Connection(file)) as older:
        row_sums.keep_true(older)
        Store.open(file).close()
        older.execute(
            "INSERT INTO ai_usage (group_id, group_name, credential_id, provider, model, os_user, created_at)"
            " VALUES ('g1', 'biology', 'c1', 'openrouter', 'a/b', 'me', '2026-11-22T09:30:00.000000Z')"
        )
        older.execute("UPDATE sessions SET title = 'Cells', last_used_at = '2026-11-22T09:30:00.000000Z'")

    with closing(Store.open(file)) as store:
        assert store.checks.problems() == []
        assert ("biology", 1) in [(row.keys["group"], row.requests) for row in store.ledger.report(["group"])]


def test_a_copy_in_parts_is_told_of_each_and_one_that_is_ended_leaves_nothing(path: Path) -> None:
    with closing(Connection(path)) as connection, connection.write():
        connection.execute("CREATE TABLE large AS SELECT hex(zeroblob(8000000)) AS text")
    told: list[tuple[int, int]] = []
    place = path.with_name("copy")
    copy_to(place, path, replace=False, copied=lambda remaining, total: told.append((remaining, total)))

    assert len(told) > 2
    assert told == sorted(told, reverse=True)
    assert told[-1][0] == 0
    assert place.read_bytes()[100:] == path.read_bytes()[100:]  # but for the counters in the file's header

    def end(remaining: int, total: int) -> None:
        raise OutputError(f"{remaining} of {total} pages are missing")

    with pytest.raises(OutputError, match="pages are missing"):
        copy_to(path.with_name("other"), path, replace=False, copied=end)
    assert {entry.name for entry in path.parent.iterdir()} == {path.name, place.name}
