"""Gateways other than OpenRouter: nothing of OpenRouter's is sent to them, and what they lack is not missed."""

import json
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
import respx
from conftest import Run
from mocked_gateway import (  # noqa: F401 - pytest finds fixtures by import
    HELLO,
    HI,
    KEY,
    delta,
    failure,
    naps_fixture,
    stream,
)
from sample_files import PDF
from web_server import answer, running, silent

from raptchat.demo import DEMO_KEY, Answer, DemoGateway
from raptchat.errors import (
    AuthenticationFailedError,
    GatewayError,
    GatewayTimeoutError,
    IncompleteReplyError,
    InsufficientCreditError,
    InvalidResponseError,
    ModelNotAvailableError,
    RaptchatError,
    RateLimitedError,
    UsageError,
)
from raptchat.providers import check_base_url, fields
from raptchat.providers.key_info import KeyInfo
from raptchat.providers.openai_compatible import OpenAiCompatibleClient
from raptchat.providers.openrouter import OpenRouterClient
from raptchat.records import Attachment, ContentChunk, DoneChunk, Message, Model

ROOT = "http://127.0.0.1:9"
URL = f"{ROOT}/v1"


@pytest.fixture(name="wire")
def wire_fixture() -> Iterator[respx.Route]:
    with respx.mock:
        yield respx.post(f"{URL}/chat/completions")


@pytest.fixture(name="client")
def client_fixture() -> Iterator[OpenAiCompatibleClient]:
    with OpenAiCompatibleClient(api_key=KEY, base_url=URL, default_model="a/b") as client:
        yield client


def body(wire: respx.Route, at: int = -1) -> dict[str, Any]:
    form = json.loads(wire.calls[at].request.content)
    assert isinstance(form, dict)
    return form


def refusal(status: int, body: object = None, text: str = "") -> httpx.Response:
    return httpx.Response(status, text=text) if body is None else httpx.Response(status, json=body)


def test_what_is_sent_is_what_every_gateway_knows(wire: respx.Route, client: OpenAiCompatibleClient) -> None:
    wire.return_value = HI
    thought = Message("assistant", "yes", reasoning_details='[{"type": "reasoning.text", "text": "hm"}]')
    page = Attachment("page.pdf", "application/pdf", "0" * 64, len(PDF), PDF)
    asked = Message("user", "what is it?", attachments=(page,))

    list(client.stream_chat([*HELLO, thought, asked], options={"max_tokens": 9, "session_id": "random"}))

    sent = body(wire)
    assert [*sent] == ["max_tokens", "model", "messages", "stream", "stream_options"]
    assert sent["stream_options"] == {"include_usage": True}
    assert sent["messages"][:2] == [*HELLO, {"role": "assistant", "content": "yes"}]
    assert [part["type"] for part in sent["messages"][2]["content"]] == ["text", "file"]
    assert {name for name in wire.calls.last.request.headers if name not in {"host", "connection"}} == {
        *("accept", "accept-encoding", "authorization", "content-length", "content-type", "user-agent")
    }


@pytest.mark.parametrize("call", ["chat", "models", "key"])
def test_without_a_key_there_is_no_authorization_at_all(wire: respx.Route, call: str) -> None:
    wire.return_value = HI
    respx.get(url__startswith=ROOT).mock(return_value=httpx.Response(200, json={"data": [{"id": "m"}]}))

    with OpenAiCompatibleClient(api_key=None, base_url=URL, default_model="m") as client:
        calls: dict[str, Callable[[], object]] = {
            "chat": lambda: client.complete_chat(HELLO),
            "models": client.list_models,
            "key": client.key_info,
        }
        calls[call]()

    assert respx.calls.call_count > 0
    assert not [sent for sent in respx.calls if "authorization" in sent.request.headers]


@pytest.mark.parametrize("key", ["", " ", "two words"])
def test_an_empty_key_is_no_way_to_say_that_there_is_none(key: str) -> None:
    with pytest.raises(UsageError, match="the API key"):
        OpenAiCompatibleClient(api_key=key, base_url=URL)


@pytest.mark.parametrize(
    "url", ["http://localhost:11434", "http://[::1]:8080/v1/", "https://a.example/deep/v2///"]
)
def test_the_address_is_taken_as_it_is(url: str) -> None:
    with respx.mock, OpenAiCompatibleClient(api_key=KEY, base_url=url, default_model="m") as client:
        wire = respx.post(f"{url.rstrip('/')}/chat/completions").mock(return_value=HI)
        assert client.complete_chat(HELLO).content == "hi"
        assert wire.call_count == 1
    assert repr(client) == f"OpenAiCompatibleClient(base_url='{url.rstrip('/')}', credential_id=None)"


