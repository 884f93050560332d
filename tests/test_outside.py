"""Text from outside: whatever it holds, nothing of it acts on a terminal."""

import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from raptchat.outside import for_pipe, forbidden_in_name, is_utf8, safe, safe_line, shortened, without_keys

# Surrogates too: arguments and broken JSON bring them along.
ANYTHING = st.text(st.characters(codec=None))
ACTING = {
    *(chr(code) for code in [*range(0x20), *range(0x7F, 0xA0)]),
    *(chr(code) for code in [*range(0x202A, 0x202F), *range(0x2066, 0x206A)]),
    *"\u2028\u2029\ufff9\ufffa\ufffb\ufeff",
    *(chr(code) for code in range(0xE0000, 0xE0080)),
    *(chr(code) for code in range(0xD800, 0xE000)),
}


@given(ANYTHING)
@example("\x1b]52;c;aGk=\x07\x9b2J\x7f\u202e\ufeff\U000e0041\ud83d")
def test_no_character_that_acts_is_left_in_a_reply(text: str) -> None:
    assert not set(safe(text)) & (ACTING - {"\n", "\t"})
    safe(text).encode()


@given(ANYTHING)
def test_no_character_that_acts_or_breaks_the_line_is_left_in_a_line(text: str) -> None:
    assert not set(safe_line(text)) & (ACTING | set("\u200e\u200f\u061c"))


def changed(clean: Callable[[str], str]) -> set[str]:
    """All characters that *clean* does not leave as they are."""
    return {character for character in map(chr, range(0x110000)) if clean(character) != character}


@pytest.mark.no_cover
def test_of_all_characters_just_those_that_act_are_changed() -> None:
    marks = set("\u200e\u200f\u061c")
    assert changed(safe) == ACTING - {"\n", "\t"}
    assert changed(safe_line) == ACTING | marks
    assert changed(for_pipe) == {
        *map(chr, [*range(0x20), *range(0x7F, 0xA0), *range(0xD800, 0xE000)]),
    } - {"\n", "\t", "\r"}


@given(ANYTHING)
def test_a_pipe_gets_no_control_character_but_white_space(text: str) -> None:
    cleaned = for_pipe(text)

    assert all(
        unicodedata.category(character) not in {"Cc", "Cs"} or character in "\n\r\t" for character in cleaned
    )
    assert [c for c in cleaned if c in "\n\r\t"] == [c for c in text if c in "\n\r\t"]


@given(ANYTHING, ANYTHING)
def test_where_a_text_was_cut_does_not_matter(first: str, second: str) -> None:
    for clean in (safe, safe_line, for_pipe):
        assert clean(first) + clean(second) == clean(first + second)


@given(ANYTHING)
def test_safe_text_stays_as_it_is(text: str) -> None:
    assert safe(safe(text)) == safe(text)
    assert safe_line(safe_line(text)) == safe_line(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", "\u241b[31mred"),
        ("a\r\nb", "a\nb"),
        ("\x7f", "\u2421"),
        ("\x85", "\ufffd"),
        ("tab\tstays", "tab\tstays"),
        (
            "\U0001f469\u200d\U0001f52c \u2764\ufe0f \u05d0\u200f",
            "\U0001f469\u200d\U0001f52c \u2764\ufe0f \u05d0\u200f",
        ),
    ],
)
def test_what_acts_becomes_visible_and_the_rest_stays(text: str, shown: str) -> None:
    assert safe(text) == shown


def test_a_line_stays_one_line() -> None:
    assert safe_line("a\nb\tc\rd\u200f") == "a\u240ab\u2409c\u240dd\ufffd"


def test_what_the_system_could_not_decode_cannot_be_stored_or_sent() -> None:
    assert is_utf8("")
    assert is_utf8("Gr\u00fc\u00dfe \U0001f469")
    assert not is_utf8("caf\udce9")


def test_what_looks_like_a_key_is_cut_out() -> None:
    assert without_keys("used sk-or-v1-0123456789abcdef here") == "used *** here"
    assert without_keys("sk-short and task-0123456789abcdef") == "sk-short and ta***"
    assert without_keys("risk-free") == "risk-free"
    assert without_keys("sk-12345678901 sk-123456789012") == "sk-12345678901 ***"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("biology", None),
        ("Gr\u00fc\u00dfe \u751f\u7269 \U0001f469\u200d\U0001f52c", None),
        ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", None),
        ("a\tb", "U+0009 control character"),
        ("a\x1bb", "U+001B control character"),
        ("a\u202eb", "U+202E RIGHT-TO-LEFT OVERRIDE"),
        ("a\u200bb", "U+200B ZERO WIDTH SPACE"),
        ("a\u00a0b", "U+00A0 NO-BREAK SPACE"),
        ("a\u00adb", "U+00AD SOFT HYPHEN"),
        ("a\ue000b", "U+E000 control character"),
    ],
)
def test_a_name_holds_nothing_that_acts_or_cannot_be_seen(text: str, found: str | None) -> None:
    assert forbidden_in_name(text) == found


@pytest.mark.parametrize(
    ("text", "short"), [("", ""), ("seven c", "seven c"), ("seven ch", "seven…"), ("abcdefgh", "abcdef…")]
)
def test_a_text_that_is_cut_says_so_and_is_no_longer_than_asked(text: str, short: str) -> None:
    assert shortened(text, 7) == short
