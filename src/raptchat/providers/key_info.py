"""What is said to a gateway, and what a gateway says, of a key: no part of a chat."""

from decimal import Decimal
from typing import NamedTuple


class KeyInfo(NamedTuple):
    """What a gateway says of a key; amounts in US dollars, *limit* `None` where there is no cap.

    *hash* is the SHA-256 of the key in hexadecimal, by which OpenRouter names it; *label* its masked form, *name*
    what it was called when it was made. *limit_reset* is how often what was used of the cap counts from 0 again:
    `daily`, `weekly`, `monthly`, or never. The windows of *usage_daily* and the others are UTC; weeks begin on
    Monday (OpenRouter API reference, "Get current API key", "API Keys").
    """

    label: str | None = None
    name: str | None = None
    hash: str | None = None
    limit: Decimal | None = None
    limit_remaining: Decimal | None = None
    limit_reset: str | None = None
    usage: Decimal | None = None
    usage_daily: Decimal | None = None
    usage_weekly: Decimal | None = None
    usage_monthly: Decimal | None = None
    expires_at: str | None = None
    created_at: str | None = None
    disabled: bool = False
    is_free_tier: bool | None = None
    is_management: bool = False


class KeyCaps(NamedTuple):
    """What a key that is made may cost and for how long: US dollars (`None`: no cap), their reset, a UTC time."""

    limit: Decimal | None = None
    limit_reset: str | None = None
    expires_at: str | None = None