@pytest.mark.parametrize(
    ("options", "said", "hint"),
    [
        ({"models": ["c/d"]}, "`models`", "--fallback"),
        ({"provider": {"zdr": True}}, "`provider`", "--zdr"),
        ({"provider": {"zdr": True, "require_parameters": True}}, "`provider`", "--zdr"),
        ({"provider": {"data_collection": "deny"}}, "`provider`", "key is for `openrouter`"),
        ({"plugins": [{"id": "file-parser"}]}, "`plugins`", "--pdf-engine"),
        ({"tools": [{"type": "openrouter:web_search"}]}, "a tool of the gateway", "--web"),
        ({"reasoning": {"effort": "low", "exclude": True}}, "`reasoning`", "--effort"),
        ({"reasoning": {"max_tokens": 100}}, "`reasoning`", "--effort"),
        ({"transforms": []}, "`transforms`", "leave it out"),
        ({"metadata": {"a": "b"}}, "`metadata`", "leave it out"),
        ({"cache_control": {"type": "ephemeral"}}, "`cache_control`", "leave it out"),
    ],
)
def test_what_only_openrouter_does_is_refused_and_never_left_out_in_silence(
    wire: respx.Route, client: OpenAiCompatibleClient, options: dict[str, object], said: str, hint: str
) -> None:
    assert fields.check(options) == []
    with pytest.raises(UsageError, match=said) as caught:
        client.stream_chat(HELLO, options=options)
    assert hint in caught.value.hint
    assert not wire.called


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        ({"reasoning": {"effort": "low"}}, {"reasoning_effort": "low"}),
        ({"reasoning": {"effort": "low"}, "reasoning_effort": "high"}, {"reasoning_effort": "high"}),
        ({"provider": {"require_parameters": True}, "seed": 7}, {"seed": 7}),
        ({"max_completion_tokens": 9, "top_k": 4}, {"max_completion_tokens": 9, "top_k": 4}),
        ({"tools": [{"type": "function"}]}, {"tools": [{"type": "function"}]}),
    ],
)
def test_what_others_call_by_another_name_is_translated(
    wire: respx.Route, client: OpenAiCompatibleClient, options: dict[str, object], sent: dict[str, object]
) -> None:
    wire.return_value = HI
    before = json.dumps(options)

    list(client.stream_chat(HELLO, options=options))

    own = {"model", "messages", "stream", "stream_options"}
    assert {name: value for name, value in body(wire).items() if name not in own} == sent
    assert json.dumps(options) == before


_EXTRA = "Extra inputs are not permitted"


@pytest.mark.parametrize(
    "refused",
    [
        refusal(400, {"error": {"message": "Unknown parameter: 'stream_options'.", "code": None}}),
        refusal(422, {"detail": [{"loc": ["body", "stream_options"], "msg": _EXTRA, "input": {}}]}),
        refusal(422, {"detail": [{"loc": ["body", "stream_options", "include_usage"], "msg": _EXTRA}]}),
        stream({"error": {"code": 400, "message": "include_usage is not supported"}}),
    ],
)
def test_a_gateway_that_cannot_count_is_asked_again_without(
    wire: respx.Route, client: OpenAiCompatibleClient, naps: list[float], refused: httpx.Response
) -> None:
    wire.side_effect = [refused, HI]

    assert client.complete_chat(HELLO).content == "hi"

    first, second = body(wire, 0), body(wire, 1)
    assert first.pop("stream_options") == {"include_usage": True}
    assert first == second
    assert naps == []


@pytest.mark.parametrize(
    ("refused", "options"),
    [
        (refusal(400, {"error": {"message": "no `temperature`"}}), {}),
        (refusal(401, {"error": {"message": "stream_options"}}), {}),
        (refusal(400, {"error": {"message": "stream_options"}}), {"stream_options": {"include_usage": True}}),
    ],
)
def test_another_refusal_is_final(
    wire: respx.Route, client: OpenAiCompatibleClient, refused: httpx.Response, options: dict[str, object]
) -> None:
    wire.return_value = refused
    with pytest.raises(GatewayError):
        client.complete_chat(HELLO, options=options)
    assert wire.call_count == 1


