"""A gateway's list of models: what is read of it, how it is asked for, and what a hostile one can do."""

import gzip
import itertools
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx
import pytest
import respx
from hypothesis import given
from hypothesis import strategies as st
from mocked_gateway import (  # noqa: F401 - pytest finds fixtures by import
    KEY,
    URL,
    client_fixture,
    error,
    naps_fixture,
)

from raptchat.demo import DEMO_KEY, Answer, DemoGateway
from raptchat.errors import (
    AuthenticationFailedError,
    GatewayError,
    GatewayTimeoutError,
    InsufficientCreditError,
    InvalidResponseError,
    RaptchatError,
    RateLimitedError,
)
from raptchat.providers import model_list
from raptchat.providers.openrouter import OpenRouterClient
from raptchat.records import Model, RetryChunk

OPENROUTER = "https://openrouter.ai/api/v1"

CLAUDE: dict[str, Any] = {
    "id": "anthropic/claude-haiku-4.5",
    "canonical_slug": "anthropic/claude-4.5-haiku-20251001",
    "name": "Anthropic: Claude Haiku 4.5",
    "description": "Fast.",
    "created": 1760547638,
    "context_length": 200000,
    "architecture": {"input_modalities": ["image", "text"], "output_modalities": ["text"], "tokenizer": "Claude"},
    "pricing": {"prompt": "0.000001", "completion": "0.000005", "request": "0", "image": "0"},
    "supported_parameters": ["max_tokens", "reasoning", "structured_outputs", "tools"],
    "expiration_date": None,
}


def read_one(**fields: object) -> Model:
    [found] = model_list.read([{"id": "a/b", **fields}])
    return found


def test_an_entry_is_read_with_its_prices_for_a_million_tokens() -> None:
    assert model_list.read([CLAUDE]) == [
        Model(
            id="anthropic/claude-haiku-4.5",
            name="Anthropic: Claude Haiku 4.5",
            created_at="2025-10-15T17:00:38Z",
            context_length=200000,
            input_modalities=("image", "text"),
            input_price=Decimal(1),
            output_price=Decimal(5),
            request_price=Decimal(0),
            supported_parameters=("max_tokens", "reasoning", "structured_outputs", "tools"),
            expires_on=None,
        )
    ]


@pytest.mark.parametrize(
    ("value", "price"),
    [
        ("0.00000025", Decimal("0.25")),
        ("1e-7", Decimal("0.1")),
        ("1E-7", Decimal("0.1")),
        ("0", Decimal(0)),
        ("0e5", Decimal(0)),
        (Decimal("0.000015"), Decimal(15)),
        (0, Decimal(0)),
        ("-1", None),
        (-1, None),
        (Decimal("-0.1"), None),
        ("NaN", None),
        ("Infinity", None),
        (Decimal("NaN"), None),
        ("1e99", None),
        ("1e-99", None),
        ("1e999999999", None),
        ("9" * 400, None),
        (10**400, None),
        ("0." + "0" * 400 + "1", None),
        ("\u0661", None),
        ("1_0", None),
        (" 1", None),
        ("", None),
        ("free", None),
        (True, None),
        (None, None),
        ([], None),
        ({}, None),
    ],
)
def test_a_price_is_exact_or_unknown(value: object, price: Decimal | None) -> None:
    assert read_one(pricing={"prompt": value}).input_price == price


def test_only_what_is_known_to_cost_nothing_is_free() -> None:
    assert read_one(pricing={"prompt": "0", "completion": "0"}).is_free
    assert read_one(pricing={"prompt": "0", "completion": "0", "request": "0"}).is_free
    assert not read_one(pricing={"prompt": "0", "completion": "0", "request": "0.01"}).is_free
    assert not read_one(pricing={"prompt": "0"}).is_free
    assert not read_one(pricing={"prompt": "-1", "completion": "-1"}).is_free
    assert not read_one().is_free


@pytest.mark.parametrize("value", [None, "128000", 0, -1, True, 1.5, Decimal(1), 10**400, [], {}])
def test_a_context_or_a_time_that_cannot_be_right_is_unknown(value: object) -> None:
    found = read_one(context_length=value, created=value)

    assert (found.context_length, found.created_at) == (None, None)


