"""Every kind of slot, by its name."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from raptchat.config import Settings
from raptchat.errors import DecryptionFailedError
from raptchat.outside import safe_line
from raptchat.records import Slot
from raptchat.vault.file_slot import FileKind, NamedFile
from raptchat.vault.slots import Kind, Person

if TYPE_CHECKING:
    from raptchat.vault.patience import Patience

SlotKind = Literal["keyring", "file", "passphrase", "recovery"]
KINDS: tuple[SlotKind, ...] = get_args(SlotKind)

# First what is quick; a question to a person last, and of those the one that is looked for in a drawer.
OPENING_ORDER: tuple[SlotKind, ...] = ("file", "keyring", "passphrase", "recovery")


class Kinds:
    """The kinds of slot, as the environment and the person who is there make them."""

    def __init__(self, settings: Settings, person: Person) -> None:
        self._settings = settings
        self._person = person
        self._named = NamedFile(settings.master_key_file)

    @cached_property
    def patience(self) -> "Patience":
        """How long the keyring is still waited for, by all that ask it here."""
        from raptchat.vault.patience import Patience

        return Patience(interactive=self._person.ask is not None, tell=self._person.tell)

    def get(self, kind: str, *, path: Path | None = None, renewed: bool = False) -> Kind:
        """The *kind* of a slot; *path* is a new key file's, *renewed* a slot's that gets another secret.

        Raises `DecryptionFailedError` for a kind that there is not.
        """
        if kind == "file":
            return FileKind(self._named, path)
        if kind == "keyring":
            from raptchat.vault.keyring_slot import KeyringKind

            return KeyringKind(self.patience)
        if kind == "passphrase":
            from raptchat.vault.passphrase_slot import PassphraseKind

            # The passphrase file holds the passphrase of before.
            typed = renewed and self._person.ask is not None
            return PassphraseKind(None if typed else self._settings.passphrase_file, self._person)
        if kind == "recovery":
            from raptchat.vault.recovery_slot import RecoveryKind

            return RecoveryKind(self._named, self._person)
        raise DecryptionFailedError(f"the vault has a slot of an unknown kind: `{safe_line(kind)}`")

    @property
    def names_one(self) -> bool:
        """Whether the environment names where the secret of a slot is."""
        return self._named.path is not None or self._settings.passphrase_file is not None

    def check_named(self, slots: Sequence[Slot]) -> None:
        """`DecryptionFailedError` where a recovery key is to be used, and none of *slots* opens with one."""
        if self._named.is_recovery_key() and all(slot.kind != "recovery" for slot in slots):
            raise DecryptionFailedError(
                f"`{self._named.path}` holds a recovery key, and this store has none",
                hint="unset RAPTCHAT_MASTER_KEY_FILE, or have it name this store's key file",
            )

    def default(self) -> SlotKind:
        """The kind that a vault begins with where nobody says which."""
        if self._named.path is not None:
            return "file"
        return "passphrase" if self._settings.passphrase_file is not None else "keyring"
