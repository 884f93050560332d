"""A reply in every format: whole, once, in order, however it is cut and however it ends."""

import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from time import process_time

import pyte
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyte.screens import Char, StaticDefaultDict
from rich.markdown import Markdown
from screen import shown

from raptchat.errors import GatewayError, OutputError, RaptchatError, StoreError
from raptchat.records import (
    Chunk,
    ContentChunk,
    DoneChunk,
    ReasoningChunk,
    RetryChunk,
    Usage,
)
from raptchat.render import Terminal
from raptchat.render.drawing import drawn
from raptchat.render.markdown import MarkdownWriter
from raptchat.render.reply import ReplyFormat, show

SAMPLE = """\
# Cells

A cell has a *membrane* and **organelles**; see [the atlas](https://example.org/a?b=1 "The Atlas").
A second line of the same paragraph, with `code` and ~~errors~~.

Before a rule
***
- one
- two, which is long enough to be folded on a narrow screen, as anybody can see
  1. nested
  2. list
* another list

7. seven
8. eight

> a quote
> > in a quote

```python
def grow(cell: str) -> str:

    return cell * 2
```

| part | size |
|:-----|-----:|
| 核   | 6 µm |
| mitochondrion | 1 µm |

Heading below
---
    indented code

<b>no html</b> and ![a picture](cell.png) 👩‍🔬 [ref][1]

[1]: https://example.org/ref
"""

END = DoneChunk(content="", usage=Usage(), model="m", finish_reason="stop")


