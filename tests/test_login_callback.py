"""Where the browser brings the code: one request is taken, whatever else this machine sends there."""

import random
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from urllib.parse import urlsplit

import pytest

from raptchat.errors import AuthenticationFailedError, UsageError
from raptchat.login.callback import MAX_CONNECTIONS, MAX_REQUEST_BYTES, Callback, check_code


@pytest.fixture
def callback() -> Iterator[Callback]:
    with Callback() as listening:
        yield listening


@pytest.fixture
def code(callback: Callback) -> Iterator["Future[str | None]"]:
    """What the callback has in the end, which waits in a thread of its own."""
    with ThreadPoolExecutor(1) as threads:
        stopping = threading.Event()
        yield threads.submit(callback.wait, 20, meanwhile=lambda: _unless(stopping))
        stopping.set()


class StoppedError(Exception):
    """The test is over."""


def _unless(stopping: threading.Event) -> None:
    if stopping.is_set():
        raise StoppedError


def place(callback: Callback) -> tuple[str, int]:
    parts = urlsplit(callback.url)
    assert parts.hostname
    assert parts.port
    return parts.hostname, parts.port


def connected(callback: Callback) -> socket.socket:
    return socket.create_connection(place(callback), timeout=10)


def said(connection: socket.socket) -> str:
    """All that comes until the connection is closed."""
    pieces = b""
    while piece := connection.recv(65536):
        pieces += piece
    return pieces.decode()


def exchange(callback: Callback, request: bytes) -> str:
    with connected(callback) as connection:
        connection.sendall(request)
        return said(connection)


def get(callback: Callback, target: str, *headers: str, host: str | None = None, method: str = "GET") -> str:
    host = "{}:{}".format(*place(callback)) if host is None else host
    return exchange(
        callback, "\r\n".join([f"{method} {target} HTTP/1.1", f"Host: {host}", *headers, "", ""]).encode()
    )


def path(callback: Callback) -> str:
    return urlsplit(callback.url).path


def test_the_code_is_taken_and_the_page_says_so(callback: Callback, code: "Future[str | None]") -> None:
    page = get(callback, f"{path(callback)}?code=abc-DEF_123")

    assert code.result(10) == "abc-DEF_123"
    assert page.startswith("HTTP/1.1 200 OK\r\n")
    assert "You can close this window" in page
    head, _, body = page.partition("\r\n\r\n")
    assert f"Content-Length: {len(body)}" in head
    assert "Cache-Control: no-store" in head
    assert "Content-Security-Policy: default-src 'none'" in head
    assert "Referrer-Policy: no-referrer" in head
    assert "abc-DEF" not in page


def test_the_address_is_of_this_machine_and_cannot_be_guessed(callback: Callback) -> None:
    assert re.fullmatch(r"http://127\.0\.0\.1:[0-9]+/[A-Za-z0-9_-]{43}", callback.url)
    with Callback() as other:
        assert path(other) != path(callback)


def test_afterwards_nobody_listens(callback: Callback) -> None:
    address = place(callback)
    silent = connected(callback)
    callback.wait(0.01)
    callback.close()
    with closing(silent), pytest.raises(OSError, match=r"."):
        socket.create_connection(address, timeout=10).close()


