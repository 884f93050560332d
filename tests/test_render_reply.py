"""A reply in every format: whole, once, in order, however it is cut and however it ends."""

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from screen import Recording, shown

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
from raptchat.render.reply import ReplyFormat, show

END = DoneChunk(content="", usage=Usage(), model="m", finish_reason="stop")


def contents(parts: Sequence[str]) -> Iterator[Chunk]:
    yield from map(ContentChunk, parts)
    yield END


def written(terminal: Terminal) -> str:
    assert isinstance(terminal.out, io.StringIO)
    return terminal.out.getvalue()


def said(terminal: Terminal) -> str:
    assert isinstance(terminal.err, io.StringIO)
    return terminal.err.getvalue()


@pytest.mark.parametrize("stream", [True, False])
def test_into_a_pipe_goes_the_text_alone_with_a_newline_at_its_end(*, stream: bool) -> None:
    terminal = Terminal.recorded()

    last = show(contents(["Hel", "lo\x1b[31m\tyou"]), terminal, ReplyFormat.PLAIN, stream=stream)

    assert written(terminal) == "Hello[31m\tyou\n"
    assert said(terminal) == ""
    assert last is END


def test_a_reply_that_is_held_is_written_at_once_as_processes_may_share_a_pipe() -> None:
    pipe = Recording()
    show(contents(["one\n", "two"]), replace(Terminal.recorded(), out=pipe), ReplyFormat.PLAIN, stream=False)

    assert pipe.writes == ["one\ntwo\n"]


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
