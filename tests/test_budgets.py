"""Budgets that hold before the money is spent."""

import sqlite3
import threading
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from conftest import rows
from spender import COST, Spender

from raptchat import ChatService, Factory
from raptchat.budgets import bounds, reserve
from raptchat.config import Settings
from raptchat.errors import BudgetExceededError, GatewayTimeoutError, GroupNotFoundError
from raptchat.models import Models
from raptchat.records import Budget, Message, Period, Progress
from raptchat.store.groups import budget_columns


@pytest.mark.parametrize(
    ("period", "now", "begins", "ends"),
    [
        ("day", "2026-11-23T23:59:59", "2026-11-23", "2026-11-24"),
        ("day", "2026-12-31T00:00:00", "2026-12-31", "2027-01-01"),
        ("week", "2026-11-23T00:00:00", "2026-11-23", "2026-11-30"),
        ("week", "2026-11-29T23:59:59", "2026-11-23", "2026-11-30"),
        ("week", "2027-01-01T12:00:00", "2026-12-28", "2027-01-04"),
        ("month", "2026-11-30T23:59:59", "2026-11-01", "2026-12-01"),
        ("month", "2026-12-31T23:59:59", "2026-12-01", "2027-01-01"),
        ("month", "2028-02-29T12:00:00", "2028-02-01", "2028-03-01"),
        ("month", "2026-01-01T00:00:00", "2026-01-01", "2026-02-01"),
    ],
)
def test_periods_begin_at_midnight_utc(period: Period, now: str, begins: str, ends: str) -> None:
    found = bounds(period, datetime.fromisoformat(now).replace(tzinfo=UTC))
    assert [one.isoformat() for one in found] == [f"{begins}T00:00:00+00:00", f"{ends}T00:00:00+00:00"]


def test_the_clock_on_the_wall_does_not_matter() -> None:
    east = datetime.fromisoformat("2026-12-01T01:00:00+02:00")
    assert bounds("month", east)[1] == datetime(2026, 12, 1, tzinfo=UTC)


def test_a_request_that_fits_is_sent_booked_and_its_money_let_go(spender: Spender) -> None:
    spender.set("0.10")
    assert spender.ask().usage.cost == COST

    now = spender.standing()
    assert [now.spent, now.reserved, now.left] == [COST, Decimal(0), Decimal("0.07")]
    assert spender.reserved() == []


def test_a_request_that_does_not_fit_leaves_no_trace(spender: Spender) -> None:
    spender.set("0.05")
    spender.ask()
    before, sent = spender.stored(), len(spender.chats())
    error = spender.fails()

    assert isinstance(error, BudgetExceededError)
    assert (error.code, error.exit_code) == ("BUDGET_EXCEEDED", 5)
    assert {name: error.fields[name] for name in ("group", "budget", "spent", "reserved", "estimate", "left")} == {
        "group": "biology",
        "budget": "0.05",
        "spent": "0.03",
        "reserved": "0",
        "estimate": "0.03",
        "left": "0.02",
    }
    resets = bounds("month", datetime.now(UTC))[1]
    assert error.fields["resetsAt"] == f"{resets:%Y-%m-%d}T00:00:00Z"
    assert f"it resets at {resets:%Y-%m-%d} 00:00 UTC" in str(error)
    assert "$0.05 a month: $0.03 is spent, $0.00 reserved and $0.02 left, and this could cost $0.03" in str(error)
    assert (spender.stored(), len(spender.chats()), spender.reserved()) == (before, sent, [])


def test_a_private_question_is_held_to_the_budget_too(spender: Spender) -> None:
    spender.set("0.05")
    service = ChatService(spender.factory)
    assert list(service.send_private(spender.group_id, [Message("user", "hello")]))
    with pytest.raises(BudgetExceededError):
        list(service.send_private(spender.group_id, [Message("user", "hello")]))
    assert spender.stored() == (0, 0, 1)


def test_a_question_of_a_stored_session_is_not_kept_when_it_is_refused(spender: Spender) -> None:
    spender.set("0.01")
    service = ChatService(spender.factory)
    session = service.create_session(spender.group_id)
    with pytest.raises(BudgetExceededError):
        list(service.send_message(session.id, "hello"))
    assert spender.stored() == (1, 0, 0)


def test_what_is_reserved_by_others_is_not_there_to_spend(spender: Spender) -> None:
    spender.set("0.05")
    with spender.factory.store.write():
        reserve(spender.factory.store, spender.group, COST)
    assert spender.fails().fields["reserved"] == "0.03"


