"""A gateway on loopback that is never the limit: what it says is rendered before it is sent.

A model's name says what it answers: `bench/prose-20000` is 20,000 tokens of prose as fast as they can be taken,
`bench/prose-4000@1000` comes at 1,000 tokens a second. Each event is an HTTP chunk of its own, as from a gateway
that passes on each token when it comes; of `bench/prose-20000x16` 16 events are one, as from a proxy where they
have piled up. An event with usage and cost ends the reply. Any key will do.
"""

import functools
import json
import re
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from texts import KINDS, text_of, tokens_of

KEY = "sk-or-v1-benchmark-key-of-no-value"
# What the gateway has to do at the least, so that it is the programs that are measured.
EVENTS_PER_SECOND = 50_000
_CHECKED_TOKENS = 50_000

_MODEL = re.compile(
    r"bench/(?P<kind>[a-z]+)-(?P<tokens>[0-9]{1,7})(?:@(?P<pace>[0-9]{1,6})|x(?P<packed>[1-9][0-9]{0,2}))?"
)


class Gateway:
    """The gateway as a context manager, in a process of its own; *url* is the base URL while it is entered."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """The base URL, as for `AI_GATEWAY_URL`."""
        return f"http://127.0.0.1:{self._port}/api/v1"

    def events_per_second(self) -> float:
        """How many events a second it sends to one client that only counts bytes."""
        seconds = [self._seconds(f"bench/prose-{_CHECKED_TOKENS}") for _ in range(3)]
        return _CHECKED_TOKENS / min(seconds)  # the first one renders them, and others may be at work

    def _seconds(self, model: str) -> float:
        body = json.dumps({"model": model, "stream": True, "messages": []}).encode()
        headers = f"Connection: close\r\nContent-Length: {len(body)}"
        head = f"POST /api/v1/chat/completions HTTP/1.1\r\n{headers}\r\n\r\n"
        begun = time.perf_counter()
        with socket.create_connection(("127.0.0.1", self._port)) as connection:
            connection.sendall(head.encode() + body)
            room = bytearray(1 << 16)
            while connection.recv_into(room):
                pass
        return time.perf_counter() - begun

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for us
        )
        assert self._process.stdout
        self._port = int(self._process.stdout.readline())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process
        with self._process:  # the end of its standard input is what ends it, also if we are killed
            pass


@functools.cache
def events(model: str) -> tuple[list[bytes], bytes]:
    """The chunks of the reply of *model*, and what comes after them; `KeyError` for a model that is not there."""
    kind, tokens, _, packed = _parts(model)
    form = {"id": "gen-bench", "object": "chat.completion.chunk", "created": 1700000000, "model": model}
    head = json.dumps(form, separators=(",", ":"))[:-1]
    choice = '"choices":[{"index":0,"delta":{"role":"assistant","content":'
    rendered = [
        _event(f'{head},{choice}{json.dumps(token)}}},"finish_reason":null,"native_finish_reason":null}}]}}')
        for token in tokens_of(text_of(kind, tokens))
    ]
    end = _event(f'{head},{choice}""}},"finish_reason":"stop","native_finish_reason":"stop"}}]}}')
    usage = json.dumps(_usage(tokens))
    end += _event(f'{head},{choice}""}},"finish_reason":null,"native_finish_reason":null}}],"usage":{usage}}}')
    chunks = [_chunk(b"".join(rendered[at : at + packed])) for at in range(0, tokens, packed)]
    return chunks, _chunk(end + _event("[DONE]")) + b"0\r\n\r\n"


@functools.cache
def stream(model: str) -> bytes:
    """The whole reply of *model* in one piece."""
    rendered, end = events(model)
    return b"".join(rendered) + end


def _parts(model: str) -> tuple[str, int, int, int]:
    """The kind, the tokens, how many of them come in a second (0: all at once), and how many in an HTTP chunk."""
    found = _MODEL.fullmatch(model)
    if not found or found["kind"] not in KINDS:
        raise KeyError(model)
    return found["kind"], int(found["tokens"]), int(found["pace"] or 0), int(found["packed"] or 1)


def _event(data: str) -> bytes:
    return f"data: {data}\n\n".encode()


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _usage(tokens: int) -> dict[str, float]:
    return {"prompt_tokens": 12, "completion_tokens": tokens, "total_tokens": tokens + 12, "cost": 0.000123}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """The list of models."""
        self._document(200, {"data": [{"id": f"bench/{kind}-20", "name": kind} for kind in KINDS]})

    def do_POST(self) -> None:
        """A reply."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        model = body["model"]
        try:
            kind, tokens, pace, _ = _parts(model)
        except KeyError:
            self._document(404, {"error": {"code": 404, "message": f"no such model: {model}"}})
        else:
            if body.get("stream"):
                self._stream(model, pace)
            else:
                message = {"role": "assistant", "content": text_of(kind, tokens)}
                choice = {"index": 0, "message": message, "finish_reason": "stop"}
                form = {"id": "gen-bench", "object": "chat.completion", "created": 1700000000, "model": model}
                self._document(200, {**form, "choices": [choice], "usage": _usage(tokens)})

    def _stream(self, model: str, pace: int) -> None:
        self.send_response_only(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if not pace:
            self.wfile.write(stream(model))
            return
        rendered, end = events(model)
        begun, sent = time.monotonic(), 0
        while sent < len(rendered):
            due = min(int((time.monotonic() - begun) * pace) + 1, len(rendered))
            self.wfile.write(b"".join(rendered[sent:due]))
            sent = due
            time.sleep(max(0.0, begun + sent / pace - time.monotonic()))
        self.wfile.write(end)

    def _document(self, status: int, form: object) -> None:
        body = json.dumps(form).encode()
        self.send_response_only(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def handle(self) -> None:
        """Answer until the client goes, which some do without a word."""
        with suppress(ConnectionError):
            super().handle()


def main() -> None:
    """Answer at a free port, which is printed, until standard input ends."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(server.server_address[1], flush=True)  # noqa: T201
        sys.stdin.read()
        server.shutdown()


if __name__ == "__main__":
    main()
