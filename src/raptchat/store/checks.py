"""What can be wrong with a store, and where its file lies: looked at, not mended."""

import contextlib
import glob
import hashlib
import os
import re
import sqlite3
import sys
from dataclasses import dataclass
from pathlib import Path

from raptchat.errors import StoreError
from raptchat.store import row_sums
from raptchat.store.connection import Connection
from raptchat.store.ledger import LINES, SUMMED, SUMS
from raptchat.store.row_sums import DamagedRow
from raptchat.whole_file import unfinished

_MOST = 100
_NETWORK = re.compile(
    r"nfs\d?|cifs|smb\w*|9p|afs|ceph|lustre|fuse\.(sshfs|rclone|glusterfs|s3fs|davfs\w*)|davfs\w*"
)


@dataclass(frozen=True, slots=True)
class FileFacts:
    """Where a store's file lies, and who can reach it.

    *mode* and *folder_mode* are permission bits, *owner* is a user id, sizes are in bytes. *journal* is the size
    of a journal beside it: while no process has the store open, one that is not empty is of a process that was
    killed. *network* is the kind of its file system where that is one of another machine, "" where it is not, and
    `None` where that is not known. *copies* are the backups that lie beside it.
    """

    mode: int
    owner: int
    folder_mode: int
    size: int
    journal: int
    free: int
    network: str | None
    copies: tuple[Path, ...]


class Checks:
    """Each finds what is wrong in one way; nothing is written."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def problems(self) -> list[str]:
        """What all of them find, in words for a person."""
        return [
            *self.integrity(),
            *self.foreign_keys(),
            *(f"a row of `{row.table}` is not as it was written: {row.key or 'all'}" for row in self.row_sums()),
            *(f"the content of the attachment `{hash_[:12]}` is another one" for hash_ in self.attachments()),
            *(["the search index says something else than the messages"] if self.search_index() is False else []),
            *(f"the sums of {day} are not those of its usage" for day in self.usage_sums()),
        ]

    def integrity(self) -> list[str]:
        """What SQLite finds wrong with pages, indexes and constraints (`PRAGMA integrity_check`).

        A connection that cannot write knows no CHECK constraints (sqlite3AddCheckConstraint in SQLite's build.c):
        there `row_sums` finds what breaks one.
        """
        found: list[str] = []
        try:
            with self._db.errors():
                for (text,) in self._db.raw.execute(f"PRAGMA integrity_check({_MOST})"):
                    found += [line for line in str(text).splitlines() if not line.startswith("***")]
        except StoreError as error:  # what was found before it counts
            found.append(str(error))
        return [] if found == ["ok"] else found

    def foreign_keys(self) -> list[str]:
        """The rows that belong to a row that is not there."""
        try:
            rows = self._db.rows("PRAGMA foreign_key_check")
        except StoreError as error:
            return [str(error)]
        return [f"a row of `{row['table']}` belongs to one of `{row['parent']}` that is gone" for row in rows]

    def row_sums(self) -> list[DamagedRow]:
        """The rows that are not as they were written; none in a store that has no sums yet."""
        try:
            return row_sums.damaged_rows(self._db) if row_sums.exist(self._db) else []
        except StoreError:
            return [DamagedRow("sqlite_schema", None)]

    def attachments(self) -> list[str]:
        """The SHA-256 of each attachment that has another content or size than it says."""
        found = []
        try:
            if not self._db.row("SELECT 1 AS one FROM sqlite_schema WHERE name = 'attachments'"):
                return []
            with self._db.errors():
                for hash_, size, content in self._db.raw.execute("SELECT hash, size, content FROM attachments"):
                    if not _is_content(content, hash_, size):
                        found.append(str(hash_))
        except StoreError:
            found.append("")
        return found

    def usage_sums(self) -> list[str]:
        """The days whose sums (`ai_usage_days`) are not those of the ledger's lines; none in an older store."""
        keys = "day, group_id, group_name, model, credential_id"
        columns = ", ".join((keys, *SUMMED))
        lines = f"SELECT {', '.join((keys, *SUMS))} FROM {LINES} GROUP BY {keys}"
        try:
            if not self._db.row("SELECT 1 AS one FROM sqlite_schema WHERE name = 'ai_usage_days'"):
                return []
            # What both say is there twice.
            rows = self._db.rows(
                f"SELECT DISTINCT day FROM ({lines} UNION ALL SELECT {columns} FROM ai_usage_days)"
                f" GROUP BY {columns} HAVING count(*) = 1"
            )
        except StoreError as error:
            return [str(error)]
        return [str(row["day"]) for row in rows]

    def search_index(self) -> bool | None:
        """Whether the index finds what the messages say; `None` where that cannot be found out without writing."""
        try:
            with contextlib.closing(self._db.raw.cursor()) as cursor:
                return _index_is_true(cursor)
        except sqlite3.Error:
            return None


def file_facts(path: Path) -> FileFacts:
    """What there is to say of the file at *path*; `StoreError` where it is not there."""
    try:
        real = Path(os.path.realpath(path))
        status, folder, room = real.stat(), real.parent.stat(), os.statvfs(real.parent)
        journal = real.with_name(f"{real.name}-journal")
        return FileFacts(
            mode=status.st_mode & 0o7777,
            owner=status.st_uid,
            folder_mode=folder.st_mode & 0o7777,
            size=status.st_size,
            journal=journal.stat().st_size if journal.exists() else 0,
            free=room.f_bavail * room.f_frsize,
            network=_network(real),
            copies=copies(real),
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no name of a file"
        raise StoreError(f"the store `{path}` cannot be looked at: {reason}") from None


def copies(path: Path) -> tuple[Path, ...]:
    """The copies of the store that lie beside it: of before an upgrade or a restore, and those never finished."""
    whole = path.parent.glob(f"{glob.escape(path.name)}.*bak*")
    return (*sorted(whole), *sorted(unfinished(path.parent)))


def _is_content(content: object, hash_: object, size: object) -> bool:
    return isinstance(content, bytes) and (hashlib.sha256(content).hexdigest(), len(content)) == (hash_, size)


def _index_is_true(cursor: sqlite3.Cursor) -> bool:
    # The command is an INSERT, and writes nothing (FTS5, "The 'integrity-check' Command").
    cursor.execute("BEGIN IMMEDIATE")
    try:
        cursor.execute("INSERT INTO messages_fts (messages_fts, rank) VALUES ('integrity-check', 1)")
    except sqlite3.DatabaseError as error:
        if not error.sqlite_errorname.startswith("SQLITE_CORRUPT"):
            raise
        return False
    finally:
        cursor.execute("ROLLBACK")
    return True


def _network(path: Path) -> str | None:
    if sys.platform != "linux":
        return None
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    return network_file_system(path, lines)


def network_file_system(path: Path, mounts: list[str]) -> str | None:
    """The kind of the network file system that *path* is on; "" on another, `None` where *mounts* do not say.

    *mounts* are the lines of `/proc/self/mountinfo` (proc(5)): the fifth field is where, what is behind ` - `.
    """
    kind, longest = None, -1
    for line in mounts:
        left, _, right = line.partition(" - ")
        fields, kinds = left.split(), right.split()
        if len(fields) < 5 or not kinds:
            continue
        # A space in a path is written `\040`.
        point = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4]))
        # Of two at one place the later one is seen.
        if path.is_relative_to(point) and len(point.parts) >= longest:
            kind, longest = kinds[0], len(point.parts)
    if kind is None:
        return None
    return kind if _NETWORK.fullmatch(kind) else ""
