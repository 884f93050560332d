"""What anybody can put in is taken or refused, whatever it is: names, keys, URLs, costs, bundles."""

import json
import random
import unicodedata
from urllib.parse import urlsplit

import httpx
import pyrage
from fuzzing import Target
from hypothesis import strategies as st
from proof import Trials, tried

from raptchat.api_key import check_api_key
from raptchat.bundle import age, document
from raptchat.errors import DecryptionFailedError, RaptchatError, UsageError
from raptchat.gateway_url import check_gateway_url, is_loopback, origin
from raptchat.naming import check_name
from raptchat.outside import safe_line
from raptchat.secret import Secret
from raptchat.vault import recovery_key
from raptchat.vault.argon2 import Argon2Costs

IDENTITY = pyrage.x25519.Identity.generate()
TEXTS = st.text(st.characters(codec=None, exclude_categories=[]))
NUMBERS = st.integers() | st.floats() | st.sampled_from([0, -1, 1 << 31, 1 << 63, 10**40])
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4))


def take_name(text: str) -> None:
    try:
        found = check_name(text)
    except UsageError:
        return
    assert check_name(found) == found == unicodedata.normalize("NFC", found)
    assert 1 <= len(found) <= 64
    assert safe_line(found) == found
    assert found.encode().decode() == found


NAMES = Target(take_name, TEXTS | st.text("aA\u0301\u202eß. \t\x7fﬀ", max_size=70))


@tried("fuzz of names", commit=250, deep=100_000)
def test_any_name_is_taken_as_it_is_shown_or_refused(trials: Trials) -> None:
    NAMES.try_out(trials)


def take_api_key(text: str) -> None:
    try:
        found = check_api_key(text)
    except UsageError:
        return
    assert found == text.strip()
    [(_, header)] = httpx.Headers({"Authorization": f"Bearer {found}"}).raw
    assert header == f"Bearer {found}".encode("ascii")


API_KEYS = Target(take_api_key, TEXTS | st.text("sk-or-v1_ \n\u00e9", max_size=600))


@tried("fuzz of API keys", commit=250, deep=100_000)
def test_any_api_key_can_stand_in_a_header_or_is_refused(trials: Trials) -> None:
    API_KEYS.try_out(trials)


def take_url(text: str) -> None:
    try:
        found = check_gateway_url(text)
    except ValueError:
        return
    assert check_gateway_url(found) == found
    # What the key is sealed for is where the client goes, and where Python's own parser would go.
    reached = httpx.URL(f"{found}/chat/completions")
    raw_host = reached.raw_host.decode("ascii")
    host = f"[{raw_host}]" if ":" in raw_host else raw_host
    port = reached.port or {"http": 80, "https": 443}[reached.scheme]
    assert f"{reached.scheme}://{host}:{port}" == origin(found)
    assert raw_host == urlsplit(found).hostname
    assert reached.host
    assert (reached.userinfo, reached.query, reached.fragment) == (b"", b"", "")
    assert reached.scheme == "https" or is_loopback(found)


URL_PARTS = [
    *("https://", "http://", "HTTPS://", "https:", "//", "/", "\\", "@", ":", "?", "#", "[", "]", "%", ".", "-"),
    *("example", "localhost", "127.0.0.1", "[::1]", "[fe80::1%25eth0]", "0x7f.1", "0", "443", "65536", "00080"),
    *("xn--a", "ﬀ", "。", "ß", "%2e", "%00", "\t", "\n", " ", "\x00", "\u200b", "..", "_", "a" * 64),
]
BEGINNINGS = ["", "https://", "https://a.example", "http://localhost", "https://api.example/"]
ENDINGS = st.lists(st.sampled_from(URL_PARTS), max_size=9).map("".join) | TEXTS
URLS = Target(take_url, st.tuples(st.sampled_from(BEGINNINGS), ENDINGS).map("".join))


@tried("fuzz of URLs", commit=500, deep=200_000)
def test_any_url_reaches_the_origin_that_it_states_or_is_refused(trials: Trials) -> None:
    URLS.try_out(trials)


def take_costs(params: dict[str, object]) -> None:
    try:
        found = Argon2Costs.read(params)
    except DecryptionFailedError:
        return
    assert 8 * found.lanes <= found.memory <= 1024 * 1024
    assert 1 <= found.passes <= 16 >= found.lanes >= 1


NUMBER_OR_JUNK = st.integers(-1, 2_000_000) | st.integers(0, 20) | JSON
COSTS = Target(
    take_costs,
    st.fixed_dictionaries({}, optional=dict.fromkeys(["memory", "passes", "lanes"], NUMBER_OR_JUNK)),
)


@tried("fuzz of KDF parameters", commit=250, deep=50_000)
def test_any_costs_are_bearable_or_refused(trials: Trials) -> None:
    COSTS.try_out(trials)


def take_recovery_key(tried_with: tuple[bytes, random.Random, str]) -> None:
    secret, dice, junk = tried_with
    text = recovery_key.written(secret)
    lookalikes = str.maketrans("OI", "01")
    typed = "".join(
        dice.choice([character, character.lower(), character.translate(lookalikes)]) + dice.choice(["", " ", "-"])
        for character in text
    )
    assert recovery_key.read(text) == recovery_key.read(typed) == secret
    at = dice.randrange(len(text))
    for wrong in (f"{text[:at]}{junk}{text[at + 1 :]}", text[:at], junk):
        try:
            found = recovery_key.read(wrong)
        except ValueError:
            continue
        assert found == secret


SECRETS = st.binary(min_size=32, max_size=32)
JUNK = TEXTS | st.text("A2-", max_size=1)
RECOVERY_KEYS = Target(take_recovery_key, st.tuples(SECRETS, st.randoms(use_true_random=False), JUNK))


@tried("fuzz of recovery keys", commit=150, deep=50_000)
def test_any_recovery_key_is_read_or_told_to_be_mistyped(trials: Trials) -> None:
    RECOVERY_KEYS.try_out(trials)


def take_age_file(data: bytes) -> None:
    for file in (data, b"age-encryption.org/v1\n" + data, b"-----BEGIN AGE ENCRYPTED FILE-----\n" + data):
        try:
            if age.needs_passphrase(file):
                age.decrypt(file, passphrase=Secret("a passphrase"))
            else:
                age.decrypt(file, identities=[Secret(str(IDENTITY))])
        except RaptchatError:
            continue
        raise AssertionError("what nobody encrypted was opened")


STANZAS = [b"-> scrypt ", b"-> X25519 ", b"-> ", b"--- ", b"\n", b" 18\n", b" 99\n", b"A" * 43, b"\r", b"\0"]
AGE_FILES = Target(
    take_age_file,
    st.lists(st.sampled_from(STANZAS) | st.binary(max_size=8), max_size=12).map(b"".join) | st.binary(),
)


@tried("fuzz of age files", commit=200, deep=50_000)
def test_any_age_file_is_refused_but_what_was_encrypted(trials: Trials) -> None:
    AGE_FILES.try_out(trials)


def take_document(value: object) -> None:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    try:
        read = document.read(data)
    except RaptchatError:
        return
    assert document.read(document.write(read)) == read


DOCUMENTS = Target(take_document, JSON | st.binary() | st.integers(1, 100_000).map(lambda depth: b"[" * depth))


@tried("fuzz of bundle documents", commit=200, deep=50_000)
def test_any_document_is_a_bundle_or_refused(trials: Trials) -> None:
    DOCUMENTS.try_out(trials)
