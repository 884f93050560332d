"""A new data key: every row sealed anew, every slot holding it, in one commit."""

import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from raptchat import crypto
from raptchat.errors import StoreError
from raptchat.records import Slot
from raptchat.store import Store
from raptchat.vault.changes import SlotChanges
from raptchat.vault.kinds import Kinds
from raptchat.vault.opening import Opened, Opener, Reading
from raptchat.vault.sealing import DataKey
from raptchat.vault.wrapping import holding, led_on

Resealer = Callable[[DataKey, DataKey], int]
"""Opens every row of a table with the first key, seals it with the second; returns how many there were."""


@dataclass(frozen=True, slots=True)
class Rotation:
    """What became of a rotation: the new data key's id, the slots that hold it, and how many rows it seals."""

    key_id: str
    slots: list[Slot]
    rows: int


def rotate(
    reading: Reading,
    opened: Opened,
    resealers: Mapping[str, Resealer],
    *,
    store: Store,
    kinds: Kinds,
    opener: Opener,
    changes: SlotChanges,
) -> tuple[Rotation, DataKey]:
    """Change the data key of *reading*, which *opened* opens; whoever calls holds the vault's lock.

    Slots whose secret is at hand get a proof of the new key, and those in a keyring a new entry. Raises
    `StoreError`, before anything is changed, when a table names a data key and none of *resealers* is for it, and
    `StoreBusyError` when the vault was changed meanwhile.
    """
    if forgotten := store.vault.sealed_tables().keys() - resealers.keys():
        raise StoreError(
            f"the vault's key is not changed: rows of {', '.join(sorted(forgotten))} would not open any more",
            hint="this is a bug of raptchat; nothing was changed",
        )
    changes.collect_leftovers()
    new = DataKey(str(uuid.uuid4()), reading.store_id, crypto.new_key())
    with ExitStack() as making:

        def renewed(slot: Slot, found: Opened | None) -> Slot:
            if found is None:
                return led_on(slot, opened.key, new)
            if slot.kind == "keyring":
                return holding(*making.enter_context(changes.pending("keyring", kinds.get("keyring"))), new)
            return holding(slot, found.secret, new)

        slots = [
            renewed(slot, found if isinstance(found, Opened) else None)
            for slot, found in opener.each(reading, opened)
        ]
        rows = changes.switch(
            reading,
            new,
            slots,
            action="vault.rotate",
            resealed=lambda: sum(reseal(opened.key, new) for reseal in resealers.values()),
        )
    changes.collect_leftovers()
    return Rotation(new.id, slots, rows), new
