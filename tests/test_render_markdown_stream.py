"""A reply in Markdown while it arrives: written once, whole, in order, whatever is painted meanwhile."""

import io
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import pyte
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyte.screens import Char, StaticDefaultDict
from screen import WITHOUT_CELL, CroppingScreen, Recording, ReflowingScreen, Screen, Window, plain, shown

from raptchat.render.markdown import MarkdownWriter

Size = tuple[int, int]

WORDS = [f"word{n}" for n in range(400)]
LONG = " ".join(WORDS)
URL = "https://example.org/" + "path/" * 30
KINDS = {
    "prose": "A cell has a *membrane* and **organelles**; see [the atlas](https://example.org/a?b=1).\nMore.\n\n",
    "headings": "# One\n## Two with `code`\ntext\n\nUnderlined\n---\n###### Six\n",
    "list": "- one\n- two *and more*\n  1. nested\n  2. nested and long enough to be folded on a narrow screen\n",
    "loose list": "1. one\n\n   more of it\n\n2. two\n   - a\n\n   - b\n- three\n\n- four\n",
    "quote": "> a quote\n> goes on\n>\n> > in a quote\nlazily\n\n> - an item\n>   with `code`\n\n",
    "code": "```python\ndef f(x: str) -> str:\n    '''One\n    two'''\n\n    return x * 2  # three\n```\n",
    "endless code": "~~~js\n/* a\n b */ let x = `c ${1}\n d`;\n\n" + "let long = '" + "x" * 300 + "';\n",
    "indented code": "    one\n\n    two\n\ttabbed\n\nafter\n\n",
    "table": "| part | size |\n|:-----|-----:|\n| 核   | 6 µm |\n| mitochondrion | 1 µm |\n\n",
    "long table": "a | b\n--|--\n" + "".join(f"{n} | {'many words ' * (n % 7)}\n" for n in range(30)) + "\n",
    "wide table": "|" + "a column|" * 12 + "\n|" + "---|" * 12 + "\n|" + "x | long words in it|" * 6 + "\n\n",
    "formulas": "With $x_1 * y_1$ and $$a_b$$:\n$$\n- x_1 * y \\\\\n= z_1\n$$\n\\[\nx * y\n\\]\nand \\(a_1\\).\n",
    "html": "<div class='x'>\n<b>no html</b> &amp; &lt;\n</div>\n\n<script>x</script>\n\n",
    "wide characters": "核核核\uff0c核。核核 👩‍🔬 🇩🇪 ❤️ e\u0301 ไทย עברית مرحبا\n- 漢字かな交じり文\n\n",
    "links": '![a picture](cell.png "Cell") <https://g.org> [r][1] [x](u)\n\n[1]: https://example.org/ref\n\n',
    "a link that says where it leads": f"x [{URL}]({URL}) y\n\n- [{URL}]({URL})\n",
    "a table below text": f"some text\n{'a | ' * 30}b\n{'--|' * 30}--\n\n",
    "one paragraph": LONG.replace(" word7 ", " **word7 ")
    .replace(" word9 ", " word9** ")
    .replace("90 ", "90` `\n"),
    "one line of one word": "x" * 3_000 + "\n\n",
    "unfinished": "**bold `code [link](https://exam",
    "rule": "text\n\n---\n***\n",
}


def written(terminal: Window) -> str:
    assert isinstance(terminal.out, io.StringIO)
    return terminal.out.getvalue()


def pieces(text: str, lengths: Iterable[int]) -> list[str]:
    """*text* cut into pieces of these lengths, over and over."""
    lengths = list(lengths)
    found, at, turn = [], 0, 0
    while at < len(text):
        length = lengths[turn % len(lengths)]
        found.append(text[at : at + length])
        at, turn = at + length, turn + 1
    return found


def stream(parts: Sequence[str], terminal: Window, *, seconds: float = 1.0) -> str:
    """What is written when each of *parts* comes *seconds* after the one before."""
    now = 0.0
    writer = MarkdownWriter(terminal, clock=lambda: now)
    for part in parts:
        now += seconds
        writer.text(part)
    writer.end()
    return written(terminal)


def at_once(text: str, *, width: int) -> str:
    """What is written when all of *text* comes at once to a place where the cursor cannot be moved."""
    return stream([text], replace(Window.recorded(is_tty=True, width=width), repaints=False))


