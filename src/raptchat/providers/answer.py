"""The body of an answer that should be a reply: read within limits, and parsed."""

import json
import time
from collections.abc import Callable, Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

from raptchat.errors import GatewayTimeoutError, InvalidResponseError
from raptchat.providers import sse
from raptchat.providers._http import Response, body_pieces, first_bytes, is_compressed
from raptchat.providers.cleaning import Cleaner

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


def check_status(response: Response, *, model: str, clean: Cleaner, seconds: float, address_hint: str) -> None:
    """Raise what a status other than 2xx means, with what is read of the body within *seconds*.

    *address_hint* says what to do where no gateway is at its address.

    `InvalidResponseError` for an answer that is compressed.
    """
    compressed = is_compressed(response)
    if not 200 <= response.status_code < 300:
        from raptchat.providers import refusals

        body = b"" if compressed else first_bytes(response, refusals.MAX_BODY_BYTES, seconds=seconds)
        raise refusals.of_response(
            response.status_code, response.headers, body, model=model, clean=clean, address_hint=address_hint
        )
    if compressed:
        raise InvalidResponseError("the gateway compressed its answer, which was not asked for")


def read_whole(response: Response, *, seconds: float, most_bytes: int = MAX_BYTES) -> bytes:
    """The body, up to *most_bytes* and within *seconds*."""
    pieces: list[bytes] = []
    size, end = 0, time.monotonic() + seconds
    for piece in body_pieces(response):
        pieces.append(piece)
        size += len(piece)
        _check_size(size, most_bytes)
        if time.monotonic() > end:
            raise GatewayTimeoutError("the gateway took too long over its answer")
    return b"".join(pieces)


class Stream:
    """The JSON objects of a stream of events, up to `[DONE]`: those together that one read brought.

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

    def __iter__(self) -> Iterator[list[dict[str, Any]]]:
        decoder = sse.Decoder()
        size = 0
        self.came_on()
        for piece in body_pieces(self._response):
            self._sample = self._sample or piece[:SAMPLE_BYTES]
            size += len(piece)
            due = self._end
            if found := self._objects(decoder.feed(piece)):
                yield found
            if self.finished:
                return
            if self._end == due < time.monotonic():
                raise GatewayTimeoutError(
                    f"nothing of the reply came for {self._seconds:g} s, only signs of life",
                    hint="try again, or choose another model",
                )
            _check_size(size, MAX_BYTES)
        if found := self._objects(decoder.close()):
            yield found

    def _objects(self, events: list[sse.Event | sse.Comment]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for event in events:
            if isinstance(event, sse.Comment):
                self._comment_seen = True
                # What came before it in the same read is not told yet.
                if not found:
                    self._alive()
            elif (data := parse(event.data)) is not None:
                failed = event.type == "error" and not data.get("error")
                found.append({"error": data} if failed else data)
            elif event.data.strip() == "[DONE]":
                self.finished = True
                break
            else:
                self._data_seen = True
        return found

    @property
    def garbage(self) -> bytes | None:
        """The first bytes, when something came that was neither an object, a comment nor the end."""
        if self.finished or not (self._data_seen or (self._sample.strip() and not self._comment_seen)):
            return None
        return self._sample


def _check_size(size: int, most: int) -> None:
    if size > most:
        raise InvalidResponseError(f"the gateway's answer is larger than {most // 1024 // 1024} MiB")
