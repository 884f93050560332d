"""A gateway that is asked about keys, `GET /key`, and says of each what it is told to."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import hostile_gateway
from hostile_gateway import HostileGateway
from web_server import answer

# All that the reference has, of a key in good order.
GOOD: dict[str, object] = {
    "label": "sk-or-v1-abc...123",
    "limit": 20,
    "limit_remaining": 12.5,
    "limit_reset": "monthly",
    "include_byok_in_limit": False,
    "expires_at": None,
    "usage": 107.25,
    "usage_daily": 0.1,
    "usage_weekly": 1,
    "usage_monthly": 7.5,
    "is_free_tier": False,
    "is_management_key": False,
    "rate_limit": {"requests": -1, "interval": "10s"},
}


class KeyGateway:
    """*says* are the answers by key; a key that is not among them is refused. *asked* are the keys that came."""

    def __init__(self, server: HostileGateway) -> None:
        self.says: dict[str, bytes | Callable[[], bytes]] = {}
        self.asked: list[str] = []
        self.most_at_once = 0
        self._now = 0
        self._lock = threading.Lock()
        self.url = f"http://127.0.0.1:{server.port}/api/v1"
        server.behave = self._behave

    def _behave(self, server: HostileGateway, connection: socket.socket) -> None:
        del server
        head = b""
        while b"\r\n\r\n" not in head:
            piece = connection.recv(65536)
            if not piece:
                return
            head += piece
        lines = head.decode().split("\r\n")
        assert lines[0] == "GET /api/v1/key HTTP/1.1", lines[0]
        [key] = [line.partition("Bearer ")[2] for line in lines if line.lower().startswith("authorization:")]
        with self._lock:
            self.asked.append(key)
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        said = self.says.get(key) or refused("User not found.")
        try:
            data = said() if callable(said) else said
        finally:
            with self._lock:
                self._now -= 1
        connection.sendall(data)


def key_is(**fields: object) -> bytes:
    """The answer for a key in good order, but for *fields*."""
    return _json({"data": GOOD | fields})


def refused(message: str, status: str = "401 Unauthorized") -> bytes:
    """An error as the gateway says it."""
    return _json({"error": {"code": int(status[:3]), "message": message}}, status)


def _json(data: object, status: str = "200 OK") -> bytes:
    content = json.dumps(data).encode()
    return answer(content, "Content-Type: application/json", "Connection: close", status=status)


@contextmanager
def running() -> Iterator[KeyGateway]:
    """The gateway, while it is entered."""
    with hostile_gateway.running() as server:
        yield KeyGateway(server)
