"""What raptchat once wrote it must read for ever: each derived value, made by hand as the documents say."""

import base64
import hmac
from pathlib import Path

from conftest import rows
from vaults import KEY, add_key

from raptchat import Factory, crypto
from raptchat.records import Slot, TrailStep
from raptchat.secret import Secret
from raptchat.store.vault import canonical_params, canonical_trail
from raptchat.vault.sealing import DataKey, slot_info, slot_proof

DATA_KEY = bytes(range(32))
SECRET = bytes(range(32, 64))
KEY_OF = DataKey("key-1", "store-1", DATA_KEY)
CHECK = KEY_OF.check_value()
SLOT = Slot("slot-1", "file", "active", "key-1", b"public", b"wrapped", b"proof", {"path": "/a"}, "2026-01-01")
ELSEWHERE = Slot(
    "slot-0", "keyring", "active", "key-1", b"p", b"w", b"q", {}, "2026", (TrailStep("k", b"x", b"y"),)
)


def joined(*parts: str | bytes) -> bytes:
    """Every part with its length in four bytes before it."""
    encoded = [part.encode() if isinstance(part, str) else part for part in parts]
    return b"".join(len(part).to_bytes(4, "big") + part for part in encoded)


def subkey(key: bytes, purpose: str) -> bytes:
    """HKDF-SHA256 (RFC 5869) without a salt, of one block."""
    return hmac.digest(hmac.digest(bytes(32), key, "sha256"), joined("raptchat", purpose) + b"\x01", "sha256")


def mac(key: bytes, purpose: str, *parts: str | bytes) -> bytes:
    return hmac.digest(subkey(key, purpose), joined(*parts), "sha256")


def test_a_row_is_sealed_for_its_store_its_data_key_and_its_place() -> None:
    place = joined("row", "store-1", "key-1", "api key", "biology")
    sealed = crypto.seal(subkey(DATA_KEY, "rows"), KEY.encode(), context=place)

    assert KEY_OF.open(sealed, "api key", "biology").reveal() == KEY
    sealed = KEY_OF.seal(Secret(KEY), "api key", "biology")
    assert crypto.open_sealed(subkey(DATA_KEY, "rows"), sealed, context=place) == KEY.encode()


def test_what_tells_keys_apart_is_keyed() -> None:
    assert KEY_OF.fingerprint(Secret(KEY)) == mac(DATA_KEY, "fingerprint", KEY).hex()
    assert KEY_OF.check_value() == subkey(DATA_KEY, "check value")


def test_a_data_key_is_followed_by_the_one_that_it_names() -> None:
    named = mac(DATA_KEY, "succession", "store-1", "key-1", "key-2", b"check")

    assert KEY_OF.succession("key-2", b"check") == named


def test_a_slot_is_proved_under_its_secret() -> None:
    assert slot_proof(SECRET, SLOT, "store-1", CHECK) == mac(SECRET, "proof", "store-1", "slot-1", "key-1", CHECK)


def test_a_data_key_is_wrapped_for_one_slot_of_one_store() -> None:
    info = joined("slot", "store-1", "slot-1", "file", "key-1", '{"path":"/a"}')

    assert slot_info(SLOT, "store-1") == info
    slot = SLOT._replace(public_key=crypto.public_key(SECRET))
    assert crypto.unwrap(KEY_OF.wrapped_for(slot), secret=SECRET, info=info) == DATA_KEY


def test_the_slots_are_signed_in_the_order_of_their_ids() -> None:
    first = ("slot-0", "keyring", "key-1", b"p", b"w", b"q", "{}", "2026")
    second = ("slot-1", "file", "key-1", b"public", b"wrapped", b"proof", '{"path":"/a"}', "2026-01-01")
    plain = ELSEWHERE._replace(trail=())

    assert KEY_OF.slots_mac([]) == mac(DATA_KEY, "slots")
    assert KEY_OF.slots_mac([SLOT, plain]) == mac(DATA_KEY, "slots", *first, *second)
    trails = ('[["k","eA==","eQ=="]]', "[]")
    assert KEY_OF.slots_mac([SLOT, ELSEWHERE]) == mac(DATA_KEY, "slots with trails", *first, *second, *trails)


def test_the_stored_form_of_a_slot_is_one_form() -> None:
    slot = SLOT._replace(params={"b": 1, "a": "é"})

    assert canonical_params(slot) == '{"a":"\\u00e9","b":1}'
    assert canonical_trail(ELSEWHERE) == '[["k","eA==","eQ=="]]'


def test_a_key_file_is_one_line_with_32_bytes_in_base64(factory: Factory, home: Path) -> None:
    add_key(factory)
    prefix, _, text = (home / "master.key").read_text().removesuffix("\n").partition(":")
    secret = base64.b64decode(text, validate=True)

    assert prefix == "raptchat-key-1"
    assert len(secret) == 32
    [(public, params)] = rows(home, "SELECT public_key, params FROM vault_slots")
    assert public == crypto.public_key(secret)
    assert params == f'{{"path":"{home}/master.key"}}'
