"""Markdown painted by a thread of its own: what has come is on the screen although nothing more comes."""

import signal
import threading
from collections import deque
from contextlib import suppress
from types import FrameType

from raptchat.interruptions import signals_held_back
from raptchat.render import Terminal
from raptchat.render.markdown import MarkdownWriter
from raptchat.render.writers import Writer


class LiveMarkdownWriter(Writer):
    """A `MarkdownWriter` behind a thread, from the first piece to the end.

    No signal handler runs in that thread: Ctrl-C never leaves a row half written. What fails there rises from the
    next call here. Ctrl-Z takes the unfinished end off the screen while another program has it.
    """

    def __init__(self, terminal: Terminal) -> None:
        self._writer = MarkdownWriter(terminal)
        self._arrived: deque[str] = deque()
        self._news = threading.Event()
        self._over = threading.Event()
        self._painting = threading.Lock()
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None
        self._is_suspendable = False

    def text(self, text: str) -> None:
        """Take the next piece, for the next painting."""
        if not text:
            return
        self._arrived.append(text)
        if self._thread is None and not self._start():
            self._writer.text(self._take())
        self._raise()
        self._news.set()

    def end(self) -> None:
        """Write the unfinished end as what it has become; nothing is painted any more."""
        self._stop()
        try:
            self._raise()
            self._writer.remainder(self._take())
        finally:
            self._writer.end()

    def _take(self) -> str:
        return "".join(self._arrived.popleft() for _ in range(len(self._arrived)))

    def _raise(self) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _start(self) -> bool:
        thread = threading.Thread(target=self._run, name="markdown", daemon=True)
        # A signal in between would leave a thread that nobody can join.
        with signals_held_back(), suppress(RuntimeError):  # no thread to be had
            thread.start()
            self._thread = thread
            is_main = threading.current_thread() is threading.main_thread()
            # A shell without job control has it ignored.
            self._is_suspendable = is_main and signal.getsignal(signal.SIGTSTP) is signal.SIG_DFL
            if self._is_suspendable:
                signal.signal(signal.SIGTSTP, self._suspend)
        return self._thread is not None

    def _stop(self) -> None:
        with signals_held_back():
            if self._is_suspendable:
                signal.signal(signal.SIGTSTP, signal.SIG_DFL)
            self._over.set()
            self._news.set()
            if self._thread is not None:
                self._thread.join()

    def _run(self) -> None:
        try:
            while self._is_due():
                with self._painting:
                    self._writer.text(self._take())
        except BaseException as error:  # noqa: BLE001 - the other thread raises it
            self._error = error

    def _is_due(self) -> bool:
        """Wait until something came and may be painted; whether it is still to be."""
        self._news.wait()
        self._news.clear()
        while (rest := self._writer.rest()) > 0 and not self._over.wait(rest):
            pass
        return not self._over.is_set()

    def _suspend(self, number: int, _: FrameType | None) -> None:
        """Stop, as the terminal wants it, and go on when the shell says so."""
        signal.signal(number, signal.SIG_DFL)
        with self._painting:
            self._writer.erase()
            signal.raise_signal(number)
        signal.signal(number, self._suspend)
        self._news.set()
