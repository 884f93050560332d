"""Money, tokens, sizes and times, short enough for a table; what is not known is `-`."""

from datetime import datetime
from decimal import Decimal

UNKNOWN = "-"

_SMALLEST = Decimal("0.000001")
_UNITS = ("kB", "MB", "GB")


def usd(amount: Decimal | None) -> str:
    """US dollars to six places, such as `$0.001234`: one short answer costs far less than a cent."""
    if amount is None:
        return UNKNOWN
    if 0 < amount < _SMALLEST:
        return f"<${_SMALLEST}"
    return f"${amount:,.6f}" if amount >= 0 else f"-${-amount:,.6f}"


def costs(known: Decimal | None, unknown: int) -> str:
    """A sum of costs and how many are left out of it as unknown, such as `$0.001234 + 2 unknown`."""
    return usd(known) + (f" + {unknown} unknown" if unknown and known is not None else "")


def tokens(count: int | None) -> str:
    """A number of tokens, such as `12,345`."""
    return UNKNOWN if count is None else f"{count:,}"


def size(count: int) -> str:
    """A number of bytes, such as `12.3 kB`, in steps of a thousand."""
    if count < 1000:
        return f"{count} bytes"
    amount, unit = count / 1000, 0
    while amount >= 999.95 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1000, unit + 1
    return f"{amount:.1f} {_UNITS[unit]}"


def when(time: str | None) -> str:
    """A time as the store keeps it (UTC, ISO 8601), on the clock on the wall: `2026-11-22 09:30`."""
    if time is None:
        return UNKNOWN
    try:
        return datetime.fromisoformat(time).astimezone().strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError):  # of a damaged store: shown as it stands
        return time


def duration(seconds: float) -> str:
    """How long something took, such as `35 ms`, `0.4 s`, `12 s` or `2 min 5 s`."""
    if 0 < seconds < 0.1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{round(seconds, 1):g} s"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes:,} min {rest} s"
