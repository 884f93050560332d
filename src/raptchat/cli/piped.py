"""Read what is piped in: text, or a clear error."""

import io
import select
import sys

from raptchat.errors import UsageError
from raptchat.render import Terminal

# A question of this size is a file piped in by mistake.
_MOST_BYTES = 64 * 1024 * 1024
_SILENCE_SECONDS = 1.0


def read_piped(terminal: Terminal) -> str:
    """All of standard input as text, and a line on standard error when nothing comes for a second.

    Raises `UsageError` for what is not UTF-8, with its position, and for more than 64 MiB.
    """
    say_if_silent(terminal, "--no-stdin does not read it")
    data = read_bytes(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise UsageError("standard input holds more than 64 MiB", hint="send less")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"standard input is not UTF-8 text: byte 0x{data[error.start]:02x} at position {error.start}",
            hint="convert it, for example with iconv -t UTF-8",
        ) from None


def read_bytes(most: int) -> bytes:
    """The first *most* bytes of standard input; none when it is closed. `UsageError` when it cannot be read."""
    if sys.stdin is None or sys.stdin.closed:
        return b""
    try:
        return sys.stdin.buffer.read(most)
    except OSError as error:
        raise UsageError(f"standard input cannot be read: {error.strerror or error}") from None


def say_if_silent(terminal: Terminal, way_out: str) -> None:
    """Say on standard error that standard input is waited for, once nothing came for a second."""
    try:
        readable, _, _ = select.select([sys.stdin], [], [], _SILENCE_SECONDS)
    except (io.UnsupportedOperation, TypeError, ValueError, OSError):
        return  # not a real file: there is nothing to wait for
    if not readable:
        ways = "end it with Ctrl-D" if terminal.in_is_tty else way_out
        terminal.say(f"waiting for standard input; {ways}")
