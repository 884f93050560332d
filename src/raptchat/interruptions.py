"""Signals that end a command: who is told of them, and what must not be half done when they come."""

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

TERMINATIONS = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_HELD_BACK = (signal.SIGINT, *TERMINATIONS)


@contextmanager
def handled_by(handler: Callable[[int, FrameType | None], object], numbers: Iterable[int]) -> Iterator[None]:
    """Meanwhile *handler* is told of the signals *numbers*, but for those that are ignored, as `nohup` asks.

    A program that is started meanwhile ignores none of them: it does not inherit a handler.
    """
    # One that is not Python's own (`None`) could not be put back.
    found = {number: signal.getsignal(number) for number in numbers}
    before = {number: old for number, old in found.items() if old not in (None, signal.SIG_IGN)}
    try:
        for number in before:
            signal.signal(number, handler)
        yield
    finally:
        # The first of them last: an impatient Ctrl-C in between must not leave the others without their handlers.
        for number, old in reversed(before.items()):
            signal.signal(number, old)


@contextmanager
def signals_held_back() -> Iterator[list[int]]:
    """A Ctrl-C or a SIGTERM waits until what arrived is kept: the store's patience bounds it.

    What takes longer looks at the list of those that came, and ends by itself.
    """
    if threading.current_thread() is not threading.main_thread():
        yield []  # no handler runs in another thread
        return
    # No mask: it holds for one thread, and where another one takes the signal the handler runs here all the same.
    came: list[int] = []
    try:
        with handled_by(lambda number, _: came.append(number), _HELD_BACK):
            yield came
    finally:
        if came:
            # One of them rises; of several the one that means to end the program.
            signal.raise_signal(next((late for late in came if late != signal.SIGINT), came[0]))
