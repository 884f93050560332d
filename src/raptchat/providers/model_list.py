"""The entries of a gateway's list of models, read and written; knows no sockets.

The form is that of `GET /models` of the OpenRouter API reference. Other gateways send less of it, or by another
name, so every field but the id is optional, and one that cannot be right counts as missing: a list is there to be
looked at, and nothing in it may spoil the rest. All texts come from outside; what is read here is safe to show.
"""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal

from raptchat.config import is_model_id
from raptchat.outside import safe_line
from raptchat.records import Model

MOST_MODELS = 10_000
_MOST_WORDS = 64
_LONGEST_NAME = 200

# Router models, whose price depends on where they send a request, have "-1".
_PRICE = re.compile(r"[0-9]{1,12}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,2})?")
_WORD = re.compile(r"[a-z0-9][a-z0-9_.-]{0,39}")
# Per million tokens, or per request; beyond these a number is a mistake and not a price.
_LEAST_PRICE, _GREATEST_PRICE = Decimal("1e-9"), Decimal(10_000_000)
_MOST_TOKENS = 10**12
_YEAR_2200 = 7_258_118_400


def read(entries: object) -> list[Model]:
    """The models in *entries*, what is no model left out; of two with one id the first."""
    models: dict[str, Model] = {}
    for entry in entries if isinstance(entries, list) else []:
        if len(models) >= MOST_MODELS:
            break
        if isinstance(entry, dict) and (found := _model(entry)):
            models.setdefault(found.id, found)
    return list(models.values())


def entry(model: Model) -> dict[str, object]:
    """*model* in the gateway's own form, which `read` takes."""
    return {
        "id": model.id,
        "name": model.name,
        "created": int(datetime.fromisoformat(model.created_at).timestamp()) if model.created_at else None,
        "context_length": model.context_length,
        "architecture": {"input_modalities": model.input_modalities},
        "pricing": {
            "prompt": _text(model.input_price, -6),
            "completion": _text(model.output_price, -6),
            "request": _text(model.request_price, 0),
        },
        "top_provider": {"max_completion_tokens": model.max_output},
        "supported_parameters": model.supported_parameters,
        "expiration_date": model.expires_on,
    }


def _model(entry: Mapping[str, object]) -> Model | None:
    model_id, name = entry.get("id"), entry.get("name")
    if not isinstance(model_id, str) or not is_model_id(model_id):
        return None
    pricing, architecture = _mapping(entry.get("pricing")), _mapping(entry.get("architecture"))
    return Model(
        id=model_id,
        name=(safe_line(name.strip()[:_LONGEST_NAME]) if isinstance(name, str) else "") or model_id,
        created_at=_time(entry.get("created")),
        context_length=_context_length(entry),
        input_modalities=_words(architecture.get("input_modalities")),
        input_price=_price(pricing.get("prompt"), 6),
        output_price=_price(pricing.get("completion"), 6),
        request_price=_price(pricing.get("request"), 0),
        supported_parameters=_words(entry.get("supported_parameters")),
        expires_on=_day(entry.get("expiration_date")),
        max_output=_whole(_mapping(entry.get("top_provider")).get("max_completion_tokens"), _MOST_TOKENS),
    )


def _context_length(entry: Mapping[str, object]) -> int | None:
    # OpenRouter; LiteLLM; vLLM; llama.cpp.
    names = ("context_length", "max_input_tokens", "max_model_len")
    found = [*(entry.get(name) for name in names), _mapping(entry.get("meta")).get("n_ctx_train")]
    return next((length for value in found if (length := _whole(value, _MOST_TOKENS))), None)


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _whole(value: object, most: int) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= most else None


def _time(value: object) -> str | None:
    seconds = _whole(value, _YEAR_2200)
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _day(value: object) -> str | None:
    try:
        return date.fromisoformat(value[:10]).isoformat() if isinstance(value, str) else None
    except ValueError:
        return None


def _words(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        return ()
    words = value[:_MOST_WORDS]
    return tuple(dict.fromkeys(word for word in words if isinstance(word, str) and _WORD.fullmatch(word)))


def _price(value: object, shift: int) -> Decimal | None:
    if isinstance(value, int) and not isinstance(value, bool):
        value = Decimal(value)
    text = str(value) if isinstance(value, str | Decimal) else ""
    if not _PRICE.fullmatch(text):
        return None
    price = Decimal(text).scaleb(shift).normalize()
    if not price:
        return Decimal(0)
    return price if _LEAST_PRICE <= price <= _GREATEST_PRICE else None


def _text(price: Decimal | None, shift: int) -> str | None:
    return None if price is None else str(price.scaleb(shift))
