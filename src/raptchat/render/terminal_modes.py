"""The modes of a terminal, such as whether it shows what is typed (termios), and whose it is now."""

import os
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO


@contextmanager
def modes_restored(stream: TextIO, *, echo: bool | None = None) -> Iterator[None]:
    """Afterwards the terminal behind *stream* is as before; meanwhile *echo* says whether it shows what is typed.

    What is typed and not shown waits for whoever reads next. Where there is no terminal nothing is done.
    """
    try:
        before = termios.tcgetattr(stream.fileno())
    except (OSError, ValueError, termios.error):
        yield
        return
    try:
        if echo is not None:
            local = before[3] | termios.ECHO if echo else before[3] & ~termios.ECHO
            _set(stream, [*before[:3], local, *before[4:]])
        yield
    finally:
        _set(stream, before)


def in_foreground(stream: TextIO) -> bool:
    """Whether the terminal behind *stream* is this process's to paint on, and not a shell's above it."""
    with suppress(OSError, ValueError, AttributeError):  # no controlling terminal; or Windows, without jobs
        return os.tcgetpgrp(stream.fileno()) == os.getpgrp()
    return True


def _set(stream: TextIO, modes: list[Any]) -> None:
    # In the background the terminal is another's, and this process would be stopped (SIGTTOU).
    if in_foreground(stream):
        with suppress(OSError, ValueError, termios.error):  # it is gone
            termios.tcsetattr(stream.fileno(), termios.TCSANOW, modes)
