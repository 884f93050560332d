"""The client against a real server on the loopback: cuts, resets, stalls, and a gateway that means harm."""

import itertools
import json
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest

from raptchat.config import DEFAULT_TIMEOUT_SECONDS
from raptchat.demo import DEMO_KEY, Answer, DemoGateway
from raptchat.errors import (
    AuthenticationFailedError,
    GatewayError,
    GatewayTimeoutError,
    IncompleteReplyError,
    InvalidResponseError,
    RaptchatError,
)
from raptchat.providers import answer as answers
from raptchat.providers import refusals, sse
from raptchat.providers._http import Connection
from raptchat.providers.openrouter import OpenRouterClient
from raptchat.records import ContentChunk, DoneChunk, RetryChunk

EVENTS = {"Content-Type": "text/event-stream", "X-Generation-Id": "gen-1"}
TEXT = "Gr\u00fc\u00dfe \U0001f600\u2028!"


@pytest.fixture(scope="module")
def gateway() -> Iterator[DemoGateway]:
    with DemoGateway() as gateway:
        yield gateway


@pytest.fixture
def client(gateway: DemoGateway) -> Iterator[OpenRouterClient]:
    with OpenRouterClient(api_key=DEMO_KEY, base_url=gateway.url, max_retries=0, timeout=10) as client:
        yield client


def ask(client: OpenRouterClient, text: str = "hello", model: str = "demo/echo") -> DoneChunk:
    return client.complete_chat([{"role": "user", "content": text}], model=model)


def what_comes(client: OpenRouterClient) -> tuple[str, RaptchatError | None, bool]:
    """The text that came, the error if it ended in one, and whether it was whole."""
    text, done = "", False
    try:
        for chunk in client.stream_chat([{"role": "user", "content": "hello"}]):
            text += chunk.text if isinstance(chunk, ContentChunk) else ""
            done = isinstance(chunk, DoneChunk)
    except RaptchatError as error:
        return text, error, False
    return text, None, done


def delta(**fields: object) -> bytes:
    return b"data: " + json.dumps({"choices": [fields]}, ensure_ascii=False).encode() + b"\n\n"


TRANSCRIPT = b"".join(
    [
        b": OPENROUTER PROCESSING\r\n\r\n",
        *(delta(delta={"content": character}) for character in TEXT),
        b'data: {"choices":[{"delta":{"content":"\\ud83d\\ude00"}}]}\n\n',
        delta(delta={}, finish_reason="stop"),
        b'data: {"choices":[],"usage":{"total_tokens":9,"cost":0.1}}\n\n',
        b"data: [DONE]\n\n",
    ]
)
WHOLE = TEXT + "\U0001f600"


@pytest.mark.no_cover
def test_a_reply_is_the_same_however_the_network_cuts_it(gateway: DemoGateway, client: OpenRouterClient) -> None:
    for at in range(1, len(TRANSCRIPT)):
        gateway.answer(Answer(200, EVENTS, [TRANSCRIPT[:at], TRANSCRIPT[at:]]))
        done = ask(client)
        assert (done.content, done.finish_reason, done.usage.total_tokens) == (WHOLE, "stop", 9), at


@pytest.mark.parametrize("ending", ["cut", "reset", "whole"])
def test_a_stream_that_ends_at_any_byte_is_whole_or_said_not_to_be(
    gateway: DemoGateway, client: OpenRouterClient, ending: Any
) -> None:
    finish = TRANSCRIPT.index(b'"stop"') + len(b'"stop"}]}\n\n')
    for at in range(1, len(TRANSCRIPT), 3):
        gateway.answer(Answer(200, EVENTS, [TRANSCRIPT[:at]], ending=ending))
        text, error, whole = what_comes(client)

        assert WHOLE.startswith(text), at
        if at >= finish:
            # A reset can overtake what was sent before it; nothing else may take the end away.
            assert (whole and text == WHOLE) or ending == "reset", at
        elif ending != "whole" or at < finish - 2:
            assert not whole, at
        if not whole and text:
            assert isinstance(error, IncompleteReplyError), at
            assert isinstance(error.partial, DoneChunk), at
            assert (error.partial.content, error.partial.finish_reason) == (text, None), at
            assert error.partial.generation_id == "gen-1", at
        elif not whole:
            assert type(error) is GatewayError, at


def test_a_reply_in_single_bytes_is_whole(client: OpenRouterClient) -> None:
    assert "no model" in ask(client, model="demo/bytes").content


@pytest.mark.parametrize("text", ["", "a", "\x1b[31m\x07\x00\x7f\x9b", TEXT, "\n\r\n \t", '"\\', "x" * 100_000])
def test_every_text_arrives_as_it_was_sent(client: OpenRouterClient, text: str) -> None:
    assert ask(client, text).content == text


