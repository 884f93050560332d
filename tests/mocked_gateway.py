"""A gateway that is mocked at the transport, for tests of the client."""

import json
import random
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import respx

from raptchat.errors import RaptchatError
from raptchat.providers.openrouter import OpenRouterClient

# No letter of it may come back in an error.
KEY = "sk-or-v1-0123456789abcdef-sentinel"
URL = "http://127.0.0.1:9/api/v1"
HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture(name="wire")
def wire_fixture() -> Iterator[respx.Route]:
    """Where the requests go."""
    with respx.mock:
        yield respx.post(f"{URL}/chat/completions")


@pytest.fixture(name="naps")
def naps_fixture(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits, which take no time, and as long as they can be."""
    taken: list[float] = []
    monkeypatch.setattr(time, "sleep", taken.append)
    monkeypatch.setattr(random, "uniform", lambda low, high: high)
    return taken


@pytest.fixture(name="client")
def client_fixture() -> Iterator[OpenRouterClient]:
    with OpenRouterClient(api_key=KEY, base_url=URL, default_model="a/b") as client:
        yield client


def stream(*events: object, **headers: str) -> httpx.Response:
    body = "".join(f"data: {event if isinstance(event, str) else json.dumps(event)}\n\n" for event in events)
    headers = {"content-type": "text/event-stream", **{k.replace("_", "-"): v for k, v in headers.items()}}
    return httpx.Response(200, headers=headers, content=body.encode())


def delta(finish: str | None = None, **fields: object) -> dict[str, Any]:
    return {"id": "gen-1", "model": "a/served", "choices": [{"delta": fields, "finish_reason": finish}]}


def error(status: int, message: str = "no", **fields: object) -> httpx.Response:
    return httpx.Response(
        status, json={"error": {"code": status, "message": message, **fields}, "user_id": "user_1"}
    )


HI = stream(delta(content="hi"), delta("stop"), "[DONE]")


def failure(client: OpenRouterClient) -> RaptchatError:
    """What goes wrong; nothing of the key is in it, wherever one looks."""
    with pytest.raises(RaptchatError) as caught:
        list(client.stream_chat(HELLO))
    raised = caught.value
    shown = f"{raised!r} {raised.hint} {raised.fields} {getattr(raised, 'partial', None)!r}"
    assert KEY not in shown
    assert "sentinel" not in shown
    assert raised.__cause__ is None
    assert str(raised).isprintable()
    assert str(raised)[0].islower() or str(raised)[0] == "`"
    assert not str(raised).endswith(".") or ": " in str(raised)
    return raised
