"""Files that are there whole or not at all, whoever is killed while one is made."""

import errno
import fcntl
import os
import signal
import stat
from pathlib import Path

import pytest
from dying import end

from raptchat.whole_file import made_beside, put, unfinished, write


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.parent.iterdir())


def kill_while_making(path: Path) -> Path:
    """A process that dies with half a file; what it leaves."""

    def die() -> None:
        with made_beside(path) as beside:
            beside.write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)

    assert end(die).code == -signal.SIGKILL
    [left] = unfinished(path.parent)
    return left


def test_a_file_is_whole_and_private_and_alone(path: Path) -> None:
    old = os.umask(0)
    try:
        write(path, "first")
        write(path, b"second")
    finally:
        os.umask(old)

    assert path.read_text() == "second"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert names(path) == ["file"]


def test_a_file_that_is_not_to_be_replaced_stays(path: Path) -> None:
    write(path, "first", replace=False)

    with pytest.raises(FileExistsError):
        write(path, "second", replace=False)

    assert path.read_text() == "first"
    assert names(path) == ["file"]


def test_what_a_killed_process_left_goes_when_the_next_file_of_the_folder_is_made(path: Path) -> None:
    left = kill_while_making(path)
    assert left.read_text() == "half"

    write(path.with_name("another"), "whole")

    assert names(path) == ["another"]


def test_what_somebody_is_making_stays(path: Path) -> None:
    with made_beside(path) as beside:
        beside.write_text("first")
        write(path.with_name("another"), "second")
        assert list(unfinished(path.parent)) == []
        put(beside, path, replace=True)

    assert path.read_text() == "first"
    assert names(path) == ["another", "file"]


def test_what_is_not_ours_stays(path: Path) -> None:
    others = [".raptchat-12345678.new.txt", ".raptchat-x2345678.new", "raptchat.db.12345678.new"]
    for name in others:
        path.with_name(name).touch()
    path.with_name(".raptchat-12345678.new").symlink_to(path.with_name(others[0]))
    path.with_name(".raptchat-87654321.new").mkdir()

    write(path, "text")

    assert {*others, ".raptchat-12345678.new", ".raptchat-87654321.new", "file"} == set(names(path))


def test_a_new_file_that_is_taken_for_unfinished_is_made_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = fcntl.flock
    taken: list[Path] = []

    def late(descriptor: int, operation: int) -> None:
        if not taken:
            taken.extend(path.parent.iterdir())
            taken[0].unlink()
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    write(path, "text")

    assert len(taken) == 1
    assert path.read_text() == "text"


@pytest.mark.parametrize("call", ["flock", "fsync"])
def test_a_file_system_without_locks_or_synced_folders_takes_a_file_all_the_same(
    path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    sync = os.fsync

    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    def no_folders(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        sync(descriptor)

    left = kill_while_making(path)
    monkeypatch.setattr(*(fcntl, "flock", no_locks) if call == "flock" else (os, "fsync", no_folders))
    write(path, "text")

    assert path.read_text() == "text"
    assert left.exists() == (call == "flock")


def test_a_folder_whose_disk_fails_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sync = os.fsync

    def fail(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fail)

    with pytest.raises(OSError, match="Input/output error"):
        write(path, "text")
    assert names(path) == ["file"]


def test_a_second_name_that_cannot_be_taken_away_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        with pytest.raises(OSError, match="Input/output error"):
            write(path, "text", replace=False)
    assert len(names(path)) == 2

    write(path, "another")

    assert names(path) == ["file"]
