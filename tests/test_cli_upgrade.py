"""What a command shows while it waits for a store that is being upgraded."""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from processes import PATIENCE_SECONDS, AtTerminal, read_until, started

from raptchat.store import Store
from raptchat.store.version import upgrade_lock

pytestmark = pytest.mark.process

WAITING = "waiting for another process, which upgrades the store"


@pytest.fixture
def end_upgrade(home: Path) -> Iterator[Callable[[], None]]:
    """A store, and a process, this one, that says it upgrades it until this is called."""
    path = home / "raptchat.db"
    with closing(Store.open(path)) as store, store.write():
        store.groups.add("biology")
    with upgrade_lock(path).open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock.close


def test_a_command_says_on_standard_error_alone_what_it_waits_for(end_upgrade: Callable[[], None]) -> None:
    with started("group", "list", "--json") as command:
        assert command.stderr is not None
        read_until(command.stderr.fileno(), f"{WAITING}\n".encode())
        end_upgrade()
        said, error = command.communicate(timeout=PATIENCE_SECONDS)

    assert (command.returncode, error) == (0, b"")
    assert said.startswith(b"[")
    assert b"biology" in said


def test_at_a_terminal_the_line_goes_when_the_waiting_ends(end_upgrade: Callable[[], None]) -> None:
    with AtTerminal("group", "list") as command:
        command.until(WAITING)
        end_upgrade()
        command.ends(0)

        assert not any("waiting" in line for line in command.screen())
        assert any("biology" in line for line in command.screen())


def test_ctrl_c_ends_the_waiting_and_leaves_no_line(end_upgrade: Callable[[], None]) -> None:
    del end_upgrade
    with AtTerminal("group", "list") as command:
        command.until(WAITING)
        command.keys("\x03")
        command.ends(130)

        assert not any("waiting" in line for line in command.screen())