@pytest.mark.parametrize(
    ("value", "day"),
    [
        ("2026-12-31", "2026-12-31"),
        ("2026-12-31T23:59:59Z", "2026-12-31"),
        ("2026-02-31", None),
        ("soon", None),
        ("", None),
        (1798675200, None),
        (None, None),
    ],
)
def test_the_day_of_expiry_is_a_day_or_unknown(value: object, day: str | None) -> None:
    assert read_one(expiration_date=value).expires_on == day


def test_words_are_kept_and_everything_else_in_their_lists_is_not() -> None:
    odd = ["text", "text", "IMAGE", "a b", "\x1b[2J", "", None, 3, ["image"], {"image": 1}, "x" * 41, "image"]

    assert read_one(architecture={"input_modalities": odd}).input_modalities == ("text", "image")
    assert read_one(supported_parameters=odd).supported_parameters == ("text", "image")
    assert read_one(architecture="text->text", supported_parameters="tools", pricing=["0"]) == Model("a/b", "a/b")


@pytest.mark.parametrize(
    "model_id",
    [
        None,
        3,
        [],
        "",
        " ",
        "a b",
        "a\tb",
        "a\nb",
        "\x1b[2J",
        "a\x9bb",
        "a\u202eb",
        "a\ufeffb",
        "a\ud800b",
        "x" * 201,
    ],
)
def test_an_entry_without_a_usable_id_is_left_out_and_spoils_nothing(model_id: object) -> None:
    assert [one.id for one in model_list.read([{"id": model_id}, None, 3, "x", [], CLAUDE])] == [CLAUDE["id"]]


def test_a_name_is_safe_to_show_and_is_the_id_where_there_is_none() -> None:
    assert read_one(name="  \x1b[2JGood\u202e\r\n ").name == "\u241b[2JGood\ufffd"
    nameless: list[object] = [None, "", "  ", 3, []]
    assert [read_one(name=name).name for name in nameless] == ["a/b"] * 5
    assert len(read_one(name="n" * 10_000).name) == 200


def test_of_two_entries_with_one_id_the_first_counts_and_of_very_many_the_first_ten_thousand() -> None:
    assert [one.name for one in model_list.read([{"id": "a", "name": "1"}, {"id": "a", "name": "2"}])] == ["1"]
    assert len(model_list.read([{"id": f"m{number}"} for number in range(10_050)])) == model_list.MOST_MODELS


@pytest.mark.parametrize("entries", [None, {}, "models", 3])
def test_what_is_no_list_holds_no_models(entries: object) -> None:
    assert model_list.read(entries) == []


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["a/b", "0.000001", "-1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*CLAUDE, "prompt"]), inner),
    max_leaves=5,
)


@given(
    st.lists(
        st.fixed_dictionaries(
            {"id": st.text(max_size=5) | JSON}, optional={name: JSON for name in CLAUDE if name != "id"}
        )
    )
)
def test_whatever_is_read_can_be_written_and_read_again(entries: list[object]) -> None:
    models = model_list.read(entries)

    assert model_list.read(json.loads(json.dumps([model_list.entry(model) for model in models]))) == models
    assert all(model.id.isprintable() and "\n" not in model.name for model in models)


def page(*entries: object, **more: object) -> httpx.Response:
    return httpx.Response(200, json={"data": list(entries), **more})


def refused(client: OpenRouterClient) -> RaptchatError:
    """What goes wrong; nothing of the key is in it."""
    with pytest.raises(RaptchatError) as caught:
        client.list_models()
    shown = f"{caught.value!r} {caught.value.hint} {caught.value.fields}"
    assert "sentinel" not in shown
    assert caught.value.__cause__ is None
    assert str(caught.value).isprintable()
    return caught.value


@respx.mock
def test_the_list_is_that_of_the_key_and_the_key_goes_only_in_its_header(client: OpenRouterClient) -> None:
    route = respx.get(f"{URL}/models/user").mock(return_value=page(CLAUDE))

    assert [model.id for model in client.list_models()] == [CLAUDE["id"]]
    request = route.calls.last.request
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["accept"] == "application/json"
    assert request.headers["accept-encoding"] == "identity"
    assert "content-type" not in request.headers
    assert KEY not in str(request.url)
    assert respx.calls.call_count == 1


