"""Sealing, wrapping and deriving."""

import hashlib
import itertools

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from raptchat import crypto
from raptchat.crypto import Argon2Costs, Sealed
from raptchat.errors import DecryptionFailedError

KEY = bytes(range(32))
SECRET = b"sk-or-v1-sentinel"


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

    with pytest.raises(DecryptionFailedError, match="altered or moved"):
        crypto.open_sealed(key, sealed, context=context)


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


@given(st.lists(st.text()), st.lists(st.text()))
def test_joined_parts_can_be_told_apart(one: list[str], other: list[str]) -> None:
    assert (crypto.joined(*one) == crypto.joined(*other)) == (one == other)


def test_each_use_has_a_key_of_its_own() -> None:
    keys = [crypto.subkey(KEY, purpose) for purpose in ("rows", "slots", "fingerprint", "check value")]

    assert all(len(key) == 32 for key in keys)
    assert all(one != other for one, other in itertools.combinations([KEY, *keys], 2))
    assert crypto.subkey(KEY, "rows") == keys[0]
    assert crypto.mac(KEY, "a", "bc") != crypto.mac(KEY, "ab", "c")


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
        with pytest.raises(DecryptionFailedError, match="a slot of the vault does not open"):
            crypto.unwrap(data, secret=held, info=info)


@pytest.mark.parametrize("name", ["memory", "passes", "lanes"])
@pytest.mark.parametrize("value", [0, -1, 2**31, 1.5, "3", None, [3]])
def test_impossible_costs_are_refused(name: str, value: object) -> None:
    with pytest.raises(DecryptionFailedError, match=f"impossible costs: {name}"):
        Argon2Costs.read({**Argon2Costs().as_params(), name: value})


def test_costs_have_a_cap_and_a_floor() -> None:
    assert Argon2Costs.read({"memory": 2**20, "passes": 16, "lanes": 16}) == Argon2Costs(2**20, 16, 16)
    with pytest.raises(DecryptionFailedError, match="impossible costs: memory"):
        Argon2Costs.read({"memory": 2**20 + 1, "passes": 1, "lanes": 1})
    with pytest.raises(DecryptionFailedError, match="impossible costs: memory"):
        Argon2Costs.read({"memory": 31, "passes": 1, "lanes": 4})
    assert Argon2Costs.read(Argon2Costs().as_params()) == Argon2Costs() == Argon2Costs(64 * 1024, 3, 4)


def test_a_passphrase_gives_the_same_secret_for_the_same_salt_and_costs_only() -> None:
    cheap = Argon2Costs(memory=32, passes=1, lanes=4)

    def derived(passphrase: str, salt: bytes = bytes(16), costs: Argon2Costs = cheap) -> bytes:
        return crypto.secret_from_passphrase(passphrase, salt=salt, costs=costs)

    assert derived("caf\u00e9") == derived("caf\u00e9")
    assert len(derived("x")) == 32
    others = [derived("cafe"), derived("caf\u00e9", b"0" * 16), derived("caf\u00e9", costs=Argon2Costs(64, 1, 4))]
    assert derived("caf\u00e9") not in others
    assert derived("x") != hashlib.sha256(b"x").digest()
