"""The models that the demo gateway lists, as OpenRouter lists its own (API reference, "Models")."""

import json
from typing import Any

from raptchat.demo.wire import JSON, Answer

_MILLION = 1_000_000
_CREATED = 1_790_000_000


def model_list() -> Answer:
    """The answer to `GET /models`."""
    return Answer(200, JSON, [json.dumps({"data": _MODELS, "total_count": len(_MODELS)}).encode()])


def _model(
    name: str,
    says: str,
    *,
    prompt: float,
    completion: float,
    context: int | None = 128_000,
    **fields: Any,
) -> dict[str, Any]:
    """A model with its prices in US dollars for a million tokens, which the list gives for one."""
    return {
        "id": name,
        "canonical_slug": name,
        "name": says,
        "description": f"{says}, with no model behind it.",
        "created": _CREATED + len(name),
        "context_length": context,
        "architecture": {"input_modalities": fields.pop("takes", ["text"]), "output_modalities": ["text"]},
        "pricing": {
            "prompt": _per_token(prompt),
            "completion": _per_token(completion),
            "request": "0",
        },
        "top_provider": {"context_length": context, "max_completion_tokens": 8192, "is_moderated": False},
        "supported_parameters": ["max_tokens", "temperature", "top_p", *fields.pop("supports", [])],
        "expiration_date": None,
        **fields,
    }


def _per_token(dollars: float) -> str:
    return f"{dollars / _MILLION:.9f}"


_MODELS = [
    _model("demo/reply", "Demo: Reply", prompt=1, completion=5),
    _model("demo/echo", "Demo: Echo", prompt=0, completion=0, context=8_000),
    _model("demo/long", "Demo: Long", prompt=0.1, completion=0.4, context=1_000_000),
    _model(
        "demo/thinking",
        "Demo: Thinking",
        prompt=3,
        completion=15,
        context=200_000,
        supports=["reasoning", "tools"],
        reasoning={"mandatory": True, "supported_efforts": ["low", "medium", "high"]},
    ),
    _model("demo/json", "Demo: JSON", prompt=0.25, completion=1, supports=["structured_outputs"]),
    _model("demo/seen", "Demo: Seen", prompt=2, completion=8, takes=["text", "image", "audio", "file"]),
    _model("demo/slow", "Demo: Slow", prompt=1, completion=1, expiration_date="2026-12-31"),
    _model("demo/cited", "Demo: Cited", prompt=1, completion=3, supports=["web_search_options"]),
    {
        **_model("demo/router", "Demo: Router", prompt=0, completion=0, context=None),
        "pricing": {"prompt": "-1", "completion": "-1"},
    },
]
