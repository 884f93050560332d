"""The client itself: what it takes, and what it sends."""

import copy
import json
import pickle
import threading
from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal
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
    stream,
    wire_fixture,
)

from raptchat import __version__
from raptchat.api_key import check_api_key
from raptchat.errors import IncompleteReplyError, RaptchatError, UsageError
from raptchat.providers import KNOWN, client_class
from raptchat.providers._http import Connection
from raptchat.providers.openai_compatible import OpenAiCompatibleClient
from raptchat.providers.openrouter import OpenRouterClient
from raptchat.records import ContentChunk, DoneChunk, Message, Start
from raptchat.secret import Secret


def test_a_request_carries_the_key_the_model_and_the_messages(wire: respx.Route, client: OpenRouterClient) -> None:
    wire.return_value = HI
    messages: list[Message | Mapping[str, object]] = [
        Message("system", "be brief", seq=1, state="failed"),
        {"role": "user", "content": "h\u00e9llo \ud83d\ude00 \ud83d", "secret": "not sent"},
        {"role": "user", "content": [{"type": "text", "text": "a"}]},
    ]

    list(client.stream_chat(messages, model="c/d", options={"temperature": 0.5}))

    request = wire.calls.last.request
    assert json.loads(request.content) == {
        "temperature": 0.5,
        "model": "c/d",
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "h\u00e9llo \U0001f600 \ufffd"},
            {"role": "user", "content": [{"type": "text", "text": "a"}]},
        ],
        "stream": True,
    }
    sent = dict(request.headers)
    assert sent.pop("connection") == "keep-alive"
    assert sent.pop("content-length") == str(len(request.content))
    assert sent == {
        "host": "127.0.0.1:9",
        "authorization": f"Bearer {KEY}",
        "content-type": "application/json",
        "accept": "text/event-stream",
        "accept-encoding": "identity",
        "user-agent": f"raptchat/{__version__}",
    }


@pytest.mark.parametrize(
    ("messages", "options", "said"),
    [
        ([], {}, "no message"),
        (HELLO, {"model": "x"}, "`model`"),
        (HELLO, {"messages": []}, "`messages`"),
        (HELLO, {"stream": False}, "`stream`"),
        (HELLO, {"temperature": float("nan")}, "JSON"),
        (HELLO, {"temperature": object()}, "JSON"),
        ([{"role": "user"}], {}, "no `content`"),
        ([{"content": "x"}], {}, "no `role`"),
    ],
)
def test_a_request_that_cannot_be_sent_is_refused_before_the_wire(
    client: OpenRouterClient, messages: list[Mapping[str, object]], options: dict[str, object], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        client.stream_chat(messages, options=options)


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("", "is empty"),
        (" \n\t", "is empty"),
        ("sk-sentinel one", "white space"),
        ("sk-sentinel\none", "white space"),
        ("sk-sentinel\x00", "control character"),
        ("sk-sentinel\x7f", "control character"),
        ("sk-sentinel\u00e9", "not ASCII"),
        ("sk-sentinel\u200b", "not ASCII"),
        ("sk-sentinel\ud800", "not ASCII"),
        ("sk-sentinel" + "x" * 502, "longer than 512"),
    ],
)
def test_what_cannot_be_a_key_is_refused_without_being_shown(key: str, said: str) -> None:
    for wrapped in (key, Secret(key)):
        with pytest.raises(UsageError, match=said) as caught:
            OpenRouterClient(api_key=wrapped)
        assert "sentinel" not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize("key", [None, "", " \n", Secret("")])
def test_no_key_is_a_usage_error_whatever_the_environment_holds(
    monkeypatch: pytest.MonkeyPatch, key: str | Secret | None
) -> None:
    for name in ("OPENROUTER_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, KEY)

    with pytest.raises(UsageError, match="the API key is empty"):
        OpenRouterClient(api_key=key)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("events", "start"),
    [
        ([delta(), delta(content="a"), delta(content="b"), "[DONE]"], Start("a/served", "gen-1")),
        ([{}, delta(content="a"), "[DONE]"], Start(None, None)),
        (["nonsense", {"id": "g"}, delta(content="a"), {"error": "late"}], Start(None, "g")),
        ([{"choices": [{"delta": {"content": "a"}}]}, delta("stop")], Start(None, None)),
    ],
)
def test_whoever_asks_is_told_once_that_the_gateway_begins_and_before_any_text(
    wire: respx.Route, client: OpenRouterClient, events: list[object], start: Start
) -> None:
    wire.return_value = stream(*events)
    told: list[object] = []

    with suppress(IncompleteReplyError):
        told.extend(client.stream_chat(HELLO, started=told.append))

    assert [one for one in told if isinstance(one, Start)] == [start] == told[:1]
    assert isinstance(told[1], ContentChunk)


