"""The vault's rows: its data key's check value, its slots, and which tables hold what the key seals."""

import base64
import json
from typing import Any

from raptchat.clock import utc_now
from raptchat.records import Slot, TrailStep, VaultKey
from raptchat.store.connection import Connection
from raptchat.store.rows import record

COLUMNS = "id, kind, state, key_id, public_key, wrapped_key, proof, params, created_at, trail"


class VaultRows:
    """Which data key is in use, and what opens it."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is under way, in which nobody may be waited for."""
        return self._db.raw.in_transaction

    def key(self) -> VaultKey | None:
        """The data key in use, if there ever was one."""
        row = self._db.row(
            "SELECT id, check_value, slots_mac FROM vault_keys ORDER BY created_at DESC, rowid DESC LIMIT 1"
        )
        return record(VaultKey, row) if row else None

    def put_key(self, key: VaultKey) -> None:
        """Keep a data key's check value and the MAC over its slots."""
        self._db.execute(
            "INSERT INTO vault_keys (id, check_value, slots_mac, created_at) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET slots_mac = excluded.slots_mac",
            (key.id, key.check_value, key.slots_mac, utc_now()),
        )

    def remove_key(self, key_id: str) -> None:
        """Delete a data key's row; `StoreError` while another row names it."""
        self._db.execute("DELETE FROM vault_keys WHERE id = ?", (key_id,))

    def sealed_tables(self) -> dict[str, set[str]]:
        """The tables beside the vault's own that name a data key, with the columns that do.

        The schema says it, so that no later table can be forgotten: a foreign key to `vault_keys`, or a column
        that is called `key_id`.
        """
        found: dict[str, set[str]] = {}
        for row in self._db.rows(
            "SELECT t.name AS place, c.name AS field FROM sqlite_schema t JOIN pragma_table_info(t.name) c"
            " WHERE t.type = 'table' AND lower(c.name) = 'key_id'"
            ' UNION SELECT t.name, f."from" FROM sqlite_schema t JOIN pragma_foreign_key_list(t.name) f'
            " WHERE t.type = 'table' AND lower(f.\"table\") = 'vault_keys'"
        ):
            if row["place"].lower() != "vault_slots":
                found.setdefault(row["place"], set()).add(row["field"])
        return found

    def naming(self, key_id: str) -> list[str]:
        """The tables beside the vault's own in which a row names this data key."""
        return [
            table
            for table, columns in self.sealed_tables().items()
            for column in columns
            if self._db.row(f"SELECT 1 FROM {_quoted(table)} WHERE {_quoted(column)} = ? LIMIT 1", (key_id,))
        ]

    def slots(self) -> list[Slot]:
        """Every slot, the oldest first, the pending ones too."""
        rows = self._db.rows(f"SELECT {COLUMNS} FROM vault_slots ORDER BY created_at, rowid")
        return [_slot(row) for row in rows]

    def kinds(self) -> list[str]:
        """The kinds of the slots in use, each once."""
        return list(dict.fromkeys(slot.kind for slot in self.slots() if slot.state == "active"))

    def put_slot(self, slot: Slot) -> None:
        """Keep a slot: a new one, or what a pending one became."""
        columns = COLUMNS.split(", ")
        values = {"params": canonical_params(slot), "trail": canonical_trail(slot)}
        self._db.execute(
            f"INSERT OR REPLACE INTO vault_slots ({COLUMNS}) VALUES ({', '.join('?' * len(columns))})",
            [values.get(column, getattr(slot, column)) for column in columns],
        )

    def remove_slot(self, slot_id: str) -> None:
        """Delete a slot's row."""
        self._db.execute("DELETE FROM vault_slots WHERE id = ?", (slot_id,))


def canonical_params(slot: Slot) -> str:
    """The slot's parameters in the one form that is stored and authenticated."""
    return json.dumps(slot.params, sort_keys=True, separators=(",", ":"))


def canonical_trail(slot: Slot) -> str:
    """The slot's trail in the one form that is stored and authenticated; bytes are in Base64."""
    steps = [
        [step.key_id, base64.b64encode(step.wrapped_key).decode(), base64.b64encode(step.succession).decode()]
        for step in slot.trail
    ]
    return json.dumps(steps, separators=(",", ":"))


def _slot(row: dict[str, Any]) -> Slot:
    try:
        params = json.loads(row["params"])
    except (ValueError, TypeError, RecursionError):
        params = None
    # A damaged row is refused by the MAC over the slots, where the error can say so.
    is_flat = isinstance(params, dict) and all(isinstance(value, str | int) for value in params.values())
    return record(Slot, {**row, "params": params if is_flat else {}, "trail": _trail(row["trail"])})


def _trail(text: object) -> tuple[TrailStep, ...]:
    # As with the parameters: without its trail a slot that needs one does not open.
    try:
        return tuple(
            TrailStep(str(key_id), base64.b64decode(wrapped), base64.b64decode(succession))
            for key_id, wrapped, succession in json.loads(str(text))
        )
    except (ValueError, TypeError, RecursionError):
        return ()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
