"""An HTTP proxy, as the way to a gateway of this machine."""

import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress


class Proxy:
    """A proxy that says *pieces* to CONNECT, and passes on to a port of this machine; *heard* is all it saw."""

    def __init__(self, port: int, pieces: Iterable[bytes] = (b"HTTP/1.1 200 Connected\r\n\r\n",)) -> None:
        self._port, self._pieces = port, pieces
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._ends: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.heard = b""
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def _start(self, target: Callable[..., None], *args: socket.socket) -> None:
        self._threads.append(threading.Thread(target=target, args=args))
        self._threads[-1].start()

    def _serve(self) -> None:
        with suppress(OSError):
            client, _ = self._listening.accept()
            server = socket.create_connection(("127.0.0.1", self._port))
            self._ends += [client, server]
            while not self.heard.endswith(b"\r\n\r\n") and (piece := client.recv(65536)):
                self.heard += piece
            for piece in self._pieces:
                client.sendall(piece)
            self._start(self._pass_on, client, server)
            self._pass_on(server, client)

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while piece := one.recv(65536):
                self.heard += piece
                other.sendall(piece)
        with suppress(OSError):
            other.shutdown(socket.SHUT_WR)

    def __enter__(self) -> "Proxy":
        self._start(self._serve)
        return self

    def __exit__(self, *_: object) -> None:
        for end in (self._listening, *self._ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for end in (self._listening, *self._ends):
            end.close()
