"""Signing in with a browser: the page to open, and the key for its code."""

import hashlib
import http.client
import json
import re
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from raptchat.demo import DEMO_MANAGEMENT_KEY, Answer, DemoGateway, Received
from raptchat.errors import (
    AuthenticationFailedError,
    GatewayError,
    InvalidResponseError,
    RaptchatError,
    UsageError,
)
from raptchat.providers.json_calls import JsonCalls
from raptchat.providers.management import ManagementClient
from raptchat.providers.openrouter import OpenRouterClient
from raptchat.providers.sign_in import authorize_url, exchange_code
from raptchat.secret import Secret

VERIFIER = Secret("the-verifier-of-these-tests-is-of-43-characters")
CHALLENGE = urlsafe_b64encode(hashlib.sha256(VERIFIER.reveal().encode()).digest()).rstrip(b"=").decode()
CALLBACK = "http://localhost:5000/unguessable"


@pytest.fixture(scope="module")
def demo() -> Iterator[DemoGateway]:
    with DemoGateway() as gateway:
        yield gateway


def opened(url: str) -> tuple[int, str, str]:
    """What a browser gets at *url*: the status, where it is sent, and the page."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    try:
        connection.request("GET", f"{parts.path}?{parts.query}")
        answer = connection.getresponse()
        return answer.status, answer.headers.get("Location", ""), answer.read().decode()
    finally:
        connection.close()


def page(
    demo: DemoGateway, *, callback: str | None = CALLBACK, challenge: str = CHALLENGE
) -> tuple[int, str, str]:
    return opened(authorize_url(demo.url, callback=callback, challenge=challenge, label="raptchat-biology"))


def code_of(demo: DemoGateway) -> str:
    return parse_qs(urlsplit(page(demo)[1]).query)["code"][0]


def exchange(demo: DemoGateway, code: str, verifier: Secret = VERIFIER, *, max_retries: int = 0) -> Secret:
    return exchange_code(demo.url, Secret(code), verifier, timeout=10, max_retries=max_retries)


def test_the_page_is_that_of_the_gateway() -> None:
    url = authorize_url("https://openrouter.ai/api/v1", callback=CALLBACK, challenge="c-_", label="raptchat-a b&c")

    assert url.startswith("https://openrouter.ai/auth?")
    assert parse_qs(urlsplit(url).query) == {
        "callback_url": [CALLBACK],
        "code_challenge": ["c-_"],
        "code_challenge_method": ["S256"],
        "key_label": ["raptchat-a b&c"],
    }
    other = authorize_url("https://gateway.example/open/api/v1/", callback=None, challenge="c", label="l")
    assert other == "https://gateway.example/open/auth?code_challenge=c&code_challenge_method=S256&key_label=l"


def test_the_browser_brings_the_code_back_and_a_key_is_had_for_it(demo: DemoGateway) -> None:
    status, location, _ = page(demo)
    assert status == 302
    assert location.startswith(f"{CALLBACK}?code=")

    key = exchange(demo, parse_qs(urlsplit(location).query)["code"][0])

    asked = demo.requests[-1]
    assert (asked.path, asked.api_key, asked.body["code_challenge_method"]) == ("/api/v1/auth/keys", None, "S256")
    with OpenRouterClient(api_key=key, base_url=demo.url) as client:
        assert client.complete_chat([{"role": "user", "content": "hi"}], model="demo/echo").content == "hi"
    manager = ManagementClient(api_key=Secret(DEMO_MANAGEMENT_KEY), base_url=demo.url, timeout=10, max_retries=0)
    with manager:
        infos = manager.keys()
    assert "raptchat-biology" in [info.name for info in infos]


def test_without_a_way_back_the_page_shows_the_code(demo: DemoGateway) -> None:
    status, _, text = page(demo, callback=None)

    [code] = re.findall("<code>(.*)</code>", text)
    assert status == 200
    assert exchange(demo, code).reveal().startswith("sk-or-v1-made-")


def test_a_code_is_good_for_one_use_with_its_verifier(demo: DemoGateway) -> None:
    used, mistaken = code_of(demo), code_of(demo)
    exchange(demo, used)

    for code, verifier in ((used, VERIFIER), (mistaken, Secret("y" * 43)), (mistaken, VERIFIER), ("x", VERIFIER)):
        with pytest.raises(AuthenticationFailedError, match="refused the code") as raised:
            exchange(demo, code, verifier)
        assert "sign in again" in raised.value.hint


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, UsageError), (401, AuthenticationFailedError), (404, GatewayError), (405, GatewayError)],
)
def test_a_refusal_says_what_to_do(demo: DemoGateway, status: int, kind: type[RaptchatError]) -> None:
    body = json.dumps({"error": {"code": status, "message": "no"}}).encode()
    demo.answer(Answer(status, {"Content-Type": "application/json"}, [body]))
    with pytest.raises(RaptchatError) as raised:
        exchange(demo, "code")

    assert type(raised.value) is kind
    assert raised.value.hint


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_code_is_never_sent_twice(demo: DemoGateway, status: int) -> None:
    before = len(demo.requests)
    body = json.dumps({"error": {"code": status, "availability": {"retry_after": 0}}}).encode()
    demo.answer(Answer(status, {"Content-Type": "application/json"}, [body]))
    with pytest.raises(GatewayError) as raised:
        exchange(demo, "code", max_retries=3)

    assert len(demo.requests) == before + 1
    assert "delete the new key" in raised.value.hint


def test_neither_the_code_nor_the_verifier_is_said(demo: DemoGateway) -> None:
    code = "the-code-of-this-sign-in"
    body = json.dumps({"error": {"code": 500, "message": f"{code} or {VERIFIER.reveal()} is bad"}}).encode()
    demo.answer(Answer(500, {"Content-Type": "application/json"}, [body]))
    with pytest.raises(GatewayError, match=r"\*\*\* or \*\*\* is bad"):
        exchange(demo, code)


@pytest.mark.parametrize("answer", [{}, {"key": None}, {"key": ""}, {"key": "a b"}, {"key": 7}])
def test_an_answer_without_a_key_is_no_sign_in(demo: DemoGateway, answer: object) -> None:
    demo.answer(Answer(200, {"Content-Type": "application/json"}, [json.dumps(answer).encode()]))
    with pytest.raises(InvalidResponseError, match="gave no key"):
        exchange(demo, "code")


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"code_challenge": "c"},
        {"code_challenge": "c", "code_challenge_method": "plain"},
        {"code_challenge": "", "code_challenge_method": "S256"},
        {"code_challenge": "c", "code_challenge_method": "S256", "callback_url": "http://elsewhere.example/"},
        {"code_challenge": "c", "code_challenge_method": "S256", "callback_url": "javascript:alert(1)"},
        {"code_challenge": "c", "code_challenge_method": "S256", "callback_url": "http://localhost/\r\nX: 1"},
        {"code_challenge": "c", "code_challenge_method": "S256", "callback_url": "http://["},
        {str(number): "" for number in range(30)},
    ],
)
def test_the_demo_page_gives_no_code_to_whom_it_should_not(demo: DemoGateway, query: dict[str, str]) -> None:
    status, location, text = opened(f"{demo.url.removesuffix('/api/v1')}/auth?{urlencode(query)}")

    assert (status, location) == (400, "")
    assert "<code>" not in text


def test_a_way_back_keeps_what_it_asks_for(demo: DemoGateway) -> None:
    _, location, _ = page(demo, callback="https://app.example/back?a=1")

    assert location.startswith("https://app.example/back?a=1&code=")


def test_the_demo_takes_one_method_for_codes_only(demo: DemoGateway) -> None:
    with JsonCalls(demo.url, key=None, timeout=10, max_retries=0) as calls:
        for body in ({"code": "x", "code_challenge_method": "plain"}, {"code": ["x"]}, {}):
            with pytest.raises(GatewayError):
                calls.call("POST", "/auth/keys", body)
        with pytest.raises(GatewayError) as raised:
            calls.call("GET", "/auth/keys")
    assert raised.value.fields["status"] == 405


def test_the_demo_forgets_codes_that_nobody_uses(demo: DemoGateway) -> None:
    first = code_of(demo)
    query = urlencode({"code_challenge": CHALLENGE, "code_challenge_method": "S256"})
    for _ in range(1000):
        demo._server.account.answer(Received("GET", f"/auth?{query}", {}, {}, None))

    with pytest.raises(AuthenticationFailedError):
        exchange(demo, first)
