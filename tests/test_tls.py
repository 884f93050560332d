"""TLS: 1.2 or newer, always verified, and nothing around the program turns that off."""

import ast
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import certifi
import pytest
from hostile_gateway import (
    HOST,
    Authorities,
    Behaviour,
    HostileGateway,
    cut_in_the_handshake,
    over_tls,
    record,
    says,
)
from hostile_gateway import running as hostile_gateway
from web_server import answer

import raptchat
from raptchat.errors import GatewayError, GatewayTimeoutError, RaptchatError, UsageError
from raptchat.providers import _http
from raptchat.providers.openrouter import OpenRouterClient

KEY = "W3nR5yJ6sentinelCdWxYzQrStUv"
REPLY = answer(
    b'{"choices": [{"message": {"content": "hello"}, "finish_reason": "stop"}]}', "Content-Type: application/json"
)
FAULTS = (
    "expired",
    "not yet valid",
    "another name",
    "a longer name",
    "a name within",
    "a wildcard for names within",
    "the address only",
    "the name as common name only",
    "an unknown authority",
    "signed by itself",
    "without the authority between",
)


@pytest.fixture(scope="module")
def authorities() -> Authorities:
    return Authorities()


@pytest.fixture
def gateway(authorities: Authorities, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HostileGateway]:
    """A gateway whose good certificates are trusted."""
    pem = tmp_path / "authority.pem"
    pem.write_bytes(authorities.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    with hostile_gateway() as running:
        yield running


def ask(gateway: HostileGateway, behaviour: Behaviour, *, timeout: float = 5, retries: int = 0) -> str:
    """The reply of a gateway that behaves so."""
    gateway.behave = behaviour
    url = f"https://{HOST}:{gateway.port}/api/v1"
    with OpenRouterClient(api_key=KEY, base_url=url, max_retries=retries, timeout=timeout) as client:
        return client.complete_chat([{"role": "user", "content": "hello"}]).content


def test_a_certificate_that_is_as_it_must_be_is_trusted(gateway: HostileGateway, authorities: Authorities) -> None:
    assert ask(gateway, over_tls(authorities.good(), says(REPLY))) == "hello"
    assert b"authorization: bearer " + KEY.lower().encode() in gateway.requests[0].lower()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_certificate_with_a_fault_is_refused_at_once_and_gets_no_key(
    gateway: HostileGateway, authorities: Authorities, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    faulty = authorities.faulty()
    assert set(faulty) == set(FAULTS)
    naps: list[float] = []
    monkeypatch.setattr(time, "sleep", naps.append)

    with pytest.raises(GatewayError, match=rf"the certificate of `https://{HOST}:\d+` is not trusted: ") as caught:
        ask(gateway, over_tls(faulty[fault], says(REPLY)), retries=2)

    assert "SSL_CERT_FILE" in caught.value.hint
    assert gateway.requests == []
    assert naps == []


BREAKS: dict[str, Behaviour] = {
    "plain HTTP": lambda _, connection: connection.sendall(REPLY),
    "garbage": lambda _, connection: connection.sendall(b"\x00" * 100),
    "a record that is none": lambda _, connection: connection.sendall(record(b"x" * 50, kind=99)),
    "a record without end": lambda _, connection: connection.sendall(record(b"x" * 50, length=0xFFFF)),
    "an alert": lambda _, connection: connection.sendall(record(b"\x02\x28", kind=21)),
    "a greeting of another protocol": lambda _, connection: connection.sendall(b"SSH-2.0-OpenSSH_9.9\r\n"),
    "nothing": lambda *_: None,
}


@pytest.mark.parametrize("case", BREAKS)
def test_what_is_no_tls_is_said_and_gets_no_key(gateway: HostileGateway, case: str) -> None:
    def behave(gateway: HostileGateway, connection: socket.socket) -> None:
        connection.recv(65536)
        BREAKS[case](gateway, connection)

    with pytest.raises(GatewayError, match=r"no (TLS )?connection to `https://localhost:\d+`"):
        ask(gateway, behave)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.6, 0.99])
@pytest.mark.parametrize("reset", [False, True])
def test_a_handshake_that_is_cut_is_no_connection(
    gateway: HostileGateway, authorities: Authorities, share: float, *, reset: bool
) -> None:
    with pytest.raises(GatewayError, match=r"no (TLS )?connection to "):
        ask(gateway, cut_in_the_handshake(authorities.good(), share, reset=reset))


def test_a_handshake_that_never_ends_is_not_waited_for(gateway: HostileGateway) -> None:
    def behave(gateway: HostileGateway, connection: socket.socket) -> None:
        gateway.stopping.wait(10)

    began = time.monotonic()
    with pytest.raises(GatewayTimeoutError, match=r"no connection to .* in time"):
        ask(gateway, behave, timeout=0.2)
    gateway.stopping.set()

    assert time.monotonic() - began < 5


def test_a_gateway_that_wants_a_certificate_of_ours_is_an_error(
    gateway: HostileGateway, authorities: Authorities
) -> None:
    with pytest.raises(GatewayError) as caught:
        ask(gateway, over_tls(authorities.demanding(), says(REPLY)))

    assert KEY not in f"{caught.value} {caught.value.hint}"