@pytest.mark.no_cover
@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("kind", KINDS)
def test_the_picture_of_each_kind_is_that_of_the_whole_text(kind: str, width: int) -> None:
    text = f"Before.\n\n{KINDS[kind]}" * 2
    expected = shown(at_once(text, width=width), width=width)

    for lengths, seconds in ([1], 0.01), ([37, 1, 60], 1.0):
        terminal = Window.recorded(is_tty=True, width=width, height=12)
        output = stream(pieces(text, lengths), terminal, seconds=seconds)
        assert shown(output, width=width, height=12) == expected


@settings(max_examples=40, deadline=None, database=None)
@given(
    kinds=st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=4),
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=6),
    width=st.sampled_from([20, 40, 80, 200]),
    height=st.integers(1, 30),
    seconds=st.sampled_from([0.001, 0.02, 1.0]),
)
# A terminal that takes the emoji to be wider than rich does wraps a finished row, over what was painted below it.
@pytest.mark.no_cover
@example(
    kinds=["a link that says where it leads", "wide characters"], lengths=[1], width=200, height=4, seconds=0.001
)
def test_any_text_cut_anywhere_at_any_pace_ends_in_the_same_picture(
    kinds: list[str], lengths: list[int], width: int, height: int, seconds: float
) -> None:
    text = "".join(KINDS[kind] for kind in kinds)
    terminal = Window.recorded(is_tty=True, width=width, height=height)

    output = stream(pieces(text, lengths), terminal, seconds=seconds)

    assert shown(output, width=width, height=height) == shown(at_once(text, width=width), width=width)


@settings(max_examples=150, deadline=None, database=None)
@given(
    text=st.text(st.sampled_from("ab1.)-*+_`~#>|$:[]()!<&;\\ \n\n\t\x1b\u202e核\u200d"), max_size=120),
    lengths=st.lists(st.integers(1, 20), min_size=1, max_size=4),
)
def test_any_characters_cut_anywhere_end_in_the_same_picture(text: str, lengths: list[int]) -> None:
    output = stream(pieces(text, lengths), Window.recorded(is_tty=True, width=40, height=6))

    assert shown(output, width=40, height=6) == shown(at_once(text, width=40), width=40)


def test_the_cursor_never_goes_above_the_unfinished_tail() -> None:
    out = Recording()
    text = "".join(KINDS.values())

    stream(pieces(text, [17]), replace(Window.recorded(is_tty=True, height=12), out=out))

    row = 0
    for write in out.writes:
        tail = row
        for step in re.findall(r"\n|\x1b\[\d+A", write):
            row += 1 if step == "\n" else -int(step[2:-1])
            assert row >= tail
    assert len(out.writes) > 200


class TmuxScreen(pyte.HistoryScreen):
    """A screen of tmux: an erase from its first cell moves what is on it into the scrollback."""

    def erase_in_display(self, how: int = 0, *args: object, **kwargs: object) -> None:
        if how == 0 and (self.cursor.y, self.cursor.x) == (0, 0):
            used = [y for y, line in enumerate(self.display) if line.strip()]
            for y in range(max(used, default=-1) + 1):
                line: StaticDefaultDict[int, Char] = StaticDefaultDict(self.default_char)
                line.update(self.buffer[y])
                self.history.top.append(line)
        super().erase_in_display(how, *args, **kwargs)


def lines_of(screen: pyte.HistoryScreen) -> list[str]:
    """The lines in the scrollback and on the screen, without the empty ones at the end."""
    above = ["".join(line[x].data for x in range(screen.columns)) for line in screen.history.top]
    return "\n".join(line.rstrip() for line in [*above, *screen.display]).rstrip("\n").split("\n")


def test_the_screen_of_tmux_notices_an_erase_from_its_first_cell() -> None:
    screen = TmuxScreen(20, 4, history=100, ratio=0.5)

    pyte.Stream(screen).feed("one\r\ntwo\x1b[H\x1b[Jtwo")

    assert lines_of(screen) == ["one", "two", "two"]


