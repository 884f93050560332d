"""The sealed management keys, and the work with them that is not finished."""

from raptchat.records import KeyWork, ManagementKey
from raptchat.store.connection import Connection
from raptchat.store.rows import as_asked, record

_KEY = ", ".join(ManagementKey._fields)
_WORK = ", ".join(KeyWork._fields)


class Management:
    """One management key for each gateway; one line for each key of a group that is on its way in or out."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def key(self, endpoint: str) -> ManagementKey | None:
        """The key that manages those of the gateway with this origin."""
        row = self._db.row(f"SELECT {_KEY} FROM management_keys WHERE endpoint = ?", (endpoint,))
        return as_asked(record(ManagementKey, row), endpoint=endpoint) if row else None

    def keys(self) -> list[ManagementKey]:
        """Every one, the oldest first."""
        rows = self._db.rows(f"SELECT {_KEY} FROM management_keys ORDER BY created_at, id")
        return [record(ManagementKey, row) for row in rows]

    def put_key(self, key: ManagementKey) -> None:
        """Keep a key, in place of the one that its gateway had; or one that was sealed anew."""
        self._put("INSERT OR REPLACE INTO management_keys", key)

    def remove_key(self, endpoint: str) -> bool:
        """Delete the key of this gateway; whether there was one."""
        return self._db.execute("DELETE FROM management_keys WHERE endpoint = ?", (endpoint,)).rowcount > 0

    def works(self, endpoint: str) -> list[KeyWork]:
        """What is not finished at the gateway with this origin, the oldest first."""
        rows = self._db.rows(
            f"SELECT {_WORK} FROM key_works WHERE endpoint = ? ORDER BY created_at, rowid", (endpoint,)
        )
        return [as_asked(record(KeyWork, row), endpoint=endpoint) for row in rows]

    def begin(self, work: KeyWork) -> None:
        """Write down what is about to be done, before anything of it is."""
        self._put("INSERT INTO key_works", work)

    def go_on(self, work: KeyWork) -> None:
        """Write down how far it is: which of its keys is there to be seen to."""
        self._db.execute(
            "UPDATE key_works SET new_name = ?, old_hash = ?, proof = ? WHERE id = ?",
            (work.new_name, work.old_hash, work.proof, work.id),
        )

    def finish(self, work_id: str) -> None:
        """Strike out what is done."""
        self._db.execute("DELETE FROM key_works WHERE id = ?", (work_id,))

    def _put(self, statement: str, values: ManagementKey | KeyWork) -> None:
        self._db.execute(
            f"{statement} ({', '.join(values._fields)}) VALUES ({', '.join('?' * len(values))})", tuple(values)
        )
