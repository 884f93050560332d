"""Processes that die in the middle of their work, and what is left of it.

A process of its own is kept warm (`Stage`): it has everything loaded, sets up a home with a copy of a prepared
store, forks, lets the child do the work until it is killed, and checks what is left. So a kill takes milliseconds.
"""

import multiprocessing
import os
import re
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import keyring_entries
import mounts
from dying import DONE, PATIENCE_SECONDS, REFUSED, Ended, end, strace, trace
from homes import Home, sound
from vault_works import VAULT_WORKS
from works import STORE_WORKS, Work

WORKS = {**STORE_WORKS, **VAULT_WORKS}
NOBODY = 65534

T = TypeVar("T")


class Scene:
    """Where works are done in the warm process: the home that each trial gets anew."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._prepared: dict[str, dict[str, str]] = {}

    def set(self, name: str) -> tuple[Work, Home]:
        """The work, and its home as it is before: always at the same place, and with the same keyring."""
        work, kept, home = WORKS[name], self.folder / name, Home(self.folder / "home")
        shutil.rmtree(home.folder, ignore_errors=True)
        if name not in self._prepared:
            home.folder.mkdir(mode=0o700)
            work.prepare(home)
            home.folder.rename(kept)
            self._prepared[name] = keyring_entries.found() if work.keyring else {}
        if work.keyring:
            keyring_entries.put_back(self._prepared[name])
        shutil.copytree(kept, home.folder)
        return work, home


_scene: list[Scene] = []


def _begin(folder: Path, disk_bytes: int | None) -> None:
    if disk_bytes is not None:
        mounts.keep_to_oneself()
        mounts.mount_memory(folder, disk_bytes)
    _scene.append(Scene(folder))


def _count_lines(name: str) -> int:
    work, home = _rehearsed(name)
    reader, writer = os.pipe()

    def act() -> None:
        lines = [0]
        trace(lines)
        work.act(home)
        sys.settrace(None)
        os.write(writer, str(lines[0]).encode())

    ended = end(act)
    assert ended.code == DONE, (name, ended)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        return int(pipe.read())


def _rehearsed(name: str) -> tuple[Work, Home]:
    """The work once everything that it loads is loaded, in its home of before."""
    work, home = _scene[0].set(name)
    work.act(home)
    return _scene[0].set(name)


def _kill_at_line(name: str, line: int) -> int:
    work, home = _scene[0].set(name)

    def act() -> None:
        trace([0], line)
        work.act(home)

    ended = end(act)
    _check(work, home, ended, f"{name}, killed at line {line}", {-signal.SIGKILL, DONE})
    return ended.code


def _count_calls(name: str, calls: Sequence[str]) -> dict[str, int]:
    work, home = _scene[0].set(name)
    with tempfile.NamedTemporaryFile("r") as log:
        with strace("-o", log.name, "-e", f"trace={','.join(calls)}") as attach:
            ended = end(lambda: work.act(home), before=attach)
        assert ended.code == DONE, (name, ended)
        made = Counter(re.findall(r"^(\d+) +(\w+)\(", log.read(), re.MULTILINE))
    most: Counter[str] = Counter()
    for (thread, call), count in made.items():
        del thread  # strace counts those of each thread
        most[call] = max(most[call], count)
    return dict(most)


def _fail_a_call(name: str, call: str, fault: str, when: int) -> int:
    work, home = _scene[0].set(name)
    with strace("-o", "/dev/null", "-e", f"inject={call}:{fault}:when={when}") as attach:
        ended = end(lambda: work.act(home), before=attach)
    may = {DONE, -signal.SIGKILL} if "KILL" in fault else {DONE, REFUSED}
    _check(work, home, ended, f"{name}, {fault} at {call} number {when}", may)
    return ended.code


def _fill_disk(name: str, pages: int) -> Ended:
    work, home = _scene[0].set(name)
    filler = _scene[0].folder / "filler"
    disk = os.statvfs(home.folder)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, (disk.f_bfree - pages) * disk.f_bsize)
    ended = end(lambda: work.act(home))
    filler.unlink()
    _check(work, home, ended, f"{name}, with {pages} pages left", {DONE, REFUSED})
    return ended


def _write_protect(name: str, commands: Sequence[str]) -> Ended:
    work, home = _scene[0].set(name)
    mounts.make_read_only(home.folder)
    try:
        ended = end(lambda: work.act(home))
        for command in commands:
            home.run(*command.split())
        if commands:
            sound(home)
    finally:
        mounts.unmount(home.folder)
    _check(work, home, ended, f"{name}, on a read-only disk", {DONE, REFUSED})
    return ended


def _lock_out(name: str) -> Ended:
    work, home = _rehearsed(name)

    def act() -> None:
        if os.geteuid() == 0:
            os.seteuid(NOBODY)
        work.act(home)

    home.folder.chmod(0)
    ended = end(act)
    home.folder.chmod(0o700)
    _check(work, home, ended, f"{name}, in a folder that cannot be entered", {DONE, REFUSED})
    return ended


def _check(work: Work, home: Home, ended: Ended, what: str, may_end: set[int]) -> None:
    try:
        assert ended.code in may_end, ended
        work.check(home, ended.code == DONE)
    except BaseException as error:
        error.add_note(f"{what}; {ended}")
        raise


class Stage:
    """The warm process, as the tests see it."""

    def __init__(self, pool: ProcessPoolExecutor, revive: Callable[[], bool]) -> None:
        self._pool = pool
        self._revive = revive

    def count_lines(self, name: str) -> int:
        """How many lines of raptchat the work *name* runs."""
        return self._ask(_count_lines, name)

    def kill_at_line(self, name: str, line: int) -> int:
        """Kill the work at a line, counted from 1, and check what is left; how it ended."""
        return self._ask(_kill_at_line, name, line)

    def count_calls(self, name: str, calls: Sequence[str]) -> dict[str, int]:
        """How many of each of these system calls a thread of the work makes at most."""
        return self._ask(_count_calls, name, calls)

    def fail_a_call(self, name: str, call: str, fault: str, when: int) -> int:
        """Put a *fault* in the *when*th system call of a kind, and check what is left; how it ended."""
        return self._ask(_fail_a_call, name, call, fault, when)

    def fill_disk(self, name: str, pages: int) -> Ended:
        """Do the work on a disk with room for so many more pages, make room, and check what is left."""
        return self._ask(_fill_disk, name, pages)

    def write_protect(self, name: str, commands: Sequence[str]) -> Ended:
        """Do the work in a home that cannot be written, where *commands* go on, and check that it is as it was."""
        return self._ask(_write_protect, name, commands)

    def lock_out(self, name: str) -> Ended:
        """Do the work in a home that cannot be entered, and check that it is as it was."""
        return self._ask(_lock_out, name)

    def _ask(self, function: Callable[..., T], *words: object) -> T:
        try:
            return self._pool.submit(function, *words).result(2 * PATIENCE_SECONDS)
        except BaseException:
            if not self._revive():
                raise
        # The keyring's daemon had died of a client that was killed: that trial says nothing of us.
        return self._pool.submit(function, *words).result(2 * PATIENCE_SECONDS)


@contextmanager
def stage(*, disk_bytes: int | None = None, revive: Callable[[], bool] = lambda: False) -> Iterator[Stage]:
    """A warm process with the environment of now; its files, synced again and again, are in memory if they can.

    *revive* starts a keyring's daemon again that has died, and says whether it had.
    With *disk_bytes* they are on a small disk of their own. Raises `OSError` where there can be none.
    """
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
        with pool:
            pool.submit(_begin, Path(folder), disk_bytes).result(PATIENCE_SECONDS)
            yield Stage(pool, revive)
