"""The border of `pyrage`: what opens an age file, and what of a hostile one is refused before any work is done."""

import random
import re
from pathlib import Path

import pyrage
import pytest
from age_files import Identity, armored, with_passphrase
from proof import Trials, tried

from raptchat import UsageError
from raptchat.bundle import age
from raptchat.errors import DecryptionFailedError
from raptchat.secret import Secret

CONTENT = b"a bundle \0\xff" * 20_000
PASSPHRASE = Secret("correct horse 🐎")


@pytest.fixture
def identity(tmp_path: Path) -> Identity:
    return Identity(tmp_path / "identity")


def secrets_in(identity: Identity) -> list[Secret]:
    return [Secret(identity.file.read_text().splitlines()[-1])]


def test_what_is_encrypted_opens_with_its_passphrase_only() -> None:
    data = age.encrypt(CONTENT, passphrase=PASSPHRASE)

    assert age.needs_passphrase(data)
    assert age.decrypt(data, passphrase=PASSPHRASE) == CONTENT
    with pytest.raises(DecryptionFailedError, match="its passphrase is wrong"):
        age.decrypt(with_passphrase(CONTENT, PASSPHRASE.reveal()), passphrase=Secret(PASSPHRASE.reveal()[:-1]))
    # However busy the machine is.
    assert data.splitlines()[1].endswith(b" 18")


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 131_072, 200_000])
def test_a_file_for_a_passphrase_opens_whatever_its_size(size: int) -> None:
    content = (bytes(range(256)) * 800)[:size]
    first, second = with_passphrase(content, "x"), with_passphrase(content, "x")

    assert pyrage.passphrase.decrypt(first, "x") == age.decrypt(first, passphrase=Secret("x")) == content
    assert len(first) == len(second)
    assert not set(first.splitlines()[1:4]) & set(second.splitlines()[1:4])
    for cut in (1, 16, 65_552):  # the last of these is a whole chunk
        with pytest.raises((UsageError, DecryptionFailedError)):
            age.decrypt(first[:-cut], passphrase=Secret("x"))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (rb"(?s)(.*)", rb"\1 "),
        (rb"\n---", rb"\n-> grease\n\n---"),
        (rb"(-> scrypt .*\n.*\n)", rb"\1\1"),
        (rb" 1\n", b" 01\n"),
        (rb" 1\n", b" 2\n"),
        (rb" 1\n", b" 1 1\n"),
        (rb"\n--- ", b"=\n--- "),
        (rb"\n", b"\r\n"),
        (rb"--- .*\n", b"--- " + b"A" * 43 + b"\n"),
    ],
)
def test_a_file_for_a_passphrase_has_one_spelling(before: bytes, after: bytes) -> None:
    data = with_passphrase(CONTENT, "x")
    changed = re.sub(before, after, data, count=1)

    assert changed != data
    with pytest.raises((UsageError, DecryptionFailedError)):
        age.decrypt(changed, passphrase=Secret("x"))
    with pytest.raises(pyrage.DecryptError):
        pyrage.passphrase.decrypt(changed, "x")


def test_the_chunks_of_a_file_stay_in_their_order() -> None:
    data, size = with_passphrase(bytes(4 * 65_536), "x"), 65_552
    header, chunks = data[: -4 * size], [data[-number * size :][:size] for number in (4, 3, 2, 1)]
    first, second, third, last = chunks

    assert age.decrypt(header + b"".join(chunks), passphrase=Secret("x")) == bytes(4 * 65_536)
    for wrong in ([second, first, third, last], [first, third, last], chunks[:3], [*chunks, last], []):
        with pytest.raises(DecryptionFailedError):
            age.decrypt(header + b"".join(wrong), passphrase=Secret("x"))


def test_a_machine_with_too_little_memory_says_so() -> None:
    with pytest.raises(UsageError, match="MiB of memory, and there is less"):
        with_passphrase(CONTENT, "x", log_n=40)  # more than any machine can address


def test_what_is_encrypted_for_recipients_opens_with_an_identity_of_any(
    identity: Identity, tmp_path: Path
) -> None:
    another, third = Identity(tmp_path / "another"), Identity(tmp_path / "third")
    data = age.encrypt(CONTENT, recipients=[identity.recipient, another.recipient])

    assert not age.needs_passphrase(data)
    assert identity.decrypt(data) == CONTENT
    assert age.decrypt(data, identities=[*secrets_in(third), *secrets_in(another)]) == CONTENT
    with pytest.raises(DecryptionFailedError, match="its identity is another"):
        age.decrypt(data, identities=secrets_in(third))
    with pytest.raises(DecryptionFailedError):
        age.decrypt(data, passphrase=PASSPHRASE)
    with pytest.raises(DecryptionFailedError):
        age.decrypt(with_passphrase(CONTENT, "x"), identities=secrets_in(identity))


