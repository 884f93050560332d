"""A secret is shown nowhere."""

import copy
import gc
import json
import pickle
import pprint
import traceback
from dataclasses import asdict, astuple, dataclass

import pytest

from raptchat.secret import Secret, without_secrets

SENTINEL = "sk-or-v1-sentinel"


@dataclass
class Holder:
    """Something that has a secret."""

    secret: Secret


def test_it_comes_out_of_reveal_only() -> None:
    secret = Secret(SENTINEL)

    assert secret.reveal() == SENTINEL
    for shown in (repr(secret), str(secret), f"{secret}", f"{secret!r:>20}", f"{secret:>9}", "%s" % secret):  # noqa: UP031
        assert "sentinel" not in shown
        assert "***" in shown
    assert "sentinel" not in repr(Holder(secret))
    assert "sentinel" not in repr(asdict(Holder(secret)))
    assert "sentinel" not in repr(astuple(Holder(secret)))
    assert "sentinel" not in json.dumps(asdict(Holder(secret)), default=str)
    assert "sentinel" not in pprint.pformat(Holder(secret))
    assert not hasattr(secret, "__dict__")
    assert "sentinel" not in repr([secret, {secret: secret}])


@pytest.mark.parametrize("write", [pickle.dumps, json.dumps, copy.copy])
def test_it_is_neither_pickled_nor_written_as_json(write: object) -> None:
    assert callable(write)
    with pytest.raises(TypeError) as refused:
        write(Secret(SENTINEL))

    assert "sentinel" not in "".join(traceback.format_exception(refused.value))


def test_a_deep_copy_is_the_secret_itself() -> None:
    secret = Secret(SENTINEL)

    assert copy.deepcopy([secret])[0] is secret


def test_it_equals_the_same_secret_and_no_text() -> None:
    assert Secret(SENTINEL) == Secret(SENTINEL)
    assert Secret(SENTINEL) != Secret("another")
    assert Secret(SENTINEL) != SENTINEL
    assert len({Secret(SENTINEL), Secret(SENTINEL)}) == 1


def test_nothing_can_be_hung_on_it() -> None:
    with pytest.raises(AttributeError):
        Secret(SENTINEL).note = "x"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("", ""),
        ("nothing of it", "nothing of it"),
        (f"<{SENTINEL}>", "<***>"),
        (SENTINEL * 2, "******"),
        (f"{SENTINEL} {SENTINEL}", "*** ***"),
        (f"a{SENTINEL[2:]}b", "a***b"),
        (f"{SENTINEL[:-1]}!", "***!"),
        (SENTINEL.upper(), "***"),
        (f"\u0130{SENTINEL}\u0130", "\u0130***\u0130"),
        (SENTINEL[:11], SENTINEL[:11]),
        (f"{SENTINEL[:11]} {SENTINEL[11:]}", f"{SENTINEL[:11]} {SENTINEL[11:]}"),
        (f"{SENTINEL[:12]}{SENTINEL[3:]}", "******"),
    ],
)
def test_it_is_cut_out_of_a_text_with_all_its_longer_parts(text: str, kept: str) -> None:
    assert Secret(SENTINEL).cut_out(text) == kept


@pytest.mark.parametrize(("secret", "kept"), [("ab", "***c***x"), ("", "ABcabx"), ("x", "ABcab***")])
def test_a_short_secret_is_cut_out_whole(secret: str, kept: str) -> None:
    assert Secret(secret).cut_out("ABcabx") == kept


def test_those_that_the_process_holds_are_cut_out_as_long_as_it_holds_them() -> None:
    first, second, same, short = (
        Secret(text) for text in ("first-secret", "second-secret", "first-secret", "that")
    )
    said = "first-secret, second-secret, that"

    assert without_secrets(said) == "***, ***, that"
    del same
    gc.collect()
    assert without_secrets(said) == "***, ***, that"
    del first, second
    gc.collect()
    assert without_secrets(said) == said
    assert short.reveal() == "that"
