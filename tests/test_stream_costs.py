"""What a stream costs: what is written, stored and loaded for it, counted and never timed."""

import gc
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import httpx
import pytest
import respx
from mocked_gateway import (  # noqa: F401 - pytest finds fixtures by import
    HELLO,
    URL,
    client_fixture,
    delta,
    wire_fixture,
)
from screen import Recording

from raptchat.demo import DEMO_KEY, DemoGateway
from raptchat.errors import RaptchatError
from raptchat.outside import for_pipe, safe
from raptchat.providers.openrouter import OpenRouterClient
from raptchat.records import ContentChunk, ReasoningChunk
from raptchat.render import Terminal
from raptchat.render.reply import ReplyFormat, show


class Reads(httpx.SyncByteStream):
    """The body of an answer, in the pieces that reads from the network bring."""

    def __init__(self, *reads: bytes) -> None:
        self._reads = reads

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._reads)


def events(*fields: Mapping[str, Any]) -> bytes:
    """Chunks with these deltas, as one read brings them."""
    return b"".join(b"data: " + json.dumps(delta(**one)).encode() + b"\n\n" for one in fields)


def words(*words: str) -> bytes:
    return events(*({"content": word} for word in words))


END = events({"finish": "stop"}) + b"data: [DONE]\n\n"


def streamed(wire: respx.Route, *reads: bytes) -> None:
    wire.return_value = httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Reads(*reads))


@pytest.mark.parametrize(("how", "at_the_end"), [("plain", 1), ("raw", 0), ("jsonl", 1)])
def test_what_one_read_brings_is_one_write_however_many_tokens_it_is(
    wire: respx.Route, client: OpenRouterClient, how: str, at_the_end: int
) -> None:
    reads = [words(*(f"{read}:{number} " for number in range(300))) for read in range(5)]
    streamed(wire, *reads, END)
    pipe = Recording()

    show(client.stream_chat(HELLO), replace(Terminal.recorded(), out=pipe), ReplyFormat(how))

    assert len(pipe.writes) == 5 + at_the_end  # the newline, or the line of JSON
    for read, text in enumerate(pipe.writes[:5]):
        assert f"{read}:0 " in text
        assert f"{read}:299 " in text


def test_each_read_is_written_before_the_next_one_is_waited_for(
    wire: respx.Route, client: OpenRouterClient
) -> None:
    pipe, seen = Recording(), list[str]()

    class OneByOne(Reads):
        def __iter__(self) -> Iterator[bytes]:
            for word in ["one ", "two ", "three"]:
                yield words(word)
                seen.append(pipe.getvalue())
            yield END

    wire.return_value = httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=OneByOne())

    show(client.stream_chat(HELLO), replace(Terminal.recorded(), out=pipe), ReplyFormat.PLAIN)

    assert seen == ["one ", "one two ", "one two three"]


def test_texts_of_one_read_stay_in_their_order(wire: respx.Route, client: OpenRouterClient) -> None:
    thoughts_and_words = [{"reasoning": "a"}, {"reasoning": "b"}, {"content": "c"}, {"reasoning": "d"}]
    streamed(wire, events(*thoughts_and_words, {"content": "e"}, {"content": "f"}) + END)

    *chunks, _ = client.stream_chat(HELLO)

    assert chunks == [ReasoningChunk("ab"), ContentChunk("c"), ReasoningChunk("d"), ContentChunk("ef")]


def test_what_came_before_an_error_in_the_same_read_is_not_lost(
    wire: respx.Route, client: OpenRouterClient
) -> None:
    failed = b'data: {"error":{"code":502,"message":"gone"}}\n\n'
    streamed(wire, words("what ", "came") + failed + words("after"))
    said: list[str] = []

    with pytest.raises(RaptchatError, match="gone"):
        said.extend(chunk.text for chunk in client.stream_chat(HELLO) if isinstance(chunk, ContentChunk))

    assert said == ["what came"]


def test_half_a_character_at_the_end_of_a_read_waits_for_its_other_half(
    wire: respx.Route, client: OpenRouterClient
) -> None:
    halves = [b'data: {"choices":[{"delta":{"content":"%b"}}]}\n\n' % half for half in (rb"a\ud83d", rb"\ude00b")]
    streamed(wire, *halves, END)

    *chunks, _ = client.stream_chat(HELLO)

    assert chunks == [ContentChunk("a"), ContentChunk("\U0001f600b")]


def test_what_is_written_as_it_is_holds_nothing_that_would_be_cleaned() -> None:
    # The writer cleans only what cannot be printed.
    changed = [
        code for code in range(sys.maxunicode + 1) for clean in (safe, for_pipe) if clean(chr(code)) != chr(code)
    ]

    assert len(changed) > 2000
    assert [code for code in changed if chr(code).isprintable()] == []


def loaded(script: str) -> set[str]:
    """The modules of a fresh interpreter after *script*."""
    command = [sys.executable, "-c", f"import sys\n{script}\nprint(*sys.modules)"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def test_a_client_loads_only_what_every_reply_needs() -> None:
    modules = loaded(f"from raptchat import OpenRouterClient; OpenRouterClient(api_key='k', base_url='{URL}')")

    assert {
        name.removeprefix("raptchat.providers.") for name in modules if name.startswith("raptchat.providers.")
    } == {
        *("_http", "answer", "chat_client", "cleaning", "hiding", "openrouter"),
        *("reasoning", "reply", "request", "retries", "sse"),
    }


def test_nothing_of_a_request_waits_until_garbage_is_looked_for(gateway: DemoGateway) -> None:
    def held() -> int:
        return sum(isinstance(each, httpx.Request | httpx.Response) for each in gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        before = held()
        with OpenRouterClient(api_key=DEMO_KEY, base_url=gateway.url) as client:
            client.complete_chat([{"role": "user", "content": "hello"}], model="demo/reply")
        assert held() == before
    finally:
        gc.enable()
