"""An age file that a passphrase opens (c2sp.org/age: "The scrypt recipient type", "Payload").

Written here, since `pyrage` measures for a moment how fast the machine is, and makes a guess at the passphrase as
costly as that: cheap on a busy machine, and on a fast one so that a small one has not the memory to open the file.
"""

import base64
import hashlib
import hmac
import os

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from raptchat.secret import Secret

# What the stock `age` takes: 2^18 rounds, half a second and 256 MiB.
LOG_N = 18

_LABEL = b"age-encryption.org/v1/scrypt"
_CHUNK = 64 * 1024


def encrypt(content: bytes, passphrase: Secret, *, log_n: int = LOG_N) -> bytes:
    """*content* as an age file for *passphrase*; a guess at it takes 2^*log_n* rounds of scrypt (RFC 7914)."""
    file_key, salt = os.urandom(16), os.urandom(16)
    wrapping_key = Scrypt(_LABEL + salt, 32, n=1 << log_n, r=8, p=1).derive(passphrase.reveal().encode())
    # A nonce of zeros: the key is used this once.
    wrapped = ChaCha20Poly1305(wrapping_key).encrypt(bytes(12), file_key, None)
    header = f"age-encryption.org/v1\n-> scrypt {_base64(salt)} {log_n}\n{_base64(wrapped)}\n---".encode()
    mac = hmac.digest(_derived(file_key, b"", b"header"), header, hashlib.sha256)
    return header + f" {_base64(mac)}\n".encode() + _payload(content, file_key)


def _payload(content: bytes, file_key: bytes) -> bytes:
    """*content* in chunks, each sealed with its number and with whether it is the last (STREAM)."""
    nonce = os.urandom(16)
    cipher = ChaCha20Poly1305(_derived(file_key, nonce, b"payload"))
    # Only a file without content ends with an empty chunk.
    last = max(0, len(content) - 1) // _CHUNK
    sealed = [
        cipher.encrypt(
            number.to_bytes(11, "big") + bytes([number == last]),
            content[number * _CHUNK : (number + 1) * _CHUNK],
            None,
        )
        for number in range(last + 1)
    ]
    return b"".join([nonce, *sealed])


def _derived(key: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt=salt, info=info).derive(key)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")
