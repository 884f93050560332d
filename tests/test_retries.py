"""Which requests are sent again, when, and what an error of the HTTP client becomes."""

import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
import respx
from mocked_gateway import (  # noqa: F401 - pytest finds fixtures by import
    HELLO,
    HI,
    KEY,
    URL,
    client_fixture,
    delta,
    error,
    failure,
    naps_fixture,
    stream,
    wire_fixture,
)

from raptchat.errors import IncompleteReplyError
from raptchat.providers._http import FAILURES
from raptchat.providers.openrouter import OpenRouterClient
from raptchat.records import ContentChunk, DoneChunk, RetryChunk


def test_a_repeat_is_announced_before_the_wait(
    wire: respx.Route, client: OpenRouterClient, naps: list[float]
) -> None:
    wire.side_effect = [error(503, "busy"), error(529), HI]

    chunks = client.stream_chat(HELLO)

    assert next(chunks) == RetryChunk("the gateway or the model's host failed (503): busy", 0.5)
    assert naps == []
    assert next(chunks) == RetryChunk("the gateway or the model's host failed (529): no", 1.0)
    assert naps == [0.5]
    assert [type(chunk) for chunk in chunks] == [ContentChunk, DoneChunk]
    assert naps == [0.5, 1.0]


@pytest.mark.parametrize(
    ("response", "requests"),
    [
        *[(error(status), 4) for status in (408, 429, 502, 503, 504, 520, 521, 522, 523, 524, 529)],
        *[
            (error(status), 1)
            for status in (400, 401, 402, 403, 404, 405, 409, 413, 415, 422, 501, 525, 526, 527, 530)
        ],
        (error(500), 2),
        *[
            (httpx.Response(400, json={"error": {"code": code, "message": "x"}}), 4)
            for code in (408, 429, 502, 503, 504, 524, 529, "503")
        ],
        (httpx.Response(400, json={"error": {"code": 500, "message": "x"}}), 2),
        (httpx.Response(400, json={"error": {"code": 401, "message": "x"}}), 1),
        (error(503, availability={"retryable": False}), 1),
        (error(404, availability={"retryable": True}), 4),
        (error(429, metadata={"limit_source": "openrouter_free_tier_daily"}), 1),
        (error(429, metadata={"limit_source": "upstream_provider_shared_pool"}), 4),
        (error(402, metadata={"limit_source": "openrouter_in_flight_budget"}), 4),
        (error(402, metadata={"reason": "in_flight_budget_exhausted"}), 4),
        (error(402, metadata={"limit_source": "openrouter_credits"}), 1),
        (httpx.Response(200, json={"error": {"code": 503}}), 4),
        (stream({"error": {"code": 503}}), 4),
        (stream({"error": {"code": 401}}), 1),
        (stream(delta("error")), 4),
        (stream("junk"), 1),
        (httpx.Response(302), 1),
    ],
)
def test_only_what_may_pass_is_repeated(
    wire: respx.Route, naps: list[float], response: httpx.Response, requests: int
) -> None:
    wire.return_value = response
    with OpenRouterClient(api_key=KEY, base_url=URL, max_retries=3) as client:
        failure(client)

    assert wire.call_count == requests
    assert naps == [0.5, 1.0, 2.0][: requests - 1]


def date_in(seconds: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("headers", "fields", "wait"),
    [
        ({"retry-after": "7"}, {}, 7),
        ({"retry-after": "0.25"}, {}, 0.25),
        ({"retry-after": "-5"}, {}, 0),
        ({"retry-after-ms": "1500"}, {}, 1.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, {}, 1.5),
        ({"retry-after": "9"}, {"availability": {"retry_after": 3}}, 3),
        ({"retry-after": date_in(-100)}, {}, 0),
        ({"retry-after": "soon"}, {}, 0.5),
        ({"retry-after": "nan"}, {}, 0.5),
        ({"retry-after": "inf"}, {}, 0.5),
        ({"retry-after": "1e300"}, {}, 0.5),
        ({"retry-after": "9" * 5000}, {}, 0.5),
        ({"retry-after": "Mon, 99 Foo 2026 00:00:00 GMT"}, {}, 0.5),
        ({}, {"availability": {"retry_after": True}}, 0.5),
        ({}, {"availability": {"retry_after": []}}, 0.5),
        ({}, {"availability": []}, 0.5),
        ({}, {"metadata": {"headers": {"X-RateLimit-Reset": "1000"}}}, 0),
        ({}, {"metadata": {"headers": {"X-RateLimit-Reset": "soon"}}}, 0.5),
        ({}, {"metadata": {"headers": "x"}}, 0.5),
    ],
)
def test_the_gateway_says_how_long_to_wait(
    wire: respx.Route,
    client: OpenRouterClient,
    naps: list[float],
    headers: dict[str, str],
    fields: dict[str, Any],
    wait: float,
) -> None:
    refused = httpx.Response(429, headers=headers, json={"error": {"message": "x", **fields}})
    wire.side_effect = [refused, HI]

    client.complete_chat(HELLO)

    assert naps == [wait]


