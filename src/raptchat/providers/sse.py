"""Server-sent events: bytes in, events out; knows no sockets.

The format is that of the WHATWG HTML standard, "Server-sent events", sections 9.2.5 and 9.2.6. A line ends at
CRLF, LF or CR and nothing else: `str.splitlines` also cuts at U+2028 and others, which may stand inside a JSON
string. `id` and `retry` are for reconnecting, which a chat cannot do, and are skipped like unknown fields.
"""

import json
from typing import NamedTuple

from raptchat.errors import InvalidResponseError

# Images arrive inside an event.
MAX_EVENT_BYTES = 32 * 1024 * 1024

_BOM = b"\xef\xbb\xbf"


class Event(NamedTuple):
    """One event: its data, and its type where it has one."""

    data: str
    type: str = ""


class Comment(NamedTuple):
    """A line that only keeps the connection alive."""

    text: str


class Decoder:
    """Turns the bytes of one stream into events, however they are cut into pieces."""

    def __init__(self, *, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max = max_event_bytes
        self._head: bytes | None = b""
        self._after_cr = False
        self._line: list[bytes] = []
        self._line_size = 0
        self._data: list[bytes] = []
        self._data_size = 0
        self._type = ""

    def feed(self, data: bytes) -> list[Event | Comment]:
        """The events and comments that *data* completes; `InvalidResponseError` when one is too large."""
        if self._head is not None:
            data = self._without_bom(data)
        if self._after_cr or b"\r" in data:
            data = self._with_lf_only(data)
        found: list[Event | Comment] = []
        *whole, rest = data.split(b"\n")
        if whole and self._line:
            whole[0] = b"".join([*self._line, whole[0]])
            self._line.clear()
            self._line_size = 0
        for line in whole:
            self._take(line, found)
        if rest:
            # Joined once, when the line ends: a long line in small pieces must not cost its square.
            self._line.append(rest)
            self._line_size += len(rest)
            self._check(self._line_size)
        return found

    def close(self) -> list[Event | Comment]:
        """What the end of the stream completes.

        The standard drops an event without its blank line. Several gateways forget the last one, so what is
        whole by itself, a JSON object or `[DONE]`, counts.
        """
        found: list[Event | Comment] = []
        rest = b"".join([self._head or b"", *self._line])
        if rest:
            self._take(rest, found)
        data = b"\n".join(self._data).decode("utf-8", "replace")
        if data.strip() == "[DONE]" or _is_object(data):
            found.append(Event(data, self._type))
        return found

    def _without_bom(self, data: bytes) -> bytes:
        # The mark may itself arrive in pieces.
        head = (self._head or b"") + data
        if len(head) < len(_BOM) and _BOM.startswith(head):
            self._head = head
            return b""
        self._head = None
        return head.removeprefix(_BOM)

    def _with_lf_only(self, data: bytes) -> bytes:
        if self._after_cr and data:
            # The CR at the end of the piece before has ended its line already.
            data = data.removeprefix(b"\n")
            self._after_cr = False
        if data:
            self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _take(self, line: bytes, found: list[Event | Comment]) -> None:
        if line.startswith(b"data: "):
            self._check(len(line))
            self._data.append(line[6:])
            self._data_size += len(line)
        elif not line:
            if self._data:
                found.append(Event(b"\n".join(self._data).decode("utf-8", "replace"), self._type))
                self._data.clear()
                self._data_size = 0
            self._type = ""
        else:
            self._take_other(line, found)

    def _take_other(self, line: bytes, found: list[Event | Comment]) -> None:
        self._check(len(line))
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if not name:
            found.append(Comment(value.decode("utf-8", "replace")))
        elif name == b"data":
            self._data.append(value)
            self._data_size += len(line)
        elif name == b"event":
            self._type = value.decode("utf-8", "replace")

    def _check(self, more: int) -> None:
        if self._data_size + more > self._max:
            raise InvalidResponseError(f"the gateway sent an event larger than {self._max // 1024} KiB")


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
