"""How far something is that takes long: one line that changes, or a few in a log."""

from screen import Clock, error_of, one_screen, shown

from raptchat.render import Terminal
from raptchat.render.passing_line import PassingLine


def test_each_line_takes_the_place_of_the_one_before_and_the_last_one_goes() -> None:
    terminal = one_screen()
    terminal.say("above")
    line = PassingLine(terminal)

    for text in ("copying, 10 %", "copying, 90 %", "summing up"):
        line.show(text)
    assert shown(error_of(terminal), width=terminal.width, height=terminal.height) == ["above", "summing up"]
    line.show("")
    terminal.say("below")

    assert shown(error_of(terminal), width=terminal.width, height=terminal.height) == ["above", "below"]


def test_in_a_log_there_is_a_line_at_first_and_then_one_every_ten_seconds() -> None:
    terminal = Terminal.recorded()
    clock = Clock()
    line = PassingLine(terminal, clock=clock)

    for second in range(25):
        clock.now = float(second)
        line.show(f"second {second}")
    line.show("")

    assert error_of(terminal) == "second 0\nsecond 10\nsecond 20\n"


def test_what_it_says_cannot_steer_the_terminal() -> None:
    for terminal in (one_screen(), Terminal.recorded()):
        PassingLine(terminal).show("upgrading \x1b]0;owned\x07 now")

        assert "\x1b]0" not in error_of(terminal)
        assert "\x07" not in error_of(terminal)