def test_a_gateway_that_goes_on_refusing_is_asked_twice_and_no_more(
    wire: respx.Route, client: OpenAiCompatibleClient, naps: list[float]
) -> None:
    wire.return_value = refusal(400, {"error": {"message": "no stream_options"}})
    assert "stream_options" in str(failure_of(client))
    assert wire.call_count == 2


def failure_of(client: OpenAiCompatibleClient) -> RaptchatError:
    with pytest.raises(RaptchatError) as caught:
        list(client.stream_chat(HELLO))
    shown = f"{caught.value!r} {caught.value.hint} {caught.value.fields}"
    assert "sentinel" not in shown
    assert str(caught.value).isprintable()
    return caught.value


def test_the_counts_that_vllm_repeats_on_each_chunk_are_not_added_up(
    wire: respx.Route, client: OpenAiCompatibleClient
) -> None:
    counted = [{**delta(content=text), "usage": {"completion_tokens": at}} for at, text in enumerate("abc", 1)]
    wire.return_value = stream(*counted, {"choices": [], "usage": {"completion_tokens": 3}}, "[DONE]")

    done = client.complete_chat(HELLO)

    assert (done.content, done.usage.output_tokens, done.usage.cost) == ("abc", 3, None)


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_thoughts_are_found_under_either_name(
    wire: respx.Route, client: OpenAiCompatibleClient, name: str
) -> None:
    wire.return_value = stream(delta(**{name: "hm"}), delta(content="hi"), delta("stop"))
    done = client.complete_chat(HELLO)
    assert (done.reasoning, done.content) == ("hm", "hi")


@pytest.mark.parametrize(
    "events",
    [
        [delta(content="hi"), {"choices": []}],
        [delta(content="hi"), delta("")],
        [delta(content="hi"), {**delta(content=None), "usage": None}],
        [delta(content="hi"), {"choices": None}, {"choices": [{"delta": None, "index": 0}]}],
    ],
)
def test_a_stream_that_ends_in_good_order_is_whole_without_a_word_about_its_end(
    wire: respx.Route, client: OpenAiCompatibleClient, events: list[object]
) -> None:
    wire.return_value = stream(*events)
    done = client.complete_chat(HELLO)
    assert (done.content, done.finish_reason) == ("hi", None)


@pytest.mark.parametrize("events", [[], [delta(reasoning="hm")], [delta(content="")]])
def test_a_stream_that_ends_before_any_answer_is_none(
    wire: respx.Route, client: OpenAiCompatibleClient, naps: list[float], events: list[object]
) -> None:
    wire.return_value = stream(*events)
    assert "before it was whole" in str(failure_of(client))


def test_an_openrouter_that_ends_so_has_failed(wire: respx.Route) -> None:
    wire.return_value = stream(delta(content="hi"))
    with OpenRouterClient(api_key=KEY, base_url=URL, default_model="m", max_retries=0) as client:
        assert isinstance(failure(client), IncompleteReplyError)


_HI = b'data: {"choices":[{"delta":{"content":"hi"}}]}\n\n'
_STREAM = "Content-Type: text/event-stream"


@pytest.mark.parametrize(
    ("sent", "whole"),
    [
        (answer(_HI, _STREAM), True),
        (
            answer(b"%x\r\n%b\r\n0\r\n\r\n" % (len(_HI), _HI), _STREAM, "Transfer-Encoding: chunked", length=-1),
            True,
        ),
        (answer(b"%x\r\n%b\r\n" % (len(_HI), _HI), _STREAM, "Transfer-Encoding: chunked", length=-1), False),
        (answer(_HI, _STREAM, length=len(_HI) + 1), False),
        (answer(_HI, _STREAM, length=-1), False),
    ],
    ids=["by its length", "by its last chunk", "no last chunk", "too short", "only closed"],
)
def test_only_what_http_calls_an_end_is_one(sent: bytes, whole: bool) -> None:  # noqa: FBT001
    with running() as server:
        server.pages["/v1/chat/completions"] = sent
        with OpenAiCompatibleClient(
            api_key=None, base_url=f"{server.url}/v1", default_model="m", max_retries=0, timeout=5
        ) as client:
            if whole:
                assert client.complete_chat(HELLO).content == "hi"
                return
            with pytest.raises(IncompleteReplyError) as caught:
                client.complete_chat(HELLO)
    assert isinstance(caught.value.partial, DoneChunk)
    assert caught.value.partial.content == "hi"


