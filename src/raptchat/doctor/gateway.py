"""The area `gateway`: whether each gateway that a key may be sent to answers; no key is sent.

The way is that of a question (`providers/_http.py`): the same proxy, the same certificates, no redirects.
"""

import email.utils
import os
import ssl
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from raptchat import __version__
from raptchat.doctor.finding import Check, Finding, ok, problem, warning
from raptchat.doctor.subject import Subject
from raptchat.errors import RaptchatError
from raptchat.gateway_url import check_gateway_url, is_loopback, origin, without_user_info
from raptchat.outside import safe_line, shortened

if TYPE_CHECKING:
    from raptchat.providers._http import Response

SECONDS = 10.0
MOST_GATEWAYS = 8
CLOCK_WARNING_SECONDS = 60
# Beyond it certificates that are new, or about to end, are not valid yet, or any more.
CLOCK_PROBLEM_SECONDS = 300
CERTIFICATE_WARNING_DAYS = 14

_CLOCK_FIX = "set this machine's clock: timedatectl set-ntp true, or the system's settings for date and time"


def checks(subject: Subject) -> list[Check]:
    """What there is to look at; without the network only where requests would go."""
    return [Check("gateway", "gateways", lambda: _gateways(subject))]


def _gateways(subject: Subject) -> Iterator[Finding]:
    urls = _urls(subject)
    if not urls:
        text = "not asked: the settings cannot be read, which is said under environment"
        yield warning("gateway", "reachable", text)
        return
    for url in urls[:MOST_GATEWAYS]:
        yield _proxy(url)
    if len(urls) > MOST_GATEWAYS:
        text = f"only the first {MOST_GATEWAYS} of {len(urls)} gateways are asked"
        yield warning("gateway", "reachable", text)
    if subject.offline:
        yield ok("gateway", "reachable", "not asked: --offline")
    else:
        yield from _asked(urls[:MOST_GATEWAYS])


def _urls(subject: Subject) -> list[str]:
    """The gateway of the settings, and those that active keys are for; each one once."""
    urls = [subject.settings.gateway_url] if subject.settings else []
    for place in _places(subject):
        # One that no key may be sent to is said with the key's seal.
        with suppress(ValueError):
            urls.append(check_gateway_url(place))
    return list(dict.fromkeys(urls))


def _places(subject: Subject) -> list[str]:
    if subject.store is None or subject.store.state != "current":
        return []
    with subject.store.opened() as store:
        return [one.base_url for one in store.credentials.all() if one.is_active and one.base_url]


def _asked(urls: list[str]) -> Iterator[Finding]:
    """What each of *urls* answers; they are asked at once, and after ten seconds what came is all there is."""
    found: dict[str, list[Finding]] = {}

    def ask(url: str) -> None:
        found[url] = list(Check("gateway", "reachable", lambda: _answer(url)).findings())

    threads = [threading.Thread(target=ask, args=[url], name="gateway", daemon=True) for url in urls]
    for thread in threads:
        thread.start()
    ends = time.monotonic() + SECONDS
    for url, thread in zip(urls, threads, strict=True):
        thread.join(max(ends - time.monotonic(), 0))
        silent = problem(
            "gateway",
            "reachable",
            f"{_place(url)} did not answer within {SECONDS:g} s",
            "check the network, and `HTTPS_PROXY` if it goes through a proxy",
        )
        yield from found.get(url, [silent])


def _answer(url: str) -> Iterator[Finding]:
    from raptchat.providers._http import Connection
    from raptchat.providers.retries import AttemptFailed

    headers = {
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "User-Agent": f"raptchat/{__version__}",
    }
    begun = time.monotonic()
    try:
        connection = Connection(url, timeout=SECONDS)
        try:
            with connection.exchange("/models", headers=headers, seconds=SECONDS) as response:
                took = time.monotonic() - begun
                yield _reachable(url, response, took)
                yield from _tls(url, response)
                yield from _clock(url, response)
        finally:
            connection.close()
    except AttemptFailed as failed:
        yield problem("gateway", "reachable", str(failed.error), _fix(failed.error))


