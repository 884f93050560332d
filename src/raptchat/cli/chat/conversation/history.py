"""The lines typed in a group's conversations: one file for each group, which only its owner can read.

A line of the file is one entry as a JSON string, so that an entry can have several lines; a line that is no JSON
string is an entry that readline wrote.
"""

import errno
import fcntl
import json
import os
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from raptchat.outside import is_utf8, without_keys

MOST_ENTRIES = 1000
# A pasted book is in its session; the history is for what is typed again.
_LONGEST_ENTRY = 20_000


def may_be_kept(entry: str) -> bool:
    """Whether *entry* can go into a history: nothing that looks like an API key does."""
    return is_utf8(entry) and without_keys(entry) == entry


class HistoryFile:
    """The last `MOST_ENTRIES` entries; where they cannot be kept, the conversation goes on without.

    The file is made once, when the conversation begins: when the group is removed meanwhile, it stays gone.
    Conversations that run at the same time append under a lock.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with suppress(OSError):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.parent.chmod(0o700)
            with self._locked(os.O_CREAT):
                pass

    def read(self) -> list[str]:
        """The entries, the oldest first."""
        with suppress(OSError), self._locked() as descriptor:
            return [_entry(line.decode(errors="replace")) for line in _lines(descriptor)[-MOST_ENTRIES:]]
        return []

    def add(self, entry: str) -> None:
        """Append *entry*, and drop the oldest ones beyond the limit."""
        if len(entry) > _LONGEST_ENTRY or not may_be_kept(entry):
            return
        line = json.dumps(entry, ensure_ascii=False).encode()
        with suppress(OSError), self._locked() as descriptor:
            lines = _lines(descriptor)
            size = os.fstat(descriptor).st_size
            if len(lines) >= MOST_ENTRIES:
                # In place, never a new file: that would bring back one that was removed meanwhile.
                page = b"\n".join([*lines[1 - MOST_ENTRIES :], line]) + b"\n"
                os.pwrite(descriptor, page, 0)
                os.ftruncate(descriptor, len(page))
                return
            torn = b"\n" if size and os.pread(descriptor, 1, size - 1) != b"\n" else b""
            page = torn + line + b"\n"
            if os.pwrite(descriptor, page, size) < len(page):  # the disk is full
                os.ftruncate(descriptor, size)

    def forget(self, entries: Collection[str]) -> None:
        """Take *entries* out, wherever they stand, and leave nothing of them in the file."""
        with suppress(OSError), self._locked() as descriptor:
            kept = [line for line in _lines(descriptor) if _entry(line.decode(errors="replace")) not in entries]
            page = b"".join(line + b"\n" for line in kept)
            os.pwrite(descriptor, page, 0)
            os.ftruncate(descriptor, len(page))

    @contextmanager
    def _locked(self, flags: int = 0) -> Iterator[int]:
        private = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = os.open(self._path, private | flags, 0o600)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(errno.EINVAL, "not a plain file")
            os.fchmod(descriptor, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)


def _lines(descriptor: int) -> list[bytes]:
    with open(descriptor, "rb", closefd=False) as file:
        return [line for line in file.read().split(b"\n") if line]


def _entry(line: str) -> str:
    if line.startswith('"'):
        with suppress(ValueError):
            return str(json.loads(line))
    return line