_INVALID_MODEL = "/chat/completions: Invalid model name passed in model=a/b. Call `/v1/models` to view"


def litellm(status: int, type_: str | None, message: str, code: str | None = None) -> httpx.Response:
    error = {"message": message, "type": type_, "param": None, "code": code or str(status)}
    return refusal(status, {"error": error})


REFUSALS: list[tuple[httpx.Response, type[RaptchatError], str]] = [
    (litellm(400, "budget_exceeded", "Budget has been exceeded! Max budget: 1.0"), InsufficientCreditError, "Max"),
    (litellm(429, "budget_exceeded", "Budget has been exceeded!"), InsufficientCreditError, "a budget of the"),
    (
        litellm(429, "internal_server_error", "No deployments available - crossed budget: Exceeded budget for x"),
        InsufficientCreditError,
        "a budget of the gateway is used up (402): No deployments",
    ),
    (litellm(400, "no_db_connection", "No connected db."), AuthenticationFailedError, "refused the key"),
    (litellm(401, "token_not_found_in_db", "Authentication Error, Invalid"), AuthenticationFailedError, "(401)"),
    (litellm(401, "expired_key", "Authentication Error - Expired Key."), AuthenticationFailedError, "Expired"),
    (litellm(401, "key_model_access_denied", "key not allowed"), ModelNotAvailableError, "`a/b`"),
    (litellm(403, "team_model_access_denied", "team not allowed"), ModelNotAvailableError, "team not"),
    (litellm(400, "invalid_request_error", _INVALID_MODEL), ModelNotAvailableError, "`a/b`"),
    (
        litellm(401, "invalid_request_error", "litellm.AuthenticationError: OpenAIException - Incorrect API key"),
        GatewayError,
        "the model's host refused the credential",
    ),
    (litellm(429, "throttling_error", "litellm.RateLimitError: OpenAIException - slow"), RateLimitedError, "slow"),
    (
        litellm(400, "invalid_request_error", "litellm.ContextWindowExceededError: too much"),
        GatewayError,
        "too long for the model",
    ),
    (litellm(500, None, "litellm.InternalServerError: x", "500"), GatewayError, "(500)"),
    (refusal(404, {"error": "model 'a/b' not found"}), ModelNotAvailableError, "model 'a/b' not found"),
    (refusal(400, {"error": "invalid options"}), GatewayError, "invalid options"),
    (
        refusal(401, {"error": {"code": 401, "message": "Invalid API Key", "type": "authentication_error"}}),
        AuthenticationFailedError,
        "Invalid API Key",
    ),
    (
        refusal(
            400,
            {
                "error": {
                    "code": 400,
                    "message": "the request exceeds the available context size",
                    "type": "exceed_context_size_error",
                    "n_prompt_tokens": 999,
                    "n_ctx": 512,
                }
            },
        ),
        GatewayError,
        "too long for the model",
    ),
    (
        refusal(503, {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}),
        GatewayError,
        "Loading model",
    ),
    (refusal(501, {"error": {"code": 501, "message": "disabled"}}), GatewayError, "disabled"),
    (
        refusal(404, {"object": "error", "message": "The model `a/b` does not exist.", "code": 404}),
        ModelNotAvailableError,
        "does not exist",
    ),
    (
        refusal(400, {"object": "error", "message": "This model's maximum context length is 9", "code": 400}),
        GatewayError,
        "too long for the model",
    ),
    (
        refusal(422, {"detail": [{"loc": ["body", "messages"], "msg": "Field required"}, {"msg": "b"}, 7]}),
        GatewayError,
        "messages: Field required; b",
    ),
    (refusal(401, {"detail": "Unauthorized"}), AuthenticationFailedError, "Unauthorized"),
    (refusal(404, {"detail": "Not Found"}), GatewayError, "no gateway at this address"),
    (refusal(404, text="404 page not found"), GatewayError, "no gateway at this address"),
    (
        refusal(404, {"error": {"code": 404, "message": "File Not Found", "type": "not_found_error"}}),
        GatewayError,
        "no gateway at this address",
    ),
    (refusal(504, text="upstream"), GatewayTimeoutError, "(504)"),
]


@pytest.mark.parametrize(("said", "kind", "text"), REFUSALS)
def test_each_gateways_way_to_refuse_is_understood(
    wire: respx.Route, naps: list[float], said: httpx.Response, kind: type[RaptchatError], text: str
) -> None:
    wire.return_value = said
    with OpenAiCompatibleClient(api_key=KEY, base_url=URL, default_model="a/b", max_retries=0) as client:
        found = failure_of(client)
    assert type(found) is kind
    assert text in str(found)
    assert "AI_GATEWAY_URL" not in found.hint


