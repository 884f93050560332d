"""The demo gateway as any HTTP client sees it."""

import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from urllib.parse import urlsplit

import pytest
from demo_requests import CHAT, HELLO, ask, post

from raptchat.demo import DEMO_KEY, MODELS, Answer, DemoGateway
from raptchat.errors import GatewayError, IncompleteReplyError, RaptchatError
from raptchat.providers.openrouter import OpenRouterClient
from raptchat.records import ReasoningChunk


@pytest.fixture(scope="module")
def gateway() -> Iterator[DemoGateway]:
    with DemoGateway() as gateway:
        yield gateway


def raw(gateway: DemoGateway, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", urlsplit(gateway.url).port or 0), timeout=10) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_a_stream_has_the_form_of_the_real_one(gateway: DemoGateway) -> None:
    status, headers, text = post(gateway, HELLO)

    assert status == 200
    assert headers["content-type"] == "text/event-stream"
    assert re.fullmatch("gen-demo-[0-9]+", headers["x-generation-id"])
    first, *events, done, end = text.split("\n\n")
    assert (first, done, end) == (": OPENROUTER PROCESSING", "data: [DONE]", "")
    chunks = [json.loads(event.removeprefix("data: ")) for event in events]
    assert all(chunk["object"] == "chat.completion.chunk" for chunk in chunks)
    assert [chunk["choices"][0]["delta"].get("content") for chunk in chunks[:-1]] == ["", "hello", ""]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[:-1]] == [None, None, "stop"]
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] == 2
    assert Decimal(str(chunks[-1]["usage"]["cost"])) == Decimal("0.000006")


def test_a_reply_in_one_piece_is_had_without_stream(gateway: DemoGateway) -> None:
    status, headers, text = post(gateway, {**HELLO, "stream": False})

    body = json.loads(text)
    assert (status, headers["content-type"]) == (200, "application/json")
    assert body["choices"][0]["message"] == {"role": "assistant", "content": "hello"}
    assert body["usage"]["prompt_tokens"] == 1


def test_the_reply_says_what_it_is_and_answers_to_the_words(gateway: DemoGateway) -> None:
    reply = ask(gateway, "any/model", "What is\nSQLite?").content

    for part in ("no model", "demo gateway", "2 messages", "> What is\n> SQLite?", "3 words", "`any/model`"):
        assert part in reply
    for markdown in ("## ", "- ", "```python\n", "| --- |", "**"):
        assert markdown in reply


def test_a_long_message_is_quoted_in_part(gateway: DemoGateway) -> None:
    reply = ask(gateway, "demo/reply", "x" * 5000).content

    assert "x" * 299 + "\u2026" in reply
    assert "x" * 301 not in reply


def test_a_message_in_parts_is_answered_by_its_text(gateway: DemoGateway) -> None:
    parts = [{"type": "text", "text": "hel"}, {"type": "image_url"}, 1, {"type": "text", "text": "lo"}]

    for content, expected in ((parts, "hello"), (None, ""), (7, "")):
        body = {**HELLO, "stream": False, "messages": [{"role": "user", "content": content}]}
        assert json.loads(post(gateway, body)[2])["choices"][0]["message"]["content"] == expected


def test_a_conversation_without_a_user_is_answered_too(gateway: DemoGateway) -> None:
    status, _, text = post(gateway, {**HELLO, "model": "m", "messages": [{"role": "system", "content": "x"}]})

    assert status == 200
    assert "nothing" in text


@pytest.mark.parametrize("key", ["sk-or-v1-realistic", "", None, "Sk-or-v1-demo", "x" + DEMO_KEY])
def test_a_key_that_is_not_for_the_demo_is_refused(gateway: DemoGateway, key: str | None) -> None:
    status, _, text = post(gateway, HELLO, key=key)

    assert status == 401
    assert json.loads(text) == {"error": {"code": 401, "message": "User not found."}, "user_id": "user_demo"}


