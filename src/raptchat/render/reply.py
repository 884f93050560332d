"""A reply as it arrives: plain, as Markdown, or as lines of JSON.

However it ends, what had arrived is on the screen or in the pipe before the exception rises on, and a terminal is
left at the beginning of a line.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from enum import Enum

from raptchat.errors import OutputError
from raptchat.outside import for_pipe, safe
from raptchat.records import Chunk, ContentChunk, DoneChunk, ReasoningChunk, RetryChunk
from raptchat.render import Terminal
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


def show(
    chunks: Iterable[Chunk],
    terminal: Terminal,
    how: ReplyFormat,
    *,
    stream: bool = True,
    quiet: bool = False,
    done: Describe | None = None,
) -> DoneChunk | None:
    """Write the reply in *chunks* as it arrives, or all at its end without *stream*; return the end, if it came.

    *done* gives the fields of the `done` line of `JSONL`. That a request is sent again is said on standard error
    unless *quiet*. What *chunks* raises rises on, and so do `BrokenPipeError` and `OutputError`.
    """
    writer = _writer(terminal if stream else replace(terminal, repaints=False), how, done)
    held: list[str] = []
    last: DoneChunk | None = None
    try:
        for chunk in chunks:
            match chunk:
                case ContentChunk(text) if stream:
                    writer.text(text)
                case ContentChunk(text):
                    held.append(text)
                case ReasoningChunk(text):
                    writer.reasoning(text)
                case RetryChunk(reason, seconds) if not quiet:
                    terminal.say(f"{reason}: trying again in {round(seconds, 1):g} s")
                case DoneChunk():
                    last = chunk
    except BaseException as raised:
        # A pipe that is broken says so once more here, and must not hide what is rising.
        with suppress(OSError, OutputError):
            writer.text("".join(held))
            writer.fail(raised)
        raise
    writer.text("".join(held))
    if last is not None:
        writer.done(last)
    writer.end()
    return last


def _writer(terminal: Terminal, how: ReplyFormat, done: Describe | None) -> Writer:
    match how:
        case ReplyFormat.PLAIN:
            return TextWriter(terminal, safe if terminal.out_is_tty else for_pipe)
        case ReplyFormat.RAW:
            return TextWriter(terminal, safe if terminal.out_is_tty else str, ends_line=False)
        case ReplyFormat.MARKDOWN:
            from raptchat.render.markdown import MarkdownWriter

            return MarkdownWriter(terminal)
        case ReplyFormat.JSONL:
            return JsonLinesWriter(terminal, done)
        case _:
            return Writer()
