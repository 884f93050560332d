"""`raptchat usage reconcile`: the ledger beside the gateway's own count, to the last digit."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import key_gateway
import pytest
from conftest import Run, environment, rows
from hypothesis import given
from hypothesis import strategies as st
from key_gateway import KeyGateway, key_is, refused
from processes import AtTerminal

from raptchat.demo import DEMO_KEY, DemoGateway
from raptchat.providers.openrouter import OpenRouterClient
from raptchat.reconciling import Window

KEYS = {name: f"sk-or-v1-key-of-{name}-0123456789" for name in ("art", "biology")}

TODAY = datetime.now(UTC).date()


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> Iterator[KeyGateway]:
    monkeypatch.setenv("AI_MAX_RETRIES", "0")
    with key_gateway.running() as running:
        monkeypatch.setenv("AI_GATEWAY_URL", running.url)
        yield running


@pytest.fixture
def school(raptchat: Run, keys: KeyGateway, tmp_path: Path) -> Run:
    """The app with two groups, whose keys the gateway takes, and of which it has counted nothing."""
    raptchat(["vault", "init", "--file", str(tmp_path / "master.key")])
    for name, key in KEYS.items():
        raptchat(f"group add-key {name} --stdin --no-verify", stdin=key)
        keys.says[key] = key_is(usage_daily=0, usage_weekly=0, usage_monthly=0)
    return raptchat


def book(
    home: Path, group: str, cost: int | None, *, day: date | None = None, credential: str | None = None
) -> None:
    """A request of the group's active key."""
    time = datetime.now(UTC) if day is None else datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    with closing(sqlite3.connect(home / "raptchat.db")) as db, db:
        db.execute(
            "INSERT INTO ai_usage (group_id, group_name, session_id, credential_id, provider, model, os_user,"
            " cost_nano_usd, created_at) SELECT group_id, ?, 's', coalesce(?, ai_credentials.id), 'openrouter',"
            " 'a/b', 'me', ?, ? FROM ai_credentials JOIN groups ON groups.id = group_id"
            " WHERE name = ? AND is_active",
            (group, credential, cost, time.isoformat(timespec="microseconds").replace("+00:00", "Z"), group),
        )


def results(said: str) -> list[str]:
    """What is said of each window."""
    return [line.split("\t")[-1] for line in said.splitlines()]


def windows(run: Run, words: str = "biology", *, exit_code: int = 0) -> list[dict[str, Any]]:
    [one] = json.loads(run(f"usage reconcile {words} --json", exit_code=exit_code).out)
    found: list[dict[str, Any]] = one["windows"]
    return found


def test_what_was_only_used_here_agrees(biology: Run) -> None:
    for _ in range(3):
        biology("chat -m demo/cent hi")

    said = biology("usage reconcile")

    assert results(said.out) == ["agrees"] * 3
    assert [line.split("\t")[2].split()[0] for line in said.out.splitlines()] == ["day", "week", "month"]
    assert said.err == ""
    [day, *_] = windows(biology)
    assert day == {
        "period": "day",
        "since": datetime.now(UTC).date().isoformat(),
        "gateway": "0.09",
        "ledger": "0.09",
        "difference": "0",
        "unknownCosts": 0,
        "result": "agrees",
    }


def test_what_was_used_elsewhere_is_said_to_the_last_digit(biology: Run, gateway: DemoGateway) -> None:
    biology("chat -m demo/cent hi")
    with OpenRouterClient(api_key=DEMO_KEY, base_url=gateway.url) as elsewhere:
        elsewhere.complete_chat([{"role": "user", "content": "hi"}], model="demo/cent")

    assert (
        results(biology("usage reconcile -g biology").out)
        == [f"0.03 USD more at the gateway: the key was used elsewhere, or before it came here on {TODAY}"] * 3
    )
    assert [(one["difference"], one["result"]) for one in windows(biology)] == [("0.03", "more-at-gateway")] * 3


def test_a_key_is_compared_as_one_whichever_group_used_it(biology: Run) -> None:
    biology("chat -m demo/cent hi")
    biology("group add-key history --stdin --allow-shared", stdin=DEMO_KEY)
    biology("chat -g history -m demo/cent hi")

    said = biology("usage reconcile").out

    assert results(said) == [
        f"agrees; it is also the key of `{name}`" for name in ("history", "biology") for _ in range(3)
    ]
    [mine, _] = json.loads(biology("usage reconcile --json").out)
    assert mine["sharedWith"] == ["history"]