def pieces(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def contents(parts: Sequence[str]) -> Iterator[Chunk]:
    yield from map(ContentChunk, parts)
    yield END


def written(terminal: Terminal) -> str:
    assert isinstance(terminal.out, io.StringIO)
    return terminal.out.getvalue()


def said(terminal: Terminal) -> str:
    assert isinstance(terminal.err, io.StringIO)
    return terminal.err.getvalue()


def streamed(parts: Sequence[str], terminal: Terminal) -> str:
    """What is written when the tail is painted after each of *parts*."""
    now = 0.0
    writer = MarkdownWriter(terminal, clock=lambda: now)
    for part in parts:
        now += 1
        writer.text(part)
    writer.end()
    return written(terminal)


def at_once(text: str, *, width: int = 80) -> str:
    terminal = Terminal.recorded(is_tty=True, width=width)
    show(contents([text]), terminal, ReplyFormat.MARKDOWN, stream=False)
    return written(terminal)


@pytest.mark.parametrize("stream", [True, False])
def test_into_a_pipe_goes_the_text_alone_with_a_newline_at_its_end(*, stream: bool) -> None:
    terminal = Terminal.recorded()

    last = show(contents(["Hel", "lo\x1b[31m\tyou"]), terminal, ReplyFormat.PLAIN, stream=stream)

    assert written(terminal) == "Hello[31m\tyou\n"
    assert said(terminal) == ""
    assert last is END


def test_a_newline_that_is_there_is_not_doubled_and_nothing_stays_nothing() -> None:
    ended, empty = Terminal.recorded(), Terminal.recorded()

    show(contents(["Hello\n", ""]), ended, ReplyFormat.PLAIN)
    show(contents([]), empty, ReplyFormat.PLAIN)

    assert written(ended) == "Hello\n"
    assert written(empty) == ""


def test_plain_at_a_terminal_shows_control_characters_as_pictures() -> None:
    terminal = Terminal.recorded(is_tty=True)

    show(contents(["a\x1b[2J", "b"]), terminal, ReplyFormat.PLAIN)

    assert written(terminal) == "a␛[2Jb\n"


def test_raw_is_exactly_what_the_model_wrote() -> None:
    terminal = Terminal.recorded()

    show(contents(["a\x1b[2J\r\n", "\x00b"]), terminal, ReplyFormat.RAW)

    assert written(terminal) == "a\x1b[2J\r\n\x00b"


def test_each_piece_is_written_when_it_comes() -> None:
    terminal = Terminal.recorded()
    seen = []

    def chunks() -> Iterator[Chunk]:
        for word in ["one ", "two ", "three"]:
            yield ContentChunk(word)
            seen.append(written(terminal))

    show(chunks(), terminal, ReplyFormat.PLAIN)

    assert seen == ["one ", "one two ", "one two three"]


def test_without_stream_nothing_is_written_before_the_end() -> None:
    terminal = Terminal.recorded()
    seen = []

    def chunks() -> Iterator[Chunk]:
        for word in ["one ", "two"]:
            yield ContentChunk(word)
            seen.append(written(terminal))

    show(chunks(), terminal, ReplyFormat.PLAIN, stream=False)

    assert seen == ["", ""]
    assert written(terminal) == "one two\n"


def test_json_writes_nothing_itself_and_returns_the_end() -> None:
    terminal = Terminal.recorded()

    assert show(contents(["Hello"]), terminal, ReplyFormat.JSON) is END
    assert written(terminal) == said(terminal) == ""


def test_a_reply_that_never_ended_returns_none() -> None:
    assert show([ContentChunk("Hello")], Terminal.recorded(), ReplyFormat.PLAIN) is None


def test_another_try_is_said_on_stderr_unless_quiet() -> None:
    loud, quiet = Terminal.recorded(), Terminal.recorded()
    chunks: list[Chunk] = [
        RetryChunk("the gateway is busy (503\x1b)", 0.52),
        RetryChunk("again", 2.0),
        ContentChunk("Hi"),
        END,
    ]

    show(chunks, loud, ReplyFormat.PLAIN)
    show(chunks, quiet, ReplyFormat.PLAIN, quiet=True)

    assert said(loud) == "the gateway is busy (503␛): trying again in 0.5 s\nagain: trying again in 2 s\n"
    assert said(quiet) == ""
    assert written(loud) == written(quiet) == "Hi\n"


@pytest.mark.parametrize("how", [ReplyFormat.PLAIN, ReplyFormat.RAW, ReplyFormat.MARKDOWN])
def test_what_the_model_thought_is_not_part_of_the_text(how: ReplyFormat) -> None:
    terminal = Terminal.recorded()

    show([ReasoningChunk("hm"), ContentChunk("Hi\n"), END], terminal, how)

    assert written(terminal) == "Hi\n"


def test_json_lines_are_one_ascii_object_an_event() -> None:
    terminal = Terminal.recorded()
    chunks: list[Chunk] = [ReasoningChunk("hm"), ContentChunk("a\x9b\n"), ContentChunk(""), ContentChunk("é"), END]

    show(chunks, terminal, ReplyFormat.JSONL, done=lambda last: {"model": last.model})

    assert written(terminal).isascii()
    assert [json.loads(line) for line in written(terminal).splitlines()] == [
        {"type": "reasoning", "text": "hm"},
        {"type": "content", "text": "a\x9b\n"},
        {"type": "content", "text": "é"},
        {"type": "done", "model": "m"},
    ]


def test_json_lines_end_without_fields_when_nobody_gives_them() -> None:
    terminal = Terminal.recorded()

    show([END], terminal, ReplyFormat.JSONL)

    assert written(terminal) == '{"type": "done"}\n'


def broken_by(raised: BaseException, *before: Chunk) -> Iterator[Chunk]:
    yield from before
    raise raised


@pytest.mark.parametrize(
    ("raised", "code", "status"),
    [
        (GatewayError("the reply was cut off", hint="try again", retryAfter=3), "GATEWAY_ERROR", 502),
        (KeyboardInterrupt(), "INTERRUPTED", 499),
        (RuntimeError("with a secret in it"), "INTERNAL", 500),
    ],
)
def test_json_lines_end_in_an_error_line(raised: BaseException, code: str, status: int) -> None:
    terminal = Terminal.recorded()

    with pytest.raises(type(raised)):
        show(broken_by(raised, ContentChunk("Hi")), terminal, ReplyFormat.JSONL)

    first, last = map(json.loads, written(terminal).splitlines())
    assert first == {"type": "content", "text": "Hi"}
    assert (last["type"], last["code"], last["statusCode"]) == ("error", code, status)
    assert "secret" not in written(terminal)
    if isinstance(raised, RaptchatError):
        assert last["error"] == "the reply was cut off"
        assert (last["hint"], last["retryAfter"]) == ("try again", 3)


def test_json_lines_stay_empty_when_it_fails_before_anything_came() -> None:
    terminal = Terminal.recorded()

    with pytest.raises(GatewayError):
        show(broken_by(GatewayError("no")), terminal, ReplyFormat.JSONL)

    assert written(terminal) == ""


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("raised", [GatewayError("cut off"), KeyboardInterrupt(), ValueError("a bug")])
@pytest.mark.parametrize("how", [ReplyFormat.PLAIN, ReplyFormat.MARKDOWN])
def test_what_had_arrived_is_written_whole_before_an_error_rises(
    *, how: ReplyFormat, raised: BaseException, stream: bool
) -> None:
    terminal = Terminal.recorded(is_tty=True)

    with pytest.raises(type(raised)) as caught:
        show(broken_by(raised, *map(ContentChunk, ["One\n\nTw", "o ", "three"])), terminal, how, stream=stream)

    assert caught.value is raised
    assert shown(written(terminal)) == ["One", "", "Two three"]
    assert written(terminal).endswith("\n")


def test_an_error_after_the_end_still_leaves_the_reply_whole() -> None:
    terminal = Terminal.recorded()

    with pytest.raises(StoreError):
        show(broken_by(StoreError("disk full"), ContentChunk("Hi"), END), terminal, ReplyFormat.MARKDOWN)

    assert written(terminal) == "Hi\n"


class ClosedPipe(io.StringIO):
    """A pipe whose reader has gone."""

    def write(self, text: str) -> int:
        raise BrokenPipeError


@pytest.mark.parametrize("how", [ReplyFormat.PLAIN, ReplyFormat.RAW, ReplyFormat.MARKDOWN, ReplyFormat.JSONL])
def test_a_closed_pipe_rises_as_it_is(how: ReplyFormat) -> None:
    terminal = replace(Terminal.recorded(), out=ClosedPipe())

    with pytest.raises(BrokenPipeError):
        show(contents(["Hello\n\n", "you"]), terminal, how)


def test_a_closed_pipe_does_not_hide_why_it_ended() -> None:
    terminal = replace(Terminal.recorded(), out=ClosedPipe())

    with pytest.raises(GatewayError):
        show(broken_by(GatewayError("no"), ContentChunk("a")), terminal, ReplyFormat.PLAIN, stream=False)


class FullDisk(io.StringIO):
    """A file on a disk without space."""

    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


def test_a_full_disk_is_an_output_error() -> None:
    terminal = replace(Terminal.recorded(), out=FullDisk())

    with pytest.raises(OutputError, match="cannot be written: No space left on device"):
        show(contents(["Hello"]), terminal, ReplyFormat.PLAIN)


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("size", [1, 7, 160, 10_000])
def test_painting_it_over_and_over_leaves_what_drawing_it_once_does(width: int, size: int) -> None:
    streaming = streamed(pieces(SAMPLE, size), Terminal.recorded(is_tty=True, width=width, height=12))

    assert shown(streaming, width=width, height=12) == shown(at_once(SAMPLE, width=width), width=width, height=12)


LINES = ["", "", "a", "- a", "* b", "*", "**bold**", "1. x", "7) y", "> q", "```", "~~~py", "    code", "  - in"]
LINES += ["---", "***", "===", "#", "## h", "a | b", "--|--", "[x](u)", "[x]: /u", "<div>", "</kbd>", "\\"]


@settings(max_examples=80, deadline=None, database=None)
@given(lines=st.lists(st.sampled_from(LINES), max_size=12), size=st.integers(1, 9), ended=st.booleans())
def test_any_markdown_cut_anywhere_ends_the_same(*, lines: list[str], size: int, ended: bool) -> None:
    text = "\n".join(lines) + ("\n" if ended else "")

    streaming = streamed(pieces(text, size), Terminal.recorded(is_tty=True, width=40, height=8))

    assert shown(streaming, width=40, height=8) == shown(at_once(text, width=40), width=40, height=8)


@settings(max_examples=150, deadline=None, database=None)
@given(text=st.text(st.sampled_from("ab1.)-*+_`~>#|:[]()!<&;\\ \n\t\x1b\u202e核"), max_size=60))
def test_any_text_is_drawn_and_no_letter_of_it_is_lost(text: str) -> None:
    page = at_once(text, width=40)

    # A backtick's line may carry the name of a language, which is markup.
    if "```" not in text and "~~~" not in text:
        assert sorted(re.findall("[ab核]", plain(page))) == sorted(re.findall("[ab核]", text))


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


@pytest.mark.parametrize(
    "nested",
    ["> " * 30 + "deep", "".join("  " * n + f"- level{n}\n" for n in range(14)), "1. " * 12 + "deep"],
)
def test_what_is_nested_too_deeply_is_shown_as_it_was_written(nested: str) -> None:
    words = re.findall(r"[a-z]+\d*", nested)

    page = plain(at_once(nested, width=40))

    assert [word for word in words if word not in page] == []


def test_a_table_with_more_columns_than_fit_keeps_every_cell() -> None:
    names = [f"c{n:02}" for n in range(30)]
    rule = "|".join(["--"] * 30)
    text = f"{'|'.join(names)}\n{rule}\n{'|'.join(name.upper() for name in names)}\n"

    page = plain(at_once(text, width=40))

    assert [name for name in names if name not in page or name.upper() not in page] == []


def test_a_long_word_in_a_table_goes_on_in_the_next_line() -> None:
    page = plain(at_once(f"| a | b |\n|---|---|\n| {'x' * 100} | y |\n", width=40))

    assert page.count("x") == 100
    assert "…" not in page


def test_plain_markdown_looks_as_rich_draws_it() -> None:
    text = "One *two*.\n\n## Three\n\n- four\n- five\n\nSix\n\n1. seven\n"
    terminal = Terminal.recorded(is_tty=True)

    ours = shown(at_once(text))

    assert ours == shown(drawn(Markdown(text), width=80, colors=None, stream=terminal.out))


def test_links_show_their_url_and_pictures_and_titles_are_not_lost() -> None:
    text = '[a](http://x "t") ![b *c*](d.png "e") ![](f.png) <https://g.org> [r][1] [![i](j)](k)\n\n[1]: /u "v"\n'

    page = shown(at_once(text, width=200), width=200)

    assert page == [
        "a (http://x) “t” b c (d.png) “e” image (f.png) https://g.org [r][1] i (j) (k)",
        "",
        '[1]: /u "v"',
    ]


def test_html_is_text_and_an_unmatched_tag_breaks_nothing() -> None:
    assert shown(at_once("a <kbd>b</kbd></kbd>\n\n<script>x</script>\n")) == [
        "a <kbd>b</kbd></kbd>",
        "",
        "<script>x</script>",
    ]


def test_an_entity_does_not_bring_back_what_was_cleaned_away() -> None:
    page = at_once('&#x202e;&#x2028; [a](b "&#x202e;") `&#27;` &amp; &lt;\n\n```&#x202e;\n&#x202e;\n```\n')

    assert "\u202e" not in page
    assert "\u2028" not in page
    assert "& <" in page


def test_ordered_lists_keep_their_numbers_when_the_stream_cuts_them() -> None:
    text = "5. five\n6. six\n\nbetween\n\n7. seven\n"

    page = shown(streamed(pieces(text, 3), Terminal.recorded(is_tty=True)))

    assert page == [" 5 five", " 6 six", "", "between", "", " 7 seven"]


def test_a_finished_block_is_written_once_and_the_cursor_never_goes_above_the_tail() -> None:
    terminal = Terminal.recorded(is_tty=True, height=10)
    text = "First paragraph.\n\n" + "".join(f"Line {n} of the tail.  \n" for n in range(30))

    output = streamed(pieces(text, 5), terminal)

    finished = output.index("First paragraph.\n", output.rindex("\x1b[?7lFirst") + 12)
    assert "First" not in output[finished + 1 :]
    assert max(int(up) for up in re.findall(r"\x1b\[(\d+)A", output)) == 8


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


def test_the_screen_of_tmux_notices_an_erase_from_its_first_cell() -> None:
    screen = TmuxScreen(20, 4, history=100, ratio=0.5)

    pyte.Stream(screen).feed("one\r\ntwo\x1b[H\x1b[Jtwo")

    assert lines_of(screen) == ["one", "two", "two"]


@pytest.mark.parametrize("height", [4, 5, 6, 10, 24])
def test_no_line_is_doubled_in_the_scrollback_of_tmux(height: int) -> None:
    text = "".join(f"Line {n} of the tail.  \n" for n in range(3 * height)) + "\nThe end.\n"
    screen = TmuxScreen(80, height, history=10_000, ratio=0.5)

    output = "$ raptchat chat\n" + streamed(pieces(text, 7), Terminal.recorded(is_tty=True, height=height))
    pyte.Stream(screen).feed(output.replace("\n", "\r\n"))

    assert lines_of(screen) == [
        "$ raptchat chat",
        *(f"Line {n} of the tail." for n in range(3 * height)),
        "",
        "The end.",
    ]


def lines_of(screen: pyte.HistoryScreen) -> list[str]:
    """The lines in the scrollback and on the screen, without the empty ones at the end."""
    above = ["".join(line[x].data for x in range(screen.columns)) for line in screen.history.top]
    return "\n".join(line.rstrip() for line in [*above, *screen.display]).rstrip("\n").split("\n")


@pytest.mark.parametrize("height", [1, 2, 3])
def test_a_screen_without_room_for_a_tail_gets_finished_blocks_only(height: int) -> None:
    output = streamed(pieces(SAMPLE, 5), Terminal.recorded(is_tty=True, height=height))

    assert not re.search(r"\x1b\[\d*A", output)
    assert output == at_once(SAMPLE)


def test_into_a_pipe_markdown_is_finished_blocks_without_any_escape_sequence() -> None:
    terminal = Terminal.recorded()
    seen = []
    now = 0.0
    writer = MarkdownWriter(terminal, clock=lambda: now)
    for part in ["# One\n", "\nTwo **b", "old**\n", "\nThr", "ee"]:
        now += 1
        writer.text(part)
        seen.append(plain(written(terminal)).split())
    writer.end()

    assert "\x1b" not in written(terminal)
    assert seen == [[], [], ["One"], ["One"], ["One"]]
    assert written(terminal).split() == ["One", "Two", "bold", "Three"]


def test_without_colours_nothing_is_styled() -> None:
    terminal = replace(Terminal.recorded(is_tty=True), out_colors=None, repaints=False)

    assert "\x1b" not in streamed(pieces(SAMPLE, 50), terminal)
    assert "membrane" in written(terminal)


def test_it_is_painted_at_most_ten_times_a_second() -> None:
    terminal = Terminal.recorded(is_tty=True)
    now = 0.0
    writer = MarkdownWriter(terminal, clock=lambda: now)
    for word in ["word "] * 1000:
        now += 0.001
        writer.text(word)
    writer.end()

    assert 8 <= written(terminal).count("\x1b[?7l") <= 11


def test_painting_that_is_slow_is_done_less_often() -> None:
    terminal = Terminal.recorded(is_tty=True)
    ticks = iter(range(10_000))
    # Each look at the clock takes half a second, so a painting does.
    writer = MarkdownWriter(terminal, clock=lambda: next(ticks) / 2)
    for word in ["word "] * 100:
        writer.text(word)

    assert written(terminal).count("\x1b[?7l") == 25


def test_eight_thousand_tokens_at_full_speed_cost_well_under_three_seconds() -> None:
    words = (SAMPLE * 60)[:32_000]
    before = process_time()

    show(contents(pieces(words, 4)), Terminal.recorded(is_tty=True), ReplyFormat.MARKDOWN)

    assert process_time() - before < 3
