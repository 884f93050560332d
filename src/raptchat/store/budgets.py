"""What groups have spent, and what requests that are under way may yet cost."""

import uuid
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from typing import Any, NamedTuple

from raptchat.clock import utc_now
from raptchat.store.connection import Connection
from raptchat.store.money import dollars
from raptchat.store.rows import record

# For this long money is kept for a process of which nothing is heard: it was killed, or its machine sleeps.
HELD_FOR = timedelta(minutes=10)
_NANO = Decimal(10) ** 9
_MOST_NANO = 10**15
_RECENT = 200


class Spending(NamedTuple):
    """What a group has spent, and what is *reserved* for requests under way, in US dollars.

    *spent* counts the *unknown_costs*, which are that many, as they were estimated; those that nobody estimated,
    since there was no budget then, as the dearest of the group's last requests.
    """

    spent: Decimal
    reserved: Decimal
    unknown_costs: int


class _Sums(NamedTuple):
    known: int
    estimated: int
    unknown_costs: int
    estimates: int
    reserved: int


class Budgets:
    """The sums that budgets go by, and the reservations."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def spending(self, group_id: str, since: str) -> Spending:
        """What a group has spent from the day *since* (UTC, ISO 8601) on, and what is reserved now.

        Lines of a day that is still to come count too: the clock was wrong then, or is now.
        """
        row = self._db.row(
            "SELECT (SELECT coalesce(sum(cost_nano_usd), 0) FROM ai_usage_days"
            " WHERE group_id = :group AND day >= :since) AS known,"
            " (SELECT coalesce(sum(amount_nano_usd), 0) FROM reservations"
            " WHERE group_id = :group AND until > :now AND until <= :latest) AS reserved,"
            " coalesce(sum(estimated_nano_usd), 0) AS estimated, count(*) AS unknown_costs,"
            " count(estimated_nano_usd) AS estimates FROM ai_usage"
            " WHERE group_id = :group AND created_at >= :since AND cost_nano_usd IS NULL",
            {"group": group_id, "since": since, **_live()},
        )
        assert row is not None
        sums = record(_Sums, row)
        spent = _dollars(sums.known + sums.estimated)
        if guessed := sums.unknown_costs - sums.estimates:
            spent += guessed * (self.greatest_cost(group_id, None) or 0)
        return Spending(spent, _dollars(sums.reserved), sums.unknown_costs)

    def greatest_cost(self, group_id: str, model: str | None) -> Decimal | None:
        """The most that a request to *model*, or to any, is known to have cost among the group's last ones."""
        row = self._db.row(
            "SELECT max(cost_nano_usd) AS cost FROM (SELECT cost_nano_usd, model FROM ai_usage"
            " WHERE group_id = :group ORDER BY created_at DESC LIMIT :recent)"
            " WHERE :model IS NULL OR model = :model",
            {"group": group_id, "model": model, "recent": _RECENT},
        )
        found: Any = row["cost"] if row else None
        return dollars(found) if isinstance(found, int) else None

    def reserve(self, group_id: str, amount: Decimal) -> str:
        """Keep *amount* US dollars for a request, for as long as `HELD_FOR`; its id. The group's that ended go."""
        self._db.execute(
            "DELETE FROM reservations WHERE group_id = :group AND (until <= :now OR until > :latest)",
            {"group": group_id, **_live()},
        )
        reservation_id = str(uuid.uuid4())
        nano = min(int((amount * _NANO).to_integral_value(ROUND_CEILING)), _MOST_NANO)
        self._db.execute(
            "INSERT INTO reservations (id, group_id, amount_nano_usd, until) VALUES (?, ?, ?, ?)",
            (reservation_id, group_id, nano, _in(HELD_FOR)),
        )
        return reservation_id

    def extend(self, reservation_id: str) -> None:
        """Keep what is reserved for `HELD_FOR` from now on."""
        self._db.execute("UPDATE reservations SET until = ? WHERE id = ?", (_in(HELD_FOR), reservation_id))

    def release(self, reservation_id: str) -> None:
        """Let go of what was reserved."""
        self._db.execute("DELETE FROM reservations WHERE id = ?", (reservation_id,))


def _live() -> dict[str, object]:
    # A time further away than any reservation lasts was written by a clock that was wrong. Twice as far, since
    # those of two machines may differ.
    return {"now": utc_now(), "latest": _in(2 * HELD_FOR)}


def _in(duration: timedelta) -> str:
    return (datetime.now(UTC) + duration).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def _dollars(nano: int) -> Decimal:
    return Decimal(nano) / _NANO
