"""What is written again and again while a reply comes in."""

import threading
from collections.abc import Callable
from contextlib import suppress

from raptchat.errors import StoreBusyError, StoreError


class Repeated:
    """Calls *write* every so many *seconds* from a thread of its own, once it is started.

    A store that is busy is written the next time; where it cannot be written at all this ends, and whoever writes
    at the end of the block meets the same error where it can be raised.
    """

    def __init__(self, write: Callable[[], None], seconds: float, *, name: str) -> None:
        self._write = write
        self._seconds = seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin; it ends with the block."""
        with suppress(RuntimeError):  # no thread to be had: the end of the reply is stored all the same
            self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(self._seconds):
            try:
                self._write()
            except StoreBusyError:
                continue
            except StoreError:
                return

    def __enter__(self) -> "Repeated":
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
