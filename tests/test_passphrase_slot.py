"""The slot that opens with a passphrase: who is asked for it, how often, and what comes of it."""

import base64
from collections.abc import Callable
from pathlib import Path

import pytest
from vaults import private, typed

from raptchat import crypto
from raptchat.errors import (
    DecryptionFailedError,
    RaptchatError,
    UsageError,
    VaultLockedError,
    VaultUnavailableError,
)
from raptchat.records import Slot
from raptchat.vault.argon2 import Argon2Costs, secret_from_passphrase
from raptchat.vault.passphrase_slot import PassphraseKind
from raptchat.vault.slots import Person

SALT = bytes(range(16))
PARAMS = {"lanes": 1, "memory": 8, "passes": 1, "salt": base64.b64encode(SALT).decode()}
RIGHT_ONE = "use the one that belongs to this store; raptchat vault status lists its ways to open"


def derived(passphrase: str) -> bytes:
    return secret_from_passphrase(passphrase, salt=SALT, costs=Argon2Costs(8, 1, 1))


SLOT = Slot("slot", "passphrase", "active", "key", crypto.public_key(derived("café")), b"", b"", PARAMS, "2026")


class Somebody:
    """Types *lines*, and notes what was asked and told."""

    def __init__(self, *lines: str) -> None:
        self.asked: list[str] = []
        self.told: list[str] = []
        self._answer = typed(*lines)

    def ask(self, prompt: str) -> str:
        self.asked.append(prompt)
        return self._answer(prompt)

    def kind(self, file: Path | None = None) -> PassphraseKind:
        return PassphraseKind(file, Person(self.told.append, self.ask))


def said(call: Callable[[], object]) -> tuple[type[RaptchatError], str, str]:
    with pytest.raises(RaptchatError) as refused:
        call()
    return type(refused.value), str(refused.value), refused.value.hint


def of_nobody(file: Path | None = None) -> PassphraseKind:
    return PassphraseKind(file, Person(pytest.fail))


@pytest.mark.parametrize("right", [1, 2, 3])
def test_it_is_asked_for_three_times(right: int) -> None:
    somebody = Somebody(*["coffee"] * (right - 1), "cafe\u0301")

    assert somebody.kind().secret(SLOT) == derived("caf\u00e9")
    assert somebody.asked == ["Passphrase: "] * right
    assert somebody.told == ["the passphrase is wrong"] * (right - 1)


def test_the_third_wrong_one_is_the_last() -> None:
    somebody = Somebody(*["coffee"] * 4)

    assert said(lambda: somebody.kind().secret(SLOT)) == (
        DecryptionFailedError,
        "the passphrase is wrong",
        RIGHT_ONE,
    )
    assert somebody.asked == ["Passphrase: "] * 3
    assert somebody.told == ["the passphrase is wrong"] * 2


@pytest.mark.parametrize("lines", [[""], ["coffee", ""], ["coffee", "coffee", ""]])
def test_whoever_types_nothing_is_asked_no_more(lines: list[str]) -> None:
    somebody = Somebody(*lines)

    assert said(lambda: somebody.kind().secret(SLOT)) == (VaultLockedError, "no passphrase was given", RIGHT_ONE)
    assert len(somebody.asked) == len(lines)


def test_where_a_file_is_named_nobody_is_asked(tmp_path: Path) -> None:
    file = private(tmp_path / "passphrase", "café\n")
    somebody = Somebody()
    for kind in (somebody.kind(file), of_nobody(file)):
        assert (kind.named, kind.asks) == (True, False)
        assert kind.make(PARAMS) == kind.secret(SLOT) == derived("café")
    file.write_text("coffee\n")
    for kind in (somebody.kind(file), of_nobody(file)):
        assert said(lambda kind=kind: kind.secret(SLOT)) == (  # type: ignore[misc]
            DecryptionFailedError,
            "the passphrase is wrong",
            RIGHT_ONE,
        )
    file.write_text("\n")
    assert said(lambda: of_nobody(file).secret(SLOT)) == (VaultLockedError, "no passphrase was given", RIGHT_ONE)
    assert said(lambda: of_nobody(file).make(PARAMS)) == (UsageError, "the passphrase is empty", "")
    assert said(lambda: of_nobody(tmp_path / "missing").secret(SLOT)) == (
        VaultUnavailableError,
        f"the passphrase file `{tmp_path}/missing` cannot be read: No such file or directory",
        "put it back, or name another",
    )
    assert somebody.asked == somebody.told == []


def test_where_nobody_can_be_asked_the_file_is_named() -> None:
    assert (of_nobody().named, of_nobody().asks) == (False, True)
    for call in (lambda: of_nobody().secret(SLOT), lambda: of_nobody().make(PARAMS)):
        assert said(call) == (
            VaultLockedError,
            "the store opens with a passphrase, and there is no terminal to ask for it",
            "name a file that holds it in RAPTCHAT_PASSPHRASE_FILE",
        )


def test_a_new_one_is_typed_twice() -> None:
    somebody = Somebody("café", "café")

    assert somebody.kind().make(PARAMS) == derived("café")
    assert somebody.asked == ["Choose a passphrase: ", "The same again: "]
    assert said(lambda: Somebody("café", "coffee").kind().make(PARAMS))[1] == "the two passphrases differ"


def test_what_is_remembered_is_a_new_salt_and_todays_costs() -> None:
    plans = [of_nobody().plan("slot", "store") for _ in range(2)]

    salts = {base64.b64decode(str(plan["salt"]), validate=True) for plan in plans}
    assert [len(salt) for salt in salts] == [16, 16]
    assert {**plans[0], "salt": ""} == {"salt": "", "lanes": 4, "memory": 65536, "passes": 3}


@pytest.mark.parametrize(
    "salt", [None, "", "!", base64.b64encode(bytes(15)).decode(), base64.b64encode(bytes(17)).decode()]
)
def test_a_salt_that_is_none_is_not_called_a_wrong_passphrase(salt: str | None) -> None:
    slot = SLOT._replace(params={**PARAMS, "salt": salt})
    somebody = Somebody(*["café"] * 3)
    damaged = "a slot's secret is damaged: it is not what raptchat wrote"

    assert said(lambda: somebody.kind().secret(slot)) == (DecryptionFailedError, damaged, RIGHT_ONE)
    assert somebody.told == [damaged] * 2
