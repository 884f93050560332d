"""The recovery key: as text, and as the slot that opens when nothing else does."""

import base64
import hashlib
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import rows
from hypothesis import given
from hypothesis import strategies as st
from vaults import KEY, PASSPHRASE, add_key, key_of, open_factory, private, typed

from raptchat.errors import DecryptionFailedError, UsageError, VaultUnavailableError
from raptchat.vault import recovery_key

ZEROS = "AAAA-" * 13
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


def test_it_is_fourteen_groups_of_four() -> None:
    text = recovery_key.written(bytes(range(32)))
    groups = text.split("-")

    assert [len(group) for group in groups] == [4] * 14
    assert set("".join(groups)) <= set(LETTERS)
    # RFC 4648: what any other Base32 makes of the same bytes.
    assert "".join(groups[:13]) == base64.b32encode(bytes(range(32))).decode().rstrip("=")
    assert recovery_key.written(bytes(32)).startswith(ZEROS)
    check = hashlib.sha256(b"raptchat recovery key" + bytes(range(32))).digest()
    assert groups[13] == base64.b32encode(check).decode()[:4]


@given(st.binary(min_size=32, max_size=32))
def test_what_was_written_is_read(secret: bytes) -> None:
    assert recovery_key.read(recovery_key.written(secret)) == secret


def test_case_spaces_hyphens_and_lookalikes_do_not_matter() -> None:
    secret = next(
        secret
        for secret in (random.Random(seed).randbytes(32) for seed in range(1000))
        if set("OIB") <= set(recovery_key.written(secret))
    )
    text = recovery_key.written(secret)

    for spelled in (
        text.lower(),
        text.replace("-", ""),
        text.replace("-", " "),
        f"  {text}\n",
        text.replace("-", " - "),
        text.replace("O", "0").replace("I", "1").replace("B", "8"),
    ):
        assert recovery_key.read(spelled) == secret


@given(st.binary(min_size=32, max_size=32), st.integers(0, 55), st.sampled_from(LETTERS))
def test_a_letter_that_is_mistyped_is_noticed(secret: bytes, at: int, letter: str) -> None:
    letters = recovery_key.written(secret).replace("-", "")
    typed_wrong = letters[:at] + letter + letters[at + 1 :]
    if typed_wrong == letters:
        return
    assert recovery_key.looks_like_one(typed_wrong)
    try:
        read = recovery_key.read(typed_wrong)
    except ValueError:
        return
    # One in a million passes the check group, and then it is another key, which opens nothing.
    assert read != secret


