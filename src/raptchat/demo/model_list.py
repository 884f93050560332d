"""The models that the demo gateway lists, as OpenRouter lists its own (API reference, "Models")."""

from decimal import Decimal
from typing import Any

from raptchat.demo.prices import price_of
from raptchat.demo.wire import Answer, in_json

_CREATED = 1_790_000_000


def model_list() -> Answer:
    """The answer to `GET /models`."""
    return in_json({"data": _MODELS, "total_count": len(_MODELS)})


def _model(
    name: str,
    says: str,
    *,
    context: int | None = 128_000,
    **fields: Any,
) -> dict[str, Any]:
    """A model with its prices, which the list gives for one token."""
    price = price_of(name)
    return {
        "id": name,
        "canonical_slug": name,
        "name": says,
        "description": f"{says}, with no model behind it.",
        "created": _CREATED + len(name),
        "context_length": context,
        "architecture": {"input_modalities": fields.pop("takes", ["text"]), "output_modalities": ["text"]},
        "pricing": {
            "prompt": _per_token(price.prompt),
            "completion": _per_token(price.completion),
            "request": str(price.request),
        },
        "top_provider": {"context_length": context, "max_completion_tokens": 8192, "is_moderated": False},
        "supported_parameters": ["max_tokens", "temperature", "top_p", *fields.pop("supports", [])],
        "expiration_date": None,
        **fields,
    }


def _per_token(dollars: Decimal) -> str:
    return f"{dollars.scaleb(-6):.9f}"


_MODELS = [
    _model("demo/reply", "Demo: Reply"),
    _model("demo/echo", "Demo: Echo", context=8_000),
    _model("demo/cent", "Demo: Three cents"),
    _model("demo/long", "Demo: Long", context=1_000_000),
    _model(
        "demo/thinking",
        "Demo: Thinking",
        context=200_000,
        supports=["reasoning", "tools"],
        reasoning={"mandatory": True, "supported_efforts": ["low", "medium", "high"]},
    ),
    _model("demo/json", "Demo: JSON", supports=["structured_outputs"]),
    _model("demo/seen", "Demo: Seen", takes=["text", "image", "audio", "file"]),
    _model("demo/slow", "Demo: Slow", expiration_date="2026-12-31"),
    _model("demo/cited", "Demo: Cited", supports=["web_search_options"]),
    {
        **_model("demo/router", "Demo: Router", context=None),
        "pricing": {"prompt": "-1", "completion": "-1"},
    },
]
