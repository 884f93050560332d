"""Money, tokens and times, short enough for a table; what is not known is `-`."""

from datetime import datetime
from decimal import Decimal

UNKNOWN = "-"

_SMALLEST = Decimal("0.000001")


def usd(amount: Decimal | None) -> str:
    """US dollars to six places, such as `$0.001234`: one short answer costs far less than a cent."""
    if amount is None:
        return UNKNOWN
    if 0 < amount < _SMALLEST:
        return f"<${_SMALLEST}"
    return f"${amount:,.6f}" if amount >= 0 else f"-${-amount:,.6f}"


def tokens(count: int | None) -> str:
    """A number of tokens, such as `12,345`."""
    return UNKNOWN if count is None else f"{count:,}"


def when(time: str | None) -> str:
    """A time as the store keeps it (UTC, ISO 8601), on the clock on the wall: `2026-11-22 09:30`."""
    if time is None:
        return UNKNOWN
    try:
        return datetime.fromisoformat(time).astimezone().strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError):  # of a damaged store: shown as it stands
        return time


def duration(seconds: float) -> str:
    """How long something took, such as `0.4 s`, `12 s` or `2 min 5 s`."""
    if seconds < 60:
        return f"{round(seconds, 1):g} s"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes:,} min {rest} s"