def test_the_bits_that_are_left_over_do_not_make_a_second_text_of_one_key() -> None:
    letters = recovery_key.written(bytes(32)).replace("-", "")
    assert letters[51] == "A"

    for letter in "BCDEFGHIJKLMNOP":
        with pytest.raises(ValueError, match="check"):
            recovery_key.read(letters[:51] + letter + letters[52:])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "^it has 56 letters and digits, and this has 0$"),
        ("AAAA", "this has 4"),
        (ZEROS + "AAAA-A", "this has 57"),
        ("9" * 56, "^it holds a character that is none of a recovery key's$"),
        ("\u00e4" * 56, "^it holds a character that is none of a recovery key's$"),
        ("A" * 51 + "=AAAA", "^it holds a character that is none of a recovery key's$"),
        (ZEROS + "AAAA", "^its last group, which checks the others, does not fit them$"),
    ],
)
def test_what_is_wrong_is_said_without_the_key(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as refused:
        recovery_key.read(text)
    assert "AAAA" not in str(refused.value)


def test_a_text_with_a_few_letters_too_many_or_too_few_is_meant_as_one() -> None:
    assert [count for count in range(100) if recovery_key.looks_like_one("a" * count)] == list(range(48, 65))
    assert not recovery_key.looks_like_one("\u00e4" * 56)
    assert not recovery_key.looks_like_one("AAA=" * 14)


@given(st.text(max_size=80))
def test_any_text_is_a_key_or_is_refused(text: str) -> None:
    try:
        assert len(recovery_key.read(text)) == 32
    except ValueError:
        return
    assert recovery_key.looks_like_one(text)


@pytest.fixture
def kept() -> list[str]:
    return []


@pytest.fixture
def group_id(home: Path, kept: list[str]) -> str:
    """A vault with a key file and a recovery key, and a group with a key."""
    with open_factory(keep=kept.append) as factory:
        factory.vault.init("file", path=home / "master.key")
        factory.vault.add("recovery")
        return add_key(factory)


def test_it_is_asked_for_only_when_nothing_else_opens(home: Path, group_id: str, kept: list[str]) -> None:
    asked: list[str] = []
    told: list[str] = []

    def ask(prompt: str) -> str:
        asked.append(prompt)
        return kept[0].lower()

    assert key_of(group_id, ask=ask) == KEY
    assert asked == []
    (home / "master.key").unlink()
    assert key_of(group_id, ask=ask, tell=told.append) == KEY
    assert asked == ["Recovery key: "]
    # Why it is asked for.
    assert len(told) == 1
    assert "master.key" in told[0]


def test_it_is_asked_for_again_and_the_check_group_tells_a_typing_error(
    home: Path, group_id: str, kept: list[str]
) -> None:
    (home / "master.key").unlink()
    told: list[str] = []
    another = recovery_key.written(bytes(32))

    assert key_of(group_id, ask=typed("too short", another, kept[0]), tell=told.append) == KEY
    assert "mistyped" in told[1]
    assert "does not open this store" in told[2]
    with pytest.raises(DecryptionFailedError, match="mistyped"):
        key_of(group_id, ask=typed(another, "two", kept[0][:-1]))
    with pytest.raises(VaultUnavailableError, match=r"master\.key"):
        key_of(group_id, ask=typed(""))


def test_without_a_terminal_the_error_is_that_of_the_other_slots(home: Path, group_id: str) -> None:
    (home / "master.key").unlink()

    with pytest.raises(VaultUnavailableError, match=r"master\.key"):
        key_of(group_id)


def test_the_only_slot_that_is_left_says_how_to_give_it_without_a_terminal(group_id: str, kept: list[str]) -> None:
    with open_factory(ask=typed(kept[0])) as factory:
        factory.vault.remove("file")

    with pytest.raises(VaultUnavailableError, match="recovery key") as refused:
        key_of(group_id)
    assert "RAPTCHAT_MASTER_KEY_FILE" in refused.value.hint


def test_a_slot_is_not_removed_before_the_recovery_key_was_typed_right(group_id: str) -> None:
    with open_factory(ask=typed("", "", "")) as factory, pytest.raises(UsageError, match="the last that opens"):
        factory.vault.remove("file")
    assert key_of(group_id) == KEY


def test_it_may_stand_in_the_file_that_the_environment_names(
    home: Path, group_id: str, kept: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAPTCHAT_MASTER_KEY_FILE", str(private(home / "paper", f"{kept[0].lower()}\n")))

    assert key_of(group_id) == KEY
    with open_factory() as factory:
        assert [(one.slot.kind, one.opens) for one in factory.vault.status()] == [
            ("file", True),
            ("recovery", True),
        ]
    (home / "master.key").unlink()
    assert key_of(group_id) == KEY
    (home / "paper").write_text(recovery_key.written(bytes(32)))
    with pytest.raises(DecryptionFailedError, match="does not open this store"):
        key_of(group_id)


@pytest.mark.parametrize(
    "slip",
    [lambda text: text[:-1], lambda text: text[5:10] + text[:5] + text[10:]],
    ids=["too short", "exchanged"],
)
def test_a_mistyped_one_in_that_file_is_said_to_be_and_nothing_else_is_tried(
    home: Path, group_id: str, kept: list[str], monkeypatch: pytest.MonkeyPatch, slip: Callable[[str], str]
) -> None:
    monkeypatch.setenv("RAPTCHAT_MASTER_KEY_FILE", str(private(home / "paper", slip(kept[0]))))

    with pytest.raises(DecryptionFailedError, match="the recovery key is mistyped"):
        key_of(group_id)


def test_one_in_that_file_for_a_store_that_has_none_is_refused(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_factory() as factory:
        factory.vault.init("file", path=home / "master.key")
        group_id = add_key(factory)
    monkeypatch.setenv("RAPTCHAT_MASTER_KEY_FILE", str(private(home / "paper", ZEROS + "AAAA")))

    with pytest.raises(DecryptionFailedError, match="this store has none") as refused:
        key_of(group_id)
    assert "paper" in str(refused.value)
    assert "unset RAPTCHAT_MASTER_KEY_FILE" in refused.value.hint


def test_a_file_that_comes_through_a_pipe_is_read_once(
    group_id: str, kept: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = os.pipe()
    os.write(writer, f"{kept[0]}\n".encode())
    os.close(writer)
    monkeypatch.setenv("RAPTCHAT_MASTER_KEY_FILE", f"/dev/fd/{reader}")

    assert key_of(group_id) == KEY
    os.close(reader)


def test_it_is_in_use_only_once_it_was_written_down(home: Path) -> None:
    states: list[object] = []

    def refuse(text: str) -> None:
        states.append(rows(home, "SELECT kind, state FROM vault_slots ORDER BY kind"))
        assert recovery_key.looks_like_one(text)
        raise UsageError("it was not written down")

    with open_factory(keep=refuse) as factory:
        factory.vault.init("file", path=home / "master.key")
        with pytest.raises(UsageError, match="not written down"):
            factory.vault.add("recovery")

    assert states[0] == [("file", "active"), ("recovery", "pending")]
    assert rows(home, "SELECT kind, state FROM vault_slots") == [("file", "active")]


def test_where_nobody_can_write_it_down_there_is_none(home: Path) -> None:
    with open_factory() as factory:
        factory.vault.init("file", path=home / "master.key")
        with pytest.raises(UsageError, match="shown at a terminal"):
            factory.vault.add("recovery")
    with open_factory() as factory, pytest.raises(UsageError):
        factory.vault.init("recovery")
    assert rows(home, "SELECT kind FROM vault_slots") == [("file",)]


def test_it_is_nowhere_in_the_store(home: Path, group_id: str, kept: list[str]) -> None:
    data = (home / "raptchat.db").read_bytes()

    assert group_id
    assert kept[0].encode() not in data
    assert recovery_key.read(kept[0]) not in data


def test_a_new_one_takes_the_old_ones_place(home: Path, group_id: str, kept: list[str]) -> None:
    with open_factory(keep=kept.append) as factory:
        factory.vault.rotate_slot("recovery")
    (home / "master.key").unlink()

    assert len(set(kept)) == 2
    assert key_of(group_id, ask=typed(kept[1])) == KEY
    with pytest.raises(DecryptionFailedError, match="does not open this store"):
        key_of(group_id, ask=typed(*[kept[0]] * 3))


def test_an_empty_passphrase_goes_on_to_the_recovery_key(kept: list[str]) -> None:
    with open_factory(ask=typed(PASSPHRASE, PASSPHRASE), keep=kept.append) as factory:
        factory.vault.init("passphrase")
        factory.vault.add("recovery")
        group_id = add_key(factory)

    assert key_of(group_id, ask=typed("", kept[0])) == KEY