@pytest.mark.parametrize("word", ["", "age1abc", "ssh-ed25519 AAAA", "age1\udc80", "age1\x1b[2J"])
def test_what_is_no_recipient_is_refused(word: str) -> None:
    with pytest.raises(UsageError, match="takes a public key"):
        age.check_recipient(word)


def test_an_identity_in_the_place_of_a_recipient_is_not_repeated(identity: Identity) -> None:
    [secret] = secrets_in(identity)
    with pytest.raises(UsageError) as refused:
        age.encrypt(b"", recipients=[secret.reveal()])

    assert "AGE-SECRET-KEY" not in f"{refused.value}"
    assert "age-keygen -y" in refused.value.hint
    with pytest.raises(UsageError, match="holds a line that is none") as refused:
        age.decrypt(identity.encrypt(b""), identities=[Secret(secret.reveal()[:-1] + "\udc80")])
    assert "AGE-SECRET-KEY-1" not in f"{refused.value}"


def test_a_file_in_ascii_opens_too(identity: Identity) -> None:
    assert age.decrypt(armored(with_passphrase(CONTENT, "x")), passphrase=Secret("x")) == CONTENT
    data = armored(identity.encrypt(CONTENT)).replace(b"\n", b"\r\n")
    assert age.decrypt(data, identities=secrets_in(identity)) == CONTENT
    for damaged in (data[:-40], data.replace(b"\r\n", b"\r\n!", 3)):
        with pytest.raises((UsageError, DecryptionFailedError)):
            age.decrypt(damaged, identities=secrets_in(identity))


@pytest.mark.parametrize("work", ["21", "24", "30", "63", "64", "99", "999999999999", "-1", "0", "1x", "022", "²"])
@pytest.mark.parametrize("form", [bytes, armored])
def test_too_much_work_is_refused_before_any_of_it(work: str, form: type[bytes]) -> None:
    data = re.sub(rb" 1\n", f" {work}\n".encode(), with_passphrase(b"x", "x"), count=1)

    for ask in (age.needs_passphrase, lambda data: age.decrypt(data, passphrase=Secret("x"))):
        with pytest.raises(UsageError, match="more work"):
            ask(form(data))


def test_too_much_work_is_found_in_any_stanza(identity: Identity) -> None:
    stanza = re.search(rb"-> scrypt .*\n.*\n", with_passphrase(b"x", "x", log_n=1))
    assert stanza
    heavy = stanza[0].replace(b" 1\n", b" 62\n")
    data = identity.encrypt(b"x").replace(b"\n--- ", b"\n" + heavy + b"--- ", 1)

    with pytest.raises(UsageError, match="more work"):
        age.decrypt(data, identities=secrets_in(identity))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not an age file",
        b"age-encryption.org/v1\n",
        b"age-encryption.org/v2\n--- x\n",
        b"age-encryption.org/v1\n-> X25519 x\n" + b"A" * 100_000 + b"\n--- x\n",
        b"-----BEGIN AGE ENCRYPTED FILE-----",
        b"-----BEGIN AGE ENCRYPTED FILE-----\n\xff\n-----END AGE ENCRYPTED FILE-----",
        b"PK\x03\x04",
    ],
    ids=lambda each: repr(each[:30]),
)
def test_what_is_no_age_file_is_said_to_be_none(data: bytes) -> None:
    for ask in (age.needs_passphrase, age.decrypt):
        with pytest.raises(UsageError, match="this is no bundle"):
            ask(data)


def test_a_header_is_not_read_without_end(identity: Identity) -> None:
    stanza = re.search(rb"-> X25519 .*\n.*\n", identity.encrypt(b"x"))
    assert stanza
    data = b"age-encryption.org/v1\n" + stanza[0] * 5000 + b"--- x\n"

    with pytest.raises(UsageError, match="this is no bundle"):
        age.decrypt(data, identities=secrets_in(identity))


@tried("bits flipped and bytes cut in a bundle", commit=600, deep=100_000)
def test_a_changed_file_never_opens_as_another(trials: Trials, identity: Identity) -> None:
    content = bytes(range(256)) * 20
    files = {
        "identity": (identity.encrypt(content), None),
        "passphrase": (with_passphrase(content, "x"), Secret("x")),
    }
    for number in trials:
        dice = random.Random(number)
        whole, passphrase = files[dice.choice(list(files))]
        data = bytearray(whole)
        # The header is the smaller part, and where most can go wrong.
        place = dice.randrange(min(len(data), dice.choice([300, len(data)])))
        if dice.random() < 0.8:
            data[place] ^= 1 << dice.randrange(8)
        else:
            del data[place : place + dice.choice([1, len(data)])]
        with pytest.raises((UsageError, DecryptionFailedError)):
            age.decrypt(bytes(data), passphrase=passphrase, identities=secrets_in(identity))
        trials.count(refused=1)