def _fix(error: RaptchatError) -> str:
    # What a certificate is refused for may be the date of this machine.
    return _CLOCK_FIX if "expired" in str(error) or "not yet valid" in str(error) else error.hint


def _reachable(url: str, response: "Response", seconds: float) -> Finding:
    status, place = response.status_code, _place(url)
    if 300 <= status < 400:
        target = shortened(safe_line(without_user_info(response.headers.get("location", "nowhere"))), 100)
        text = f"{place} sends elsewhere, to `{target}`, where no key is sent"
        return problem("gateway", "reachable", text, "correct AI_GATEWAY_URL, or the group's --base-url")
    if status == 404:
        text = f"{place} answers, but has no list of models at `{url}/models`"
        return warning("gateway", "reachable", text, "is the path right? It often ends in /v1")
    if status >= 500:
        return warning(
            "gateway", "reachable", f"{place} answers with an error (status {status})", "try again later"
        )
    return ok("gateway", "reachable", f"{place} answers in {seconds * 1000:.0f} ms (status {status})")


def _tls(url: str, response: "Response") -> Iterator[Finding]:
    connection = response.extensions["network_stream"].get_extra_info("ssl_object")
    if connection is None:
        return
    text = f"{_place(url)}: {connection.version()}, checked by {_trust_store()}"
    yield ok("gateway", "TLS", text)
    ends = ssl.cert_time_to_seconds(connection.getpeercert()["notAfter"])
    days = int((ends - time.time()) / 86400)
    day = datetime.fromtimestamp(ends, UTC).date().isoformat()
    text = f"{_place(url)}: valid until {day}"
    if days < CERTIFICATE_WARNING_DAYS:
        fix = "whoever runs the gateway has to renew it"
        yield warning("gateway", "certificate", f"{text}, {days} days from now", fix)
    else:
        yield ok("gateway", "certificate", text)


def _trust_store() -> str:
    from raptchat.providers._http import system_has_certificates

    if named := os.environ.get("SSL_CERT_FILE"):
        return f"the certificates in `{named}` (SSL_CERT_FILE)"
    # Not `create_default_context`, which makes the file that SSLKEYLOGFILE names.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_default_certs()
    if system_has_certificates(context):
        return "the system's certificates"
    return "certifi's certificates: the system has none"


def _clock(url: str, response: "Response") -> Iterator[Finding]:
    """The `Date` of the answer against this machine's clock (RFC 9110, 6.6.1); a stored answer says its `Age`."""
    now = time.time()
    try:
        date = email.utils.parsedate_to_datetime(response.headers.get("date", ""))
        age = int(response.headers.get("age", "0"))
        behind = date.timestamp() + age - now
    except (ValueError, OverflowError):
        return
    off = abs(behind)
    if off < CLOCK_WARNING_SECONDS:
        yield ok("gateway", "clock", f"within {CLOCK_WARNING_SECONDS} s of {_place(url)}")
        return
    text = f"this machine's clock is {off:,.0f} s {'behind' if behind > 0 else 'ahead of'} that of {_place(url)}"
    said = problem if off >= CLOCK_PROBLEM_SECONDS else warning
    yield said("gateway", "clock", text, _CLOCK_FIX)


def _proxy(url: str) -> Finding:
    place = _place(url)
    if is_loopback(url):
        return ok("gateway", "proxy", f"{place} is this machine: no proxy is used")
    # As httpx finds it.
    host, proxies = urlsplit(url).netloc, urllib.request.getproxies()
    named = proxies.get("https") or proxies.get("all")
    if named is None or urllib.request.proxy_bypass(host):
        return ok("gateway", "proxy", f"{place} is asked directly")
    # What stands before the `@` is a password.
    shown = safe_line(named.rpartition("@")[2].rpartition("//")[2].partition("/")[0])
    return ok("gateway", "proxy", f"{place} is asked through `{shown}`")


def _place(url: str) -> str:
    return f"`{origin(url)}`"
