"""What the client makes of the chunks of many gateways, of usage and of money."""

import json
import tracemalloc
from decimal import Decimal
from typing import Any

import httpx
import pytest
import respx
from hypothesis import given, settings
from hypothesis import strategies as st
from mocked_gateway import (  # noqa: F401 - pytest finds fixtures by import
    HELLO,
    HI,
    KEY,
    client_fixture,
    delta,
    stream,
    wire_fixture,
)

from raptchat.errors import IncompleteReplyError
from raptchat.providers.cleaning import Cleaner
from raptchat.providers.openrouter import OpenRouterClient
from raptchat.providers.reply import Reply, Text, read_usage
from raptchat.records import Chunk, Citation, ContentChunk, DoneChunk, ReasoningChunk, Start, Usage
from raptchat.secret import Secret


def test_a_reply_comes_as_its_text_and_one_done(wire: respx.Route, client: OpenRouterClient) -> None:
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 2,
        "total_tokens": 12,
        "prompt_tokens_details": {"cached_tokens": 8},
        "completion_tokens_details": {"reasoning_tokens": 1},
        "cost": 0.00014,
    }
    wire.return_value = stream(
        delta(role="assistant", content=""),
        delta(reasoning="hm"),
        delta(content="he"),
        delta("stop", content="llo"),
        {"choices": [], "usage": usage},
        "[DONE]",
        delta(content="after the end"),
        x_generation_id="gen-header",
    )

    chunks = list(client.stream_chat(HELLO))

    assert chunks == [
        ReasoningChunk("hm"),
        ContentChunk("hello"),
        DoneChunk(
            "hello",
            Usage(10, 2, 12, 8, 1, Decimal("0.00014")),
            "a/served",
            "stop",
            "gen-header",
            reasoning="hm",
        ),
    ]
    assert str(chunks[-1].usage.cost) == "0.00014"  # type: ignore[union-attr]


def test_the_whole_reply_is_the_last_chunk_of_its_stream(wire: respx.Route, client: OpenRouterClient) -> None:
    wire.return_value = HI

    assert client.complete_chat(HELLO) == DoneChunk("hi", Usage(), "a/served", "stop", "gen-1")


@pytest.mark.parametrize(
    ("events", "content", "finish"),
    [
        ([delta(content="a"), delta("length"), "[DONE]"], "a", "length"),
        ([delta(content="a"), delta("content_filter"), "[DONE]"], "a", "content_filter"),
        ([delta(content="a"), delta("stop")], "a", "stop"),
        ([delta(content="a"), "[DONE]"], "a", None),
        ([delta(content="a"), delta(""), "[DONE] "], "a", None),
        ([delta("stop"), "[DONE]"], "", "stop"),
        (["[DONE]"], "", None),
        ([delta(content=None), delta(content="a"), "[DONE]"], "a", None),
        ([{"choices": []}, {"choices": None}, {}, delta(content="a"), "[DONE]"], "a", None),
        (
            [{"choices": [{"delta": None}]}, {"choices": [{}]}, {"choices": [1]}, delta(content="a"), "[DONE]"],
            "a",
            None,
        ),
        ([{"choices": [{"index": 1, "delta": {"content": "x"}}]}, delta(content="a"), "[DONE]"], "a", None),
        (["not json", "[1]", "1", '""', "{", delta(content="a"), "[DONE]"], "a", None),
        (["[" * 100_000, '{"a":' * 100_000, "1" * 5000, delta(content="a"), "[DONE]"], "a", None),
        ([delta(refusal="I will not"), "[DONE]"], "I will not", None),
        ([delta(refusal="I will"), delta(refusal=" not"), "[DONE]"], "I will not", None),
        ([delta(content="a"), delta(refusal="no"), "[DONE]"], "a", None),
        (
            [delta(content=[{"type": "text", "text": "a"}, {"type": "image"}, 1, {"text": "b"}]), "[DONE]"],
            "ab",
            None,
        ),
        ([delta(content=7), delta(content={"a": 1}), "[DONE]"], "", None),
        ([delta(content="a\u2028\u0085\u2029b"), "[DONE]"], "a\u2028\u0085\u2029b", None),
        ([delta(tool_calls=[{"function": {"arguments": None}}], images=[1]), "[DONE]"], "", None),
        (['{"choices":[{"delta":{"content":"\\ud83d\\ude00"}}]}', "[DONE]"], "\U0001f600", None),
        (
            [
                '{"choices":[{"delta":{"content":"\\ud83d"}}]}',
                '{"choices":[{"delta":{"content":"\\ude00"}}]}',
                "[DONE]",
            ],
            "\U0001f600",
            None,
        ),
        (['{"choices":[{"delta":{"content":"a\\ud83d"}}]}', "[DONE]"], "a\ufffd", None),
        (['{"choices":[{"delta":{"content":"\\ude00b"}}]}', "[DONE]"], "\ufffdb", None),
        ([delta(finish=None), {"choices": [], "model": 7, "id": 8, "usage": "x"}, "[DONE]"], "", None),
    ],
)
def test_streams_of_many_gateways_are_understood(
    wire: respx.Route, client: OpenRouterClient, events: list[object], content: str, finish: str | None
) -> None:
    wire.return_value = stream(*events)

    *before, done = client.stream_chat(HELLO)

    assert isinstance(done, DoneChunk)
    assert (done.content, done.finish_reason) == (content, finish)
    assert "".join(chunk.text for chunk in before if isinstance(chunk, ContentChunk)) == content
    assert content.encode().decode() == content


