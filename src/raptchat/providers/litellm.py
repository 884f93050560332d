"""What a LiteLLM proxy says beyond OpenAI's language: what its models cost, and what its keys may spend.

The forms are those of `GET /model/info` and `GET /key/info` of the LiteLLM proxy's API reference
(https://litellm-api.up.railway.app). Neither is relied on: what is not there, or is of another gateway, says
nothing.
"""

from collections.abc import Mapping
from decimal import Decimal

from raptchat.errors import RaptchatError
from raptchat.providers import model_list
from raptchat.providers.json_calls import JsonCalls, is_not_found
from raptchat.providers.key_info import KeyInfo
from raptchat.providers.keys import read_key_info
from raptchat.records import Model

_MODELS = ("/model/info", "/v1/model/info")


def ask_prices(calls: JsonCalls) -> list[Model]:
    """The models whose prices the proxy knows, each name once and at the highest of its prices."""
    for path in _MODELS:
        try:
            return _priced(calls.call("GET", path).get("data"))
        except RaptchatError as error:
            if not is_not_found(error):
                break  # whoever is silent, or refuses, is not asked twice
    return []


def ask_key_info(calls: JsonCalls) -> KeyInfo:
    """What the proxy says of the key that *calls* are made with; nothing where it says nothing."""
    try:
        info = calls.call("GET", "/key/info").get("info")
    except RaptchatError:
        return KeyInfo()
    if not isinstance(info, dict):
        return KeyInfo()
    found = read_key_info(
        {
            "label": info.get("key_name"),
            "name": info.get("key_alias"),
            "limit": info.get("max_budget"),
            "usage": info.get("spend"),
            "expires_at": info.get("expires"),
            "created_at": info.get("created_at"),
            "disabled": info.get("blocked"),
        }
    )
    if found.limit is None or found.usage is None:
        return found
    return found._replace(limit_remaining=max(Decimal(0), found.limit - found.usage))


def _priced(entries: object) -> list[Model]:
    # One name may stand for several hosts, and which of them answers is not known beforehand.
    dearest: dict[str, Model] = {}
    for entry in entries if isinstance(entries, list) else []:
        for model in model_list.read([_entry(entry)]) if isinstance(entry, dict) else []:
            other = dearest.get(model.id)
            if model.input_price is not None or model.output_price is not None:
                dearest[model.id] = model if other is None else _dearer(model, other)
    return list(dearest.values())


def _entry(entry: Mapping[str, object]) -> dict[str, object]:
    """A model in the form that `model_list` reads."""
    info = entry.get("model_info")
    known = info if isinstance(info, dict) else {}
    return {
        "id": entry.get("model_name"),
        "context_length": known.get("max_input_tokens"),
        "pricing": {
            "prompt": known.get("input_cost_per_token"),
            "completion": known.get("output_cost_per_token"),
        },
    }


def _dearer(one: Model, other: Model) -> Model:
    return one._replace(
        input_price=_larger(one.input_price, other.input_price),
        output_price=_larger(one.output_price, other.output_price),
    )


def _larger(one: Decimal | None, other: Decimal | None) -> Decimal | None:
    known = [price for price in (one, other) if price is not None]
    return max(known, default=None)