# An OpenSSL that is told to take anything, as the settings file of a careless machine does.
CARELESS = """
openssl_conf = all
[all]
ssl_conf = ssl
[ssl]
system_default = any
[any]
MinProtocol = TLSv1
CipherString = ALL:@SECLEVEL=0
VerifyMode = Request
"""
_ASK = """
import sys
from raptchat import OpenRouterClient, RaptchatError
with OpenRouterClient(api_key=sys.argv[1], base_url=sys.argv[2], max_retries=0, timeout=5) as client:
    try:
        print(client.complete_chat([{"role": "user", "content": "hello"}]).content)
    except RaptchatError as error:
        print(error)
"""


def said_elsewhere(gateway: HostileGateway, **variables: str) -> str:
    """What another process says that asks *gateway* with these variables set."""
    environ = {**os.environ, **variables}
    command = [sys.executable, "-c", _ASK, KEY, f"https://{HOST}:{gateway.port}/api/v1"]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2])
def test_tls_below_1_2_is_refused_also_where_the_machine_allows_it(
    gateway: HostileGateway, authorities: Authorities, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    (tmp_path / "openssl.cnf").write_text(CARELESS)
    gateway.behave = over_tls(authorities.old(version), says(REPLY))

    said = said_elsewhere(gateway, OPENSSL_CONF=str(tmp_path / "openssl.cnf"))

    if version == ssl.TLSVersion.TLSv1_2:
        assert said == "hello\n"
    else:
        assert said.startswith("no TLS connection to ")
        assert gateway.requests == []


# Whatever turns verification off in other programs.
CARELESS_VARIABLES = {
    "PYTHONHTTPSVERIFY": "0",
    "CURL_CA_BUNDLE": "",
    "REQUESTS_CA_BUNDLE": "",
    "SSL_VERIFY": "0",
    "SSL_NO_VERIFY": "1",
    "HTTPX_VERIFY": "0",
    "HTTPLIB2_CA_CERTS": "",
    "NODE_TLS_REJECT_UNAUTHORIZED": "0",
    "GIT_SSL_NO_VERIFY": "true",
    "AI_VERIFY": "0",
    "RAPTCHAT_VERIFY": "0",
    "RAPTCHAT_INSECURE": "1",
    "RAPTCHAT_DEBUG": "1",
}


def test_no_variable_and_no_settings_file_turns_verification_off(
    gateway: HostileGateway, authorities: Authorities, tmp_path: Path
) -> None:
    (tmp_path / "openssl.cnf").write_text(CARELESS)
    for fault in ("an unknown authority", "another name"):
        gateway.behave = over_tls(authorities.faulty()[fault], says(REPLY))

        said = said_elsewhere(gateway, OPENSSL_CONF=str(tmp_path / "openssl.cnf"), **CARELESS_VARIABLES)

        assert said.startswith("the certificate of "), fault
    assert gateway.requests == []


def test_the_secrets_of_a_connection_are_written_nowhere(
    gateway: HostileGateway, authorities: Authorities, tmp_path: Path
) -> None:
    gateway.behave = over_tls(authorities.good(), says(REPLY))

    assert said_elsewhere(gateway, SSLKEYLOGFILE=str(tmp_path / "secrets")) == "hello\n"
    assert not (tmp_path / "secrets").exists()


def test_no_line_of_the_program_turns_verification_off() -> None:
    found = {}
    for file in Path(raptchat.__file__).parent.rglob("*.py"):
        source = ast.unparse(ast.parse(file.read_text(encoding="utf-8")))
        found[file.name] = [
            word
            for word in ("CERT_NONE", "CERT_OPTIONAL", "check_hostname", "_create_unverified", "verify=False")
            if word in source
        ]

    assert {file: words for file, words in found.items() if words} == {}
    context = _http._tls_context()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("content", [None, "", "not a certificate"])
def test_certificates_that_cannot_be_read_are_an_error(
    gateway: HostileGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    named = tmp_path / "certificates.pem"
    if content is not None:
        named.write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(named))

    with pytest.raises(UsageError, match="`SSL_CERT_FILE` cannot be read"):
        ask(gateway, says(REPLY))


def test_without_certificates_of_the_system_those_of_certifi_are_used(
    gateway: HostileGateway, authorities: Authorities, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "none").mkdir()
    monkeypatch.setenv("SSL_CERT_FILE", "")
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    monkeypatch.setattr(certifi, "where", lambda: str(tmp_path / "authority.pem"))

    assert ask(gateway, over_tls(authorities.good(), says(REPLY))) == "hello"


def test_all_certificates_of_the_system_count_also_where_it_has_a_folder_of_some(
    gateway: HostileGateway, authorities: Authorities, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Whoever appends one to the system's file need not have put it into the folder too.
    system = str(tmp_path / "authority.pem")
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", lambda it: it.load_verify_locations(system))

    assert ask(gateway, over_tls(authorities.good(), says(REPLY))) == "hello"


@pytest.mark.parametrize("host", ["127.0.0.1:9", "[::1]:9", "localhost:9"])
def test_for_plain_http_on_this_machine_no_certificate_is_read(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    for name in ("load_default_certs", "load_verify_locations"):
        monkeypatch.setattr(ssl.SSLContext, name, lambda *_, **__: pytest.fail("certificates were read"))

    _http.Connection(f"http://{host}/api/v1", timeout=1).close()


def test_the_systems_certificates_do_not_count_where_others_are_named(
    gateway: HostileGateway, authorities: Authorities, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "other.pem").write_bytes(authorities.unknown.cert_pem.bytes())
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "other.pem"))

    with pytest.raises(RaptchatError, match="is not trusted"):
        ask(gateway, over_tls(authorities.good(), says(REPLY)))
