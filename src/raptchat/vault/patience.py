"""How long the operating system's keyring is waited for."""

import threading
import time
from collections.abc import Callable

DEADLINE_SECONDS = 10.0
INTERACTIVE_DEADLINE_SECONDS = 120.0
NOTICE_SECONDS = 1.5

_WAITING = "waiting for the operating system's keyring; it may be asking for its password in another window"


class Patience:
    """How long all calls to the keyring together may be waited for, so that no command takes twice the deadline.

    That is 10 seconds, or 120 when *interactive*, where a person may have to type the keyring's password; once a
    call takes 1.5 seconds, *tell* gets one line that says what is waited for, and no second one. Once a call was
    given up there is no time left, and the next fails at once.
    """

    def __init__(self, *, interactive: bool, tell: Callable[[str], None]) -> None:
        self.deadline = INTERACTIVE_DEADLINE_SECONDS if interactive else DEADLINE_SECONDS
        self._tell = tell
        self.renew()

    def renew(self) -> None:
        """Have all of it again: what a person now asks for is another thing than what was given up."""
        self.left = self.deadline
        self._told = False

    def wait(self, done: threading.Event, *, since: float) -> bool:
        """Wait until *done*; whether it came to that in what time is left. The call began at *since*."""
        came = done.wait(min(NOTICE_SECONDS, self.left))
        if not came:
            if not self._told:
                self._told = True
                self._tell(_WAITING)
            came = done.wait(max(self.left - NOTICE_SECONDS, 0))
        self.spend(time.monotonic() - since if came else self.left)
        return came

    def spend(self, seconds: float) -> None:
        """Have that many seconds less."""
        self.left = max(self.left - seconds, 0)
