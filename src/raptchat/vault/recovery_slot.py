"""The slot that opens with a recovery key."""

from collections.abc import Callable, Mapping

from raptchat import crypto
from raptchat.errors import DecryptionFailedError, UsageError, VaultUnavailableError
from raptchat.records import Slot
from raptchat.vault import recovery_key
from raptchat.vault.file_slot import NamedFile
from raptchat.vault.slots import ATTEMPTS, RECOVERY_HINT, RIGHT_ONE, Person, checked


class RecoveryKind:
    """32 random bytes on paper: shown once, and typed when nothing else opens the vault."""

    def __init__(self, file: NamedFile, person: Person) -> None:
        self._file = file
        self._person = person

    @property
    def named(self) -> bool:
        """Whether the file that `RAPTCHAT_MASTER_KEY_FILE` names holds a recovery key."""
        return self._file.is_recovery_key()

    @property
    def asks(self) -> bool:
        """Whether it must be typed."""
        return not self.named

    def plan(self, slot_id: str, store_id: str) -> Mapping[str, object]:
        """Nothing is remembered; `UsageError` where nobody can write it down."""
        del slot_id, store_id
        if self._person.keep is None:
            raise UsageError(
                "a recovery key is shown at a terminal, and there is none", hint="raptchat vault add recovery"
            )
        return {}

    def make(self, params: Mapping[str, object]) -> bytes:
        """A new one, once the person has written it down."""
        del params
        assert self._person.keep is not None
        secret = crypto.new_key()
        self._person.keep(recovery_key.written(secret))
        return secret

    def secret(self, slot: Slot) -> bytes:
        """The recovery key in the named file, or typed; a typing error is asked about again."""
        if self.named:
            return _secret(self._file.line(), slot)
        if self._person.ask is None:
            raise VaultUnavailableError(
                "the store opens with its recovery key, and there is no terminal to ask for it",
                hint=RECOVERY_HINT,
            )
        for _ in range(ATTEMPTS - 1):
            try:
                return _secret(self._typed(self._person.ask), slot)
            except DecryptionFailedError as error:
                self._person.tell(str(error))
        return _secret(self._typed(self._person.ask), slot)

    def discard(self, slot: Slot, store_id: str) -> None:
        """Leave the paper."""

    @staticmethod
    def _typed(ask: Callable[[str], str]) -> str:
        text = ask("Recovery key: ")
        if not text.strip():
            raise VaultUnavailableError("no recovery key was given", hint=RIGHT_ONE)
        return text


def _secret(text: str, slot: Slot) -> bytes:
    try:
        secret = recovery_key.read(text)
    except ValueError as error:
        raise DecryptionFailedError(f"the recovery key is mistyped: {error}", hint=RIGHT_ONE) from None
    return checked(secret, slot, "the recovery key is another one: it does not open this store")
