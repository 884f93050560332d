"""What opens the credentials: one data key, and the slots that open it.

Each slot holds the data key wrapped for a public key (`wrapping`); the secret behind that public key is kept
outside the store (`slots`). The data key itself is only ever in memory.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from raptchat import crypto
from raptchat.caller import Caller
from raptchat.config import Settings
from raptchat.errors import RaptchatError, StoreBusyError, UsageError, VaultUnavailableError
from raptchat.outside import safe_line
from raptchat.records import Slot
from raptchat.store import Store
from raptchat.vault.hardening import harden
from raptchat.vault.kinds import KINDS, Kinds, SlotKind
from raptchat.vault.opening import Opened, Opener, Reading, read, was_in_use
from raptchat.vault.sealing import DataKey
from raptchat.vault.slots import Person
from raptchat.vault.wrapping import holding, proved

if TYPE_CHECKING:
    from raptchat.vault.changes import SlotChanges
    from raptchat.vault.patience import Patience
    from raptchat.vault.rotation import Resealer, Rotation

__all__ = ["KINDS", "SlotKind", "SlotStatus", "Vault"]

# Each time, somebody else changed the vault meanwhile.
_ATTEMPTS = 10


class SlotStatus(NamedTuple):
    """A slot and whether it opens now: `None` where finding out would mean asking a person."""

    slot: Slot
    opens: bool | None
    problem: str | None


class Vault:
    """The slots of one store, and the data key behind them."""

    def __init__(self, store: Store, settings: Settings, person: Person, caller: Caller) -> None:
        self._store = store
        self._path = settings.paths.store
        self._kinds = Kinds(settings, person)
        self._opener = Opener(self._kinds, person)
        self._caller = caller
        self._opened: DataKey | None = None

    @cached_property
    def _changes(self) -> "SlotChanges":
        from raptchat.vault.changes import SlotChanges

        return SlotChanges(self._store, self._kinds, self._caller)

    @property
    def patience(self) -> "Patience":
        """How long the keyring is still waited for; who calls it beside the vault, in one process, shares it."""
        return self._kinds.patience

    def exists(self) -> bool:
        """Whether the store ever had a vault; a second one is never made."""
        return self._store.vault.key() is not None or any(map(was_in_use, self._store.vault.slots()))

    def data_key(self) -> DataKey:
        """The data key in use, opened with the first slot that can; opened again once another process changed it.

        Raises `VaultUnavailableError` when there is no vault or no way to one of its secrets, `VaultLockedError`
        when one is there and does not open now, `DecryptionFailedError` for a wrong secret or altered slots.
        """
        for _ in range(_ATTEMPTS):
            if self._opened is not None:
                in_use = self._store.vault.key()
                if in_use is not None and in_use.id == self._opened.id:
                    return self._opened
            reading = self._read()
            try:
                opened = self._opener.any(reading)
            except RaptchatError:
                # A secret may be gone because the slot is: the vault was changed since it was read.
                if read(self._store) == reading:
                    raise
                continue
            self._renew(reading, opened)
            self._opened = opened.key
            return opened.key
        raise _busy()

    def init(self, kind: SlotKind | None = None, *, path: Path | None = None) -> Slot:
        """Make the data key with its first slot; the way is what the environment names, or else the keyring.

        Raises `UsageError` when the store has a vault.
        """
        with self._lock():
            if self.exists():
                raise UsageError(
                    "this store has a vault already", hint="raptchat vault status, or raptchat vault add"
                )
            return self._begin(kind or self._kinds.default(), path)

    def ensure(self) -> DataKey:
        """The data key; the store's first use makes it."""
        if not self.exists():
            with self._vault_lock(self.patience.left) as waited:
                if not self.exists():  # else another process made it meanwhile, and its keyring answers
                    self.patience.spend(waited)
                    self._begin(self._kinds.default(), None)
        return self.data_key()

    def add(self, kind: SlotKind, *, path: Path | None = None) -> Slot:
        """Add one more way to open the vault; raises what opening it does, and `StoreBusyError`."""
        with self._lock():
            reading, key = self._read(), self._opened
            # Whoever has just typed a passphrase is not asked for it again.
            if key is None or not reading.is_of(key):
                key = self._opener.any(reading).key
            return self._made(kind, path, reading, key, list(reading.slots), action="vault.add")

    def remove(self, word: str) -> Slot:
        """Take away the slot with this kind or id prefix.

        Raises `UsageError` for an unknown one and for the last one that opens, `StoreBusyError`, and what
        opening the vault does.
        """
        with self._lock():
            reading = self._read()
            slot = _find(reading.slots, word)
            remaining = _without(slot, reading)
            opened = self._opener.any(reading)
            if opened.slot.id == slot.id:
                self._check_others_open(reading, slot)
            self._changes.switch(reading, opened.key, remaining, action="vault.remove", resealed=lambda: None)
            self._changes.collect_leftovers()
            return slot

    def rotate_slot(self, word: str, *, path: Path | None = None) -> Slot:
        """Give the slot with this kind or id prefix a new secret; the data key stays.

        A passphrase is changed, a recovery key shown anew, an entry of the keyring made anew, and a file slot gets
        the key file at *path*. Raises what `add` does, and `UsageError` for a key file that it has already.
        """
        with self._lock():
            reading = self._read()
            slot = _find(reading.slots, word)
            remaining = _without(slot, reading)
            # What the passphrase file holds is the new one, where nobody types it.
            by_file = slot.kind == "passphrase" and self._kinds.get(slot.kind, renewed=True).named
            key = self._opener.any(reading, remaining if by_file else None).key
            return self._made(slot.kind, path, reading, key, remaining, action="vault.rotate-slot", renews=slot)

    def rotate(self, resealers: "Mapping[str, Resealer]") -> "Rotation":
        """Put a new data key in use, with every row that the old one sealed sealed anew, in one commit.

        *resealers* has an entry for each table whose rows name a data key: handed the old key and the new one, it
        seals every row anew and returns how many there were. Slots whose secret is at hand get a proof of the new
        key, those in a keyring also a new entry; the others open all the same. Raises what opening the vault and
        the resealers do, `StoreBusyError`, and `StoreError` when a table has no resealer; nothing is changed then.
        """
        from raptchat.vault.rotation import rotate

        with self._lock():
            reading = self._read()
            rotation, self._opened = rotate(
                reading,
                self._opener.any(reading),
                resealers,
                store=self._store,
                kinds=self._kinds,
                opener=self._opener,
                changes=self._changes,
            )
            return rotation

    def status(self) -> list[SlotStatus]:
        """Every slot, and whether it opens; nobody is asked for anything."""
        return [
            SlotStatus(slot, not isinstance(found, RaptchatError), str(found))
            if isinstance(found, RaptchatError)
            else SlotStatus(slot, None if found is None else True, None)
            for slot, found in self.each_slot()
        ]

    def each_slot(self, *, ask: bool = False) -> Iterator[tuple[Slot, DataKey | RaptchatError | None]]:
        """Every slot with the data key as it opens it, or why it does not; `None` where it was not tried.

        That is where a person would have to be asked; or, with *ask*, where they typed nothing.
        """
        reading = read(self._store)
        for slot, found in self._opener.each(reading, ask=ask) if reading else ():
            yield slot, found.key if isinstance(found, Opened) else found

    def leftovers(self) -> list[Slot]:
        """What killed processes, or keyrings that were not there, left to be collected by the next change."""
        return [slot for slot in self._store.vault.slots() if slot.state != "active"]

    def _begin(self, kind: SlotKind, path: Path | None) -> Slot:
        import uuid

        harden()
        # Whoever has just chosen a passphrase is not asked for it again.
        key = DataKey(str(uuid.uuid4()), self._store.id, crypto.new_key())
        slot = self._made(kind, path, None, key, [], action="vault.init")
        self._opened = key
        return slot

    def _made(
        self,
        kind: str,
        path: Path | None,
        reading: Reading | None,
        key: DataKey,
        beside: list[Slot],
        *,
        action: str,
        renews: Slot | None = None,
    ) -> Slot:
        """A new slot *beside* those that stay, put in use."""
        self._changes.collect_leftovers()
        keeper = self._kinds.get(kind, path=path, renewed=renews is not None)
        with self._changes.pending(kind, keeper) as (pending, secret):
            slot = holding(pending, secret, key)
            if renews is not None and slot.public_key == renews.public_key:
                raise UsageError("the slot has this very secret already", hint="--file PATH with a new path")
            self._changes.switch(reading, key, [*beside, slot], action=action, resealed=lambda: None)
        self._changes.collect_leftovers()
        return slot

    def _renew(self, reading: Reading, opened: Opened) -> None:
        """Let the slot that opened prove the key in use, so that it needs its trail no more."""
        if not opened.slot.trail or self._store.vault.in_transaction:
            return
        slots = [
            proved(slot, opened.secret, opened.key) if slot.id == opened.slot.id else slot
            for slot in reading.slots
        ]
        # A read-only store, or one that somebody else is changing: the next time will do.
        with suppress(RaptchatError), self._vault_lock(0):
            self._changes.switch(reading, opened.key, slots, action=None, resealed=lambda: None)

    def _check_others_open(self, reading: Reading, slot: Slot) -> None:
        try:
            self._opener.any(reading, _without(slot, reading))
        except RaptchatError as error:
            raise UsageError(
                f"the `{slot.kind}` slot is the last that opens, and stays",
                hint=f"raptchat vault add {', '.join(KINDS[:-1])} or {KINDS[-1]}",
            ) from error

    def _read(self) -> Reading:
        reading = read(self._store)
        if reading is None:
            raise VaultUnavailableError("this store has no vault yet", hint="raptchat vault init")
        return reading

    @contextmanager
    def _lock(self) -> Iterator[None]:
        # Whoever holds it may be waiting for the keyring, which we wait for next: no command does so twice.
        with self._vault_lock(self.patience.left) as waited:
            self.patience.spend(waited)
            yield

    def _vault_lock(self, seconds: float) -> AbstractContextManager[float]:
        from raptchat.vault.lock import vault_lock

        return vault_lock(self._path, seconds=seconds)


def _busy() -> StoreBusyError:
    return StoreBusyError("the vault is being changed again and again", hint="try again")


def _without(slot: Slot, reading: Reading) -> list[Slot]:
    return [other for other in reading.slots if other.id != slot.id]


def _find(slots: tuple[Slot, ...], word: str) -> Slot:
    found = [slot for slot in slots if slot.kind == word] or [
        slot for slot in slots if len(word) >= 4 and slot.id.startswith(word)
    ]
    if len(found) == 1:
        return found[0]
    listed = ", ".join(f"{slot.kind} {slot.id[:8]}" for slot in (found or slots))
    problem = "more than one slot is called" if found else "there is no slot"
    raise UsageError(f"{problem} `{safe_line(word)}`", hint=f"slots: {listed}")