def test_a_date_to_wait_for_is_understood(wire: respx.Route, client: OpenRouterClient, naps: list[float]) -> None:
    wire.side_effect = [httpx.Response(429, headers={"retry-after": date_in(30)}), HI]

    client.complete_chat(HELLO)

    assert 25 < naps[0] <= 30


@pytest.mark.parametrize(
    ("headers", "fields", "seconds"),
    [
        ({"retry-after": "61"}, {}, 61),
        ({"retry-after": "3600"}, {}, 3600),
        ({"retry-after": "4000"}, {}, 4000),
    ],
)
def test_a_wait_beyond_patience_fails_at_once_and_says_when(
    wire: respx.Route,
    client: OpenRouterClient,
    naps: list[float],
    headers: dict[str, str],
    fields: dict[str, Any],
    seconds: int,
) -> None:
    wire.return_value = httpx.Response(429, headers=headers, json={"error": {"message": "x", **fields}})

    raised = failure(client)

    assert wire.call_count == 1
    assert raised.fields["retryAfter"] == pytest.approx(seconds, abs=120)
    assert raised.hint.startswith("try again in 61 s" if seconds == 61 else "try again after 20")


def test_the_time_at_which_a_limit_is_lifted_is_understood(wire: respx.Route, client: OpenRouterClient) -> None:
    lifted = {"metadata": {"headers": {"X-RateLimit-Reset": str((time.time() + 4000) * 1000)}}}
    wire.return_value = httpx.Response(429, json={"error": {"message": "x", **lifted}})

    assert failure(client).fields["retryAfter"] == pytest.approx(4000, abs=120)


def test_all_waits_together_stay_below_a_minute(wire: respx.Route, naps: list[float]) -> None:
    wire.return_value = httpx.Response(429, headers={"retry-after": "25"}, json={})
    with OpenRouterClient(api_key=KEY, base_url=URL, max_retries=9) as client:
        failure(client)

    assert naps == [25, 25]


def test_without_a_wish_the_pause_doubles_to_half_a_minute(wire: respx.Route, naps: list[float]) -> None:
    wire.return_value = error(503)
    with OpenRouterClient(api_key=KEY, base_url=URL, max_retries=9) as client:
        failure(client)

    assert naps == [0.5, 1, 2, 4, 8, 16]


def test_doubtful_failures_are_repeated_once_among_others(wire: respx.Route, naps: list[float]) -> None:
    wire.side_effect = [error(503), error(500), error(503), error(500), HI]
    with OpenRouterClient(api_key=KEY, base_url=URL, max_retries=9) as client:
        failure(client)

    assert wire.call_count == 4


def test_nothing_is_repeated_once_text_was_shown(
    wire: respx.Route, client: OpenRouterClient, naps: list[float]
) -> None:
    wire.return_value = stream(delta(reasoning="hm"), {"error": {"code": 503}})

    raised = failure(client)

    assert type(raised) is IncompleteReplyError
    assert wire.call_count == 1


def foreign_errors() -> list[type[Exception]]:
    found = [getattr(httpx, name) for name in httpx.__all__]
    return [cls for cls in found if isinstance(cls, type) and issubclass(cls, Exception)]


def test_every_error_of_the_http_client_has_one_of_ours() -> None:
    known = set(foreign_errors())

    assert len(known) > 25
    assert set(FAILURES) <= known
    for cls in known:
        kinds = [FAILURES[base] for base in cls.__mro__ if base in FAILURES]
        assert kinds, cls
    # Those that say nothing by themselves stand for their children.
    assert {cls for cls in known if cls not in FAILURES} == {
        httpx.StreamConsumed,
        httpx.StreamClosed,
        httpx.ResponseNotRead,
        httpx.RequestNotRead,
    }


def raised_by(cls: type[Exception]) -> Exception:
    if issubclass(cls, httpx.HTTPStatusError):
        return cls(KEY, request=httpx.Request("GET", URL), response=httpx.Response(500))
    if issubclass(cls, httpx.StreamError) and cls is not httpx.StreamError:
        return cls()  # type: ignore[call-arg] # its children bring their own text
    return cls(KEY)


@pytest.mark.parametrize("cls", foreign_errors(), ids=lambda cls: cls.__name__)
def test_an_error_of_the_http_client_becomes_ours(
    wire: respx.Route, client: OpenRouterClient, naps: list[float], cls: type[Exception]
) -> None:
    wire.side_effect = raised_by(cls)

    raised = failure(client)

    kind, _, repeat = next(FAILURES[base] for base in cls.__mro__ if base in FAILURES)
    assert type(raised) is kind
    assert "`http://127.0.0.1:9`" in str(raised) or "proxy" in str(raised)
    assert wire.call_count == {"never": 1, "once": 2, "yes": 3}[repeat.value]
