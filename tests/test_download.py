"""A URL as an attachment: from a real server on the loopback, and what a hostile one may do."""

import socket
from collections.abc import Iterator

import httpx
import pytest
import respx
import sample_files
from web_server import Page, WebServer, answer, dripping, redirect, running, silent

from raptchat.attachments import from_url
from raptchat.errors import UsageError
from raptchat.providers.download import check_url, fetch

MOST = 10_000


@pytest.fixture(name="web")
def web_fixture() -> Iterator[WebServer]:
    with running() as server:
        yield server


def fetched(web: WebServer, page: Page | bytes, *, path: str = "/a", timeout: float = 10.0) -> bytes | None:
    web.pages[path] = page
    return fetch(web.url + path, most_bytes=MOST, timeout=timeout)


def refusal(url: str, *, timeout: float = 10.0) -> str:
    with pytest.raises(UsageError) as caught:
        fetch(url, most_bytes=MOST, timeout=timeout)
    assert caught.value.hint
    assert caught.value.__cause__ is None
    assert str(caught.value).isprintable()
    return str(caught.value)


def test_what_is_at_the_address_comes_and_nothing_of_the_user_goes(web: WebServer) -> None:
    assert fetched(web, answer(sample_files.PNG), path="/a%20b/c.png?x=1&y=?") == sample_files.PNG

    [(path, headers)] = web.requests
    assert path == "/a%20b/c.png?x=1&y=?"
    assert set(headers) <= {"host", "accept", "accept-encoding", "user-agent", "connection"}
    assert headers["accept-encoding"] == "identity"


def test_the_root_and_a_query_alone_are_addresses(web: WebServer) -> None:
    web.pages = {"/": answer(b"root"), "/?q": answer(b"query")}

    assert fetch(web.url, most_bytes=MOST, timeout=10.0) == b"root"
    assert fetch(f"{web.url}?q#part", most_bytes=MOST, timeout=10.0) == b"query"


@pytest.mark.parametrize(
    "page",
    [
        answer(b"x" * MOST),
        answer(b"x" * MOST, length=-1),
        answer(b"%x\r\n%b\r\n0\r\n\r\n" % (MOST, b"x" * MOST), "Transfer-Encoding: chunked", length=-1),
        answer(b"x" * MOST, status="203 Non-Authoritative Information"),
        answer(b"x" * MOST + b"and more than it said", length=MOST),
    ],
)
def test_each_way_to_say_the_length_is_understood(web: WebServer, page: bytes) -> None:
    assert fetched(web, page) == b"x" * MOST


@pytest.mark.parametrize(
    "page",
    [
        answer(b"x" * (MOST + 1)),
        answer(b"x" * (MOST + 1), length=-1),
        silent(answer(b"", length=MOST + 1)),
        dripping(
            answer(b"", "Transfer-Encoding: chunked", length=-1), b"400\r\n" + b"x" * 0x400 + b"\r\n", pause=0
        ),
        dripping(answer(b"", length=-1), b"x" * 1000, pause=0),
    ],
    ids=["as it says", "as it does not say", "by its word", "chunks without end", "bytes without end"],
)
def test_what_is_too_large_is_not_read_to_its_end(web: WebServer, page: Page | bytes) -> None:
    assert fetched(web, page) is None


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        (answer(b"no", status="404 Not Found"), "answered with status 404"),
        (answer(b"no", status="500 Oh \x1b[2J"), "answered with status 500"),
        (answer(b"", status="304 Not Modified"), "answered with status 304"),
        (answer(b"x", "Content-Encoding: gzip"), "compressed its answer"),
        (answer(b"short", length=100), "hung up before its answer was whole"),
        (b"", "hung up"),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "does not answer in HTTP"),
        (answer(b"x", "Content-Length: 2"), "does not answer in HTTP"),
        (answer(b"zz\r\n", "Transfer-Encoding: chunked", length=-1), "does not answer in HTTP"),
    ],
)
def test_an_answer_that_is_no_file_is_an_error_of_the_address(web: WebServer, page: bytes, reason: str) -> None:
    web.pages["/a"] = page

    said = refusal(f"{web.url}/a")

    assert said.startswith(f"the attachment cannot be fetched: `{web.url}` ") or reason == "hung up"
    assert reason in said