def test_a_key_that_was_added_again_has_not_been_used_elsewhere(biology: Run) -> None:
    biology("chat -m demo/cent hi")
    biology("group add-key biology --replace --label again --stdin", stdin=DEMO_KEY)
    biology("chat -m demo/cent hi")

    assert results(biology("usage reconcile").out) == ["agrees"] * 3
    assert windows(biology)[0]["ledger"] == "0.06"


def test_the_same_key_of_another_gateway_is_another_one(school: Run, keys: KeyGateway, home: Path) -> None:
    school("group add-key history --stdin --no-verify --allow-shared", stdin=KEYS["biology"])
    with closing(sqlite3.connect(home / "raptchat.db")) as db, db:
        db.execute(
            "UPDATE ai_credentials SET endpoint = 'https://other.example'"
            " WHERE group_id = (SELECT id FROM groups WHERE name = 'history')"
        )
    book(home, "history", 10**9)

    assert results(school("usage reconcile biology").out) == ["agrees"] * 3


def test_when_a_key_came_here_is_only_said_where_it_may_matter(school: Run, keys: KeyGateway, home: Path) -> None:
    keys.says[KEYS["biology"]] = key_is(usage_daily=1, usage_weekly=1, usage_monthly=1)
    with closing(sqlite3.connect(home / "raptchat.db")) as db, db:
        db.execute("UPDATE ai_credentials SET created_at = '2026-01-02T00:00:00.000000Z'")

    assert (
        results(school("usage reconcile biology").out)
        == ["1.00 USD more at the gateway: the key was used elsewhere"] * 3
    )


def test_what_is_not_known_here_may_be_the_difference(biology: Run, home: Path) -> None:
    biology("chat -m demo/cent hi")
    with closing(sqlite3.connect(home / "raptchat.db")) as db, db:
        db.execute("UPDATE ai_usage SET cost_nano_usd = NULL")

    assert results(biology("usage reconcile").out)[0] == (
        f"0.03 USD more at the gateway: the key was used elsewhere, or before it came here on {TODAY},"
        " or the cost of 1 request is not known here"
    )
    biology("usage --refresh")
    assert results(biology("usage reconcile").out)[0] == "agrees"


def test_more_here_than_there_is_not_called_use_elsewhere(school: Run, home: Path) -> None:
    book(home, "biology", 42)
    book(home, "art", None)

    art, _, _, mine, *_ = results(school("usage reconcile").out)

    assert art == "agrees, though the cost of 1 request is not known here"
    assert mine == (
        "0.000000042 USD more here: the gateway counts late, or not what a provider is paid directly (BYOK)"
    )
    assert windows(school)[0]["difference"] == "-0.000000042"
    assert windows(school)[0]["result"] == "more-here"


def test_what_the_key_before_it_has_paid_may_be_more_here_than_a_reference_gives_now(
    school: Run, home: Path
) -> None:
    command = f"echo {KEYS['art']}"
    school(["group", "add-key", "art", "--replace", "--no-verify", "--allow-shared", "--key-command", command])
    book(home, "art", 42)

    said = results(school("usage reconcile art").out)

    assert said[0].endswith("(BYOK), or not what the key before this one has paid")


def test_windows_are_those_of_the_gateway(school: Run, keys: KeyGateway, home: Path) -> None:
    today = datetime.now(UTC).date()
    monday, first = today - timedelta(days=today.weekday()), today.replace(day=1)
    day = timedelta(days=1)
    days = [today, monday, first, monday - day, first - day, today + day]
    for each in days:
        book(home, "biology", 10**9, day=each)
    # What another key of the group has paid is not this one's.
    book(home, "biology", 10**9, credential="another")

    found = windows(school)

    assert [one["since"] for one in found] == [str(today), str(monday), str(first)]
    assert [one["ledger"] for one in found] == [
        str(sum(since <= each <= today for each in days)) for since in (today, monday, first)
    ]


