"""The body of an answer that should be a reply: read within limits, and parsed."""

import json
import time
from collections.abc import Callable, Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

from raptchat.errors import GatewayTimeoutError, InvalidResponseError
from raptchat.providers import refusals, sse
from raptchat.providers._http import Response, first_bytes, is_compressed

MAX_BYTES = 64 * 1024 * 1024
# More than is shown: a key must be cut out before the text is cut.
SAMPLE_BYTES = 1024


def _decimal(text: str) -> Decimal | None:
    try:
        return Decimal(text)
    except InvalidOperation:
        return None  # an exponent beyond all bounds


# Money must not go through binary floating point. NaN and Infinity are not JSON.
_DECODER = json.JSONDecoder(parse_float=_decimal, parse_constant=lambda _: None)


def parse(text: str) -> dict[str, Any] | None:
    """The JSON object that *text* is, with each fraction as `Decimal`; `None` when it is none."""
    text = text.strip()
    try:
        data, end = _DECODER.raw_decode(text)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) and end == len(text) else None


def check_status(response: Response, *, model: str, clean: refusals.Cleaner, seconds: float) -> None:
    """Raise what a status other than 2xx means, with what is read of the body within *seconds*.

    `InvalidResponseError` for an answer that is compressed.
    """
    compressed = is_compressed(response)
    if not 200 <= response.status_code < 300:
        body = b"" if compressed else first_bytes(response, refusals.MAX_BODY_BYTES, seconds=seconds)
        raise refusals.of_response(response.status_code, response.headers, body, model=model, clean=clean)
    if compressed:
        raise InvalidResponseError("the gateway compressed its answer, which was not asked for")


def read_whole(response: Response, *, seconds: float) -> bytes:
    """The body, up to 64 MiB and within *seconds*."""
    pieces: list[bytes] = []
    size, end = 0, time.monotonic() + seconds
    for piece in response.iter_raw():
        pieces.append(piece)
        size += len(piece)
        _check_size(size)
        if time.monotonic() > end:
            raise GatewayTimeoutError("the gateway took too long over its answer")
    return b"".join(pieces)


class DataEvents:
    """The events of a stream that carry data, up to `[DONE]`.

    That something comes shows that the connection lives, not that anybody works on the reply: iterating raises
    `GatewayTimeoutError` when *seconds* go by without `came_on`. *finished* is whether `[DONE]` came; *alive* is
    called for each comment, the gateway's sign of life.
    """

    def __init__(self, response: Response, *, seconds: float, alive: Callable[[], None]) -> None:
        self._response = response
        self._seconds = seconds
        self._alive = alive
        self._end = 0.0
        self._sample = b""
        self._data_seen = self._comment_seen = False
        self.finished = False

    def came_on(self) -> None:
        """Note that the reply came on; from now, since whoever reads it may have taken long."""
        self._end = time.monotonic() + self._seconds

    def __iter__(self) -> Iterator[sse.Event]:
        decoder = sse.Decoder()
        size = 0
        self.came_on()
        for piece in self._response.iter_raw():
            self._sample = self._sample or piece[:SAMPLE_BYTES]
            size += len(piece)
            arrived = time.monotonic()
            due = self._end
            yield from self._data(decoder.feed(piece))
            if self.finished:
                return
            if arrived > due and self._end == due:
                raise GatewayTimeoutError(
                    f"nothing of the reply came for {self._seconds:g} s, only signs of life",
                    hint="try again, or choose another model",
                )
            _check_size(size)
        yield from self._data(decoder.close())

    def _data(self, events: list[sse.Event | sse.Comment]) -> Iterator[sse.Event]:
        for event in events:
            if isinstance(event, sse.Comment):
                self._comment_seen = True
                self._alive()
            elif event.data.strip() == "[DONE]":
                self.finished = True
                return
            else:
                self._data_seen = True
                yield event

    @property
    def garbage(self) -> bytes | None:
        """The first bytes, when something came that was neither a comment nor the end."""
        if self.finished or not (self._data_seen or (self._sample.strip() and not self._comment_seen)):
            return None
        return self._sample


def _check_size(size: int) -> None:
    if size > MAX_BYTES:
        raise InvalidResponseError(f"the gateway's answer is larger than {MAX_BYTES // 1024 // 1024} MiB")
