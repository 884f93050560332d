"""`raptchat group cap`, `suspend`, `resume` and `remove --revoke`: keys that are there, changed at the gateway."""

import json
from pathlib import Path

from account import FaultyGateway, actions, at_gateway, keys_shown, only, pays
from conftest import Run, rows
from vaults import change

from raptchat.demo import DEMO_KEY, DemoGateway
from raptchat.demo.wire import in_json


def test_a_cap_is_changed_at_the_gateway(provisioned: Run) -> None:
    pays(provisioned)

    said = provisioned("group cap biology 7.50 --reset never")

    assert "at most $7.50, until" in said.err
    assert "used until now" in said.err
    info = only(at_gateway())
    assert (str(info.limit), info.limit_reset) == ("7.5", None)
    assert actions(provisioned)[0] == "cap"

    shown = json.loads(provisioned("group cap biology 0 --json").out)
    assert (shown["limit"], shown["left"]) == ("0", "0")
    shown = json.loads(provisioned("group cap biology 9 --reset weekly --json").out)
    assert (shown["limit"], shown["limitReset"]) == ("9", "weekly")


def test_a_gateway_that_leaves_a_key_as_it_was_is_told(provisioned: Run, gateway: DemoGateway) -> None:
    as_before = in_json({"data": {"limit": 5}})
    gateway.answer(as_before, as_before)
    assert "did not take the cap over" in provisioned("group cap biology 1", exit_code=69).err
    gateway.answer(as_before, as_before)
    assert "its key may still work" in provisioned("group suspend biology", exit_code=69).err


def test_none_takes_it_away(provisioned: Run) -> None:
    assert "without a cap" in provisioned("group cap biology none").err
    assert only(at_gateway()).limit is None


def test_a_cap_that_cannot_be_right_is_refused(raptchat: Run) -> None:
    for words in ("none --reset daily", "5 --reset hourly", "much", "5 6"):
        raptchat(f"group cap biology {words}", exit_code=2)


def test_a_group_without_a_key_has_nothing_to_cap(account: Run) -> None:
    account("group create art")

    assert "raptchat group add-key art" in account("group cap art 5", exit_code=4).err


def test_a_suspended_group_cannot_ask_here_nor_its_key_at_the_gateway(provisioned: Run, home: Path) -> None:
    provisioned("group suspend biology")

    assert only(at_gateway()).disabled
    assert "suspended" in provisioned("chat -g biology hello", exit_code=4).err
    assert json.loads(provisioned("group suspend biology --json").out)["suspendedAt"] is not None
    assert actions(provisioned).count("suspend") == 1

    provisioned("group resume biology")

    assert not only(at_gateway()).disabled
    pays(provisioned)
    assert json.loads(provisioned("group resume biology --json").out)["suspendedAt"] is None
    assert actions(provisioned).count("resume") == 1


def test_without_a_management_key_it_is_here_only(raptchat: Run, provisioned: Run) -> None:
    provisioned("account logout --yes")

    assert "suspended here only: there is no management key" in raptchat("group suspend biology").err
    raptchat("chat -g biology hello", exit_code=4)
    assert "resumed here only" in raptchat("group resume biology").err
    pays(raptchat)


def test_a_group_without_a_key_is_suspended_here(raptchat: Run) -> None:
    raptchat("group create art")

    assert raptchat("group suspend art").err.startswith("group `art` is suspended")


def test_keys_that_are_not_the_accounts_are_told(account: Run) -> None:
    account("group add-key art --stdin", stdin=DEMO_KEY)
    account("group add-key far --base-url https://elsewhere.example/v1 --stdin", stdin=DEMO_KEY + "-far")

    assert "the account of the management key has no key" in account("group suspend art").err
    assert "is not one of the account" in account("group suspend far").err


def test_a_gateway_that_fails_leaves_it_suspended_here(flaky: FaultyGateway, raptchat: Run) -> None:
    flaky.failing = {"PATCH": 500}

    said = raptchat("group suspend biology", exit_code=69)

    assert "is suspended here; its key may still work at the gateway" in said.err
    raptchat("chat -g biology hello", exit_code=4)
    raptchat("group resume biology")  # the gateway's key was never disabled
    flaky.failing = {}
    raptchat("group suspend biology")
    flaky.failing = {"PATCH": 500}
    raptchat("group resume biology", exit_code=69)
    raptchat("chat -g biology hello", exit_code=4)


def test_the_groups_keys_are_deleted_at_the_gateway_too(provisioned: Run, home: Path) -> None:
    provisioned("group provision art")
    provisioned("group remove biology --revoke", exit_code=2)

    said = provisioned("group remove biology --revoke --yes")

    assert "removed group `biology`" in said.err
    assert (only(at_gateway()).name or "").startswith("raptchat art")
    assert rows(home, "SELECT name FROM groups") == [("art",)]
    assert rows(home, "SELECT * FROM key_works") == []
    assert "revoke" in actions(provisioned)


def test_without_the_flag_they_stay_there_as_the_question_says(provisioned: Run) -> None:
    assert "--revoke deletes its keys at the gateway too" in provisioned("group remove biology", exit_code=2).err
    provisioned("group remove biology --yes")

    assert [one["state"] for one in keys_shown(provisioned)] == ["only at the gateway"]


def test_keys_that_cannot_be_deleted_there_are_told(account: Run, home: Path, tmp_path: Path) -> None:
    account("group add-key art --stdin", stdin=DEMO_KEY + "-altered")
    account("group add-key art --replace --stdin", stdin=DEMO_KEY + "-another")
    account("group add-key art --replace --base-url https://elsewhere.example/v1 --stdin", stdin=DEMO_KEY)
    change(home, "UPDATE ai_credentials SET nonce = zeroblob(12) WHERE key_hint LIKE '%ered'")
    file = tmp_path / "key"
    file.touch(mode=0o600)
    file.write_text(DEMO_KEY + "-elsewhere")
    account(["group", "add-key", "art", "--replace", "--key-file", str(file), "--reference"])

    said = account("group remove art --revoke --yes")

    told = [line for line in said.err.splitlines() if "is not deleted at the gateway" in line]
    assert len(told) == 4
    for why in ("altered", "the account does not have it", "not one of http", "kept elsewhere"):
        assert sum(why in line for line in told) == 1, (why, told)
    assert rows(home, "SELECT * FROM groups") == []


def test_where_the_gateway_asks_for_no_key_there_is_none_to_change_or_to_end(account: Run, home: Path) -> None:
    account("group add-key art --provider openai-compatible --no-key --base-url http://127.0.0.1:9/v1")

    assert "pays with no key" in account("group cap art 5", exit_code=2).err
    assert "here only" not in account("group suspend art").err
    assert "is not deleted" not in account("group remove art --revoke --yes").err
    assert rows(home, "SELECT * FROM groups") == []


def test_a_gateway_that_fails_is_told_and_the_next_command_goes_on(
    flaky: FaultyGateway, raptchat: Run, home: Path
) -> None:
    flaky.failing = {"DELETE": 503}

    said = raptchat("group remove biology --revoke --yes", exit_code=69)

    assert "group `biology` is removed; its keys may not all be deleted at the gateway" in said.err
    assert rows(home, "SELECT * FROM groups") == []
    flaky.failing = {}
    assert only(at_gateway()).disabled
    raptchat("account keys")
    assert at_gateway() == {}
    assert rows(home, "SELECT * FROM key_works") == []
