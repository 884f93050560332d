"""Files that hold one line of secret."""

import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from raptchat import private_file
from raptchat.errors import UsageError, VaultUnavailableError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "secret"


def test_a_made_file_is_private_and_comes_back(path: Path) -> None:
    old = os.umask(0)
    try:
        private_file.make(path, "the line", "key file")
    finally:
        os.umask(old)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text() == "the line\n"
    assert private_file.read_line(path, "key file") == "the line"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("there", ["file", "link", "dangling link", "folder"])
def test_nothing_that_is_there_is_written_over(path: Path, there: str) -> None:
    other = path.with_name("other")
    match there:
        case "file":
            path.write_text("mine")
        case "link":
            other.write_text("mine")
            path.symlink_to(other)
        case "dangling link":
            path.symlink_to(other)
        case "folder":
            path.mkdir()
    before = sorted(path.parent.iterdir())

    with pytest.raises(UsageError, match=r"the key file .* cannot be made: File exists"):
        private_file.make(path, "the line", "key file")

    assert sorted(path.parent.iterdir()) == before
    assert there not in {"file", "link"} or path.read_text() == "mine"


def test_a_file_in_no_folder_cannot_be_made(path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be made: No such file or directory"):
        private_file.make(path / "below", "the line", "key file")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o666, 0o777])
def test_a_file_that_others_can_reach_is_refused(path: Path, mode: int) -> None:
    path.write_text("the line")
    path.chmod(mode)

    with pytest.raises(UsageError, match="others can read the passphrase file") as refused:
        private_file.read_line(path, "passphrase file")
    assert refused.value.hint == f"chmod 600 '{path}'"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_somebody_else_is_refused(path: Path) -> None:
    path.touch(mode=0o600)
    os.chown(path, 12345, -1)

    with pytest.raises(UsageError, match="belongs to another user"):
        private_file.read_line(path, "key file")


@pytest.mark.parametrize("data", [b"", b"\n\n", b"one\ntwo\n", b"\xff\xfe", b"x" * 5000])
def test_a_file_holds_exactly_one_line(path: Path, data: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(data)

    with pytest.raises(UsageError, match="must hold exactly one line of text"):
        private_file.read_line(path, "key file")


@pytest.mark.parametrize("data", [b"the line", b"the line\n", b"the line\r\n"])
def test_the_end_of_the_line_is_not_part_of_it(path: Path, data: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(data)

    assert private_file.read_line(path, "key file") == "the line"


def test_a_mounted_link_is_followed_to_a_private_file(path: Path) -> None:
    private_file.make(path, "the line", "key file")
    link = path.with_name("link")
    link.symlink_to(path)

    assert private_file.read_line(link, "key file") == "the line"


def test_a_pipe_is_the_processes_own(path: Path) -> None:
    os.mkfifo(path, 0o644)
    writer = threading.Thread(target=path.write_text, args=("the line\n",))
    writer.start()

    assert private_file.read_line(path, "passphrase file") == "the line"
    writer.join()


def test_a_pipe_is_read_to_its_end_however_it_is_written(path: Path) -> None:
    os.mkfifo(path)

    def write() -> None:
        with path.open("wb", buffering=0) as pipe:
            for byte in b"the line\n":
                pipe.write(bytes([byte]))

    writer = threading.Thread(target=write)
    writer.start()

    assert private_file.read_line(path, "passphrase file") == "the line"
    writer.join()


@pytest.mark.parametrize("writer", ["none", "silent", "in the middle"])
def test_a_pipe_into_which_nobody_writes_is_not_waited_for_long(
    path: Path, monkeypatch: pytest.MonkeyPatch, writer: str
) -> None:
    monkeypatch.setattr(private_file, "PIPE_SECONDS", 0.1)
    os.mkfifo(path)
    # Both ends at once: opening the one end alone would wait for the other.
    held = os.open(path, os.O_RDWR) if writer != "none" else None
    if held is not None and writer == "in the middle":
        os.write(held, b"the li")
    began = time.monotonic()

    with pytest.raises(
        VaultUnavailableError, match=r"the passphrase file .* cannot be read: nothing came for 0\.1 s"
    ):
        private_file.read_line(path, "passphrase file", refusal=VaultUnavailableError)

    assert 0.1 <= time.monotonic() - began < 5
    if held is not None:
        os.close(held)


@pytest.mark.parametrize("name", ["missing", "a\0b", "\ud800"])
def test_a_file_that_is_not_there_is_an_error(path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        private_file.read_line(path.with_name("x").parent / name, "key file")


def test_a_folder_is_no_file(path: Path) -> None:
    path.mkdir(mode=0o700)

    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        private_file.read_line(path, "key file")


@pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")
def test_a_file_is_read_also_with_more_than_a_thousand_others_open(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("one line\n")
    path.chmod(0o600)
    script = (
        "import os, resource, sys\n"
        "from pathlib import Path\n"
        "from raptchat.private_file import read_line\n"
        "_, most = resource.getrlimit(resource.RLIMIT_NOFILE)\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 2000), most))\n"
        "held = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]\n"
        "print(read_line(Path(sys.argv[1]), 'key'))\n"
    )
    said = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False)
    assert said.stdout == "one line\n", said.stderr
