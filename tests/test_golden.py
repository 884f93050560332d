"""Stores that earlier code made: each opens with the code that is here, with everything that is in it."""

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from raptchat import CredentialService, Factory
from raptchat.config import Settings
from raptchat.credentials.management_key import ManagementKeys
from raptchat.store import Store
from raptchat.store.groups import budget_columns, policy_columns
from raptchat.store.migrations import STEPS
from raptchat.store.search import Query

GOLDEN = Path(__file__).parent / "golden"
VERSIONS = sorted(int(file.stem.removeprefix("v")) for file in GOLDEN.glob("v*.db"))
SECRETS = {
    "master.key": "RAPTCHAT_MASTER_KEY_FILE",
    "passphrase": "RAPTCHAT_PASSPHRASE_FILE",
    "recovery": "RAPTCHAT_MASTER_KEY_FILE",
}


@dataclass(frozen=True, slots=True)
class Golden:
    """A copy of a golden store in a home, what was recorded of it, and which secrets open it."""

    file: Path
    record: dict[str, Any]
    secrets: list[str]
    open: Callable[[str], Factory]


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def golden(home: Path, version: int) -> Golden:
    home.mkdir(mode=0o700)
    file = home / "raptchat.db"
    shutil.copyfile(GOLDEN / f"v{version}.db", file)
    file.chmod(0o600)
    record = json.loads((GOLDEN / f"v{version}.json").read_text(encoding="utf-8"))
    assert record["schema"] == version
    secrets = {name: (GOLDEN / name).read_text(encoding="utf-8") for name in ("master.key", "passphrase")}
    secrets |= {"recovery": record["recovery"]} if "recovery" in record else {}

    def open_with(secret: str) -> Factory:
        # Git keeps no modes: a key file that others can read is refused.
        (home / secret).write_text(secrets[secret], encoding="utf-8")
        (home / secret).chmod(0o600)
        return Factory(Settings.load({**os.environ, SECRETS[secret]: str(home / secret)}))

    return Golden(file, record, [*secrets], open_with)


def test_every_key_opens_for_its_group_with_every_slot(golden: Golden) -> None:
    wanted = [(one["group"], one["label"], one["key"], one["is_active"]) for one in golden.record["keys"]]
    # The first one upgrades the store, and some renew their slot.
    for secret in [*golden.secrets, *golden.secrets]:
        with golden.open(secret) as factory:
            service = CredentialService(factory)
            found = [
                (group.name, one.label, service.open_key(one).reveal(), one.is_active)
                for group in factory.store.groups.all()
                for one in service.list_for_group(group.id)
            ]

        assert sorted(found, key=str) == sorted(wanted, key=str)


def test_a_key_goes_where_it_was_sealed_for(golden: Golden) -> None:
    with golden.open("master.key") as factory:
        for one in golden.record["keys"]:
            group = factory.store.groups.named(one["group"])
            assert group is not None
            active = CredentialService(factory).require_active(group)
            default = factory.settings.gateway_url
            assert not one["is_active"] or CredentialService(factory).url_of(active) == (
                one["base_url"] or default
            )


def test_every_conversation_reads_as_it_was_written(golden: Golden) -> None:
    with closing(Store.open(golden.file)) as store:
        sessions = [found.session for found in store.sessions.listed()]
        messages = [
            (session.id, one.seq, one.role, one.content, one.state, one.model, one.reasoning)
            for session in sessions
            for one in store.sessions.messages(session.id)
        ]
        files = [
            {
                "session_id": session.id,
                "seq": seq,
                "name": one.name,
                "media_type": one.media_type,
                "hash": one.hash,
                "content": (one.content or b"").decode(),
            }
            for session in sessions
            for seq, some in store.attachments.of_session(session.id, with_content=True).items()
            for one in some
        ]

    recorded = golden.record
    assert {(one.id, one.title) for one in sessions} == {(one["id"], one["title"]) for one in recorded["sessions"]}
    assert sorted(messages) == [tuple(one.values()) for one in recorded["messages"]]
    assert files == recorded["attachments"]


