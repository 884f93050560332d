"""A secret is shown nowhere."""

import copy
import json
import pickle
import traceback
from dataclasses import asdict, dataclass

import pytest

from raptchat.secret import Secret

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
