"""Usage and events: the two tables that only grow."""

from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Literal, get_args

from raptchat.caller import Caller
from raptchat.clock import utc_now
from raptchat.errors import StoreError
from raptchat.records import Booking, Event, Group, UsageRow
from raptchat.store.connection import Connection
from raptchat.store.groups import name_key
from raptchat.store.rows import record

NANO = Decimal(10) ** 9
# A million dollars: no request costs that, and a sum of such rows must not overflow SQLite's integers.
_MOST_DOLLARS = 10**6

By = Literal["group", "model", "day", "session", "credential"]
BY: tuple[By, ...] = get_args(By)
# The columns that lines are summed by; a removed group is still called what it was called when it paid.
_COLUMNS: dict[By, tuple[str, ...]] = {
    "group": ("group_id", "group_name"),
    "model": ("model",),
    "day": ("day",),
    "session": ("session_id",),
    "credential": ("credential_id",),
}
# What a line of sums is called by.
_KEYS: dict[By, str] = {
    "group": "coalesce(groups.name, sums.group_name)",
    "model": "sums.model",
    "day": "sums.day",
    "session": "sums.session_id",
    "credential": "sums.credential_id",
}
# The lines of the ledger, as if each were the sums of its day.
LINES = (
    "(SELECT *, substr(created_at, 1, 10) AS day, 1 AS requests, total_tokens IS NULL AS unknown_tokens,"
    " cost_nano_usd IS NULL AS unknown_costs FROM ai_usage)"
)
SUMMED = (
    *("input_tokens", "output_tokens", "total_tokens", "cached_tokens", "reasoning_tokens", "cost_nano_usd"),
    *("requests", "unknown_tokens", "unknown_costs"),
)
SUMS = [f"sum({column}) AS {column}" for column in SUMMED]
_EVENT = "created_at, action, command, os_user, host, group_id, group_name, credential_id"


class Ledger:
    """What was used, by whom, and what was done to which credential."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def book(self, booking: Booking) -> None:
        """Write one request into the ledger."""
        usage = booking.usage
        self._db.execute(
            "INSERT INTO ai_usage (group_id, group_name, session_id, credential_id, provider, model, os_user,"
            " generation_id, finish_reason, input_tokens, output_tokens, cached_tokens, reasoning_tokens,"
            " cost_nano_usd, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                booking.group_id,
                booking.group_name,
                booking.session_id,
                booking.credential_id,
                booking.provider,
                booking.model,
                booking.os_user,
                booking.generation_id,
                booking.finish_reason,
                usage.input_tokens,
                usage.output_tokens,
                usage.cached_tokens,
                usage.reasoning_tokens,
                nano_dollars(usage.cost),
                booking.created_at or utc_now(),
            ),
        )

    def report(
        self,
        by: Sequence[By],
        *,
        group_id: str | None = None,
        session_id: str | None = None,
        since: str = "",
        until: str = "\U0010ffff",
    ) -> list[UsageRow]:
        """Sums for each combination of *by*, in its order, of the days from *since* on and before *until*."""
        # The sums of a day are kept; only what a session took has to be summed up from its lines.
        of_days = session_id is None and "session" not in by
        source, time = ("ai_usage_days", "day") if of_days else (LINES, "created_at")
        # Only what is asked for: a condition that may be empty keeps SQLite from the index.
        wanted = {"group_id": group_id, "session_id": session_id}
        conditions = [f"{name} = :{name}" for name, value in wanted.items() if value is not None]
        columns = [column for name in by for column in _COLUMNS[name]]
        keys = [f"{_KEYS[name]} AS key_{name}" for name in by]
        order = ", ".join(f"key_{name}" for name in by) or "NULL"
        rows = self._db.rows(
            # Summed up first: so a group's name is looked up once, and not for each of its lines.
            f"SELECT {', '.join([*keys, *SUMS])} FROM (SELECT {', '.join([*columns, *SUMS])} FROM {source}"
            f" WHERE {' AND '.join([*conditions, f'{time} >= :since', f'{time} < :until'])}"
            f" GROUP BY {', '.join(columns) or 'NULL'}) AS sums"
            f"{' LEFT JOIN groups ON groups.id = sums.group_id' if 'group' in by else ''}"
            f" GROUP BY {order} ORDER BY {order}",
            {**wanted, "since": since, "until": until},
        )
        return [_usage_row(by, row) for row in rows]

    def note(
        self, action: str, *, caller: Caller, group: Group | None = None, credential_id: str | None = None
    ) -> None:
        """Write down what was done to which credential, or to all of them; never a secret."""
        self._db.execute(
            f"INSERT INTO events ({_EVENT}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                utc_now(),
                action,
                caller.command,
                caller.os_user,
                caller.host,
                group.id if group else None,
                group.name if group else None,
                credential_id,
            ),
        )

    def events(self, *, group_ids: Sequence[str] | None = None, since: str = "", limit: int = -1) -> list[Event]:
        """What was done from *since* on to keys of these groups or of all, the last first; -1 is no *limit*."""
        # Only what is asked for: a condition that holds for all keeps SQLite from the order that is there.
        conditions = [
            *([] if group_ids is None else [f"group_id IN ({', '.join('?' * len(group_ids))})"]),
            *(["created_at >= ?"] if since else []),
        ]
        rows = self._db.rows(
            f"SELECT {_EVENT} FROM events WHERE {' AND '.join(conditions) or 'true'} ORDER BY id DESC LIMIT ?",
            (*(group_ids or ()), *([since] if since else []), limit),
        )
        return [record(Event, row) for row in rows]

    def removed_groups(self, name: str) -> list[str]:
        """The ids of the groups that are gone and were called *name* when something was done to them."""
        rows = self._db.rows(
            "SELECT DISTINCT group_id, group_name FROM events"
            " WHERE group_id NOT IN (SELECT id FROM groups) AND group_name NOT NULL"
        )
        return [row["group_id"] for row in rows if name_key(row["group_name"]) == name_key(name)]


def nano_dollars(cost: Decimal | None) -> int | None:
    """*cost* in US dollars as whole nano-dollars; `None` for what is not a sum of money."""
    if cost is None or not cost.is_finite() or not 0 <= cost <= _MOST_DOLLARS:
        return None
    return int((cost * NANO).to_integral_value(ROUND_HALF_EVEN))


def _usage_row(by: Sequence[By], row: dict[str, Any]) -> UsageRow:
    keys = {name: row.pop(f"key_{name}") for name in by}
    cost = row.pop("cost_nano_usd")
    if not all(key is None or isinstance(key, str) for key in keys.values()) or isinstance(cost, float):
        raise StoreError("the store is damaged: a line of the ledger is of another type")
    return record(UsageRow, {**row, "keys": keys, "cost": None if cost is None else Decimal(cost) / NANO})
