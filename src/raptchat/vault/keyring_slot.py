"""The slot that opens with the operating system's keyring."""

import base64
from collections.abc import Mapping

from raptchat import crypto
from raptchat.errors import VaultLockedError
from raptchat.records import Slot
from raptchat.vault.keyring import OsKeyring
from raptchat.vault.patience import Patience
from raptchat.vault.slots import checked, decoded


class KeyringKind:
    """32 random bytes in the operating system's keyring."""

    named = asks = False

    def __init__(self, patience: Patience) -> None:
        self._patience = patience

    def plan(self, slot_id: str, store_id: str) -> Mapping[str, object]:
        """The backend that is there now, and an entry's name that was never used before."""
        keyring = OsKeyring.choose(patience=self._patience)
        # No group names here: Secret Service keeps attributes readable beside the secret.
        return {"backend": keyring.backend, "service": _service(store_id, slot_id)}

    def make(self, params: Mapping[str, object]) -> bytes:
        """A new entry, read back."""
        secret = crypto.new_key()
        self._keyring(params).put(str(params.get("service")), base64.b64encode(secret).decode())
        return secret

    def secret(self, slot: Slot) -> bytes:
        """What the entry holds."""
        text = self._keyring(slot.params).get(str(slot.params.get("service")))
        if text is None:
            # Never "make a new one": a locked or another session's keyring looks just like this.
            raise VaultLockedError(
                "the keyring does not hold this store's master key now: it is locked, or another session's",
                hint="unlock it, or open the store where the key was added",
            )
        return checked(decoded(text), slot, "the master key in the keyring is another one")

    def discard(self, slot: Slot, store_id: str) -> None:
        """Delete the entry, by the name that only this slot's can have: a changed store may name another's."""
        self._keyring(slot.params).delete(_service(store_id, slot.id))

    def _keyring(self, params: Mapping[str, object]) -> OsKeyring:
        return OsKeyring.remembered(str(params.get("backend")), patience=self._patience)


def _service(store_id: str, slot_id: str) -> str:
    return f"raptchat:{store_id}:{slot_id}"
