"""A gateway on the loopback that does to a connection whatever it is told to, below HTTP and below TLS."""

import datetime as dt
import socket
import socketserver
import ssl
import struct
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import trustme

Behaviour = Callable[["HostileGateway", socket.socket], None]

HOST = "localhost"
_DAY = dt.timedelta(days=1)


class HostileGateway(socketserver.ThreadingTCPServer):
    """Treats each connection as *behave* says; *requests* are all that it was asked, headers and bodies."""

    daemon_threads = False
    block_on_close = True

    def __init__(self) -> None:
        self.behave: Behaviour = says(b"")
        self.requests: list[bytes] = []
        self.stopping = threading.Event()
        super().__init__(("127.0.0.1", 0), socketserver.BaseRequestHandler)

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self.server_address[1]
        return port

    def finish_request(self, request: object, client_address: object) -> None:
        """Deal with one connection, in a thread of its own."""
        assert isinstance(request, socket.socket)
        request.settimeout(10)
        try:
            self.behave(self, request)
        except OSError:
            return  # the client has seen enough, or was told to go

    def shutdown_request(self, request: object) -> None:
        """Close the connection as it is: an orderly end is sent by whoever wants one."""
        assert isinstance(request, socket.socket)
        request.close()


@contextmanager
def running() -> Iterator[HostileGateway]:
    """The gateway, while it is entered."""
    with HostileGateway() as gateway:
        thread = threading.Thread(target=gateway.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield gateway
        finally:
            gateway.stopping.set()
            gateway.shutdown()
            thread.join()


def says(*pieces: bytes, reset: bool = False) -> Behaviour:
    """Hears the request, says *pieces*, and closes the connection, with a TCP reset when *reset*."""

    def behave(gateway: HostileGateway, connection: socket.socket) -> None:
        _hear(gateway, connection)
        for piece in pieces:
            connection.sendall(piece)
        _end(connection, reset=reset)

    return behave


def drips(pieces: Iterable[bytes], *, pause: float) -> Behaviour:
    """Hears the request, and says *pieces* with *pause* seconds between them, until nobody listens any more."""

    def behave(gateway: HostileGateway, connection: socket.socket) -> None:
        _hear(gateway, connection)
        for piece in pieces:
            connection.sendall(piece)
            if gateway.stopping.wait(pause):
                break

    return behave


def hangs(gateway: HostileGateway, connection: socket.socket) -> None:
    """Takes the connection, and says nothing for as long as the client is there."""
    while not gateway.stopping.is_set() and connection.recv(65536):
        pass


def over_tls(context: ssl.SSLContext, then: Behaviour) -> Behaviour:
    """As *then*, within TLS."""

    def behave(gateway: HostileGateway, connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as wrapped:
            then(gateway, wrapped)

    return behave


def cut_in_the_handshake(context: ssl.SSLContext, share: float, *, reset: bool) -> Behaviour:
    """Says a *share* of the server's part of a handshake (0 to 1), and closes the connection."""

    def behave(gateway: HostileGateway, connection: socket.socket) -> None:
        heard, said = ssl.MemoryBIO(), ssl.MemoryBIO()
        server = context.wrap_bio(heard, said, server_side=True)
        heard.write(connection.recv(65536))
        try:
            server.do_handshake()
        except ssl.SSLWantReadError:
            flight = said.read()
            connection.sendall(flight[: int(len(flight) * share)])
        _end(connection, reset=reset)

    return behave


def record(content: bytes, *, kind: int = 22, version: int = 0x0303, length: int | None = None) -> bytes:
    """A TLS record (RFC 8446, 5.1); *length* is what it claims to hold."""
    return struct.pack("!BHH", kind, version, len(content) if length is None else length) + content


class Authorities:
    """Certificates of every kind: those of *trusted* are good, all others are not."""

    def __init__(self) -> None:
        self.trusted, self.unknown = trustme.CA(), trustme.CA()
        self.pem = self.trusted.cert_pem.bytes()

    def good(self, host: str = HOST) -> ssl.SSLContext:
        """A certificate that is as it must be."""
        return served(self.trusted.issue_cert(host))

    def faulty(self) -> dict[str, ssl.SSLContext]:
        """A server for each fault that a certificate can have."""
        now = dt.datetime.now(dt.UTC)
        issue = self.trusted.issue_cert
        self_signed = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with self.unknown.private_key_pem.tempfile() as key, self.unknown.cert_pem.tempfile() as certificate:
            self_signed.load_cert_chain(certificate, key)
        incomplete = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        leaf = self.trusted.create_child_ca().issue_cert(HOST)
        with leaf.private_key_pem.tempfile() as key, leaf.cert_chain_pems[0].tempfile() as certificate:
            incomplete.load_cert_chain(certificate, key)
        return {
            "expired": served(issue(HOST, not_before=now - 3 * _DAY, not_after=now - _DAY)),
            "not yet valid": served(issue(HOST, not_before=now + _DAY, not_after=now + 3 * _DAY)),
            "another name": served(issue("gateway.example")),
            "a longer name": served(issue(f"{HOST}.example")),
            "a name within": served(issue(f"api.{HOST}")),
            "a wildcard for names within": served(issue(f"*.{HOST}")),
            "the address only": served(issue("127.0.0.1")),
            "the name as common name only": served(issue("gateway.example", common_name=HOST)),
            "an unknown authority": served(self.unknown.issue_cert(HOST)),
            "signed by itself": self_signed,
            "without the authority between": incomplete,
        }

    def old(self, version: ssl.TLSVersion) -> ssl.SSLContext:
        """A good certificate, in a version of TLS that is no longer safe (RFC 8996)."""
        context = self.good()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = version
        context.set_ciphers("ALL:@SECLEVEL=0")
        return context

    def demanding(self) -> ssl.SSLContext:
        """A good certificate, for clients that have one too."""
        context = self.good()
        context.verify_mode = ssl.CERT_REQUIRED
        self.unknown.configure_trust(context)
        return context


def served(certificate: trustme.LeafCert) -> ssl.SSLContext:
    """A server with this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def _hear(gateway: HostileGateway, connection: socket.socket) -> None:
    heard = b""
    while b"\r\n\r\n" not in heard and (piece := connection.recv(65536)):
        heard += piece
    head, _, body = heard.partition(b"\r\n\r\n")
    _, _, length = head.lower().partition(b"content-length:")
    left = int(length.split(b"\r\n")[0] or 0)
    while len(body) < left and (piece := connection.recv(65536)):
        body += piece
    gateway.requests.append(head + b"\r\n\r\n" + body)


def _end(connection: socket.socket, *, reset: bool) -> None:
    if reset:
        # What was sent goes out first: a reset overtakes it.
        time.sleep(0.02)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
