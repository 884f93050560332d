"""The kinds of slot: where the 32 bytes come from that open the vault."""

import base64
import hmac
import os
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from raptchat import crypto, private_file, whole_file
from raptchat.errors import (
    DecryptionFailedError,
    RaptchatError,
    UsageError,
    VaultLockedError,
    VaultUnavailableError,
)
from raptchat.records import Slot
from raptchat.vault import recovery_key
from raptchat.vault.keyring import OsKeyring, Patience

_KEY_FILE_PREFIX = "raptchat-key-1:"
_SALT_SIZE = 16
ATTEMPTS = 3

_NAME_IT = "name it in RAPTCHAT_MASTER_KEY_FILE"
RIGHT_ONE = "use the one that belongs to this store; raptchat vault status lists its ways to open"


@dataclass(frozen=True, slots=True)
class Person:
    """Whoever sits at the terminal: asked for a hidden text, and told what is being waited for."""

    tell: Callable[[str], None]
    ask: Callable[[str], str] | None = None  # None: nobody can be asked
    keep: Callable[[str], None] | None = None  # hands a new recovery key over


class Kind(Protocol):
    """One way to keep a slot's secret."""

    @property
    def named(self) -> bool:
        """Whether the environment names where the secret is."""

    @property
    def asks(self) -> bool:
        """Whether only a person has it."""

    def plan(self, slot_id: str, store_id: str) -> Mapping[str, object]:
        """What the store will remember of a new slot; nothing is made outside the store yet."""

    def make(self, params: Mapping[str, object]) -> bytes:
        """Make the secret of a new slot and put it where *params* say; return it."""

    def secret(self, slot: Slot) -> bytes:
        """The secret of *slot*; a `Vault...Error` when it is not there, `DecryptionFailedError` for another."""

    def discard(self, slot: Slot, store_id: str) -> None:
        """Remove what `make` put outside the store for *slot*, which is no more."""


class NamedFile:
    """What `RAPTCHAT_MASTER_KEY_FILE` names: a key file, or a file with a recovery key.

    It is read once, for it may be a pipe.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._line: str | None = None

    def line(self) -> str:
        """The one line of it; `VaultUnavailableError` or `UsageError` when there is none."""
        assert self.path is not None
        if self._line is None:
            self._line = private_file.read_line(self.path, "key file", refusal=VaultUnavailableError)
        return self._line

    def is_recovery_key(self) -> bool:
        """Whether it is there and holds a recovery key, mistyped or not."""
        try:
            return self.path is not None and recovery_key.looks_like_one(self.line())
        except RaptchatError:
            return False


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
        return checked(_decoded(text), slot, "the master key in the keyring is another one")

    def discard(self, slot: Slot, store_id: str) -> None:
        """Delete the entry, by the name that only this slot's can have: a changed store may name another's."""
        self._keyring(slot.params).delete(_service(store_id, slot.id))

    def _keyring(self, params: Mapping[str, object]) -> OsKeyring:
        return OsKeyring.remembered(str(params.get("backend")), patience=self._patience)


class FileKind:
    """32 random bytes in a key file of mode 0600."""

    asks = False

    def __init__(self, file: NamedFile, path: Path | None) -> None:
        self._file = file
        self._path = path or file.path

    @property
    def named(self) -> bool:
        """Whether `RAPTCHAT_MASTER_KEY_FILE` names a key file."""
        return self._file.path is not None and not self._file.is_recovery_key()

    def plan(self, slot_id: str, store_id: str) -> Mapping[str, object]:
        """The file's path."""
        del slot_id, store_id
        if self._path is None:
            raise UsageError("a file slot needs the path of its key file", hint="--file PATH")
        return {"path": str(self._path.absolute())}

    def make(self, params: Mapping[str, object]) -> bytes:
        """A new key file; one that is there already and is a key file is used as it is."""
        path = Path(str(params.get("path")))
        if os.path.exists(path):  # noqa: PTH110 - Path.exists raises for some paths
            whole_file.remove_unfinished(path.parent)  # its other name, where its maker was killed
            return self._read(path)
        secret = crypto.new_key()
        private_file.make(path, _KEY_FILE_PREFIX + base64.b64encode(secret).decode(), "key file")
        return secret

    def secret(self, slot: Slot) -> bytes:
        """What the file holds that `RAPTCHAT_MASTER_KEY_FILE` names, or else the one the slot was made with."""
        if self.named:
            path = self._file.path
            secret = self._secret(self._file.line(), path)
        else:
            path = Path(str(slot.params.get("path", "")))
            if not path.is_absolute():  # a changed store must not have a file of the working folder read
                raise VaultUnavailableError("the file slot names no key file", hint=_NAME_IT)
            # A pipe may be anybody's: only who was told to read one does.
            secret = self._read(path, regular=True)
        return checked(secret, slot, f"the key file `{path}` holds another master key")

    def discard(self, slot: Slot, store_id: str) -> None:
        """Leave the file: it may open other stores."""

    def _read(self, path: Path, *, regular: bool = False) -> bytes:
        line = private_file.read_line(path, "key file", refusal=VaultUnavailableError, regular=regular)
        return self._secret(line, path)

    @staticmethod
    def _secret(line: str, path: Path | None) -> bytes:
        if not line.startswith(_KEY_FILE_PREFIX):
            raise DecryptionFailedError(f"`{path}` is no key file of raptchat", hint=RIGHT_ONE)
        return _decoded(line.removeprefix(_KEY_FILE_PREFIX))


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
        return {"salt": base64.b64encode(salt).decode(), **crypto.Argon2Costs().as_params()}

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
        salt = _decoded(str(params.get("salt")), size=_SALT_SIZE)
        return crypto.secret_from_passphrase(text, salt=salt, costs=crypto.Argon2Costs.read(params))


def _service(store_id: str, slot_id: str) -> str:
    return f"raptchat:{store_id}:{slot_id}"


def _decoded(text: str, *, size: int = crypto.KEY_SIZE) -> bytes:
    try:
        value = base64.b64decode(text, validate=True)
    except ValueError:
        value = b""
    if len(value) != size:
        raise DecryptionFailedError("a slot's secret is damaged: it is not what raptchat wrote", hint=RIGHT_ONE)
    return value


def checked(secret: bytes, slot: Slot, problem: str) -> bytes:
    """*secret*, which must be *slot*'s; `DecryptionFailedError` saying *problem* for another."""
    if not hmac.compare_digest(crypto.public_key(secret), slot.public_key or b""):
        raise DecryptionFailedError(problem, hint=RIGHT_ONE)
    return secret
