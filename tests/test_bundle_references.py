"""Bundles with what is no key: rules and budgets, and commands and paths that nobody follows unasked."""

import json
import traceback
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from age_files import Identity
from bundles import ELSEWHERE, KEY, OTHER, add, exported, imported, store_in
from conftest import Run, rows
from processes import AtTerminal

from raptchat import CredentialService, Factory, UsageError
from raptchat.bundle import document
from raptchat.bundle.taking_in import TakingIn
from raptchat.records import Budget, Group, Policy
from raptchat.secret import Secret
from raptchat.store.groups import budget_columns, policy_columns

LOCAL = "http://127.0.0.1:9/v1"
POLICY = Policy(("anthropic/*", "openai/gpt-5"), zdr=True, max_cost=Decimal("0.50"))
BUDGET = Budget(Decimal(20), "week", 75)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Factory]:
    with store_in(tmp_path / "here") as factory:
        yield factory


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Factory]:
    """A store with something of everything."""
    with store_in(tmp_path / "there") as factory:
        ruled = add(factory, "ruled", KEY)
        with factory.store.write():
            rules = {**policy_columns(POLICY), **budget_columns(BUDGET)}
            factory.store.groups.set(ruled.id, suspended_at="2026-11-23T09:30:00.000000Z", **rules)
        service = CredentialService(factory)
        service.create(
            add(factory, "team").id, "op read op://acme/openrouter/key", kind="command", resolved=Secret(OTHER)
        )
        service.create(add(factory, "server").id, "/run/secrets/openrouter", kind="file", base_url=ELSEWHERE)
        service.create(add(factory, "local").id, "", kind="none", provider="openai-compatible", base_url=LOCAL)
        yield factory


def taken_in(factory: Factory, wanted: dict[str, Any], **choices: Any) -> TakingIn:
    bundle = document.read(json.dumps(wanted).encode())
    by_id = {one.group.id: choices[one.group.name] for one in bundle.groups if one.group.name in choices}
    return TakingIn(factory, bundle, by_id, factory.vault.data_key(), allow_references=True)


def without_time(whole: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in whole.items() if name != "createdAt"}


def group_named(factory: Factory, name: str) -> Group:
    found = factory.store.groups.named(name)
    assert found is not None
    return found


def test_all_of_it_comes_back_as_it_was(here: Factory, there: Factory) -> None:
    wanted = exported(there)
    taking = taken_in(here, wanted)
    taking.carry_out(taking.plan())

    assert without_time(exported(here)) == without_time(wanted)
    ruled = group_named(here, "ruled")
    assert (ruled.policy, ruled.budget, ruled.suspended_at) == (POLICY, BUDGET, "2026-11-23T09:30:00.000000Z")
    hints = {one.key_hint: one.kind for one in here.store.credentials.all()}
    assert hints == {
        "sk-or-v1...cdef": "key",
        "command:op": "command",
        "file:openrouter": "file",
        "none": "none",
    }
    # What a reference gives stays where it is.
    assert OTHER not in json.dumps(wanted)
    # A second time there is nothing to do.
    everything = dict.fromkeys(("ruled", "team", "server", "local"), "replace")
    again = taken_in(here, wanted, **everything)
    plans = again.plan()
    assert {key.action for plan in plans for key in plan.keys} == {"present"}
    again.carry_out(plans)
    assert len(here.store.credentials.all()) == 4


def test_a_bundle_of_before_has_none_of_it_and_is_read(there: Factory) -> None:
    add(there, "plain", "sk-or-v1-plain-0123456789abcdef")
    [plain] = [one for one in exported(there)["groups"] if one["name"] == "plain"]

    assert not {"policy", "budget", "suspendedAt"} & set(plain)
    assert "kind" not in plain["credentials"][0]


