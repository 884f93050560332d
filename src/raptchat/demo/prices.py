"""What the demo gateway's models cost: the prices that it lists are those that it charges."""

from decimal import Decimal
from typing import NamedTuple

_MILLION = 1_000_000


class Price(NamedTuple):
    """US dollars: *prompt* and *completion* for a million tokens, *request* for each request."""

    prompt: Decimal
    completion: Decimal
    request: Decimal = Decimal(0)

    def of(self, prompt: int, completion: int) -> Decimal:
        """What a request of so many tokens costs."""
        return (self.prompt * prompt + self.completion * completion) / _MILLION + self.request


_USUAL = Price(Decimal(1), Decimal(5))

_PRICES = {
    "demo/cent": Price(Decimal(0), Decimal(0), Decimal("0.03")),
    "demo/cited": Price(Decimal(1), Decimal(3)),
    "demo/json": Price(Decimal("0.25"), Decimal(1)),
    "demo/long": Price(Decimal("0.1"), Decimal("0.4")),
    "demo/seen": Price(Decimal(2), Decimal(8)),
    "demo/slow": Price(Decimal(0), Decimal(0)),
    "demo/thinking": Price(Decimal(3), Decimal(15)),
}


def price_of(model: str) -> Price:
    """The price of *model*, which may be any name."""
    return _PRICES.get(model, _USUAL)
