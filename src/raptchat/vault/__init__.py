"""What opens the credentials: one data key, and the slots that open it.

Each slot holds the data key wrapped for a public key (`crypto.wrap`); the secret behind that public key is kept
outside the store. The data key itself is only ever in memory.
"""

import fcntl
import hmac
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from raptchat import crypto
from raptchat.clock import utc_now
from raptchat.config import Settings
from raptchat.errors import (
    DecryptionFailedError,
    RaptchatError,
    StoreBusyError,
    StoreError,
    UsageError,
    VaultLockedError,
    VaultUnavailableError,
)
from raptchat.outside import safe_line
from raptchat.records import Slot, VaultKey
from raptchat.store import Store
from raptchat.vault.hardening import harden
from raptchat.vault.sealing import DataKey, slot_info, slot_proof, slots_mac
from raptchat.vault.slots import FileKind, KeyringKind, Kind, PassphraseKind, Person

SlotKind = Literal["keyring", "file", "passphrase"]
KINDS: tuple[SlotKind, ...] = get_args(SlotKind)

_BACKUP = "restore a backup of the store"

# Longer than a person has for the keyring's prompt: whoever holds the lock ends before.
_LOCK_SECONDS = 150.0


@dataclass(frozen=True, slots=True)
class SlotStatus:
    """A slot and whether it opens now: `None` where finding out would mean asking for a passphrase."""

    slot: Slot
    opens: bool | None
    problem: str | None


