"""The modes of a terminal, such as whether it shows what is typed (termios)."""

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
        descriptor = stream.fileno()
        before = termios.tcgetattr(descriptor)
    except (OSError, ValueError, termios.error):
        yield
        return
    try:
        if echo is not None:
            local = before[3] | termios.ECHO if echo else before[3] & ~termios.ECHO
            _set(descriptor, [*before[:3], local, *before[4:]])
        yield
    finally:
        _set(descriptor, before)


def _set(descriptor: int, modes: list[Any]) -> None:
    with suppress(OSError, termios.error):  # it is gone
        # In the background the terminal is another's, and this process would be stopped (SIGTTOU).
        if os.tcgetpgrp(descriptor) == os.getpgrp():
            termios.tcsetattr(descriptor, termios.TCSANOW, modes)
