"""Costs that are learnt later: booked once, by whoever learns them first, and never guessed."""

import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import bookings
import hostile_gateway
import pytest
from bookings import book
from conftest import Run, environment, rows
from processes import AtTerminal

from raptchat import CredentialService, refreshing
from raptchat.clock import utc_now
from raptchat.demo import DEMO_KEY, DemoGateway
from raptchat.factory import Factory
from raptchat.records import Booking, Usage
from raptchat.store import Store, row_sums
from raptchat.store.connection import Connection
from raptchat.store.migrations import STEPS, add_what_many_keys_need
from raptchat.store.upgrade import migrate

CENT = 30_000_000


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    with closing(Store.open(home / "raptchat.db")) as store:
        yield store


def booking(usage: Usage, **changes: str | None) -> Booking:
    """A request of now that has an id."""
    return bookings.booking(
        usage, **{"generation_id": "gen-1", "finish_reason": None, "created_at": utc_now(), **changes}
    )


def forget_costs(home: Path) -> None:
    """As if every chat had been cut off before its cost came."""
    with closing(Store.open(home / "raptchat.db")) as store, store.write():
        store._connection.execute("UPDATE ai_usage SET cost_nano_usd = NULL, output_tokens = NULL")


def costs(home: Path) -> list[int | None]:
    return [cost for (cost,) in rows(home, "SELECT cost_nano_usd FROM ai_usage ORDER BY id")]


def problems(home: Path) -> list[str]:
    with closing(Store.open(home / "raptchat.db")) as store:
        return store.checks.problems()


def test_what_is_learnt_corrects_the_day_and_leaves_what_was_known(store: Store) -> None:
    book(store, booking(Usage(input_tokens=7)), booking(Usage(1, 1, cost=Decimal(1))))

    assert store.ledger.learn(1, Usage(100, 5, 105, 3, 2, Decimal("0.000000001")))

    [row] = store.ledger.report([])
    assert (row.requests, row.input_tokens, row.output_tokens) == (2, 8, 6)
    assert (row.cost, row.unknown_costs, row.unknown_tokens) == (Decimal("1.000000001"), 0, 0)
    assert store.checks.problems() == []


def test_a_cost_is_learnt_once(store: Store) -> None:
    book(store, booking(Usage()))

    assert store.ledger.learn(1, Usage(1, 1, cost=Decimal(1)))
    assert not store.ledger.learn(1, Usage(9, 9, cost=Decimal(9)))
    assert not store.ledger.learn(2, Usage(cost=Decimal(1)))

    [row] = store.ledger.report([])
    assert (row.requests, row.cost, row.total_tokens) == (1, Decimal(1), 2)


@pytest.mark.parametrize("cost", [None, Decimal(-1), Decimal("NaN"), Decimal("1E+30")])
def test_what_is_no_cost_is_not_learnt(store: Store, cost: Decimal | None) -> None:
    book(store, booking(Usage()))

    assert not store.ledger.learn(1, Usage(1, 1, cost=cost))

    [row] = store.ledger.report([])
    assert (row.cost, row.unknown_costs, row.unknown_tokens) == (None, 1, 1)


def test_the_estimate_of_a_budget_stays_when_the_cost_is_known(store: Store, home: Path) -> None:
    book(store, booking(Usage())._replace(estimate=Decimal("0.5")))

    store.ledger.learn(1, Usage(cost=Decimal("0.25")))

    assert rows(home, "SELECT cost_nano_usd, estimated_nano_usd FROM ai_usage") == [(250_000_000, 500_000_000)]