def test_reasoning_is_shown_once_also_where_it_is_sent_twice(wire: respx.Route, client: OpenRouterClient) -> None:
    wire.return_value = stream(
        delta(reasoning="a", reasoning_content="a", reasoning_details=[{"text": "a"}]),
        delta(reasoning_content="b"),
        '{"choices":[{"delta":{"reasoning":"\\ud83d"}}]}',
        "[DONE]",
    )

    chunks = list(client.stream_chat(HELLO))

    assert chunks[:-1] == [ReasoningChunk("ab"), ReasoningChunk("\ufffd")]


def test_a_stream_is_read_whatever_its_content_type_says(wire: respx.Route, client: OpenRouterClient) -> None:
    wire.return_value = httpx.Response(
        200, content=b'data: {"choices":[{"delta":{"content":"a"}}]}\n\ndata: [DONE]'
    )

    assert client.complete_chat(HELLO).content == "a"


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(codec=None, categories=["L", "Cs", "So"]), max_size=12), st.integers(1, 3))
def test_every_text_yielded_can_be_encoded_and_joins_to_the_whole(text: str, size: int) -> None:
    whole = Text()

    pieces = [whole.add(text[at : at + size]) for at in range(0, len(text), size)] + [whole.close()]

    assert (
        "".join(pieces)
        == whole.whole()
        == text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    )
    assert all(piece.encode().decode() == piece for piece in pieces)


def test_a_long_text_takes_less_than_four_bytes_for_each_of_its_own() -> None:
    whole = Text()
    tracemalloc.start()
    try:
        for number in range(100_000):
            whole.add(f"{number:06} ")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(whole.whole()) == 700_000
    assert peak < 4 * 700_000


@pytest.mark.parametrize("type_", ["application/json", "application/json; charset=utf-8"])
def test_a_completion_in_one_piece_becomes_chunks(wire: respx.Route, client: OpenRouterClient, type_: str) -> None:
    body = {
        "id": "gen-1",
        "model": "a/served",
        "choices": [
            {"finish_reason": "stop", "message": {"role": "assistant", "content": "hi", "reasoning": "hm"}}
        ],
        "usage": {"prompt_tokens": 3, "cost": 1},
    }
    # Some gateways send white space to keep the connection alive.
    wire.return_value = httpx.Response(
        200, headers={"content-type": type_}, content=b" \n\n " + json.dumps(body).encode()
    )

    assert list(client.stream_chat(HELLO)) == [
        ReasoningChunk("hm"),
        ContentChunk("hi"),
        DoneChunk("hi", Usage(input_tokens=3, cost=Decimal(1)), "a/served", "stop", "gen-1", reasoning="hm"),
    ]


