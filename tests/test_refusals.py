"""What the client says of a refusal, and of a reply that breaks off."""

from collections.abc import Iterator

import httpx
import pytest
import respx
from mocked_gateway import (  # noqa: F401 - pytest finds fixtures by import
    HELLO,
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

from raptchat.errors import (
    AuthenticationFailedError,
    ContentRefusedError,
    GatewayError,
    GatewayTimeoutError,
    IncompleteReplyError,
    InsufficientCreditError,
    InvalidResponseError,
    ModelNotAvailableError,
    RaptchatError,
    RateLimitedError,
)
from raptchat.providers.openrouter import OpenRouterClient
from raptchat.records import Chunk, ContentChunk, DoneChunk, Usage


@pytest.mark.parametrize(
    ("response", "kind", "said", "hint"),
    [
        (error(400), GatewayError, "refused the request (400): no", ""),
        (
            error(400, "x is not a valid model ID"),
            ModelNotAvailableError,
            "the model `a/b` is not available (400)",
            "choose another model",
        ),
        (error(400, availability={"code": "model_not_found"}), ModelNotAvailableError, "not available", ""),
        (error(400, metadata={"error_type": "context_length_exceeded"}), GatewayError, "too long", "new session"),
        (error(400, "the maximum context length is 8192"), GatewayError, "too long", "new session"),
        (error(400, type="content_policy_violation"), ContentRefusedError, "moderation", ""),
        (error(401), AuthenticationFailedError, "refused the key (401)", "check that the key"),
        (
            error(401, metadata={"provider_name": "Host"}),
            GatewayError,
            "`Host` refused the credential",
            "not refused",
        ),
        (error(402), InsufficientCreditError, "asks for credit (402)", "add credit"),
        (
            error(402, metadata={"limit_source": "openrouter_credits"}),
            InsufficientCreditError,
            "account's credit",
            "",
        ),
        (
            error(402, metadata={"limit_source": "openrouter_key_limit"}),
            InsufficientCreditError,
            "limit of the key",
            "",
        ),
        (error(402, metadata={"remedy_hint": "top up"}), InsufficientCreditError, "(402)", "top up"),
        (error(403), AuthenticationFailedError, "refused the key (403)", ""),
        (
            error(403, metadata={"reasons": ["a", "b"], "flagged_input": "hush"}),
            ContentRefusedError,
            "for a, b",
            "",
        ),
        (error(403, metadata={"flagged_input": "hush"}), ContentRefusedError, "moderation refused the text (", ""),
        (error(403, metadata={"patterns": ["hush"]}), ContentRefusedError, "guardrail", ""),
        (
            error(403, metadata={"limit_source": "openrouter_key_limit"}),
            InsufficientCreditError,
            "limit of the key",
            "",
        ),
        (
            error(
                403, metadata={"limit_source": "openrouter_guardrail_budget", "resets_at": "2026-12-01T00:00:00Z"}
            ),
            InsufficientCreditError,
            "budget",
            "renewed at 2026-12-01",
        ),
        (
            error(403, "Key limit exceeded (total limit)"),
            InsufficientCreditError,
            "(403): Key limit",
            "add credit",
        ),
        (error(403, availability={"code": "region_restricted"}), GatewayError, "region", "another model"),
        (error(403, metadata={"provider_name": "Host"}), GatewayError, "`Host` refused", ""),
        (httpx.Response(403, html="<html>hush</html>"), GatewayError, "before the gateway refused", "proxy"),
        (httpx.Response(403), AuthenticationFailedError, "refused the key (403)", ""),
        (error(404), ModelNotAvailableError, "the model `a/b` is not available (404)", "choose another model"),
        (
            error(404, availability={"excluded_by": ["max_price"], "fallback_models": ["x/y", 1, "z/w"]}),
            ModelNotAvailableError,
            "under max_price",
            "instead: x/y, z/w",
        ),
        (
            error(404, availability={"excluded_by": "x", "fallback_models": {}}),
            ModelNotAvailableError,
            "(404)",
            "",
        ),
        (
            httpx.Response(404, html="<html>hush</html>"),
            GatewayError,
            "no gateway at this address",
            "AI_GATEWAY_URL",
        ),
        (error(405), GatewayError, "(405)", ""),
        (error(409), GatewayError, "(409)", ""),
        (error(413), GatewayError, "too large (413)", "send less text"),
        (error(422), GatewayError, "(422)", ""),
        (error(408), GatewayTimeoutError, "took too long (408)", "later"),
        (error(429), RateLimitedError, "too many requests (429)", "later"),
        (
            error(429, metadata={"limit_source": "openrouter_free_tier_daily"}),
            RateLimitedError,
            "free requests",
            "",
        ),
        (error(500), GatewayError, "failed (500)", "later"),
        (error(501), GatewayError, "failed (501)", ""),
        (error(502, metadata={"raw": "hush"}), GatewayError, "failed (502)", "later"),
        (error(503), GatewayError, "failed (503)", "later"),
        (error(504), GatewayTimeoutError, "took too long (504)", "later"),
        (error(524), GatewayTimeoutError, "took too long (524)", "later"),
        (httpx.Response(520, html="<html>hush</html>"), GatewayError, "failed (520)", "later"),
        (httpx.Response(530, html="<html>hush</html>"), GatewayError, "failed (530)", ""),
        (httpx.Response(500), GatewayError, "failed (500)", ""),
        (httpx.Response(418, json={"error": "a text"}), GatewayError, "(418): a text", ""),
        (httpx.Response(418, json={"detail": "a text"}), GatewayError, "(418): a text", ""),
        (httpx.Response(418, json={"detail": [{"msg": "a"}, {"msg": "b"}, 1]}), GatewayError, "(418): a; b", ""),
        (
            httpx.Response(418, json={"object": "error", "message": "flat", "code": 400}),
            GatewayError,
            "(418): flat",
            "",
        ),
        (httpx.Response(418, json={"error": None}), GatewayError, "(418)", ""),
        (httpx.Response(418, json=["x"]), GatewayError, "(418)", ""),
        (httpx.Response(418, json=7), GatewayError, "(418)", ""),
        (httpx.Response(418, content=b"[" * 60_000), GatewayError, "(418)", ""),
        (httpx.Response(418, content=b"\xff\xfe"), GatewayError, "(418)", ""),
        (
            httpx.Response(301, headers={"location": "https://evil.example:1/x?y"}),
            InvalidResponseError,
            "`evil.example`",
            "",
        ),
        (
            httpx.Response(307, headers={"location": "https://[x"}),
            InvalidResponseError,
            "another address (307)",
            "",
        ),
        (httpx.Response(302), InvalidResponseError, "another address (302)", "AI_GATEWAY_URL"),
        (httpx.Response(200, html="<html>hush</html>"), InvalidResponseError, "web page", "sign-in page"),
        (httpx.Response(200, json={}), InvalidResponseError, "not a reply: {}", "AI_GATEWAY_URL"),
        (httpx.Response(200, json=[1]), InvalidResponseError, "not a reply", ""),
        (
            httpx.Response(200, headers={"content-type": "application/json"}, content=b"null"),
            InvalidResponseError,
            "not a reply",
            "",
        ),
        (httpx.Response(200, text="hello"), InvalidResponseError, "not a reply: hello", ""),
        (stream("junk", "more"), InvalidResponseError, "not a reply: data: junk", ""),
        (httpx.Response(200, json={"error": {"code": 402}}), InsufficientCreditError, "(402)", ""),
        (httpx.Response(200, json={"error": {"code": "429"}}), RateLimitedError, "(429)", ""),
        (httpx.Response(200, json={"error": {"http_status": 404}}), ModelNotAvailableError, "(404)", ""),
        (
            httpx.Response(200, json={"error": {"code": "insufficient_quota"}}),
            InsufficientCreditError,
            "(402)",
            "",
        ),
        (httpx.Response(200, json={"error": "bad"}), GatewayError, "(502): bad", ""),
        (
            httpx.Response(200, headers={"content-encoding": "gzip"}, stream=httpx.ByteStream(b"\x1f\x8b")),
            InvalidResponseError,
            "compressed",
            "",
        ),
        (
            httpx.Response(401, headers={"content-encoding": "gzip"}, stream=httpx.ByteStream(b"\x1f\x8b")),
            AuthenticationFailedError,
            "refused the key",
            "",
        ),
    ],
)
def test_a_refusal_is_the_error_that_fits(
    wire: respx.Route, response: httpx.Response, kind: type[RaptchatError], said: str, hint: str
) -> None:
    wire.return_value = response
    with OpenRouterClient(api_key=KEY, base_url=URL, default_model="a/b", max_retries=0) as client:
        raised = failure(client)

    assert type(raised) is kind
    assert said in str(raised)
    assert hint in raised.hint
    for hidden in ("hush", "user_1", "<html"):
        assert hidden not in f"{raised} {raised.hint} {raised.fields}"


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 418, 429, 500, 502])
@pytest.mark.parametrize(
    "echo",
    [
        {
            "error": {
                "message": f"bad key {KEY}",
                "metadata": {"remedy_hint": KEY, "provider_name": KEY, "reasons": [KEY]},
            }
        },
        {"error": {"message": "x" * 280 + KEY, "availability": {"fallback_models": [KEY], "excluded_by": [KEY]}}},
        {"error": f"\x1b[31m{KEY}\x07\u202e\n{KEY}", "detail": KEY},
        {"detail": [{"msg": KEY}]},
        {KEY: KEY, "error": {"metadata": {"resets_at": KEY, "limit_source": KEY}, "type": KEY}},
    ],
)
def test_a_key_that_the_gateway_echoes_is_shown_nowhere(wire: respx.Route, status: int, echo: object) -> None:
    wire.return_value = httpx.Response(status, json=echo, headers={"x-generation-id": KEY})
    with OpenRouterClient(api_key=KEY, base_url=URL, max_retries=0) as client:
        raised = failure(client)

    assert len(str(raised)) < 500