@pytest.mark.parametrize("status", [400, 429, 503])
@pytest.mark.parametrize(
    ("type_", "said"),
    [
        ("budget_exceeded", "no"),
        ("invalid_request_error", "Budget has been exceeded! Current cost: 2.0"),
        ("internal_server_error", "No deployments available - crossed budget"),
    ],
)
def test_a_budget_that_is_used_up_is_not_asked_again(
    wire: respx.Route, client: OpenAiCompatibleClient, naps: list[float], status: int, type_: str, said: str
) -> None:
    wire.return_value = litellm(status, type_, said)
    assert isinstance(failure_of(client), InsufficientCreditError)
    assert (wire.call_count, naps) == (1, [])


def test_a_failure_in_mid_stream_that_is_only_a_text_keeps_what_came(
    wire: respx.Route, client: OpenAiCompatibleClient
) -> None:
    wire.return_value = stream(delta(content="hi"), {"error": "an error was encountered while running the model"})
    found = failure_of(client)
    assert isinstance(found, IncompleteReplyError)
    assert "while running the model" in str(found)
    assert isinstance(found.partial, DoneChunk)
    assert found.partial.content == "hi"


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        (ROOT, f"check the address that --base-url names: it often ends in /v1, as {ROOT}/v1 does"),
        (URL, "check the address that --base-url names"),
    ],
)
@pytest.mark.parametrize(
    "said",
    [
        refusal(404, text="404 page not found"),
        refusal(404, {"detail": "Not Found"}),
        httpx.Response(200, html="<html>"),
        httpx.Response(200, json={}),
        httpx.Response(301, headers={"location": "https://elsewhere.example"}),
    ],
)
def test_what_is_no_gateway_points_to_the_address_that_the_key_has(
    url: str, hint: str, said: httpx.Response
) -> None:
    with respx.mock, OpenAiCompatibleClient(api_key=KEY, base_url=url, default_model="m") as client:
        respx.post(f"{url}/chat/completions").mock(return_value=said)
        found = failure_of(client)
    assert found.hint.startswith(hint)
    assert "AI_GATEWAY_URL" not in found.hint


@pytest.mark.parametrize("ask", [OpenAiCompatibleClient.list_models, OpenAiCompatibleClient.key_info])
@pytest.mark.parametrize(
    "said",
    [
        httpx.Response(200, html="<html>"),
        httpx.Response(200, json={"status": "ok"}),
        httpx.Response(302, headers={"location": "https://elsewhere.example"}),
    ],
)
def test_a_list_that_is_none_points_to_the_address_too(
    client: OpenAiCompatibleClient, ask: Callable[[OpenAiCompatibleClient], object], said: httpx.Response
) -> None:
    with respx.mock:
        respx.get(f"{URL}/models").mock(return_value=said)
        with pytest.raises(InvalidResponseError) as caught:
            ask(client)
    assert caught.value.hint.startswith("check the address that --base-url names")


def test_a_silent_server_is_waited_for_as_long_as_the_setting_says_and_the_hint_names_it() -> None:
    with running() as server:
        server.pages["/v1/chat/completions"] = silent(b"")
        with OpenAiCompatibleClient(
            api_key=None, base_url=f"{server.url}/v1", default_model="m", timeout=0.1, max_retries=0
        ) as client:
            found = failure_of(client)
    assert isinstance(found, GatewayTimeoutError)
    assert "`AI_REQUEST_TIMEOUT_MS`" in found.hint


LISTED = {
    "data": [
        {"id": "gpt", "object": "model", "owned_by": "openai", "max_input_tokens": 128000},
        {"id": "local/model.gguf", "object": "model", "meta": {"n_ctx_train": 512}},
        {"id": "vllm", "object": "model", "max_model_len": 4096},
        {"id": "anthropic/*", "object": "model"},
    ]
}


def priced(name: object, **info: object) -> dict[str, object]:
    return {"model_name": name, "litellm_params": {"model": "x"}, "model_info": info}


