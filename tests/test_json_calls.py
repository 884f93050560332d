"""Calls of a gateway's API: what is sent, what is sent again, and what is made of any answer."""

import itertools
import json
import socket
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from hostile_gateway import HostileGateway, drips, hangs, running, says

from raptchat.demo import Answer, DemoGateway
from raptchat.errors import (
    AuthenticationFailedError,
    GatewayError,
    GatewayTimeoutError,
    InsufficientCreditError,
    InvalidResponseError,
    ModelNotAvailableError,
    RaptchatError,
    RateLimitedError,
    UsageError,
)
from raptchat.providers.json_calls import MAX_BYTES, JsonCalls, is_not_found
from raptchat.secret import Secret

JSON = {"Content-Type": "application/json"}
KEY = Secret("sk-or-v1-sentinel-of-the-calls")


@pytest.fixture(scope="module")
def demo() -> Iterator[DemoGateway]:
    with DemoGateway() as gateway:
        yield gateway


@pytest.fixture
def hostile() -> Iterator[HostileGateway]:
    with running() as gateway:
        yield gateway


def calls(gateway: DemoGateway | HostileGateway, *, key: Secret | None = KEY, **how: Any) -> JsonCalls:
    url = gateway.url if isinstance(gateway, DemoGateway) else f"http://127.0.0.1:{gateway.port}/api/v1"
    return JsonCalls(url, key=key, **{"timeout": 10.0, "max_retries": 2, **how})


def said(data: object, status: int = 200) -> Answer:
    return Answer(status, JSON, [data if isinstance(data, bytes) else json.dumps(data).encode()])


def refused(status: int, message: str = "no", **error: object) -> Answer:
    return said({"error": {"code": status, "message": message, **error}}, status)


BUSY = refused(503, availability={"retry_after": 0})


def error_of(demo: DemoGateway, *answers: Answer, **how: Any) -> RaptchatError:
    demo.answer(*answers)
    with calls(demo, **how) as api, pytest.raises(RaptchatError) as raised:
        api.call("GET", "/key")
    return raised.value


def test_a_call_sends_its_key_its_body_and_nothing_that_is_not_needed(demo: DemoGateway) -> None:
    demo.answer(said({"data": 1}), said({}))
    with calls(demo) as api:
        assert api.call("PATCH", "/keys/x", {"limit": Decimal("0.1"), "name": "a"}) == {"data": 1}
        assert api.call("GET", "/keys", query={"a": "1 &", "b": "2"}) == {}

    patch, get = demo.requests[-2:]
    assert (patch.method, patch.path, patch.body) == ("PATCH", "/api/v1/keys/x", {"limit": 0.1, "name": "a"})
    assert patch.api_key == KEY.reveal()
    assert patch.headers["content-type"] == "application/json"
    assert patch.headers["accept-encoding"] == "identity"
    assert (get.method, get.path) == ("GET", "/api/v1/keys?a=1+%26&b=2")
    assert "content-type" not in get.headers


def test_a_call_without_a_key_sends_none(demo: DemoGateway) -> None:
    demo.answer(said({}))
    with calls(demo, key=None) as api:
        api.call("POST", "/auth/keys", {})

    assert demo.requests[-1].api_key is None


@pytest.mark.parametrize(
    ("amount", "written"),
    [
        ("20", b"20"),
        ("20.00", b"20"),
        ("1E+3", b"1000"),
        ("0.1", b"0.1"),
        ("123456.123456789", b"123456.123456789"),
        ("0.000000001", b"1e-09"),
    ],
)
def test_an_amount_is_sent_as_the_number_that_it_is(hostile: HostileGateway, amount: str, written: bytes) -> None:
    hostile.behave = says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
    with calls(hostile) as api:
        api.call("POST", "/keys", {"limit": Decimal(amount)})

    assert hostile.requests[-1].endswith(b'{"limit": ' + written + b"}")


@pytest.mark.parametrize("value", [object(), float("nan")])
def test_what_has_no_json_form_is_never_sent(demo: DemoGateway, value: object) -> None:
    before = len(demo.requests)
    with calls(demo) as api, pytest.raises((TypeError, ValueError)):
        api.call("POST", "/keys", {"limit": value})

    assert len(demo.requests) == before


