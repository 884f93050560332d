"""The keys of the demo gateway's account, in memory: what each may spend, and what was spent with it."""

import hashlib
import secrets
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from raptchat.demo.wire import KEY_PREFIX

DEMO_KEY = KEY_PREFIX + "-key-of-no-value"
# Any key that begins so manages the account.
DEMO_MANAGEMENT_KEY = KEY_PREFIX + "-management-key-of-no-value"

# What is made here must not look like the keys that scanners search repositories for.
_MADE_PREFIX = "sk-or-v1-made-"

RESETS = ("daily", "weekly", "monthly")


def now() -> str:
    """The time in the form of the gateway."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(slots=True)
class Key:
    """A key: *limit* in US dollars, `None` for no cap; *spent* by UTC day."""

    hash: str
    label: str
    name: str = ""
    limit: Decimal | None = None
    limit_reset: str | None = None
    expires_at: str | None = None
    is_management: bool = False
    disabled: bool = False
    created_at: str = field(default_factory=now)
    updated_at: str = ""
    spent: dict[date, Decimal] = field(default_factory=lambda: defaultdict(Decimal))

    @property
    def works(self) -> bool:
        """Whether it is neither disabled nor expired."""
        return not self.disabled and (self.expires_at is None or self.expires_at > now())

    @property
    def remaining(self) -> Decimal | None:
        """What is left of the cap; `None` where there is none."""
        return None if self.limit is None else max(self.limit - self.usage(self.limit_reset), Decimal(0))

    def usage(self, window: str | None = None) -> Decimal:
        """What was spent: today, since Monday, since the first of the month, or ever."""
        today = datetime.now(UTC).date()
        since = {
            "daily": today,
            "weekly": today - timedelta(days=today.weekday()),
            "monthly": today.replace(day=1),
            None: date.min,
        }[window]
        return sum((amount for day, amount in self.spent.items() if day >= since), Decimal(0))

    def spend(self, amount: Decimal) -> None:
        """Add *amount* to what was spent today."""
        self.spent[datetime.now(UTC).date()] += amount


class Keys:
    """All keys of the account. It is not safe between threads: whoever uses it has a lock."""

    def __init__(self) -> None:
        self._made: dict[str, Key] = {}
        # Those by which the demo is used without an account; they are in no list.
        self._given: dict[str, Key] = {}

    def working(self, text: str | None) -> Key | None:
        """The key *text*, if it works."""
        if text is None:
            return None
        if text.startswith(KEY_PREFIX):
            if text not in self._given:
                self._given[text] = _key(text, is_management=text.startswith(DEMO_MANAGEMENT_KEY))
            return self._given[text]
        key = self._made.get(hash_of(text))
        return key if key is not None and key.works else None

    def make(
        self,
        name: str,
        *,
        limit: Decimal | None = None,
        limit_reset: str | None = None,
        expires_at: str | None = None,
    ) -> tuple[str, Key]:
        """A new key and what is known of it."""
        text = _MADE_PREFIX + secrets.token_hex(16)
        key = _key(text, name=name, limit=limit, limit_reset=limit_reset, expires_at=expires_at)
        self._made[key.hash] = key
        return text, key

    def made(self) -> list[Key]:
        """Those that were made and not deleted, oldest first."""
        return list(self._made.values())

    def by_hash(self, name: str) -> Key | None:
        """The one that was made and is called *name*."""
        return self._made.get(name)

    def delete(self, key: Key) -> None:
        """It works no more, and is not to be found."""
        del self._made[key.hash]


def hash_of(text: str) -> str:
    """The name of a key: its SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()


def _key(text: str, **fields: object) -> Key:
    return Key(hash_of(text), f"{text[:12]}...{text[-4:]}", **fields)  # type: ignore[arg-type]
