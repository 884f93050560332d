"""A web server on the loopback whose every answer is written by hand, also those that no server should give."""

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Page = Callable[["WebServer", socket.socket], None]


class WebServer(ThreadingHTTPServer):
    """Answers a GET or a POST with what *pages* hold for its path; *requests* are the paths and headers."""

    daemon_threads = False
    block_on_close = True

    def __init__(self) -> None:
        self.pages: dict[str, Page | bytes] = {}
        self.requests: list[tuple[str, Mapping[str, str]]] = []
        self.stopping = threading.Event()
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        """Its origin."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: WebServer

    def do_GET(self) -> None:
        self.server.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        page = self.server.pages[self.path]
        try:
            if isinstance(page, bytes):
                self.connection.sendall(page)
            else:
                page(self.server, self.connection)
        except OSError:
            return  # whoever asked has seen enough
        finally:
            self.close_connection = True

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that http.server has
        """Say nothing."""


def answer(content: bytes = b"", *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    """A whole answer; *length* is what it claims to hold, if not what it holds, and is left out when it is -1."""
    size = len(content) if length is None else length
    lines = [f"HTTP/1.1 {status}", *headers, *([] if size < 0 else [f"Content-Length: {size}"]), "", ""]
    return "\r\n".join(lines).encode("latin-1") + content


def redirect(target: str, status: str = "302 Found") -> bytes:
    """An answer that sends to *target*."""
    return answer(b"moved", f"Location: {target}", status=status)


def dripping(begin: bytes, drop: bytes, *, pause: float = 0.02) -> Page:
    """*begin*, and then *drop* again and again, until nobody listens any more."""

    def page(server: WebServer, connection: socket.socket) -> None:
        connection.sendall(begin)
        while not server.stopping.wait(pause):
            connection.sendall(drop)

    return page


def silent(begin: bytes) -> Page:
    """*begin*, and then nothing while the server runs."""
    return dripping(begin, b"", pause=3600)


@contextmanager
def running() -> Iterator[WebServer]:
    """The server, while it is entered."""
    with WebServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.stopping.set()
            server.shutdown()
            thread.join()