def test_a_group_that_is_replaced_keeps_the_rules_that_the_bundle_has_none_for(
    here: Factory, there: Factory
) -> None:
    wanted = exported(there)
    wanted["groups"] = [one for one in wanted["groups"] if one["name"] == "ruled"]
    mine = add(here, "ruled")
    with here.store.write():
        here.store.groups.set(mine.id, **policy_columns(Policy(no_history=True)))
    for name in ("policy", "budget", "suspendedAt"):
        wanted["groups"][0].pop(name)
    imported(here, wanted, ruled="replace")
    assert group_named(here, "ruled").policy == Policy(no_history=True)

    whole = exported(there)
    imported(here, whole | {"groups": [one for one in whole["groups"] if one["name"] == "ruled"]}, ruled="replace")
    ruled = group_named(here, "ruled")
    assert (ruled.policy, ruled.budget) == (POLICY, BUDGET)


def test_a_reference_comes_in_only_where_that_is_allowed(here: Factory, there: Factory) -> None:
    wanted = exported(there)
    for name in ("team", "server"):
        alone = wanted | {"groups": [one for one in wanted["groups"] if one["name"] == name]}
        with pytest.raises(UsageError, match="the bundle has references"):
            imported(here, alone)
    assert here.store.groups.all() == []
    # What is here already is no news.
    taking = taken_in(here, wanted)
    taking.carry_out(taking.plan())
    imported(here, wanted, ruled="replace", team="replace", server="replace", local="replace")


def place(whole: dict[str, Any], path: str, value: object) -> None:
    """Put *value* at *path*, whose first word is the name of a group; nothing there for `...`."""
    name, *way, last = [int(word) if word.isdigit() else word for word in path.split(".")]
    [found] = [one for one in whole["groups"] if one["name"] == name]
    for word in way:
        found = found[word]
    if value is ...:
        del found[last]
    else:
        found[last] = value


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("ruled.policy", [], "is not an object"),
        ("ruled.policy", None, "is not an object"),
        ("ruled.policy.models", "a b", "cannot be what it is"),
        ("ruled.policy.models", "a,,b", "not in its one spelling"),
        ("ruled.policy.models", "a\x1b[2J", "cannot be what it is"),
        ("ruled.policy.models", ["a"], "is not a text"),
        ("ruled.policy.models", ",".join(f"m{number}" for number in range(200)), "cannot be what it is"),
        ("ruled.policy.zdr", 1, "neither true nor false"),
        ("ruled.policy.maxCost", 1, "is not a text"),
        ("ruled.policy.maxCost", "-1", "is no amount"),
        ("ruled.policy.maxCost", "1.0", "is no amount"),
        ("ruled.policy.maxCost", "01", "is no amount"),
        ("ruled.policy.maxCost", "NaN", "is no amount"),
        ("ruled.policy.maxCost", "1e9", "is no amount"),
        ("ruled.policy.maxCost", "1000001", "is no amount"),
        ("ruled.policy.maxCost", "0.0000000001", "is no amount"),
        ("ruled.policy.maxCost", "\u0661", "is no amount"),
        ("ruled.policy.more", 1, "is not known"),
        ("ruled.policy.zdr", ..., "is not there"),
        ("ruled.budget.amount", None, "is not a text"),
        ("ruled.budget.period", "year", "is none of day, week, month"),
        ("ruled.budget.warnPercent", 0, "is no percentage"),
        ("ruled.budget.warnPercent", 101, "is no percentage"),
        ("ruled.budget.warnPercent", True, "is no whole number"),
        ("ruled.budget.more", 1, "is not known"),
        ("ruled.suspendedAt", "today", "is no time"),
        ("ruled.suspendedAt", None, "is not a text"),
        ("ruled.credentials.0.kind", "key", "is none of command, file, none"),
        ("ruled.credentials.0.kind", "command", "is not there"),
        ("ruled.credentials.0.kind", "none", "is not for this provider"),
        ("ruled.credentials.0.reference", "op", "is not known"),
        ("team.credentials.0.kind", "shell", "is none of command, file, none"),
        ("team.credentials.0.kind", ..., "is not there"),
        ("team.credentials.0.kind", "file", "whole path"),
        ("team.credentials.0.apiKey", KEY, "is not known"),
        ("team.credentials.0.reference", "", "is empty"),
        ("team.credentials.0.reference", " op", "not in its one spelling"),
        ("team.credentials.0.reference", "op \n op", "U+000A"),
        ("team.credentials.0.reference", "op \x1b[2J", "U+001B"),
        ("team.credentials.0.reference", "op '", "quotation mark"),
        ("team.credentials.0.reference", "./evil", "working folder"),
        ("team.credentials.0.reference", "x" * 5000, "longer than"),
        ("server.credentials.0.reference", "../key", "whole path"),
        ("local.credentials.0.baseUrl", None, "is not there"),
    ],
)  # fmt: skip
def test_what_is_not_right_is_refused_with_its_place(there: Factory, path: str, value: object, said: str) -> None:
    whole = exported(there)
    place(whole, path, value)

    with pytest.raises(UsageError) as refused:
        document.read(json.dumps(whole).encode())

    assert said in str(refused.value)
    assert KEY not in "".join(traceback.format_exception(refused.value))