@pytest.mark.parametrize(
    "page",
    [
        silent(b""),
        silent(answer(b"x", length=2)),
        dripping(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        dripping(answer(b"", length=MOST), b"x"),
    ],
    ids=["no answer", "no end", "headers without end", "a byte now and then"],
)
def test_a_slow_server_does_not_hang_the_program(web: WebServer, page: Page) -> None:
    web.pages["/a"] = page

    said = refusal(f"{web.url}/a", timeout=0.2)

    assert any(reason in said for reason in ("nothing for too long", "did not begin to answer", "took too long"))


def test_nobody_at_the_address_is_an_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]

        assert "it was refused" in refusal(f"http://127.0.0.1:{port}/a")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_within_the_same_origin_is_followed_without_cookies(web: WebServer, status: int) -> None:
    web.pages["/b/c?d"] = answer(b"here")
    first = answer(b"", "Location: b/x/../c?d#e", "Set-Cookie: who=you; Path=/", status=f"{status} Moved")

    assert fetched(web, first) == b"here"
    assert [path for path, _ in web.requests] == ["/a", "/b/c?d"]
    assert all("cookie" not in headers and "referer" not in headers for _, headers in web.requests)


def test_redirects_end_after_five(web: WebServer) -> None:
    web.pages = {f"/{number}": redirect(f"/{number + 1}") for number in range(9)}
    web.pages["/9"] = answer(b"here")

    assert fetch(f"{web.url}/4", most_bytes=MOST, timeout=10.0) == b"here"
    assert "redirects more than 5 times" in refusal(f"{web.url}/3")


@pytest.mark.parametrize(
    "target",
    [
        "http://example.com/",
        "http://localhost:1/",
        "https://localhost/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://192.168.1.1/",
        "https://[fe80::1]/",
        "https://[fc00::1]/",
        "https://0.0.0.0/",
        "https://0x7f000001/",
        "https://2130706433/",
        "https://user:secret@example.com/",
        "https://example.com:99999/",
        "https://[",
        "//localhost/",
        "file:///etc/passwd",
        "data:text/plain,x",
        "ftp://example.com/",
        "gopher://127.0.0.1/",
        "https://a b/",
        "https:\\\\127.0.0.1\\",
        "",
        "#",
    ],
)
def test_a_redirect_leads_to_no_other_place_that_is_not_public(web: WebServer, target: str) -> None:
    web.pages["/a"] = redirect(target)

    said = refusal(f"{web.url}/a")

    assert "redirects" in said or "sends the request nowhere" in said
    assert "secret" not in said


@pytest.fixture(name="names")
def names_fixture(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """What the name service answers: the addresses of each name, and nothing for all others."""
    known: dict[str, list[str]] = {}

    def getaddrinfo(host: str, *_: object, **__: object) -> list[tuple[object, ...]]:
        if host not in known:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, 0, 0, 0)) for address in known[host]]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return known


@pytest.mark.parametrize("addresses", [["8.8.8.8"], ["8.8.8.8", "2606:4700::1111"], []])
def test_a_redirect_to_a_public_place_is_followed(names: dict[str, list[str]], addresses: list[str]) -> None:
    if addresses:
        names["cdn.example"] = addresses
    with respx.mock:
        respx.get("https://files.example/a").mock(
            httpx.Response(302, headers={"location": "https://cdn.example/b"})
        )
        respx.get("https://cdn.example/b").mock(httpx.Response(200, content=b"here"))

        assert fetch("https://files.example/a", most_bytes=MOST, timeout=10.0) == b"here"


