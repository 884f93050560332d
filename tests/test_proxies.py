"""Proxies: what goes through them, what never does, and what they say."""

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hostile_gateway import HOST, Authorities, HostileGateway, drips, over_tls, says, served
from hostile_gateway import running as hostile_gateway
from proxy import Proxy
from test_streams import ask
from test_tls import REPLY

from raptchat.demo import DEMO_KEY, DemoGateway
from raptchat.errors import GatewayError, GatewayTimeoutError, UsageError
from raptchat.providers.openrouter import OpenRouterClient

# No proxy is asked for this machine itself.
FAR = "gateway.example"
# Never more than a fraction of the timeout between two pieces.
DRIP = (b"HTTP/1.1 200 OK\r\nX: ", *itertools.repeat(b"y", 300))
INTERIM = (b"HTTP/1.1 103 Early Hints\r\n\r\n",) * 300


@pytest.fixture
def client(gateway: DemoGateway) -> Iterator[OpenRouterClient]:
    with OpenRouterClient(api_key=DEMO_KEY, base_url=gateway.url, max_retries=0, timeout=10) as client:
        yield client


def test_a_loopback_request_never_goes_through_a_proxy(
    gateway: DemoGateway, client: OpenRouterClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)

    assert ask(client).content == "hello"


@pytest.fixture
def proxy(gateway: DemoGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo gateway as a proxy that refuses to connect."""
    for name in ("https_proxy", "NO_PROXY", "no_proxy", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", gateway.url.replace("//", "//user:password@").removesuffix("/api/v1"))


@pytest.mark.usefixtures("proxy")
def test_a_proxy_that_refuses_is_told_from_the_gateway(gateway: DemoGateway) -> None:
    with (
        OpenRouterClient(api_key=DEMO_KEY, base_url="https://gateway.example/api/v1") as client,
        pytest.raises(
            GatewayError, match=r"the proxy did not connect to `https://gateway\.example:443`"
        ) as caught,
    ):
        ask(client)

    assert "password" not in f"{caught.value} {caught.value.hint}"
    assert "HTTPS_PROXY" in caught.value.hint


def test_a_proxy_that_cannot_be_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "NO_PROXY", "no_proxy", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://" + "a" * 64 + ".example")
    with (
        OpenRouterClient(api_key=DEMO_KEY, base_url="https://gateway.example", max_retries=0) as client,
        pytest.raises(UsageError, match="is not an address") as caught,
    ):
        ask(client)

    assert "HTTPS_PROXY" in caught.value.hint


@pytest.fixture(scope="module")
def authorities() -> Authorities:
    return Authorities()


@pytest.fixture
def far(authorities: Authorities, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HostileGateway]:
    """A gateway that speaks TLS."""
    pem = tmp_path / "authority.pem"
    pem.write_bytes(authorities.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    with hostile_gateway() as running:
        yield running


def client_of(gateway: HostileGateway, host: str = FAR, *, timeout: float = 5) -> OpenRouterClient:
    return OpenRouterClient(
        api_key=DEMO_KEY, base_url=f"https://{host}:{gateway.port}/api/v1", max_retries=0, timeout=timeout
    )


def test_a_reply_comes_through_a_proxy_that_sees_no_key(
    far: HostileGateway, authorities: Authorities, monkeypatch: pytest.MonkeyPatch
) -> None:
    far.behave = over_tls(authorities.good(FAR), says(REPLY))
    with Proxy(far.port) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with client_of(far) as client:
            assert ask(client).content == "hello"

    assert proxy.heard.startswith(f"CONNECT {FAR}:{far.port} HTTP/1.1\r\n".encode())
    assert b"uthorization" not in proxy.heard
    assert DEMO_KEY.encode() not in proxy.heard


def test_a_proxy_cannot_stand_in_for_the_gateway(
    far: HostileGateway, authorities: Authorities, monkeypatch: pytest.MonkeyPatch
) -> None:
    far.behave = over_tls(served(authorities.unknown.issue_cert(FAR)), says(REPLY))
    with Proxy(far.port) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with client_of(far) as client, pytest.raises(GatewayError, match="is not trusted"):
            ask(client)

    assert proxy.heard.startswith(b"CONNECT ")
    assert far.requests == []


@pytest.mark.parametrize("who", ["gateway", "proxy"])
def test_a_drip_through_a_proxy_is_not_waited_for_either(
    far: HostileGateway, authorities: Authorities, monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    far.behave = over_tls(authorities.good(FAR), drips(DRIP, pause=0.03))

    def slowly() -> Iterator[bytes]:
        for piece in DRIP:
            yield piece
            time.sleep(0.03)

    with Proxy(far.port, slowly()) if who == "proxy" else Proxy(far.port) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with (
            client_of(far, timeout=0.2) as client,
            pytest.raises(GatewayTimeoutError, match=r"did not begin to answer for 0\.5 s"),
        ):
            ask(client)


@pytest.mark.parametrize("pieces", [INTERIM, DRIP])
def test_a_drip_within_tls_is_not_waited_for_either(
    far: HostileGateway, authorities: Authorities, pieces: tuple[bytes, ...]
) -> None:
    far.behave = over_tls(authorities.good(), drips(pieces, pause=0.03))
    with client_of(far, HOST, timeout=0.2) as client:
        with pytest.raises(GatewayTimeoutError, match=r"did not begin to answer for 0\.5 s"):
            ask(client)

        far.behave = over_tls(authorities.good(), says(REPLY))
        assert ask(client).content == "hello"


def test_a_gateway_without_tls_is_told_from_one_that_is_not_there(
    gateway: DemoGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with (
        OpenRouterClient(api_key=DEMO_KEY, base_url=gateway.url.replace("http", "https"), max_retries=0) as client,
        pytest.raises(GatewayError, match=r"no TLS connection to `https://127\.0\.0\.1:\d+`"),
    ):
        ask(client)
