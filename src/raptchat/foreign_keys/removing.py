"""Keys out of the files of other clients: all else in them stays as it is, byte for byte."""

import os
import stat
import sys
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from raptchat import whole_file
from raptchat.errors import UsageError
from raptchat.foreign_keys import FoundKey, KeyFile, entries_of
from raptchat.foreign_keys.entries import Entry
from raptchat.outside import safe_line
from raptchat.secret import Secret


def remove(file: KeyFile, keys: Collection[FoundKey]) -> None:
    """Take *keys* out of *file*, which keeps its mode, its owner and, where it is a link, its place.

    `UsageError` says why that cannot be done, for one that was changed meanwhile too; the file is then as it was.
    """
    try:
        # A dotfile may be a link into a repository: the file behind it is written, and the link stays.
        place = file.path.resolve(strict=True)
        before = place.stat()
        content = _without(file, keys)
        if before.st_nlink > 1:
            raise _refused(file, "it has another name (a hard link), under which they would stay")
        _replace(place, file.content, content, before)
    except _ChangedError:
        raise _refused(file, "it was changed meanwhile") from None
    except ValueError:
        raise _refused(file, "its form is not one that can be edited safely") from None
    except OSError as error:
        raise _refused(file, error.strerror or "the system says no") from None


class _ChangedError(Exception):
    pass


def _replace(place: Path, known: bytes, content: bytes, before: os.stat_result) -> None:
    with whole_file.made_beside(place) as beside:
        with beside.open("r+b") as made:
            made.write(content)
            made.flush()
            _make_alike(made.fileno(), place, before)
            os.fsync(made.fileno())
        now = place.stat()
        unchanged = (now.st_dev, now.st_ino, now.st_mtime_ns) == (before.st_dev, before.st_ino, before.st_mtime_ns)
        if not unchanged or place.read_bytes() != known:
            raise _ChangedError
        whole_file.put(beside, place, replace=True)


def _make_alike(descriptor: int, place: Path, before: os.stat_result) -> None:
    """Give the new file the owner, the mode and, where the system has them, the access list of the old one."""
    made = os.fstat(descriptor)
    if (made.st_uid, made.st_gid) != (before.st_uid, before.st_gid):
        os.fchown(descriptor, before.st_uid, before.st_gid)
    if sys.platform == "linux":
        names: list[str] = []
        with suppress(OSError):  # a file system without them
            names = os.listxattr(place)
        for name in names:
            with suppress(OSError):  # one that only the system sets
                os.setxattr(descriptor, name, os.getxattr(place, name))
    os.fchmod(descriptor, stat.S_IMODE(before.st_mode))


def _without(file: KeyFile, keys: Collection[FoundKey]) -> bytes:
    """The file's content without *keys*; `ValueError` where it is not sure what an edit would do."""
    content = file.content
    for one in keys:
        entries = entries_of(file.reader, content)
        at = next((at for at, entry in enumerate(entries) if _is(entry, one)), None)
        if at is None or entries[at].span is None:
            raise ValueError
        content = _cut(content.decode(), entries[at]).encode()
        # What is written must still be what the client reads, but for this one key.
        left = [_meaning(each) for each in entries_of(file.reader, content)]
        if left != [_meaning(each) for each in entries[:at] + entries[at + 1 :]]:
            raise ValueError
    return content


def _is(entry: Entry, key: FoundKey) -> bool:
    return entry.name == key.entry and entry.key.reveal().strip() == key.key.reveal().strip()


def _cut(text: str, entry: Entry) -> str:
    assert entry.span is not None
    start, end = entry.span
    return text[:start] + entry.instead + text[end:]


def _meaning(entry: Entry) -> tuple[str, str, Secret, str | None]:
    return entry.name, entry.service, entry.key, entry.base_url


def _refused(file: KeyFile, why: str) -> UsageError:
    path = safe_line(str(file.path))
    return UsageError(f"the plain text stays in `{path}`: {why}", hint=f"delete it there yourself, in {path}")
