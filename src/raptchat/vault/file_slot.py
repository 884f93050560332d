"""The slot that opens with a key file."""

import base64
import os
from collections.abc import Mapping
from pathlib import Path

from raptchat import crypto, private_file
from raptchat.errors import DecryptionFailedError, RaptchatError, UsageError, VaultUnavailableError
from raptchat.records import Slot
from raptchat.vault.hardening import harden
from raptchat.vault.slots import RIGHT_ONE, checked, decoded

_KEY_FILE_PREFIX = "raptchat-key-1:"

_NAME_IT = "name it in RAPTCHAT_MASTER_KEY_FILE"


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
            harden()  # it is read before any slot is opened, which does so too
            self._line = private_file.read_line(self.path, "key file", refusal=VaultUnavailableError)
        return self._line

    def is_recovery_key(self) -> bool:
        """Whether it is there and holds a recovery key, mistyped or not."""
        if self.path is None:
            return False
        from raptchat.vault import recovery_key

        try:
            return recovery_key.looks_like_one(self.line())
        except RaptchatError:
            return False


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
            from raptchat import whole_file

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
        return decoded(line.removeprefix(_KEY_FILE_PREFIX))
