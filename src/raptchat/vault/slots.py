"""What every kind of slot has: where its 32 bytes come from that open the vault, and who may be asked for them."""

import base64
import hmac
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from raptchat import crypto
from raptchat.errors import DecryptionFailedError
from raptchat.records import Slot

ATTEMPTS = 3

RIGHT_ONE = "use the one that belongs to this store; raptchat vault status lists its ways to open"
RECOVERY_HINT = "name a file that holds the recovery key in RAPTCHAT_MASTER_KEY_FILE"


class Person(NamedTuple):
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


def decoded(text: str, *, size: int = crypto.KEY_SIZE) -> bytes:
    """The *size* bytes that *text* is the Base64 of; `DecryptionFailedError` when it is not."""
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