def test_a_reservation_lasts_while_the_reply_comes_in(spender: Spender) -> None:
    spender.set("1")
    service = ChatService(spender.factory)
    draft = service.draft_session(spender.group_id)
    chunks = service.send_message(draft.id, "one two three", draft=draft)
    next(chunks)
    assert spender.reserved() == [30_000_000]
    chunks.close()
    assert spender.reserved() == []


@pytest.mark.parametrize("model", ["demo/status-500", "demo/status-429", "demo/status-402", "demo/status-404"])
def test_a_request_that_was_refused_costs_nothing_and_frees_its_money(spender: Spender, model: str) -> None:
    spender.set("1")
    spender.fails(model=model, max_cost=COST)
    assert spender.standing().spent == 0
    assert spender.reserved() == []


def test_a_reply_that_was_cut_counts_as_what_it_could_have_cost(spender: Spender) -> None:
    spender.set("1")
    spender.fails(model="demo/cut", max_cost=Decimal("0.2"))
    now = spender.standing()
    assert (now.spent, now.unknown_costs) == (Decimal("0.2"), 1)
    [line] = rows(spender.home, "SELECT id FROM ai_usage")
    with spender.factory.store.write():
        spender.factory.store.budgets._db.execute("UPDATE ai_usage SET cost_nano_usd = 5000000 WHERE id = ?", line)
    now = spender.standing()
    assert (now.spent, now.unknown_costs) == (Decimal("0.005"), 0)


def test_a_reply_that_the_person_stopped_counts_by_its_price(spender: Spender) -> None:
    spender.set("1")
    service = ChatService(spender.factory)
    draft = service.draft_session(spender.group_id)
    chunks = service.send_message(draft.id, "one two three", draft=draft)
    next(chunks)
    chunks.close()
    assert spender.standing().spent == COST


def test_what_costs_nothing_is_asked_also_when_all_is_spent(spender: Spender) -> None:
    spender.set("0.10")
    spender.book("0.50")
    assert spender.standing().left == 0
    with spender.factory.store.write():
        reserve(spender.factory.store, spender.group, Decimal(0))
    assert isinstance(spender.fails(), BudgetExceededError)


def test_lines_of_days_to_come_count_as_spent(spender: Spender) -> None:
    spender.set("1", "day")
    spender.book("0.2", created_at="2999-01-01T00:00:00.000000Z")
    spender.book("0.3", created_at="2020-01-01T00:00:00.000000Z")
    spender.book(None, created_at="2999-01-01T00:00:00.000000Z", estimate=Decimal("0.4"))
    spender.book(None, created_at="2020-01-01T00:00:00.000000Z", estimate=Decimal("0.5"))
    now = spender.standing()
    assert (now.spent, now.unknown_costs) == (Decimal("0.6"), 1)


@pytest.mark.parametrize("hours", [timedelta(seconds=-1), timedelta(days=400)], ids=["over", "a wrong clock"])
def test_what_a_killed_process_reserved_is_free_after_its_time(spender: Spender, hours: timedelta) -> None:
    spender.set("0.05")
    store = spender.factory.store
    with store.write():
        reserved, _ = reserve(store, spender.group, COST)
    assert isinstance(spender.fails(), BudgetExceededError)
    until = f"{datetime.now(UTC) + hours:%Y-%m-%dT%H:%M:%S.%fZ}"
    store.budgets._db.execute("UPDATE reservations SET until = ? WHERE id = ?", (until, reserved))

    assert spender.standing().reserved == 0
    spender.ask()
    assert spender.reserved() == []


def test_a_reservation_that_is_extended_lasts_longer(spender: Spender) -> None:
    spender.set("1")
    store = spender.factory.store
    with store.write():
        reserved, _ = reserve(store, spender.group, COST)
    soon = f"{datetime.now(UTC) + timedelta(seconds=30):%Y-%m-%dT%H:%M:%S.%fZ}"
    store.budgets._db.execute("UPDATE reservations SET until = ?", (soon,))
    store.budgets.extend(reserved)
    [[until]] = rows(spender.home, "SELECT until FROM reservations")
    assert until > soon
    store.budgets.release(reserved)
    store.budgets.extend(reserved)
    assert spender.reserved() == []