INFO = {
    "data": [
        priced("gpt", input_cost_per_token=1.5e-07, output_cost_per_token=6e-07),
        priced("gpt", input_cost_per_token=2.5e-06, output_cost_per_token=None),
        priced("vllm", input_cost_per_token=None, output_cost_per_token=None, max_input_tokens=1),
        priced("local/model.gguf", input_cost_per_token=0, output_cost_per_token=0),
        priced("another", input_cost_per_token=1, output_cost_per_token=1),
        priced(7, input_cost_per_token=1),
        "nonsense",
        {"model_name": "anthropic/*", "model_info": "nonsense"},
    ]
}


@respx.mock
@pytest.mark.parametrize("at", ["/model/info", "/v1/model/info"])
@pytest.mark.parametrize("base", [ROOT, URL])
def test_the_prices_are_those_that_a_litellm_has_and_of_two_the_higher(base: str, at: str) -> None:
    respx.get(f"{base}/models").mock(return_value=httpx.Response(200, json=LISTED))
    info = respx.get(f"{ROOT}{at}").mock(return_value=httpx.Response(200, json=INFO))
    respx.get(url__regex=".*/model/info").mock(return_value=refusal(404, {"detail": "Not Found"}))

    with OpenAiCompatibleClient(api_key=KEY, base_url=base) as client:
        assert client.list_models() == [
            Model("gpt", "gpt", None, 128_000, (), Decimal("2.5"), Decimal("0.6")),
            Model("local/model.gguf", "local/model.gguf", None, 512, (), Decimal(0), Decimal(0)),
            Model("vllm", "vllm", None, 4096),
            Model("anthropic/*", "anthropic/*"),
        ]

    assert info.call_count == 1


@respx.mock
@pytest.mark.parametrize(
    "info",
    [
        refusal(404, {"detail": "Not Found"}),
        refusal(401, {"error": {"message": "no"}}),
        refusal(500, text="Internal Server Error"),
        httpx.Response(200, html="<html>"),
        httpx.Response(200, json={"data": "nonsense"}),
        httpx.Response(200, json=["nonsense"]),
        httpx.ReadTimeout("late"),
    ],
)
def test_a_gateway_without_prices_has_its_models_all_the_same(
    client: OpenAiCompatibleClient, naps: list[float], info: httpx.Response | Exception
) -> None:
    respx.get(f"{URL}/models").mock(return_value=httpx.Response(200, json={"data": [{"id": "m"}]}))
    if isinstance(info, Exception):
        respx.get(url__regex=".*/model/info").mock(side_effect=info)
    else:
        respx.get(url__regex=".*/model/info").mock(return_value=info)

    assert client.list_models() == [Model("m", "m")]
    assert respx.calls.call_count == (3 if isinstance(info, httpx.Response) and info.status_code == 404 else 2)
    assert naps == []


@respx.mock
def test_nobody_waits_for_long_for_what_only_some_gateways_have(client: OpenAiCompatibleClient) -> None:
    respx.get(f"{URL}/models").mock(return_value=httpx.Response(200, json={"data": [{"id": "m"}]}))
    beside = respx.get(url__regex=".*/info").mock(side_effect=httpx.ReadTimeout("late"))

    assert client.list_models() == [Model("m", "m")]
    assert client.key_info() == KeyInfo()
    assert [call.request.extensions["timeout"]["read"] for call in beside.calls] == [5.0, 5.0]


@respx.mock
def test_a_list_with_prices_is_not_asked_for_more(client: OpenAiCompatibleClient) -> None:
    entry = {"id": "m", "pricing": {"prompt": "0.000001", "completion": "0.000002"}}
    respx.get(f"{URL}/models").mock(return_value=httpx.Response(200, json={"data": [entry]}))

    assert client.list_models() == [Model("m", "m", input_price=Decimal(1), output_price=Decimal(2))]
    assert respx.calls.call_count == 1


@respx.mock
@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_gateway_without_a_list_says_so_and_chats(client: OpenAiCompatibleClient, status: int) -> None:
    respx.get(url__startswith=ROOT).mock(return_value=refusal(status, text="no"))
    respx.post(f"{URL}/chat/completions").mock(return_value=HI)

    with pytest.raises(GatewayError, match="has no list of models"):
        client.list_models()
    assert client.complete_chat(HELLO).content == "hi"


def information(info: object) -> respx.Route:
    respx.get(f"{URL}/models").mock(return_value=httpx.Response(200, json={"data": []}))
    return respx.get(f"{ROOT}/key/info").mock(return_value=httpx.Response(200, json=info))


