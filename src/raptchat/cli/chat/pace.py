"""How fast a reply came."""

import time
from collections.abc import Callable, Iterable, Iterator

from raptchat.records import Chunk, ContentChunk, ReasoningChunk, Usage

# What came in less time came in one piece: how fast it was written cannot be seen.
_SHORTEST_SECONDS = 0.05
_OF_THE_REPLY = (ContentChunk, ReasoningChunk)


class Pace:
    """The seconds of *clock* at which a reply was asked for, began and ended."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._asked: float | None = None
        self._first: float | None = None
        self._last = 0.0
        self._thoughts_came = False

    def ask(self) -> None:
        """The request is being sent; only the first time counts, since who waits does not care for the tries."""
        if self._asked is None:
            self._asked = self._clock()

    def of(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        """Yield *chunks*, and note when they come."""
        for chunk in chunks:
            if isinstance(chunk, _OF_THE_REPLY):
                self._last = self._clock()
                if self._first is None:
                    self._first = self._last
                self._thoughts_came = self._thoughts_came or isinstance(chunk, ReasoningChunk)
            yield chunk

    @property
    def seconds_to_first_token(self) -> float | None:
        """How long nothing of the reply came, neither thought nor text."""
        return None if self._asked is None or self._first is None else self._first - self._asked

    def tokens_per_second(self, usage: Usage) -> float | None:
        """The tokens of *usage* that came by the seconds in which they came, if both are known.

        What a model thought but did not show came before the first piece.
        """
        if self._first is None or usage.output_tokens is None:
            return None
        seconds = self._last - self._first
        came = usage.output_tokens - (0 if self._thoughts_came else usage.reasoning_tokens or 0)
        return came / seconds if seconds >= _SHORTEST_SECONDS and came > 0 else None