@pytest.mark.parametrize("prompt", [["$ raptchat chat"], []], ids=["below a prompt", "in a new window"])
@pytest.mark.parametrize("height", [4, 5, 6, 10, 24])
def test_no_line_is_doubled_in_the_scrollback_of_tmux(height: int, prompt: list[str]) -> None:
    text = "".join(f"Line {n} of the tail.  \n" for n in range(3 * height)) + "\nThe end.\n"
    screen = TmuxScreen(80, height, history=10_000, ratio=0.5)

    output = "".join(f"{line}\n" for line in prompt) + stream(
        pieces(text, [7]), Window.recorded(is_tty=True, height=height)
    )
    pyte.Stream(screen).feed(output.replace("\n", "\r\n"))

    assert lines_of(screen) == [
        *prompt,
        *(f"Line {n} of the tail." for n in range(3 * height)),
        "",
        "The end.",
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_a_reply_at_the_top_of_a_cleared_tmux_is_in_the_scrollback_once(kind: str) -> None:
    text = KINDS[kind]
    painted = stream(pieces(text, [3, 1, 8]), Window.recorded(is_tty=True, height=24), seconds=0.05)
    pictures = []
    for output in (painted, at_once(text, width=80)):
        screen = TmuxScreen(80, 24, history=10_000, ratio=0.5)
        pyte.Stream(screen).feed(WITHOUT_CELL.sub("", output).replace("\n", "\r\n"))
        pictures.append(lines_of(screen))

    assert pictures[0] == pictures[1]


def test_what_is_finished_is_written_once() -> None:
    terminal = Window.recorded(is_tty=True, height=10)
    text = "".join(f"Paragraph {n} is finished.\n\n" for n in range(50))

    output = stream([*pieces(text, [40]), "and the tail"], terminal)

    finished = plain(output).split("and the tail")[0]
    assert [finished.count(f"Paragraph {n} is finished.") for n in range(50)] == [1] * 50


@pytest.mark.parametrize(
    "line", ["- item {}\n", "1. item {}\n", "code {}\n", "| row | {} |\n", "> quote {}\n>\n", "   - nested {}\n"]
)
def test_a_long_block_goes_out_line_by_line(line: str) -> None:
    heads = {"c": "```python\n", "|": "| a | b |\n|---|---|\n", " ": "1. first\n"}
    terminal = replace(Window.recorded(), repaints=False)
    now = 0.0
    writer = MarkdownWriter(terminal, clock=lambda: now)
    writer.text(heads.get(line[0], ""))
    unwritten = []
    for n in range(200):
        now += 1
        writer.text(line.format(n))
        numbers = re.findall(r"(?:item|code|row|quote|nested) +(\d+)", written(terminal))
        unwritten.append(n - max(map(int, numbers), default=0))
    writer.end()

    # A table waits for the rows that it is measured by; but for these, only the line waits that may still go on.
    assert max(unwritten) <= (20 if line[0] == "|" else 1)
    assert max(unwritten[30:]) <= 1


def test_a_long_paragraph_goes_out_line_by_line() -> None:
    terminal = replace(Window.recorded(), repaints=False)
    now = 0.0
    writer = MarkdownWriter(terminal, clock=lambda: now)
    unwritten = []
    for n in range(3_000):
        now += 1
        writer.text(f"word{n} ")
        unwritten.append(n - max(map(int, re.findall(r"word(\d+)", written(terminal))), default=0))
    writer.end()

    assert max(unwritten) < 200
    assert [int(word) for word in re.findall(r"word(\d+)", written(terminal))] == list(range(3_000))


@pytest.mark.parametrize("character", ["\u0301", "\u200d"])
def test_characters_that_take_no_cell_do_not_pile_up_in_one_row(character: str) -> None:
    text = "a" + character * 20_000

    output = at_once(text, width=80)

    assert max(map(len, output.split("\n"))) < 5_000
    assert output.replace("\n", "") == text


# A terminal that wraps anew must have room for what the tail becomes.
SCREENS: dict[str, tuple[Callable[[int, int], Screen], int]] = {
    "crops": (CroppingScreen, 4),
    "reflows": (ReflowingScreen, 60),
}
STEADY = [kind for kind in KINDS if kind not in {"wide characters", "table", "formulas", "links"}]


@pytest.mark.parametrize("screen", SCREENS)
@settings(max_examples=20, deadline=None, database=None)
@given(
    kinds=st.lists(st.sampled_from(STEADY), min_size=1, max_size=2),
    lengths=st.lists(st.integers(5, 60), min_size=1, max_size=4),
    sizes=st.lists(st.tuples(st.sampled_from([40, 60, 80, 200]), st.integers(0, 20)), min_size=1, max_size=6),
)
def test_what_is_painted_leaves_no_trace_however_the_window_is_resized(
    screen: str, kinds: list[str], lengths: list[int], sizes: list[Size]
) -> None:
    text = "".join(KINDS[kind] for kind in kinds)
    parts = pieces(text, lengths)

    make, lowest = SCREENS[screen]
    sizes = [(80, 20 + lowest), *((width, height + lowest) for width, height in sizes)]

    painted = resized(parts, sizes, make, repaints=True)
    unpainted = resized(parts, sizes, make, repaints=False)

    # What a narrower window cuts off depends on what is in sight when it is resized.
    narrowest = min(width for width, _ in sizes) if screen == "crops" else None
    assert [line[:narrowest].rstrip() for line in painted] == [line[:narrowest].rstrip() for line in unpainted]


WINDOWS: dict[str, list[Size]] = {
    "crops": [(80, 40), (120, 40), (200, 40), (200, 30), (200, 50)],
    "reflows": [(80, 80), (200, 80), (120, 80), (80, 90)],
}


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("screen", "kind"), [*(("crops", kind) for kind in KINDS), *(("reflows", kind) for kind in STEADY)]
)
def test_no_kind_of_text_loses_or_doubles_a_word_in_a_window_that_is_resized(screen: str, kind: str) -> None:
    make, _ = SCREENS[screen]
    parts = pieces(f"Before.\n\n{KINDS[kind]}" * 2, [9, 60, 4])

    # What is written without moving the cursor is written once.
    once = resized(parts, WINDOWS[screen], make, repaints=False)
    assert resized(parts, WINDOWS[screen], make, repaints=True) == once


