"""Where text goes, and what that place can show.

Results go to standard output, everything else to standard error. A file of this package writes through
`Terminal` and nothing in raptchat writes to a terminal another way; `rich` is loaded only when one is drawn on.
"""

import io
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, Self, TextIO

from raptchat.errors import OutputError
from raptchat.outside import for_pipe, safe_line

Colors = Literal["standard", "256", "truecolor"]

DEFAULT_SIZE = os.terminal_size((80, 24))
# Below this no table and no code block can be laid out; a terminal then wraps the lines itself.
_NARROWEST = 20

_DUMB = {"", "dumb", "unknown"}


@dataclass(frozen=True, slots=True)
class Terminal:
    """The process's three streams: which of them a person sees, how wide that is, and what it can do.

    *out_colors* and *err_colors* are `None` where no escape sequence for a style may be written; *repaints* says
    that the cursor may be moved on standard output, and *err_repaints* on standard error. *width* and *height*
    are in cells.
    """

    out: TextIO
    err: TextIO
    out_is_tty: bool
    err_is_tty: bool
    in_is_tty: bool
    width: int
    height: int
    out_colors: Colors | None
    err_colors: Colors | None
    repaints: bool
    err_repaints: bool

    @classmethod
    def of_process(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """The streams of this process as they are now; a missing one is taken for a closed one.

        `NO_COLOR` wins over `FORCE_COLOR` and both over what the stream is (no-color.org, force-color.org);
        `TERM=dumb` is not repainted; `COLUMNS` and `LINES` win over the measured size.
        """
        out, err = _stream(sys.stdout), _stream(sys.stderr)
        if isinstance(out, io.TextIOWrapper) and not out.closed:
            # A locale that lacks a character must not end a reply half-way; standard error never raises anyway.
            out.reconfigure(errors="replace")
        out_is_tty, err_is_tty = _is_tty(out), _is_tty(err)
        size = _size(environ, out, err)
        return cls(
            out=out,
            err=err,
            out_is_tty=out_is_tty,
            err_is_tty=err_is_tty,
            in_is_tty=_is_tty(_stream(sys.stdin)),
            width=max(size.columns, _NARROWEST),
            height=size.lines,
            out_colors=_colors(environ, is_tty=out_is_tty),
            err_colors=_colors(environ, is_tty=err_is_tty),
            repaints=out_is_tty and environ.get("TERM", "") not in _DUMB,
            err_repaints=err_is_tty and environ.get("TERM", "") not in _DUMB,
        )

    @classmethod
    def recorded(cls, *, is_tty: bool = False, width: int = 80, height: int = 24) -> Self:
        """One that keeps what is written in `out` and `err`, for tests; as a terminal it has colours."""
        colors: Colors | None = "truecolor" if is_tty else None
        return cls(
            out=io.StringIO(),
            err=io.StringIO(),
            out_is_tty=is_tty,
            err_is_tty=is_tty,
            in_is_tty=is_tty,
            width=width,
            height=height,
            out_colors=colors,
            err_colors=colors,
            repaints=is_tty,
            err_repaints=is_tty,
        )

    def size_now(self) -> os.terminal_size:
        """How large the terminal is at this moment, in cells: its window may have been resized."""
        return _size(os.environ, self.out, self.err, unknown=os.terminal_size((self.width, self.height)))

    def write(self, text: str) -> None:
        """Write a result to standard output, at once, as it is: what comes from outside was cleaned before.

        `BrokenPipeError` rises as it is, for the caller to end quietly; any other failure is an `OutputError`.
        """
        try:
            self.out.write(text)
            self.out.flush()
        except BrokenPipeError:
            self.abandon()
            raise
        except OSError as error:
            self.abandon()
            raise OutputError(f"standard output cannot be written: {error.strerror or error}") from None
        except ValueError:
            if not self.out.closed:
                raise
            raise OutputError("standard output cannot be written: it is closed") from None

    def write_line(self, text: str) -> None:
        """Write a result of one line, *text* made safe for a terminal or a pipe, whichever it is."""
        self.write(f"{safe_line(text) if self.out_is_tty else for_pipe(text)}\n")

    def finish(self) -> None:
        """Write what is still buffered; where that fails, the exit code must still be the command's own."""
        for stream in (self.out, self.err):
            try:
                stream.flush()
            except (OSError, ValueError):
                _let_go(stream)

    def abandon(self) -> None:
        """Let go of standard output: what is still buffered must not fail once more at exit."""
        _let_go(self.out)

    def say(self, *lines: str) -> None:
        """One note on standard error, each of *lines* made safe; a broken standard error never raises."""
        self.write_error("".join(f"{safe_line(line)}\n" for line in lines))

    def write_error(self, text: str) -> None:
        """Write to standard error, at once, as it is; what cannot be written is dropped."""
        # ValueError: the stream is closed, or its encoding lacks a character. There is no place left to say so.
        with suppress(OSError, ValueError):
            self.err.write(text)
            self.err.flush()


def _let_go(stream: TextIO) -> None:
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


class Page(io.StringIO):
    """A text that claims the encoding it will be written in: lines are then drawn in ASCII if they must be."""

    def __init__(self, encoding: str) -> None:
        super().__init__()
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """What it will be written in."""
        return self._encoding


def encoding_of(stream: TextIO) -> str:
    """What *stream* is written in; UTF-8 where it does not say."""
    return getattr(stream, "encoding", None) or "utf-8"


def can_show(text: str, stream: TextIO) -> bool:
    """Whether the encoding of *stream* has the characters of *text*."""
    try:
        text.encode(encoding_of(stream))
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _stream(stream: TextIO | None) -> TextIO:
    if stream is None:
        stream = io.StringIO()
        stream.close()
    return stream


def _is_tty(stream: TextIO) -> bool:
    return not stream.closed and stream.isatty()


def _colors(environ: Mapping[str, str], *, is_tty: bool) -> Colors | None:
    term = environ.get("TERM", "")
    may_be_coloured = environ.get("FORCE_COLOR") or (is_tty and term not in _DUMB)
    if environ.get("NO_COLOR") or not may_be_coloured:
        return None
    if environ.get("COLORTERM", "").lower() in {"truecolor", "24bit"}:
        return "truecolor"
    return "256" if term.endswith("256color") else "standard"


def _size(
    environ: Mapping[str, str], *streams: TextIO, unknown: os.terminal_size = DEFAULT_SIZE
) -> os.terminal_size:
    columns, lines = (_number(environ.get(name, "")) for name in ("COLUMNS", "LINES"))
    measured = unknown
    for stream in streams:
        with suppress(OSError, ValueError):
            size = os.get_terminal_size(stream.fileno())
            # A serial line and some containers know no size and answer 0.
            if size.columns and size.lines:
                measured = size
                break
    return os.terminal_size((columns or measured.columns, lines or measured.lines))


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