def test_requests_are_remembered_without_showing_the_key(gateway: DemoGateway) -> None:
    post(gateway, HELLO, key="sk-or-v1-sentinel")

    last = gateway.requests[-1]
    assert (last.method, last.path, last.body, last.api_key) == ("POST", CHAT, HELLO, "sk-or-v1-sentinel")
    assert "content-length" in last.headers
    assert "sentinel" not in repr(last)
    assert "authorization" not in last.headers


def test_nothing_is_logged(gateway: DemoGateway, capfd: pytest.CaptureFixture[str]) -> None:
    post(gateway, HELLO, key="sk-or-v1-sentinel")
    post(gateway, b"junk")
    raw(gateway, b"JUNK\r\n\r\n")

    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"junk",
        b"[]",
        b"\xff",
        b"[" * 50_000,
        {},
        {"model": "m"},
        {"model": 1, "messages": [{"role": "user"}]},
        {"model": "m", "messages": []},
        {"model": "m", "messages": "x"},
        {"model": "m", "messages": ["x"]},
        {"model": "m", "messages": [{"content": "x"}]},
    ],
)
def test_a_bad_request_is_told_so(gateway: DemoGateway, body: object, capfd: pytest.CaptureFixture[str]) -> None:
    status, headers, text = post(gateway, body)

    assert status == 400
    assert headers["content-type"] == "application/json"
    assert json.loads(text)["error"]["code"] == 400
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"POST /api/v1/chat/completions HTTP/1.1\r\n\r\n", 400),
        (b"POST /api/v1/chat/completions HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /api/v1/chat/completions HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", 400),
        (b"POST /api/v1/chat/completions HTTP/1.1\r\nContent-Length: 9\r\n\r\n{}", 400),
        (b"PUT / HTTP/1.1\r\n\r\n", 501),
        (b"GET / HTTP/9\r\n\r\n", 400),
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n", 431),
    ],
)
def test_what_is_hardly_http_is_answered_in_json(
    gateway: DemoGateway, request_: bytes, status: int, capfd: pytest.CaptureFixture[str]
) -> None:
    answer = raw(gateway, request_)

    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b'{"error": {"code": %d' % status in answer
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/api/v1/credits"), ("GET", "/"), ("POST", "/api/v1/embeddings"), ("POST", "/")]
)
def test_other_addresses_are_not_there(gateway: DemoGateway, method: str, path: str) -> None:
    status, _, text = post(gateway, HELLO, method=method, path=path)

    assert status == 404
    assert json.loads(text)["error"]["code"] == 404


@pytest.mark.parametrize(
    "status", [301, 304, 400, 401, 402, 403, 404, 408, 413, 422, 429, 500, 502, 503, 504, 520, 524, 529, 599]
)
def test_every_status_can_be_asked_for(gateway: DemoGateway, status: int) -> None:
    answered, _, text = post(gateway, {**HELLO, "model": f"demo/status-{status}"})

    assert answered == status
    if 400 <= status < 520:
        assert json.loads(text)["error"]["code"] == status


@pytest.mark.parametrize("model", ["demo/status-200", "demo/status-999", "demo/status-000"])
def test_a_status_that_is_no_failure_is_refused(gateway: DemoGateway, model: str) -> None:
    assert post(gateway, {**HELLO, "model": model})[0] == 400


@pytest.mark.parametrize("model", ["demo/nope", "demo/status-12", "demo/flaky-", "demo/"])
def test_an_unknown_demo_model_is_not_available(gateway: DemoGateway, model: str) -> None:
    status, _, text = post(gateway, {**HELLO, "model": model})

    assert status == 404
    assert json.loads(text)["error"]["availability"]["fallback_models"] == ["demo/reply"]


def test_every_model_of_the_table_says_what_it_does() -> None:
    assert len(MODELS) >= 20
    for name, model in MODELS.items():
        assert re.fullmatch(r"demo/[a-z]+(-[a-z]+|-N+)*", name)
        assert model.does
        assert "\n" not in model.does


