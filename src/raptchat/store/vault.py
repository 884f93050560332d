"""The vault's rows: its data key's check value, and its slots."""

import json
from typing import Any

from raptchat.clock import utc_now
from raptchat.records import Slot, VaultKey
from raptchat.store.connection import Connection
from raptchat.store.rows import record

COLUMNS = "id, kind, state, key_id, public_key, wrapped_key, proof, params, created_at"


class VaultRows:
    """Which data key is in use, and what opens it."""

    def __init__(self, db: Connection) -> None:
        self._db = db

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

    def slots(self) -> list[Slot]:
        """Every slot, the oldest first, the pending ones too."""
        rows = self._db.rows(f"SELECT {COLUMNS} FROM vault_slots ORDER BY created_at, rowid")
        return [_slot(row) for row in rows]

    def kinds(self) -> list[str]:
        """The kinds of the slots in use, each once."""
        return list(dict.fromkeys(slot.kind for slot in self.slots() if slot.state == "active"))

    def put_slot(self, slot: Slot) -> None:
        """Keep a slot: a new one, or what a pending one became."""
        self._db.execute(
            f"INSERT OR REPLACE INTO vault_slots ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                slot.id,
                slot.kind,
                slot.state,
                slot.key_id,
                slot.public_key,
                slot.wrapped_key,
                slot.proof,
                canonical_params(slot),
                slot.created_at,
            ),
        )

    def remove_slot(self, slot_id: str) -> None:
        """Delete a slot's row."""
        self._db.execute("DELETE FROM vault_slots WHERE id = ?", (slot_id,))


def canonical_params(slot: Slot) -> str:
    """The slot's parameters in the one form that is stored and authenticated."""
    return json.dumps(slot.params, sort_keys=True, separators=(",", ":"))


def _slot(row: dict[str, Any]) -> Slot:
    try:
        params = json.loads(row["params"])
    except (ValueError, TypeError, RecursionError):
        params = None
    # A damaged row is refused by the MAC over the slots, where the error can say so.
    return record(Slot, {**row, "params": params if isinstance(params, dict) else {}})