@pytest.fixture
def bundle(there: Factory, tmp_path: Path) -> tuple[Path, Identity]:
    identity, file = Identity(tmp_path / "identity.txt"), tmp_path / "bundle.age"
    file.write_bytes(identity.encrypt(json.dumps(exported(there)).encode()))
    return file, identity


def words(bundle: tuple[Path, Identity], *more: str) -> list[str]:
    return ["vault", "import", str(bundle[0]), "--identity", str(bundle[1].file), *more]


TEAM = "  group `team` runs op read op://acme/openrouter/key and sends the key to https://openrouter.ai:443"
SERVER = "  group `server` reads /run/secrets/openrouter and sends the key to https://gateway.example:443"


def test_without_a_person_references_are_refused_and_no_vault_is_made(
    raptchat: Run, home: Path, bundle: tuple[Path, Identity], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAPTCHAT_MASTER_KEY_FILE", str(home.parent / "master.key"))
    refused = raptchat(words(bundle), exit_code=2)
    assert "commands that are run, or files that are read" in refused.err
    assert "--allow-references" in refused.err
    assert not (home.parent / "master.key").exists()

    dry = raptchat(words(bundle, "--dry-run"))
    assert {TEAM, SERVER} <= set(dry.err.splitlines())
    groups = json.loads(raptchat(words(bundle, "--dry-run", "--json")).out)["groups"]
    found = {one["name"]: one["credentials"][0] for one in groups}
    assert (found["team"]["kind"], found["team"]["reference"]) == ("command", "op read op://acme/openrouter/key")
    assert found["ruled"]["reference"] is None

    raptchat(words(bundle, "--allow-references"))
    assert sorted(rows(home, "SELECT kind FROM ai_credentials WHERE kind IS NOT NULL")) == [
        *(("command",), ("file",), ("none",)),
    ]


@pytest.mark.process
@pytest.mark.parametrize("answer", ["n", "y"])
def test_a_person_reads_what_would_be_run_and_agrees(
    raptchat: Run, home: Path, bundle: tuple[Path, Identity], answer: str
) -> None:
    raptchat(["vault", "init", "--file", str(home.parent / "master.key")])
    with AtTerminal(*words(bundle), columns=200) as terminal:
        terminal.until(SERVER.strip())
        terminal.until(TEAM.strip())
        terminal.until("taking in what is run and read on this machine? [y/N] ")
        terminal.keys(f"{answer}\r")
        terminal.ends(0 if answer == "y" else 1)

    assert len(rows(home, "SELECT id FROM ai_credentials")) == (4 if answer == "y" else 0)


def test_white_space_hides_no_word_of_a_command(raptchat: Run, tmp_path: Path) -> None:
    with store_in(tmp_path / "there") as factory:
        service = CredentialService(factory)
        command = f"op read x{' ' * 3000}'; rm -rf ~'"
        service.create(add(factory, "team").id, command, kind="command")
        whole = exported(factory)
    identity, file = Identity(tmp_path / "identity.txt"), tmp_path / "bundle.age"
    file.write_bytes(identity.encrypt(json.dumps(whole).encode()))

    said = raptchat(words((file, identity), "--dry-run")).err
    assert "group `team` runs op read x '; rm -rf ~' and sends the key to" in said
