"""The slot that opens with a passphrase."""

import base64
import os
import unicodedata
from collections.abc import Mapping
from pathlib import Path

from raptchat import private_file
from raptchat.errors import DecryptionFailedError, UsageError, VaultLockedError, VaultUnavailableError
from raptchat.records import Slot
from raptchat.vault.argon2 import Argon2Costs, secret_from_passphrase
from raptchat.vault.slots import ATTEMPTS, RIGHT_ONE, Person, checked, decoded

_SALT_SIZE = 16


class PassphraseKind:
    """Argon2id of a passphrase that is typed, or stands in the file that `RAPTCHAT_PASSPHRASE_FILE` names."""

    def __init__(self, file: Path | None, person: Person) -> None:
        self._file = file
        self._person = person

    @property
    def named(self) -> bool:
        """Whether `RAPTCHAT_PASSPHRASE_FILE` is set."""
        return self._file is not None

    @property
    def asks(self) -> bool:
        """Whether it must be typed."""
        return self._file is None

    def plan(self, slot_id: str, store_id: str) -> Mapping[str, object]:
        """A new salt, and today's costs."""
        del slot_id, store_id
        salt = os.urandom(_SALT_SIZE)
        return {"salt": base64.b64encode(salt).decode(), **Argon2Costs().as_params()}

    def make(self, params: Mapping[str, object]) -> bytes:
        """The secret of a new passphrase, typed twice."""
        passphrase = self._read("Choose a passphrase: ")
        if not passphrase:
            raise UsageError("the passphrase is empty")
        if self._file is None and self._read("The same again: ") != passphrase:
            raise UsageError("the two passphrases differ")
        return self._derive(passphrase, params)

    def secret(self, slot: Slot) -> bytes:
        """The secret of the passphrase; a typing error is asked about again, and nothing typed ends it."""
        wrong = "the passphrase is wrong"
        if self._file is None and self._person.ask is not None:
            for _ in range(ATTEMPTS - 1):
                try:
                    return checked(self._derive(self._read_old(), slot.params), slot, wrong)
                except DecryptionFailedError as error:
                    self._person.tell(str(error))
        return checked(self._derive(self._read_old(), slot.params), slot, wrong)

    def discard(self, slot: Slot, store_id: str) -> None:
        """Nothing is kept outside the store."""

    def _read_old(self) -> str:
        passphrase = self._read("Passphrase: ")
        if not passphrase:
            raise VaultLockedError("no passphrase was given", hint=RIGHT_ONE)
        return passphrase

    def _read(self, prompt: str) -> str:
        if self._file is not None:
            return private_file.read_line(self._file, "passphrase file", refusal=VaultUnavailableError)
        if self._person.ask is None:
            raise VaultLockedError(
                "the store opens with a passphrase, and there is no terminal to ask for it",
                hint="name a file that holds it in RAPTCHAT_PASSPHRASE_FILE",
            )
        return self._person.ask(prompt)

    @staticmethod
    def _derive(passphrase: str, params: Mapping[str, object]) -> bytes:
        # One passphrase can be typed in several encodings of the same characters.
        text = unicodedata.normalize("NFC", passphrase)
        try:
            text.encode()
        except UnicodeEncodeError:
            raise UsageError("the passphrase is not valid UTF-8") from None
        salt = decoded(str(params.get("salt")), size=_SALT_SIZE)
        return secret_from_passphrase(text, salt=salt, costs=Argon2Costs.read(params))
