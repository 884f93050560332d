"""When a request is sent again: only before any of its reply came, and not for ever.

Which failures may be repeated is said where they are recognised (`refusals.py`, `_http.py`); how often, and
how long to wait, is decided here. The gateway moves on to other hosts by itself before it answers, so little is
won by more patience than this.
"""

import random
from enum import Enum

from raptchat.errors import RaptchatError

# All waits of one request together: a person is watching.
MAX_WAIT_SECONDS = 60.0
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0


class Repeat(Enum):
    """How often a failed request may be sent again."""

    NEVER = "never"
    # Nobody knows whether it was run, and billed.
    ONCE = "once"
    YES = "yes"


class AttemptFailed(Exception):  # noqa: N818 - it never reaches a user; *error* does
    """One sending of a request failed: *error* says how, *wait* is how many seconds the gateway asked for.

    *status* is that of HTTP's with which the gateway refused it, where it did.
    """

    def __init__(
        self, error: RaptchatError, repeat: Repeat, wait: float | None = None, *, status: int | None = None
    ) -> None:
        super().__init__(str(error))
        self.error = error
        self.repeat = repeat
        self.wait = wait
        self.status = status


class Retries:
    """What is left of the patience for one request: *limit* repeats, and *seconds* for all waits between them."""

    def __init__(self, limit: int, seconds: float = MAX_WAIT_SECONDS) -> None:
        self._left = limit
        self._doubtful_left = 1
        self._pause = _FIRST_PAUSE_SECONDS
        self._seconds_left = seconds

    def wait_after(self, failure: AttemptFailed) -> float | None:
        """The seconds to wait before the request is sent again; `None` when it is not.

        Without a wish of the gateway's it is a random part of 0.5 s, doubled each time to 30 s at most ("full
        jitter"). A wish beyond what is left of the seconds is not waited for.
        """
        if failure.repeat is Repeat.NEVER or self._left <= 0:
            return None
        if failure.repeat is Repeat.ONCE:
            if self._doubtful_left <= 0:
                return None
            self._doubtful_left -= 1
        wait = failure.wait if failure.wait is not None else random.uniform(0, self._pause)  # noqa: S311
        if wait > self._seconds_left:
            return None
        self._left -= 1
        self._pause = min(self._pause * 2, _LONGEST_PAUSE_SECONDS)
        self._seconds_left -= wait
        return wait
