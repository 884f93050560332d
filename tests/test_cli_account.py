"""`raptchat account`: the management key, apart from groups, and the account's keys beside the store's."""

import json
from pathlib import Path

import pytest
from account import at_gateway, client, keys_shown
from conftest import Run, rows
from processes import AtTerminal

from raptchat import Factory
from raptchat.config import Settings
from raptchat.demo import DEMO_KEY, DEMO_MANAGEMENT_KEY, DemoGateway
from raptchat.demo.wire import in_json, refusal
from raptchat.render.formats import when


def test_a_management_key_is_kept_sealed_and_shown_masked(account: Run, home: Path, gateway: DemoGateway) -> None:
    [status] = json.loads(account("account --json").out)
    assert (status["keyHint"], status["works"], status["problem"]) == ("sk-or-v1...alue", True, None)
    assert status["gateway"] in gateway.url
    assert account("account status").out.split("\t")[-1] == "yes\n"
    assert DEMO_MANAGEMENT_KEY.encode() not in (home / "raptchat.db").read_bytes()
    assert rows(home, "SELECT count(*) FROM ai_credentials") == [(0,)]
    assert json.loads(account("events --json").out)[0]["action"] == "account.login"


@pytest.mark.parametrize("source", ["env", "file"])
def test_it_is_read_from_a_variable_or_a_file(
    account: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    file = tmp_path / "key"
    file.touch(mode=0o600)
    file.write_text(DEMO_MANAGEMENT_KEY + "2\n")
    monkeypatch.setenv("MY_KEY", DEMO_MANAGEMENT_KEY + "2")

    said = account(f"account login {'--from-env MY_KEY' if source == 'env' else f'--key-file {file}'} --json")

    assert json.loads(said.out)["keyHint"] == "sk-or-v1...lue2"
    assert len(json.loads(account("account --json").out)) == 1  # one for each gateway


def test_a_groups_key_is_no_management_key(account: Run, home: Path) -> None:
    before = rows(home, "SELECT * FROM management_keys")

    said = account("account login --stdin", stdin=DEMO_KEY, exit_code=2)

    assert "manages no keys" in said.err
    assert "raptchat group add-key" in said.err
    assert rows(home, "SELECT * FROM management_keys") == before


def test_a_key_that_the_gateway_does_not_know_is_not_stored(
    raptchat: Run, gateway: DemoGateway, home: Path
) -> None:
    raptchat("account login --stdin", stdin="sk-or-v1-nobody-knows-this-key", exit_code=77)

    assert raptchat("account --json").out == "[]\n"
    assert "account login" in raptchat("account").err
    assert rows(home, "SELECT * FROM vault_keys") == []
    assert gateway.requests[-1].path.endswith("/key")


def test_offline_nothing_is_stored_and_the_status_says_so(
    account: Run, gateway: DemoGateway, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AI_MAX_RETRIES", "0")
    gateway.stop()

    account("account login --stdin", stdin=DEMO_MANAGEMENT_KEY + "-other", exit_code=69)

    assert rows(home, "SELECT key_hint FROM management_keys") == [("sk-or-v1...alue",)]
    [status] = json.loads(account("account --json").out)
    assert status["works"] is False
    assert "127.0.0.1" in status["problem"]


def test_without_a_management_key_every_command_that_needs_it_says_how_to_get_one(
    biology: Run, home: Path
) -> None:
    for words in ("account keys", "account logout --yes", "group provision art", "group rotate-key biology",
                  "group cap biology 5", "group remove biology --revoke --yes"):  # fmt: skip
        said = biology(words, exit_code=4)
        assert "there is no management key for http://127.0.0.1" in said.err, words
        assert "hint: raptchat account login" in said.err, words
    assert rows(home, "SELECT name FROM groups") == [("biology",)]


def test_logging_out_asks_and_removes_the_key_here(account: Run, home: Path) -> None:
    assert "needs --yes" in account("account logout", exit_code=2).err
    assert rows(home, "SELECT count(*) FROM management_keys") == [(1,)]

    assert "removed the management key" in account("account logout --yes").err

    assert rows(home, "SELECT count(*) FROM management_keys") == [(0,)]
    account("account logout --yes --json", exit_code=4)
    assert json.loads(account("events --json").out)[0]["action"] == "account.logout"


def test_logging_out_in_json_says_what_was_removed(account: Run) -> None:
    assert json.loads(account("account logout --yes --json").out)["works"] is None


def test_the_key_of_another_gateway_is_not_used_and_not_asked_about(
    account: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with DemoGateway() as other:
        monkeypatch.setenv("AI_GATEWAY_URL", other.url)

        account("account keys", exit_code=4)
        [status] = json.loads(account("account --json").out)

        assert status["works"] is None
        assert account("account").out.endswith("\t-\n")
        assert other.requests == []


def test_keys_are_compared_both_ways(account: Run) -> None:
    account("group provision biology --limit 5 --reset monthly --expires 2999-06-30")
    account("group add-key art --stdin", stdin=DEMO_KEY)
    account("group create old")
    with Factory(Settings.load()) as factory, client(factory) as gateway:
        gateway.create_key("a stranger", limit=None, limit_reset=None, expires_at=None)

    found = {(one["group"], one["state"]): one for one in keys_shown(account)}

    assert set(found) == {("biology", "in use"), ("art", "only here"), (None, "only at the gateway")}
    mine = found["biology", "in use"]
    assert (mine["limit"], mine["limitReset"], mine["used"]) == ("5", "monthly", "0")
    assert (mine["expiresAt"], mine["disabled"]) == ("2999-06-30T23:59:59Z", False)
    assert mine["name"].startswith("raptchat biology ")
    assert found[None, "only at the gateway"]["name"] == "a stranger"
    assert found["art", "only here"]["name"] is None
    assert {len(one) for one in found.values()} == {len(mine)}

    [_, row, stranger] = [line.split("\t") for line in account("account keys").out.splitlines()]
    assert row[0] == "biology"
    assert row[3:] == ["in use", "$5.00", "$0.00", "monthly", when("2999-06-30T23:59:59Z"), "yes"]
    assert stranger[3] == "only at the gateway"


def test_a_key_of_another_workspace_is_found_though_it_is_not_listed(account: Run, gateway: DemoGateway) -> None:
    account("group provision biology")
    gateway.answer(in_json({"data": []}))

    assert [one["state"] for one in keys_shown(account)] == ["in use"]


def test_a_management_key_that_expired_is_told_from_the_groups(provisioned: Run, gateway: DemoGateway) -> None:
    gateway.answer(refusal(401, "expired"))

    said = provisioned("group rotate-key biology", exit_code=77)

    assert "the management key does not work" in said.err
    assert "hint: raptchat account login" in said.err


def test_a_key_that_does_not_open_and_one_that_is_kept_elsewhere_are_told_apart(
    account: Run, home: Path, tmp_path: Path
) -> None:
    account("group provision biology")
    account("group provision art")
    [(hidden, nonce)] = rows(home, "SELECT encrypted_key, nonce FROM ai_credentials ORDER BY rowid LIMIT 1")
    file = tmp_path / "key"
    file.touch(mode=0o600)
    file.write_text(DEMO_KEY + "-elsewhere")
    account(["group", "add-key", "chemistry", "--key-file", str(file), "--reference"])
    with Factory(Settings.load()) as factory:
        art = factory.store.groups.named("art")
        assert art
        [row] = factory.store.credentials.of_group(art.id)
        with factory.store.write():
            factory.store.credentials.reseal(row._replace(encrypted_key=hidden, nonce=nonce))

    found = {one["group"]: one for one in keys_shown(account)}

    assert found["art"]["state"] == "does not open"
    assert "does not open" in found["art"]["problem"]
    assert found["chemistry"]["state"] == "only here"
    assert found[None]["state"] == "only at the gateway"
    assert "altered" in account("account keys").out


def test_keys_that_do_not_work_any_more_are_told(account: Run, gateway: DemoGateway) -> None:
    account("group provision biology --expires 2999-06-30")
    account("group provision art")
    account("group suspend art")
    [key, _] = gateway._server.account._keys.made()
    key.expires_at = "2020-01-01T00:00:00Z"

    shown = {line.split("\t")[0]: line.split("\t")[-1] for line in account("account keys").out.splitlines()}

    assert shown == {"biology": "no: expired", "art": "no: disabled"}


def test_an_account_without_keys_is_said_to_have_none(account: Run) -> None:
    assert "neither the account nor the store has a key" in account("account keys").err
    assert at_gateway() == {}


def test_a_gateway_without_key_management_is_named_in_the_error(account: Run, gateway: DemoGateway) -> None:
    gateway.answer(refusal(404, "Not Found"))

    said = account("account keys --json", exit_code=69)

    assert json.loads(said.err)["status"] == 404


@pytest.mark.process
def test_at_a_terminal_the_key_is_typed_unseen_and_the_first_vault_is_made_for_it(
    gateway: DemoGateway, home: Path
) -> None:
    with AtTerminal("account", "login") as terminal:
        terminal.until(f"Management key for http://127.0.0.1:{gateway.url.split(':')[2].partition('/')[0]}")
        terminal.keys(DEMO_MANAGEMENT_KEY + "\r")
        terminal.until("Which? [f/p/N]")
        terminal.keys("f\r")
        terminal.until("is kept in the vault")
        terminal.until("recovery key")
        terminal.keys("n\r")
        terminal.ends(0)

    assert DEMO_MANAGEMENT_KEY not in terminal.said
    assert rows(home, "SELECT count(*) FROM management_keys") == [(1,)]
