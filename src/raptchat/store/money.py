"""Money as it is stored: whole nano-dollars, so that sums are exact."""

from decimal import ROUND_HALF_EVEN, Decimal

_NANO = Decimal(10) ** 9
# A million dollars: no request costs that, and a sum of such rows must not overflow SQLite's integers.
_MOST_DOLLARS = 10**6


def nano_dollars(amount: Decimal | None) -> int | None:
    """*amount* in US dollars as whole nano-dollars; `None` for what is not a sum of money."""
    if amount is None or not amount.is_finite() or not 0 <= amount <= _MOST_DOLLARS:
        return None
    return int((amount * _NANO).to_integral_value(ROUND_HALF_EVEN))


def dollars(nano: int | None) -> Decimal | None:
    """*nano* nano-dollars in US dollars; `None` for what is not known."""
    return None if nano is None else Decimal(nano) / _NANO


def in_words(amount: Decimal) -> str:
    """*amount* in US dollars to the last digit, and to the cent at least, such as `$0.50` or `$0.000014`."""
    text = format(amount.normalize() if amount else Decimal(0), "f")
    whole, _, cents = text.partition(".")
    return f"${whole}.{cents:0<2}"
