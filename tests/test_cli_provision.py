"""`raptchat group provision`: a key with a cap, made at the gateway and sealed."""

import json
from decimal import Decimal
from pathlib import Path

import pytest
from account import FaultyGateway, actions, at_gateway, keys_shown, only, pays
from conftest import Run, rows

from raptchat.demo import DEMO_KEY, DEMO_MANAGEMENT_KEY, DemoGateway
from raptchat.demo.wire import in_json


def test_a_group_gets_a_capped_key_that_nobody_sees(account: Run, home: Path) -> None:
    said = account(
        "group provision biology --limit $5 --reset monthly --expires 2999-06-30 --model demo/echo --json"
    )

    made = json.loads(said.out)
    assert (made["limit"], made["limitReset"], made["expiresAt"]) == ("5", "monthly", "2999-06-30T23:59:59Z")
    info = only(at_gateway())
    assert info.name is not None
    assert info.name.startswith("raptchat biology ")
    assert (info.limit, info.limit_reset, info.expires_at) == (Decimal(5), "monthly", "2999-06-30T23:59:59Z")
    assert json.loads(account("group show biology --json").out)["model"] == "demo/echo"
    assert pays(account) == made["keyHint"]
    assert "provision" in actions(account)
    assert rows(home, "SELECT * FROM key_works") == []


def test_a_group_that_is_there_keeps_what_it_has(account: Run) -> None:
    account("group create Biology --system Brief")

    account("group provision biology")

    [group] = json.loads(account("group --json").out)
    assert (group["name"], group["system"], group["model"]) == ("Biology", "Brief", None)
    assert only(at_gateway()).limit is None


def test_a_group_with_an_active_key_is_refused_before_the_gateway_is_asked(
    provisioned: Run, gateway: DemoGateway
) -> None:
    asked = len(gateway.requests)

    said = provisioned("group provision biology", exit_code=6)

    assert "hint: raptchat group rotate-key biology" in said.err
    assert len(gateway.requests) == asked


def test_caps_that_cannot_be_right_are_refused_before_anything_is_made(raptchat: Run) -> None:
    for flags, problem in {
        "--limit 0": "--limit",
        "--limit five": "--limit",
        "--limit 5 --reset yearly": "daily, weekly, monthly",
        "--reset monthly": "`--reset` needs a `--limit`",
        "--expires 2020-01-01": "in the past",
        "--expires 2999-02-30": "--expires",
        "--expires 2999-01-01T10:00:00": "UTC",
        "--expires 2999-01-01T10:00:00+02:00": "UTC",
        "--expires tomorroT": "UTC",
        "--model 'two words'": "model",
        "--dry-run": "--from",
    }.items():
        assert problem in raptchat(f"group provision biology {flags}", exit_code=2).err, flags
    assert "which group gets a key is not said" in raptchat("group provision", exit_code=2).err
    assert json.loads(raptchat("group --json").out) == []


def test_a_time_of_the_day_is_taken_as_it_is(account: Run) -> None:
    account("group provision biology --expires 2999-06-30T12:00:00Z")

    assert only(at_gateway()).expires_at == "2999-06-30T12:00:00Z"


def test_a_refusal_makes_no_group_and_leaves_no_work(flaky: FaultyGateway, raptchat: Run, home: Path) -> None:
    flaky.failing = {"POST": 403}

    raptchat("group provision art", exit_code=77)

    assert [name for (name,) in rows(home, "SELECT name FROM groups")] == ["biology"]
    assert rows(home, "SELECT * FROM key_works") == []


@pytest.mark.parametrize("status", [0, 500])
def test_a_key_whose_making_was_not_answered_is_looked_for_and_deleted(
    flaky: FaultyGateway, raptchat: Run, home: Path, status: int
) -> None:
    flaky.failing, flaky.late = {"POST": status}, True

    raptchat("group provision art", exit_code=69)

    assert len(rows(home, "SELECT * FROM key_works")) == 1
    flaky.failing = {}
    assert len(at_gateway()) == 2
    said = raptchat("group provision art")
    assert "its key `raptchat art " in said.err
    assert "which nobody has, is now deleted at the gateway" in said.err
    assert len(at_gateway()) == 2
    assert {one["state"] for one in keys_shown(raptchat)} == {"in use"}


@pytest.mark.parametrize("key", [DEMO_KEY, DEMO_MANAGEMENT_KEY])
def test_a_key_that_is_here_already_is_not_taken_for_a_new_one_and_not_deleted(
    account: Run, gateway: DemoGateway, home: Path, key: str
) -> None:
    account("group add-key art --stdin", stdin=DEMO_KEY)
    gateway.answer(in_json({"key": key, "data": {}}, 201))

    assert "here already" in account("group provision biology", exit_code=69).err

    assert gateway.requests[-1].method == "POST"
    assert rows(home, "SELECT name FROM groups") == [("art",)]
    assert rows(home, "SELECT * FROM key_works") == []


@pytest.mark.parametrize(
    "answered", [{}, {"limit": 50, "limit_reset": "monthly"}, {"limit": 5, "limit_reset": "daily"}]
)
def test_a_key_with_another_cap_than_was_asked_for_is_deleted_again(
    account: Run, gateway: DemoGateway, home: Path, answered: dict[str, object]
) -> None:
    gateway.answer(in_json({"key": "sk-or-v1-with-another-cap", "data": answered}, 201))

    said = account("group provision biology --limit 5 --reset monthly", exit_code=69)

    assert "another cap than it was asked for" in said.err
    assert "is deleted again" in said.err
    assert [request.method for request in gateway.requests][-2:] == ["PATCH", "DELETE"]
    assert rows(home, "SELECT * FROM groups") == rows(home, "SELECT * FROM key_works") == []
