"""Text from outside, made safe to show: the one way for it to a terminal.

What a model, a gateway or a stored name says must not act on the terminal, and `rich` lets most control
characters through. Each function works one character at a time, so where a text was cut into chunks cannot
matter. The sets are those of Unicode 15 (general categories, UAX #9) and ECMA-48 (C0 and C1).
"""

import re

_PICTURES = 0x2400
_REPLACEMENT = "\ufffd"

_C0 = set(range(0x20)) - {0x09, 0x0A}
_C1 = range(0x80, 0xA0)
_BIDI_OVERRIDES = [*range(0x202A, 0x202F), *range(0x2066, 0x206A)]
_INVISIBLE = [0x2028, 0x2029, *range(0xFFF9, 0xFFFC), 0xFEFF, *range(0xE0000, 0xE0080)]
_SURROGATES = range(0xD800, 0xE000)
# Left-to-right, right-to-left and Arabic letter marks: a reply may hold them, a name may not.
_MARKS = [0x200E, 0x200F, 0x061C]

# Not seen themselves, but emoji and Persian are not written without them.
_JOINERS = "\u200c\u200d"

_BODY: dict[int, str | None] = {
    **{code: chr(_PICTURES + code) for code in _C0},
    **dict.fromkeys([*_C1, *_BIDI_OVERRIDES, *_INVISIBLE, *_SURROGATES], _REPLACEMENT),
    0x0D: None,
    0x7F: "\u2421",
}
_LINE: dict[int, str | None] = {
    **_BODY,
    **{code: chr(_PICTURES + code) for code in (0x09, 0x0A, 0x0D)},
    **dict.fromkeys(_MARKS, _REPLACEMENT),
}
_PIPE: dict[int, str | None] = {
    **dict.fromkeys([*(_C0 - {0x0D}), 0x7F, *_C1]),
    **dict.fromkeys(_SURROGATES, _REPLACEMENT),
}
_KEY_LIKE = r"sk-[A-Za-z0-9_-]{12,}"


def safe(text: str) -> str:
    """*text* for a terminal: lines and tabs stay, no character acts on it."""
    return text.translate(_BODY)


def safe_line(text: str) -> str:
    """*text* for a terminal, on one line: names, titles, models, error texts."""
    return text.translate(_LINE)


def shortened(text: str, most: int) -> str:
    """The first *most* characters of *text*, the last of which is `…` where it goes on."""
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


def for_pipe(text: str) -> str:
    """*text* for a pipe: without control characters other than newline, tab and carriage return."""
    return text.translate(_PIPE)


def is_utf8(text: str) -> bool:
    """Whether *text* can be stored and sent: words and paths of the system need not be valid UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def without_keys(text: str) -> str:
    """*text* with `***` for whatever looks like an API key, such as an echo of a mistyped command."""
    return re.sub(_KEY_LIKE, "***", text)


def forbidden_in_name(text: str) -> str | None:
    """The first character of *text* that no name may hold, as `U+202E RIGHT-TO-LEFT OVERRIDE`.

    That is what acts on a terminal, and what cannot be seen: two names must not look like one.
    """
    for character in text:
        if ord(character) in _LINE or not (character.isprintable() or character in _JOINERS):
            import unicodedata

            name = unicodedata.name(character, "control character")
            return f"U+{ord(character):04X} {name}"
    return None
