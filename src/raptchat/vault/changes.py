"""How the slots of a store change: a row that names what is made, the thing itself, and one switch.

There is no transaction across a keyring and SQLite. So the store names an entry before it is made, under a name
never used before, and deletes it only after the commit that removed the last need for it: whoever is killed in
between leaves the old state or the new, and a row that says what is to go.
"""

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TypeVar

from raptchat.caller import Caller
from raptchat.clock import utc_now
from raptchat.errors import RaptchatError, StoreBusyError, StoreError
from raptchat.records import Slot, VaultKey
from raptchat.store import Store
from raptchat.vault.kinds import Kinds
from raptchat.vault.opening import Reading, in_use, read
from raptchat.vault.sealing import DataKey
from raptchat.vault.slots import Kind

T = TypeVar("T")


class SlotChanges:
    """Changes to the slots of one store; whoever makes one holds the vault's lock."""

    def __init__(self, store: Store, kinds: Kinds, caller: Caller) -> None:
        self._store = store
        self._kinds = kinds
        self._caller = caller

    @contextmanager
    def pending(self, kind: str, keeper: Kind) -> Iterator[tuple[Slot, bytes]]:
        """A new slot and its secret, which is made; it is taken away again when what is done inside fails."""
        slot_id = str(uuid.uuid4())
        params = keeper.plan(slot_id, self._store.id)
        slot = Slot(slot_id, kind, "pending", None, None, None, None, params, utc_now())
        with self._store.write():
            self._store.vault.put_slot(slot)
        try:
            yield slot, keeper.make(slot.params)
        except BaseException as error:
            # A commit that failed on the disk may stand or not: only the next run can tell what is to go.
            if not isinstance(error, StoreError) or isinstance(error, StoreBusyError):
                self.collect_leftovers()
            raise

    def switch(
        self,
        before: Reading | None,
        key: DataKey,
        slots: Sequence[Slot],
        *,
        action: str | None,
        resealed: Callable[[], T],
    ) -> T:
        """Put *slots* in use for *key*, in one commit with what *resealed* does; those of *before* go.

        *action* is noted as an event. Raises `StoreBusyError` when the vault is not what it was *before*: a person
        may have been asked meanwhile, and nothing is signed that was not checked.
        """
        rows = self._store.vault
        with self._store.write():
            if read(self._store) != before:
                raise StoreBusyError("the vault was changed meanwhile", hint="try again")
            rows.put_key(VaultKey(key.id, key.check_value(), key.slots_mac(slots)))
            done = resealed()
            old, staying = before.slots if before else (), {slot.id for slot in slots}
            for slot in old:
                if slot.id not in staying:
                    rows.put_slot(slot._replace(state="dying", wrapped_key=b"", proof=b"", trail=()))
            for slot in slots:
                if slot not in old:
                    rows.put_slot(slot)
            if before is not None and before.key.id != key.id:
                self._retire(before.key.id, key.id)
            if action is not None:
                self._store.ledger.note(action, caller=self._caller)
        return done

    def _retire(self, old_id: str, new_id: str) -> None:
        rows = self._store.vault
        if tables := rows.naming(old_id):
            raise StoreError(
                f"the vault's key is not changed: rows of {', '.join(tables)} would not open any more",
                hint="this is a bug of raptchat; nothing was changed",
            )
        for slot in rows.slots():
            # What is to go names a key all the same.
            if slot.key_id == old_id:
                rows.put_slot(slot._replace(key_id=new_id))
        rows.remove_key(old_id)

    def collect_leftovers(self) -> None:
        """Remove what killed or earlier changes left, outside the store first; what is not at hand stays."""
        slots, store_id = self._store.vault.slots(), self._store.id
        used = {slot.id for slot in in_use(slots)}
        for slot in slots:
            # An entry is named after its slot's id, which in a changed store may be spelled like another's.
            if slot.id in used or not _is_uuid(slot.id):
                continue
            # Its keyring is not there now, or the disk is full: a later run removes it, and what was done is done.
            with suppress(RaptchatError):
                self._kinds.get(slot.kind).discard(slot, store_id)
                self._store.vault.remove_slot(slot.id)


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
