"""A recovery key as text that a person can write down and type again.

32 bytes in Base32 (RFC 4648, section 6) without padding are 52 characters, in 13 groups of 4; a 14th group of 20
bits of SHA-256 over the 32 bytes tells a typing error from another store's key.
"""

import base64
import hashlib

_GROUP = 4
_LENGTH = 52
# How many letters too few or too many are still a slip.
_SLIP = 8
# Digits that Base32 does not have, for letters that look like them.
_LOOKALIKES = str.maketrans("018", "OIB")


def written(secret: bytes) -> str:
    """*secret* of 32 bytes as text: 14 groups of 4 characters with hyphens between."""
    text = _base32(secret) + _check(secret)
    return "-".join(text[at : at + _GROUP] for at in range(0, len(text), _GROUP))


def read(text: str) -> bytes:
    """The 32 bytes that *text* stands for.

    Case, white space and hyphens do not matter, nor 0 for O, 1 for I, 8 for B. Raises `ValueError`, with the
    reason, for a text that is mistyped.
    """
    letters = spelled(text)
    if len(letters) != _LENGTH + _GROUP:
        raise ValueError(f"it has {_LENGTH + _GROUP} letters and digits, and this has {len(letters)}")
    try:
        secret = base64.b32decode(letters[:_LENGTH] + "====")
    except ValueError:
        raise ValueError("it holds a character that is none of a recovery key's") from None
    # The last character has four bits to spare, which must not make two texts of one key.
    if _base32(secret) + _check(secret) != letters:
        raise ValueError("its last group, which checks the others, does not fit them")
    return secret


def looks_like_one(text: str) -> bool:
    """Whether *text* is meant as a recovery key, mistyped or not."""
    letters = spelled(text)
    return letters.isascii() and letters.isalnum() and abs(len(letters) - _LENGTH - _GROUP) <= _SLIP


def spelled(text: str) -> str:
    """What is typed of a recovery key, or of one of its groups, as `written` spells it, without the hyphens."""
    return "".join(text.split()).replace("-", "").upper().translate(_LOOKALIKES)


def _base32(secret: bytes) -> str:
    return base64.b32encode(secret).decode().rstrip("=")


def _check(secret: bytes) -> str:
    digest = hashlib.sha256(b"raptchat recovery key" + secret).digest()
    return base64.b32encode(digest).decode()[:_GROUP]
