"""The border of `pyrage`: files in the age format (age-encryption.org/v1), which the stock `age` reads and writes.

What a header may ask for is bounded here, before any of it is done.
"""

import base64
import binascii
import re
from collections.abc import Sequence
from contextlib import suppress

import pyrage

from raptchat.bundle import age_passphrase
from raptchat.errors import DecryptionFailedError, UsageError
from raptchat.outside import safe_line
from raptchat.secret import Secret

# A bundle is held in memory, several times over while it is read.
MOST_BYTES = 256 * 1024 * 1024

_FIRST_LINE = b"age-encryption.org/v1\n"
_ARMOR_BEGIN, _ARMOR_END = b"-----BEGIN AGE ENCRYPTED FILE-----", b"-----END AGE ENCRYPTED FILE-----"
# Some hundred recipients. There is no limit in the format.
_MOST_HEADER_BYTES = 64 * 1024
_HEADER_END = re.compile(rb"^--- [^\n]*\n", re.MULTILINE)
_SCRYPT = re.compile(rb"^-> scrypt(?: [^\s]+)* (?P<log_n>[^\s]+)$", re.MULTILINE)
# 1 GiB of memory, as for the vault's own passphrase; the stock `age` writes 18.
_MOST_LOG_N = 20
_RIGHT_FILE = "is it the whole file, and the right one?"


def encrypt(content: bytes, *, passphrase: Secret | None = None, recipients: Sequence[str] = ()) -> bytes:
    """*content* as an age file, which *passphrase* opens, or else the identity of any of the *recipients*.

    A recipient is the public key that `age-keygen` shows, `age1...`; `UsageError` for one that is none.
    """
    if passphrase is not None:
        return age_passphrase.encrypt(content, passphrase)
    return bytes(pyrage.encrypt(content, [_recipient(word) for word in recipients]))


def needs_passphrase(data: bytes) -> bool:
    """Whether the age file *data* opens with a passphrase, and not with an identity.

    `UsageError` when it is no age file, or asks for more work than a passphrase is worth.
    """
    header = _header(data)
    stanzas = list(_SCRYPT.finditer(header))
    for stanza in stanzas:
        log_n = stanza["log_n"]
        if not re.fullmatch(rb"[1-9][0-9]?", log_n) or int(log_n) > _MOST_LOG_N:
            raise UsageError(
                "the bundle asks for more work than opening one with a passphrase takes",
                hint=f"more than 2^{_MOST_LOG_N} rounds; to make it anew: age -d FILE | age -p -o ANOTHER",
            )
    return bool(stanzas)


def decrypt(data: bytes, *, passphrase: Secret | None = None, identities: Sequence[Secret] = ()) -> bytes:
    """What is in the age file *data*.

    An identity is the secret key that `age-keygen` makes, `AGE-SECRET-KEY-1...`. Raises `UsageError` for a file or
    an identity that is none, and `DecryptionFailedError` when another one opens the file, or a single bit of it is
    another.
    """
    binary = _without_armor(data)
    by_passphrase = needs_passphrase(binary)
    content: bytes | None = None
    if by_passphrase and passphrase is not None:
        content = age_passphrase.decrypt(binary, passphrase)
    elif not by_passphrase:
        with suppress(pyrage.DecryptError):
            content = bytes(pyrage.decrypt(binary, [_identity(one) for one in identities]))
    if content is not None:
        return content
    secret = "passphrase is wrong" if by_passphrase else "identity is another"
    raise DecryptionFailedError(
        f"the bundle does not open: its {secret}, or the file was damaged", hint=_RIGHT_FILE
    )


def check_recipient(word: str) -> None:
    """`UsageError` when *word* is no recipient."""
    _recipient(word)


def _recipient(word: str) -> object:
    try:
        return pyrage.x25519.Recipient.from_str(word)
    except (pyrage.RecipientError, ValueError):
        # What was pasted may be the secret half.
        shown = "" if word.upper().startswith("AGE-SECRET-KEY-") else f": `{safe_line(word)[:80]}`"
        raise UsageError(
            f"`--recipient` takes a public key such as `age1...`{shown}",
            hint="age-keygen -y shows that of an identity",
        ) from None


def _identity(line: Secret) -> object:
    try:
        return pyrage.x25519.Identity.from_str(line.reveal())
    except (pyrage.IdentityError, ValueError):
        raise UsageError(
            "the file with the identity holds a line that is none",
            hint="age-keygen makes one: AGE-SECRET-KEY-1...",
        ) from None


def _header(data: bytes) -> bytes:
    start = _without_armor(data)[:_MOST_HEADER_BYTES]
    end = _HEADER_END.search(start)
    if not start.startswith(_FIRST_LINE) or end is None:
        raise UsageError("this is no bundle: it is not in the age format", hint=_RIGHT_FILE)
    return start[: end.end()]


def _without_armor(data: bytes) -> bytes:
    """*data* in binary, where it stands in ASCII (RFC 7468 in its strict form, as `age -a` writes it)."""
    if not data.startswith(_ARMOR_BEGIN):
        return data
    body = data.removeprefix(_ARMOR_BEGIN).strip().removesuffix(_ARMOR_END)
    try:
        return base64.b64decode(b"".join(body.split()), validate=True)
    except (binascii.Error, ValueError):
        raise UsageError("this is no bundle: its armor is damaged", hint=_RIGHT_FILE) from None
