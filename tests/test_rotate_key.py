"""`raptchat group rotate-key`, and work at the gateway that was not finished."""

import json
import threading
from pathlib import Path

import pytest
from account import FaultyGateway, actions, at_gateway, keys_shown, only, pays
from conftest import Run, rows
from vaults import change

from raptchat import CredentialService, Factory, StoreBusyError
from raptchat.config import Settings
from raptchat.credentials.management_key import ManagementKeys
from raptchat.demo import DEMO_KEY, DEMO_MANAGEMENT_KEY, Answer, DemoGateway
from raptchat.demo.wire import in_json
from raptchat.errors import UnconfirmedError
from raptchat.key_works import at_the_gateway, new_group
from raptchat.providers.key_info import KeyCaps
from raptchat.providers.management import hash_of
from raptchat.records import KeyWork
from raptchat.secret import Secret
from raptchat.vault.lock import key_lock


def test_the_new_key_has_the_same_caps_and_the_old_one_is_gone(provisioned: Run, home: Path) -> None:
    old, before = only(at_gateway()), pays(provisioned)

    said = provisioned("group rotate-key biology")

    new = only(at_gateway())
    assert new.hash != old.hash
    assert (new.limit, new.limit_reset, new.expires_at) == (old.limit, old.limit_reset, old.expires_at)
    assert pays(provisioned) != before
    assert f"the old one, {before}, is deleted at the gateway" in said.err
    assert "rotate-key" in actions(provisioned)
    assert rows(home, "SELECT * FROM key_works") == []
    assert [one["state"] for one in keys_shown(provisioned)] == ["in use"]


def test_in_json_it_is_the_new_credential(provisioned: Run) -> None:
    made = json.loads(provisioned("group rotate-key biology --json").out)

    assert made["isActive"] is True
    assert made["limit"] == "5"


def test_a_date_that_is_past_cannot_be_kept(provisioned: Run, gateway: DemoGateway) -> None:
    key = next(iter(gateway._server.account._keys.made()))
    key.expires_at = "2020-01-01T00:00:00Z"

    assert (
        "expired at 2020-01-01T00:00:00Z: the new one does not expire"
        in provisioned("group rotate-key biology").err
    )
    assert only(at_gateway()).expires_at is None


@pytest.mark.parametrize(
    ("answer", "exit_code"),
    [
        (in_json({"data": {"disabled": True}}), 69),
        (in_json({"data": {"is_management_key": True}}), 69),
        (in_json({"error": {"message": "unknown", "code": 401}}, 401), 77),
    ],
)
def test_a_new_key_that_does_not_work_is_deleted_and_the_old_one_stays(
    provisioned: Run, gateway: DemoGateway, home: Path, answer: Answer, exit_code: int
) -> None:
    before, old = pays(provisioned), only(at_gateway())
    entry = in_json({"data": {"hash": old.hash, "limit": 5}})
    made = in_json({"data": {"limit": 5}, "key": "sk-or-v1-made-but-of-no-use"}, 201)
    gateway.answer(entry, entry, made, answer)

    said = provisioned("group rotate-key biology", exit_code=exit_code)

    assert "is deleted again; its keys here are as they were" in said.err
    assert rows(home, "SELECT * FROM key_works") == []
    assert pays(provisioned) == before
    assert gateway.requests[-2].method in {"DELETE", "POST"}


@pytest.mark.parametrize(
    "caps",
    [{}, {"limit": -5}, {"limit": "much"}, {"limit": 5, "limit_reset": 7}, {"limit": 5, "expires_at": "soon"}],
)
def test_a_cap_that_cannot_be_read_does_not_become_none(
    provisioned: Run, gateway: DemoGateway, home: Path, caps: dict[str, object]
) -> None:
    before, entry = pays(provisioned), in_json({"data": caps})
    gateway.answer(entry, entry)

    assert "caps cannot be read" in provisioned("group rotate-key biology", exit_code=69).err

    assert pays(provisioned) == before
    assert rows(home, "SELECT * FROM key_works") == []