def test_of_the_body_of_an_error_64_kib_are_read(wire: respx.Route) -> None:
    taken: list[int] = []

    def body() -> Iterator[bytes]:
        for number in range(1000):
            taken.append(number)
            yield b"x" * 1024

    wire.return_value = httpx.Response(402, content=body())
    with OpenRouterClient(api_key=KEY, base_url=URL, max_retries=0) as client:
        failure(client)

    assert len(taken) == 64


@pytest.mark.parametrize(
    "said", [KEY[:-4], KEY[3:], f"{KEY[:20]}...", KEY.upper(), f"{KEY}{KEY}", "x" * 250 + KEY]
)
def test_a_part_of_the_key_is_cut_out_too(wire: respx.Route, said: str) -> None:
    wire.return_value = error(418, said)
    with OpenRouterClient(api_key=KEY, base_url=URL, max_retries=0) as client:
        shown = str(failure(client)).lower()

    assert [KEY[at : at + 12] for at in range(len(KEY) - 11) if KEY[at : at + 12].lower() in shown] == []


def test_a_short_key_of_another_form_is_cut_out_too(wire: respx.Route) -> None:
    wire.return_value = error(401, "no user for hunter22")
    with (
        OpenRouterClient(api_key="hunter22", base_url=URL) as client,
        pytest.raises(AuthenticationFailedError, match=r"no user for \*\*\*$"),
    ):
        client.complete_chat(HELLO)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (
            {"error": {"code": 502, "message": "went away"}, "choices": [{"finish_reason": "error"}]},
            "(502): went away",
        ),
        ({"error": {"code": "server_error", "message": "m"}}, "(500): m"),
        ({"error": "text"}, "(502): text"),
        ({"error": {"code": 429, "message": "slow"}}, "too many requests (429)"),
        ({"error": {"message": "m", "metadata": {"error_type": "timeout"}}}, "took too long (504): m"),
        (delta("error"), "the model's host failed"),
        ({"choices": [{"delta": {}, "error": {"code": 503, "message": "over"}}]}, "(503): over"),
        ({"error": {"message": KEY}}, "***"),
    ],
)
def test_an_error_after_text_keeps_the_text_and_is_not_repeated(
    wire: respx.Route, client: OpenRouterClient, naps: list[float], broken: object, said: str
) -> None:
    usage = {"usage": {"prompt_tokens": 1}}
    wire.return_value = stream({**delta(content="half"), **usage}, broken, "[DONE]", x_generation_id="g")
    chunks: list[Chunk] = []

    with pytest.raises(IncompleteReplyError, match="the reply was cut short: ") as caught:
        chunks.extend(client.stream_chat(HELLO))

    assert chunks == [ContentChunk("half")]
    assert caught.value.partial == DoneChunk("half", Usage(1), "a/served", None, "g")
    assert said in str(caught.value)
    assert KEY not in str(caught.value)
    assert wire.call_count == 1
    assert naps == []