def test_fractions_are_exact(demo: DemoGateway) -> None:
    demo.answer(said(b'{"usage": 0.1, "whole": 3}'))
    with calls(demo) as api:
        answer = api.call("GET", "/key")

    assert answer == {"usage": Decimal("0.1"), "whole": 3}
    assert isinstance(answer["usage"], Decimal)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (refused(400), GatewayError),
        (refused(400, availability={"code": "model_not_found"}), GatewayError),
        (refused(401), AuthenticationFailedError),
        (refused(402), InsufficientCreditError),
        (refused(403), AuthenticationFailedError),
        (refused(404), GatewayError),
        (refused(405), GatewayError),
        (refused(429), RateLimitedError),
        (refused(500), GatewayError),
        (refused(504), GatewayTimeoutError),
        (Answer(404, JSON, [b'{"detail": "Not Found"}']), GatewayError),
        (Answer(502, body=[]), GatewayError),
        (said({"error": {"code": 401, "message": "User not found."}}), AuthenticationFailedError),
        (said({"error": {"code": 404, "message": "Not found"}}), GatewayError),
    ],
)
def test_a_refusal_says_its_status_and_nothing_of_models(
    demo: DemoGateway, answer: Answer, kind: type[GatewayError]
) -> None:
    error = error_of(demo, answer, max_retries=0)

    assert type(error) is kind
    assert not isinstance(error, ModelNotAvailableError)
    inner = json.loads(b"".join(answer.body) or b"{}") if answer.headers == JSON else {}
    expected = inner["error"]["code"] if answer.status == 200 else answer.status
    assert error.fields["status"] == expected
    assert "model `" not in str(error)
    assert "model" not in error.hint


@pytest.mark.parametrize(
    "answer",
    [
        Answer(404, {"Content-Type": "text/html"}, [b"<html>"]),
        Answer(404, JSON, []),
        Answer(404, {**JSON, "Content-Encoding": "gzip"}, [b"{}"]),
    ],
)
def test_a_page_that_a_proxy_says_is_missing_is_no_word_of_the_gateways(demo: DemoGateway, answer: Answer) -> None:
    error = error_of(demo, answer)

    assert str(error) == "there is no gateway at this address (404)"
    assert error.hint == "check `AI_GATEWAY_URL`"
    assert not is_not_found(error)


def test_an_address_may_hold_the_word_model(demo: DemoGateway) -> None:
    hint = "check the address that --base-url names: https://models.example"

    assert error_of(demo, Answer(404, JSON, [b"{}"]), address_hint=hint).hint == hint


def test_a_wish_to_wait_for_longer_than_the_timeout_is_not_waited_for(demo: DemoGateway) -> None:
    before = len(demo.requests)
    error = error_of(demo, refused(429, availability={"retry_after": 3}), timeout=2.0)

    assert isinstance(error, RateLimitedError)
    assert error.hint == "try again in 3 s"
    assert len(demo.requests) == before + 1


def test_no_error_says_the_key(demo: DemoGateway) -> None:
    for status in (400, 401, 403, 500):
        error = error_of(demo, refused(status, f"the key {KEY.reveal()} \x1b[31m"), max_retries=0)
        assert "sentinel" not in f"{error} {error.hint} {error.fields}"
        assert "***" in str(error)
        assert "\x1b" not in str(error)


def test_a_redirect_is_not_followed(demo: DemoGateway) -> None:
    before = len(demo.requests)
    error = error_of(demo, Answer(307, {"Location": f"{demo.url}/elsewhere"}))

    assert isinstance(error, InvalidResponseError)
    assert error.fields["status"] == 307
    assert len(demo.requests) == before + 1


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b"<html>sk-or-v1-made-just-now</html>", b'{"a": 1} x', b"\xff"]
)
def test_an_answer_that_is_no_object_is_not_shown(demo: DemoGateway, body: bytes) -> None:
    error = error_of(demo, said(body))

    assert isinstance(error, InvalidResponseError)
    assert "sk-or-v1" not in str(error)
    assert "AI_GATEWAY_URL" in error.hint


def test_no_content_is_an_empty_answer(demo: DemoGateway) -> None:
    demo.answer(Answer(204, {}, []))
    with calls(demo) as api:
        assert api.call("DELETE", "/keys/x") == {}


def test_a_compressed_answer_is_refused_unread(demo: DemoGateway) -> None:
    error = error_of(demo, Answer(200, {**JSON, "Content-Encoding": "gzip"}, [b"\x1f\x8b"]))

    assert isinstance(error, InvalidResponseError)


def test_an_answer_is_read_up_to_its_limit(demo: DemoGateway) -> None:
    frame = len(b'{"a": ""}')
    demo.answer(said({"a": "x" * (MAX_BYTES - frame)}))
    with calls(demo) as api:
        assert len(api.call("GET", "/key")["a"]) == MAX_BYTES - frame

    error = error_of(demo, said({"a": "x" * (MAX_BYTES - frame + 1)}))
    assert isinstance(error, InvalidResponseError)
    assert "larger than 5 MiB" in str(error)