@respx.mock
def test_a_litellm_says_what_its_key_may_spend(client: OpenAiCompatibleClient) -> None:
    information(
        {
            "key": "0" * 64,
            "info": {
                "key_name": "sk-...abcd",
                "key_alias": "biology\x1b[31m",
                "spend": 1.25,
                "max_budget": 5,
                "expires": "2027-06-30T00:00:00Z",
                "blocked": True,
            },
        }
    )
    found = client.key_info()
    assert (found.limit, found.usage, found.limit_remaining) == (Decimal(5), Decimal("1.25"), Decimal("3.75"))
    assert (found.expires_at, found.disabled) == ("2027-06-30T00:00:00Z", True)
    assert found.name is not None
    assert found.name.isprintable()


@respx.mock
@pytest.mark.parametrize(
    ("info", "expected"),
    [
        (
            {"info": {"spend": 7, "max_budget": 5}},
            KeyInfo(limit=Decimal(5), usage=Decimal(7), limit_remaining=Decimal(0)),
        ),
        ({"info": {"spend": 1}}, KeyInfo(usage=Decimal(1))),
        ({"info": {"spend": "x", "max_budget": []}}, KeyInfo()),
        ({"info": {"spend": True, "max_budget": 5}}, KeyInfo(limit=Decimal(5))),
        ({"info": []}, KeyInfo()),
        ({}, KeyInfo()),
    ],
)
def test_a_key_of_which_little_is_said_is_valid_all_the_same(
    client: OpenAiCompatibleClient, info: Mapping[str, object], expected: KeyInfo
) -> None:
    information(info)
    assert client.key_info() == expected


@respx.mock
@pytest.mark.parametrize(
    "said",
    [
        refusal(401, {"detail": "Unauthorized"}),
        refusal(403, {"error": {"message": "no"}}),
        litellm(400, "no_db_connection", "No connected db."),
    ],
)
def test_a_key_that_may_not_even_see_the_models_is_refused(
    client: OpenAiCompatibleClient, said: httpx.Response
) -> None:
    respx.get(f"{URL}/models").mock(return_value=said)
    with pytest.raises(AuthenticationFailedError):
        client.key_info()
    assert respx.calls.call_count == 1


@respx.mock
@pytest.mark.parametrize(
    "said",
    [
        refusal(404, text="404 page not found"),
        refusal(404, {"detail": "Not Found"}),
        refusal(405, {"detail": "Method Not Allowed"}),
        refusal(501, text="no"),
    ],
)
@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "https://models.example"])
def test_where_no_list_of_models_is_the_key_is_not_called_valid(url: str, said: httpx.Response) -> None:
    respx.get(f"{url}/models").mock(return_value=said)
    with OpenAiCompatibleClient(api_key=KEY, base_url=url) as client, pytest.raises(GatewayError) as caught:
        client.key_info()
    assert not isinstance(caught.value, AuthenticationFailedError)
    if said.status_code == 404:
        hint = f"check the address that --base-url names: it often ends in /v1, as {url}/v1 does"
        assert caught.value.hint == hint


@respx.mock
def test_a_key_whose_budget_is_used_up_is_good_with_nothing_left(client: OpenAiCompatibleClient) -> None:
    respx.get(f"{URL}/models").mock(return_value=litellm(400, "budget_exceeded", "Budget has been exceeded!"))
    assert client.key_info() == KeyInfo(limit_remaining=Decimal(0))


@respx.mock
def test_a_key_is_checked_by_a_list_of_any_length(client: OpenAiCompatibleClient) -> None:
    long = {"data": [{"id": f"m{number}", "description": "x" * 4000} for number in range(500)]}
    respx.get(f"{URL}/models").mock(return_value=httpx.Response(200, json=long))
    respx.get(f"{ROOT}/key/info").mock(return_value=refusal(404, {"detail": "Not Found"}))
    assert client.key_info() == KeyInfo()


@respx.mock
def test_a_gateway_that_does_not_answer_says_nothing_of_the_key(
    client: OpenAiCompatibleClient, naps: list[float]
) -> None:
    respx.get(f"{URL}/models").mock(return_value=refusal(503, text="starting"))
    with pytest.raises(GatewayError):
        client.key_info()


def test_no_books_are_asked_for_a_reply(client: OpenAiCompatibleClient) -> None:
    with respx.mock:
        assert client.generation("gen-1") is None


