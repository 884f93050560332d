"""From the slots to the data key."""

import hmac
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from raptchat.errors import (
    DecryptionFailedError,
    RaptchatError,
    VaultLockedError,
    VaultUnavailableError,
)
from raptchat.records import Slot, VaultKey
from raptchat.store import Store
from raptchat.vault.hardening import harden
from raptchat.vault.kinds import OPENING_ORDER, Kinds
from raptchat.vault.sealing import DataKey
from raptchat.vault.slots import RECOVERY_HINT, Person
from raptchat.vault.wrapping import BACKUP_HINT, unwrapped


class Reading(NamedTuple):
    """What the store says of its vault at one moment: the key's row, and the slots in use."""

    key: VaultKey
    slots: tuple[Slot, ...]
    store_id: str

    def is_of(self, key: DataKey) -> bool:
        """Whether *key* is the data key meant, and signed these very slots."""
        return (
            key.id == self.key.id
            and hmac.compare_digest(key.check_value(), self.key.check_value)
            and hmac.compare_digest(key.slots_mac(self.slots), self.key.slots_mac)
        )


class Opened:
    """A slot that opened, its secret, and the data key that it holds; printed, it shows none of them."""

    __slots__ = ("key", "secret", "slot")

    def __init__(self, slot: Slot, secret: bytes, key: DataKey) -> None:
        self.slot = slot
        self.secret = secret
        self.key = key


def in_use(slots: Sequence[Slot]) -> tuple[Slot, ...]:
    """The slots that open the vault, without those that are being made or to go."""
    return tuple(slot for slot in slots if slot.state == "active")


def was_in_use(slot: Slot) -> bool:
    """Whether the vault opens with *slot*, or did: one that is to go is left by a vault, too."""
    return slot.state != "pending"


def read(store: Store) -> Reading | None:
    """The vault of *store*, or nothing where it never had one; `DecryptionFailedError` where its key is gone."""
    with store.snapshot():
        key, slots, store_id = store.vault.key(), store.vault.slots(), store.id
    if key is not None:
        return Reading(key, in_use(slots), store_id)
    if any(map(was_in_use, slots)):
        raise DecryptionFailedError("the vault's data key was taken out of the store", hint=BACKUP_HINT)
    return None


class Opener:
    """Opens slots with the secrets that are at hand, or that a person types."""

    def __init__(self, kinds: Kinds, person: Person) -> None:
        self._kinds = kinds
        self._person = person

    def any(self, reading: Reading, slots: Sequence[Slot] | None = None) -> Opened:
        """The first slot that opens of all, or of *slots*; raises what says most of why none did."""
        errors: list[RaptchatError] = []
        slots = reading.slots if slots is None else slots
        # Where the user said which secret to use, another one is not tried behind their back.
        self._kinds.check_named(reading.slots)
        named = [slot for slot in slots if self._kinds.names_one and self._is_named(slot)]
        for slot in sorted(named or slots, key=_order):
            if slot.kind == "recovery" and errors and self._person.ask is not None and not named:
                self._person.tell(str(errors[0]))
            try:
                return self.one(reading, slot)
            except RaptchatError as error:
                errors.append(error)
        if errors:
            raise _most_telling(errors)
        raise DecryptionFailedError("the vault has no slot: its rows were altered", hint=BACKUP_HINT)

    def one(self, reading: Reading, slot: Slot) -> Opened:
        """*slot*, opened with its secret; the person may be asked for it."""
        harden()
        secret = self._kinds.get(slot.kind).secret(slot)
        key = unwrapped(slot, secret, reading.store_id, reading.key.check_value)
        if key.id != reading.key.id:
            raise DecryptionFailedError(
                "the vault's data key is another one: its rows were altered", hint=BACKUP_HINT
            )
        if not hmac.compare_digest(key.slots_mac(reading.slots), reading.key.slots_mac):
            raise DecryptionFailedError("the vault's slots were altered", hint=BACKUP_HINT)
        return Opened(slot, secret, key)

    def each(
        self, reading: Reading, known: Opened | None = None, *, ask: bool = False
    ) -> Iterator[tuple[Slot, Opened | RaptchatError | None]]:
        """Every slot, opened, or why it does not open; nothing where that would mean asking a person.

        The *known* one is open already. With *ask* the person is asked, and it is nothing where they type nothing.
        """
        for slot in reading.slots:
            yield slot, known if known and known.slot.id == slot.id else self._tried(reading, slot, ask=ask)

    def _tried(self, reading: Reading, slot: Slot, *, ask: bool) -> Opened | RaptchatError | None:
        asks = False
        try:
            asks = self._kinds.get(slot.kind).asks
            return None if asks and not ask else self.one(reading, slot)
        except RaptchatError as error:
            return error if isinstance(error, DecryptionFailedError) or not asks else None

    def _is_named(self, slot: Slot) -> bool:
        try:
            return self._kinds.get(slot.kind).named
        except DecryptionFailedError:  # an unknown kind is told when it is opened
            return False


def _most_telling(errors: Sequence[RaptchatError]) -> RaptchatError:
    """The one that says most of why nothing opened; where the last slot was the last resort, it says how."""
    kinds = (DecryptionFailedError, VaultLockedError, VaultUnavailableError)
    told = next((met for kind in kinds for met in errors if isinstance(met, kind)), errors[0])
    if told is not errors[-1] and errors[-1].hint == RECOVERY_HINT:
        told.hint = f"{told.hint}; or {RECOVERY_HINT}" if told.hint else RECOVERY_HINT
    return told


def _order(slot: Slot) -> int:
    known = list(OPENING_ORDER)
    return known.index(slot.kind) if slot.kind in known else len(known)