def test_a_store_of_before_learns_too(home: Path) -> None:
    older = home / "older.db"
    with closing(Connection(older)) as connection:
        migrate(connection, STEPS[: STEPS.index(add_what_many_keys_need)])
        row_sums.keep_true(connection)
        connection.execute(
            "INSERT INTO ai_usage (group_id, group_name, credential_id, provider, model, os_user, generation_id,"
            " created_at) VALUES ('g1', 'biology', 'c1', 'openrouter', 'a/b', 'me', 'gen-1', ?)",
            ("2026-11-22T09:30:00.000000Z",),
        )

    with closing(Store.open(older)) as store:
        assert store.ledger.learn(1, Usage(3, 4, cost=Decimal(2)))

        assert [(row.cost, row.total_tokens) for row in store.ledger.report(["day"])] == [(Decimal(2), 7)]
        assert store.checks.problems() == []


def test_many_that_learn_and_book_at_once_count_each_request_once(home: Path) -> None:
    def learn_and_book(number: int) -> int:
        with closing(Store.open(home / "raptchat.db")) as store:
            learnt = 0
            for id_ in range(1, 11):
                learnt += store.ledger.learn(id_, Usage(1, 1, cost=Decimal(1)))
                book(store, booking(Usage(1, 1, cost=Decimal(number))))
            return learnt

    with closing(Store.open(home / "raptchat.db")) as store:
        book(store, *(booking(Usage()) for _ in range(10)))
    with ThreadPoolExecutor(3) as pool:
        learnt = sum(pool.map(learn_and_book, range(3)))

    with closing(Store.open(home / "raptchat.db")) as store:
        [row] = store.ledger.report([])
        assert (learnt, row.requests, row.cost) == (10, 40, Decimal(10 + 10 * (0 + 1 + 2)))
        assert store.checks.problems() == []


def test_the_newest_are_asked_for_and_only_those_that_can_be(store: Store) -> None:
    book(
        store,
        booking(Usage(), generation_id="first", created_at="2026-11-01T00:00:00.000000Z"),
        booking(Usage(), generation_id="last", created_at="2026-11-03T00:00:00.000000Z"),
        booking(Usage(), generation_id="second", created_at="2026-11-02T00:00:00.000000Z"),
        booking(Usage(), generation_id=None),
        booking(Usage(), provider="openai-compatible"),
        booking(Usage(), group_id="g2"),
        booking(Usage(cost=Decimal(0))),
    )

    def found(**limits: object) -> list[str | None]:
        return [one.generation_id for one in store.ledger.unknown("g1", "openrouter", **limits)]  # type: ignore[arg-type]

    assert found() == ["last", "second", "first"]
    assert found(limit=1) == ["last"]
    assert found(since="2026-11-02", until="2026-11-03") == ["second"]
    assert store.ledger.unknown_costs("g1", "openrouter", since="2026-11-02") == (4, 1, 1)


def test_what_a_cut_off_chat_cost_is_learnt_and_shown(biology: Run, home: Path) -> None:
    biology("chat -m demo/cent hi")
    biology("chat -m demo/cent hi")
    forget_costs(home)

    said = biology("usage biology --refresh")

    assert said.out == "biology\t2\t2\t2\t4\t$0.060000\n"
    assert said.err == "learnt what 2 requests cost; none is unknown\n"
    assert costs(home) == [CENT, CENT]
    assert problems(home) == []
    assert biology("usage --refresh").err == "no cost was learnt; none is unknown\n"


