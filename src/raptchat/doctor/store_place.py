"""Where the store lies: who can read and write it, how much room there is, and what lies beside it."""

import os
import shlex
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from raptchat.doctor.finding import Check, Finding, ok, problem, warning
from raptchat.doctor.store_file import StoreFile
from raptchat.store.checks import FileFacts, file_facts

LOW_SPACE = 100_000_000
NO_SPACE = 10_000_000
_OLD_COPY_DAYS = 30


def checks(file: StoreFile) -> list[Check]:
    """What there is to look at beside what the file holds; of one that is not there, whether it can be made."""
    if not os.path.exists(file.path):  # noqa: PTH110 - Path.exists raises where the folder is closed
        return [Check("store", "folder", lambda: _room_for_one(file.path))]
    if not os.path.isfile(file.path):  # noqa: PTH113 - likewise
        return []
    return [
        Check("store", "mode", lambda: _mode(file.path, file_facts(file.path))),
        Check("store", "folder", lambda: [_folder(file.path, file_facts(file.path))]),
        Check("store", "space", lambda: [_space(file_facts(file.path))]),
        Check("store", "file system", lambda: _file_system(file_facts(file.path))),
        Check("store", "copies", lambda: _copies(file_facts(file.path))),
    ]


def _room_for_one(path: Path) -> Iterator[Finding]:
    folder = path.parent
    while not os.path.exists(folder) and folder != folder.parent:  # noqa: PTH110
        folder = folder.parent
    if not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
        yield problem("store", "folder", f"no store can be made in `{folder}`", f"ls -ld {_word(folder)}")


def _mode(path: Path, facts: FileFacts) -> Iterator[Finding]:
    yield _private("mode", path, facts.mode, "the store")
    if facts.owner not in {os.geteuid(), 0}:
        text = f"the store belongs to another user (uid {facts.owner})"
        yield problem("store", "owner", text, f"sudo chown {os.geteuid()} {_word(path)}")


def _private(name: str, path: Path, mode: int, what: str) -> Finding:
    fix = f"chmod 600 {_word(path)}"
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        return problem("store", name, f"others can write {what} (mode {mode:04o})", fix)
    if mode & (stat.S_IRGRP | stat.S_IROTH):
        text = f"others can read {what}, with all names and conversations (mode {mode:04o})"
        return warning("store", name, text, fix)
    if not mode & stat.S_IWUSR:
        return warning("store", name, f"{what} can only be read, by you too (mode {mode:04o})", fix)
    return ok("store", name, f"{what} is yours alone (mode {mode:04o})")


def _folder(path: Path, facts: FileFacts) -> Finding:
    folder, mode = Path(os.path.realpath(path)).parent, facts.folder_mode
    fix = f"chmod 700 {_word(folder)}"
    if mode & stat.S_ISVTX or not mode & (stat.S_IWGRP | stat.S_IWOTH):
        if not os.access(folder, os.W_OK):
            text = f"nothing can be written in `{folder}`: what is in the store can only be read"
            return warning("store", "folder", text, f"ls -ld {_word(folder)}")
        return ok("store", "folder", f"`{folder}` (mode {mode:04o})")
    if mode & stat.S_IWOTH:
        text = f"anyone can put another store in its place in `{folder}` (mode {mode:04o})"
        return problem("store", "folder", text, fix)
    text = f"its group can put another store in its place in `{folder}` (mode {mode:04o})"
    return warning("store", "folder", text, fix)


def _space(facts: FileFacts) -> Finding:
    text, fix = f"{_size(facts.size)} used, {_size(facts.free)} free", "make room on this disk"
    if facts.free < NO_SPACE:
        return problem("store", "space", f"{text}: what does not fit is not stored", fix)
    if facts.free < LOW_SPACE:
        return warning("store", "space", text, fix)
    return ok("store", "space", text)


def _file_system(facts: FileFacts) -> Iterator[Finding]:
    if facts.network:
        text = f"the store is on a network file system ({facts.network}), where two machines at once can damage it"
        yield warning("store", "file system", text, "keep it on a disk of this machine: --store PATH")
    elif facts.network is not None:
        yield ok("store", "file system", "of this machine")


def _copies(facts: FileFacts) -> Iterator[Finding]:
    for copy in facts.copies:
        status = copy.stat()
        days = int((time.time() - status.st_mtime) / 86400)
        private = _private("copies", copy, stat.S_IMODE(status.st_mode), f"the copy `{copy.name}`")
        if private.level != "ok":
            yield private
        elif copy.name.endswith(".new"):
            text = f"`{copy.name}` is an unfinished file, of a command that was killed"
            yield warning("store", "copies", text, f"rm {_word(copy)}")
        elif days > _OLD_COPY_DAYS:
            text = f"`{copy.name}` is {days:,} days old, and keeps what was removed since"
            yield warning("store", "copies", text, f"rm {_word(copy)}")
        else:
            yield ok("store", "copies", f"`{copy.name}` ({_size(status.st_size)}) is {days:,} days old")


def _size(count: int) -> str:
    amount, unit = count / 1000, "kB"
    for larger in ("MB", "GB"):
        if amount >= 1000:
            amount, unit = amount / 1000, larger
    return f"{amount:,.0f} {unit}"


def _word(path: Path) -> str:
    return shlex.quote(str(path))
