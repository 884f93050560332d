"""The demo gateway's wire: what it was asked, and the pieces that an answer is made of."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

KEY_PREFIX = "sk-or-v1-demo"
GENERATION_ID = "gen-demo"

EVENTS = {"Content-Type": "text/event-stream", "X-Generation-Id": GENERATION_ID}
JSON = {"Content-Type": "application/json"}
KEEP_ALIVE = b": OPENROUTER PROCESSING\n\n"
DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer: each piece of *body* is sent by itself, *pause* seconds after the one before.

    *ending*: `whole`; `cut`, the connection closes before the body's end; `reset`, the same with a TCP reset,
    also after *pause*; `hang`, nothing more comes. *status* 0 sends the body as it is, without HTTP around it.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: EVENTS)
    body: Iterable[bytes] = ()
    pause: float = 0.0
    ending: Literal["whole", "cut", "reset", "hang"] = "whole"


@dataclass(frozen=True, slots=True)
class Asked:
    """A chat request, as far as the demo gateway looks at it."""

    model: str
    text: str
    messages: int
    words: int
    stream: bool
    body: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> "Asked":
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
        return cls(model, last, len(messages), words, bool(body.get("stream")), body)


def refusal(status: int, message: str, **error: object) -> Answer:
    """An error in the gateway's JSON form."""
    body = {"error": {"code": status, "message": message, **error}, "user_id": "user_demo"}
    return Answer(status, JSON, [json.dumps(body).encode()])


def event(model: str, *choices: object, **fields: object) -> bytes:
    """One chunk of a stream."""
    data = {
        "id": GENERATION_ID,
        "object": "chat.completion.chunk",
        "created": 1_795_000_000,
        "model": model,
        "provider": "demo",
        "choices": choices,
        **fields,
    }
    return b"data: " + json.dumps(data).encode() + b"\n\n"


def delta(asked: Asked, finish: str | None = None, **delta: object) -> bytes:
    """A chunk with something new of the reply."""
    return event(asked.model, {"index": 0, "delta": delta, "finish_reason": finish})


def usage_of(asked: Asked, reply: str, thoughts: str = "") -> dict[str, object]:
    """What it took: a word is a token."""
    thought = len(thoughts.split())
    out = len(reply.split()) + thought
    return {
        "prompt_tokens": asked.words,
        "completion_tokens": out,
        "total_tokens": asked.words + out,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": thought},
        "cost": (asked.words + 5 * out) / 1_000_000,
    }


def opening(asked: Asked) -> list[bytes]:
    """How a stream begins."""
    return [KEEP_ALIVE, delta(asked, role="assistant", content="")]


def closing(asked: Asked, reply: str, finish: str = "stop", thoughts: str = "") -> list[bytes]:
    """How a stream ends."""
    usage = event(asked.model, usage=usage_of(asked, reply, thoughts))
    return [delta(asked, finish, content=""), usage, DONE]


def words(asked: Asked, text: str, field: str = "content") -> list[bytes]:
    """A chunk for each word of *text*."""
    return [delta(asked, **{field: word}) for word in _words(text)]


def _words(text: str) -> list[str]:
    return re.findall(r"\s*\S+\s*", text) or [text]


def _text(content: object) -> str:
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""
