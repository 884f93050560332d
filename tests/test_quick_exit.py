"""The end of a process: nothing is torn down, and nothing is lost by that.

Each command is a process of its own here, whose exit code must be the command's and never 120, which is Python's
for a stream that it could not flush.
"""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Run, environment, rows
from processes import PATIENCE_SECONDS, RAPTCHAT, read_until, run, started

from raptchat.factory import Factory

WORDS = ("--version", "--help", "credentials list", "chat hello", "sessions list --json")
_ROOM = 700
needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")

# Runs the command line as the console script does, after the line that is put in front.
_MAIN = """
import atexit, gc, signal, sys, weakref
{}
from raptchat.__main__ import main
main()
"""


def in_shell(line: str) -> "subprocess.CompletedProcess[str]":
    """Run *line*, in which `raptchat` is the program, in a shell."""
    return subprocess.run(
        ["sh", "-c", line.replace("raptchat", shlex.join(RAPTCHAT), 1)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def after(line: str, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run the command line of *words* in a process that runs *line* before."""
    command = [sys.executable, "-c", _MAIN.format(line), *words]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)


@pytest.mark.parametrize("words", [*WORDS, "chat -g nobody hello", "nonesuch"])
def test_nothing_is_torn_down_after_the_last_word(biology: Run, words: str) -> None:
    python = [sys.executable, "-v"]
    usual = subprocess.run([*python, "-c", "pass"], capture_output=True, text=True, check=True)
    ended = subprocess.run([*python, *RAPTCHAT[1:], *words.split()], capture_output=True, text=True, check=False)

    assert "# cleanup" in usual.stderr
    assert "# cleanup" not in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("words", WORDS)
def test_what_is_registered_for_the_end_runs(biology: Run, words: str) -> None:
    ended = after(
        "atexit.register(lambda: sys.stderr.write('registered'));"
        "kept = type('Kept', (), {})(); weakref.finalize(kept, sys.stderr.write, 'finalized\\n')",
        *words.split(),
    )

    assert ended.returncode == 0
    assert ended.stderr == "finalized\nregistered"
    assert ended.stdout


def test_a_profiler_says_what_it_saw(biology: Run) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "cProfile", *RAPTCHAT[1:], "group", "list"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert ended.stdout.startswith("biology\t")
    assert "function calls" in ended.stdout


def test_a_ctrl_c_on_the_way_out_shows_no_traceback(biology: Run) -> None:
    ended = after(
        "import raptchat.__main__ as entry\n"
        "def interrupt(frame, event, argument):\n"
        "    if event == 'call' and frame.f_code is entry._leave.__code__:\n"
        "        sys.setprofile(None)\n"
        "        signal.raise_signal(signal.SIGINT)\n"
        "sys.setprofile(interrupt)",
        "group",
        "list",
    )

    assert (ended.returncode, ended.stderr) == (130, "")
    assert ended.stdout.startswith("biology\t")


@needs_full
@pytest.mark.parametrize("words", WORDS)
@pytest.mark.parametrize(
    ("streams", "exit_code"),
    [
        (">/dev/full", 74),
        (">/dev/full 2>&1", 74),
        (">/dev/full 2>&-", 74),
        (">&-", 74),
        (">&- 2>&-", 74),
        ("2>/dev/full", 0),
        ("2>&-", 0),
        ("<&- 2>&-", 0),
    ],
)
def test_a_place_that_takes_nothing_is_said_by_the_exit_code(
    biology: Run, home: Path, words: str, streams: str, exit_code: int
) -> None:
    ended = in_shell(f"raptchat {words} {streams}")

    assert ended.returncode == exit_code, ended.stderr
    assert "Traceback" not in ended.stderr
    assert "Exception ignored" not in ended.stderr
    assert ended.stderr.count("\n") <= 1
    # What was paid for is booked, wherever it could be shown.
    assert rows(home, "SELECT count(*) FROM ai_usage") == [(int(words == "chat hello"),)]


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_place_that_takes_only_the_beginning_is_said_by_the_exit_code(
    biology: Run, tmp_path: Path, unbuffered: str
) -> None:
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({_ROOM}, {_ROOM}))"
    written = tmp_path / "written"
    with written.open("wb") as file:
        ended = subprocess.run(
            [sys.executable, "-B", "-c", _MAIN.format(limited), "--help"],
            stdout=file,
            stderr=subprocess.PIPE,
            env=environment(PYTHONUNBUFFERED=unbuffered),
            text=True,
            check=False,
        )

    assert (ended.returncode, written.stat().st_size) == (74, _ROOM)
    assert ended.stderr == "raptchat: standard output cannot be written: File too large\n"


@needs_full
def test_an_error_that_cannot_be_shown_keeps_its_exit_code(biology: Run) -> None:
    for streams in ("2>/dev/full", "2>&-", ">/dev/full 2>&1", ">&- 2>&-"):
        assert in_shell(f"raptchat chat -g nobody hello {streams}").returncode == 3, streams


@pytest.mark.parametrize("words", WORDS)
def test_a_pipe_that_nobody_reads_ends_it_quietly(biology: Run, home: Path, words: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = subprocess.run(
            [*RAPTCHAT, *words.split()],
            stdin=subprocess.DEVNULL,
            stdout=writing,
            stderr=subprocess.PIPE,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
    finally:
        os.close(writing)

    assert (ended.returncode, ended.stderr) == (0, b"")
    assert rows(home, "SELECT count(*) FROM ai_usage") == [(int(words == "chat hello"),)]


def test_ten_megabytes_into_a_slow_pipe_are_whole(biology: Run) -> None:
    text = " ".join(f"{number:07}" for number in range(1_250_000))
    with Factory() as factory, factory.store.write():
        group = factory.store.groups.all()[0]
        session = factory.store.sessions.add(group.id, title="long", model=None, system=None)
        factory.store.sessions.add_message(session.id, "user", text)
    came = bytearray()
    with started("sessions", "show", session.id, "--json") as process:
        assert process.stdout
        while piece := os.read(process.stdout.fileno(), 4096):
            came += piece
        assert process.wait(PATIENCE_SECONDS) == 0

    assert json.loads(came)["messages"][0]["content"] == text


def test_one_killed_after_the_last_line_has_stored_all(biology: Run, home: Path) -> None:
    with started("chat", "-m", "demo/echo", "--jsonl", "hello") as process:
        assert process.stdout
        read_until(process.stdout.fileno(), b'"done"')
        process.kill()

    assert rows(home, "SELECT role, state FROM messages ORDER BY seq") == [
        ("user", "complete"),
        ("assistant", "complete"),
    ]
    assert rows(home, "SELECT count(*) FROM ai_usage") == [(1,)]


def test_a_disk_that_takes_no_more_of_the_store_is_said_and_nothing_is_half_stored(
    biology: Run, home: Path
) -> None:
    run("chat", "hello")
    before = rows(home, "SELECT id, content, state FROM messages ORDER BY id")
    limit = (home / "raptchat.db").stat().st_size
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))"
    ended = after(limited, "chat", *["x" * 100_000] * 8)

    assert ended.returncode == 74, ended.stderr
    assert ended.stdout == ""
    assert ended.stderr.startswith("raptchat: the store")
    assert rows(home, "SELECT id, content, state FROM messages ORDER BY id") == before
    assert rows(home, "PRAGMA integrity_check") == [("ok",)]


# At the end, how often garbage was looked for since `main` began.
_COUNT = (
    "import raptchat.__main__; gc.collect();"
    "looks = lambda: sum(one['collections'] for one in gc.get_stats());"
    "atexit.register(lambda before=looks(): sys.stderr.write(f'{looks() - before}'))"
)


@pytest.mark.parametrize("words", ["--help", "credentials list", "chat hello"])
def test_a_short_command_looks_for_no_garbage(biology: Run, words: str) -> None:
    assert after(_COUNT, *words.split()).stderr == "0"


def test_what_goes_on_for_longer_collects_its_garbage(biology: Run) -> None:
    # The last that is registered is the first that runs.
    rings = "atexit.register(lambda: [(ring := []).append(ring) for _ in range(300_000)] and None)"

    assert int(after(f"{_COUNT}; {rings}", "chat", "hello").stderr) >= 2
