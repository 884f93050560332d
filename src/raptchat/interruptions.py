"""Signals that end a command, held back while something must not be half done."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

TERMINATIONS = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_HELD_BACK = (signal.SIGINT, *TERMINATIONS)


@contextmanager
def signals_held_back() -> Iterator[None]:
    """A Ctrl-C or a SIGTERM waits until what arrived is kept: the store's patience bounds it."""
    if threading.current_thread() is not threading.main_thread():
        yield  # no handler runs in another thread
        return
    # No mask: it holds for one thread, and where another one takes the signal the handler runs here all the same.
    came: list[int] = []
    # One that is not Python's own (`None`) could not be put back.
    handlers = {number: handler for number in _HELD_BACK if (handler := signal.getsignal(number)) is not None}
    try:
        for number in handlers:
            signal.signal(number, lambda number, _: came.append(number))
        yield
    finally:
        # SIGINT last: an impatient Ctrl-C in between must not leave the others without their handlers.
        for number, handler in reversed(handlers.items()):
            signal.signal(number, handler)
        if came:
            # One of them rises; of several the one that means to end the program.
            signal.raise_signal(next((late for late in came if late != signal.SIGINT), came[0]))
