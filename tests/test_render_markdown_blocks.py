"""Blocks begin, go on and end where another parser says they do; the work on them grows with the text alone."""

import io
import pickle
import re
import sys
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from types import FrameType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token
from screen import Window, shown

from raptchat.render.markdown import MarkdownWriter
from raptchat.render.markdown.blocks import Blocks
from raptchat.render.markdown.page import Page

LINES = (
    """
a|b c|- a|* b|*|-|1. x|2. y|7) y|10. z|> q|> - q|>|```|```py x|~~~|    code|  - in|   three|      six|---|***|===
- - -|#|## h|# t #|#x|<div>|  2. t|> > r|- ```|  ```|- > z|+ p|+|     five|>     qc|- # h|~~~~|`````|> ```|99
     far|-     far|   - three|"x"
""".strip("\n")
    .replace("\n", "|")
    .split("|")
)
LINES += [
    "a | b",
    "--|--",
    "|a|b|",
    "|-|:-:|",
    "a | b\n--|--",
    "c\n|a|b|\n|-|:-:|\nd|",
    "a\n---",
    "```\nx\n\n- y\n```",
    "- a\n\n  b",
]
WIDTH = 400


@dataclass
class Mark:
    """What stands beside a block: the bar of a quote, or the sign of an item, which stands there once."""

    sign: str
    is_lasting: bool = False


class Outline:
    """The rows that markdown-it's tokens come to, without spaces and empty rows."""

    def __init__(self, text: str) -> None:
        self.rows: list[str] = []
        self._marks: list[Mark] = []
        self._numbers: list[int | None] = []
        self._cells: list[str] | None = None
        parser = MarkdownIt("commonmark", {"html": False}).enable("table").disable("reference")
        for token in parser.parse(text):
            self._take(token)

    def _take(self, token: Token) -> None:  # noqa: C901, PLR0912 - one case a kind of token
        match token.type:
            case "blockquote_open":
                self._marks.append(Mark("▌", is_lasting=True))
            case "bullet_list_open":
                self._numbers.append(None)
            case "ordered_list_open":
                self._numbers.append(int(token.attrs.get("start", 1)))
            case "bullet_list_close" | "ordered_list_close":
                self._numbers.pop()
            case "list_item_open":
                number = self._numbers[-1]
                self._marks.append(Mark("•" if number is None else str(number)))
                self._numbers[-1] = None if number is None else number + 1
            case "list_item_close" if self._marks[-1].sign:
                self._row("")
                self._marks.pop()
            case "list_item_close" | "blockquote_close":
                self._marks.pop()
            case "tr_open":
                self._cells = []
            case "tr_close":
                self._row("".join(self._cells or []), is_table=True)
                self._cells = None
            case "inline" if self._cells is not None:
                self._cells.append(token.content)
            case "inline":
                self._row(token.content)
            case "fence" | "code_block" if token.content:
                for line in token.content.split("\n"):
                    self._row(line)
            case "hr":
                self._row("---")

    def _row(self, content: str, *, is_table: bool = False) -> None:
        content = re.sub(r"\s", "", content)
        signs = "".join(mark.sign for mark in self._marks if not mark.is_lasting)
        if not content and not signs and not is_table:
            return
        self.rows.append("".join(mark.sign for mark in self._marks) + content)
        for mark in self._marks:
            if not mark.is_lasting:
                mark.sign = ""


def rows(text: str) -> list[str]:
    """The rows that we make of *text*, without spaces, empty rows and lines under the head of a table."""
    terminal = replace(Window.recorded(is_tty=True, width=WIDTH), repaints=False)
    writer = MarkdownWriter(terminal)
    writer.text(text)
    writer.end()
    assert isinstance(terminal.out, io.StringIO)
    lines = (re.sub(r"\s|─", "", line) for line in shown(terminal.out.getvalue(), width=WIDTH))
    return [re.sub("-{9,}", "---", line) for line in lines if line.strip("▌")]


