"""Fetch a file that the user names by its URL.

No key travels, and no cookie: each hop has a connection of its own. The URL is the user's word, so any `https`
address will do, and `http` on this machine. Where a redirect leads is not: it may stay at the same origin, or go
to `https` at a public address. Otherwise a page could make this machine fetch what only this machine can reach,
and hand it to a model (server-side request forgery, CWE-918).
"""

import ipaddress
import socket
import time
from contextlib import closing
from urllib.parse import urljoin, urlsplit

from raptchat import __version__
from raptchat.errors import UsageError
from raptchat.gateway_url import check_gateway_url, origin
from raptchat.providers._http import Connection, Response, body_pieces, is_compressed
from raptchat.providers.retries import AttemptFailed

_MOST_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Of the timeout: the whole of it, redirects too.
_PATIENCE = 2.5
_HEADERS = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": f"raptchat/{__version__}"}


def check_url(url: str) -> str:
    """*url* without its fragment, if it may be fetched; `UsageError` says why not.

    The rules are those of a gateway's URL, but that it may have a query.
    """
    address = url.partition("#")[0]
    try:
        check_gateway_url(address.replace("?", "/"))
    except ValueError as error:
        raise _failed(f"its address {error}") from None
    return address


def fetch(url: str, *, most_bytes: int, timeout: float) -> bytes | None:
    """What is at *url*; `None` when it is larger than *most_bytes*.

    *timeout* is the longest wait, in seconds, between two bytes; all of it may take two and a half times as long.
    `UsageError` for an address that may not be fetched, and for whatever goes wrong on the way.
    """
    address, end = check_url(url), time.monotonic() + timeout * _PATIENCE
    for _ in range(1 + _MOST_REDIRECTS):
        place = origin(address)
        try:
            with (
                closing(Connection(place, timeout=timeout)) as connection,
                connection.exchange(_target(address), headers=_HEADERS, seconds=_left(end, place)) as response,
            ):
                if response.status_code not in _REDIRECTS:
                    _check_answer(response, place)
                    return _content(response, most_bytes, end, place)
                address = _redirected(address, response.headers.get("location", ""))
        except AttemptFailed as failure:
            raise _failed(str(failure.error)) from None
    raise _failed(f"`{origin(url)}` redirects more than {_MOST_REDIRECTS} times")


def _target(address: str) -> str:
    parts = urlsplit(address)
    return address[len(f"{parts.scheme}://{parts.netloc}") :]


def _redirected(address: str, location: str) -> str:
    here = origin(address)
    try:
        target = check_url(urljoin(address, location))
    except (ValueError, UsageError):
        raise _failed(f"`{here}` redirects to an address that may not be fetched") from None
    there = origin(target)
    if there != here and not (target.startswith("https:") and _is_public(urlsplit(target).hostname or "")):
        raise _failed(f"`{here}` redirects to `{there}`, which is no https address of the public network")
    return target


def _is_public(host: str) -> bool:
    """Whether all that *host* stands for are public addresses (IANA's special-purpose registries).

    The connection looks the name up once more, and may find another address: that host then lacks the certificate.
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return True  # not known here: a proxy finds it, or nobody does
    addresses = [ipaddress.ip_address(str(one[4][0]).partition("%")[0]) for one in found]
    return all((getattr(one, "ipv4_mapped", None) or one).is_global for one in addresses)


def _check_answer(response: Response, place: str) -> None:
    if not 200 <= response.status_code < 300:
        raise _failed(f"`{place}` answered with status {response.status_code}")
    if is_compressed(response):
        raise _failed(f"`{place}` compressed its answer, which was not asked for")


def _content(response: Response, most_bytes: int, end: float, place: str) -> bytes | None:
    length = response.headers.get("content-length", "")
    if length.isdigit() and int(length) > most_bytes:
        return None
    pieces: list[bytes] = []
    size = 0
    for piece in body_pieces(response):
        pieces.append(piece)
        size += len(piece)
        if size > most_bytes:
            return None
        _left(end, place)
    return b"".join(pieces)


def _left(end: float, place: str) -> float:
    seconds = end - time.monotonic()
    if seconds <= 0:
        raise _failed(f"`{place}` took too long")
    return seconds


def _failed(reason: str) -> UsageError:
    return UsageError(
        f"the attachment cannot be fetched: {reason}", hint="download it yourself, and attach the file"
    )