def test_without_a_thread_to_be_had_it_takes_longer(
    biology: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    biology("chat -m demo/cent hello")
    forget_costs(home)
    start = threading.Thread.start

    def full(thread: threading.Thread) -> None:
        # The gateway is another process in truth.
        if thread.name == "generation":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", full)
    biology("usage --refresh")

    assert costs(home) == [CENT]


def test_what_ctrl_c_has_cut_off_has_its_cost_in_the_end(biology: Run, home: Path) -> None:
    with AtTerminal("chat", "-m", "demo/slow", "hello") as terminal:
        terminal.until("One word")
        terminal.ends(130, pressing="\x03")
    assert costs(home) == [None]
    [(name,)] = rows(home, "SELECT generation_id FROM ai_usage")

    assert biology("usage --refresh").err == "learnt what 1 request cost; none is unknown\n"

    [cost] = costs(home)
    assert name
    assert cost is not None
    assert problems(home) == []


def test_what_cannot_be_learnt_is_said_with_its_reason(biology: Run, home: Path) -> None:
    biology("chat -m demo/cent hi")
    forget_costs(home)
    with closing(Store.open(home / "raptchat.db")) as store:
        [(group, credential)] = rows(home, "SELECT group_id, credential_id FROM ai_usage")
        own = {"group_id": group, "credential_id": credential}
        book(
            store,
            booking(Usage(), **own, generation_id="gen-nobody-knows"),
            booking(Usage(), **own, generation_id=None),
            booking(Usage(), **own, generation_id=None),
            booking(Usage(), **own, created_at="2026-01-01T00:00:00.000000Z"),
            booking(Usage(), group_id="gone"),
        )

    said = biology("usage --refresh --all --json")

    assert said.err == (
        "learnt what 1 request cost; still unknown: 1 not known at the gateway yet, 1 older than 30 days,"
        " 2 without a generation id, 1 without an OpenRouter key to ask with\n"
    )
    assert costs(home) == [CENT, None, None, None, None, None]


def test_only_the_group_that_is_named_is_asked_for(biology: Run, home: Path) -> None:
    biology("group add-key history --stdin", stdin=f"{DEMO_KEY}-of-history")
    for group in ("biology", "history"):
        biology(f"chat -g {group} -m demo/cent hi")
    forget_costs(home)

    biology("usage history --refresh")
    assert costs(home) == [None, CENT]
    biology("usage --refresh")
    assert costs(home) == [CENT, CENT]


def test_the_key_in_use_asks_for_what_one_that_is_gone_has_paid(biology: Run, home: Path) -> None:
    biology("chat -m demo/cent hi")
    [(old,)] = rows(home, "SELECT id FROM ai_credentials")
    biology("group add-key biology --replace --stdin", stdin=f"{DEMO_KEY}-second")
    biology(f"credentials delete {old} --yes")
    forget_costs(home)

    assert biology("usage --refresh").err.startswith("learnt what 1 request cost")


def test_the_key_in_use_asks_when_the_one_that_paid_is_refused(biology: Run, home: Path) -> None:
    biology("group create history")
    biology("group add-key history --stdin --no-verify", stdin="sk-or-v1-no-key-of-the-demo-gateway")
    biology("group add-key history --stdin --replace", stdin=f"{DEMO_KEY}-second")
    biology("chat -g history -m demo/cent hi")
    with closing(sqlite3.connect(home / "raptchat.db")) as db, db:
        db.execute(
            "UPDATE ai_usage SET credential_id = (SELECT id FROM ai_credentials WHERE key_hint LIKE '%-no-%'"
            " OR is_active = 0)"
        )
    forget_costs(home)

    assert biology("usage history --refresh").err == "learnt what 1 request cost; none is unknown\n"
    assert costs(home) == [CENT]


def test_a_key_that_is_refused_ends_it_and_what_is_known_is_shown(biology: Run, home: Path) -> None:
    biology("chat -m demo/cent hi")
    biology("chat -m demo/cent hi")
    forget_costs(home)
    biology("group add-key biology --replace --stdin --no-verify", stdin="sk-or-v1-no-key-of-the-demo-gateway")
    with closing(sqlite3.connect(home / "raptchat.db")) as db, db:
        db.execute("DELETE FROM ai_credentials WHERE is_active = 0")

    said = biology("usage --refresh", exit_code=77)

    assert said.out == "biology\t2\t2\t-\t-\t-\n"
    assert "no cost was learnt; still unknown: 2 could not be asked for\n" in said.err
    assert said.err.endswith("hint: raptchat group add-key biology --replace\n")
    assert costs(home) == [None, None]


def test_the_key_of_a_suspended_group_is_not_to_be_replaced(biology: Run, home: Path) -> None:
    biology("group add-key biology --replace --stdin --no-verify", stdin="sk-or-v1-no-key-of-the-demo-gateway")
    with closing(Store.open(home / "raptchat.db")) as store:
        [group], [(credential,)] = store.groups.all(), rows(home, "SELECT id FROM ai_credentials WHERE is_active")
        book(store, booking(Usage(), group_id=group.id, credential_id=credential))
        with store.write():
            store.groups.set(group.id, suspended_at=utc_now())

    for words in ("--refresh", "reconcile"):
        assert biology(f"usage {words}", exit_code=77).err.endswith("hint: raptchat group resume biology\n")


def test_a_gateway_that_is_away_is_asked_no_more_than_it_must(
    biology: Run, home: Path, gateway: DemoGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AI_MAX_RETRIES", "0")
    for _ in range(3):
        biology("chat -m demo/cent hi")
    forget_costs(home)
    gateway.__exit__(None, None, None)

    said = biology("usage --refresh", exit_code=69)

    assert "still unknown: 3 could not be asked for" in said.err
    assert said.err.count("no connection") == 1
    assert said.out.startswith("biology\t3\t")


@pytest.mark.parametrize(
    ("bad", "learnt"), [(1, 9), (refreshing._MOST_FAILURES - 1, 3), (refreshing._MOST_FAILURES, 0)]
)
def test_a_reply_that_the_gateway_fails_at_keeps_no_other_from_being_learnt(
    biology: Run, home: Path, monkeypatch: pytest.MonkeyPatch, bad: int, learnt: int
) -> None:
    monkeypatch.setattr(refreshing, "_AT_ONCE", 1)
    biology("chat -m demo/cent hi")
    with closing(Store.open(home / "raptchat.db")) as store:
        [(group, credential, name)] = rows(home, "SELECT group_id, credential_id, generation_id FROM ai_usage")
        own = {"group_id": group, "credential_id": credential}
        book(store, *[booking(Usage(), **own, generation_id=name)] * (10 - bad))
        # What is too long for any gateway; the last is asked for first.
        book(store, *[booking(Usage(), **own, generation_id="x" * 200_000)] * bad)

    said = biology("usage --refresh", exit_code=69)

    assert f"{10 - learnt} could not be asked for" in said.err
    assert costs(home).count(CENT) == learnt + 1
    assert problems(home) == []


def test_a_key_for_another_gateway_is_not_sent_to_this_one(
    biology: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    biology("chat -m demo/cent hi")
    biology("chat -m demo/cent hi")
    forget_costs(home)
    with DemoGateway() as another:
        monkeypatch.setenv("AI_GATEWAY_URL", another.url)

        said = biology("usage --refresh", exit_code=78)

    assert "still unknown: 2 could not be asked for" in said.err
    assert costs(home) == [None, None]


@pytest.mark.parametrize("patience", [30.0, 0.05])
def test_a_gateway_that_is_silent_is_not_waited_for_long(
    biology: Run, home: Path, monkeypatch: pytest.MonkeyPatch, patience: float
) -> None:
    monkeypatch.setenv("AI_MAX_RETRIES", "0")
    monkeypatch.setenv("AI_REQUEST_TIMEOUT_MS", "300")
    monkeypatch.setattr(refreshing, "_PATIENCE_SECONDS", patience)
    with hostile_gateway.running() as silent:
        silent.behave = hostile_gateway.hangs
        monkeypatch.setenv("AI_GATEWAY_URL", f"http://127.0.0.1:{silent.port}/api/v1")
        biology("group add-key art --stdin --no-verify", stdin=f"{DEMO_KEY}-of-art")
        with closing(Store.open(home / "raptchat.db")) as store:
            [(group, credential)] = rows(
                home, "SELECT group_id, id FROM ai_credentials ORDER BY created_at DESC LIMIT 1"
            )
            book(store, *[booking(Usage(), group_id=group, credential_id=credential)] * 12)

        said = biology("usage art --refresh", exit_code=75)

        assert "still unknown: 12 could not be asked for" in said.err
        for thread in threading.enumerate():
            if thread.name == "generation":
                thread.join(10)


def test_without_anything_to_ask_the_vault_stays_shut(biology: Run, home: Path) -> None:
    biology("chat -m demo/cent hi")
    (home.parent / "master.key").unlink()

    assert biology("usage --refresh").err == "no cost was learnt; none is unknown\n"
    forget_costs(home)
    assert biology("usage --refresh", exit_code=78).out == ""


def test_more_than_are_asked_for_at_once_are_left_for_the_next_time(
    biology: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refreshing, "MOST_REQUESTS", 2)
    for _ in range(3):
        biology("chat -m demo/cent hi")
    forget_costs(home)

    said = biology("usage --refresh")

    assert said.err == "learnt what 2 requests cost; still unknown: 1 to be asked for the next time\n"
    assert costs(home) == [None, CENT, CENT]


def test_two_that_ask_at_once_book_each_cost_once(biology: Run, home: Path) -> None:
    for _ in range(4):
        biology("chat -m demo/cent hi")
    forget_costs(home)
    learnt = []

    def ask() -> None:
        with Factory() as factory:
            learnt.append(refreshing.refresh(factory, factory.store.groups.all()))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(one.learnt for one in learnt) == 4
    assert [one.problems for one in learnt] == [[], []]
    assert costs(home) == [CENT] * 4
    assert problems(home) == []


def test_what_was_learnt_before_an_interruption_stays(biology: Run, home: Path) -> None:
    for _ in range(10):
        biology("chat -m demo/cent hi")
    forget_costs(home)

    def interrupt(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with Factory() as factory, pytest.raises(KeyboardInterrupt):
        refreshing.refresh(factory, factory.store.groups.all(), progress=interrupt)

    assert costs(home).count(CENT) == 3
    assert problems(home) == []


def test_a_person_is_told_how_to_learn_what_is_unknown(biology: Run, home: Path) -> None:
    biology("chat -m demo/cent hi")
    forget_costs(home)

    for words, command in (
        ((), "raptchat usage --refresh asks"),
        (("biology",), "raptchat usage --refresh biology asks"),
    ):
        with AtTerminal("usage", *words, env=environment(PAGER="cat"), columns=120) as terminal:
            assert f"hint: {command}" in terminal.ends(0)
    assert biology("usage").err == ""
    with AtTerminal("usage", "--until", "2026-01-01", "--refresh", env=environment(PAGER="cat")) as terminal:
        assert "learnt what 1 request cost" in terminal.ends(0)
    with AtTerminal("usage", env=environment(PAGER="cat")) as terminal:
        assert "hint:" not in terminal.ends(0)


def test_a_person_hears_of_no_way_where_there_is_none(biology: Run, home: Path) -> None:
    with closing(Store.open(home / "raptchat.db")) as store:
        book(store, booking(Usage(), generation_id=None))

    with AtTerminal("usage", env=environment(PAGER="cat")) as terminal:
        assert "hint:" not in terminal.ends(0)


def test_ctrl_c_ends_it_while_the_gateway_is_silent(biology: Run, home: Path) -> None:
    with hostile_gateway.running() as silent:
        silent.behave = hostile_gateway.hangs
        env = environment(AI_GATEWAY_URL=f"http://127.0.0.1:{silent.port}/api/v1")
        with closing(Store.open(home / "raptchat.db")) as store, Factory() as factory:
            group = store.groups.add("art")
            url = env["AI_GATEWAY_URL"]
            key = CredentialService(factory).create(group.id, f"{DEMO_KEY}-of-art", base_url=url)
            book(store, booking(Usage(), group_id=group.id, credential_id=key.id))

        with AtTerminal("usage", "--refresh", env=env) as terminal:
            terminal.until("asked what 0 of 1 request cost")
            said = terminal.ends(130, pressing="\x03")

    assert "raptchat: interrupted" in said
    assert "Traceback" not in said
    assert costs(home) == [None]
