"""The key is in no reply, however the gateway cuts it."""

import re
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from raptchat.providers.hiding import Hiding
from raptchat.secret import Secret

KEY = "sk-or-v1-0123456789abcdef"
# Texts in which the key stands, nearly stands, and stands in pieces.
PARTS = [KEY, KEY[:-1], KEY[1:], KEY[:4], KEY[:3], KEY[:15], "s", "sk", "a word ", "***", "\n", "Gr\u00fc\u00dfe "]


def shown(text: str, cuts: list[int], key: str = KEY) -> list[str]:
    """What comes of *text*, cut at these places, and at last what was held back."""
    hiding = Hiding(Secret(key))
    ends = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    pieces = [hiding.add(text[begin:end]) for begin, end in pairwise(ends)]
    return [*pieces, hiding.close()]


@given(st.lists(st.sampled_from(PARTS), max_size=8).map("".join), st.lists(st.integers(0, 500), max_size=8))
@example(KEY, list(range(len(KEY))))
@example(f"{KEY}{KEY}", [3, len(KEY) + 3])
@example(f"a{KEY[:-1]}", [5])
def test_the_whole_key_is_never_shown(text: str, cuts: list[int]) -> None:
    said = "".join(shown(f"{text}.", cuts))

    first, *others = f"{text}.".split(KEY)
    # What was yielded of the key before anybody could know stays.
    assert re.fullmatch(
        "".join([re.escape(first), *(rf"(s|sk|sk-)?\*\*\*{re.escape(rest)}" for rest in others)]), said
    )
    assert KEY not in said


@given(st.text(max_size=60), st.lists(st.integers(0, 500), max_size=8))
@example("class sk- sk-or", [6, 9])
def test_a_text_without_the_key_stays_as_it_is(text: str, cuts: list[int]) -> None:
    assert "".join(shown(text, cuts)) == text


def test_only_what_may_become_the_key_waits() -> None:
    assert shown("all of his classes", [18]) == ["all of his classes", "", ""]
    assert shown("it is sk-o", []) == ["it is ", "sk-o"]
    assert shown("it is sk-orange", [10]) == ["it is ", "sk-orange", ""]
    assert shown("sk-or-v1-0123456789abcdef!", [2]) == ["sk", "***!", ""]


def test_most_of_a_key_at_the_end_is_not_shown_either() -> None:
    assert shown(f"it is {KEY[:-1]}", []) == ["it is ", "***"]
    assert shown(f"it is {KEY[:11]}", []) == ["it is ", KEY[:11]]


@pytest.mark.parametrize("key", ["", "a", "hunter22", "elevenchars"])
def test_a_key_that_may_be_a_word_is_left(key: str) -> None:
    assert "".join(shown(f"say {key} {key}", [5, 6], key)) == f"say {key} {key}"
