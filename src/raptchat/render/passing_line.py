"""How far something is that takes long, said on standard error while it lasts."""

import time
from collections.abc import Callable

from raptchat.outside import safe_line
from raptchat.render import Terminal
from raptchat.render.region import Region

# Where a line cannot be painted over, as in a log.
_PAUSE_SECONDS = 10.0


class PassingLine:
    """A line that the next one replaces; an empty one leaves nothing of it.

    Where standard error cannot be painted on, the first one stays, and after it one every ten seconds.
    """

    def __init__(self, terminal: Terminal, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._terminal = terminal
        self._clock = clock
        self._region = Region(terminal)
        self._said: float | None = None

    def show(self, line: str) -> None:
        """Show *line* in place of the one before."""
        if self._terminal.err_repaints:
            if line:
                self._region.paint([safe_line(line)])
            else:
                self._region.erase()
        elif line and (self._said is None or self._clock() - self._said >= _PAUSE_SECONDS):
            self._said = self._clock()
            self._terminal.say(line)
