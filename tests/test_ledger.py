"""What was used: exact sums, and nothing unknown that looks like nothing."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest
from bookings import book, booking
from conftest import rows
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raptchat.errors import StoreError
from raptchat.records import Group, Usage, UsageRow
from raptchat.store import Store, row_sums
from raptchat.store.connection import Connection
from raptchat.store.ledger import BY, By
from raptchat.store.migrations import STEPS, add_what_a_large_store_needs
from raptchat.store.money import nano_dollars
from raptchat.store.upgrade import migrate


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    with closing(Store.open(home / "raptchat.db")) as store:
        yield store


def test_sums_are_exact_to_the_nano_dollar(store: Store) -> None:
    book(store, *(booking(Usage(1, 2, cost=Decimal("0.000000001"))) for _ in range(3)))
    book(store, booking(Usage(10, 20, cost=Decimal("0.1"))), booking(Usage(cost=Decimal("999999.999999999"))))

    [row] = store.ledger.report([])

    assert row.cost == Decimal("1000000.100000002")
    assert (row.input_tokens, row.output_tokens, row.total_tokens) == (13, 26, 39)
    assert (row.requests, row.unknown_tokens, row.unknown_costs) == (5, 1, 0)


def test_unknown_is_never_zero(store: Store) -> None:
    book(store, booking(Usage()), booking(Usage(input_tokens=5), model="c/d"))

    by_model = {row.keys["model"]: row for row in store.ledger.report(["model"])}

    unknown, partly = by_model["a/b"], by_model["c/d"]
    assert (unknown.input_tokens, unknown.output_tokens, unknown.total_tokens, unknown.cost) == (None,) * 4
    assert (unknown.unknown_tokens, unknown.unknown_costs) == (1, 1)
    assert (partly.input_tokens, partly.total_tokens) == (5, None)


def test_the_total_is_the_stores_own_sum(store: Store, home: Path) -> None:
    book(store, booking(Usage(input_tokens=3, output_tokens=4, total_tokens=1000)))

    assert rows(home, "SELECT total_tokens FROM ai_usage") == [(7,)]
    with closing(sqlite3.connect(home / "raptchat.db")) as db:
        with pytest.raises(sqlite3.OperationalError, match="generated column"):
            db.execute("INSERT INTO ai_usage (total_tokens) VALUES (1)")
        with pytest.raises(sqlite3.OperationalError, match="generated column"):
            db.execute("UPDATE ai_usage SET total_tokens = 1")


def test_a_report_is_by_whatever_was_asked_for(store: Store) -> None:
    book(
        store,
        booking(Usage(1, 1)),
        booking(Usage(2, 2), model="c/d", session_id=None),
        booking(Usage(4, 4), group_id="g2", group_name="history", credential_id="c2", session_id="s2"),
        booking(Usage(8, 8), created_at="2026-11-23T00:00:00.000000Z"),
    )

    def totals(*by: str, **limits: str) -> dict[tuple[str | None, ...], int | None]:
        found = store.ledger.report(by, **limits)  # type: ignore[arg-type]
        return {tuple(row.keys.values()): row.total_tokens for row in found}

    assert totals() == {(): 30}
    assert totals("group") == {("biology",): 22, ("history",): 8}
    assert totals("model") == {("a/b",): 26, ("c/d",): 4}
    assert totals("day") == {("2026-11-22",): 14, ("2026-11-23",): 16}
    assert totals("session") == {(None,): 4, ("s1",): 18, ("s2",): 8}
    assert totals("credential") == {("c1",): 22, ("c2",): 8}
    assert totals("group", "day")["biology", "2026-11-23"] == 16
    assert totals("group", group_id="g2") == {("history",): 8}
    assert totals(session_id="s1") == {(): 18}
    assert totals(since="2026-11-23") == {(): 16}
    assert totals(until="2026-11-23") == {(): 14}
    assert list(store.ledger.report(BY)[0].keys) == list(BY)


def test_nothing_used_is_no_line_where_there_are_keys_and_an_unknown_sum_where_there_are_none(
    store: Store,
) -> None:
    assert store.ledger.report(["group"]) == []
    assert all(row.requests == 0 and row.cost is None for row in store.ledger.report([]))


def test_a_renamed_group_keeps_its_bill_and_a_removed_one_its_name(store: Store) -> None:
    with store.write():
        group = store.groups.add("biology")
        session = store.sessions.add(group.id)
    book(store, booking(Usage(1, 1), group_id=group.id, session_id=session.id))
    with store.write():
        store.groups.set(group.id, name="botany")
    book(store, booking(Usage(2, 2), group_id=group.id, group_name="botany", session_id=session.id))
    assert [(row.keys["group"], row.total_tokens) for row in store.ledger.report(["group"])] == [("botany", 6)]

    with store.write():
        store.groups.remove(group.id)

    assert {row.keys["group"] for row in store.ledger.report(["group"])} == {"biology", "botany"}
    assert [row.keys["session"] for row in store.ledger.report(["session"])] == [session.id]


KEYED = st.fixed_dictionaries(
    {
        "group_id": st.sampled_from(["g1", "g2"]),
        "group_name": st.sampled_from(["biology", "history"]),
        "model": st.sampled_from(["a/b", "c/d"]),
        "session_id": st.sampled_from([None, "s1", "s2"]),
        "credential_id": st.sampled_from(["c1", "c2"]),
        "created_at": st.sampled_from(
            ["2026-11-21T12:00:00.000000Z", "2026-11-22T23:59:59.999999Z", "2026-11-23T00:00:00.000000Z"]
        ),
    }
)
KNOWN = st.none() | st.integers(0, 10**12)
# Of a few of them the sum is no whole number any more where it is kept as a float.
COSTS = st.none() | st.decimals("0", "999999.999999999", places=9)
Lines = list[tuple[dict[str, str | None], int | None, int | None, Decimal | None]]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(
    lines=st.lists(st.tuples(KEYED, KNOWN, KNOWN, COSTS), max_size=20),
    by=st.lists(st.sampled_from(BY), unique=True),
    group_id=st.sampled_from([None, "g1", "g2"]),
    since=st.sampled_from(["", "2026-11-22", "2026-11-23"]),
    until=st.sampled_from(["2026-11-22", "2026-11-23", "2026-11-24"]),
)
def test_any_report_is_the_sum_of_its_lines(
    store: Store, home: Path, lines: Lines, by: list[By], group_id: str | None, since: str, until: str
) -> None:
    if store.groups.get("g1") is None:
        store.groups.put(Group("g1", "botany", None, None, None, None, "", ""))
    book(store, *(booking(Usage(into, out, cost=cost), **keys) for keys, into, out, cost in lines))
    expected: dict[tuple[str | None, ...], list[tuple[int | None, ...]]] = {}
    for line in rows(
        home,
        "SELECT coalesce(groups.name, group_name), ai_usage.model, substr(ai_usage.created_at, 1, 10), session_id,"
        " credential_id, input_tokens, output_tokens, total_tokens, cost_nano_usd"
        " FROM ai_usage LEFT JOIN groups ON groups.id = group_id"
        " WHERE ai_usage.created_at >= ? AND ai_usage.created_at < ? AND group_id = coalesce(?, group_id)",
        *(since, until, group_id),
    ):
        keys = dict(zip(BY, line, strict=False))
        expected.setdefault(tuple(keys[name] for name in by), []).append(line[len(BY) :])

    found = store.ledger.report(by, group_id=group_id, since=since, until=until)

    assert store.checks.usage_sums() == []
    assert {tuple(row.keys.values()): _numbers(row) for row in found} == {
        keys: (len(numbers), *_added(numbers)) for keys, numbers in expected.items()
    }
    assert len(found) == len(expected)


def _numbers(row: UsageRow) -> tuple[int | None, ...]:
    nano = None if row.cost is None else int(row.cost.scaleb(9))
    unknown = (row.unknown_tokens, row.unknown_costs)
    return (row.requests, row.input_tokens, row.output_tokens, row.total_tokens, nano, *unknown)


def _added(lines: list[tuple[int | None, ...]]) -> tuple[int | None, ...]:
    known = [[number for number in numbers if number is not None] for numbers in zip(*lines, strict=True)]
    return (*(sum(one) if one else None for one in known), *(len(lines) - len(one) for one in known[2:]))


def test_a_store_of_before_has_the_sums_of_its_days_once_it_is_upgraded(home: Path) -> None:
    older = home / "older.db"
    with closing(Connection(older)) as connection:
        migrate(connection, STEPS[: STEPS.index(add_what_a_large_store_needs)])
        row_sums.keep_true(connection)
        for number in range(10):
            connection.execute(
                "INSERT INTO ai_usage (group_id, group_name, credential_id, provider, model, os_user,"
                " input_tokens, cost_nano_usd, created_at)"
                " VALUES ('g1', 'biology', 'c1', 'openrouter', 'a/b', 'me', ?, ?, ?)",
                (number or None, number, f"2026-11-{21 + number % 2}T09:30:00.000000Z"),
            )

    with closing(Store.open(older)) as store:
        book(store, booking(Usage(1, 1)))

        assert store.checks.problems() == []
        days = {row.keys["day"]: (row.requests, row.input_tokens) for row in store.ledger.report(["day"])}
        assert days == {"2026-11-21": (5, 20), "2026-11-22": (6, 26)}


@pytest.mark.parametrize(
    ("change", "days"),
    [
        ("UPDATE ai_usage_days SET requests = 2", ["2026-11-22"]),
        ("UPDATE ai_usage_days SET cost_nano_usd = NULL", ["2026-11-22"]),
        ("UPDATE ai_usage_days SET day = '2026-01-01'", ["2026-01-01", "2026-11-22"]),
        ("DELETE FROM ai_usage_days", ["2026-11-22"]),
        ("DELETE FROM ai_usage", ["2026-11-22"]),
        ("UPDATE ai_usage SET model = 'c/d'", ["2026-11-22"]),
        ("DROP TABLE ai_usage", ["the store `"]),
    ],
)
def test_a_day_with_other_sums_than_its_lines_is_found(
    store: Store, home: Path, change: str, days: list[str]
) -> None:
    book(store, booking(Usage(1, 1, cost=Decimal(1))))
    with closing(sqlite3.connect(home / "raptchat.db")) as db, db:
        db.execute(change)

    found = sorted(store.checks.usage_sums())

    assert [one[: len(day)] for one, day in zip(found, days, strict=True)] == days
    assert set(store.checks.problems()) >= {f"the sums of {one} are not those of its usage" for one in found}


@pytest.mark.parametrize(
    ("cost", "nano"),
    [
        (None, None),
        (Decimal(0), 0),
        (Decimal("0.000000001"), 1),
        (Decimal("0.0000000005"), 0),
        (Decimal("0.0000000015"), 2),
        (Decimal("1E-999999"), 0),
        (Decimal(10**6), 10**15),
        (Decimal("1000000.1"), None),
        (Decimal("1E+999999"), None),
        (Decimal(-1), None),
        (Decimal("NaN"), None),
        (Decimal("sNaN"), None),
        (Decimal("Infinity"), None),
    ],
)
def test_what_is_no_sum_of_money_is_unknown(cost: Decimal | None, nano: int | None) -> None:
    assert nano_dollars(cost) == nano


@given(st.decimals(allow_nan=None, allow_infinity=None))
def test_no_number_is_too_odd_for_the_ledger(cost: Decimal) -> None:
    nano = nano_dollars(cost)

    assert nano is None or 0 <= nano <= 10**15


@pytest.mark.parametrize("change", ["input_tokens = 9e18", "cost_nano_usd = 0.5", "model = x'00'"])
@pytest.mark.parametrize(("table", "by"), [("ai_usage", "session"), ("ai_usage_days", "group")])
def test_a_line_of_another_type_is_a_damaged_store(
    store: Store, home: Path, table: str, by: By, change: str
) -> None:
    book(store, booking(Usage(1, 1, cost=Decimal(1))))
    with closing(sqlite3.connect(home / "raptchat.db")) as db, db:
        db.execute("PRAGMA writable_schema = ON")
        db.execute("UPDATE sqlite_schema SET sql = replace(sql, ') STRICT', ')') WHERE name = 'ai_usage'")
        db.execute("UPDATE sqlite_schema SET sql = replace(sql, 'STRICT, ', '') WHERE name = 'ai_usage_days'")
        db.execute("UPDATE sqlite_schema SET sql = replace(sql, ' INTEGER', '') WHERE name = ?", (table,))
    with closing(sqlite3.connect(home / "raptchat.db")) as db, db:
        db.execute(f"UPDATE {table} SET {change}")  # noqa: S608

    with closing(Store.open(home / "raptchat.db")) as opened, pytest.raises(StoreError):
        opened.ledger.report([by, "model"])
