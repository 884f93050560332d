"""What a reply is waited for, said on standard error until it comes."""

import itertools
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Literal, Self

from raptchat.interruptions import signals_held_back
from raptchat.outside import safe_line
from raptchat.records import Progress
from raptchat.render import Terminal, can_show
from raptchat.render.formats import duration
from raptchat.render.region import Region, cut
from raptchat.render.terminal_modes import modes_restored

# An answer that comes at once shows nothing before it.
_FIRST_PAUSE_SECONDS = 0.3
_PAUSE_SECONDS = 0.1

_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_ASCII_FRAMES = "|/-\\"

Stage = Progress | Literal["pausing", "thinking", "receiving"]


class Waiting:
    """A line that turns, says what is waited for, and for how many seconds.

    It is painted by a thread of its own from the first `note` to `stop`, and only where standard error is a
    terminal that can be painted on and nobody is *quiet*. Nothing else may be written to the terminal meanwhile,
    but by `say`. *host* and *model* are the words for what is waited for.

    Until its end as a context manager what is typed is not shown: a line end would leave a part standing of this
    line, or of the reply that takes its place.
    """

    def __init__(
        self,
        terminal: Terminal,
        *,
        host: str = "the gateway",
        model: str = "the model",
        clock: Callable[[], float] = time.monotonic,
        quiet: bool = False,
    ) -> None:
        self._terminal = terminal
        self._words: dict[Stage, str] = {
            "connecting": f"connecting to {safe_line(host)}",
            "waiting": f"waiting for {safe_line(model)}",
            "processing": f"the gateway is working on it, waiting for {safe_line(model)}",
            "pausing": "waiting to try again",
            "thinking": "thinking",
            "receiving": "receiving the reply",
        }
        self._clock = clock
        self._paints = terminal.err_repaints and not quiet
        self._region = Region(terminal)
        self._frames = itertools.cycle(_FRAMES if can_show(_FRAMES, terminal.err) else _ASCII_FRAMES)
        self._stage: Stage | None = None
        self._asked = self._thinking = 0.0
        self._below: Callable[[int], list[str]] = _nothing
        self._painting = threading.Lock()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._stopped = False
        self._modes = modes_restored(terminal.out, echo=False)

    def note(self, stage: Stage) -> None:
        """From now on *stage* is what is waited for; seconds count from the question, or the thought."""
        if self._stage is None:
            self._asked = self._clock()
        if stage == "thinking" and self._stage != "thinking":
            self._thinking = self._clock()
        self._stage = stage
        if self._paints and self._thread is None and not self._stopped:
            self._start()

    def show_below(self, lines: Callable[[int], list[str]]) -> None:
        """Paint below the line what *lines* gives, safe, for a width in cells; it is called by another thread."""
        self._below = lines

    def say(self, *lines: str) -> None:
        """Say a note that stays, above the line."""
        with signals_held_back(), self._painting:
            self._region.erase()
            self._terminal.say(*lines)

    def paint(self) -> None:
        """Paint it as it is now."""
        stage = self._stage
        if stage is None:
            return
        seconds = int(self._clock() - (self._thinking if stage == "thinking" else self._asked))
        width, elapsed = self._terminal.size_now().columns - 1, duration(seconds)
        # In a narrow window it is the words that are cut.
        words = cut(self._words[stage], max(width - len(f"/  {elapsed}"), 0))
        line = f"{next(self._frames)} {words} {elapsed}"
        with self._painting:
            self._region.paint([line, *self._below(width)])

    def stop(self) -> None:
        """Wait for nothing any more: from now on the terminal is free, and nothing is left on it."""
        if self._stopped:
            return
        with signals_held_back():
            self._over.set()
            if self._thread is not None:
                self._thread.join()
            self._region.erase()
            self._stopped = True

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name="waiting", daemon=True)
        # A signal in between would leave a thread that nobody can join.
        with signals_held_back(), suppress(RuntimeError):  # no thread to be had: nothing is painted
            thread.start()
            self._thread = thread

    def _run(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while not self._over.wait(pause):
            self.paint()
            pause = _PAUSE_SECONDS

    def __enter__(self) -> Self:
        self._modes.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        finally:
            self._modes.__exit__(None, None, None)


def _nothing(_: int) -> list[str]:
    return []
