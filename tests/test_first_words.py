"""The first words of a reply in Markdown: they are on the screen before what draws a page is loaded."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Run
from processes import AtTerminal
from screen import Recording, Window, plain, shown

from raptchat.render.markdown import MarkdownWriter

# raptchat in an interpreter that loads nothing which draws before a file is there.
_WITHOUT_DRAWING = """
import sys, time
from pathlib import Path

gate = Path(sys.argv.pop(1))

class Gate:
    def find_spec(self, name, path=None, target=None):
        while name.partition(".")[0] in {"rich", "markdown_it", "pygments"} and not gate.exists():
            time.sleep(0.01)

sys.meta_path.insert(0, Gate())
from raptchat.__main__ import main
main()
"""
# Writes a reply to a terminal that is only recorded, and says what it took to draw it.
_DRAWING = """
import sys
from raptchat.render import Terminal
from raptchat.render.markdown.live import LiveMarkdownWriter

writer = LiveMarkdownWriter(Terminal.recorded(is_tty=True))
writer.text(sys.argv[1])
writer.end()
print(*sorted({"rich", "markdown_it", "pygments"} & set(sys.modules)))
"""


def without_drawing(gate: Path) -> tuple[str, ...]:
    return (sys.executable, "-c", _WITHOUT_DRAWING, str(gate))


def writes_of(text: str, *, width: int = 40) -> list[str]:
    """The writes with which a terminal gets *text* when all of it comes at once."""
    out = Recording()
    now = iter(range(1_000))
    writer = MarkdownWriter(replace(Window.recorded(is_tty=True, width=width), out=out), clock=lambda: next(now))
    writer.text(text)
    return out.writes


@pytest.mark.process
def test_they_are_on_the_screen_before_what_draws_the_rest_is_loaded(biology: Run, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    words = ("chat", "-m", "demo/echo", "Osmosis is the *net* movement.")
    with AtTerminal(*words, program=without_drawing(gate)) as terminal:
        terminal.until("Osmosis")
        assert "movement" not in terminal.said

        gate.touch()
        terminal.ends(0)
        lines = terminal.screen()

    assert lines[-1] == "Osmosis is the net movement."
    assert "\n".join(lines).count("Osmosis") == 1


@pytest.mark.process
def test_what_is_waited_for_is_said_before_what_draws_is_loaded(biology: Run, tmp_path: Path) -> None:
    with AtTerminal("chat", "-m", "demo/hang", "hello", program=without_drawing(tmp_path / "gate")) as terminal:
        terminal.until("waiting for demo/hang")
        terminal.keys("\x03")
        terminal.ends(130)


@pytest.mark.process
def test_ctrl_c_while_it_is_loaded_keeps_what_came(biology: Run, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with AtTerminal("chat", "-m", "demo/stall", "hello", program=without_drawing(gate)) as terminal:
        terminal.until("The beginning")
        terminal.keys("\x03")
        gate.touch()
        terminal.ends(130)
        lines = terminal.screen()

    assert lines[-2].startswith("The beginning")
    assert lines[-1] == "raptchat: interrupted"


@pytest.mark.process
def test_where_nothing_came_nothing_is_loaded(biology: Run, tmp_path: Path) -> None:
    words = ("chat", "-m", "demo/status-401", "hello")
    with AtTerminal(*words, program=without_drawing(tmp_path / "gate")) as terminal:
        terminal.ends(77)


@pytest.mark.parametrize(
    ("text", "loaded"),
    [
        ("", ""),
        ("Plain words.\n\n- and a list\n", "rich"),
        ("Some **bold** words.\n", "markdown_it rich"),
        ("```\nwithout a language\n```\n", "rich"),
        ("```python\nreturn 1\n```\n", "pygments rich"),
    ],
)
def test_only_what_the_text_needs_is_loaded(text: str, loaded: str) -> None:
    ended = subprocess.run([sys.executable, "-c", _DRAWING, text], capture_output=True, text=True, check=True)

    assert ended.stdout.strip() == loaded


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("Osmosis", "Osmosis"),
        ("Osmosis is **the** word", "Osmosis is"),
        ("Title\n=====\n", "Title"),
        ("Zürich, 2026: 5 > 4.", "Zürich, 2026: 5 > 4."),
        ("浸透とは", "浸透とは"),
        ("part | size\n--|--\n", "part"),
        ("A\x1b[2Jb\u202ec", "A␛"),
        ("word " * 20, "word word word word word word word word"),
        ("w" * 100, "w" * 40),
    ],
)
def test_they_are_plain_and_fit_into_the_row(text: str, first: str) -> None:
    assert plain(writes_of(text)[0]).strip("\r") == first


@pytest.mark.parametrize("text", ["# Title\n", "**Bold**", "- item", "1. one", "> quote", "`code`", "    x"])
def test_where_markup_begins_the_text_the_first_write_is_what_it_becomes(text: str) -> None:
    assert shown(writes_of(text)[0]) == shown("".join(writes_of(text)))
    assert len(writes_of(text)) == 1


def test_plain_words_are_not_written_twice() -> None:
    assert [plain(write).strip("\r") for write in writes_of("Osmosis is a word")] == ["Osmosis is a word"]


def test_loading_is_not_taken_for_slow_painting() -> None:
    out = Recording()
    # A look at the clock takes no time, but the first drawing's modules take ten seconds.
    times = iter([0.0, 0.0, 10.0, 10.0, 10.07, 10.07])
    writer = MarkdownWriter(replace(Window.recorded(is_tty=True), out=out), clock=lambda: next(times))

    writer.text("One")
    writer.text(" two")

    assert plain("".join(out.writes)).endswith("One two\r")
