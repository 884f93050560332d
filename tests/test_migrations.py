"""Upgrades: all of a step or nothing, and a copy of the store before."""

import multiprocessing
import sqlite3
import stat
from contextlib import closing
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from conftest import rows

from raptchat.errors import StoreError
from raptchat.store import Store
from raptchat.store.checks import copies
from raptchat.store.connection import Connection
from raptchat.store.migrations import STEPS, Step
from raptchat.store.upgrade import migrate

if TYPE_CHECKING:
    from sqlite_utils import Database


def add_colour(db: "Database") -> None:
    db.execute("ALTER TABLE groups ADD COLUMN colour TEXT")


def fail_halfway(db: "Database") -> None:
    db.execute("CREATE TABLE half (text TEXT) STRICT")
    db.execute("CREATE TABLE groups (text TEXT) STRICT")


@pytest.fixture
def path(home: Path) -> Path:
    """A store of the first version, with a group in it."""
    with closing(Store.open(home / "raptchat.db")) as store, store.write():
        store.groups.add("biology")
    return home / "raptchat.db"


def test_each_step_is_counted(path: Path) -> None:
    assert rows(path.parent, "PRAGMA user_version") == [(len(STEPS),)]


def test_a_store_that_is_up_to_date_is_not_written(path: Path) -> None:
    before = path.stat()
    Store.open(path).close()

    assert (path.stat().st_mtime_ns, path.stat().st_size) == (before.st_mtime_ns, before.st_size)
    assert [entry.name for entry in path.parent.iterdir()] == ["raptchat.db"]


def test_an_upgrade_keeps_what_is_there_and_leaves_a_private_copy_of_the_old_store(path: Path) -> None:
    before = path.read_bytes()
    with closing(Connection(path)) as connection:
        migrate(connection, [*STEPS, add_colour])

    backup = path.with_name(f"raptchat.db.v{len(STEPS)}.bak")
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["raptchat.db", backup.name]
    assert rows(path.parent, "SELECT name, colour FROM groups") == [("biology", None)]
    assert rows(path.parent, "PRAGMA user_version") == [(len(STEPS) + 1,)]
    with closing(Store.open(backup)) as old:
        assert [group.name for group in old.groups.all()] == ["biology"]
    assert len(backup.read_bytes()) == len(before)


@pytest.mark.parametrize("steps", [[fail_halfway], [add_colour, fail_halfway]])
def test_a_step_that_fails_leaves_nothing_behind(path: Path, steps: list[Step]) -> None:
    before = path.read_bytes()

    with closing(Connection(path)) as connection, pytest.raises(StoreError, match="groups"):
        migrate(connection, [*STEPS, *steps])

    assert rows(path.parent, "PRAGMA user_version") == [(len(STEPS),)]
    assert rows(path.parent, "SELECT 1 FROM sqlite_schema WHERE name = 'half'") == []
    assert path.read_bytes()[100:] == before[100:]  # but for the counters in the file's header
    Store.open(path).close()


def test_without_a_copy_there_is_no_upgrade(path: Path) -> None:
    path.with_name(f"raptchat.db.v{len(STEPS)}.bak").mkdir()
    before = path.read_bytes()

    with (
        closing(Connection(path)) as connection,
        pytest.raises(StoreError, match="cannot be backed up") as refused,
    ):
        migrate(connection, [*STEPS, add_colour])

    assert "not touched" in refused.value.hint
    assert "Errno" not in str(refused.value)
    assert path.read_bytes() == before
    assert len(list(path.parent.iterdir())) == 2


def test_the_copy_lies_beside_the_store_and_not_beside_a_link_to_it(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(path)
    with closing(Connection(link)) as connection:
        migrate(connection, [*STEPS, add_colour])

    assert copies(path) == (path.with_name(f"raptchat.db.v{len(STEPS)}.bak"),)
    assert not list(tmp_path.glob("link.db?*"))


def test_what_a_killed_upgrade_left_of_its_copy_does_not_stay(path: Path) -> None:
    backup = path.with_name(f"raptchat.db.v{len(STEPS)}.bak")
    path.with_name(".raptchat-0a1b2c3d.new").write_bytes(b"half a copy")

    with closing(Connection(path)) as connection:
        migrate(connection, [*STEPS, add_colour])

    assert sorted(entry.name for entry in path.parent.iterdir()) == ["raptchat.db", backup.name]
    with closing(Store.open(backup)) as old:
        assert [group.name for group in old.groups.all()] == ["biology"]


def upgrade(path: Path, barrier: Barrier) -> None:
    barrier.wait()
    with closing(Connection(path)) as connection:
        migrate(connection, [*STEPS, add_colour])


def test_of_several_upgrades_at_once_one_does_it_and_all_go_on(path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(4)
    processes = [context.Process(target=upgrade, args=(path, barrier)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)

    assert [process.exitcode for process in processes] == [0] * 4
    assert rows(path.parent, "SELECT name, colour FROM groups") == [("biology", None)]
    with closing(sqlite3.connect(path.with_name(f"raptchat.db.v{len(STEPS)}.bak"))) as copy:
        assert copy.execute("PRAGMA user_version").fetchone() == (len(STEPS),)