def test_a_completion_in_one_piece_begins_too(wire: respx.Route, client: OpenRouterClient) -> None:
    wire.return_value = httpx.Response(200, json={"id": "g", "choices": [{"message": {"content": "hi"}}]})
    told: list[object] = []

    told.extend(client.stream_chat(HELLO, started=told.append))

    assert told[0] == Start(None, "g")
    assert [type(one) for one in told] == [Start, ContentChunk, DoneChunk]


@pytest.mark.parametrize(
    "answer",
    [
        error(401),
        error(402),
        stream({"error": "no"}),
        stream("nonsense"),
        httpx.Response(200, json={"error": "no"}),
    ],
    ids=["401", "402", "error in a stream", "garbage", "error in one piece"],
)
def test_a_gateway_that_refuses_never_began(
    wire: respx.Route, client: OpenRouterClient, answer: httpx.Response
) -> None:
    wire.return_value = answer
    told: list[Start] = []

    with pytest.raises(RaptchatError):
        list(client.stream_chat(HELLO, started=told.append))

    assert told == []


def test_the_end_of_a_reply_says_whose_key_paid_it(wire: respx.Route) -> None:
    with OpenRouterClient(api_key=KEY, credential_id="c1", base_url=URL) as client:
        wire.return_value = HI
        assert client.complete_chat(HELLO).credential_id == "c1"
        wire.return_value = stream(delta(content="half"))
        with pytest.raises(IncompleteReplyError) as caught:
            client.complete_chat(HELLO)

    assert isinstance(caught.value.partial, DoneChunk)
    assert caught.value.partial.credential_id == "c1"


def test_a_key_loses_the_white_space_around_it() -> None:
    assert check_api_key(" \n" + "k" * 512 + "\r\n") == "k" * 512


@pytest.mark.parametrize(
    "settings_",
    [
        {"base_url": "http://example.com/api"},
        {"base_url": "https://user:hunter2@example.com/api"},
        {"base_url": "ftp://example.com"},
        {"timeout": 0},
        {"timeout": float("nan")},
        {"timeout": float("inf")},
        {"max_retries": -1},
    ],
)
def test_a_client_refuses_settings_that_cannot_be_right(settings_: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        OpenRouterClient(api_key=KEY, **settings_)
    assert "hunter2" not in str(caught.value)


def test_a_client_shows_its_settings_and_never_its_key() -> None:
    client = OpenRouterClient(api_key=KEY, credential_id="c1", base_url=URL + "/", timeout=3, max_retries=1)

    assert (client.credential_id, client.base_url, client.timeout, client.max_retries) == ("c1", URL, 3, 1)
    assert repr(client) == f"OpenRouterClient(base_url='{URL}', credential_id='c1')"
    assert KEY not in f"{client} {vars(client)}"
    for copies in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError):
            copies(client)


def test_a_closed_client_says_so() -> None:
    client = OpenRouterClient(api_key=KEY, base_url=URL)
    client.close()
    client.close()

    with pytest.raises(UsageError, match="closed"):
        list(client.stream_chat(HELLO))


def test_a_provider_is_found_by_its_name() -> None:
    assert client_class("openrouter") is OpenRouterClient
    assert client_class("openai-compatible") is OpenAiCompatibleClient
    assert list(KNOWN) == ["openrouter", "openai-compatible"]


def test_an_unknown_provider_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="no provider `nope\u241b`") as caught:
        client_class("nope\x1b")
    assert caught.value.hint == "providers: openrouter, openai-compatible"


def test_the_proxy_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("https_proxy", raising=False)
    for proxy in ("foo://user:password@proxy", "socks5://user:password@proxy"):
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        with pytest.raises(UsageError, match="the proxy that the environment names") as caught:
            Connection("https://gateway.example/api", timeout=1)
        assert "password" not in f"{caught.value} {caught.value.hint}"
        assert caught.value.__suppress_context__


def test_one_client_serves_many_threads(wire: respx.Route, client: OpenRouterClient) -> None:
    wire.side_effect = lambda request: stream(delta("stop", content="hi"))
    replies: list[str] = []
    threads = [
        threading.Thread(target=lambda: replies.append(client.complete_chat(HELLO).content)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert replies == ["hi"] * 8


@respx.mock
def test_the_gateway_is_asked_about_the_key_that_the_client_has(client: OpenRouterClient) -> None:
    asked = respx.get(f"{URL}/key").mock(
        return_value=httpx.Response(200, json={"data": {"limit": 5, "usage": 1.5}})
    )

    found = client.key_info()

    assert (found.limit, found.usage, found.is_management) == (Decimal(5), Decimal("1.5"), False)
    assert asked.calls.last.request.headers["authorization"] == f"Bearer {KEY}"


@respx.mock
def test_what_a_reply_took_is_asked_for_by_its_name(client: OpenRouterClient) -> None:
    asked = respx.get(f"{URL}/generation", params={"id": "gen-1"})
    asked.side_effect = [error(404), httpx.Response(200, json={"data": {"id": "gen-1", "total_cost": 0.25}})]

    assert client.generation("gen-1") is None
    usage = client.generation("gen-1")

    assert usage is not None
    assert usage.cost == Decimal("0.25")