def resized(
    parts: Sequence[str], sizes: Sequence[Size], screen: Callable[[int, int], Screen], *, repaints: bool
) -> list[str]:
    """What a terminal shows at the end that has each of *sizes* in turn while *parts* arrive."""
    terminal = replace(Window.recorded(is_tty=True), repaints=repaints, sizes=[sizes[0]])
    seen = screen(*sizes[0])
    now = 0.0
    shown_up_to = 0
    writer = MarkdownWriter(terminal, clock=lambda: now)
    for turn, part in enumerate([*parts, None]):
        now += 1
        if turn % 3 == 2:
            terminal.sizes.append(sizes[turn // 3 % len(sizes)])
            seen.resize(*terminal.sizes[-1])
        if part is None:
            writer.end()
        else:
            writer.text(part)
        seen.feed(written(terminal)[shown_up_to:])
        shown_up_to = len(written(terminal))
    return seen.shown()


def test_after_a_resize_the_rest_is_laid_out_in_the_new_width() -> None:
    terminal = replace(Window.recorded(is_tty=True), repaints=False)
    now = 0.0
    writer = MarkdownWriter(terminal, clock=lambda: now)

    for width in (80, 40, 120):
        now += 1
        terminal.sizes.append((width, 24))
        writer.text(f"{LONG[:300]}\n\n")
    writer.end()

    widths = [max(map(len, part.splitlines())) for part in plain(written(terminal)).split("\n\n")]
    assert [70 < widths[0] <= 80, 30 < widths[1] <= 40, 110 < widths[2] <= 120] == [True] * 3


def test_it_is_painted_at_most_fifteen_times_a_second() -> None:
    out = Recording()
    terminal = replace(Window.recorded(is_tty=True), out=out)

    stream(["word "] * 2_000, terminal, seconds=0.001)

    assert 25 <= len(out.writes) <= 32


def test_painting_that_is_slow_is_done_less_often() -> None:
    out = Recording()
    ticks = iter(range(10_000))
    # Each look at the clock takes half a second, so a painting does.
    writer = MarkdownWriter(replace(Window.recorded(is_tty=True), out=out), clock=lambda: next(ticks) / 2)
    for word in ["word "] * 100:
        writer.text(word)

    assert len(out.writes) == 25


def test_a_painting_writes_only_the_rows_that_changed() -> None:
    out = Recording()
    terminal = replace(Window.recorded(is_tty=True), out=out)

    stream(pieces(LONG[:450], [9]), terminal)

    assert len(out.writes) > 50
    assert sum(map(len, out.writes)) < 80 * len(out.writes)


def test_a_row_that_the_terminal_takes_for_wider_is_not_left_as_it_was_painted() -> None:
    # Two cells, say we; the emulator, and many a terminal, shows the thumb and its tone one by one.
    row = "- " + "👍🏽" * 15

    output = stream([row, "\n- next\n"], Window.recorded(is_tty=True, width=40))

    seen = "".join(shown(output, width=40))
    assert seen.count("🏽") == 15
    assert seen == "".join(shown(at_once(f"{row}\n- next\n", width=40), width=40))


def test_nothing_is_written_when_nothing_changed() -> None:
    out = Recording()
    terminal = replace(Window.recorded(is_tty=True), out=out)

    stream(["word", "", "", "\n", "", "\n\n"], terminal)

    assert [plain(write).strip() for write in out.writes] == ["word", ""]


@pytest.mark.parametrize("height", [1, 2, 3])
def test_in_a_window_without_room_for_a_tail_the_cursor_stays_where_it_is(height: int) -> None:
    terminal = Window.recorded(is_tty=True, height=height)

    output = stream(pieces("".join(KINDS.values()), [13]), terminal)

    assert not re.search(r"\x1b\[\d*A|\x1b\[J|\x1b\[\?", output)


def test_the_cursor_is_hidden_only_while_it_rests_on_the_tail() -> None:
    out = Recording()
    terminal = replace(Window.recorded(is_tty=True), out=out)

    stream(["One", " two\n\n", "Three", "\n"], terminal)

    hidden = "".join(re.findall(r"\x1b\[\?25[lh]", "".join(out.writes)))
    assert hidden == "\x1b[?25l\x1b[?25h\x1b[?25l\x1b[?25h"
    assert out.writes[-1].endswith("\n")


class Interrupting:
    """A clock that raises Ctrl-C at one of its ticks."""

    def __init__(self, at: int) -> None:
        self._left = at
        self._now = 0.0

    def __call__(self) -> float:
        self._left -= 1
        self._now += 1
        if self._left == 0:
            raise KeyboardInterrupt
        return self._now


@pytest.mark.parametrize("at", range(2, 30))
def test_ctrl_c_loses_nothing_and_doubles_nothing(at: int) -> None:
    terminal = Window.recorded(is_tty=True)
    writer = MarkdownWriter(terminal, clock=Interrupting(at))
    arrived = ""

    for part in pieces("".join(f"- item{n}\n" for n in range(100)), [11]):
        arrived += part
        try:
            writer.text(part)
        except KeyboardInterrupt as raised:
            writer.fail(raised)
            break

    assert len(arrived) < 500
    assert shown(written(terminal)) == shown(at_once(arrived, width=80))


@dataclass(frozen=True)
class Interrupted(Window):
    """A terminal that is asked for its size when Ctrl-C comes."""

    def size_now(self) -> os.terminal_size:
        """Its size, unless that comes."""
        if self.sizes:
            raise KeyboardInterrupt
        return super().size_now()


def test_ctrl_c_at_the_very_end_leaves_the_cursor_in_sight_and_below_what_was_painted() -> None:
    terminal = Interrupted.recorded(is_tty=True)
    writer = MarkdownWriter(terminal, clock=lambda: 0.0)
    writer.text("- one\n- two\n- three")
    terminal.sizes.append((80, 24))

    with pytest.raises(KeyboardInterrupt):
        writer.end()

    assert written(terminal).endswith("\x1b[?25h\n\n")
    assert shown(f"{written(terminal)}raptchat: stopped\n") == [
        " • one",
        " • two",
        " • three",
        "raptchat: stopped",
    ]


class Hanging(io.StringIO):
    """A terminal that somebody closes after some writes."""

    def __init__(self, writes: int) -> None:
        super().__init__()
        self._left = writes

    def write(self, text: str) -> int:
        self._left -= 1
        if self._left < 0:
            raise BrokenPipeError
        return super().write(text)


def test_a_terminal_that_goes_away_ends_it() -> None:
    out = Hanging(3)

    with pytest.raises(BrokenPipeError):
        stream(["One\n\n", "Two\n\n", "Three\n\n", "Four"], replace(Window.recorded(is_tty=True), out=out))

    assert plain(out.getvalue()).split() == ["One", "Two"]
