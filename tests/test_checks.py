"""What the checks find in a store, and what they say of its file."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from full_store import put
from test_backup import damaged_row, lost_attachment

from raptchat.errors import StoreError
from raptchat.store import Store
from raptchat.store.checks import Checks, copies, file_facts, network_file_system
from raptchat.store.connection import Connection
from raptchat.store.migrations import STEPS
from raptchat.store.peek import ReadOnlyConnection
from raptchat.store.upgrade import migrate


@pytest.fixture
def path(home: Path) -> Path:
    return put(home)


def lost_index_entry(path: Path) -> None:
    """A message that the index does not know."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(
            "INSERT INTO messages_fts (messages_fts, rowid, content) SELECT 'delete', id, content"
            " FROM messages WHERE id = 1"
        )


def lost_group(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DELETE FROM groups WHERE name = 'art'")


def broken_rule(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA ignore_check_constraints = ON")
        db.execute("UPDATE messages SET role = 'tool' WHERE id = 1")


@pytest.mark.parametrize(
    ("spoil", "check"),
    [
        (damaged_row, Checks.row_sums),
        (lost_attachment, Checks.attachments),
        (lost_group, Checks.foreign_keys),
        (broken_rule, Checks.integrity),
    ],
)
def test_what_is_wrong_is_found_and_said(
    path: Path, spoil: Callable[[Path], None], check: Callable[[Checks], list[object]]
) -> None:
    with closing(Store.open(path)) as store:
        assert check(store.checks) == []
        assert store.checks.problems() == []
    spoil(path)
    before = path.read_bytes()
    with closing(Store.open(path)) as store:
        assert check(store.checks)
        assert store.checks.problems()
    with closing(Connection(path, mode="ro")) as connection:
        # SQLite knows no CHECK there; the row's sum is another one all the same.
        assert check is Checks.integrity or check(Checks(connection))
        assert Checks(connection).problems()
    assert path.read_bytes() == before


def test_an_index_that_lost_a_message_is_found_without_writing(path: Path) -> None:
    with closing(Store.open(path)) as store:
        assert store.checks.search_index() is True
    lost_index_entry(path)
    before = path.read_bytes()
    with closing(Store.open(path)) as store:
        assert store.checks.search_index() is False
        assert store.checks.problems() == ["the search index says something else than the messages"]
    with closing(Connection(path, mode="ro")) as connection:
        assert Checks(connection).search_index() is None
        assert Checks(connection).problems() == []
    assert path.read_bytes() == before


def test_what_cannot_be_read_is_a_problem_and_no_error(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:100] + b"\xff" * 3000 + data[3100:])
    with closing(ReadOnlyConnection(path)) as connection:
        checks = Checks(connection)
        found: list[list[object]] = [
            [*checks.integrity()],
            [*checks.foreign_keys()],
            [*checks.row_sums()],
            [*checks.attachments()],
        ]
        assert all(found)
        assert checks.search_index() is False


def test_a_store_of_the_first_version_has_nothing_wrong_with_it(path: Path) -> None:
    old = path.with_name("old.db")
    with closing(Connection(old)) as connection:
        migrate(connection, STEPS[:1])
        assert Checks(connection).problems() == []


def test_the_facts_of_a_file_are_those_of_the_system(path: Path) -> None:
    path.parent.chmod(0o750)
    path.with_name("raptchat.db.v1.bak").touch()
    path.with_name("raptchat.db-journal").write_bytes(b"x" * 600)
    (path.parent.parent / "link").symlink_to(path)
    facts = file_facts(path.parent.parent / "link")

    assert (facts.mode, facts.folder_mode, facts.owner) == (0o600, 0o750, os.geteuid())
    assert (facts.size, facts.journal) == (path.stat().st_size, 600)
    assert facts.free > 0
    assert facts.copies == (path.with_name("raptchat.db.v1.bak"),)


@pytest.mark.parametrize("name", ["nothing.db", "a\0b"])
def test_a_file_that_is_not_there_has_no_facts(path: Path, name: str) -> None:
    with pytest.raises(StoreError, match="cannot be looked at"):
        file_facts(path.with_name(name))


def test_the_copies_beside_a_store_are_those_that_may_hold_what_was_removed(path: Path) -> None:
    ours = [
        "raptchat.db.before-restore-1.bak",
        "raptchat.db.v1.bak",
        ".raptchat-0a1b2c3d.new",
    ]
    for name in [*ours, "raptchat.db-journal", "raptchat.db.vault-lock", "another.db.v1.bak", "raptchat.dbx.bak"]:
        path.with_name(name).touch()

    assert [entry.name for entry in copies(path)] == ours


MOUNTS = r"""
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:40 / /home rw shared:9 - nfs4 server:/home rw,vers=4.2
31 30 8:2 / /home/local\040disk rw - xfs /dev/sdb1 rw
32 22 0:41 / /mnt/win rw master:3 - cifs //server/share rw
33 22 0:42 / /mnt/ssh rw - fuse.sshfs me@server:/ rw
34 22 0:43 / /mnt/stick rw - vfat /dev/sdc1 rw
35 22 0:44 / /over rw - ext4 /dev/sdd1 rw
36 35 0:45 / /over rw - 9p share rw
a line of another shape
""".strip().splitlines()


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("/raptchat.db", ""),
        ("/home/me/raptchat.db", "nfs4"),
        ("/home/local disk/raptchat.db", ""),
        ("/homes/raptchat.db", ""),
        ("/mnt/win/a/b.db", "cifs"),
        ("/mnt/ssh/b.db", "fuse.sshfs"),
        ("/mnt/stick/b.db", ""),
        ("/over/b.db", "9p"),
    ],
)
def test_a_network_file_system_is_known_by_the_mount_that_the_file_is_on(place: str, kind: str) -> None:
    assert network_file_system(Path(place), MOUNTS) == kind


def test_where_the_mounts_are_not_known_nothing_is_said() -> None:
    assert network_file_system(Path("/raptchat.db"), []) is None


def test_this_file_system_is_known(path: Path) -> None:
    mounts = Path("/proc/self/mountinfo")

    assert (file_facts(path).network is None) == (not mounts.exists())
