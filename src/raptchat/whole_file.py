"""Files that are there whole or not at all: made beside their place, and moved there.

Whoever makes one holds a lock on it (flock(2)), which the system lets go when a process dies. So whoever makes the
next one in that folder knows those that nobody will finish, and removes them: they hold secrets and conversations.
"""

import errno
import fcntl
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_OURS = re.compile(r"\.raptchat-[0-9a-f]{8}\.new")
_NEW = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
# What a file system says that has no hard links, such as a memory stick's.
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES}
# What some network file systems say, on which a renamed file lasts as it is.
_NO_SYNC = {errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS}


def write(path: Path, content: str | bytes, *, replace: bool = True) -> None:
    """Put a file with *content*, text in UTF-8, at *path*; only its owner can read it.

    `OSError` when that fails: what was there is left as it was. `FileExistsError` where there is one that nobody
    said to *replace*.
    """
    with made_beside(path) as beside:
        with beside.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        put(beside, path, replace=replace)


@contextmanager
def made_beside(place: Path) -> Iterator[Path]:
    """A new, empty file in the folder of *place*, readable by its owner only; gone at the end unless it was `put`.

    What killed processes left in that folder goes first. Raises `OSError`.
    """
    remove_unfinished(place.parent)
    path, descriptor = _make(place.parent)
    try:
        yield path
    finally:
        with suppress(OSError):
            path.unlink()
        os.close(descriptor)


def put(path: Path, place: Path, *, replace: bool) -> None:
    """Move what was made beside *place* there, so that it lasts; raises as `write`."""
    if replace:
        path.replace(place)
    else:
        _move_to_free_place(path, place)
    folder = os.open(place.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(folder)


def unfinished(folder: Path) -> Iterator[Path]:
    """The files in *folder* that their makers did not live to move away; raises `OSError`."""
    for path in [entry for entry in folder.iterdir() if _OURS.fullmatch(entry.name)]:
        # One that is gone by now, somebody else's, or on a file system without locks, is left alone.
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield path
            finally:
                os.close(descriptor)


def remove_unfinished(folder: Path) -> None:
    """Remove what killed processes left in *folder*, as far as that can be done."""
    with suppress(OSError):
        for path in unfinished(folder):
            path.unlink()


def _make(folder: Path) -> tuple[Path, int]:
    while True:
        path = folder / f".raptchat-{uuid.uuid4().hex[:8]}.new"
        descriptor = os.open(path, _NEW, 0o600)
        with suppress(OSError):  # a file system without locks: on it nothing is taken for unfinished
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if path.exists():
            return path, descriptor
        # It was taken for unfinished in the moment before it was locked.
        os.close(descriptor)


def _move_to_free_place(path: Path, place: Path) -> None:
    try:
        # A link, unlike a renamed file, never takes the place of another.
        place.hardlink_to(path)
    except OSError as error:
        if error.errno not in _NO_LINKS or os.path.lexists(place):
            raise
        path.rename(place)
    else:
        path.unlink()
