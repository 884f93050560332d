"""Seal and open one secret; make the keys that do it.

AES-256-GCM (NIST SP 800-38D) seals, HPKE (RFC 9180) wraps the data key for a slot, HKDF-SHA256 (RFC 5869) gives
each use a key of its own. A passphrase becomes a slot's secret in `vault.argon2`.
"""

import hashlib
import hmac
import os
from typing import TYPE_CHECKING, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from raptchat.errors import DecryptionFailedError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

try:
    # What the public names below stand for, without the RSA, EC and CBC that come with those: 5 ms of every chat.
    from cryptography.hazmat.bindings._rust import openssl

    AESGCM, _x25519_private_key = openssl.aead.AESGCM, openssl.x25519.from_private_bytes
except (ImportError, AttributeError):
    from cryptography.hazmat.primitives.asymmetric import x25519
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    _x25519_private_key = x25519.X25519PrivateKey.from_private_bytes

KEY_SIZE = 32
NONCE_SIZE = 12
FORMAT = b"\x01"

_HPKE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


class Sealed(NamedTuple):
    """A nonce of 12 bytes, and `format byte, ciphertext, tag[16]`."""

    nonce: bytes
    ciphertext: bytes


def joined(*parts: str | bytes) -> bytes:
    """*parts* as one byte string from which they can be told apart: each with its length before it."""
    # A damaged row can hold half of a surrogate pair, which no other text becomes.
    encoded = [part.encode(errors="surrogatepass") if isinstance(part, str) else part for part in parts]
    return b"".join(len(part).to_bytes(4, "big") + part for part in encoded)


def new_key() -> bytes:
    """32 random bytes: a data key, or a slot's secret."""
    return os.urandom(KEY_SIZE)


def subkey(key: bytes, purpose: str) -> bytes:
    """A key of 32 bytes for one *purpose*, from which neither *key* nor another purpose's key follows."""
    return HKDF(SHA256(), KEY_SIZE, salt=None, info=joined("raptchat", purpose)).derive(key)


def seal(key: bytes, secret: bytes, *, context: bytes) -> Sealed:
    """Encrypt *secret* so that it opens only with *key* and only in the same *context*."""
    # A random nonce is safe here: one data key seals thousands of secrets, and 96 random bits are good for
    # billions (SP 800-38D, section 8.3).
    nonce = os.urandom(NONCE_SIZE)
    return Sealed(nonce, FORMAT + AESGCM(key).encrypt(nonce, secret, FORMAT + context))


def open_sealed(key: bytes, sealed: Sealed, *, context: bytes) -> bytes:
    """The secret in *sealed*; `DecryptionFailedError` when key, context or a single bit is another."""
    nonce, ciphertext = sealed
    if len(nonce) != NONCE_SIZE or ciphertext[:1] != FORMAT:
        raise DecryptionFailedError("a sealed key is of no known format")
    try:
        return AESGCM(key).decrypt(nonce, ciphertext[1:], FORMAT + context)
    except InvalidTag:
        raise DecryptionFailedError("a sealed key does not open: it was altered or moved") from None


def mac(key: bytes, *parts: str | bytes) -> bytes:
    """HMAC-SHA256 (RFC 2104) over *parts*."""
    return hmac.digest(key, joined(*parts), hashlib.sha256)


def public_key(secret: bytes) -> bytes:
    """The X25519 public key of 32 bytes that belongs to a slot's *secret*."""
    return _private_key(secret).public_key().public_bytes_raw()


def wrap(data_key: bytes, *, public: bytes, info: bytes) -> bytes:
    """Encrypt *data_key* for the holder of the secret behind *public*; the secret is not needed."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

    return _HPKE.encrypt(data_key, X25519PublicKey.from_public_bytes(public), info)


def unwrap(wrapped: bytes, *, secret: bytes, info: bytes) -> bytes:
    """The data key in *wrapped*; `DecryptionFailedError` for another secret, info or an altered bit."""
    try:
        return _HPKE.decrypt(wrapped, _private_key(secret), info)
    except (InvalidTag, ValueError):
        raise DecryptionFailedError(
            "a slot of the vault does not open: it was altered", hint="restore a backup of the store"
        ) from None


def _private_key(secret: bytes) -> "X25519PrivateKey":
    return _x25519_private_key(subkey(secret, "slot key pair"))