@pytest.mark.parametrize(
    ("model", "kind", "said"),
    [
        ("demo/hang", GatewayTimeoutError, "sent nothing for too long"),
        ("demo/keepalives", GatewayTimeoutError, "nothing of the reply came for 0.5 s, only signs of life"),
        ("demo/stall", IncompleteReplyError, "sent nothing for too long"),
        ("demo/cut", IncompleteReplyError, "before it was whole"),
        ("demo/hangup", IncompleteReplyError, "hung up"),
        ("demo/reset", IncompleteReplyError, "broke"),
        ("demo/error-midstream", IncompleteReplyError, "upstream went away"),
        ("demo/garbage", InvalidResponseError, "not a reply"),
        ("demo/html", InvalidResponseError, "web page"),
        ("demo/not-http", InvalidResponseError, "does not answer in HTTP"),
    ],
)
def test_a_fault_of_the_gateway_is_the_error_that_fits(
    gateway: DemoGateway, model: str, kind: type[RaptchatError], said: str
) -> None:
    with (
        OpenRouterClient(api_key=DEMO_KEY, base_url=gateway.url, max_retries=0, timeout=0.2) as client,
        pytest.raises(kind, match=said) as caught,
    ):
        ask(client, model=model)

    assert type(caught.value) is kind
    if isinstance(caught.value, IncompleteReplyError):
        assert isinstance(caught.value.partial, DoneChunk)
        assert caught.value.partial.content == "The beginning of a reply"


def test_a_slow_reply_comes_as_it_is_said(client: OpenRouterClient) -> None:
    chunks = client.stream_chat([{"role": "user", "content": "x"}], model="demo/slow")

    arrivals = [time.monotonic() for chunk in chunks if isinstance(chunk, ContentChunk)]

    assert arrivals[-1] - arrivals[0] > 0.4


def test_a_failing_gateway_is_asked_again(gateway: DemoGateway) -> None:
    asked = len(gateway.requests)
    with OpenRouterClient(api_key=DEMO_KEY, base_url=gateway.url, max_retries=2) as client:
        assert "no model" in ask(client, model="demo/flaky-2").content

    assert len(gateway.requests) - asked == 3


def test_letting_go_of_the_stream_closes_the_connection(gateway: DemoGateway, client: OpenRouterClient) -> None:
    gone = threading.Event()

    def body() -> Iterator[bytes]:
        try:
            yield from itertools.repeat(delta(delta={"content": "x"}))
        finally:
            gone.set()

    gateway.answer(Answer(200, EVENTS, body(), pause=0.001))
    with closing(client.stream_chat([{"role": "user", "content": "x"}])) as stream:
        assert next(stream) == ContentChunk("x")

    assert gone.wait(10)


