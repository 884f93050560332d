"""Which certificates are read, and how little of them: none for this machine, of a folder only what is needed."""

import hashlib
import ssl
from collections.abc import Iterator
from pathlib import Path

import certifi
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hostile_gateway import HOST, Authorities, HostileGateway, over_tls, says
from hostile_gateway import running as hostile_gateway
from web_server import answer

from raptchat.errors import RaptchatError
from raptchat.providers import _http
from raptchat.providers._http import Connection
from raptchat.providers.openrouter import OpenRouterClient

HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture
def certificates(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """From where certificates are loaded."""
    read: list[str] = []
    load_verify_locations = ssl.SSLContext.load_verify_locations

    def load(context: ssl.SSLContext, cafile: str | None = None, capath: str | None = None) -> None:
        read.append(cafile or capath or "")
        load_verify_locations(context, cafile, capath)

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", load)
    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", lambda _: read.append("the defaults"))
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    return read


@pytest.mark.parametrize("host", ["127.0.0.1:9", "[::1]:9", "localhost:9"])
def test_for_plain_http_on_this_machine_no_certificate_is_read(certificates: list[str], host: str) -> None:
    Connection(f"http://{host}/api/v1", timeout=1).close()

    assert certificates == []


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A system that has a folder of certificates, and a file with two."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "all.pem").write_text("-----BEGIN CERTIFICATE-----\n" * 2)
    paths = ssl.get_default_verify_paths()._replace(
        cafile=str(tmp_path / "all.pem"), capath=str(tmp_path / "folder")
    )
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
    return tmp_path


@pytest.mark.parametrize(
    ("names", "enough"),
    [
        (["0123abcd.0", "0123abce.0"], True),
        (["0123abcd.0", "0123abcd.1", "readme"], True),
        (["0123abcd.0"], False),
        (["0123abcd.0", "a.pem", "b.pem", "0123abcd.r0", "0123abcd"], False),
        ([], False),
    ],
)
def test_a_folder_of_certificates_takes_the_place_of_the_file_only_where_it_has_as_many(
    certificates: list[str], system: Path, names: list[str], *, enough: bool
) -> None:
    for name in names:
        (system / "folder" / name).touch()

    context = _http._tls_context()

    assert certificates[0] == (str(system / "folder") if enough else "the defaults")
    assert (certifi.where() in certificates) is (not names)
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_certificates_that_the_user_names_are_not_left_aside_for_the_folder(
    certificates: list[str], system: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    for number in range(3):
        (system / "folder" / f"0123abcd.{number}").touch()
    monkeypatch.setenv(variable, certifi.where() if variable == "SSL_CERT_FILE" else str(system))

    _http._tls_context()

    assert certificates == [certifi.where() if variable == "SSL_CERT_FILE" else "the defaults"]


def test_a_folder_that_cannot_be_read_is_no_folder(
    certificates: list[str], system: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = ssl.get_default_verify_paths()._replace(capath=str(system / "gone"))
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: gone)

    assert _http._folder_of_all() is None


def hash_of(name: x509.Name) -> str:
    """What a certificate of *name* is called in a folder (X509_NAME_hash(3): SHA-1 of its canonical form)."""
    parts = [
        x509.RelativeDistinguishedName([x509.NameAttribute(one.oid, str(one.value).lower()) for one in part])
        for part in name.rdns
    ]
    canonical = b"".join(x509.Name([part]).public_bytes()[2:] for part in parts)
    return f"{int.from_bytes(hashlib.sha1(canonical, usedforsecurity=False).digest()[:4], 'little'):08x}"


@pytest.fixture
def gateway() -> Iterator[HostileGateway]:
    with hostile_gateway() as running:
        yield running


@pytest.mark.parametrize("trusted", [True, False])
def test_of_a_folder_the_right_certificate_is_found_and_no_other_is_trusted(
    gateway: HostileGateway, system: Path, monkeypatch: pytest.MonkeyPatch, *, trusted: bool
) -> None:
    for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(variable, raising=False)
    authorities = Authorities()
    pem = authorities.pem if trusted else authorities.unknown.cert_pem.bytes()
    certificate = x509.load_pem_x509_certificate(pem)
    (system / "folder" / f"{hash_of(certificate.subject)}.0").write_bytes(certificate.public_bytes(Encoding.PEM))
    (system / "all.pem").write_bytes(pem)
    whole = b'{"choices": [{"message": {"content": "hello"}, "finish_reason": "stop"}]}'
    gateway.behave = over_tls(authorities.good(), says(answer(whole, "Content-Type: application/json")))

    with OpenRouterClient(api_key="k", base_url=f"https://{HOST}:{gateway.port}/v1", max_retries=0) as client:
        if trusted:
            assert client.complete_chat(HELLO).content == "hello"
        else:
            with pytest.raises(RaptchatError, match="is not trusted"):
                client.complete_chat(HELLO)
            assert gateway.requests == []
