"""How a slot holds the data key: wrapped for its public key, with a proof under its secret of which key is meant.

A slot whose secret is not at hand when the data key is changed gets the new key wrapped, and keeps its proof of
the old one. Between the two it has a trail: each data key on it is the witness of the next
(`DataKey.succession`), so that nobody who can only write the file leads the slot to a key of their own.
"""

import hmac

from raptchat import crypto
from raptchat.errors import DecryptionFailedError
from raptchat.records import Slot, TrailStep
from raptchat.vault.sealing import DataKey, slot_info, slot_proof

BACKUP_HINT = "restore a backup of the store"


def holding(slot: Slot, secret: bytes, key: DataKey) -> Slot:
    """*slot* in use for *key*, proved under its *secret*; that it opens was checked."""
    slot = slot._replace(state="active", key_id=key.id, public_key=crypto.public_key(secret), trail=())
    proof = slot_proof(secret, slot, key.store_id, key.check_value())
    slot = slot._replace(wrapped_key=key.wrapped_for(slot), proof=proof)
    unwrapped(slot, secret, key.store_id, key.check_value())
    return slot


def proved(slot: Slot, secret: bytes, key: DataKey) -> Slot:
    """*slot* with a proof of the key that it holds, and without the trail that led there."""
    return slot._replace(proof=slot_proof(secret, slot, key.store_id, key.check_value()), trail=())


def led_on(slot: Slot, old: DataKey, new: DataKey) -> Slot:
    """*slot*, whose secret is not at hand, as it holds *new*: its trail has one more step."""
    step = TrailStep(old.id, slot.wrapped_key or b"", old.succession(new.id, new.check_value()))
    slot = slot._replace(key_id=new.id, trail=(*slot.trail, step))
    return slot._replace(wrapped_key=new.wrapped_for(slot))


def unwrapped(slot: Slot, secret: bytes, store_id: str, check_value: bytes) -> DataKey:
    """The data key in *slot*, which must be the one with this *check_value*.

    Raises `DecryptionFailedError` when it is not the one that the slot's proof and trail lead to.
    """
    held = [(step.key_id, step.wrapped_key) for step in slot.trail]
    keys = [
        DataKey(key_id, store_id, _unwrap(slot._replace(key_id=key_id), wrapped, secret, store_id))
        for key_id, wrapped in [*held, (slot.key_id or "", slot.wrapped_key or b"")]
    ]
    checks = [*(key.check_value() for key in keys[:-1]), check_value]
    # Anyone can wrap a key of their own for a public key. Only who has the secret can say which key is meant, and
    # only who has that key, which one came after it.
    said = [slot.proof or b"", *(step.succession for step in slot.trail)]
    right = [
        slot_proof(secret, slot._replace(key_id=keys[0].id), store_id, checks[0]),
        *(key.succession(after.id, check) for key, after, check in zip(keys, keys[1:], checks[1:], strict=False)),
    ]
    if not all(hmac.compare_digest(one, other) for one, other in zip(said, right, strict=True)):
        raise DecryptionFailedError("the vault was replaced: it is not this master key's", hint=BACKUP_HINT)
    if not hmac.compare_digest(keys[-1].check_value(), check_value):
        raise DecryptionFailedError("the vault's data key is another one: its rows were altered", hint=BACKUP_HINT)
    return keys[-1]


def _unwrap(slot: Slot, wrapped: bytes, secret: bytes, store_id: str) -> bytes:
    return crypto.unwrap(wrapped, secret=secret, info=slot_info(slot, store_id))
