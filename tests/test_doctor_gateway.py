"""`raptchat doctor` against real servers, good and bad; none of them ever gets a key."""

import datetime as dt
import email.utils
import json
import sqlite3
import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import hostile_gateway
import pytest
from conftest import Run
from diagnosis import Diagnosis, own_home_fixture  # noqa: F401 - a fixture
from hostile_gateway import Authorities, HostileGateway, hangs, over_tls, says
from proxy import Proxy
from web_server import Page, WebServer, answer, redirect, running, silent

from raptchat.demo import DEMO_KEY, DemoGateway
from raptchat.doctor import gateway as doctor_gateway
from raptchat.gateway_url import origin

pytestmark = pytest.mark.usefixtures("own_home")

NOW = dt.datetime.now(dt.UTC)


def diagnose(raptchat: Run, *, ok: bool = True) -> Diagnosis:
    return Diagnosis(json.loads(raptchat("doctor --json", exit_code=0 if ok else 1).out))


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    """A gateway whose every answer is written by hand."""
    with running() as server:
        monkeypatch.setenv("AI_GATEWAY_URL", f"{server.url}/v1")
        yield server


def at(seconds: float) -> str:
    """The `Date` of a clock that is *seconds* ahead."""
    moment = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)
    return f"Date: {email.utils.format_datetime(moment, usegmt=True)}"


def test_a_gateway_that_answers_is_reachable_and_gets_no_key(biology: Run, gateway: DemoGateway) -> None:
    gateway.requests.clear()
    found = diagnose(biology)

    assert found.the("gateway", "reachable")["text"].startswith(f"`{origin(gateway.url)}` answers in ")
    assert found.the("gateway", "reachable")["level"] == "ok"
    assert "no proxy is used" in found.the("gateway", "proxy")["text"]
    assert all(request.api_key is None or request.api_key == "" for request in gateway.requests)


def test_offline_nothing_is_asked(biology: Run, gateway: DemoGateway) -> None:
    gateway.requests.clear()
    said = json.loads(biology("doctor --offline --json").out)

    assert gateway.requests == []
    assert [one["text"] for one in said["findings"] if one["name"] == "reachable"] == ["not asked: --offline"]


@pytest.mark.parametrize(
    ("page", "level", "says"),
    [
        (answer(b"{}"), "ok", "answers in"),
        (answer(b"", status="401 Unauthorized"), "ok", "(status 401)"),
        (answer(b"", status="404 Not Found"), "warning", "has no list of models"),
        (answer(b"", status="503 Service Unavailable"), "warning", "answers with an error (status 503)"),
        (redirect("https://thief.example/\x9b2J"), "problem", "sends elsewhere, to `https://thief.example/"),
        (redirect("https://user:secret@thief.example"), "problem", "to `https://***@thief.example`"),
        (b"\x00\x01garbage\r\n\r\n", "problem", "does not answer in HTTP"),
        (b"", "problem", "hung up"),
    ],
)
def test_what_a_gateway_answers_is_said(raptchat: Run, web: WebServer, page: bytes, level: str, says: str) -> None:
    web.pages["/v1/models"] = page
    found = diagnose(raptchat, ok=level != "problem").the("gateway", "reachable")

    assert (found["level"], says in found["text"]) == (level, True), found
    assert "\x9b" not in found["text"]
    assert [path for path, _ in web.requests] == ["/v1/models"]
    assert "authorization" not in web.requests[0][1]


@pytest.mark.parametrize(
    "page", [silent(b""), silent(b"HTTP/1.1 200 OK\r\n"), lambda server, _: server.stopping.wait(30)]
)
def test_a_gateway_that_says_nothing_is_not_waited_for_long(
    raptchat: Run, web: WebServer, monkeypatch: pytest.MonkeyPatch, page: Page
) -> None:
    monkeypatch.setattr(doctor_gateway, "SECONDS", 0.3)
    web.pages["/v1/models"] = page
    found = diagnose(raptchat, ok=False)

    assert found.the("gateway", "reachable")["level"] == "problem"
    assert found.the("versions", "raptchat")["level"] == "ok"


