"""What the demo gateway answers: a reply to the words it was sent, or the fault that the model's name asks for."""

import itertools
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

KEY_PREFIX = "sk-or-v1-demo"
GENERATION_ID = "gen-demo"

_EVENTS = {"Content-Type": "text/event-stream", "X-Generation-Id": GENERATION_ID}
_JSON = {"Content-Type": "application/json"}
_KEEP_ALIVE = b": OPENROUTER PROCESSING\n\n"
_DONE = b"data: [DONE]\n\n"
_LONGEST_QUOTE = 300


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer: each piece of *body* is sent by itself, *pause* seconds after the one before.

    *ending*: `whole`; `cut`, the connection closes before the body's end; `reset`, the same with a TCP reset,
    also after *pause*; `hang`, nothing more comes. *status* 0 sends the body as it is, without HTTP around it.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: _EVENTS)
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
        return cls(model, last, len(messages), words, bool(body.get("stream")))


@dataclass(frozen=True, slots=True)
class Model:
    """A model's name (`NNN` and `N` stand for a number), what it does, and how."""

    does: str
    answer: Callable[[Asked, int], Answer]


def refusal(status: int, message: str, **error: object) -> Answer:
    """An error in the gateway's JSON form."""
    body = {"error": {"code": status, "message": message, **error}, "user_id": "user_demo"}
    return Answer(status, _JSON, [json.dumps(body).encode()])


def answer_to(asked: Asked, failures: dict[str, int], pace: float) -> Answer:
    """The answer to *asked*; *failures* counts those of each `demo/flaky-N`, *pace* is the seconds of a reply."""
    name, number = _numbered(asked.model)
    if name == "demo/flaky-N":
        failures[asked.model] = failures.get(asked.model, 0) + 1
        if failures[asked.model] > number:
            del failures[asked.model]
            name = "demo/reply"
    if name == "demo/reply" or not name.startswith("demo/"):
        return _reply(asked, markdown(asked), pace)
    return MODELS[name].answer(asked, number) if name in MODELS else _unknown_model()


def markdown(asked: Asked) -> str:
    """A reply with something of everything that Markdown has; it says where it comes from."""
    quote = asked.text if len(asked.text) <= _LONGEST_QUOTE else asked.text[:_LONGEST_QUOTE] + "\u2026"
    quoted = "\n".join(f"> {line}" for line in quote.splitlines() or [""])
    first = (asked.text.split() or ["nothing"])[0][:40].strip("`*")
    return f"""## A reply from the demo gateway

There is **no model** behind this: the gateway on this machine only shows what a reply looks like. It was
sent {asked.messages} message{"s" if asked.messages != 1 else ""}, the last of which reads:

{quoted}

What came in:

- {len(asked.text.split())} words, {len(asked.text)} characters
- for the model `{asked.model}`
- beginning with *{first}*

```python
def count(text: str) -> int:
    return len(text.split())
```

| messages | words in all |
| --- | ---: |
| {asked.messages} | {asked.words} |
"""


def _text(content: object) -> str:
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _numbered(model: str) -> tuple[str, int]:
    if match := re.fullmatch(r"demo/(status-(\d{3})|flaky-(\d{1,2}))", model, re.ASCII):
        if match[2]:
            return "demo/status-NNN", int(match[2])
        return "demo/flaky-N", int(match[3])
    return model, 0


def _event(model: str, *choices: object, **fields: object) -> bytes:
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


def _delta(asked: Asked, finish: str | None = None, **delta: object) -> bytes:
    return _event(asked.model, {"index": 0, "delta": delta, "finish_reason": finish})


def _usage(asked: Asked, reply: str) -> dict[str, object]:
    out = len(reply.split())
    return {
        "prompt_tokens": asked.words,
        "completion_tokens": out,
        "total_tokens": asked.words + out,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
        "cost": (asked.words + 5 * out) / 1_000_000,
    }


def _opening(asked: Asked) -> list[bytes]:
    return [_KEEP_ALIVE, _delta(asked, role="assistant", content="")]


