"""An age file that a passphrase opens (c2sp.org/age: "The scrypt recipient type", "Payload").

Written here, since `pyrage` measures for a moment how fast the machine is. It makes a guess at the passphrase as
costly as that: cheap on a busy machine, and on a fast one so that a small one has not the memory to open the file.
And what would take a busy machine too long by that, it does not open at all.
"""

import base64
import hashlib
import hmac
import os
import re
from collections.abc import Iterator

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from raptchat.errors import UsageError
from raptchat.secret import Secret

# What the stock `age` takes: 2^18 rounds, half a second and 256 MiB.
LOG_N = 18

_LABEL = b"age-encryption.org/v1/scrypt"
_CHUNK, _TAG = 64 * 1024, 16
# Each wrapping key is used once.
_WRAPPING_NONCE = bytes(12)

# Nothing else may stand in the header beside the one stanza, and what is in base64 has one spelling.
_HEADER = re.compile(
    rb"age-encryption\.org/v1\n"
    rb"-> scrypt (?P<salt>[A-Za-z0-9+/]{21}[AQgw]) (?P<log_n>[1-9][0-9]?)\n"
    rb"(?P<wrapped>[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048])\n"
    rb"--- (?P<mac>[A-Za-z0-9+/]{43})\n"
)


def encrypt(content: bytes, passphrase: Secret, *, log_n: int = LOG_N) -> bytes:
    """*content* as an age file for *passphrase*; a guess at it takes 2^*log_n* rounds of scrypt (RFC 7914)."""
    file_key, salt = os.urandom(16), os.urandom(16)
    wrapped = _wrapping(passphrase, salt, log_n).encrypt(_WRAPPING_NONCE, file_key, None)
    header = b"age-encryption.org/v1\n-> scrypt %b %d\n%b\n---" % (_base64(salt), log_n, _base64(wrapped))
    nonce = os.urandom(16)
    cipher = _payload_cipher(file_key, nonce)
    sealed = [cipher.encrypt(number, chunk, None) for number, chunk in _chunks(content, _CHUNK)]
    return b"".join([header, b" ", _mac(file_key, header), b"\n", nonce, *sealed])


def decrypt(data: bytes, passphrase: Secret) -> bytes | None:
    """What is in the age file *data*; `None` when another passphrase opens it, or a bit of it is another.

    It takes as many rounds as the file says: its reader has seen to it that these are not too many.
    """
    header = _HEADER.match(data)
    if header is None:
        return None
    wrapping = _wrapping(passphrase, _from_base64(header["salt"]), int(header["log_n"]))
    try:
        file_key = wrapping.decrypt(_WRAPPING_NONCE, _from_base64(header["wrapped"]), None)
        if not hmac.compare_digest(_mac(file_key, data[: header.start("mac") - 1]), header["mac"]):
            return None
        nonce, sealed = data[header.end() : header.end() + 16], data[header.end() + 16 :]
        cipher = _payload_cipher(file_key, nonce)
        chunks = [cipher.decrypt(number, chunk, None) for number, chunk in _chunks(sealed, _CHUNK + _TAG)]
    except InvalidTag:
        return None
    # Only a file without content ends with an empty chunk.
    return b"".join(chunks) if chunks[-1] or len(chunks) == 1 else None


def _wrapping(passphrase: Secret, salt: bytes, log_n: int) -> ChaCha20Poly1305:
    try:
        key = Scrypt(_LABEL + salt, 32, n=1 << log_n, r=8, p=1).derive(passphrase.reveal().encode())
    except MemoryError:
        raise UsageError(
            f"the bundle's passphrase takes {max(1, (1 << log_n) >> 10)} MiB of memory, and there is less",
            hint="close other programs; a bundle for a --recipient takes none",
        ) from None
    return ChaCha20Poly1305(key)


def _payload_cipher(file_key: bytes, nonce: bytes) -> ChaCha20Poly1305:
    return ChaCha20Poly1305(_derived(file_key, nonce, b"payload"))


def _chunks(data: bytes, size: int) -> Iterator[tuple[bytes, bytes]]:
    """*data* in chunks, each with its nonce: its number, and whether it is the last (STREAM)."""
    last = max(0, len(data) - 1) // size
    for number in range(last + 1):
        yield number.to_bytes(11, "big") + bytes([number == last]), data[number * size : (number + 1) * size]


def _mac(file_key: bytes, header: bytes) -> bytes:
    return _base64(hmac.digest(_derived(file_key, b"", b"header"), header, hashlib.sha256))


def _derived(key: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt=salt, info=info).derive(key)


def _base64(data: bytes) -> bytes:
    return base64.b64encode(data).rstrip(b"=")


def _from_base64(text: bytes) -> bytes:
    return base64.b64decode(text + b"=" * (-len(text) % 4))