def test_a_port_where_nobody_listens_is_said(raptchat: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with running() as server:
        monkeypatch.setenv("AI_GATEWAY_URL", server.url)
    found = diagnose(raptchat, ok=False).the("gateway", "reachable")

    assert found["text"] == f"no connection to `{server.url}`: it was refused"
    assert found["fix"].startswith("check the network")


@pytest.mark.parametrize(
    ("ahead", "age", "level", "says"),
    [
        (10, 0, "ok", "within 60 s"),
        (100, 0, "warning", "s behind that of"),
        (-100, 0, "warning", "s ahead of that of"),
        (4000, 0, "problem", "s behind that of"),
        (-100, 95, "ok", "within 60 s"),
    ],
)
def test_a_clock_that_is_wrong_is_said(
    raptchat: Run, web: WebServer, ahead: int, age: int, level: str, says: str
) -> None:
    web.pages["/v1/models"] = answer(b"{}", at(ahead), f"Age: {age}")
    found = diagnose(raptchat, ok=level != "problem").the("gateway", "clock")

    assert (found["level"], says in found["text"], bool(found["fix"])) == (level, True, level != "ok")


@pytest.mark.parametrize("headers", [[], ["Date: yesterday"], ["Date: "], [at(0), "Age: old"]])
def test_without_a_date_nothing_is_said_of_the_clock(raptchat: Run, web: WebServer, headers: list[str]) -> None:
    web.pages["/v1/models"] = answer(b"{}", *headers)

    assert diagnose(raptchat).of("gateway", "clock") == []


def test_the_gateways_of_groups_are_asked_each_once(
    biology: Run, gateway: DemoGateway, web: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AI_GATEWAY_URL", gateway.url)
    web.pages["/own/models"] = answer(b"{}")
    for name in ("history", "physics"):
        biology(
            ["group", "add-key", name, "--stdin", "--allow-shared", "--base-url", f"{web.url}/own"], stdin=DEMO_KEY
        )
    web.requests.clear()
    found = diagnose(biology)

    assert len(found.of("gateway", "reachable")) == 2
    assert [path for path, _ in web.requests] == ["/own/models"]
    assert "authorization" not in web.requests[0][1]


def test_of_many_gateways_not_all_are_asked(
    biology: Run, web: WebServer, gateway: DemoGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_gateway, "MOST_GATEWAYS", 2)
    monkeypatch.setenv("AI_GATEWAY_URL", gateway.url)
    for number in range(3):
        web.pages[f"/{number}/models"] = answer(b"{}")
        url = f"{web.url}/{number}"
        biology(["group", "add-key", f"g{number}", "--stdin", "--allow-shared", "--base-url", url], stdin=DEMO_KEY)
    web.requests.clear()

    texts = [one["text"] for one in diagnose(biology).of("gateway", "reachable")]
    assert "only the first 2 of 4 gateways are asked" in texts
    assert len(web.requests) == 1


def test_a_place_that_no_key_may_be_sent_to_is_not_asked(biology: Run, web: WebServer, home: Path) -> None:
    web.pages["/v1/models"] = answer(b"{}")
    with closing(sqlite3.connect(home / "raptchat.db")) as db, db:
        db.execute("UPDATE ai_credentials SET base_url = 'http://thief.example'")
    found = diagnose(biology, ok=False)

    assert len(found.of("gateway", "reachable")) == 1
    assert found.the("store", "seals")["level"] == "problem"


@pytest.fixture(scope="module")
def authorities() -> Authorities:
    return Authorities()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@contextmanager
def serving(context: ssl.SSLContext) -> Iterator[HostileGateway]:
    with hostile_gateway.running() as server:
        server.behave = over_tls(context, says(OK))
        yield server


@pytest.fixture
def trusted(authorities: Authorities, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with the one authority that is trusted."""
    file = tmp_path / "authorities.pem"
    file.write_bytes(authorities.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    return file


def test_tls_and_its_certificate_are_described(
    raptchat: Run, authorities: Authorities, trusted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(authorities.good()) as server:
        monkeypatch.setenv("AI_GATEWAY_URL", f"https://localhost:{server.port}/v1")
        found = diagnose(raptchat)

    assert f"TLSv1.3, checked by the certificates in `{trusted}`" in found.the("gateway", "TLS")["text"]
    assert found.the("gateway", "certificate")["level"] == "ok"
    assert b"authorization" not in server.requests[0].lower()


def test_a_certificate_that_ends_soon_is_said(
    raptchat: Run, authorities: Authorities, trusted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon = authorities.trusted.issue_cert("localhost", not_after=NOW + dt.timedelta(days=3))
    with serving(hostile_gateway.served(soon)) as server:
        monkeypatch.setenv("AI_GATEWAY_URL", f"https://localhost:{server.port}/v1")
        found = diagnose(raptchat).the("gateway", "certificate")

    assert (found["level"], found["text"].endswith("2 days from now")) == ("warning", True)


@pytest.mark.parametrize(
    ("fault", "fix"),
    [
        ("expired", "clock"),
        ("not yet valid", "clock"),
        ("another name", "SSL_CERT_FILE"),
        ("signed by itself", "SSL_"),
    ],
)
def test_a_certificate_that_is_not_trusted_is_said(
    raptchat: Run, authorities: Authorities, trusted: Path, monkeypatch: pytest.MonkeyPatch, fault: str, fix: str
) -> None:
    with serving(authorities.faulty()[fault]) as server:
        monkeypatch.setenv("AI_GATEWAY_URL", f"https://localhost:{server.port}/v1")
        found = diagnose(raptchat, ok=False).the("gateway", "reachable")

    assert (found["level"], "is not trusted" in found["text"], fix in found["fix"]) == ("problem", True, True), (
        found
    )
    assert server.requests == []


def test_certificates_that_cannot_be_read_are_said(raptchat: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AI_GATEWAY_URL", "https://localhost:1/v1")
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/at.all")

    assert "`SSL_CERT_FILE` cannot be read" in diagnose(raptchat, ok=False).the("gateway", "reachable")["text"]


def test_a_proxy_is_named_without_its_password(
    raptchat: Run, authorities: Authorities, trusted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(authorities.good("gateway.example")) as server, Proxy(server.port) as proxy:
        place = proxy.url.removeprefix("http://")
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:s3cret@{place}")
        monkeypatch.setenv("AI_GATEWAY_URL", "https://gateway.example/v1")
        found = diagnose(raptchat)

    assert found.the("gateway", "proxy")["text"] == f"`https://gateway.example:443` is asked through `{place}`"
    assert found.the("gateway", "reachable")["level"] == "ok"
    assert "s3cret" not in json.dumps(found.document)
    assert b"s3cret" not in server.requests[0]


def test_a_proxy_that_is_no_url_is_a_problem(raptchat: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "ftp://s3cret@proxy.example:99999")
    monkeypatch.setenv("AI_GATEWAY_URL", "https://gateway.example/v1")
    found = diagnose(raptchat, ok=False)

    assert "the proxy that the environment names cannot be used" in found.the("gateway", "reachable")["text"]
    assert "s3cret" not in json.dumps(found.document)


def test_no_proxy_is_honoured(raptchat: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_gateway, "SECONDS", 2)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "gateway.invalid")
    monkeypatch.setenv("AI_GATEWAY_URL", "https://gateway.invalid/v1")

    found = diagnose(raptchat, ok=False)
    assert found.the("gateway", "proxy")["text"] == "`https://gateway.invalid:443` is asked directly"
    assert found.the("gateway", "reachable")["level"] == "problem"


def test_a_handshake_that_hangs_is_not_waited_for_long(
    raptchat: Run, trusted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_gateway, "SECONDS", 0.3)
    with hostile_gateway.running() as server:
        server.behave = hangs
        monkeypatch.setenv("AI_GATEWAY_URL", f"https://localhost:{server.port}/v1")

        assert diagnose(raptchat, ok=False).the("gateway", "reachable")["level"] == "problem"


def test_the_system_trust_store_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "certificates" in doctor_gateway._trust_store()
    empty = ssl.get_default_verify_paths()._replace(capath="")
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: empty)
    monkeypatch.setattr(ssl.SSLContext, "cert_store_stats", lambda _: {"x509_ca": 0})
    assert doctor_gateway._trust_store() == "certifi's certificates: the system has none"
