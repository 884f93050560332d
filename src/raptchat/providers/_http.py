"""The HTTP client: the only module that knows httpx.

Connections that a key may travel on, and httpx's exceptions as our own. Nothing of httpx's texts is passed on:
they can hold a header, a proxy's password or what the other side sent.
"""

import logging
import os
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NoReturn, cast

from raptchat.errors import GatewayError, GatewayTimeoutError, InvalidResponseError, RaptchatError, UsageError
from raptchat.gateway_url import is_loopback, origin
from raptchat.providers.retries import AttemptFailed, Repeat

if "httpx" not in sys.modules:
    # Where click, rich and pygments are installed httpx loads its own command line with them (110 ms).
    # While that module counts as missing, httpx takes the way it has for that case.
    sys.modules["httpx._main"] = cast("ModuleType", None)
    import httpx

    del sys.modules["httpx._main"]
else:
    import httpx

if TYPE_CHECKING:
    import httpcore

Response = httpx.Response

CONNECT_SECONDS = 10.0
_WRITE_SECONDS = 60.0
_NETWORK = "check the network, and `HTTPS_PROXY` if it goes through a proxy"

# The class, what happened, and whether it may be sent again. `{place}` is the gateway's origin.
FAILURES: dict[type[Exception], tuple[type[RaptchatError], str, Repeat]] = {
    httpx.ConnectTimeout: (GatewayTimeoutError, "no connection to {place} in time", Repeat.YES),
    httpx.ConnectError: (GatewayError, "no connection to {place}", Repeat.YES),
    httpx.PoolTimeout: (GatewayTimeoutError, "no connection to {place} was free in time", Repeat.YES),
    httpx.ReadTimeout: (GatewayTimeoutError, "{place} sent nothing for too long", Repeat.ONCE),
    httpx.WriteTimeout: (GatewayTimeoutError, "{place} did not take the request in time", Repeat.ONCE),
    httpx.ReadError: (GatewayError, "the connection to {place} broke", Repeat.ONCE),
    httpx.WriteError: (GatewayError, "the connection to {place} broke", Repeat.ONCE),
    httpx.CloseError: (GatewayError, "the connection to {place} broke", Repeat.ONCE),
    httpx.NetworkError: (GatewayError, "the connection to {place} broke", Repeat.ONCE),
    httpx.TimeoutException: (GatewayTimeoutError, "{place} took too long", Repeat.ONCE),
    httpx.RemoteProtocolError: (InvalidResponseError, "{place} does not answer in HTTP", Repeat.NEVER),
    httpx.LocalProtocolError: (GatewayError, "the request to {place} cannot be sent", Repeat.NEVER),
    httpx.ProtocolError: (InvalidResponseError, "{place} does not answer in HTTP", Repeat.NEVER),
    httpx.ProxyError: (GatewayError, "the proxy did not connect to {place}", Repeat.NEVER),
    # The gateway's own address was checked: these come of the target of a redirect.
    httpx.UnsupportedProtocol: (InvalidResponseError, "{place} sends the request nowhere", Repeat.NEVER),
    httpx.InvalidURL: (InvalidResponseError, "{place} sends the request nowhere", Repeat.NEVER),
    httpx.DecodingError: (InvalidResponseError, "the answer of {place} is garbled", Repeat.NEVER),
    httpx.TooManyRedirects: (InvalidResponseError, "{place} sends the request elsewhere", Repeat.NEVER),
    httpx.HTTPStatusError: (GatewayError, "{place} refused the request", Repeat.NEVER),
    httpx.CookieConflict: (InvalidResponseError, "the answer of {place} is garbled", Repeat.NEVER),
    # Another thread closed the client while its answer was being read.
    httpx.StreamError: (GatewayError, "the connection to {place} was closed", Repeat.NEVER),
    httpx.TransportError: (GatewayError, "the connection to {place} failed", Repeat.NEVER),
    httpx.RequestError: (GatewayError, "the connection to {place} failed", Repeat.NEVER),
    httpx.HTTPError: (GatewayError, "the connection to {place} failed", Repeat.NEVER),
}