def _closing(asked: Asked, reply: str, finish: str = "stop") -> list[bytes]:
    return [_delta(asked, finish, content=""), _event(asked.model, usage=_usage(asked, reply)), _DONE]


def _words(asked: Asked, text: str) -> list[bytes]:
    return [_delta(asked, content=word) for word in re.findall(r"\s*\S+\s*", text) or [text]]


def _reply(asked: Asked, text: str, pace: float = 0.0) -> Answer:
    if not asked.stream:
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        body = {"id": GENERATION_ID, "object": "chat.completion", "model": asked.model, "choices": [choice]}
        headers = {**_JSON, "X-Generation-Id": GENERATION_ID}
        return Answer(200, headers, [json.dumps({**body, "usage": _usage(asked, text)}).encode()])
    body_pieces = [*_opening(asked), *_words(asked, text), *_closing(asked, text)]
    return Answer(body=body_pieces, pause=pace / len(body_pieces))


def _broken(asked: Asked, ending: Literal["whole", "cut", "reset", "hang"]) -> Answer:
    return Answer(body=[*_opening(asked), *_words(asked, "The beginning of a reply")], ending=ending)


def _error_midstream(asked: Asked) -> Answer:
    error = {
        "code": 502,
        "message": "upstream went away",
        "metadata": {"error_type": "provider_unavailable", "provider_code": "x"},
    }
    choice = {"index": 0, "delta": {"content": ""}, "finish_reason": "error"}
    broken = _event(asked.model, choice, error=error)
    return Answer(body=[*_opening(asked), *_words(asked, "The beginning of a reply"), broken])


def _reasoning(asked: Asked) -> Answer:
    thoughts = [_delta(asked, reasoning=word, content=None) for word in ("Two ", "and two.")]
    return Answer(body=[*_opening(asked), *thoughts, *_words(asked, "It is 4."), *_closing(asked, "It is 4.")])


def _endless(asked: Asked) -> Answer:
    words = (_delta(asked, content=f"{number} ") for number in itertools.count(1))
    return Answer(body=itertools.chain(_opening(asked), words), pause=0.001)


def _in_bytes(asked: Asked) -> Answer:
    whole = b"".join(_reply(asked, markdown(asked)).body)
    return Answer(body=(whole[at : at + 1] for at in range(len(whole))))


def _slow(asked: Asked) -> Answer:
    return replace(_reply(asked, "One word after the other"), pause=0.2)


def _cut_by_limit(asked: Asked) -> Answer:
    text = "As long as"
    return Answer(body=[*_opening(asked), *_words(asked, text), *_closing(asked, text, "length")])


def _unknown_model() -> Answer:
    return refusal(
        404,
        "No endpoints found for this model.",
        availability={"code": "model_not_found", "retryable": False, "fallback_models": ["demo/reply"]},
    )


def _status(status: int) -> Answer:
    if status in _TYPICAL:
        message, fields = _TYPICAL[status]
        answer = refusal(status, message, **fields)
        return Answer(status, {**answer.headers, **_HEADERS.get(status, {})}, answer.body)
    if 300 <= status < 400:
        return Answer(status, {"Location": "https://elsewhere.example/api/v1/chat/completions"})
    if not 400 <= status < 600:
        return refusal(400, "the demo gateway plays the statuses from 300 to 599")
    if status >= 520:
        page = b"<!DOCTYPE html><html><head><title>error</title></head><body>Ray ID: demo</body></html>"
        return Answer(status, {"Content-Type": "text/html"}, [page])
    return refusal(status, "the demo gateway was asked for this")