@pytest.mark.parametrize(
    ("model", "content", "finish"),
    [
        ("demo/echo", "hello there", "stop"),
        ("demo/length", "As long as", "length"),
        ("demo/empty", "", "stop"),
        ("demo/reasoning", "It is 4.", "stop"),
    ],
)
def test_models_reply_as_their_names_say(gateway: DemoGateway, model: str, content: str, finish: str) -> None:
    done = ask(gateway, model)

    assert (done.content, done.finish_reason, done.model) == (content, finish, model)
    assert done.usage.input_tokens == 4
    assert done.usage.cost is not None


def test_a_model_can_think_aloud(gateway: DemoGateway) -> None:
    with OpenRouterClient(api_key=DEMO_KEY, base_url=gateway.url) as client:
        chunks = list(client.stream_chat([{"role": "user", "content": "2+2"}], model="demo/reasoning"))

    assert [chunk.text for chunk in chunks if isinstance(chunk, ReasoningChunk)] == ["Two ", "and two."]


def test_a_flaky_model_fails_as_often_as_it_says_each_time(gateway: DemoGateway) -> None:
    for _ in range(2):
        statuses = [post(gateway, {**HELLO, "model": "demo/flaky-3"})[0] for _ in range(4)]
        assert statuses == [503, 503, 503, 200]


def test_scripted_answers_come_first_and_in_order(gateway: DemoGateway) -> None:
    gateway.answer(Answer(418, {"X": "1"}, [b"a", b"b"]), Answer(201, body=[b"c"]))

    first, second, third = (post(gateway, HELLO, key="none") for _ in range(3))

    assert (first[0], first[1]["x"], first[2]) == (418, "1", "ab")
    assert (second[0], second[2]) == (201, "c")
    assert third[0] == 401


def test_a_paced_reply_takes_its_time() -> None:
    with DemoGateway(pace=0.3) as gateway:
        began = time.monotonic()
        ask(gateway, "demo/reply")

    assert 0.25 < time.monotonic() - began < 3