class Vault:
    """The slots of one store, and the data key behind them."""

    def __init__(self, store: Store, settings: Settings, person: Person) -> None:
        self._store = store
        self._settings = settings
        self._person = person
        self._opened: DataKey | None = None

    def exists(self) -> bool:
        """Whether the store ever had a vault; a second one is never made."""
        return self._store.vault.key() is not None or bool(self._active(self._store.vault.slots()))

    def data_key(self) -> DataKey:
        """The data key, opened with the first slot that can; opened once.

        Raises `VaultUnavailableError` when there is no vault or no way to one of its secrets, `VaultLockedError`
        when one is there and does not open now, `DecryptionFailedError` for a wrong secret or altered slots.
        """
        if self._opened is None:
            key, slots, store_id = self._read()
            self._opened = DataKey(key.id, store_id, self._open_any(key, slots, store_id))
        return self._opened

    def init(self, kind: SlotKind | None = None, *, path: Path | None = None) -> Slot:
        """Make the data key with its first slot; the way is what the environment names, or else the keyring.

        Raises `UsageError` when the store has a vault.
        """
        with self._lock():
            if self.exists():
                raise UsageError(
                    "this store has a vault already", hint="raptchat vault status, or raptchat vault add"
                )
            return self._begin(kind or self._default_kind(), path)

    def ensure(self) -> DataKey:
        """The data key; the store's first use makes it."""
        if not self.exists():
            with self._lock():
                if not self.exists():  # else another process made it meanwhile
                    self._begin(self._default_kind(), None)
        return self.data_key()

    def _begin(self, kind: SlotKind, path: Path | None) -> Slot:
        harden()
        key, key_id = crypto.new_key(), str(uuid.uuid4())
        slot = self._add(kind, path, key, key_id, beside=[])
        # Whoever has just chosen a passphrase is not asked for it again.
        self._opened = DataKey(key_id, self._store.id, key)
        return slot

    def add(self, kind: SlotKind, *, path: Path | None = None) -> Slot:
        """Add one more way to open the vault; raises what opening it does, and `StoreBusyError`."""
        with self._lock():
            key, slots, store_id = self._read()
            data_key = self._open_any(key, slots, store_id)
            return self._add(kind, path, data_key, key.id, beside=slots)

    def remove(self, word: str) -> Slot:
        """Take away the slot with this kind or id prefix.

        Raises `UsageError` for an unknown one and for the last one that opens, `StoreBusyError`, and what
        opening the vault does.
        """
        with self._lock():
            key, slots, store_id = self._read()
            slot = _find(slots, word)
            remaining = [other for other in slots if other.id != slot.id]
            data_key = self._open_any(key, slots, store_id)
            try:
                self._open_any(key, remaining, store_id, mac_slots=slots)
            except RaptchatError as error:
                raise UsageError(
                    f"the `{slot.kind}` slot is the last that opens, and stays",
                    hint="raptchat vault add keyring, file or passphrase",
                ) from error
            with self._store.write():
                self._store.vault.put_slot(replace(slot, state="dying"))
                self._store.vault.put_key(replace(key, slots_mac=slots_mac(data_key, remaining)))
            self._collect_leftovers()
            return slot

    def status(self) -> list[SlotStatus]:
        """Every slot, and whether it opens; nobody is asked for a passphrase."""
        with self._store.snapshot():
            key, slots = self._store.vault.key(), self._active(self._store.vault.slots())
            store_id = self._store.id
        return [self._slot_status(key, slot, slots, store_id) for slot in slots] if key else []

    def _slot_status(self, key: VaultKey, slot: Slot, slots: list[Slot], store_id: str) -> SlotStatus:
        if slot.kind == "passphrase" and self._settings.passphrase_file is None:
            return SlotStatus(slot, None, None)
        try:
            self._open(key, slot, slots, store_id)
        except RaptchatError as error:
            return SlotStatus(slot, False, str(error))
        return SlotStatus(slot, True, None)

    def _read(self) -> tuple[VaultKey, list[Slot], str]:
        with self._store.snapshot():
            key, slots, store_id = self._store.vault.key(), self._store.vault.slots(), self._store.id
        if key is None and self._active(slots):
            raise DecryptionFailedError("the vault's data key was taken out of the store", hint=_BACKUP)
        if key is None:
            raise VaultUnavailableError("this store has no vault yet", hint="raptchat vault init")
        return key, self._active(slots), store_id

    def _open_any(
        self, key: VaultKey, slots: list[Slot], store_id: str, *, mac_slots: list[Slot] | None = None
    ) -> bytes:
        errors: list[RaptchatError] = []
        # Where the user said which secret to use, another one is not tried behind their back.
        named = [slot for slot in slots if self._is_named(slot)]
        for slot in sorted(named or slots, key=self._order):
            try:
                return self._open(key, slot, mac_slots or slots, store_id)
            except RaptchatError as error:
                errors.append(error)
        for kind in (DecryptionFailedError, VaultLockedError, VaultUnavailableError):
            for met in errors:
                if isinstance(met, kind):
                    raise met
        if errors:
            raise errors[0]
        raise DecryptionFailedError("the vault has no slot: its rows were altered", hint=_BACKUP)

    def _open(self, key: VaultKey, slot: Slot, slots: list[Slot], store_id: str) -> bytes:
        harden()
        secret = self._kind(slot.kind).secret(slot)
        info = slot_info(slot, store_id)
        data_key = crypto.unwrap(slot.wrapped_key or b"", secret=secret, info=info)
        # Anyone can wrap a key of their own for a public key. Only who has the secret can say which key is meant.
        if not hmac.compare_digest(slot_proof(secret, slot, store_id, key.check_value), slot.proof or b""):
            raise DecryptionFailedError("the vault was replaced: it is not this master key's", hint=_BACKUP)
        if not hmac.compare_digest(crypto.subkey(data_key, "check value"), key.check_value):
            raise DecryptionFailedError("the vault's data key is another one: its rows were altered", hint=_BACKUP)
        if not hmac.compare_digest(slots_mac(data_key, slots), key.slots_mac):
            raise DecryptionFailedError("the vault's slots were altered", hint=_BACKUP)
        return data_key

    def _add(self, kind: SlotKind, path: Path | None, data_key: bytes, key_id: str, *, beside: list[Slot]) -> Slot:
        """A new slot *beside* those whose MAC was checked."""
        self._collect_leftovers()
        store_id, slot_id, keeper = self._store.id, str(uuid.uuid4()), self._kind(kind, path)
        params = keeper.plan(slot_id, store_id)
        pending = Slot(slot_id, kind, "pending", None, None, None, None, params, utc_now())
        with self._store.write():
            # The store names an entry before it is made: killed here, the next run knows what to remove.
            self._store.vault.put_slot(pending)
        try:
            slot = self._signed(pending, keeper.make(params), data_key, key_id, beside)
        except BaseException:
            self._collect_leftovers()
            raise
        return slot

    def _signed(self, pending: Slot, secret: bytes, data_key: bytes, key_id: str, beside: list[Slot]) -> Slot:
        store_id, public = self._store.id, crypto.public_key(secret)
        check = crypto.subkey(data_key, "check value")
        slot = replace(pending, state="active", key_id=key_id, public_key=public)
        wrapped = crypto.wrap(data_key, public=public, info=slot_info(slot, store_id))
        slot = replace(slot, wrapped_key=wrapped, proof=slot_proof(secret, slot, store_id, check))
        with self._store.write():
            # A person may have been asked meanwhile: nothing is signed that was not checked.
            if self._active(self._store.vault.slots()) != beside:
                raise StoreBusyError("the vault was changed meanwhile", hint="try again")
            self._store.vault.put_key(VaultKey(key_id, check, slots_mac(data_key, [*beside, slot])))
            self._store.vault.put_slot(slot)
        return slot

    def _collect_leftovers(self) -> None:
        slots = self._store.vault.slots()
        in_use = {slot.id for slot in slots if slot.state == "active"}
        for slot in slots:
            # An entry is named after its slot's id, which in a changed store may be spelled like another's.
            if slot.id in in_use or not _is_uuid(slot.id):
                continue
            try:
                self._kind(slot.kind).discard(slot, self._store.id)
            except RaptchatError:
                continue  # its keyring is not there now: a later run removes it
            self._store.vault.remove_slot(slot.id)

    def _kind(self, kind: str, path: Path | None = None) -> Kind:
        if kind == "keyring":
            return KeyringKind(self._person)
        if kind == "file":
            return FileKind(self._settings, path)
        if kind == "passphrase":
            return PassphraseKind(self._settings, self._person)
        raise DecryptionFailedError(f"the vault has a slot of an unknown kind: `{safe_line(kind)}`")

    def _default_kind(self) -> SlotKind:
        if self._settings.master_key_file is not None:
            return "file"
        return "passphrase" if self._settings.passphrase_file is not None else "keyring"

    def _is_named(self, slot: Slot) -> bool:
        named = {"file": self._settings.master_key_file, "passphrase": self._settings.passphrase_file}
        return named.get(slot.kind) is not None

    @staticmethod
    def _order(slot: Slot) -> int:
        # First what is quick; a question to a person last.
        quick = ["file", "keyring", "passphrase"]
        return quick.index(slot.kind) if slot.kind in quick else len(quick)

    @staticmethod
    def _active(slots: list[Slot]) -> list[Slot]:
        return [slot for slot in slots if slot.state == "active"]

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Only one process changes the slots at a time; a dead one's lock is gone with it."""
        path = self._settings.paths.store
        try:
            descriptor = os.open(
                path.with_name(f"{path.name}.vault-lock"),
                os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC,
                0o600,
            )
        except OSError as error:
            raise StoreError(f"the vault of `{path}` cannot be changed: {error.strerror}") from None
        try:
            deadline = time.monotonic() + _LOCK_SECONDS
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise StoreBusyError("another process is changing the vault", hint="try again") from None
                    time.sleep(0.05)
            yield
        finally:
            os.close(descriptor)


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def _find(slots: list[Slot], word: str) -> Slot:
    found = [slot for slot in slots if slot.kind == word] or [
        slot for slot in slots if len(word) >= 4 and slot.id.startswith(word)
    ]
    if len(found) == 1:
        return found[0]
    listed = ", ".join(f"{slot.kind} {slot.id[:8]}" for slot in (found or slots))
    problem = "more than one slot is called" if found else "there is no slot"
    raise UsageError(f"{problem} `{safe_line(word)}`", hint=f"slots: {listed}")
