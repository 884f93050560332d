"""The history file of a group: private, bounded, shared by conversations, and never in the way."""

import json
import os
import resource
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from raptchat.cli.chat.conversation.history import MOST_ENTRIES, HistoryFile

KEY = "sk-or-v1-0123456789abcdef"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "history" / "group"


def test_the_file_and_its_folder_are_only_their_owners(path: Path) -> None:
    HistoryFile(path).add("hello")

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_file_that_others_could_read_is_closed_to_them(path: Path) -> None:
    path.parent.mkdir(parents=True, mode=0o755)
    path.write_text("old\n")
    path.chmod(0o644)
    HistoryFile(path)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_entries_of_several_lines_and_any_character_come_back(path: Path) -> None:
    entries = ["one\ntwo", 'quo"ted', "\x1b[2J\x00", "naïve\u2028 \U0001f600", '"""\nblock\n"""', "\\n"]
    for entry in entries:
        HistoryFile(path).add(entry)

    assert HistoryFile(path).read() == entries


def test_what_readline_wrote_is_read_and_added_to(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(b'what was asked\n"only one quote\nbad \xff byte\n[1]\n')
    HistoryFile(path).add("new")

    assert HistoryFile(path).read() == ["what was asked", '"only one quote', "bad \ufffd byte", "[1]", "new"]


def test_the_oldest_entries_go(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_text("".join(f"{json.dumps(f'line {number}')}\n" for number in range(MOST_ENTRIES + 500)))
    file = HistoryFile(path)
    assert len(file.read()) == MOST_ENTRIES
    file.add("last")

    kept = [f"line {number}" for number in range(501, MOST_ENTRIES + 500)]
    assert file.read() == [*kept, "last"]
    assert len(path.read_text().splitlines()) == MOST_ENTRIES


def test_a_line_that_was_torn_off_does_not_take_the_next_one_with_it(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_text('"whole"\n"torn o')
    HistoryFile(path).add("next")

    assert HistoryFile(path).read() == ["whole", '"torn o', "next"]


@pytest.mark.parametrize("entry", [f"here: {KEY}", f"a\n{KEY}\nb", "a\udce9", "x" * 20_001])
def test_what_must_not_be_kept_is_not(path: Path, entry: str) -> None:
    HistoryFile(path).add(entry)

    assert path.read_bytes() == b""


def test_a_file_that_is_removed_meanwhile_stays_gone(path: Path) -> None:
    file = HistoryFile(path)
    path.unlink()
    file.add("hello")

    assert not path.exists()
    assert file.read() == []


def test_a_link_in_its_place_is_not_followed(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("precious\n")
    path.parent.mkdir(parents=True)
    path.symlink_to(other)
    file = HistoryFile(path)
    file.add("hello")

    assert file.read() == []
    assert other.read_text() == "precious\n"


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_plain_file_is_left_alone(path: Path, make: Callable[[Path], None]) -> None:
    path.parent.mkdir(parents=True)
    make(path)
    file = HistoryFile(path)
    file.add("hello")

    assert file.read() == []


def test_where_no_folder_can_be_made_there_is_no_history(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    file = HistoryFile(tmp_path / "state" / "history" / "group")
    file.add("hello")

    assert file.read() == []


def test_a_full_disk_leaves_what_was_there(path: Path) -> None:
    file = HistoryFile(path)
    file.add("before")
    # The limit on a file's size is the one full disk that needs no rights.
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (12, limits[1]))
    try:
        file.add("too long for this disk")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert file.read() == ["before"]
    file.add("after")
    assert file.read() == ["before", "after"]


def test_conversations_at_the_same_time_lose_nothing(path: Path) -> None:
    HistoryFile(path)
    script = (
        "import sys; from pathlib import Path\n"
        "from raptchat.cli.chat.conversation.history import HistoryFile\n"
        "file = HistoryFile(Path(sys.argv[1]))\n"
        "for number in range(200): file.add(f'{sys.argv[2]} {number}')\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", script, str(path), name]) for name in "abcd"]
    assert [process.wait(60) for process in running] == [0, 0, 0, 0]

    entries = HistoryFile(path).read()
    assert len(entries) == 800
    for name in "abcd":
        assert [one for one in entries if one.startswith(name)] == [f"{name} {number}" for number in range(200)]