def test_many_clients_are_answered_at_once(gateway: DemoGateway) -> None:
    replies: list[str] = []
    threads = [
        threading.Thread(target=lambda n=n: replies.append(ask(gateway, "demo/echo", str(n)).content))
        for n in range(24)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(replies) == sorted(map(str, range(24)))


@pytest.mark.parametrize("model", ["demo/hang", "demo/endless", "demo/keepalives", "demo/stall", "demo/slow"])
def test_stopping_ends_every_answer_and_every_thread(model: str) -> None:
    before = set(threading.enumerate())
    failures: list[RaptchatError] = []

    def wait_for_an_end(url: str) -> None:
        with OpenRouterClient(api_key=DEMO_KEY, base_url=url, max_retries=0) as client:
            try:
                client.complete_chat([{"role": "user", "content": "x"}], model=model)
            except (GatewayError, IncompleteReplyError) as error:
                failures.append(error)

    with DemoGateway() as running:
        client = threading.Thread(target=wait_for_an_end, args=(running.url,))
        client.start()
        while not running.requests:
            time.sleep(0.005)
    client.join(5)

    # Those of other tests' connections may end meanwhile.
    assert set(threading.enumerate()) <= before
    assert len(failures) == 1


def test_a_client_that_goes_away_is_no_error(capfd: pytest.CaptureFixture[str]) -> None:
    with DemoGateway() as gateway:
        for model in ("demo/endless", "demo/hang", "demo/reply"):
            body = json.dumps({**HELLO, "model": model}).encode()
            head = (
                f"POST {CHAT} HTTP/1.1\r\nAuthorization: Bearer {DEMO_KEY}\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            with socket.create_connection(("127.0.0.1", urlsplit(gateway.url).port or 0)) as connection:
                connection.sendall(head.encode() + body)
        deadline = time.monotonic() + 5
        while gateway._server._open and time.monotonic() < deadline:
            time.sleep(0.005)
        assert not gateway._server._open

    assert capfd.readouterr() == ("", "")


def test_serving_waits_until_it_is_stopped() -> None:
    gateway = DemoGateway()
    gateway.wait()
    gateway.start()
    waiting = threading.Thread(target=gateway.wait)
    waiting.start()
    assert post(gateway, HELLO)[0] == 200
    assert waiting.is_alive()

    gateway.stop()
    waiting.join(5)

    assert not waiting.is_alive()


def test_a_gateway_that_never_ran_can_be_stopped() -> None:
    gateway = DemoGateway()
    gateway.stop()

    with (
        pytest.raises(OSError, match=r"."),
        socket.create_connection(("127.0.0.1", urlsplit(gateway.url).port or 0)),
    ):
        pass


def test_the_port_can_be_chosen() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with DemoGateway(port) as gateway:
        assert gateway.url == f"http://127.0.0.1:{port}/api/v1"


def test_the_models_are_listed_for_a_key_and_in_public(gateway: DemoGateway) -> None:
    status, _, text = post(gateway, b"", method="GET", path="/api/v1/models/user")
    listed = {model["id"]: model for model in json.loads(text)["data"]}

    assert status == 200
    assert listed["demo/reply"]["pricing"]["prompt"] == "0.000001000"
    assert listed["demo/router"]["pricing"]["prompt"] == "-1"
    assert "image" in listed["demo/seen"]["architecture"]["input_modalities"]
    assert post(gateway, b"", method="GET", path="/api/v1/models", key=None)[0] == 200
    assert post(gateway, b"", method="GET", path="/api/v1/models/user", key=None)[0] == 401
    assert post(gateway, b"", method="GET", path="/api/v1/elsewhere")[0] == 404


def test_long_thoughts_come_as_a_signed_block(gateway: DemoGateway) -> None:
    done = ask(gateway, "demo/thinking")

    [block] = json.loads(done.reasoning_details or "")
    assert block["text"] == done.reasoning
    assert block["signature"] == "demo-signature"
    assert done.usage.reasoning_tokens == len(done.reasoning.split())


def test_a_reply_can_name_its_pages(gateway: DemoGateway) -> None:
    assert [page.title for page in ask(gateway, "demo/cited").citations] == [
        "Osmosis",
        "What a membrane lets through",
    ]


def test_the_smallest_document_fits_the_schema_asked_for(gateway: DemoGateway) -> None:
    fields = {
        "name": {"type": "string"},
        "age": {"type": "integer"},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}},
    }
    wanted = {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": {"type": "object", "properties": fields}},
    }
    with OpenRouterClient(api_key=DEMO_KEY, base_url=gateway.url) as client:
        messages = [{"role": "user", "content": "hello"}]
        fitting = client.complete_chat(messages, model="demo/json", options={"response_format": wanted})
        free = client.complete_chat(messages, model="demo/json")

    assert json.loads(fitting.content) == {"name": "demo", "age": 1, "tags": ["a"]}
    assert json.loads(free.content) == {"text": "hello"}


def test_the_next_model_answers_where_the_first_fails(gateway: DemoGateway) -> None:
    with OpenRouterClient(api_key=DEMO_KEY, base_url=gateway.url) as client:
        done = client.complete_chat(
            [{"role": "user", "content": "hello"}],
            model="demo/status-503",
            options={"models": ["demo/status-429", "demo/echo", "demo/reply"]},
        )

    assert (done.model, done.content) == ("demo/echo", "hello")


def test_what_came_in_is_said_part_by_part(gateway: DemoGateway) -> None:
    content = [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"type": "video_url"},
    ]
    with OpenRouterClient(api_key=DEMO_KEY, base_url=gateway.url) as client:
        plain = client.complete_chat([{"role": "user", "content": "look"}], model="demo/seen")
        parts = client.complete_chat(
            [{"role": "user", "content": content}], model="demo/seen", options={"plugins": [{"id": "file-parser"}]}
        )

    assert plain.content == "- text, 4 characters"
    assert parts.content.splitlines() == [
        "- text, 4 characters",
        "- image, data:image/png;base64, 26 characters",
        "- file `a.pdf`, data:application/pdf;base64",
        "- audio, wav, 4 characters",
        "- something else",
        "- plugin file-parser",
    ]