def test_a_gateway_of_many_needs_its_address() -> None:
    check_base_url("openrouter", None)
    check_base_url("openai-compatible", URL)
    with pytest.raises(UsageError, match="needs the gateway's address") as caught:
        check_base_url("openai-compatible", None)
    assert "--base-url" in caught.value.hint


def test_the_key_that_a_gateway_says_back_is_hidden(wire: respx.Route, client: OpenAiCompatibleClient) -> None:
    wire.return_value = stream(delta(content=f"is it {KEY}?"), delta("stop"))
    chunks = list(client.stream_chat(HELLO))
    assert "".join(chunk.text for chunk in chunks if isinstance(chunk, ContentChunk)) == "is it ***?"


@pytest.fixture(name="physics")
def physics_fixture(raptchat: Run, gateway: DemoGateway, home: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The app, with a group whose key is for another gateway than that of the settings."""
    monkeypatch.setenv("AI_GATEWAY_URL", "http://127.0.0.1:9/api/v1")
    raptchat(["vault", "init", "--file", str(home.parent / "master.key")])
    words = ["group", "add-key", "physics", "--provider", "openai-compatible", "--base-url", gateway.url]
    raptchat([*words, "--stdin"], stdin=DEMO_KEY)
    raptchat("group set physics --model demo/reply")
    return raptchat


def test_a_group_of_another_gateway_chats_and_goes_on(physics: Run, gateway: DemoGateway) -> None:
    physics("chat -m demo/reasoning --effort low one")
    physics("chat -c two")

    first, second = (request.body for request in gateway.requests)
    assert first is not None
    assert second is not None
    assert first["reasoning_effort"] == "low"
    assert [*second] == ["model", "messages", "stream", "stream_options"]
    assert [[*message] for message in second["messages"]] == [["role", "content"]] * 3


def test_a_refused_key_is_replaced_by_one_for_the_same_gateway(physics: Run, gateway: DemoGateway) -> None:
    command = f"raptchat group add-key physics --replace --provider openai-compatible --base-url {gateway.url}"
    for words in ("chat hello", "models --refresh"):
        gateway.answer(Answer(status=401), Answer(status=401))
        assert f"hint: {command}\n" in physics(words, exit_code=77).err


def test_a_dry_run_shows_what_that_gateway_would_get(physics: Run, gateway: DemoGateway) -> None:
    dry = json.loads(physics("chat --dry-run --max-tokens 9 hello").out)
    assert dry["url"] == f"{gateway.url}/chat/completions"
    assert [*dry["request"]] == ["max_tokens", "model", "messages", "stream", "stream_options"]
    assert gateway.requests == []


@pytest.mark.parametrize("more", ["", "--dry-run "])
@pytest.mark.parametrize("flag", ["--zdr", "--web", "--fallback c/d", "--pdf-engine native"])
def test_a_flag_that_only_openrouter_keeps_sends_nothing(
    physics: Run, gateway: DemoGateway, flag: str, more: str
) -> None:
    refused = physics(f"chat {more}{flag} hello", exit_code=2)
    assert f"leave out `{flag.split(maxsplit=1)[0]}`" in refused.err
    assert refused.out == ""
    assert gateway.requests == []


def test_a_reply_may_be_held_to_a_schema_there_too(physics: Run, gateway: DemoGateway) -> None:
    physics(["chat", "-m", "demo/json", "--schema", "name, age int", "a person"])
    assert gateway.requests[-1].body is not None
    assert "provider" not in gateway.requests[-1].body


def test_without_its_address_the_provider_is_refused_and_nothing_made(raptchat: Run) -> None:
    refused = raptchat("group add-key physics --provider openai-compatible --stdin", stdin=DEMO_KEY, exit_code=2)
    assert "add --base-url URL" in refused.err
    assert json.loads(raptchat("group list --json").out) == []


def test_a_group_without_a_key_asks_without_one(raptchat: Run, home: Path) -> None:
    reply = stream(delta(content="hi"), delta("stop"), "[DONE]")
    raptchat(["vault", "init", "--file", str(home.parent / "master.key")])
    with running() as server:
        server.pages["/v1/chat/completions"] = answer(reply.content, "Content-Type: text/event-stream")
        words = [
            "group",
            "add-key",
            "physics",
            "--provider",
            "openai-compatible",
            "--base-url",
            f"{server.url}/v1",
        ]
        raptchat([*words, "--no-key"])
        assert raptchat("chat -m tiny hello").out == "hi\n"
        [(_, headers)] = server.requests
    assert "authorization" not in headers
