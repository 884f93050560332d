"""What a gateway says of a key, read.

The form is that of `GET /key` and of the entries of `GET /keys` in the OpenRouter API reference ("Get current API
key", "API Keys"). New fields and values come without notice, so every field is optional, and one that cannot be
right counts as missing. All texts come from outside; what is read here is safe to show.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from raptchat.errors import InvalidResponseError
from raptchat.providers.cleaning import Cleaner
from raptchat.providers.json_calls import JsonCalls
from raptchat.providers.key_info import KeyInfo
from raptchat.secret import Secret

_LONGEST_TEXT = 200
_MASKED = re.compile(r"[!-~]{8,}\.{3}[!-~]{4}")
_MOST_DOLLARS = 10**9
_DECIMAL_PLACES = 18

_AMOUNT = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,30})?", re.ASCII)
_HASH = re.compile("[0-9a-fA-F]{64}")
_WORD = re.compile("[a-z][a-z_-]{0,19}")
_TIME = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]{1,9})?(Z|\+00:00)", re.ASCII)


def ask_key_info(calls: JsonCalls) -> KeyInfo:
    """What the gateway says of the key that *calls* are made with; raises what `JsonCalls.call` does."""
    return key_info_in(calls.call("GET", "/key"))


def key_info_in(answer: Mapping[str, object]) -> KeyInfo:
    """The key that *answer* holds in its `data`; `InvalidResponseError` when it holds none."""
    data = answer.get("data")
    if not isinstance(data, dict):
        raise InvalidResponseError("the gateway's answer says nothing of a key", hint="check `AI_GATEWAY_URL`")
    return read_key_info(data)


def read_key_info(data: Mapping[str, object]) -> KeyInfo:
    """What the fields of *data* say; what is missing, null or cannot be right is `None`.

    The last request with a key can cost more than was left of its cap: less than nothing remains as 0.
    """
    remaining = _amount(data.get("limit_remaining"))
    hash_ = data.get("hash")
    reset = data.get("limit_reset")
    free_tier = data.get("is_free_tier")
    return KeyInfo(
        label=_label(data.get("label")),
        name=_text(data.get("name")),
        hash=hash_.lower() if isinstance(hash_, str) and _HASH.fullmatch(hash_) else None,
        limit=_not_negative(data.get("limit")),
        limit_remaining=None if remaining is None else max(remaining, Decimal(0)),
        limit_reset=reset if isinstance(reset, str) and _WORD.fullmatch(reset) else None,
        usage=_not_negative(data.get("usage")),
        usage_daily=_not_negative(data.get("usage_daily")),
        usage_weekly=_not_negative(data.get("usage_weekly")),
        usage_monthly=_not_negative(data.get("usage_monthly")),
        expires_at=_time(data.get("expires_at")),
        created_at=_time(data.get("created_at")),
        disabled=data.get("disabled") is True,
        is_free_tier=free_tier if isinstance(free_tier, bool) else None,
        is_management=data.get("is_management_key") is True or data.get("is_provisioning_key") is True,
    )


def _label(value: object) -> str | None:
    text = _text(value)
    # OpenRouter masks all but the first 12 and the last 4 characters: here a key is never shown by as many.
    if isinstance(value, str) and _MASKED.fullmatch(value):
        text = _text(f"{value[:8]}...{value[-4:]}")
    return text


def _text(value: object) -> str | None:
    return Cleaner(Secret(""))(value, _LONGEST_TEXT) or None


def _not_negative(value: object) -> Decimal | None:
    amount = _amount(value)
    return None if amount is None or amount < 0 else amount


def _amount(value: object) -> Decimal | None:
    """The dollars that *value* is: a number, or one in digits."""
    if isinstance(value, str):
        value = Decimal(value) if _AMOUNT.fullmatch(value) else None
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    amount = Decimal(value)
    # Compared, since to calculate with 1E+9999999 is an error.
    if not amount.is_finite() or not -_MOST_DOLLARS <= amount <= _MOST_DOLLARS:
        return None
    # Printed in full, the number 0E-999999 would be a million characters long.
    exponent = amount.as_tuple().exponent
    assert isinstance(exponent, int)
    return amount if -_DECIMAL_PLACES <= exponent <= 0 else round(amount, _DECIMAL_PLACES)


def _time(value: object) -> str | None:
    """*value* to the second, as `2026-12-01T00:00:00Z`, when it is a time in UTC."""
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    try:
        datetime.fromisoformat(found[1])
    except ValueError:
        return None
    return f"{found[1]}Z"
