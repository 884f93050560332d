"""Where the browser brings the code of a sign-in: a server on 127.0.0.1 that takes one request (RFC 8252, 7.3).

Every program of this machine, and through DNS rebinding every page in the browser, can send something here. Only
a request for an address that nobody can guess is taken, once, and only of a program of the same user, since others
can read that address off the browser's command line: with a code of their own they would have the person chat in
their account. A connection that is silent, slow or endless holds up nothing: all of them are read by one loop.
"""

import hmac
import re
import secrets
import selectors
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs

from raptchat.errors import AuthenticationFailedError, UsageError
from raptchat.login.peer import is_of_this_user
from raptchat.outside import safe_line

MAX_REQUEST_BYTES = 16 * 1024
MAX_CONNECTIONS = 32
_CODE = re.compile("[!-~]{1,512}")
_MAX_FIELDS = 20
_TICK_SECONDS = 0.2

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>raptchat</title></head>
<body><h1>{title}</h1><p>{text}</p></body></html>
"""
_HEADERS = (
    "Content-Type: text/html; charset=utf-8",
    "Cache-Control: no-store",
    "Content-Security-Policy: default-src 'none'",
    "Referrer-Policy: no-referrer",
    "X-Content-Type-Options: nosniff",
    "Connection: close",
)


def check_code(text: str) -> str:
    """*text* without white space around it, if it can be a code; `UsageError` says why not."""
    code = text.strip()
    if not _CODE.fullmatch(code):
        raise UsageError(
            "this cannot be the code of a sign-in: it is empty, too long, or holds what no code does",
            hint="copy the whole code that the page shows, and nothing else",
        )
    return code


class Callback:
    """Listens from when it is made until it is closed, at *url*."""

    def __init__(self) -> None:
        try:
            self._listening = socket.create_server(("127.0.0.1", 0), backlog=MAX_CONNECTIONS)
        except OSError as error:
            raise UsageError(
                f"no port of 127.0.0.1 can be listened on: {error.strerror or error}", hint="use --no-browser"
            ) from None
        self._listening.setblocking(False)
        self._host = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self._path = f"/{secrets.token_urlsafe(32)}"
        # What came of each connection so far, the oldest first.
        self._open: dict[socket.socket, bytes] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listening, selectors.EVENT_READ)

    @property
    def url(self) -> str:
        """Where the browser is to be sent."""
        return f"http://{self._host}{self._path}"

    def wait(self, seconds: float, *, meanwhile: Callable[[], None] = lambda: None) -> str | None:
        """The code that the browser brings, or `None` when it did not come within *seconds*.

        *meanwhile* is called again and again. `AuthenticationFailedError` when the browser brings a refusal.
        """
        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0:
            meanwhile()
            for key, _ in self._selector.select(min(left, _TICK_SECONDS)):
                if key.fileobj is self._listening:
                    self._accept()
                elif isinstance(key.fileobj, socket.socket) and key.fileobj in self._open:
                    code = self._read(key.fileobj)
                    if code is not None:
                        return code
        return None

    def close(self) -> None:
        """Hang up on everybody, and listen no more."""
        for connection in list(self._open):
            self._drop(connection)
        self._selector.close()
        self._listening.close()

    def _accept(self) -> None:
        if len(self._open) >= MAX_CONNECTIONS:
            self._drop(next(iter(self._open)))
        try:
            connection, _ = self._listening.accept()
        except OSError:  # it is gone again, or there is no descriptor for it, perhaps for a while
            time.sleep(_TICK_SECONDS)
            return
        connection.setblocking(False)
        self._open[connection] = b""
        self._selector.register(connection, selectors.EVENT_READ)

    def _read(self, connection: socket.socket) -> str | None:
        try:
            piece = connection.recv(MAX_REQUEST_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            piece = b""
        if not piece:
            self._drop(connection)
            return None
        head = self._open[connection] = self._open[connection] + piece
        if b"\r\n\r\n" not in head and len(head) <= MAX_REQUEST_BYTES:
            return None
        query = self._query(head.partition(b"\r\n\r\n")[0]) if len(head) <= MAX_REQUEST_BYTES else None
        if query is not None and not is_of_this_user(connection):
            query = None
        return self._answer(connection, query)

    def _query(self, head: bytes) -> str | None:
        """What stands behind the address, if that is ours and nobody was led here by another name."""
        request, *lines = head.decode("latin-1").split("\r\n")
        found = re.fullmatch(r"GET (/[!-~]*) HTTP/1\.[01]", request)
        fields = [line.partition(":") for line in lines]
        hosts = [value.strip() for name, _, value in fields if name.lower() == "host"]
        if found is None or hosts != [self._host]:
            return None
        path, _, query = found[1].partition("?")
        return query if hmac.compare_digest(path, self._path) else None

    def _answer(self, connection: socket.socket, query: str | None) -> str | None:
        try:
            fields = parse_qs(query or "", max_num_fields=_MAX_FIELDS)
        except ValueError:
            fields = {}
        match fields:
            case {"error": [reason, *_]}:
                self._send(connection, "200 OK", "Not signed in", "You can close this window.")
                raise AuthenticationFailedError(
                    f"the sign-in was refused in the browser: `{safe_line(reason)[:100]}`"
                )
            case {"code": [code]} if _CODE.fullmatch(code):
                text = "You can close this window: raptchat goes on in the terminal."
                self._send(connection, "200 OK", "Signed in", text)
                return str(code)
        self._send(connection, "404 Not Found", "Not found", "There is nothing here.")
        return None

    def _send(self, connection: socket.socket, status: str, title: str, text: str) -> None:
        page = _PAGE.format(title=title, text=text).encode()
        head = "\r\n".join([f"HTTP/1.1 {status}", *_HEADERS, f"Content-Length: {len(page)}", "", ""])
        with suppress(OSError):  # the page is a courtesy
            connection.send(head.encode() + page)
            connection.shutdown(socket.SHUT_WR)
        self._drop(connection)

    def _drop(self, connection: socket.socket) -> None:
        del self._open[connection]
        self._selector.unregister(connection)
        connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