def test_a_connection_that_closed_while_idle_is_opened_anew(gateway: DemoGateway) -> None:
    gateway.answer(Answer(0, {}, [b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n{}"]))
    with OpenRouterClient(api_key=DEMO_KEY, base_url=gateway.url, max_retries=1) as client:
        with pytest.raises(AuthenticationFailedError):
            ask(client)

        assert ask(client).content == "hello"


MIB = 1 << 20


def test_the_limits_are_those_that_are_promised() -> None:
    with closing(Connection("https://gateway.example", timeout=DEFAULT_TIMEOUT_SECONDS)) as connection:
        waits = connection._client.timeout
        assert (waits.connect, waits.read, waits.pool) == (10, 120, 10)
        assert connection._client.follow_redirects is False
    assert answers.MAX_BYTES == 64 * MIB
    assert sse.MAX_EVENT_BYTES == 32 * MIB
    assert refusals.MAX_BODY_BYTES == 64 * 1024


def test_a_reply_beyond_all_bounds_is_ended(gateway: DemoGateway, client: OpenRouterClient) -> None:
    line = delta(delta={"content": "x" * MIB})
    gateway.answer(Answer(200, EVENTS, itertools.repeat(line)))

    text, error, _ = what_comes(client)

    assert 62 * MIB < len(text) <= answers.MAX_BYTES
    assert isinstance(error, IncompleteReplyError)
    assert "larger than 64 MiB" in str(error)


def test_an_answer_in_one_piece_has_a_bound_too(gateway: DemoGateway, client: OpenRouterClient) -> None:
    gateway.answer(Answer(200, {"Content-Type": "application/json"}, itertools.repeat(b" " * MIB)))

    with pytest.raises(InvalidResponseError, match="larger than 64 MiB"):
        ask(client)


@pytest.mark.parametrize("status", [200, 500])
def test_a_body_that_drips_is_not_waited_for(gateway: DemoGateway, status: int) -> None:
    gateway.answer(Answer(status, {"Content-Type": "application/json"}, itertools.repeat(b" "), pause=0.02))
    began = time.monotonic()
    with (
        OpenRouterClient(api_key=DEMO_KEY, base_url=gateway.url, max_retries=0, timeout=0.2) as client,
        pytest.raises(GatewayTimeoutError if status == 200 else GatewayError),
    ):
        ask(client)

    assert time.monotonic() - began < 3


def drip(first: bytes, *then: bytes) -> Iterator[bytes]:
    """*first*, and *then* again and again: never more than a fraction of the timeout between two bytes."""
    yield first
    yield from itertools.cycle(then)


BEFORE_THE_ANSWER = {
    "interim answers": (b"HTTP/1.1 103 Early Hints\r\n\r\n", b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n"),
    "a status line": (b"HTTP/1.1 200 ", b"O", b"K"),
    "a header": (b"HTTP/1.1 200 OK\r\nX: ", b"y"),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
}
IN_THE_ANSWER = {
    "comments": b": still here\n\n",
    "empty objects": b"data: {}\n\n",
    "empty deltas": delta(delta={"content": ""}),
    "no deltas": delta(delta=None),
    "garbage": b"data: {nonsense]\n\n",
    "other events": b"event: ping\ndata: 1\n\n",
    "usage": b'data: {"choices":[],"usage":{"total_tokens":1}}\n\n',
    "a second reply": delta(index=1, delta={"content": "x"}),
    "half a line": b"x",
    "empty lines": b"\n",
}


def outcome(answer: Answer) -> tuple[str, RaptchatError | None, float]:
    """The text and the error that come of *answer* with a timeout of 0.8 s, and after how many seconds."""
    with (
        DemoGateway() as gateway,
        OpenRouterClient(api_key=DEMO_KEY, base_url=gateway.url, max_retries=0, timeout=0.8) as client,
    ):
        gateway.answer(answer)
        began = time.monotonic()
        text, error, _ = what_comes(client)
        took = time.monotonic() - began
        # A connection that was hung up is not used again.
        assert ask(client).content == "hello"
        return text, error, took


def outcomes(answers: Mapping[str, Answer]) -> dict[str, tuple[str, RaptchatError | None, float]]:
    """What comes of each of *answers*, all of them waited for at once."""
    with ThreadPoolExecutor(len(answers)) as pool:
        return dict(zip(answers, pool.map(outcome, answers.values()), strict=True))


def test_an_answer_that_does_not_begin_for_all_its_bytes_is_not_waited_for() -> None:
    answers = {case: Answer(0, {}, drip(*pieces), pause=0.03) for case, pieces in BEFORE_THE_ANSWER.items()}

    for case, (text, error, seconds) in outcomes(answers).items():
        assert text == "", case
        assert type(error) is GatewayTimeoutError, (case, error)
        assert "did not begin to answer for 2 s" in str(error), case
        assert error.hint, case
        assert 1.9 < seconds < 10, case


def test_a_drip_to_one_thread_does_not_break_the_reply_to_another(
    gateway: DemoGateway, impatient: OpenRouterClient
) -> None:
    asked = threading.Event()

    def slowly() -> Iterator[bytes]:
        asked.set()
        yield from drip(*BEFORE_THE_ANSWER["a header"])

    words = [delta(delta={"content": f"{number} "}) for number in range(30)]
    reply = [*words, delta(delta={}, finish_reason="stop"), b"data: [DONE]\n\n"]
    gateway.answer(Answer(0, {}, slowly(), pause=0.03), Answer(200, EVENTS, reply, pause=0.03))
    with ThreadPoolExecutor(1) as pool:
        dripping = pool.submit(what_comes, impatient)
        assert asked.wait(10)
        text, error, whole = what_comes(impatient)

    assert (text.split(), error, whole) == ([str(number) for number in range(30)], None, True)
    assert type(dripping.result()[1]) is GatewayTimeoutError


def test_an_answer_that_does_not_begin_is_asked_for_once_more(gateway: DemoGateway) -> None:
    gateway.answer(Answer(0, {}, drip(*BEFORE_THE_ANSWER["a header"]), pause=0.03))
    with OpenRouterClient(api_key=DEMO_KEY, base_url=gateway.url, max_retries=2, timeout=0.2) as client:
        chunks = list(client.stream_chat([{"role": "user", "content": "hello"}], model="demo/echo"))

    assert isinstance(chunks[0], RetryChunk)
    assert "did not begin to answer" in chunks[0].reason
    assert isinstance(chunks[-1], DoneChunk)
    assert chunks[-1].content == "hello"


def test_signs_of_life_alone_are_no_reply() -> None:
    answers = {case: Answer(200, EVENTS, drip(piece, piece), pause=0.03) for case, piece in IN_THE_ANSWER.items()}

    for case, (text, error, seconds) in outcomes(answers).items():
        assert text == "", case
        assert type(error) is GatewayTimeoutError, (case, error)
        assert "nothing of the reply came for 2 s" in str(error), case
        assert error.hint, case
        assert 1.9 < seconds < 10, case


def test_signs_of_life_after_a_text_cut_the_reply() -> None:
    half = delta(delta={"content": "half"})
    answers = {case: Answer(200, EVENTS, drip(half, piece), pause=0.03) for case, piece in IN_THE_ANSWER.items()}

    for case, (text, error, seconds) in outcomes(answers).items():
        assert text == "half", case
        assert type(error) is IncompleteReplyError, (case, error)
        assert "the reply was cut short: nothing of the reply came for 2 s" in str(error), case
        assert isinstance(error.partial, DoneChunk), case
        assert (error.partial.content, error.partial.finish_reason) == ("half", None), case
        assert 1.9 < seconds < 10, case


@pytest.fixture
def impatient(gateway: DemoGateway) -> Iterator[OpenRouterClient]:
    with OpenRouterClient(api_key=DEMO_KEY, base_url=gateway.url, max_retries=0, timeout=0.2) as client:
        yield client


def test_signs_of_life_after_the_finish_lose_nothing(gateway: DemoGateway, impatient: OpenRouterClient) -> None:
    body = drip(delta(delta={"content": "all"}, finish_reason="stop"), b": still here\n\n")
    gateway.answer(Answer(200, EVENTS, body, pause=0.03))

    assert ask(impatient).content == "all"


def test_a_reply_that_comes_on_now_and_then_is_waited_for(
    gateway: DemoGateway, impatient: OpenRouterClient
) -> None:
    rests = [b": still here\n\n"] * 4
    words = [[delta(delta={"content": f"{number} "}), *rests] for number in range(6)]
    body = [*itertools.chain.from_iterable(words), delta(delta={}, finish_reason="stop"), b"data: [DONE]\n\n"]
    gateway.answer(Answer(200, EVENTS, body, pause=0.03))

    # In all it takes 0.9 s, which is more than 2.5 times the timeout.
    assert ask(impatient).content == "0 1 2 3 4 5 "


@pytest.mark.parametrize("pause", [0, 0.005])
def test_whoever_reads_slowly_is_not_taken_for_a_gateway_that_hangs(
    gateway: DemoGateway, client: OpenRouterClient, monkeypatch: pytest.MonkeyPatch, pause: float
) -> None:
    now = [0.0]
    monkeypatch.setattr(answers, "time", SimpleNamespace(monotonic=lambda: now[0]))
    words = [delta(delta={"content": f"{number} "}) for number in range(5)]
    body = [*words, b": still here\n\n", delta(delta={}, finish_reason="stop"), b"data: [DONE]\n\n"]
    gateway.answer(Answer(200, EVENTS, body if pause else [b"".join(body)], pause=pause))

    chunks = []
    for chunk in client.stream_chat([{"role": "user", "content": "hello"}]):
        chunks.append(chunk)
        now[0] += 3600

    assert isinstance(chunks[-1], DoneChunk)
    assert chunks[-1].content == "0 1 2 3 4 "


def test_a_stall_after_the_finish_loses_nothing(gateway: DemoGateway) -> None:
    gateway.answer(Answer(200, EVENTS, [delta(delta={"content": "all"}, finish_reason="stop")], ending="hang"))
    with OpenRouterClient(api_key=DEMO_KEY, base_url=gateway.url, timeout=0.2) as client:
        done = ask(client)

    assert (done.content, done.finish_reason) == ("all", "stop")


def test_a_server_that_is_not_there_is_tried_again() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        naps: list[float] = []
        with (
            pytest.MonkeyPatch.context() as patch,
            OpenRouterClient(api_key=DEMO_KEY, base_url=f"http://127.0.0.1:{port}/api/v1") as client,
        ):
            patch.setattr(time, "sleep", naps.append)
            with pytest.raises(GatewayError, match=r"no connection to `http://127.0.0.1:\d+`: it was refused"):
                ask(client)

    assert len(naps) == 2


@pytest.fixture
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy, and no names but those of this machine."""
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)


@pytest.mark.usefixtures("direct")
def test_a_host_that_nobody_knows_is_an_error() -> None:
    with (
        OpenRouterClient(api_key=DEMO_KEY, base_url="https://gateway.invalid", max_retries=0) as client,
        pytest.raises(GatewayError, match=r"the address of `https://gateway\.invalid:443` cannot be found"),
    ):
        ask(client)


def test_the_client_loads_neither_rich_nor_click() -> None:
    import subprocess

    code = (
        "import sys; import raptchat.providers as p; assert 'httpx' not in sys.modules\n"
        "p.client_class('openrouter'); assert 'httpx' in sys.modules\n"
        "print({'rich', 'click', 'pygments', 'httpx._main'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "set()\n"