def test_a_gateway_that_answers_with_the_old_key_does_not_end_it(
    account: Run, gateway: DemoGateway, home: Path
) -> None:
    account("group add-key biology --stdin", stdin=DEMO_KEY)
    entry = in_json({"data": {"limit": None}})
    gateway.answer(entry, entry, in_json({"data": {}, "key": DEMO_KEY}, 201))

    assert (
        "a key that is here already instead of a new one" in account("group rotate-key biology", exit_code=69).err
    )
    assert {request.method for request in gateway.requests} <= {"GET", "POST"}
    assert rows(home, "SELECT * FROM key_works") == []


@pytest.mark.parametrize(("method", "status", "exit_code"), [("PATCH", 500, 69), ("DELETE", 402, 5)])
def test_an_old_key_that_is_not_ended_is_told_and_ended_by_the_next_command(
    flaky: FaultyGateway, raptchat: Run, home: Path, method: str, status: int, exit_code: int
) -> None:
    flaky.failing = {method: status}

    said = raptchat("group rotate-key biology", exit_code=exit_code)

    assert "pays with its new key" in said.err
    assert "may still be good at the gateway" in said.err
    assert "hint: raptchat account keys" in said.err
    flaky.failing = {}
    assert len(at_gateway()) == 2
    assert "its old key is now deleted at the gateway" in raptchat("account keys").err
    assert len(at_gateway()) == 1
    assert rows(home, "SELECT * FROM key_works") == []
    pays(raptchat)


def test_what_the_gateway_goes_on_refusing_keeps_no_other_work_waiting(
    flaky: FaultyGateway, raptchat: Run, home: Path
) -> None:
    flaky.failing = {"DELETE": 500}
    raptchat("group rotate-key biology", exit_code=69)

    said = raptchat("group provision art")

    assert "left undone is still to be done: " in said.err
    assert "group `art` now pays" in said.err
    assert len(rows(home, "SELECT * FROM key_works")) == 1
    flaky.failing = {"PATCH": 0}  # no answer is no refusal: nothing else would come through
    raptchat("group provision music", exit_code=69)


def test_a_management_key_that_is_no_good_any_more_leaves_what_was_begun_to_be_told(
    flaky: FaultyGateway, raptchat: Run
) -> None:
    flaky.failing = {"DELETE": 500}
    raptchat("group rotate-key biology", exit_code=69)
    flaky.failing = {"PATCH": 401}

    said = raptchat("account login --stdin", stdin=DEMO_MANAGEMENT_KEY + "2")

    assert "with the management key of before is not finished: the management key does not work" in said.err


def test_a_new_key_that_cannot_be_taken_back_is_told(flaky: FaultyGateway, raptchat: Run, home: Path) -> None:
    # Of the requests of a rotation with GET, the third is the new key's own.
    flaky.failing, flaky.passing = {"GET": 500, "PATCH": 500}, 2
    before = json.loads(raptchat("group show biology --json").out)["keyHint"]

    said = raptchat("group rotate-key biology", exit_code=69)

    assert "is still at the gateway" in said.err
    flaky.failing = {}
    assert len(at_gateway()) == 2
    raptchat("account keys")
    assert len(at_gateway()) == 1
    assert pays(raptchat) == before
    assert rows(home, "SELECT * FROM key_works") == []


def test_on_a_full_disk_the_new_key_is_deleted_again_and_the_old_one_stays(provisioned: Run, home: Path) -> None:
    before, old = pays(provisioned), only(at_gateway())
    full = "BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
    change(home, f"CREATE TRIGGER full BEFORE INSERT ON ai_credentials {full}")

    assert "is deleted again" in provisioned("group rotate-key biology", exit_code=74).err

    change(home, "DROP TRIGGER full")
    assert only(at_gateway()).hash == old.hash
    assert pays(provisioned) == before
    assert rows(home, "SELECT * FROM key_works") == []