def test_names_from_the_gateway_are_clean_and_short(wire: respx.Route, client: OpenRouterClient) -> None:
    wire.return_value = stream(
        {
            "model": f"\x1b]0;{KEY}",
            "choices": [{"delta": {"content": "a"}, "finish_reason": f"\x07{KEY}" + "x" * 999}],
        },
        x_generation_id=f"gen {KEY}",
    )

    started: list[Start] = []
    *_, done = client.stream_chat(HELLO, started=started.append)

    assert started == [Start("\u241b]0;***", "gen ***")]
    assert isinstance(done, DoneChunk)
    assert (done.model, done.generation_id) == ("\u241b]0;***", "gen ***")
    assert done.finish_reason is not None
    assert done.finish_reason.startswith("\u2407***xx")
    assert len(done.finish_reason) == 200


def test_the_last_usage_holds_and_none_is_added_up(wire: respx.Route, client: OpenRouterClient) -> None:
    wire.return_value = stream(
        {**delta(content="a"), "usage": {"prompt_tokens": 5, "completion_tokens": 1}},
        {**delta("stop"), "usage": {"prompt_tokens": 5, "completion_tokens": 2}},
        {**delta(), "usage": None},
        "[DONE]",
    )

    assert client.complete_chat(HELLO).usage == Usage(5, 2)


@pytest.mark.parametrize(
    "number",
    [
        "-1",
        "true",
        "null",
        "NaN",
        "Infinity",
        "-Infinity",
        "1e99",
        "10000000000001",
        '"5"',
        "[]",
        "{}",
        "1.5e400",
        "1e9999999",
        "-1e9999999",
        "1e99999999999999999999999",
        "0.5",
    ],
)
def test_counts_that_cannot_be_are_unknown(wire: respx.Route, client: OpenRouterClient, number: str) -> None:
    usage = f'{{"prompt_tokens":{number},"completion_tokens":2,"prompt_tokens_details":{number}}}'
    wire.return_value = stream(f'{{"choices":[{{"delta":{{"content":"a"}}}}],"usage":{usage}}}', "[DONE]")

    assert client.complete_chat(HELLO).usage == Usage(output_tokens=2)


@pytest.mark.parametrize("cost", ["-0.1", "true", "null", "NaN", "1e99", "1e99999999999999999999999", '"1"', "{}"])
def test_costs_that_cannot_be_are_unknown(wire: respx.Route, client: OpenRouterClient, cost: str) -> None:
    wire.return_value = stream(f'{{"choices":[],"usage":{{"cost":{cost},"total_tokens":3.0}}}}', "[DONE]")

    assert client.complete_chat(HELLO).usage == Usage(total_tokens=3)


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        (
            {"cost": Decimal("0.1"), "is_byok": True, "cost_details": {"upstream_inference_cost": Decimal("0.2")}},
            "0.3",
        ),
        (
            {"cost": Decimal("0.1"), "is_byok": False, "cost_details": {"upstream_inference_cost": Decimal(1)}},
            "0.1",
        ),
        ({"cost": Decimal("0.1"), "is_byok": True, "cost_details": {"upstream_inference_cost": None}}, "0.1"),
        ({"cost": Decimal("0.1"), "is_byok": True, "cost_details": None}, "0.1"),
        ({"cost": 0}, "0"),
        ({"cost": Decimal("1.4E-7")}, "0.00000014"),
        ({"cost": Decimal("0E-999999")}, "0.000000000000000000"),
        ({"cost": Decimal("0E+999999")}, "0.000000000000000000"),
    ],
)
def test_a_cost_is_exact_and_can_be_printed(usage: dict[str, Any], cost: str) -> None:
    found = read_usage(usage).cost
    assert found is not None
    assert f"{found:f}" == cost


FIELDS = [
    *("choices", "delta", "message", "content", "reasoning", "text", "index", "finish_reason", "model", "id"),
    *("usage", "cost", "prompt_tokens", "prompt_tokens_details", "cached_tokens", "error", "code", "metadata"),
]
NUMBERS = st.integers() | st.decimals(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=6),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(["choices", "usage", "error", "model", "id"]), JSON), max_size=4))
def test_no_chunk_of_any_shape_is_a_crash(chunks: list[dict[str, Any]]) -> None:
    reply = Reply(model="m", clean=Cleaner(Secret(KEY)))

    reply.start({})
    yielded: list[Chunk] = []
    for chunk in chunks:
        reply.add(chunk)
        yielded += reply.arrived()
    yielded += reply.close()
    done = reply.done()

    assert "".join(chunk.text for chunk in yielded if isinstance(chunk, ContentChunk)) == done.content
    assert done.usage.cost is None or done.usage.cost >= 0


