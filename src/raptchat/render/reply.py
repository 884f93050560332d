"""A reply as it arrives: plain, as Markdown, or as lines of JSON.

However it ends, what had arrived is on the screen or in the pipe before the exception rises on, and a terminal is
left at the beginning of a line.
"""

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from enum import Enum

from raptchat.errors import OutputError
from raptchat.outside import for_pipe, safe
from raptchat.records import Chunk, ContentChunk, DoneChunk, ReasoningChunk, RetryChunk
from raptchat.render import Terminal
from raptchat.render.formats import duration
from raptchat.render.reasoning import FoldedReasoning, HiddenReasoning, ShownReasoning, WrittenReasoning
from raptchat.render.waiting import Waiting
from raptchat.render.writers import Describe, JsonLinesWriter, TextWriter, Writer


class ReplyFormat(Enum):
    """How a reply is shown.

    `RAW` is exactly what the model wrote, but at a terminal, which nothing of it may act on. `JSON` shows nothing:
    that is one document, which the caller writes at the end.
    """

    PLAIN = "plain"
    RAW = "raw"
    MARKDOWN = "markdown"
    JSON = "json"
    JSONL = "jsonl"


class ReasoningView(Enum):
    """How much a person sees of what the model thinks before it answers: all, nothing, or its last lines."""

    SHOW = "show"
    HIDE = "hide"
    FOLD = "fold"


def show(
    chunks: Iterable[Chunk],
    terminal: Terminal,
    how: ReplyFormat,
    *,
    stream: bool = True,
    quiet: bool = False,
    done: Describe | None = None,
    reasoning: ReasoningView = ReasoningView.FOLD,
    waiting: Waiting | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> DoneChunk | None:
    """Write the reply in *chunks* as it arrives, or all at its end without *stream*; return the end, if it came.

    *done* gives the fields of the `done` line of `JSONL`. That a request is sent again is said on standard error
    unless *quiet*. *waiting* goes before anything is written. What the model thinks once a part of its answer is
    written is not shown. What *chunks* raises rises on, and so do `BrokenPipeError` and `OutputError`.
    """
    waiting = waiting or Waiting(terminal, quiet=True)
    writer = _writer(terminal, how, done, stream=stream)
    thoughts = _thoughts(reasoning, terminal, writer, waiting, quiet=quiet, clock=clock)
    # One JSON document is written at the end, by the caller.
    showing = _Showing(writer, thoughts, waiting, stream=stream and how is not ReplyFormat.JSON, quiet=quiet)
    last: DoneChunk | None = None
    try:
        for chunk in chunks:
            if isinstance(chunk, DoneChunk):
                last = chunk
            else:
                showing.take(chunk)
    except BaseException as raised:
        showing.fail(raised)
        raise
    showing.end(last)
    return last


class _Showing:
    """A reply as far as it came: what of it is written, what is held, and what is on the terminal meanwhile."""

    def __init__(
        self, writer: Writer, thoughts: HiddenReasoning, waiting: Waiting, *, stream: bool, quiet: bool
    ) -> None:
        self._writer = writer
        self._thoughts = thoughts
        self._waiting = waiting
        self._stream = stream
        self._quiet = quiet
        self._held: list[str] = []
        self._begun = False

    def take(self, chunk: Chunk) -> None:
        """Show the next chunk that is not the end."""
        match chunk:
            case ContentChunk():
                self._text(chunk.text)
            case ReasoningChunk():
                self._thoughts.text(chunk.text)
            case RetryChunk(reason, seconds):
                self._waiting.note("pausing")
                if not self._quiet:
                    self._waiting.say(f"{reason}: trying again in {duration(seconds)}")

    def _text(self, text: str) -> None:
        if not self._stream:
            self._waiting.note("receiving")
            self._held.append(text)
        elif text:
            if not self._begun:
                self._begin()
            self._writer.text(text)

    def end(self, last: DoneChunk | None) -> None:
        """Write what is held, and the end."""
        try:
            self._begin()
            self._writer.remainder("".join(self._held))
            if last is not None:
                self._writer.done(last)
        finally:
            self._writer.end()

    def fail(self, raised: BaseException) -> None:
        """Write what had arrived before *raised*."""
        # A pipe that is broken says so once more here, and must not hide what is rising.
        with suppress(OSError, OutputError):
            try:
                self._begin()
                self._writer.remainder("".join(self._held))
            finally:
                self._writer.fail(raised)

    def _begin(self) -> None:
        """Make room for what is written on standard output."""
        if not self._begun:
            self._waiting.stop()
            self._thoughts.end()
            self._begun = True


def _thoughts(
    view: ReasoningView,
    terminal: Terminal,
    writer: Writer,
    waiting: Waiting,
    *,
    quiet: bool,
    clock: Callable[[], float],
) -> HiddenReasoning:
    if isinstance(writer, JsonLinesWriter):
        return WrittenReasoning(waiting, writer.reasoning)
    # It is no part of the reply: where nobody looks on it is not shown.
    looked_on = terminal.out_is_tty and terminal.err_is_tty
    if looked_on and view is ReasoningView.SHOW:
        return ShownReasoning(terminal, waiting, quiet=quiet, clock=clock)
    if looked_on and view is ReasoningView.FOLD and not quiet:
        return FoldedReasoning(terminal, waiting, clock=clock)
    return HiddenReasoning(waiting)


def _writer(terminal: Terminal, how: ReplyFormat, done: Describe | None, *, stream: bool) -> Writer:
    match how:
        case ReplyFormat.PLAIN:
            return TextWriter(terminal, safe if terminal.out_is_tty else for_pipe)
        case ReplyFormat.RAW:
            return TextWriter(terminal, safe if terminal.out_is_tty else str, ends_line=False)
        case ReplyFormat.MARKDOWN:
            from raptchat.render.markdown import MarkdownWriter
            from raptchat.render.markdown.live import LiveMarkdownWriter

            return LiveMarkdownWriter(terminal) if stream else MarkdownWriter(replace(terminal, repaints=False))
        case ReplyFormat.JSONL:
            return JsonLinesWriter(terminal, done)
        case _:
            return Writer()
