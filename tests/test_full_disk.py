"""Disks that are full, that cannot be written or entered: what was done stays, and the rest says why."""

import sys
from collections.abc import Iterator

import crashes
import pytest
from crashes import WORKS, Stage
from dying import DONE, REFUSED
from proof import Trials, in_turns, spread, tried

from raptchat.demo import DemoGateway

pytestmark = pytest.mark.process

DISK_BYTES = 64 * 2**20
# More than any work writes: with so much room each is done.
MOST_PAGES = 160
NAMES = [name for name, work in WORKS.items() if not work.keyring]

READING = (
    "group list",
    "credentials list",
    "sessions list",
    "sessions search one",
    "usage",
    "events",
    "vault status",
    "vault check",
    "config list",
)


@pytest.fixture
def stage(gateway: DemoGateway) -> Iterator[Stage]:
    """The warm process, on a small disk of its own."""
    if sys.platform != "linux":
        pytest.skip("needs a file system of its own, as Linux lets a process have")
    try:
        with crashes.stage(disk_bytes=DISK_BYTES) as stage:
            yield stage
    except PermissionError as error:
        pytest.skip(f"no file system can be mounted here: {error}")


@tried("disks that fill up", commit=40, deep=100_000)
def test_on_a_disk_that_fills_up_it_is_done_or_refused_and_nothing_is_lost(stage: Stage, trials: Trials) -> None:
    sizes = in_turns([[(name, pages - 1) for pages in spread(MOST_PAGES)] for name in NAMES])
    trials.at_most(len(sizes))
    for number in trials:
        ended = stage.fill_disk(*sizes[number])
        assert ended.code == DONE or "full" in ended.error or "No space left" in ended.error, ended
        trials.count(refused=ended.code == REFUSED, done=ended.code == DONE)

    assert trials.counts["refused"] > 0.05 * trials.done
    assert trials.counts["done"] > 0.05 * trials.done


def test_on_a_disk_that_cannot_be_written_all_is_read_and_nothing_is_done_or_sent(
    stage: Stage, gateway: DemoGateway
) -> None:
    for name in NAMES:
        # What is in one store stands for all; one that is not there, or has to be upgraded first, cannot be read.
        commands = READING if name == "rename" else ()
        before = len(gateway.requests)

        ended = stage.write_protect(name, commands)

        assert ended.code == REFUSED, (name, ended)
        assert "ead-only" in ended.error, (name, ended)
        # The check chats once more, when it can be written again.
        assert len(gateway.requests) == before + (name == "chat"), name
    stage.write_protect("chat", ["whoami", "group show biology", "chat --dry-run hello"])


def test_in_a_folder_that_cannot_be_entered_nothing_is_done_or_sent(gateway: DemoGateway) -> None:
    with crashes.stage() as stage:
        for name in NAMES:
            before = len(gateway.requests)

            ended = stage.lock_out(name)

            assert (ended.code, "Permission denied" in ended.error) == (REFUSED, True), (name, ended)
            # The rehearsal and the check chat as well.
            assert len(gateway.requests) == before + 2 * (name == "chat"), name