def test_a_key_that_is_perhaps_in_use_is_not_deleted_before_one_has_looked(provisioned: Run) -> None:
    with Factory(Settings.load()) as factory, at_the_gateway(factory, tell=lambda _: None) as works:
        work = works.begin(new_group("art"))
        with pytest.raises(UnconfirmedError), works._made(work, KeyCaps()):
            raise UnconfirmedError("nobody knows whether the commit will last")

    assert len(at_gateway()) == 2
    assert "which nobody has" in provisioned("account keys").err
    assert len(at_gateway()) == 1


def test_an_old_key_that_was_put_in_use_again_is_not_ended(
    flaky: FaultyGateway, raptchat: Run, home: Path
) -> None:
    [(old,)] = rows(home, "SELECT id FROM ai_credentials")
    flaky.failing = {"PATCH": 500}
    raptchat("group rotate-key biology", exit_code=69)
    raptchat(f"credentials activate {old}")
    flaky.failing = {}

    assert "uses it, and it stays" in raptchat("account keys").err

    assert len(at_gateway()) == 2
    pays(raptchat)
    assert rows(home, "SELECT * FROM key_works") == []


def test_a_key_of_another_account_is_refused(account: Run, home: Path) -> None:
    account("group add-key biology --stdin", stdin=DEMO_KEY)

    said = account("group rotate-key biology", exit_code=2)

    assert "pays with one of another account" in said.err
    assert at_gateway() == {}
    assert rows(home, "SELECT * FROM key_works") == []


def test_a_key_of_another_gateway_is_refused(account: Run) -> None:
    account("group add-key biology --base-url https://elsewhere.example/v1 --stdin", stdin=DEMO_KEY)

    said = account("group rotate-key biology", exit_code=2)

    assert "is for https://elsewhere.example:443" in said.err