def test_the_text_of_the_failing_chunk_itself_is_kept(wire: respx.Route, client: OpenRouterClient) -> None:
    wire.return_value = stream({**delta("error", content="last words"), "error": {"code": 500}})

    with pytest.raises(IncompleteReplyError) as caught:
        list(client.stream_chat(HELLO))

    assert isinstance(caught.value.partial, DoneChunk)
    assert caught.value.partial.content == "last words"


def test_an_error_event_needs_no_error_field(wire: respx.Route, client: OpenRouterClient) -> None:
    wire.return_value = httpx.Response(200, text='event: error\ndata: {"message": "bad", "code": 401}\n\n')

    assert isinstance(failure(client), AuthenticationFailedError)


def test_half_a_character_at_the_end_is_yielded_before_the_error(
    wire: respx.Route, client: OpenRouterClient
) -> None:
    wire.return_value = stream('{"choices":[{"delta":{"content":"a\\ud83d"}}]}', {"error": "broken"})
    chunks: list[Chunk] = []

    with pytest.raises(IncompleteReplyError):
        chunks.extend(client.stream_chat(HELLO))

    assert chunks == [ContentChunk("a"), ContentChunk("\ufffd")]


def test_a_stream_that_ends_in_the_middle_says_so(wire: respx.Route, client: OpenRouterClient) -> None:
    wire.return_value = stream(delta(content="half"))

    raised = failure(client)

    assert type(raised) is IncompleteReplyError
    assert "before it was whole" in str(raised)


def test_a_stream_of_nothing_is_repeated_once(
    wire: respx.Route, client: OpenRouterClient, naps: list[float]
) -> None:
    wire.return_value = httpx.Response(200, text=": OPENROUTER PROCESSING\n\n")

    assert type(failure(client)) is GatewayError
    assert wire.call_count == 2
