"""Files in the age format, made and opened by `pyrage`."""

import base64
from pathlib import Path

import pyrage

from raptchat.bundle import age_passphrase
from raptchat.secret import Secret


def with_passphrase(content: bytes, passphrase: str, *, log_n: int = 1) -> bytes:
    """*content* for a passphrase, with so little work that a test can do it hundreds of times."""
    return age_passphrase.encrypt(content, Secret(passphrase), log_n=log_n)


def armored(data: bytes) -> bytes:
    """*data* as `age -a` writes it."""
    lines = base64.encodebytes(data).replace(b"\n", b"")
    cut = [lines[at : at + 64] for at in range(0, len(lines), 64)]
    return b"\n".join([b"-----BEGIN AGE ENCRYPTED FILE-----", *cut, b"-----END AGE ENCRYPTED FILE-----", b""])


class Identity:
    """What `age-keygen` makes: a file with a secret key, and the *recipient* that belongs to it."""

    def __init__(self, file: Path) -> None:
        made = pyrage.x25519.Identity.generate()
        self.file, self.recipient = file, str(made.to_public())
        self._made = made
        file.write_text(f"# created: 2026-11-22T09:30:00Z\n# public key: {self.recipient}\n{made}\n")
        file.chmod(0o600)

    def encrypt(self, content: bytes) -> bytes:
        """*content* for this identity."""
        return bytes(pyrage.encrypt(content, [self._made.to_public()]))

    def decrypt(self, data: bytes) -> bytes:
        """What is in *data*."""
        return bytes(pyrage.decrypt(data, [self._made]))
