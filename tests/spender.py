"""A group with a key that spends money, as tests of budgets and rules look at it."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from raptchat import ChatService, CredentialService, DoneChunk, Factory, RaptchatError
from raptchat.budgets import Standing, standing
from raptchat.config import Settings
from raptchat.demo import DEMO_KEY, DemoGateway
from raptchat.records import Booking, Budget, Group, Period, Policy, Usage
from raptchat.store.groups import budget_columns, policy_columns

CENT = "demo/cent"
COST = Decimal("0.03")


@dataclass(frozen=True, slots=True)
class Spender:
    """A group with a key, and the gateway that its requests go to."""

    factory: Factory
    group_id: str
    gateway: DemoGateway
    home: Path

    @property
    def group(self) -> Group:
        return self.factory.store.groups.require(self.group_id)

    def set(self, budget: str | None = None, period: Period = "month", **rules: Any) -> None:
        amount = Budget(Decimal(budget), period) if budget is not None else None
        columns = {**budget_columns(amount), **policy_columns(Policy(**rules))}
        self.factory.store.groups.set(self.group_id, **columns)

    def ask(self, text: str = "hello", **arguments: Any) -> DoneChunk:
        """A question in a session of its own."""
        service = ChatService(self.factory)
        draft = service.draft_session(self.group_id)
        with closing(service.send_message(draft.id, text, draft=draft, **arguments)) as chunks:
            [done] = [chunk for chunk in chunks if isinstance(chunk, DoneChunk)]
        return done

    def fails(self, text: str = "hello", **arguments: Any) -> RaptchatError:
        with pytest.raises(RaptchatError) as raised:
            self.ask(text, **arguments)
        return raised.value

    def standing(self) -> Standing:
        found = standing(self.factory.store, self.group)
        assert found is not None
        return found

    def book(self, cost: str | None, model: str = CENT, **more: Any) -> None:
        usage = Usage(cost=None if cost is None else Decimal(cost))
        self.factory.store.ledger.book(
            Booking(self.group_id, "biology", None, "c", "openrouter", model, "me", None, None, usage, **more)
        )

    def stored(self) -> tuple[int, int, int]:
        """How many sessions, messages and lines of the ledger there are."""
        from conftest import rows

        [[*counts]] = rows(
            self.home,
            "SELECT (SELECT count(*) FROM sessions), (SELECT count(*) FROM messages),"
            " (SELECT count(*) FROM ai_usage)",
        )
        return counts[0], counts[1], counts[2]

    def reserved(self) -> list[int]:
        from conftest import rows

        return [amount for (amount,) in rows(self.home, "SELECT amount_nano_usd FROM reservations")]

    def chats(self) -> list[dict[str, Any]]:
        """The chat requests that were sent."""
        return [one.body for one in self.gateway.requests if one.body and "messages" in one.body]


@pytest.fixture
def spender(gateway: DemoGateway, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Spender]:
    monkeypatch.setenv("AI_MAX_RETRIES", "0")
    monkeypatch.setenv("AI_DEFAULT_MODEL", CENT)
    with Factory(Settings.load()) as factory:
        factory.vault.init("file", path=home / "master.key")
        with factory.store.write():
            group = factory.store.groups.add("biology")
        CredentialService(factory).create(group.id, DEMO_KEY)
        yield Spender(factory, group.id, gateway, home)