def test_reasoning_that_stands_only_in_its_details_is_told_once_and_kept_for_the_next_request(
    wire: respx.Route, client: OpenRouterClient
) -> None:
    def thought(text: str) -> dict[str, object]:
        return {"type": "reasoning.text", "text": text, "index": 0}

    wire.return_value = stream(
        delta(reasoning_details=[thought("a")]),
        delta(reasoning="b", reasoning_details=[thought("b")]),
        delta("stop", content="hi"),
        "[DONE]",
    )

    *chunks, done = client.stream_chat(HELLO)

    assert chunks == [ReasoningChunk("ab"), ContentChunk("hi")]
    assert isinstance(done, DoneChunk)
    assert done.reasoning == "ab"
    assert json.loads(done.reasoning_details or "") == [thought("ab")]


def test_the_key_is_in_no_part_of_a_reply_that_says_it(wire: respx.Route, client: OpenRouterClient) -> None:
    page = {"type": "url_citation", "url_citation": {"url": f"https://a.example/{KEY}", "title": KEY}}
    details = [{"type": "reasoning.text", "text": KEY, "signature": KEY, KEY: KEY, "index": 0}]
    wire.return_value = stream(
        delta(reasoning=f"thought: {KEY[:9]}"),
        delta(reasoning=f"{KEY[9:]}.", reasoning_details=details),
        delta(content=f"it is {KEY[:9]}", annotations=[page]),
        delta("stop", content=f"{KEY[9:]}."),
        "[DONE]",
    )

    *chunks, done = client.stream_chat(HELLO)

    assert "sentinel" not in repr([*chunks, done])
    assert isinstance(done, DoneChunk)
    assert (done.content, done.reasoning) == ("it is ***.", "thought: ***.")
    assert done.citations == (Citation("https://a.example/***", "***"),)


def test_the_details_of_a_reply_that_was_cut_short_are_not_kept(
    wire: respx.Route, client: OpenRouterClient
) -> None:
    details = [{"type": "reasoning.text", "text": "a", "index": 0}]
    wire.return_value = stream(delta(reasoning_details=details), delta(content="h"))

    with pytest.raises(IncompleteReplyError) as raised:
        list(client.stream_chat(HELLO))

    assert isinstance(raised.value.partial, DoneChunk)
    assert (raised.value.partial.reasoning, raised.value.partial.reasoning_details) == ("a", None)


def test_the_pages_a_reply_rests_on_are_named_once_each(wire: respx.Route, client: OpenRouterClient) -> None:
    def cited(url: object, title: object = "A page") -> dict[str, object]:
        return {"type": "url_citation", "url_citation": {"url": url, "title": title}}

    wire.return_value = stream(
        delta(content="hi", annotations=[cited("https://a.example/1"), cited("https://a.example/1", "Again")]),
        delta(
            "stop", annotations=[cited("https://b.example/\x1b[2J", None), cited("javascript:alert(1)"), cited(7)]
        ),
        delta(annotations="none"),
        delta(annotations=[None, {"type": "file"}]),
        "[DONE]",
    )

    *_, done = client.stream_chat(HELLO)

    assert isinstance(done, DoneChunk)
    assert done.citations == (
        Citation("https://a.example/1", "A page"),
        Citation("https://b.example/\u241b[2J"),
    )


def test_of_very_many_pages_the_first_hundred_are_named() -> None:
    reply = Reply(model="m", clean=Cleaner(Secret(KEY)))
    pages = [{"url_citation": {"url": f"https://a.example/{number}"}} for number in range(120)]

    reply.add(delta(annotations=pages))

    assert reply.arrived() == []
    assert [cited.url[18:] for cited in reply.done().citations] == [str(number) for number in range(100)]


def test_signs_of_life_are_told_until_the_reply_begins(wire: respx.Route, client: OpenRouterClient) -> None:
    body = b": PROCESSING\n\ndata: " + json.dumps(delta("stop", content="hi")).encode() + b"\n\n: STILL\n\n"
    wire.return_value = httpx.Response(200, headers={"content-type": "text/event-stream"}, content=body)
    told: list[str] = []

    list(client.stream_chat(HELLO, progress=told.append))

    assert told == ["connecting", "processing"]  # a mocked wire does not say when all is sent
