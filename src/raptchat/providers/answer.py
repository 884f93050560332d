"""The body of an answer that should be a reply: read within limits, and parsed."""

import json
import time
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

from raptchat.errors import GatewayTimeoutError, InvalidResponseError
from raptchat.providers import sse
from raptchat.providers._http import Response

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

    Comments show that the connection lives, not that anybody works on the reply: after *seconds* without a
    data event iterating raises `GatewayTimeoutError`. *finished* is whether `[DONE]` came.
    """

    def __init__(self, response: Response, *, seconds: float) -> None:
        self._response = response
        self._seconds = seconds
        self._sample = b""
        self._data_seen = self._comment_seen = False
        self.finished = False

    def __iter__(self) -> Iterator[sse.Event]:
        decoder = sse.Decoder()
        size, end = 0, time.monotonic() + self._seconds
        for piece in self._response.iter_raw():
            if not size:
                self._sample = piece[:SAMPLE_BYTES]
            size += len(piece)
            now = time.monotonic()
            for event in decoder.feed(piece):
                if isinstance(event, sse.Comment):
                    self._comment_seen = True
                elif event.data.strip() == "[DONE]":
                    self.finished = True
                    return
                else:
                    end, self._data_seen = now + self._seconds, True
                    yield event
            if now > end:
                raise GatewayTimeoutError(
                    f"the gateway sent only keep-alives for {self._seconds:g} s",
                    hint="try again, or choose another model",
                )
            _check_size(size)
        yield from self._last(decoder.close())

    def _last(self, events: list[sse.Event | sse.Comment]) -> Iterator[sse.Event]:
        for event in events:
            if isinstance(event, sse.Comment):
                self._comment_seen = True
            elif event.data.strip() == "[DONE]":
                self.finished = True
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