def test_an_answer_that_drips_is_given_up(hostile: HostileGateway) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"
    hostile.behave = drips([head, *[b" "] * 999], pause=0.02)
    with calls(hostile, timeout=0.1, max_retries=0) as api, pytest.raises(GatewayTimeoutError):
        api.call("GET", "/key")


def test_a_gateway_that_says_nothing_is_given_up(hostile: HostileGateway) -> None:
    hostile.behave = hangs
    with calls(hostile, timeout=0.05, max_retries=0) as api, pytest.raises(GatewayTimeoutError) as raised:
        api.call("GET", "/key")

    assert raised.value.hint == "try again later"


def test_a_failure_that_may_pass_is_tried_again_as_often_as_allowed(demo: DemoGateway) -> None:
    before = len(demo.requests)
    demo.answer(BUSY, BUSY, said({"data": 1}))
    with calls(demo) as api:
        assert api.call("GET", "/key") == {"data": 1}
    assert len(demo.requests) == before + 3

    error = error_of(demo, BUSY, BUSY, BUSY)
    assert error.fields["status"] == 503


def test_a_call_that_would_do_it_twice_is_sent_once(demo: DemoGateway, hostile: HostileGateway) -> None:
    before = len(demo.requests)
    # Whoever passes the word of another on does not know what became of it.
    passed_on = said({"error": {"code": 429, "availability": {"retry_after": 0}}}, 400)
    for answer in (BUSY, passed_on, said({"error": {"code": 429, "availability": {"retry_after": 0}}})):
        demo.answer(answer)
        with calls(demo) as api, pytest.raises(GatewayError):
            api.call("POST", "/keys", {}, repeatable=False)
    assert len(demo.requests) == before + 3

    for behaviour in (says(reset=True), says(), says(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{")):
        hostile.behave = behaviour
        hostile.requests.clear()
        with calls(hostile) as api, pytest.raises(GatewayError):
            api.call("POST", "/keys", {"name": "x"}, repeatable=False)
        assert len(hostile.requests) == 1


def test_a_gateway_that_is_not_there_is_said() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        api = JsonCalls(f"http://127.0.0.1:{port}/api/v1", key=KEY, timeout=10, max_retries=1)
        with api, pytest.raises(GatewayError, match="refused") as raised:
            api.call("POST", "/keys", {}, repeatable=False)

    assert "status" not in raised.value.fields


def test_a_connection_that_is_refused_at_first_is_tried_again_also_for_what_is_sent_once(
    demo: DemoGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect, tries = socket.create_connection, itertools.count(1)

    def refused_at_first(*args: Any, **how: Any) -> socket.socket:
        if next(tries) == 1:
            raise ConnectionRefusedError
        return connect(*args, **how)

    monkeypatch.setattr(socket, "create_connection", refused_at_first)
    before = len(demo.requests)
    demo.answer(said({"data": 1}, 201))
    with calls(demo, max_retries=1) as api:
        assert api.call("POST", "/keys", {"name": "x"}, repeatable=False) == {"data": 1}

    assert (next(tries), len(demo.requests)) == (3, before + 1)


def test_an_error_that_comes_of_itself_is_told_of_once(demo: DemoGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = ConnectionRefusedError(), OSError()
    first.__cause__, second.__cause__ = second, first

    def refuse(*_: Any, **__: Any) -> socket.socket:
        raise first

    monkeypatch.setattr(socket, "create_connection", refuse)
    with calls(demo, max_retries=0) as api, pytest.raises(GatewayError, match="it was refused"):
        api.call("GET", "/key")


@pytest.mark.parametrize(
    ("url", "timeout"),
    [
        ("http://gateway.example/api/v1", 1.0),
        ("https://user:pass@gateway.example/", 1.0),
        ("https://gateway.example", 0.0),
        ("https://gateway.example", float("inf")),
    ],
)
def test_an_address_or_a_time_that_cannot_be_right_is_refused(url: str, timeout: float) -> None:
    with pytest.raises(UsageError):
        JsonCalls(url, key=KEY, timeout=timeout, max_retries=0)


def test_a_closed_client_calls_nothing(demo: DemoGateway) -> None:
    api = calls(demo)
    api.close()
    with pytest.raises(GatewayError, match="closed"):
        api.call("GET", "/key")
