"""How the demo gateway answers about keys: `/key`, and `/keys` for its management key.

The shapes are those of the OpenRouter API reference ("Get current API key", "API Keys").
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from raptchat.demo.keys import RESETS, Key, Keys, now
from raptchat.demo.wire import Answer, Received, in_json, refusal

_PAGE = 100
_MOST_DOLLARS = 10**9
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)


def of_itself(key: Key) -> Answer:
    """`GET /key`: what there is to know of the key that asks."""
    data = {
        **_shared(key),
        "is_free_tier": False,
        "is_management_key": key.is_management,
        "is_provisioning_key": key.is_management,
        "rate_limit": {"requests": -1, "interval": "10s", "note": "This field is deprecated and safe to ignore."},
    }
    return in_json({"data": data})


def listed(keys: Keys, query: Mapping[str, str]) -> Answer:
    """`GET /keys`: a page of them."""
    offset = query.get("offset", "0")
    if not (offset.isascii() and offset.isdigit() and len(offset) < 10):
        return refusal(400, "offset: a whole number is required")
    all_of_them = query.get("include_disabled") == "true"
    found = [_entry(key) for key in keys.made() if all_of_them or not key.disabled]
    return in_json({"data": found[int(offset) :][:_PAGE]})


def make(keys: Keys, body: Mapping[str, object]) -> Answer:
    """`POST /keys`: a new one, whose text is in this answer and in no other."""
    try:
        text, key = keys.make(
            _name(body.get("name")),
            limit=_limit(body.get("limit")),
            limit_reset=_reset(body.get("limit_reset")),
            expires_at=_time(body.get("expires_at")),
        )
    except ValueError as error:
        return refusal(400, str(error))
    return in_json({"data": _entry(key), "key": text}, 201)


def of_one(keys: Keys, received: Received) -> Answer:
    """`GET`, `PATCH` and `DELETE` of `/keys/{hash}`."""
    key = keys.by_hash(received.path.partition("?")[0].rpartition("/")[2])
    if key is None:
        return refusal(404, "API key not found")
    if received.method == "DELETE":
        keys.delete(key)
        return in_json({"deleted": True})
    if received.method == "PATCH":
        try:
            _change(key, received.body)
        except ValueError as error:
            return refusal(400, str(error))
    return in_json({"data": _entry(key)})


def _change(key: Key, body: Mapping[str, object]) -> None:
    changed = replace(key)
    if "name" in body:
        changed.name = _name(body["name"])
    if "limit" in body:
        changed.limit = _limit(body["limit"])
    if "limit_reset" in body:
        changed.limit_reset = _reset(body["limit_reset"])
    if "disabled" in body:
        if not isinstance(body["disabled"], bool):
            raise ValueError("disabled: true or false is required")
        changed.disabled = body["disabled"]
    # All or nothing of it.
    key.name, key.limit, key.limit_reset = changed.name, changed.limit, changed.limit_reset
    key.disabled, key.updated_at = changed.disabled, now()


def _shared(key: Key) -> dict[str, object]:
    limit, remaining = key.limit, key.remaining
    return {
        "label": key.label,
        "limit": None if limit is None else float(limit),
        "limit_remaining": None if remaining is None else float(remaining),
        "limit_reset": key.limit_reset,
        "include_byok_in_limit": False,
        "expires_at": key.expires_at,
        "usage": float(key.usage()),
        **{f"usage_{window}": float(key.usage(window)) for window in RESETS},
        **dict.fromkeys(["byok_usage", *(f"byok_usage_{window}" for window in RESETS)], 0),
        "creator_user_id": None,
    }


def _entry(key: Key) -> dict[str, object]:
    return {
        "hash": key.hash,
        "name": key.name,
        "disabled": key.disabled,
        **_shared(key),
        "created_at": key.created_at,
        "updated_at": key.updated_at or None,
        "workspace_id": "workspace-demo",
    }


def _name(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("name: a text is required")
    return value


def _limit(value: object) -> Decimal | None:
    if value is None:
        return None
    # Python reads NaN too, of which no comparison is true.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MOST_DOLLARS:
        raise ValueError("limit: a number of 0 or more is required")
    return Decimal(str(value))


def _reset(value: object) -> str | None:
    if value is not None and value not in RESETS:
        raise ValueError(f"limit_reset: one of {', '.join(RESETS)} is required")
    return None if value is None else str(value)


def _time(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, str) and _TIME.fullmatch(value):
        with suppress(ValueError):
            datetime.fromisoformat(value)
            return value
    raise ValueError("expires_at: a time in UTC is required, to the second and with a Z")