def test_words_of_old_conversations_are_found(golden: Golden) -> None:
    with closing(Store.open(golden.file)) as store:
        found = store.sessions.search(Query.read("groß zelle")).messages

    assert [(one.title, one.seq) for one in found][:1] == [("Größe der Zellen", 2)]


def test_groups_folders_sums_and_events_are_those_that_were_recorded(golden: Golden) -> None:
    record = golden.record
    with closing(Store.open(golden.file)) as store:
        groups = store.groups.all()
        for one in record["groups"]:
            group = store.groups.get(one["id"])
            assert group is not None
            assert {name: getattr(group, name) for name in one} == one
        for one in record["bindings"]:
            folder, bound = store.groups.bound_to(Path(one["folder"], "below")) or (None, None)
            assert (str(folder), bound and bound.name) == (one["folder"], one["group"])
        used = [
            {
                "group": row.keys["group"],
                "requests": row.requests,
                "input_tokens": row.input_tokens,
                "total_tokens": row.total_tokens,
                "cost_nano_usd": row.cost and int(row.cost * Decimal(10**9)),
            }
            for row in store.ledger.report(["group"])
        ]
        events = [(one.action, one.group_name, one.os_user, one.host) for one in store.ledger.events()][::-1]

    assert len(groups) == len(record["groups"])
    assert used == record["usage"]
    assert events == [tuple(one.values()) for one in record["events"]]


def test_rules_and_budgets_are_those_that_were_recorded(golden: Golden) -> None:
    with closing(Store.open(golden.file)) as store:
        found = [
            {
                "name": group.name,
                **policy_columns(group.policy),
                **budget_columns(group.budget),
                "suspended_at": group.suspended_at,
            }
            for group in store.groups.all()
            if group.budget is not None
        ]

    assert found == golden.record.get("rules", [])


def test_the_accounts_key_opens(golden: Golden) -> None:
    with golden.open("master.key") as factory:
        keys = ManagementKeys(factory)
        found = {one.endpoint: keys.open(one.endpoint).reveal() for one in keys.status()}

    assert found == golden.record.get("management_keys", {})


def test_what_is_new_can_be_added_and_stays(golden: Golden) -> None:
    with golden.open("master.key") as factory:
        [group, *_] = factory.store.groups.all()
        CredentialService(factory).create(group.id, "sk-or-v1-of-today-000000000000", replace=True)
        CredentialService(factory).rename_group(group, "Größeres")

    with golden.open("passphrase") as factory:
        renamed = factory.store.groups.named("größeres")
        assert renamed is not None
        service = CredentialService(factory)
        assert service.open_key(service.require_active(renamed)).reveal() == "sk-or-v1-of-today-000000000000"


def test_the_upgrade_is_whole_and_leaves_a_copy_of_what_was(golden: Golden, version: int) -> None:
    before = golden.file.read_bytes()
    with closing(Store.open(golden.file)) as store:
        assert store.checks.problems() == []

    with closing(sqlite3.connect(golden.file)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (len(STEPS),)
    copies = sorted(file.name for file in golden.file.parent.glob("raptchat.db?*"))
    if version == len(STEPS):
        assert copies == []
        assert golden.file.read_bytes() == before
    else:
        [copy] = copies
        with closing(sqlite3.connect(golden.file.with_name(copy))) as db:
            assert db.execute("PRAGMA user_version").fetchone() == (version,)


def test_the_newest_schema_has_its_golden_store() -> None:
    assert VERSIONS[-1] == len(STEPS), "make it: python tests/golden/make.py"


def test_the_golden_store_of_the_newest_version_has_the_schema_that_its_steps_make(home: Path) -> None:
    Store.open(home / "raptchat.db").close()
    schemas = []
    for file in (home / "raptchat.db", GOLDEN / f"v{len(STEPS)}.db"):
        with closing(sqlite3.connect(f"file:{file}?immutable=1", uri=True)) as db:
            schemas.append(db.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema").fetchall())

    assert sorted(schemas[0], key=str) == sorted(schemas[1], key=str)