def test_a_key_that_is_kept_elsewhere_is_refused(account: Run, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.touch(mode=0o600)
    file.write_text(DEMO_KEY)
    account(["group", "add-key", "biology", "--key-file", str(file), "--reference"])

    assert "is kept elsewhere" in account("group rotate-key biology", exit_code=2).err


def test_a_key_that_serves_another_group_too_is_refused(account: Run, gateway: DemoGateway) -> None:
    with Factory(Settings.load()) as factory, at_the_gateway(factory, tell=lambda _: None) as works:
        key, _ = works.gateway.create_key("by hand", limit=None, limit_reset=None, expires_at=None)
    account("group add-key biology --stdin", stdin=key.reveal())
    account("group add-key art --allow-shared --stdin", stdin=key.reveal())

    said = account("group rotate-key biology", exit_code=6)

    assert "serves group `art` too" in said.err
    assert len(at_gateway()) == 1
    said = account("group remove biology --revoke --yes")
    assert "is not deleted at the gateway: it serves group `art` too" in said.err
    pays(account, "art")


def test_of_rotations_at_once_each_comes_after_the_other(provisioned: Run, home: Path) -> None:
    failed: list[Exception] = []

    def rotate() -> None:
        try:
            with Factory(Settings.load()) as factory, at_the_gateway(factory, tell=lambda _: None) as works:
                group = factory.store.groups.named("biology")
                assert group
                works.rotate(group)
        except Exception as error:  # noqa: BLE001 - of a thread
            failed.append(error)

    threads = [threading.Thread(target=rotate) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failed == []
    assert len(at_gateway()) == 1
    assert rows(home, "SELECT count(*), sum(is_active) FROM ai_credentials") == [(4, 1)]
    pays(provisioned)


def test_whoever_waits_too_long_for_another_is_told(tmp_path: Path) -> None:
    held, wanted = key_lock(tmp_path / "raptchat.db"), key_lock(tmp_path / "raptchat.db", seconds=0)

    with held, pytest.raises(StoreBusyError, match="keys at the gateway"), wanted:
        pass


def test_a_key_that_was_replaced_meanwhile_is_not_replaced_again(provisioned: Run, gateway: DemoGateway) -> None:
    with Factory(Settings.load()) as factory, at_the_gateway(factory, tell=lambda _: None) as works:
        group = factory.store.groups.named("biology")
        assert group
        make = works.gateway.create_key

        def made_meanwhile(*words: object, **caps: object) -> object:
            with Factory(Settings.load()) as other:
                CredentialService(other).create(group.id, DEMO_KEY, replace=True)
            return make(*words, **caps)  # type: ignore[arg-type]

        works.gateway.create_key = made_meanwhile  # type: ignore[method-assign, assignment]
        with pytest.raises(StoreBusyError, match="changed meanwhile"):
            works.rotate(group)

    assert len(at_gateway()) == 1
    pays(provisioned)


def test_a_line_that_somebody_slipped_into_the_store_deletes_no_key_of_their_choice(
    account: Run, home: Path
) -> None:
    with Factory(Settings.load()) as factory, at_the_gateway(factory, tell=lambda _: None) as works:
        works.gateway.create_key("production", limit=None, limit_reset=None, expires_at=None)
        endpoint = ManagementKeys(factory).endpoint
    for number, what in enumerate([("production", None), (None, only(at_gateway()).hash)]):
        work = KeyWork(str(number), "biology", endpoint, *what, "2026-01-01T00:00:00Z", bytes(32))
        change(home, "INSERT INTO key_works VALUES (?, ?, ?, ?, ?, ?, ?)", *work)

    assert account("account keys").err.count("stays unfinished") == 2

    assert only(at_gateway()).name == "production"
    assert rows(home, "SELECT * FROM key_works") == []


def test_a_line_of_before_that_somebody_puts_back_ends_no_key_that_is_in_use(account: Run, home: Path) -> None:
    lines: list[tuple[object, ...]] = []
    with Factory(Settings.load()) as factory, at_the_gateway(factory, tell=lambda _: None) as works:
        make = works.gateway.create_key

        def seen(*words: object, **caps: object) -> object:
            lines.extend(rows(home, "SELECT * FROM key_works"))
            return make(*words, **caps)  # type: ignore[arg-type]

        works.gateway.create_key = seen  # type: ignore[method-assign, assignment]
        works.provision(new_group("biology"), KeyCaps())
    change(home, "INSERT INTO key_works VALUES (?, ?, ?, ?, ?, ?, ?)", *lines[0])

    assert "group `biology` uses it, and it stays" in account("account keys").err

    pays(account)


def test_what_was_begun_is_finished_before_another_management_key_takes_its_place(
    flaky: FaultyGateway, raptchat: Run
) -> None:
    flaky.failing = {"DELETE": 500}
    raptchat("group rotate-key biology", exit_code=69)
    flaky.failing = {}

    said = raptchat("account login --stdin", stdin=DEMO_MANAGEMENT_KEY + "2")

    assert "its old key is now deleted at the gateway" in said.err
    assert len(at_gateway()) == 1


def test_what_another_management_key_cannot_finish_is_told(
    flaky: FaultyGateway, raptchat: Run, home: Path
) -> None:
    flaky.failing = {"DELETE": 500}
    raptchat("group rotate-key biology", exit_code=69)

    said = raptchat("account login --stdin", stdin=DEMO_MANAGEMENT_KEY + "2")

    assert "is still to be done" in said.err
    flaky.failing = {}
    assert "was begun with another management key" in raptchat("account keys").err
    assert {one["state"] for one in keys_shown(raptchat)} == {"in use", "retired here"}
    assert rows(home, "SELECT * FROM key_works") == []


def test_a_management_key_does_not_leave_while_work_is_unfinished_unsaid(account: Run, home: Path) -> None:
    with Factory(Settings.load()) as factory:
        endpoint = ManagementKeys(factory).endpoint
    work = KeyWork("1", "biology", endpoint, None, hash_of(Secret("x")), "2026-01-01T00:00:00Z")
    change(home, "INSERT INTO key_works VALUES (?, ?, ?, ?, ?, ?, ?)", *work)

    assert "raptchat account keys finishes it" in account("account logout --yes").err