@pytest.mark.parametrize(
    "attack",
    [
        lambda cb: get(cb, "/favicon.ico"),
        lambda cb: get(cb, "/?code=evil"),
        lambda cb: get(cb, f"{path(cb)[:-1]}?code=evil"),
        lambda cb: get(cb, f"{path(cb)}/?code=evil"),
        lambda cb: get(cb, f"{path(cb).upper()}x?code=evil"),
        lambda cb: get(cb, f"{path(cb)}?code=evil", host="evil.example"),
        lambda cb: get(cb, f"{path(cb)}?code=evil", host=f"localhost:{place(cb)[1]}"),
        lambda cb: get(cb, f"{path(cb)}?code=evil", host="127.0.0.1"),
        lambda cb: get(cb, f"{path(cb)}?code=evil", host=""),
        lambda cb: get(cb, f"{path(cb)}?code=evil", "Host: evil.example"),
        lambda cb: exchange(cb, f"GET {path(cb)}?code=evil HTTP/1.1\r\n\r\n".encode()),
        lambda cb: exchange(cb, f"GET {path(cb)}?code=evil\r\n\r\n".encode()),
        lambda cb: get(cb, f"{path(cb)}?code=evil", method="POST"),
        lambda cb: get(cb, f"{path(cb)}?code=evil", method="HEAD"),
        lambda cb: get(cb, f"{path(cb)}?code=evil", method="get"),
        lambda cb: get(cb, f"{cb.url}?code=evil"),
        lambda cb: get(cb, path(cb)),
        lambda cb: get(cb, f"{path(cb)}?code="),
        lambda cb: get(cb, f"{path(cb)}?code={'a' * 513}"),
        lambda cb: get(cb, f"{path(cb)}?code=%0d%0aevil"),
        lambda cb: get(cb, f"{path(cb)}?code=%ff%00"),
        lambda cb: get(cb, f"{path(cb)}?code=a%20b"),
        lambda cb: get(cb, f"{path(cb)}?code=evil&code=good"),
        lambda cb: get(cb, f"{path(cb)}?code=evil&" + "&".join(f"a{n}=1" for n in range(40))),
        lambda cb: exchange(cb, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
        lambda cb: exchange(cb, b"\r\n\r\n"),
        lambda cb: exchange(cb, b"GET / HTTP/1.1\r\n" + b"a" * MAX_REQUEST_BYTES),
    ],
)
def test_anything_else_is_not_found_and_does_not_count(
    callback: Callback, code: "Future[str | None]", attack: Callable[[Callback], str]
) -> None:
    answer = attack(callback)

    assert answer.startswith("HTTP/1.1 404 Not Found\r\n")
    assert "evil" not in answer
    get(callback, f"{path(callback)}?code=good")
    assert code.result(10) == "good"


def test_silent_and_slow_connections_hold_up_nothing(callback: Callback, code: "Future[str | None]") -> None:
    with connected(callback), connected(callback) as slow:
        slow.sendall(b"GET / HT")
        get(callback, f"{path(callback)}?code=good")

        assert code.result(10) == "good"


def test_a_request_may_come_byte_by_byte(callback: Callback, code: "Future[str | None]") -> None:
    request = f"GET {path(callback)}?code=good HTTP/1.1\r\nHost: 127.0.0.1:{place(callback)[1]}\r\n\r\n"
    with connected(callback) as slow:
        slow.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in request.encode():
            slow.sendall(bytes([byte]))

        assert code.result(10) == "good"


def test_of_too_many_connections_the_oldest_goes(callback: Callback, code: "Future[str | None]") -> None:
    crowd = [connected(callback) for _ in range(MAX_CONNECTIONS + 5)]
    try:
        assert said(crowd[0]) == ""
        get(callback, f"{path(callback)}?code=good")
        assert code.result(10) == "good"
    finally:
        for connection in crowd:
            connection.close()


def test_one_that_hangs_up_or_is_reset_is_forgotten(callback: Callback, code: "Future[str | None]") -> None:
    connected(callback).close()
    with connected(callback) as rude:
        rude.sendall(b"GET /")
        rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    get(callback, f"{path(callback)}?code=good")

    assert code.result(10) == "good"


def test_whatever_is_sent_it_goes_on(callback: Callback, code: "Future[str | None]") -> None:
    chance = random.Random(7)
    address = "{}:{}".format(*place(callback))
    pieces = [
        "GET ",
        "POST ",
        "/",
        path(callback)[:-1],
        "?code=evil",
        "?",
        "&",
        "%",
        "%zz",
        " HTTP/1.1",
        "\r\n",
        "\n",
    ]
    pieces += [
        "Host:",
        f"Host: {address}",
        "Host: evil",
        "\r\n\r\n",
        "\0",
        "\x80",
        "\t",
        ":",
        " ",
        "error=no",
        "code=",
    ]
    for _ in range(300):
        request = "".join(chance.choices(pieces, k=chance.randrange(1, 20))) + chance.choice(["", "\r\n\r\n"])
        with connected(callback) as connection:
            connection.sendall(request.encode("latin-1"))
            if "\r\n\r\n" in request:
                assert connection.recv(65536).startswith(b"HTTP/1.1 404 ")

    get(callback, f"{path(callback)}?code=good")
    assert code.result(10) == "good"


def test_a_refusal_in_the_browser_ends_it(callback: Callback, code: "Future[str | None]") -> None:
    page = get(callback, f"{path(callback)}?error=access_denied%1b%5b2J&code=evil")

    with pytest.raises(AuthenticationFailedError, match="refused in the browser: `access_denied") as caught:
        code.result(10)
    assert "\x1b" not in str(caught.value)
    assert "Not signed in" in page
    assert "access_denied" not in page


def test_a_refusal_at_another_address_does_not(callback: Callback, code: "Future[str | None]") -> None:
    assert "404" in get(callback, "/?error=access_denied")
    get(callback, f"{path(callback)}?code=good")

    assert code.result(10) == "good"


def test_it_waits_no_longer_than_it_is_told_to(callback: Callback) -> None:
    with connected(callback):
        assert callback.wait(0.05) is None


def test_without_a_port_the_other_way_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(socket, "create_server", full)
    with pytest.raises(UsageError, match="Too many open files") as caught:
        Callback()
    assert "--no-browser" in caught.value.hint


def test_without_a_descriptor_for_a_connection_it_goes_on(
    callback: Callback, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = threading.Event()

    def full(listening: socket.socket) -> None:
        tried.set()
        raise OSError(24, "Too many open files")

    with connected(callback), monkeypatch.context() as patched:
        patched.setattr(socket.socket, "accept", full)
        assert callback.wait(0.05) is None
    assert tried.is_set()


@pytest.mark.parametrize("text", ["", "   ", "a b", "a\x00b", "ü", "a" * 513, "a\x7f"])
def test_what_cannot_be_a_code_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="cannot be the code") as caught:
        check_code(text)
    assert not text.strip() or text not in str(caught.value)


def test_white_space_around_a_code_goes() -> None:
    assert check_code("  auth_code-1.2~3\n") == "auth_code-1.2~3"
