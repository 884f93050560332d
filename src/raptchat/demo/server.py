"""The server of the demo gateway: HTTP/1.1 on 127.0.0.1, one thread a connection."""

import json
import select
import socket
import struct
import threading
from collections import deque
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from raptchat.demo.addresses import PATH, Account
from raptchat.demo.wire import Answer, Received, refusal

_MAX_BODY_BYTES = 64 * 1024 * 1024
_REMEMBERED = 10_000


class DemoGateway:
    """The gateway as a context manager: it answers while it is entered.

    *port* 0 is any free one. *pace* is the seconds that a whole reply takes, for a look as of the real thing.
    """

    def __init__(self, port: int = 0, *, pace: float = 0.0) -> None:
        self._server = _Server(("127.0.0.1", port), pace)
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The base URL, as for `AI_GATEWAY_URL`."""
        return f"http://127.0.0.1:{self._server.server_address[1]}{PATH}"

    @property
    def requests(self) -> list[Received]:
        """The last requests, oldest first."""
        with self._server.lock:
            return list(self._server.received)

    def answer(self, *answers: Answer) -> None:
        """Answer the next requests with *answers*, whatever their key and model."""
        with self._server.lock:
            self._server.queue.extend(answers)

    def start(self) -> None:
        """Begin to answer, in a thread of its own."""
        # The socket listens already: a request that comes before the thread runs just waits.
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Break off every answer, close every connection and wait for the threads to end."""
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._thread = None
        self._server.hang_up()
        self._server.server_close()

    def wait(self) -> None:
        """Serve until `stop` is called or the caller is interrupted."""
        while self._thread is not None and self._thread.is_alive():
            self._thread.join(0.5)

    def __enter__(self) -> "DemoGateway":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # A hundred clients may start at once.
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], pace: float) -> None:
        self.lock = threading.Lock()
        self.received: deque[Received] = deque(maxlen=_REMEMBERED)
        self.queue: deque[Answer] = deque()
        self.account = Account(pace)
        self.stopping = threading.Event()
        self._open: dict[socket.socket, threading.Thread] = {}
        super().__init__(address, _Handler)

    def opened(self, connection: socket.socket) -> None:
        with self.lock:
            self._open[connection] = threading.current_thread()

    def closed(self, connection: socket.socket) -> None:
        with self.lock:
            self._open.pop(connection, None)

    def hang_up(self) -> None:
        self.stopping.set()
        with self.lock:
            left = dict(self._open)
        for connection in left:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in left.values():
            thread.join(5)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.opened(self.connection)

    def finish(self) -> None:
        self.server.closed(self.connection)
        super().finish()

    def handle(self) -> None:
        # A client that goes away is no error.
        with suppress(OSError):
            super().handle()

    def version_string(self) -> str:
        """What the `Server` header says."""
        return "raptchat-demo"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that http.server has
        """Log nothing: a request can hold a key."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        """Answer in JSON also where http.server would send a page of HTML."""
        self.close_connection = True
        # It answers a request that it could not read as one of HTTP/0.9, which has no status line.
        self.request_version = self.protocol_version
        self._send(refusal(code, message or "bad request"))

    def do_GET(self) -> None:
        self._answer({})

    def do_DELETE(self) -> None:
        self._answer({})

    def do_POST(self) -> None:
        body = self._read_body()
        if body is None:
            self.close_connection = True
            self._send(refusal(400, "the request is not a JSON object"))
        else:
            self._answer(body)

    do_PATCH = do_POST  # noqa: N815 - the name that http.server asks for

    def _answer(self, body: dict[str, Any]) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        scheme, _, key = headers.pop("authorization", "").partition(" ")
        api_key = key.strip() if scheme.lower() == "bearer" else None
        received = Received(self.command, self.path, headers, body, api_key)
        server = self.server
        with server.lock:
            server.received.append(received)
            answer = server.queue.popleft() if server.queue else server.account.answer(received)
        self._send(answer)

    def _read_body(self) -> dict[str, Any] | None:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit() and len(length) < 12 and int(length) <= _MAX_BODY_BYTES):
            return None
        body = self.rfile.read(int(length))
        try:
            data = json.loads(body)
        except (ValueError, RecursionError):
            return None
        return data if isinstance(data, dict) and len(body) == int(length) else None

    def _send(self, answer: Answer) -> None:
        if answer.status:
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
        for number, piece in enumerate(answer.body):
            if number and answer.pause and self.server.stopping.wait(answer.pause):
                break
            self.wfile.write(b"%X\r\n%b\r\n" % (len(piece), piece) if answer.status else piece)
        self._end(answer)

    def _end(self, answer: Answer) -> None:
        if answer.pause and answer.ending == "reset":
            # A reset overtakes what the client has not read yet.
            self.server.stopping.wait(answer.pause)
        if answer.ending == "hang":
            self._wait_for_client()
        elif answer.ending == "reset":
            # Closing with a linger of 0 sends RST in place of FIN.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        elif answer.ending == "whole" and answer.status:
            self.wfile.write(b"0\r\n\r\n")
            return
        self.close_connection = True

    def _wait_for_client(self) -> None:
        while not self.server.stopping.wait(0.02):
            readable, _, _ = select.select([self.connection], [], [], 0)
            if readable and not self.connection.recv(1):
                return