def test_a_long_reply_keeps_its_reservation(spender: Spender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raptchat.turn.EXTEND_SECONDS", 0.01)
    spender.set("1")
    service = ChatService(spender.factory)
    draft = service.draft_session(spender.group_id)
    chunks = service.send_message(draft.id, "one two three", draft=draft)
    next(chunks)
    [[first]] = rows(spender.home, "SELECT until FROM reservations")
    deadline = time.monotonic() + 10
    while rows(spender.home, "SELECT until FROM reservations") <= [(first,)]:
        assert time.monotonic() < deadline, "it was not extended"
        time.sleep(0.01)
    chunks.close()
    assert [one for one in threading.enumerate() if one.name == "reservation"] == []


def test_a_group_that_is_removed_takes_its_reservations_along(spender: Spender) -> None:
    spender.set("1")
    with spender.factory.store.write():
        reserve(spender.factory.store, spender.group, COST)
        spender.factory.store.groups.remove(spender.group_id)
    assert spender.reserved() == []
    with pytest.raises(GroupNotFoundError):
        spender.ask()


def test_budgets_of_other_groups_are_their_own(spender: Spender) -> None:
    spender.set("0.05")
    with spender.factory.store.write():
        other = spender.factory.store.groups.add("history")
        spender.factory.store.groups.set(other.id, **budget_columns(Budget(Decimal(1), "day")))
        reserve(spender.factory.store, spender.factory.store.groups.require(other.id), Decimal(1))
    assert spender.ask().usage.cost == COST


def test_threads_at_once_do_not_overrun(spender: Spender) -> None:
    spender.set("0.20")
    Models(spender.factory).fetch(spender.group)
    ended: list[object] = []

    def ask() -> None:
        with Factory(Settings.load()) as factory:
            one = Spender(factory, spender.group_id, spender.gateway, spender.home)
            try:
                ended.append(one.ask().usage.cost)
            except BudgetExceededError as error:
                ended.append(type(error))

    threads = [threading.Thread(target=ask) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(map(str, ended)).count("0.03") == 6
    assert spender.standing().spent == Decimal("0.18")
    assert spender.reserved() == []


def test_a_signal_lets_the_money_go(spender: Spender) -> None:
    spender.set("1")
    service = ChatService(spender.factory)
    draft = service.draft_session(spender.group_id)
    chunks = service.send_message(draft.id, "one two three", draft=draft)
    next(chunks)
    with pytest.raises(KeyboardInterrupt):
        chunks.throw(KeyboardInterrupt)
    assert spender.reserved() == []
    assert spender.standing().spent == COST


@pytest.mark.parametrize(("at", "booked"), [("connecting", []), ("waiting", [30_000_000])])
def test_what_was_never_sent_costs_nothing(spender: Spender, at: Progress, booked: list[int]) -> None:
    spender.set("1")

    def stop(now: Progress) -> None:
        if now == at and spender.reserved():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        spender.ask(progress=stop)
    assert [one for (one,) in rows(spender.home, "SELECT estimated_nano_usd FROM ai_usage")] == booked
    assert spender.reserved() == []


def test_no_connection_in_time_costs_nothing(spender: Spender, monkeypatch: pytest.MonkeyPatch) -> None:
    spender.set("1")
    Models(spender.factory).fetch(spender.group)

    def refuse(*_: object, **__: object) -> None:
        raise TimeoutError

    monkeypatch.setattr("socket.create_connection", refuse)
    assert isinstance(spender.fails(), GatewayTimeoutError)
    assert spender.standing().spent == 0
    assert spender.reserved() == []


def test_what_nobody_estimated_counts_as_the_dearest_request(spender: Spender) -> None:
    spender.book("0.2")
    spender.book("0.1")
    spender.book(None)
    spender.book(None, estimate=Decimal("0.01"))
    spender.set("1")
    now = spender.standing()
    assert (now.spent, now.unknown_costs) == (Decimal("0.51"), 2)


def test_a_refusal_says_how_unknown_costs_are_learnt(spender: Spender) -> None:
    spender.set("0.01")
    spender.book(None, estimate=Decimal("0.01"))
    assert "raptchat usage --refresh" in spender.fails().hint


class InterruptedAfterCommit:
    """A connection of SQLite: when money is reserved for good, Ctrl-C comes before anybody learns of it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        reserved = sql == "COMMIT" and self._connection.execute("SELECT * FROM reservations").fetchall()
        cursor = self._connection.execute(sql, *parameters)
        if reserved:
            raise KeyboardInterrupt
        return cursor


def test_a_signal_while_the_money_is_reserved_lets_it_go(
    spender: Spender, monkeypatch: pytest.MonkeyPatch
) -> None:
    spender.set("1")
    Models(spender.factory).fetch(spender.group)
    connection = spender.factory.store._connection
    with monkeypatch.context() as patch:
        patch.setattr(connection, "raw", InterruptedAfterCommit(connection.raw))
        with pytest.raises(KeyboardInterrupt):
            spender.ask()
    assert spender.stored() == (1, 1, 0)
    assert (spender.reserved(), spender.chats()) == ([], [])
