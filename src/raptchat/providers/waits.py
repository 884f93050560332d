"""How long the gateway asks to wait, in any of the places where it may say so."""

import math
import time
from collections.abc import Mapping
from decimal import Decimal

# Ten years: a larger number is a mistake and not a wish.
_ABSURD_SECONDS = 10 * 365 * 86400.0


def seconds_to_wait(
    headers: Mapping[str, str],
    availability: Mapping[str, object] | None = None,
    metadata: Mapping[str, object] | None = None,
) -> float | None:
    """The seconds until a new attempt makes sense, or `None` where nothing says so.

    In this order: `availability.retry_after`, the headers `retry-after-ms` and `Retry-After` (RFC 9110, 10.2.3:
    seconds or a date), and the `X-RateLimit-Reset` that a limit of the platform carries (epoch milliseconds).
    """
    found = (
        _seconds((availability or {}).get("retry_after")),
        _seconds(headers.get("retry-after-ms"), unit=1000),
        _seconds(headers.get("retry-after")),
        _until_date(headers.get("retry-after")),
        _until_reset(metadata or {}),
    )
    return next((seconds for seconds in found if seconds is not None), None)


def _seconds(value: object, unit: float = 1) -> float | None:
    number = _number(value)
    if number is None or number / unit > _ABSURD_SECONDS:
        return None
    return max(0.0, number / unit)


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _until_date(value: str | None) -> float | None:
    if value is None:
        return None
    from email.utils import parsedate_to_datetime

    try:
        return _seconds(parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def _until_reset(metadata: Mapping[str, object]) -> float | None:
    headers = metadata.get("headers")
    reset = _number(headers.get("X-RateLimit-Reset")) if isinstance(headers, dict) else None
    return None if reset is None else _seconds(reset / 1000 - time.time())