@respx.mock
def test_a_model_that_says_the_key_is_left_out(client: OpenRouterClient) -> None:
    said = {"id": KEY, "name": f"the key {KEY}", "architecture": {"input_modalities": [KEY.lower()]}}
    echoes = [{"id": f"a/{name}", name: value} for name, value in said.items()]
    echoes += [{"id": f"a/{KEY[4:]}"}, {"id": "a/d", "supported_parameters": [KEY[:-1].lower()]}]
    respx.get(f"{URL}/models/user").mock(return_value=page(*echoes, {"id": "a/b"}))

    assert [model.id for model in client.list_models()] == ["a/b"]


@respx.mock
@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 422, 500, 501])
def test_a_gateway_without_a_list_for_each_key_is_asked_for_its_whole_list(
    client: OpenRouterClient, status: int
) -> None:
    respx.get(f"{URL}/models/user").mock(return_value=error(status))
    respx.get(f"{URL}/models").mock(return_value=page({"id": "llama3:latest", "owned_by": "library"}))

    assert client.list_models() == [Model("llama3:latest", "llama3:latest")]
    assert respx.calls.call_count == 2


@respx.mock
@pytest.mark.parametrize("body", [{"id": "user", "object": "model"}, [], "<html>", {"error": "no model `user`"}])
def test_a_gateway_that_takes_user_for_a_model_is_asked_for_its_whole_list(
    client: OpenRouterClient, body: object
) -> None:
    respx.get(f"{URL}/models/user").mock(return_value=httpx.Response(200, json=body))
    respx.get(f"{URL}/models").mock(return_value=page({"id": "m"}))

    assert [model.id for model in client.list_models()] == ["m"]


@respx.mock
@pytest.mark.parametrize(("status", "kind"), [(401, AuthenticationFailedError), (403, AuthenticationFailedError)])
def test_openrouter_that_refuses_the_key_is_not_asked_for_its_public_list(
    status: int, kind: type[RaptchatError]
) -> None:
    respx.get(f"{OPENROUTER}/models/user").mock(return_value=error(status, "User not found."))
    with OpenRouterClient(api_key=KEY) as client:
        assert isinstance(refused(client), kind)
    assert respx.calls.call_count == 1


@respx.mock
def test_a_gateway_without_any_list_says_so_and_how_to_go_on(client: OpenRouterClient) -> None:
    respx.get(url__startswith=URL).mock(return_value=httpx.Response(404, text="<html>not found"))

    found = refused(client)
    assert (type(found), str(found), found.hint) == (
        GatewayError,
        "the gateway has no list of models",
        "name a model with -m all the same",
    )


@respx.mock
def test_further_pages_are_followed_and_only_their_query_counts(client: OpenRouterClient) -> None:
    route = respx.get(f"{URL}/models/user")
    route.side_effect = [
        page({"id": "a"}, links={"next": "/api/v1/models/user?offset=1&limit=1"}),
        page({"id": "b"}, links={"next": "https://evil.example/steal?offset=2"}),
        page({"id": "c"}, links={"next": None}),
    ]

    assert [model.id for model in client.list_models()] == ["a", "b", "c"]
    assert [call.request.url.host for call in respx.calls] == ["127.0.0.1"] * 3
    assert [call.request.url.query for call in respx.calls] == [b"", b"offset=1&limit=1", b"offset=2"]


@respx.mock
@pytest.mark.parametrize(
    "link",
    ["?offset=1", "", "/models", 3, [], "http://[", "?" + "x" * 2000, "?\u00e9", "?a=\x00", "#?offset=2", None],
)
def test_a_list_that_leads_nowhere_or_in_a_circle_ends(client: OpenRouterClient, link: object) -> None:
    respx.get(f"{URL}/models/user").mock(side_effect=lambda request: page({"id": "a"}, links={"next": link}))

    assert [model.id for model in client.list_models()] == ["a"]
    assert respx.calls.call_count <= 2


@respx.mock
def test_a_list_without_an_end_is_left_after_fifty_pages(client: OpenRouterClient) -> None:
    def next_page(request: httpx.Request) -> httpx.Response:
        number = respx.calls.call_count
        return page({"id": f"m{number}"}, links={"next": f"?offset={number + 1}"})

    respx.get(f"{URL}/models/user").mock(side_effect=next_page)

    assert len(client.list_models()) == 50


def html(_: httpx.Request) -> httpx.Response:
    return httpx.Response(200, headers={"content-type": "text/html"}, text="<html>Sign in \x1b[2J</html>")


