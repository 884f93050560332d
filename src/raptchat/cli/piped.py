"""Read what is piped in: text, or a clear error."""

import io
import select
import sys

from raptchat.errors import UsageError
from raptchat.render import Terminal

# A question of this size is a file piped in by mistake.
MOST_BYTES = 64 * 1024 * 1024
_SILENCE_SECONDS = 1.0


def read_piped(terminal: Terminal) -> str:
    """All of standard input as text, and a line on standard error when nothing comes for a second.

    Raises `UsageError` for what is not UTF-8, with its position, and for more than 64 MiB.
    """
    if sys.stdin is None or sys.stdin.closed:
        return ""
    _say_if_silent(terminal)
    data = sys.stdin.buffer.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise UsageError("standard input holds more than 64 MiB", hint="send less")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"standard input is not UTF-8 text: byte 0x{data[error.start]:02x} at position {error.start}",
            hint="convert it, for example with iconv -t UTF-8",
        ) from None


def _say_if_silent(terminal: Terminal) -> None:
    try:
        readable, _, _ = select.select([sys.stdin], [], [], _SILENCE_SECONDS)
    except (io.UnsupportedOperation, ValueError, OSError):
        return  # not a real file: there is nothing to wait for
    if not readable:
        ways = "end it with Ctrl-D" if terminal.in_is_tty else "--no-stdin does not read it"
        terminal.say(f"waiting for standard input; {ways}")
