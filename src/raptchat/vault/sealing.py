"""The data key, and what ties it to its rows and its slots."""

from collections.abc import Iterable

from raptchat import crypto
from raptchat.records import Slot
from raptchat.secret import Secret
from raptchat.store.vault import canonical_params, canonical_trail


class DataKey:
    """The key that seals every credential of one store; printed, it shows nothing."""

    __slots__ = ("_key", "id", "store_id")

    def __init__(self, key_id: str, store_id: str, key: bytes) -> None:
        self.id = key_id
        self.store_id = store_id
        self._key = key

    def seal(self, secret: Secret, *context: str) -> crypto.Sealed:
        """Encrypt *secret* for *context*: it opens in no other store, row or place."""
        key = crypto.subkey(self._key, "rows")
        return crypto.seal(key, secret.reveal().encode(), context=self._context(context))

    def open(self, sealed: crypto.Sealed, *context: str) -> Secret:
        """The secret sealed for *context*; `DecryptionFailedError` for any other."""
        key = crypto.subkey(self._key, "rows")
        return Secret(crypto.open_sealed(key, sealed, context=self._context(context)).decode())

    def fingerprint(self, secret: Secret) -> str:
        """A keyed hash: the same for the same secret in this store, and nothing to whoever lacks the key."""
        return crypto.mac(crypto.subkey(self._key, "fingerprint"), secret.reveal()).hex()

    def check_value(self) -> bytes:
        """What tells that it is this key, and nothing else of it."""
        return crypto.subkey(self._key, "check value")

    def succession(self, key_id: str, check_value: bytes) -> bytes:
        """Under this key: which data key came after it."""
        return crypto.mac(crypto.subkey(self._key, "succession"), self.store_id, self.id, key_id, check_value)

    def slots_mac(self, slots: Iterable[Slot]) -> bytes:
        """Under this key: which slots there are."""
        return slots_mac(self._key, slots)

    def wrapped_for(self, slot: Slot) -> bytes:
        """This key, encrypted so that only *slot*'s secret opens it."""
        return crypto.wrap(self._key, public=slot.public_key or b"", info=slot_info(slot, self.store_id))

    def _context(self, context: tuple[str, ...]) -> bytes:
        return crypto.joined("row", self.store_id, self.id, *context)


def slot_proof(secret: bytes, slot: Slot, store_id: str, check_value: bytes) -> bytes:
    """Under the slot's *secret*: which data key the slot opens. Anyone can wrap a key for a public key."""
    return crypto.mac(crypto.subkey(secret, "proof"), store_id, slot.id, slot.key_id or "", check_value)


def slot_info(slot: Slot, store_id: str) -> bytes:
    """What a wrapped data key is bound to: the store, and all of its slot that opens it."""
    return crypto.joined("slot", store_id, slot.id, slot.kind, slot.key_id or "", canonical_params(slot))


def slots_mac(data_key: bytes, slots: Iterable[Slot]) -> bytes:
    """Under the data key: which slots there are, so that nobody without it can add, change or drop one."""
    ordered = sorted(slots, key=lambda slot: slot.id)
    parts: list[str | bytes] = []
    for slot in ordered:
        parts += [slot.id, slot.kind, slot.key_id or "", slot.public_key or b"", slot.wrapped_key or b""]
        parts += [slot.proof or b"", canonical_params(slot), slot.created_at]
    if any(slot.trail for slot in ordered):
        # A key of its own: no list without trails can be read as one with them.
        parts += [canonical_trail(slot) for slot in ordered]
        return crypto.mac(crypto.subkey(data_key, "slots with trails"), *parts)
    return crypto.mac(crypto.subkey(data_key, "slots"), *parts)
