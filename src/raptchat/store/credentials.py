"""The sealed keys of every group: their rows and nothing else."""

from typing import Any

from raptchat.clock import utc_now
from raptchat.records import Credential
from raptchat.store.connection import Connection
from raptchat.store.rows import as_asked, record

COLUMNS = (
    "id, group_id, provider, encrypted_key, nonce, key_id, key_hint, key_fingerprint, label, base_url, endpoint,"
    " is_active, created_at, updated_at, last_used_at, created_by, kind"
)


class Credentials:
    """One row for each key."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def add(self, credential: Credential) -> None:
        """Keep a new one."""
        row = columns(credential)
        self._db.execute(
            f"INSERT INTO ai_credentials ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})",
            tuple(row.values()),
        )

    def get(self, credential_id: str) -> Credential | None:
        """The credential with this id."""
        found = self._one("id = ?", credential_id)
        return as_asked(found, id=credential_id) if found else None

    def active(self, group_id: str, provider: str) -> Credential | None:
        """The one credential of *group_id* that is in use for *provider*."""
        found = self._one("group_id = ? AND provider = ? AND is_active = 1", group_id, provider)
        return as_asked(found, group_id=group_id, provider=provider, is_active=True) if found else None

    def with_prefix(self, prefix: str) -> list[Credential]:
        """The credentials whose id begins with *prefix*."""
        found = self._many("id >= ? AND id < ?", prefix, prefix + "\U0010ffff")
        return [credential for credential in found if credential.id.startswith(prefix)]

    def of_group(self, group_id: str) -> list[Credential]:
        """Every credential of a group, the oldest first."""
        return [as_asked(found, group_id=group_id) for found in self._many("group_id = ?", group_id)]

    def all(self) -> list[Credential]:
        """Every credential, group by group."""
        return self._many("1")

    def with_fingerprint(self, fingerprint: str) -> list[Credential]:
        """The credentials that hold the key with this fingerprint."""
        return self._many("key_fingerprint = ?", fingerprint)

    def set_active(self, credential_id: str, *, active: bool) -> None:
        """Put a credential in use, or out of it."""
        self._db.execute(
            "UPDATE ai_credentials SET is_active = ?, updated_at = ? WHERE id = ?",
            (active, utc_now(), credential_id),
        )

    def reseal(self, credential: Credential) -> None:
        """Replace what is sealed by what *credential* holds: ciphertext, nonce, key and fingerprint."""
        self._db.execute(
            "UPDATE ai_credentials SET encrypted_key = ?, nonce = ?, key_id = ?, key_fingerprint = ?,"
            " updated_at = ? WHERE id = ?",
            (
                credential.encrypted_key,
                credential.nonce,
                credential.key_id,
                credential.key_fingerprint,
                utc_now(),
                credential.id,
            ),
        )

    def touch(self, credential_id: str) -> None:
        """Note that a credential was used now."""
        self._db.execute("UPDATE ai_credentials SET last_used_at = ? WHERE id = ?", (utc_now(), credential_id))

    def remove(self, credential_id: str) -> None:
        """Delete a credential."""
        self._db.execute("DELETE FROM ai_credentials WHERE id = ?", (credential_id,))

    def _one(self, where: str, *values: str) -> Credential | None:
        row = self._db.row(f"SELECT {COLUMNS} FROM ai_credentials WHERE {where}", values)
        return _credential(row) if row else None

    def _many(self, where: str, *values: str) -> list[Credential]:
        rows = self._db.rows(
            f"SELECT {COLUMNS} FROM ai_credentials WHERE {where} ORDER BY group_id, created_at, rowid", values
        )
        return [_credential(row) for row in rows]


def columns(credential: Credential) -> dict[str, object]:
    """*credential* as its row."""
    return credential._asdict() | {"kind": None if credential.kind == "key" else credential.kind}


def _credential(row: dict[str, Any]) -> Credential:
    return record(Credential, {**row, "is_active": bool(row["is_active"]), "kind": row["kind"] or "key"})