def test_a_gateway_that_says_less_is_not_taken_to_say_nothing_was_used(school: Run, keys: KeyGateway) -> None:
    keys.says[KEYS["biology"]] = key_is(usage_daily=None, usage_weekly="much", usage_monthly=0)

    assert results(school("usage reconcile biology").out) == [
        "the gateway does not say",
        "the gateway does not say",
        "agrees",
    ]
    assert [(one["gateway"], one["difference"], one["result"]) for one in windows(school)][:2] == [(None,) * 3] * 2


def test_a_key_that_is_refused_is_a_line_and_the_others_are_compared(school: Run, keys: KeyGateway) -> None:
    keys.says[KEYS["art"]] = refused("User not found.")

    said = school("usage reconcile", exit_code=77)

    art, *mine = said.out.splitlines()
    assert art.split("\t")[0] == "art"
    assert art.split("\t")[2:5] == ["-"] * 3
    assert results("\n".join(mine)) == ["agrees"] * 3
    assert f"1 of 2 keys cannot be used: {KEYS['art'][:8]}...6789 of group `art`\n" in said.err
    assert "hint: raptchat group add-key art --replace" in said.err
    [one, _] = json.loads(school("usage reconcile --json", exit_code=77).out)
    assert (one["verdict"], one["windows"]) == ("refused", [])
    assert one["problem"]


def test_a_gateway_that_fails_ends_with_its_own_code(school: Run, keys: KeyGateway) -> None:
    for key in KEYS.values():
        keys.says[key] = refused("no", "500 Internal Server Error")

    said = school("usage reconcile", exit_code=69)

    assert "raptchat: 2 of 2 keys could not be checked: " in said.err
    assert len(said.out.splitlines()) == 2


def test_a_key_that_has_expired_is_compared_all_the_same(school: Run, keys: KeyGateway) -> None:
    keys.says[KEYS["biology"]] = key_is(expires_at="2026-01-01T00:00:00Z", usage_daily=0)

    said = school("usage reconcile biology", exit_code=77)

    assert results(said.out)[0].startswith("agrees (the key expired on 2026-01-01")


def test_without_a_key_it_says_what_to_do(raptchat: Run) -> None:
    raptchat("group create biology")

    assert raptchat("usage reconcile").err == "there is no key for openrouter yet: raptchat group add-key NAME\n"
    assert json.loads(raptchat("usage reconcile --json").out) == []
    said = raptchat("usage reconcile biology", exit_code=4)
    assert "hint: raptchat group add-key biology" in said.err
    assert raptchat("usage reconcile nobody", exit_code=3).out == ""


def test_only_keys_in_use_are_asked(school: Run, keys: KeyGateway, home: Path) -> None:
    keys.says[KEYS["art"] + "-new"] = key_is(usage_daily=0, usage_weekly=0, usage_monthly=0)
    school("group add-key art --replace --stdin --no-verify", stdin=KEYS["art"] + "-new")
    keys.asked.clear()

    school("usage reconcile")

    assert sorted(keys.asked) == sorted([KEYS["art"] + "-new", KEYS["biology"]])
    assert rows(home, "SELECT count(*) FROM ai_usage") == [(0,)]


def test_a_person_sees_how_far_it_is_and_then_only_the_table(school: Run, keys: KeyGateway) -> None:
    with AtTerminal("usage", "reconcile", env=environment(NO_COLOR="1"), columns=120) as terminal:
        terminal.ends(0)
        lines = terminal.screen()

    assert lines[0].split() == ["group", "key", "since", "at", "the", "gateway", "here", "result"]
    assert len([line for line in lines if line.endswith("agrees")]) == 6
    assert "keys have answered" not in "".join(lines)


@given(st.decimals(0, 10**6, places=12), st.integers(0, 10**15))
def test_a_difference_is_that_of_whole_nano_dollars(gateway: Decimal, nano: int) -> None:
    here = Decimal(nano).scaleb(-9)
    difference = Window("day", date(2026, 11, 23), gateway, here, 0).difference

    assert difference is not None
    assert abs(difference - (gateway - here)) <= Decimal("5E-10")
    assert difference == difference.quantize(Decimal("1E-9"))


@pytest.mark.parametrize("gateway", [None, Decimal("NaN"), Decimal("Infinity")])
def test_what_is_no_amount_is_no_difference(gateway: Decimal | None) -> None:
    assert Window("day", date(2026, 11, 23), gateway, Decimal(0), 0).difference is None