@pytest.mark.no_cover
@settings(max_examples=400, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(["", "", *LINES]), max_size=7))
def test_the_blocks_are_those_of_another_parser(lines: list[str]) -> None:
    text = "".join(f"{line}\n" for line in lines)

    assert rows(text) == Outline(text).rows


ENDLESS = {
    "paragraphs": ("", "Some *words* and `code`, [linked](https://example.org).\n\n"),
    "one paragraph": ("", "Some *words* and `code`, [linked](https://example.org). "),
    "one paragraph in lines": ("", "Some *words* and `code`, [linked](https://example.org),\n"),
    "one unfinished paragraph": ("**", "some words and [brackets ("),
    "one word": ("", "word"),
    "items": ("", "- an *item*\n  - one in it\n"),
    "loose items": ("", "1. an *item*\n\n   more of it\n\n"),
    "quote": ("", "> a quote\n> > in a quote\n>\n"),
    "code": ("```python\n", "def f(x): return '''a\n''' + x\n"),
    "one line of code": ("```python\n", "x = 1; "),
    "one string": ("```python\nx = '''\n", "return 1\n"),
    "rows": ("|a|b|\n|-|-|\n", "| a *cell* | another |\n"),
    "one row": ("|a|b|\n|-|-|\n", "| a cell "),
    "formula": ("$$\n", "x_1 + y_1\n"),
    "empty lines": ("a\n", "\n"),
    "empty lines in code": ("    code\n", "\n"),
    "marks": ("", "*_`[~$\\("),
    "nesting": ("", "> - "),
}


def stream(text: str) -> None:
    """Write *text* in pieces of four characters, four thousand a second, at a terminal that keeps nothing."""
    terminal = replace(Window.recorded(is_tty=True), out=Nowhere())
    now = 0.0
    writer = MarkdownWriter(terminal, clock=lambda: now)
    for at in range(0, len(text), 4):
        now += 0.00025
        writer.text(text[at : at + 4])
    writer.end()


class Nowhere(io.StringIO):
    """A stream that keeps nothing."""

    def write(self, text: str) -> int:
        return len(text)


def calls_in(work: Callable[[], None]) -> int:
    """How many functions are called, of Python and of its libraries in C."""
    count = 0

    def remember(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(remember)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.no_cover
@pytest.mark.parametrize("kind", ENDLESS)
def test_four_times_the_text_is_about_four_times_the_work(kind: str) -> None:
    head, unit = ENDLESS[kind]
    once, four_times = (head + unit * (size // len(unit)) for size in (4_000, 16_000))
    stream(once)  # what is loaded and cached once

    # Were each line looked at again with every later one, it would be sixteen times.
    assert calls_in(lambda: stream(four_times)) < 6 * calls_in(lambda: stream(once))


@pytest.mark.parametrize("kind", ENDLESS)
def test_no_more_is_kept_of_a_long_text_than_of_a_short_one(kind: str) -> None:
    head, unit = ENDLESS[kind]
    blocks = Blocks(Page(Window.recorded()))
    sizes = []
    blocks.read(head)
    for _ in range(12):
        blocks.read(unit * (2_000 // len(unit)))
        blocks.rows.clear()
        sizes.append(len(pickle.dumps(vars(blocks) | {"page": None})))

    assert max(sizes[6:]) < 1.5 * max(sizes[:6])
    assert max(sizes) < 40_000


@pytest.mark.parametrize("kind", ENDLESS)
def test_a_preview_changes_nothing(kind: str) -> None:
    head, unit = ENDLESS[kind]
    blocks = Blocks(Page(Window.recorded()))

    for size in (1, 60, 600):
        blocks.read(head + unit * (size // len(unit)))
        before = deepcopy(state_of(blocks))
        blocks.preview()
        assert state_of(blocks) == before


def state_of(blocks: Blocks) -> list[object]:
    """All that is kept of the text so far."""
    kept = {**vars(blocks), "page": None}
    leaf = kept.pop("_leaf")
    return [kept, type(leaf), leaf and vars(leaf)]
