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
_CR = 0x0D


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
        if self._after_cr or _CR in data:
            data = self._with_lf_only(data)
        found: list[Event | Comment] = []
        lines = data.split(b"\n")
        rest = lines.pop()
        if lines and self._line:
            lines[0] = b"".join([*self._line, lines[0]])
            self._line.clear()
            self._line_size = 0
        for line in lines:
            if not line:
                if self._data:
                    found.append(Event(b"\n".join(self._data).decode("utf-8", "replace"), self._type))
                    self._data.clear()
                    self._data_size = 0
                self._type = ""
            elif line.startswith(b"data: "):
                self._add(line[6:], len(line))
            else:
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
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._add(value, len(line))
            return
        self._check(len(line))
        if not name:
            found.append(Comment(value.decode("utf-8", "replace")))
        elif name == b"event":
            self._type = value.decode("utf-8", "replace")

    def _add(self, data: bytes, size: int) -> None:
        self._check(size)
        self._data.append(data)
        # With the name of the field: of lines without data there must not be any number either.
        self._data_size += size

    def _check(self, more: int) -> None:
        if self._data_size + more > self._max:
            raise InvalidResponseError(f"the gateway sent an event larger than {self._max // 1024} KiB")


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
