"""Whoever is killed or let down by the system at any moment leaves the old state or the new one."""

import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence

import crashes
import pytest
from crashes import WORKS, Stage
from dying import DONE, REFUSED
from programs import installed
from proof import Trials, in_turns, spread, tried

from raptchat.demo import DemoGateway

pytestmark = pytest.mark.process

# Which errors each call may meet: a full or failing disk, a folder or file that is not ours, a peer that is gone.
DISK = ("error=EIO", "error=ENOSPC")
FAULTS: Mapping[str, Sequence[str]] = {
    "pwrite64": DISK,
    "write": DISK,
    "fsync": DISK,
    "fdatasync": DISK,
    "ftruncate": DISK,
    "openat": (*DISK, "error=EACCES", "error=EMFILE"),
    "unlink": ("error=EIO", "error=EACCES"),
    "rename": (*DISK, "error=EACCES"),
    "link": (*DISK, "error=EACCES"),
    "flock": ("error=EIO", "error=ENOLCK"),
    "fcntl": ("error=EIO", "error=ENOLCK"),
    "pread64": ("error=EIO",),
    "sendto": ("error=EPIPE", "error=ECONNRESET"),
    "sendmsg": ("error=EPIPE", "error=ECONNRESET"),
    "recvmsg": ("error=ECONNRESET",),
}


@pytest.fixture
def works(request: pytest.FixtureRequest, gateway: DemoGateway, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The works that can be done here: with a real Secret Service where there can be one."""
    if sys.platform != "linux":
        return [name for name, work in WORKS.items() if not work.keyring]
    request.getfixturevalue("secret_service").apply(monkeypatch)
    monkeypatch.setenv("AI_GATEWAY_URL", gateway.url)
    return list(WORKS)


@pytest.fixture
def stage(request: pytest.FixtureRequest, works: list[str]) -> Iterator[Stage]:
    keyring = request.getfixturevalue("shared_daemon") if any(WORKS[name].keyring for name in works) else None
    with crashes.stage(revive=keyring.revive if keyring else lambda: False) as stage:
        yield stage


@tried("kills at Python lines", commit=60, deep=100_000)
def test_a_process_that_is_killed_at_any_line_leaves_the_old_state_or_the_new(
    stage: Stage, works: list[str], trials: Trials
) -> None:
    lines = in_turns([[(name, line) for line in spread(stage.count_lines(name))] for name in works])
    trials.at_most(len(lines))
    for number in trials:
        code = stage.kill_at_line(*lines[number])
        # How many lines run is a matter of how a stream was cut, and of who came first.
        trials.count(killed=code == -signal.SIGKILL, done_before=code == DONE)

    assert trials.counts["killed"] > 0.9 * trials.done


@tried("kills and errors at system calls", commit=50, deep=20_000)
def test_a_system_call_that_kills_or_fails_leaves_the_old_state_or_the_new(
    tracing: None, stage: Stage, works: list[str], trials: Trials
) -> None:
    columns = []
    for name in works:
        for call, most in stage.count_calls(name, list(FAULTS)).items():
            columns += [
                [(name, call, fault, when) for when in spread(most)] for fault in ("signal=KILL", *FAULTS[call])
            ]
    faults = in_turns([columns[number - 1] for number in spread(len(columns))])
    trials.at_most(len(faults))
    for number in trials:
        name, call, fault, when = faults[number]
        code = stage.fail_a_call(name, call, fault, when)
        trials.count(killed=code == -signal.SIGKILL, refused=code == REFUSED, done=code == DONE)

    assert trials.counts["killed"] > 0.1 * trials.done
    assert trials.counts["refused"] > 0.1 * trials.done


@pytest.fixture
def tracing() -> None:
    """Skip where no process can be traced; where CI only forgot strace, fail."""
    if sys.platform != "linux":
        pytest.skip("strace is a program of Linux")
    tried = subprocess.run(
        [
            installed("strace", "strace"),
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            "inject=fsync:error=EIO:when=1",
            "true",
        ],
        capture_output=True,
        check=False,
    )
    if tried.returncode != 0:
        # A container's: also CI cannot change that.
        pytest.skip(f"no process can be traced here: {tried.stderr.decode().strip()}")
