"""The one escape sequence that is written on purpose: OSC 52."""

import base64
import io
import re

import pytest

from raptchat.errors import UsageError
from raptchat.render import Terminal
from raptchat.render.clipboard import MOST_ENCODED, copy
from raptchat.render.group_color import COLORS, color_of


def copied(text: str, **environ: str) -> str:
    """What is written to hand *text* over."""
    terminal = Terminal.recorded(is_tty=True)
    copy(terminal, text, environ)
    assert isinstance(terminal.out, io.StringIO)
    return terminal.out.getvalue()


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_a_text_goes_as_one_sequence() -> None:
    text = "naïve \U0001f600\n"

    assert copied(text) == f"\x1b]52;c;{encoded(text)}\x07"


def test_what_acts_on_a_terminal_is_not_pasted_later() -> None:
    harmless = "a[31mbc\td\r\n"

    assert copied("a\x1b[31mb\x9bc\x07\td\r\n") == f"\x1b]52;c;{encoded(harmless)}\x07"


def test_inside_tmux_it_goes_to_tmux_and_to_the_terminal_around_it() -> None:
    plain = f"\x1b]52;c;{encoded('hello')}\x07"

    assert copied("hello", TMUX="/tmp/tmux-0/default,1,0") == f"{plain}\x1bPtmux;\x1b{plain}\x1b\\"


def test_inside_screen_it_goes_in_pieces_that_screen_takes() -> None:
    said = copied("hello " * 1000, STY="1.pts-0.host")

    pieces = re.findall(r"\x1bP(.*?)\x1b\\", said, re.DOTALL)
    assert "".join(pieces) == f"\x1b]52;c;{encoded('hello ' * 1000)}\x07"
    assert max(map(len, pieces)) < 768
    assert said == "".join(f"\x1bP{piece}\x1b\\" for piece in pieces)


def test_what_terminals_drop_is_refused() -> None:
    longest = "x" * (MOST_ENCODED // 4 * 3)
    assert copied(longest)
    with pytest.raises(UsageError, match="too long for a terminal's clipboard") as refused:
        copied(longest + "xxx")
    assert refused.value.hint == "/save FILE"


def test_a_terminal_that_takes_no_sequences_gets_none() -> None:
    terminal = Terminal.recorded()
    with pytest.raises(UsageError, match="no clipboard"):
        copy(terminal, "hello", {})
    assert isinstance(terminal.out, io.StringIO)
    assert terminal.out.getvalue() == ""


def luminance(color: str) -> float:
    """The relative luminance of `#rrggbb` (WCAG 2.2)."""
    parts = (int(color[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("color", COLORS)
def test_a_groups_colour_is_read_on_black_and_on_white(color: str) -> None:
    assert (luminance(color) + 0.05) / 0.05 > 4.4
    assert 1.05 / (luminance(color) + 0.05) > 4.4


def test_a_groups_colour_is_always_the_same_and_groups_differ() -> None:
    assert color_of("1f0c5a4e-0000-4000-8000-000000000000") == color_of("1f0c5a4e-0000-4000-8000-000000000000")
    assert {color_of(f"{number:08x}-0000-4000-8000-000000000000") for number in range(200)} == set(COLORS)