@pytest.mark.parametrize(
    "address", ["10.1.2.3", "127.0.0.1", "::1", "fe80::1%eth0", "::ffff:192.168.0.1", "100.64.0.1"]
)
def test_a_name_of_a_private_place_is_no_way_around(names: dict[str, list[str]], address: str) -> None:
    names["cdn.example"] = ["8.8.8.8", address]
    with respx.mock:
        respx.get("https://files.example/a").mock(
            httpx.Response(302, headers={"location": "https://cdn.example/b"})
        )

        assert "`https://cdn.example:443`, which is no https address of the public network" in refusal(
            "https://files.example/a"
        )


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://example.com/a.png", "must be https"),
        ("http://10.0.0.1/a.png", "must be https"),
        ("https://user:secret@example.com/a.png", "holds a user name or a password"),
        ("https://example.com/a b.png", "holds white space"),
        ("https://example.com\\a.png", "holds white space, a control character or a backslash"),
        ("https://example.com/\x1b[2J", "holds white space, a control character"),
        ("https://example.com:0/", "has no valid host and port"),
        ("https://?a.png", "is not an https:// URL"),
        ("https://[::1", "is not a URL"),
        ("ftp://example.com/a.png", "is not an https:// URL"),
    ],
)
def test_an_address_that_may_not_be_fetched_is_refused_before_anything_is_sent(url: str, reason: str) -> None:
    said = refusal(url)

    assert f"its address {reason}" in said
    assert "secret" not in said


def test_a_query_may_hold_what_a_gateways_address_may_not() -> None:
    assert check_url("HTTPS://example.com/a?b=c@d?e#f") == "HTTPS://example.com/a?b=c@d?e"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/pictures/pixel.png?size=1#x", "pixel.png"),
        ("/na%C3%AFve%20%E6%BC%A2.png", "naïve 漢.png"),
        ("/%2e%2e%2fetc%2fpasswd", "passwd"),
        ("/%1b%5b2J%0a%e2%80%ae.png", "␛[2J␊\ufffd.png"),
        ("/%ff.png", "\ufffd.png"),
    ],
)
def test_the_name_is_the_last_part_of_the_path(web: WebServer, path: str, name: str) -> None:
    web.pages[path.partition("#")[0]] = answer(sample_files.PNG)

    found = from_url(web.url + path, most_bytes=MOST, timeout=10.0)

    assert (found.name, found.media_type, found.content) == (name, "image/png", sample_files.PNG)


def test_an_address_without_a_path_is_named_after_its_host(web: WebServer) -> None:
    web.pages["/"] = answer(b"<html>hello")

    found = from_url(f"{web.url}/", most_bytes=MOST, timeout=10.0)

    assert found.name == web.url.removeprefix("http://")
    assert found.kind == "text"


def test_the_content_decides_and_not_what_the_server_calls_it(web: WebServer) -> None:
    web.pages["/a.txt"] = answer(sample_files.JPEG, "Content-Type: text/html")

    assert from_url(f"{web.url}/a.txt", most_bytes=MOST, timeout=10.0).media_type == "image/jpeg"


@pytest.mark.parametrize("name", ["pixel.png", "PAGE.PDF", "beep.ogg", "table.csv"])
def test_a_page_in_place_of_a_file_is_said_and_not_sent(web: WebServer, name: str) -> None:
    web.pages[f"/{name}"] = answer(b"\n<!DOCTYPE html><title>Sign in</title>", "Content-Type: image/png")

    with pytest.raises(UsageError, match=f"a web page came instead of `{name}`") as caught:
        from_url(f"{web.url}/{name}", most_bytes=MOST, timeout=10.0)
    assert caught.value.hint
    asked_for = from_url(f"{web.url}/{name}", most_bytes=MOST, timeout=10.0, media_type="text/html")
    assert asked_for.media_type == "text/html"


def test_too_large_a_download_names_the_setting(web: WebServer) -> None:
    web.pages["/a.png"] = answer(b"", length=2**40)

    with pytest.raises(UsageError, match=r"`a\.png` is larger than 1 MiB") as caught:
        from_url(f"{web.url}/a.png", most_bytes=2**20, timeout=10.0)
    assert caught.value.hint == "raptchat config set max_attachment_mb 2"
