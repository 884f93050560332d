"""Sealing, wrapping and deriving."""

import hmac
import itertools

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from raptchat import crypto
from raptchat.crypto import Sealed
from raptchat.errors import DecryptionFailedError

KEY = bytes(range(32))
SECRET = b"sk-or-v1-sentinel"
# Surrogates too: somebody may have written them into the store.
ANYTHING = st.text(st.characters(codec=None))
ALTERED_SLOT = "a slot of the vault does not open: it was altered"


def test_what_is_sealed_opens_with_its_key_in_its_context() -> None:
    sealed = crypto.seal(KEY, SECRET, context=b"place")

    assert crypto.open_sealed(KEY, sealed, context=b"place") == SECRET
    assert SECRET not in sealed.ciphertext


def test_the_format_is_the_documented_one() -> None:
    nonce, ciphertext = crypto.seal(KEY, SECRET, context=b"place")

    assert len(nonce) == 12
    assert ciphertext[:1] == b"\x01"
    assert AESGCM(KEY).decrypt(nonce, ciphertext[1:], b"\x01place") == SECRET


def test_the_same_secret_is_sealed_differently_each_time() -> None:
    sealed = [crypto.seal(KEY, SECRET, context=b"") for _ in range(50)]

    assert len({nonce for nonce, _ in sealed}) == len({ciphertext for _, ciphertext in sealed}) == 50


@pytest.mark.parametrize(("key", "context"), [(bytes(32), b"place"), (KEY, b"another place"), (KEY, b"")])
def test_another_key_or_context_does_not_open(key: bytes, context: bytes) -> None:
    sealed = crypto.seal(KEY, SECRET, context=b"place")

    with pytest.raises(DecryptionFailedError, match=r"^a sealed key does not open: it was altered or moved$"):
        crypto.open_sealed(key, sealed, context=context)


@pytest.mark.parametrize("ciphertext", [b"", b"\x00" + bytes(16), b"\x02" + bytes(16)])
def test_a_format_of_another_time_is_told_from_an_altered_key(ciphertext: bytes) -> None:
    with pytest.raises(DecryptionFailedError, match=r"^a sealed key is of no known format$"):
        crypto.open_sealed(KEY, Sealed(bytes(12), ciphertext), context=b"")


def test_every_flipped_bit_is_noticed() -> None:
    sealed = crypto.seal(KEY, SECRET, context=b"place")
    for part, data in enumerate(sealed):
        for bit in range(len(data) * 8):
            changed = bytearray(data)
            changed[bit // 8] ^= 1 << bit % 8
            parts = [*sealed]
            parts[part] = bytes(changed)
            with pytest.raises(DecryptionFailedError):
                crypto.open_sealed(KEY, Sealed(*parts), context=b"place")


@pytest.mark.parametrize("length", range(20))
def test_a_shortened_text_is_refused(length: int) -> None:
    nonce, ciphertext = crypto.seal(KEY, SECRET, context=b"")

    with pytest.raises(DecryptionFailedError):
        crypto.open_sealed(KEY, Sealed(nonce, ciphertext[:length]), context=b"")
    with pytest.raises(DecryptionFailedError):
        crypto.open_sealed(KEY, Sealed((nonce + nonce)[: length + (length == 12)], ciphertext), context=b"")


@given(st.lists(ANYTHING), st.lists(ANYTHING))
def test_joined_parts_can_be_told_apart(one: list[str], other: list[str]) -> None:
    assert (crypto.joined(*one) == crypto.joined(*other)) == (one == other)
    assert crypto.joined("\ud800a", b"b") == b"\x00\x00\x00\x04\xed\xa0\x80a\x00\x00\x00\x01b"


def test_each_use_has_a_key_of_its_own() -> None:
    keys = [crypto.subkey(KEY, purpose) for purpose in ("rows", "slots", "fingerprint", "check value")]

    assert all(len(key) == 32 for key in keys)
    assert all(one != other for one, other in itertools.combinations([KEY, *keys], 2))
    assert crypto.subkey(KEY, "rows") == keys[0]
    assert crypto.mac(KEY, "a", "bc") != crypto.mac(KEY, "ab", "c")


def test_a_subkey_is_what_rfc_5869_makes_of_the_purpose() -> None:
    info = b"\x00\x00\x00\x08raptchat\x00\x00\x00\x04rows"
    pseudorandom = hmac.digest(bytes(32), KEY, "sha256")

    assert crypto.subkey(KEY, "rows") == hmac.digest(pseudorandom, info + b"\x01", "sha256")


def test_a_slot_that_was_wrapped_long_ago_still_opens() -> None:
    wrapped = bytes.fromhex(
        "3ce7c2fbb1a27ef2262628ce89c53d3ef477a47f05e7ac3cdc215074c004ce683e52881752daca3446793686df27e5b3"
        "d514fca811cbb7e06b05b288f8750df6d17414284dcfc5402c2694913e62c6e1"
    )

    assert crypto.public_key(KEY).hex() == "0028242f8c5ea05f5ef6e93aac8174c515b6f92d0d65776dde01388a0e521b6c"
    assert crypto.unwrap(wrapped, secret=KEY, info=b"slot") == bytes(32)


def test_a_data_key_is_wrapped_without_the_secret_and_unwrapped_with_it() -> None:
    secret, data_key = crypto.new_key(), crypto.new_key()
    wrapped = crypto.wrap(data_key, public=crypto.public_key(secret), info=b"slot")

    assert crypto.unwrap(wrapped, secret=secret, info=b"slot") == data_key
    assert data_key not in wrapped
    assert crypto.wrap(data_key, public=crypto.public_key(secret), info=b"slot") != wrapped


def test_a_wrapped_key_opens_for_no_other_secret_info_or_bits() -> None:
    secret, data_key = crypto.new_key(), crypto.new_key()
    wrapped = crypto.wrap(data_key, public=crypto.public_key(secret), info=b"slot")

    attempts = [(wrapped, crypto.new_key(), b"slot"), (wrapped, secret, b"another")]
    attempts += [(wrapped[:length], secret, b"slot") for length in range(len(wrapped))]
    for bit in range(0, len(wrapped) * 8, 3):
        changed = bytearray(wrapped)
        changed[bit // 8] ^= 1 << bit % 8
        # The top bit of an X25519 public key is ignored (RFC 7748, section 5), but HPKE binds it all the same.
        attempts.append((bytes(changed), secret, b"slot"))
    for data, held, info in attempts:
        with pytest.raises(DecryptionFailedError, match=f"^{ALTERED_SLOT}$") as refused:
            crypto.unwrap(data, secret=held, info=info)
        assert refused.value.hint == "restore a backup of the store"