class Connection:
    """Connections to the gateway at *base_url*, which `check_gateway_url` must have let through.

    *timeout* is the longest wait, in seconds, between two bytes of an answer. `UsageError` when the proxy or
    the certificates that the environment names cannot be used.
    """

    def __init__(self, base_url: str, *, timeout: float, slow_hint: str = "try again later") -> None:
        # It writes every URL at INFO.
        for name in ("httpx", "httpcore"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self._base_url = base_url
        self._place = f"`{origin(base_url)}`"
        self._slow_hint = slow_hint
        loopback = is_loopback(base_url)
        try:
            self._client = httpx.Client(
                timeout=httpx.Timeout(
                    connect=min(CONNECT_SECONDS, timeout), read=timeout, write=_WRITE_SECONDS, pool=CONNECT_SECONDS
                ),
                verify=_tls_context() if base_url.startswith("https") else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
                follow_redirects=False,
                # Each request has a connection of its own: one that is late is hung up, and no other with it.
                limits=httpx.Limits(max_keepalive_connections=0),
                # With HTTP_PROXY set, a key for this very machine would go to the proxy in clear.
                trust_env=not loopback,
            )
        except (ValueError, ImportError, httpx.InvalidURL):
            raise UsageError(
                "the proxy that the environment names cannot be used",
                hint="check `HTTPS_PROXY` and `ALL_PROXY`: http://HOST:PORT",
            ) from None

    @contextmanager
    def exchange(
        self,
        path: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None = None,
        method: str | None = None,
        seconds: float,
        sent: Callable[[], None] = lambda: None,
    ) -> Iterator[Response]:
        """The answer to a request, for `body_pieces`; it is closed on leaving.

        *method* is a POST where there is a *body*, and a GET where there is none, unless it says another one.
        *sent* is called when all is sent. `AttemptFailed` when the wire fails, or when the answer did not begin
        within *seconds* of being asked for.
        """
        try:
            request = self._request(method or ("GET" if body is None else "POST"), path, headers, body)
            response = self._send(request, seconds, sent)
            try:
                yield response
            finally:
                response.close()
                # The two hold each other, and all that was sent: it would stay until garbage is looked for.
                del response.stream
        except (httpx.HTTPError, httpx.InvalidURL, httpx.CookieConflict, httpx.StreamError) as error:
            _raise_alone(self._failure(error))

    def close(self) -> None:
        """Let the connections go."""
        self._client.close()

    def _send(
        self,
        request: httpx.Request,
        seconds: float,
        sent: Callable[[], None],
    ) -> Response:
        # httpx bounds the time between two bytes only: a host could send a header byte by byte for ever.
        late = threading.Event()
        overdue: threading.Timer | None = None
        stream: httpcore.NetworkStream | None = None

        def trace(event: str, info: Mapping[str, object]) -> None:
            nonlocal overdue, stream
            if event.endswith(("connect_tcp.complete", "start_tls.complete")):
                stream = cast("httpcore.NetworkStream", info["return_value"])
            elif event.endswith("receive_response_headers.started"):
                sent()
                timer = threading.Timer(seconds, _hang_up, [stream, late])
                timer.daemon = True
                with suppress(RuntimeError):  # no thread to be had: httpx's own time limits remain
                    timer.start()
                    overdue = timer
            elif ".receive_response_headers." in event and overdue is not None:
                overdue.cancel()  # a proxy answers first, and the gateway has its own time
                overdue.join()

        request.extensions["trace"] = trace
        try:
            return self._client.send(request, stream=True)
        except httpx.TransportError:
            if not late.is_set():
                raise
            said = f"{self._place} did not begin to answer for {seconds:g} s"
            _raise_alone(AttemptFailed(GatewayTimeoutError(said, hint=self._slow_hint), Repeat.ONCE))
        except RuntimeError:
            if not self._client.is_closed:
                raise
            # By another thread, since it was handed out.
            closed = GatewayError(f"the connection to {self._place} was closed")
            _raise_alone(AttemptFailed(closed, Repeat.NEVER))
        except (ValueError, OverflowError):
            # Not from httpx but from the socket, for a host or port, also of a proxy, that cannot be one.
            error = UsageError(f"no connection to {self._place}: it is not an address", hint=_NETWORK)
            _raise_alone(AttemptFailed(error, Repeat.NEVER))

    def _request(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> httpx.Request:
        try:
            return self._client.build_request(method, self._base_url + path, headers=headers, content=body)
        except ValueError:  # a header that is not ASCII, whose text is in the error
            error = UsageError(f"the request to {self._place} holds what no header can")
            _raise_alone(AttemptFailed(error, Repeat.NEVER))

    def _failure(self, error: Exception) -> AttemptFailed:
        kind, message, repeat = next(FAILURES[cls] for cls in type(error).__mro__ if cls in FAILURES)
        hint = self._slow_hint if isinstance(error, httpx.ReadTimeout) else _NETWORK
        if isinstance(error, httpx.RemoteProtocolError) and _is_hang_up(error):
            kind, message, repeat = GatewayError, "{place} hung up before its answer was whole", Repeat.ONCE
        for cause in _causes(error):
            if isinstance(cause, ssl.SSLCertVerificationError):
                reason = cause.verify_message
                message, repeat = f"the certificate of {{place}} is not trusted: {reason}", Repeat.NEVER
                hint = "if your network checks TLS with a certificate of its own, name it in `SSL_CERT_FILE`"
            elif isinstance(cause, ssl.SSLError):
                message = "no TLS connection to {place}"
            elif isinstance(cause, socket.gaierror):
                message = "the address of {place} cannot be found"
            elif isinstance(cause, ConnectionRefusedError):
                message = "no connection to {place}: it was refused"
        return AttemptFailed(kind(message.format(place=self._place), hint=hint), repeat)


def _raise_alone(failure: AttemptFailed) -> NoReturn:
    """Raise *failure* without what it comes of: that can hold a header, which `from None` would only hide."""
    try:
        raise failure from None
    finally:
        failure.__context__ = None


def _hang_up(stream: "httpcore.NetworkStream | None", late: threading.Event) -> None:
    late.set()
    if stream is not None:
        with suppress(OSError):
            stream.get_extra_info("socket").shutdown(socket.SHUT_RDWR)


def body_pieces(response: Response) -> Iterator[bytes]:
    """The body as it comes, once: what one read brought, or in "chunked" coding one chunk of it."""
    # `Response.iter_raw` passes each of them through a chunker that leaves them as they are.
    assert isinstance(response.stream, httpx.SyncByteStream)
    return iter(response.stream)


def is_compressed(response: Response) -> bool:
    """Whether the body is, though it was not asked for: a small one can unpack to any size."""
    return response.headers.get("content-encoding", "").strip().lower() not in {"", "identity"}


def first_bytes(response: Response, limit: int, *, seconds: float) -> bytes:
    """What comes of the body of an error within *seconds*, *limit* bytes at most; the status says enough."""
    body, end = b"", time.monotonic() + seconds
    with suppress(httpx.HTTPError):
        for piece in body_pieces(response):
            body += piece
            if len(body) >= limit or time.monotonic() > end:
                break
    return body[:limit]


def _is_hang_up(error: httpx.RemoteProtocolError) -> bool:
    # httpcore and h11 have one class for a broken answer and for a missing end of one.
    return "disconnected" in str(error) or "closed connection" in str(error)


def _causes(error: BaseException) -> Iterator[BaseException]:
    # One of another library can come of itself.
    seen, cause = {error}, error.__cause__ or error.__context__
    while cause is not None and cause not in seen:
        yield cause
        seen.add(cause)
        cause = cause.__cause__ or cause.__context__


def _tls_context() -> ssl.SSLContext:
    """TLS 1.2 or newer, always verified, by the system's certificates or those `SSL_CERT_FILE` names."""
    named = os.environ.get("SSL_CERT_FILE")
    # As it is made it checks certificates and names. `create_default_context` would write the secrets of each
    # connection into the file that `SSLKEYLOGFILE` names.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if named and not Path(named).is_file():
            raise FileNotFoundError
        if named:
            context.load_verify_locations(cafile=named)
        else:
            context.load_default_certs()
    except OSError:
        raise UsageError(
            "the certificates in `SSL_CERT_FILE` cannot be read",
            hint="name a file of PEM certificates, or unset `SSL_CERT_FILE`",
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not named and not system_has_certificates(context):
        import certifi

        context.load_verify_locations(certifi.where())
    return context


def system_has_certificates(context: ssl.SSLContext) -> bool:
    """Whether *context*, which loaded the default certificates, can check any with them."""
    if context.cert_store_stats()["x509_ca"]:
        return True
    # A folder of certificates is read when it is needed, so the store does not count them.
    folder = ssl.get_default_verify_paths().capath
    return bool(folder) and any(Path(folder).iterdir())