def gzipped(_: httpx.Request) -> httpx.Response:
    return httpx.Response(
        200, headers={"content-encoding": "gzip"}, stream=httpx.ByteStream(gzip.compress(b'{"data": []}'))
    )


def redirect(_: httpx.Request) -> httpx.Response:
    return httpx.Response(302, headers={"location": "https://evil.example/models"})


def huge(_: httpx.Request) -> httpx.Response:
    return httpx.Response(200, content=b'{"data": [' + b" " * (6 * 1024 * 1024) + b"]}")


def deep(_: httpx.Request) -> httpx.Response:
    return httpx.Response(200, content=b'{"data": ' + b"[" * 100_000)


def number(_: httpx.Request) -> httpx.Response:
    return httpx.Response(200, content=b'{"data": [' + b"9" * 5000 + b"]}")


@respx.mock
@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (html, InvalidResponseError, "no list of models"),
        (gzipped, InvalidResponseError, "compressed"),
        (redirect, InvalidResponseError, "the key was not sent there"),
        (huge, InvalidResponseError, "larger than 5 MiB"),
        (deep, InvalidResponseError, "no list of models"),
        (number, InvalidResponseError, "no list of models"),
        (httpx.ReadTimeout, GatewayTimeoutError, "sent nothing for too long"),
        (lambda _: httpx.Response(200, json={"data": {}}), InvalidResponseError, "no list of models"),
        (lambda _: httpx.Response(200, json={"error": "no"}), GatewayError, "failed (502): no"),
        (lambda _: error(402, "no credit"), InsufficientCreditError, "credit"),
        (lambda _: error(401, "User not found."), AuthenticationFailedError, "refused the key"),
        (lambda _: error(500, f"\x1b[2J {KEY}"), GatewayError, "\u241b[2J ***"),
    ],
)
def test_an_answer_that_is_no_list_is_the_error_that_fits(
    client: OpenRouterClient,
    naps: list[float],
    answer: Callable[[httpx.Request], httpx.Response] | type[Exception],
    kind: type[RaptchatError],
    said: str,
) -> None:
    respx.get(f"{URL}/models/user").mock(return_value=error(404))
    respx.get(f"{URL}/models").mock(side_effect=answer)

    found = refused(client)
    assert type(found) is kind
    assert said in str(found)


@respx.mock
def test_the_pages_together_may_not_be_larger_than_the_limit(client: OpenRouterClient) -> None:
    large = [{"id": "a", "description": "x" * 3_000_000}]
    respx.get(f"{URL}/models/user").side_effect = [
        page(*large, links={"next": "?offset=1"}),
        page(*large, links={"next": "?offset=2"}),
    ]

    assert "larger than 5 MiB" in str(refused(client))


@respx.mock
def test_a_gateway_that_is_busy_is_asked_again_when_it_says_so(
    client: OpenRouterClient, naps: list[float]
) -> None:
    busy = httpx.Response(429, headers={"retry-after": "7"}, json={"error": {"message": "slow down", "code": 429}})
    respx.get(f"{URL}/models/user").side_effect = [busy, error(503), page(CLAUDE)]
    told: list[RetryChunk] = []

    assert len(client.list_models(retrying=told.append)) == 1
    assert naps == [7.0, 1.0]
    assert [chunk.seconds for chunk in told] == naps
    assert "slow down" in told[0].reason


@respx.mock
def test_a_gateway_that_stays_busy_is_left_alone(client: OpenRouterClient, naps: list[float]) -> None:
    busy = httpx.Response(429, headers={"retry-after": "1"}, json={"error": "slow down"})
    respx.get(f"{URL}/models/user").mock(return_value=busy)

    found = refused(client)
    assert isinstance(found, RateLimitedError)
    assert found.fields["retryAfter"] == 1
    assert naps == [1.0, 1.0]


def test_a_list_that_drips_for_ever_ends_in_time(gateway: DemoGateway) -> None:
    gateway.answer(Answer(200, {"Content-Type": "application/json"}, itertools.repeat(b" "), pause=0.02))
    with OpenRouterClient(api_key=DEMO_KEY, base_url=gateway.url, timeout=0.2, max_retries=0) as client:
        found = refused(client)

    assert isinstance(found, GatewayTimeoutError)
    assert "took too long over its list of models" in str(found)
