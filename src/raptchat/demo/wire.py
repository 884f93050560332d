"""The demo gateway's wire: what it was asked, and the pieces that an answer is made of."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from raptchat.demo.prices import price_of

KEY_PREFIX = "sk-or-v1-demo"

EVENTS = {"Content-Type": "text/event-stream"}
JSON = {"Content-Type": "application/json"}
KEEP_ALIVE = b": OPENROUTER PROCESSING\n\n"
DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came in; *headers* have lower-case names, and the key is in *api_key* only."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]
    api_key: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Bill:
    """What a reply of *model* took: tokens, *thought* of the *completion* on thinking, and US dollars."""

    model: str
    prompt: int
    completion: int
    thought: int
    cost: Decimal

    def usage(self) -> dict[str, object]:
        """The same in the form of a reply."""
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt + self.completion,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": self.thought},
            "cost": float(self.cost),
        }


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer: each piece of *body* is sent by itself, *pause* seconds after the one before.

    *ending*: `whole`; `cut`, the connection closes before the body's end; `reset`, the same with a TCP reset,
    also after *pause*; `hang`, nothing more comes. *status* 0 sends the body as it is, without HTTP around it.

    Of a reply that was begun, *bill* is what it takes however it ends: as at the hosts that do not stop, one that
    the client breaks off is billed whole. *finish* is what its record says of its end, and *unrecorded* how often
    the gateway says that it has no record of it before it has one.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: EVENTS)
    body: Iterable[bytes] = ()
    pause: float = 0.0
    ending: Literal["whole", "cut", "reset", "hang"] = "whole"
    bill: Bill | None = None
    finish: str | None = None
    unrecorded: int = 0


@dataclass(frozen=True, slots=True)
class Asked:
    """A chat request, as far as the demo gateway looks at it; its reply goes by *generation_id*."""

    model: str
    text: str
    messages: int
    words: int
    stream: bool
    generation_id: str
    body: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, body: Mapping[str, Any], generation_id: str) -> "Asked":
        """The request in *body*; `ValueError` says what is wrong with it."""
        messages, model = body.get("messages"), body.get("model")
        if not isinstance(model, str) or not model:
            raise ValueError("model: a text is required")
        if not isinstance(messages, list) or not messages:
            raise ValueError("messages: a list of one or more is required")
        if not all(isinstance(message, dict) and message.get("role") for message in messages):
            raise ValueError("messages: each needs a role and a content")
        texts = [(message["role"], _text(message.get("content"))) for message in messages]
        last = next((text for role, text in reversed(texts) if role == "user"), "")
        words = sum(len(text.split()) for _, text in texts)
        return cls(model, last, len(messages), words, bool(body.get("stream")), generation_id, body)


def in_json(data: object, status: int = 200) -> Answer:
    """*data* as an answer."""
    return Answer(status, JSON, [json.dumps(data).encode()])


def refusal(status: int, message: str, **error: object) -> Answer:
    """An error in the gateway's JSON form."""
    return in_json({"error": {"code": status, "message": message, **error}, "user_id": "user_demo"}, status)


def event(asked: Asked, *choices: object, **fields: object) -> bytes:
    """One chunk of a stream."""
    data = {
        "id": asked.generation_id,
        "object": "chat.completion.chunk",
        "created": 1_795_000_000,
        "model": asked.model,
        "provider": "demo",
        "choices": choices,
        **fields,
    }
    return b"data: " + json.dumps(data).encode() + b"\n\n"


def delta(asked: Asked, finish: str | None = None, **delta: object) -> bytes:
    """A chunk with something new of the reply."""
    return event(asked, {"index": 0, "delta": delta, "finish_reason": finish})


def bill_of(asked: Asked, reply: str, thoughts: str = "") -> Bill:
    """What it takes: a word is a token."""
    thought = len(thoughts.split())
    completion = len(reply.split()) + thought
    cost = price_of(asked.model).of(asked.words, completion)
    return Bill(asked.model, asked.words, completion, thought, cost)


def opening(asked: Asked) -> list[bytes]:
    """How a stream begins."""
    return [KEEP_ALIVE, delta(asked, role="assistant", content="")]


def stream(
    asked: Asked, pieces: Iterable[bytes], text: str, *, finish: str = "stop", thoughts: str = ""
) -> Answer:
    """A whole stream of *pieces*, which say *text* and *thoughts*."""
    bill = bill_of(asked, text, thoughts)
    closing = [delta(asked, finish, content=""), event(asked, usage=bill.usage()), DONE]
    return Answer(body=[*opening(asked), *pieces, *closing], bill=bill, finish=finish)


def words(asked: Asked, text: str, field: str = "content") -> list[bytes]:
    """A chunk for each word of *text*."""
    return [delta(asked, **{field: word}) for word in _words(text)]


def _words(text: str) -> list[str]:
    return re.findall(r"\s*\S+\s*", text) or [text]


def _text(content: object) -> str:
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""
