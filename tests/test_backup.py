"""Copies of the whole store: of one moment, whole or not there, readable by their owner only."""

import errno
import os
import resource
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from full_store import everything, put

from raptchat.errors import OutputError, RaptchatError, StoreBusyError, StoreError, UsageError
from raptchat.store import Store
from raptchat.store.backup import _check, back_up, copy_to, run_backup
from raptchat.store.connection import Connection, DamagedStoreError


@pytest.fixture
def path(home: Path) -> Path:
    return put(home)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the copies go."""
    made = tmp_path / "copies"
    made.mkdir()
    return made


def yes() -> None:
    """Agree."""


def never() -> None:
    pytest.fail("nothing is there that could be written over")


def is_a_whole_copy(copy: Path, expected: object) -> bool:
    return everything(copy) == expected


@pytest.mark.parametrize("umask", [0, 0o077])
def test_a_copy_has_all_that_is_in_the_store_and_is_private(path: Path, folder: Path, umask: int) -> None:
    before, expected = path.read_bytes(), everything(path)
    old = os.umask(umask)
    try:
        back_up(path, folder / "copy", confirm=never)
    finally:
        os.umask(old)

    assert stat.S_IMODE((folder / "copy").stat().st_mode) == 0o600
    assert [entry.name for entry in folder.iterdir()] == ["copy"]
    assert path.read_bytes() == before
    assert is_a_whole_copy(folder / "copy", expected)


def test_a_copy_of_a_store_that_is_being_written_is_of_the_moment_before(path: Path, folder: Path) -> None:
    expected = everything(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("UPDATE groups SET description = 'half done'")
        back_up(path, folder / "copy", confirm=never)
        other.execute("ROLLBACK")

    assert is_a_whole_copy(folder / "copy", expected)


def test_copies_made_while_others_write_have_whole_transactions_only(path: Path, folder: Path) -> None:
    over = threading.Event()

    def write() -> None:
        with closing(Store.open(path)) as store:
            number = 0
            # Somebody who never lets go of a store keeps all others out.
            while not over.wait(0.01):
                number += 1
                with store.write():
                    for half in "ab":
                        store.groups.add(f"{number} {half}", description="x" * 5000)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for number in range(10):
            back_up(path, folder / f"copy {number}", confirm=never)
    finally:
        over.set()
        thread.join()

    counts = []
    for number in range(10):
        with closing(Store.open(folder / f"copy {number}")) as copy:
            assert copy.checks.problems() == []
            counts.append(len(copy.groups.all()) - 3)
    assert all(count % 2 == 0 for count in counts)
    assert counts == sorted(counts)


def test_a_store_that_is_held_for_too_long_is_busy(
    path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raptchat.store.connection.BUSY_SECONDS", 0.05)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreBusyError, match="held by another process"):
            back_up(path, folder / "copy", confirm=never)
        other.execute("ROLLBACK")

    assert list(folder.iterdir()) == []


def test_what_is_there_is_written_over_once_that_is_agreed(path: Path, folder: Path) -> None:
    copy = folder / "copy"
    copy.write_text("the notes")

    def refuse() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        back_up(path, copy, confirm=refuse)
    assert copy.read_text() == "the notes"

    back_up(path, copy, confirm=yes)
    assert is_a_whole_copy(copy, everything(path))
    assert [entry.name for entry in folder.iterdir()] == ["copy"]


def test_a_link_to_a_file_stays_one(path: Path, folder: Path) -> None:
    (folder / "link").symlink_to(folder / "copy")

    back_up(path, folder / "link", confirm=never)

    assert (folder / "link").is_symlink()
    assert stat.S_IMODE((folder / "copy").stat().st_mode) == 0o600


def itself(path: Path, folder: Path) -> Path:
    del folder
    return path


def link_to_it(path: Path, folder: Path) -> Path:
    (folder / "link").symlink_to(path)
    return folder / "link"


def second_name(path: Path, folder: Path) -> Path:
    (folder / "second").hardlink_to(path)
    return folder / "second"


def its_journal(path: Path, folder: Path) -> Path:
    del folder
    return path.with_name(f"{path.name}-journal")


def a_folder(path: Path, folder: Path) -> Path:
    del path
    return folder


def a_pipe(path: Path, folder: Path) -> Path:
    del path
    os.mkfifo(folder / "pipe")
    return folder / "pipe"


def a_device(path: Path, folder: Path) -> Path:
    del path, folder
    return Path("/dev/null")


def no_folder(path: Path, folder: Path) -> Path:
    del path
    return folder / "no" / "such"


def a_nul(path: Path, folder: Path) -> Path:
    del path
    return folder / "a\0b"


def too_long(path: Path, folder: Path) -> Path:
    del path
    return folder / ("x" * 256)


def unwritable(path: Path, folder: Path) -> Path:
    del path, folder
    return Path("/proc/copy")


@pytest.mark.parametrize(
    ("place", "error", "problem"),
    [
        (itself, UsageError, "is the store itself"),
        (link_to_it, UsageError, "is the store itself"),
        (second_name, UsageError, "is the store itself"),
        (its_journal, UsageError, "has a name that the store needs"),
        (a_folder, UsageError, "is a folder"),
        (a_pipe, UsageError, "is not a file"),
        (a_device, UsageError, "is not a file"),
        (no_folder, OutputError, "cannot be written: No such file"),
        (a_nul, OutputError, "cannot be written: it is no name of a file"),
        (too_long, OutputError, "cannot be written: File name too long"),
        (unwritable, OutputError, "cannot be written: No such file"),
    ],
)
def test_a_place_that_no_copy_can_take_is_an_error_that_leaves_nothing(
    path: Path,
    folder: Path,
    place: Callable[[Path, Path], Path],
    error: type[RaptchatError],
    problem: str,
) -> None:
    file, before = place(path, folder), path.read_bytes()
    names = sorted(folder.iterdir()), sorted(path.parent.iterdir())

    with pytest.raises(error, match=problem):
        back_up(path, file, confirm=yes)

    assert (sorted(folder.iterdir()), sorted(path.parent.iterdir())) == names
    assert path.read_bytes() == before


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """Let no file that is written grow larger than *size* bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_without_room_is_an_error_and_what_was_there_stays(path: Path, folder: Path) -> None:
    copy = folder / "copy"
    copy.write_text("yesterday's")

    with room_for(20_000), pytest.raises(OutputError, match="cannot be written") as refused:
        back_up(path, copy, confirm=yes)

    assert (refused.value.exit_code, refused.value.hint) == (74, "make room")
    assert copy.read_text() == "yesterday's"
    assert list(folder.iterdir()) == [copy]