# The bodies that the reference shows for these statuses.
_TYPICAL: dict[int, tuple[str, dict[str, Any]]] = {
    400: ("demo/status-400 is malformed", {"metadata": {"error_type": "invalid_request"}}),
    401: ("User not found.", {}),
    402: (
        "This request requires more credits. You requested up to 65536 tokens, but can only afford 40.",
        {"metadata": {"limit_source": "openrouter_credits"}},
    ),
    403: (
        "Your input was flagged.",
        {"metadata": {"reasons": ["harassment"], "flagged_input": "not to be shown", "provider_name": "demo"}},
    ),
    404: (
        "No endpoints found that fit the request.",
        {
            "availability": {
                "code": "constraint_filtered",
                "retryable": False,
                "excluded_by": ["data_policy:zdr", "max_price"],
                "fallback_models": ["demo/reply"],
            }
        },
    ),
    408: ("The request timed out.", {"metadata": {"error_type": "timeout"}}),
    413: ("The request is too large.", {"metadata": {"error_type": "payload_too_large"}}),
    429: ("Rate limit exceeded.", {"metadata": {"limit_source": "openrouter_shared_capacity"}}),
    500: ("Internal Server Error", {"metadata": {"error_type": "server"}}),
    502: ("Provider returned error", {"metadata": {"provider_name": "demo", "raw": "not to be shown"}}),
    503: (
        "There is no available provider.",
        {"availability": {"code": "capacity_exhausted", "retryable": True, "retry_after": 0}},
    ),
    504: ("The provider timed out.", {"metadata": {"error_type": "timeout"}}),
    529: ("The provider is overloaded.", {"metadata": {"error_type": "provider_overloaded"}}),
}
_HEADERS = {429: {"Retry-After": "0"}}

MODELS: dict[str, Model] = {
    "demo/reply": Model(
        "answers in Markdown, as do all names outside `demo/`", lambda asked, _: _reply(asked, markdown(asked))
    ),
    "demo/echo": Model("sends back the last user message, exactly", lambda asked, _: _reply(asked, asked.text)),
    "demo/reasoning": Model("thinks before it answers", lambda asked, _: _reasoning(asked)),
    "demo/bytes": Model("answers one byte at a time", lambda asked, _: _in_bytes(asked)),
    "demo/length": Model("is cut by its length limit", lambda asked, _: _cut_by_limit(asked)),
    "demo/empty": Model(
        "ends without a word", lambda asked, _: Answer(body=[*_opening(asked), *_closing(asked, "")])
    ),
    "demo/slow": Model("pauses between its words", lambda asked, _: _slow(asked)),
    "demo/endless": Model("counts and never ends", lambda asked, _: _endless(asked)),
    "demo/keepalives": Model(
        "sends keep-alives and never a word",
        lambda *_: Answer(body=itertools.repeat(_KEEP_ALIVE), pause=0.02),
    ),
    "demo/hang": Model("never answers", lambda *_: Answer(status=0, ending="hang")),
    "demo/stall": Model("begins a reply and says no more", lambda asked, _: _broken(asked, "hang")),
    "demo/cut": Model("ends in the middle of its reply", lambda asked, _: _broken(asked, "whole")),
    "demo/hangup": Model(
        "closes the connection in the middle of its reply", lambda asked, _: _broken(asked, "cut")
    ),
    "demo/reset": Model(
        "resets the connection in the middle of its reply",
        lambda asked, _: replace(_broken(asked, "reset"), pause=0.03),
    ),
    "demo/error-midstream": Model("fails in the middle of its reply", lambda asked, _: _error_midstream(asked)),
    "demo/garbage": Model("streams what is no JSON", lambda *_: Answer(body=[b"data: \xff{]\n\n"] * 3)),
    "demo/html": Model(
        "answers with a web page",
        lambda *_: Answer(200, {"Content-Type": "text/html"}, [b"<html>Please sign in</html>"]),
    ),
    "demo/not-http": Model("does not speak HTTP", lambda *_: Answer(status=0, body=[b"220 mail ready\r\n\r\n"])),
    "demo/status-NNN": Model("answers with that HTTP status and its typical body", lambda _, nnn: _status(nnn)),
    "demo/flaky-N": Model("fails N times with 503, then answers", lambda *_: _status(503)),
}
