"""Usage and events: the two tables that only grow; of a line of usage, what was not known may be learnt later."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, get_args

from raptchat.caller import Caller
from raptchat.clock import utc_now
from raptchat.errors import StoreError
from raptchat.records import BookedRequest, Booking, Event, Group, UnknownCosts, Usage, UsageRow
from raptchat.store.connection import Connection
from raptchat.store.groups import name_key
from raptchat.store.money import dollars, nano_dollars
from raptchat.store.rows import record

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
_REQUEST = (
    "ai_usage.id AS id, ai_usage.created_at AS created_at, group_id,"
    " coalesce(groups.name, group_name) AS group_name, session_id, credential_id, ai_usage.provider AS provider,"
    " ai_usage.model AS model, generation_id, finish_reason, input_tokens, output_tokens, total_tokens,"
    " cached_tokens, reasoning_tokens, cost_nano_usd FROM ai_usage LEFT JOIN groups ON groups.id = group_id"
)
# How many lines are read at once. Between two reads nobody who books is kept waiting, whatever the lines go into.
_AT_ONCE = 1_000
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
            " cost_nano_usd, created_at, estimated_nano_usd)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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
                nano_dollars(booking.estimate),
            ),
        )

    def report(
        self,
        by: Sequence[By],
        *,
        group_id: str | None = None,
        session_id: str | None = None,
        credential_id: str | None = None,
        since: str = "",
        until: str = "\U0010ffff",
    ) -> list[UsageRow]:
        """Sums for each combination of *by*, in its order, of the days from *since* on and before *until*."""
        # The sums of a day are kept; only what a session took has to be summed up from its lines.
        of_days = session_id is None and "session" not in by
        source, time = ("ai_usage_days", "day") if of_days else (LINES, "created_at")
        # Only what is asked for: a condition that may be empty keeps SQLite from the index.
        wanted = {"group_id": group_id, "session_id": session_id, "credential_id": credential_id}
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

    def requests(
        self, *, group_id: str | None = None, since: str = "", until: str = "\U0010ffff"
    ) -> Iterator[BookedRequest]:
        """Each request from *since* on and before *until*, the first first; the store is not held meanwhile."""
        of_group = "group_id = :group_id AND " if group_id is not None else ""
        parameters: dict[str, object] = {"group_id": group_id, "until": until, "most": _AT_ONCE}
        time, id_ = since, -1
        while True:
            rows = self._db.rows(
                f"SELECT {_REQUEST} WHERE {of_group}(ai_usage.created_at, ai_usage.id) > (:time, :id)"
                " AND ai_usage.created_at < :until ORDER BY ai_usage.created_at, ai_usage.id LIMIT :most",
                {**parameters, "time": time, "id": id_},
            )
            for row in rows:
                request = _booked_request(row)
                yield request
                time, id_ = request.created_at, request.id
            if len(rows) < _AT_ONCE:
                return

    def unknown(
        self, group_id: str, provider: str, *, since: str = "", until: str = "\U0010ffff", limit: int = -1
    ) -> list[BookedRequest]:
        """The requests of a group to *provider* whose cost may still be learnt, the last first.

        That is not known yet, and the gateway gave them a generation id; -1 is no *limit*.
        """
        rows = self._db.rows(
            f"SELECT {_REQUEST} WHERE group_id = ? AND cost_nano_usd IS NULL AND generation_id NOT NULL"
            " AND ai_usage.provider = ? AND ai_usage.created_at >= ? AND ai_usage.created_at < ?"
            " ORDER BY ai_usage.created_at DESC, ai_usage.id DESC LIMIT ?",
            (group_id, provider, since, until, limit),
        )
        return [_booked_request(row) for row in rows]

    def unknown_costs(self, group_id: str, provider: str, *, since: str) -> UnknownCosts:
        """How many costs of a group's requests to *provider* are not known, by what keeps them from being learnt.

        What is older than *since* is counted apart, and so is what has no generation id.
        """
        row = self._db.row(
            "SELECT count(*) AS requests, count(*) - count(generation_id) AS nameless,"
            " count(CASE WHEN created_at < ? THEN generation_id END) AS old"
            " FROM ai_usage WHERE group_id = ? AND cost_nano_usd IS NULL AND provider = ?",
            (since, group_id, provider),
        )
        assert row is not None
        return record(UnknownCosts, row)

    def learn(self, id_: int, usage: Usage) -> bool:
        """Write into a request's line what is known of it by now, where nothing is; whether its cost was learnt.

        A cost that is known stays what it is, whoever learns it twice.
        """
        cost = nano_dollars(usage.cost)
        if cost is None:
            return False
        with self._db.write():
            changed = self._db.execute(
                "UPDATE ai_usage SET cost_nano_usd = ?, input_tokens = coalesce(input_tokens, ?),"
                " output_tokens = coalesce(output_tokens, ?), cached_tokens = coalesce(cached_tokens, ?),"
                " reasoning_tokens = coalesce(reasoning_tokens, ?) WHERE id = ? AND cost_nano_usd IS NULL",
                (
                    cost,
                    usage.input_tokens,
                    usage.output_tokens,
                    usage.cached_tokens,
                    usage.reasoning_tokens,
                    id_,
                ),
            )
            return changed.rowcount > 0

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


def _usage_row(by: Sequence[By], row: dict[str, Any]) -> UsageRow:
    keys = {name: row.pop(f"key_{name}") for name in by}
    cost = row.pop("cost_nano_usd")
    if not all(key is None or isinstance(key, str) for key in keys.values()) or isinstance(cost, float):
        raise StoreError("the store is damaged: a line of the ledger is of another type")
    return record(UsageRow, {**row, "keys": keys, "cost": dollars(cost)})


def _booked_request(row: dict[str, Any]) -> BookedRequest:
    cost = row.pop("cost_nano_usd")
    if not isinstance(cost, int | None):
        raise StoreError("the store is damaged: a line of the ledger is of another type")
    tokens = {name: row.pop(name) for name in Usage._fields if name != "cost"}
    return record(BookedRequest, {**row, "usage": record(Usage, {**tokens, "cost": dollars(cost)})})