def damaged_page(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-4096:] = b"\xff" * 4096
    path.write_bytes(data)


def damaged_row(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE messages SET content = 'no' WHERE id IN (1, 2)")


def lost_attachment(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE attachments SET content = x'00'")


@pytest.mark.parametrize("spoil", [damaged_page, damaged_row, lost_attachment])
def test_a_damaged_store_does_not_take_the_place_of_a_good_copy(
    path: Path, folder: Path, spoil: Callable[[Path], None]
) -> None:
    expected = everything(path)
    back_up(path, folder / "copy", confirm=never)
    spoil(path)

    with pytest.raises(StoreError, match="is damaged, and was not backed up: ") as refused:
        back_up(path, folder / "copy", confirm=yes)

    assert "doctor" in refused.value.hint
    assert is_a_whole_copy(folder / "copy", expected)
    assert [entry.name for entry in folder.iterdir()] == ["copy"]


def test_a_file_that_is_no_database_is_damaged(path: Path, folder: Path) -> None:
    path.write_bytes(b"no database" * 1000)

    with pytest.raises(DamagedStoreError):
        back_up(path, folder / "copy", confirm=never)
    assert list(folder.iterdir()) == []


def test_a_file_that_somebody_else_makes_meanwhile_stays(path: Path, folder: Path) -> None:
    copy = folder / "copy"

    with pytest.raises(FileExistsError):
        copy_to(copy, path, replace=False, check=lambda _: copy.touch())

    assert copy.read_bytes() == b""
    assert list(folder.iterdir()) == [copy]


def refuse_links(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "hardlink_to", refuse)


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP])
def test_a_disk_without_links_takes_a_copy_all_the_same(
    path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    refuse_links(monkeypatch, number)

    back_up(path, folder / "copy", confirm=never)

    assert is_a_whole_copy(folder / "copy", everything(path))
    assert [entry.name for entry in folder.iterdir()] == ["copy"]


def test_a_file_that_comes_at_the_last_moment_is_not_written_over(
    path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_links(monkeypatch, errno.EEXIST)

    with pytest.raises(OutputError, match="was made by somebody else meanwhile"):
        back_up(path, folder / "copy", confirm=never)

    assert list(folder.iterdir()) == []


def test_a_lock_that_comes_while_the_store_is_open_is_waited_for(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raptchat.store.connection.BUSY_SECONDS", 0.05)
    with (
        closing(Connection(path, mode="ro")) as source,
        closing(sqlite3.connect(path, isolation_level=None)) as other,
        closing(sqlite3.connect(":memory:")) as target,
    ):
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreBusyError, match="held by another process"):
            run_backup(source, target)
        other.execute("ROLLBACK")
        run_backup(source, target)


def test_a_store_that_is_replaced_meanwhile_is_busy(path: Path, folder: Path, tmp_path: Path) -> None:
    another = tmp_path / "another.db"
    Store.open(another).close()

    with pytest.raises(StoreBusyError, match="was replaced by another one meanwhile"):
        copy_to(folder / "copy", path, replace=False, check=lambda copy: _check(copy, another))

    assert list(folder.iterdir()) == []


def test_a_disk_that_fails_at_the_last_step_keeps_nothing(
    path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_links(monkeypatch, errno.EIO)

    with pytest.raises(OutputError, match="cannot be written: Input/output error"):
        back_up(path, folder / "copy", confirm=never)

    assert list(folder.iterdir()) == []
