"""The keys of groups: made, replaced, put out of use, deleted, and never shown."""

# ruff: noqa: S608 - columns are constants of this file

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from conftest import rows

from raptchat import (
    AiNotConfiguredError,
    CredentialNotFoundError,
    CredentialService,
    DuplicateCredentialError,
    Factory,
    GroupNotFoundError,
    SharedKeyError,
    StoreError,
    UsageError,
)
from raptchat.caller import Caller
from raptchat.config import Settings
from raptchat.errors import DecryptionFailedError, DuplicateGroupError, RaptchatError, StoreBusyError
from raptchat.records import Credential, Group, KeyKind
from raptchat.secret import Secret

KEY = "sk-or-v1-0123456789abcdef0123456789abcdef"
OTHER = "sk-or-v1-fedcba9876543210fedcba9876543210"


@pytest.fixture
def service(factory: Factory) -> CredentialService:
    return CredentialService(factory)


@pytest.fixture
def group(factory: Factory) -> Group:
    return add_group(factory, "biology")


def add_group(factory: Factory, name: str) -> Group:
    with factory.store.write():
        return factory.store.groups.add(name)


def reopened(credential: Credential) -> str:
    """The key, as another process opens it."""
    with Factory(Settings.load()) as factory:
        service = CredentialService(factory)
        [found] = [one for one in service.list_for_group(credential.group_id) if one.id == credential.id]
        return service.open_key(found).reveal()


def change(home: Path, sql: str, *parameters: object) -> None:
    with closing(sqlite3.connect(home / "raptchat.db")) as db, db:
        db.execute(sql, parameters)


def test_a_key_is_sealed_and_comes_back(service: CredentialService, group: Group, home: Path) -> None:
    made = service.create(group.id, f"  {KEY}\n", label="spring")

    assert reopened(made) == KEY
    assert service.get_active_for_group(group.id) == made
    assert (made.provider, made.label, made.base_url, made.endpoint) == (
        "openrouter",
        "spring",
        None,
        "https://openrouter.ai:443",
    )
    assert made.is_active
    assert made.last_used_at is None
    data = b"".join(path.read_bytes() for path in home.iterdir())
    assert KEY.encode() not in data
    assert KEY[9:25].encode() not in data


def test_the_same_key_is_sealed_differently_each_time(service: CredentialService, group: Group) -> None:
    made = [service.create(group.id, KEY, replace=True) for _ in range(5)]

    assert len({one.encrypted_key for one in made}) == len({one.nonce for one in made}) == 5
    assert len({one.key_fingerprint for one in made}) == 1


@pytest.mark.parametrize(
    ("key", "hint"),
    [(KEY, "sk-or-v1...cdef"), ("k" * 21, "kkkkkkkk...kkkk"), ("k" * 20, "***"), ("k", "***")],
)
def test_of_a_key_only_its_ends_can_be_read(service: CredentialService, group: Group, key: str, hint: str) -> None:
    made = service.create(group.id, Secret(key))

    assert made.key_hint == hint
    assert service.list_for_group(group.id) == [made]
    assert key not in repr(made) or key == "k"
    assert made.encrypted_key.hex() not in repr(made)


def test_a_second_active_key_is_refused_and_the_first_one_named(service: CredentialService, group: Group) -> None:
    service.create(group.id, KEY)

    with pytest.raises(DuplicateCredentialError) as refused:
        service.create(group.id, OTHER)

    assert str(refused.value) == "group `biology` has an active key for `openrouter` already: `sk-or-v1...cdef`"
    assert refused.value.hint == "raptchat group add-key biology --replace"
    assert (refused.value.status_code, refused.value.exit_code) == (409, 6)
    assert len(service.list_for_group(group.id)) == 1


def test_replacing_puts_the_old_key_out_of_use(service: CredentialService, group: Group, home: Path) -> None:
    old = service.create(group.id, KEY)
    new = service.create(group.id, OTHER, replace=True)

    assert [(one.id, one.is_active) for one in service.list_for_group(group.id)] == [
        (old.id, False),
        (new.id, True),
    ]
    assert (reopened(old), reopened(new)) == (KEY, OTHER)
    assert rows(home, "SELECT action, credential_id FROM events ORDER BY id") == [
        ("vault.init", None),
        ("credential.create", old.id),
        ("credential.deactivate", old.id),
        ("credential.create", new.id),
    ]


def test_a_replacement_that_fails_in_the_middle_leaves_the_old_key_in_use(
    service: CredentialService, group: Group, home: Path
) -> None:
    old = service.create(group.id, KEY)
    change(home, "CREATE TRIGGER broken BEFORE INSERT ON ai_credentials BEGIN SELECT RAISE(ABORT, 'no more'); END")

    with pytest.raises(StoreError, match="no more"):
        service.create(group.id, OTHER, replace=True)

    assert service.get_active_for_group(group.id) == old
    assert rows(home, "SELECT action FROM events") == [("vault.init",), ("credential.create",)]


def test_a_key_of_another_group_is_refused_unless_it_is_to_be_shared(
    service: CredentialService, group: Group, factory: Factory
) -> None:
    history = add_group(factory, "history")
    service.create(group.id, KEY)

    with pytest.raises(SharedKeyError) as refused:
        service.create(history.id, KEY)
    assert str(refused.value) == "this very key serves group `biology` already (`sk-or-v1...cdef`)"
    assert refused.value.exit_code == 6
    assert service.list_for_group(history.id) == []

    shared = service.create(history.id, KEY, allow_shared=True)
    assert reopened(shared) == KEY


def test_a_refused_replacement_leaves_the_old_key_in_use(
    service: CredentialService, group: Group, factory: Factory
) -> None:
    history = add_group(factory, "history")
    service.create(group.id, KEY)
    old = service.create(history.id, OTHER)

    with pytest.raises(SharedKeyError):
        service.create(history.id, KEY, replace=True)

    assert service.get_active_for_group(history.id) == old


BAD_KEYS = [
    "",
    "  \n",
    "sk-or v1-sentinel",
    "sk-or\nv1-sentinel",
    "sk-or-v1-sentin\u00e9l",
    "sk-or-v1-sentinel\x00x",
    "sk-or-v1-sentinel\x7f",
    "sentinel" * 65,
    "sk-or-v1-sentinel\udcff",
]


@pytest.mark.parametrize("key", BAD_KEYS)
def test_what_cannot_be_a_key_is_refused_and_not_repeated(
    service: CredentialService, group: Group, key: str
) -> None:
    for attempt in (lambda: service.create(group.id, key), lambda: service.validate_key(key)):
        with pytest.raises(UsageError) as refused:
            attempt()
        assert "sentin" not in str(refused.value) + refused.value.hint + repr(refused.value.fields)
        assert refused.value.__cause__ is None
    assert service.list_for_group(group.id) == []


def test_an_unknown_provider_lists_the_known_ones(service: CredentialService, group: Group) -> None:
    attempts: list[Callable[[], object]] = [
        lambda: service.create(group.id, KEY, provider="opnrouter\x1b[2J"),
        lambda: service.get_active_for_group(group.id, "opnrouter\x1b[2J"),
    ]
    for attempt in attempts:
        with pytest.raises(UsageError, match="there is no provider `opnrouter") as refused:
            attempt()
        assert "openrouter" in refused.value.hint
        assert "\x1b" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://gateway.example/",
        "https://me:secret@gateway.example/",
        "https://me:x/secret@gateway.example/",
        "https://me:secret/x@gateway.example/",
        "https://me:secret@x@gateway.example/",
        "nonsense",
    ],
)
def test_a_base_url_that_is_no_gateway_is_refused(service: CredentialService, group: Group, url: str) -> None:
    with pytest.raises(UsageError, match="`--base-url`") as refused:
        service.create(group.id, KEY, base_url=url)
    assert "secret" not in str(refused.value) + refused.value.hint
    assert service.list_for_group(group.id) == []


def test_a_key_is_only_for_the_gateway_it_was_added_for(
    service: CredentialService, group: Group, factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = service.create(group.id, KEY)
    elsewhere = service.create(
        add_group(factory, "history").id, OTHER, base_url="https://gateway.example:8443/v1/"
    )
    assert (elsewhere.base_url, elsewhere.endpoint) == (
        "https://gateway.example:8443/v1",
        "https://gateway.example:8443",
    )
    monkeypatch.setenv("AI_GATEWAY_URL", "https://evil.example/api/v1")

    with pytest.raises(DecryptionFailedError) as refused:
        reopened(made)
    assert "is for https://openrouter.ai:443, and the gateway is now https://evil.example:443" in str(
        refused.value
    )
    assert "raptchat group add-key biology --replace" in refused.value.hint
    assert reopened(elsewhere) == OTHER
    monkeypatch.setenv("AI_GATEWAY_URL", "https://OPENROUTER.ai:443/another/path")
    assert reopened(made) == KEY


def test_putting_in_use_and_out_of_it(service: CredentialService, group: Group, home: Path) -> None:
    first, second = service.create(group.id, KEY), service.create(group.id, OTHER, replace=True)

    assert service.activate(first.id).is_active
    assert [one.is_active for one in service.list_for_group(group.id)] == [True, False]
    assert not service.deactivate(first.id).is_active
    assert service.get_active_for_group(group.id) is None
    assert service.activate(second.id).is_active
    assert service.activate(second.id).is_active
    service.delete(first.id)
    assert [one.id for one in service.list_for_group(group.id)] == [second.id]
    actions = [action for (action,) in rows(home, "SELECT action FROM events ORDER BY id")][4:]
    assert [action.removeprefix("credential.") for action in actions] == [
        *("deactivate", "activate", "deactivate", "activate", "activate", "delete")
    ]


def test_an_event_says_who_and_never_what(factory: Factory, home: Path) -> None:
    with Factory(Settings.load(), caller=Caller("group add-key", "somebody", "here")) as other:
        group = add_group(other, "biology")
        made = CredentialService(other).create(group.id, KEY)

    assert rows(
        home,
        "SELECT action, command, os_user, host, group_id, group_name, credential_id FROM events"
        " WHERE action <> 'vault.init'",
    ) == [("credential.create", "group add-key", "somebody", "here", group.id, "biology", made.id)]
    assert made.created_by == "somebody"


def test_removing_a_group_notes_each_of_its_keys(
    service: CredentialService, group: Group, factory: Factory, home: Path
) -> None:
    history = add_group(factory, "history")
    theirs = service.create(history.id, KEY)
    old, new = service.create(group.id, KEY, allow_shared=True), service.create(group.id, OTHER, replace=True)
    with Factory(Settings.load(), caller=Caller("group remove", "somebody", "here")) as other:
        CredentialService(other).remove_group(group)

    assert rows(
        home,
        "SELECT action, command, os_user, group_id, group_name, credential_id FROM events"
        " WHERE command = 'group remove' ORDER BY id",
    ) == [
        ("credential.delete", "group remove", "somebody", group.id, "biology", old.id),
        ("credential.delete", "group remove", "somebody", group.id, "biology", new.id),
        ("group.remove", "group remove", "somebody", group.id, "biology", None),
    ]
    assert rows(home, "SELECT id FROM ai_credentials") == [(theirs.id,)]
    with pytest.raises(GroupNotFoundError, match=f"no group with the id `{group.id}`"):
        factory.store.groups.require(group.id)


def test_a_removal_that_fails_in_the_middle_leaves_all(
    service: CredentialService, group: Group, home: Path
) -> None:
    made = service.create(group.id, KEY)
    change(home, "CREATE TRIGGER broken BEFORE DELETE ON groups BEGIN SELECT RAISE(ABORT, 'no more'); END")

    with pytest.raises(StoreError, match="no more"):
        service.remove_group(group)

    assert rows(home, "SELECT action FROM events") == [("vault.init",), ("credential.create",)]
    assert reopened(made) == KEY


@pytest.mark.parametrize("shown", ["nobody", "x\x1b[2Jy", "x" * 500])
def test_a_group_that_is_required_and_not_there_is_an_error_that_can_be_shown(
    factory: Factory, shown: str
) -> None:
    with pytest.raises(GroupNotFoundError, match="there is no group with the id `") as missing:
        factory.store.groups.require(shown)

    assert missing.value.hint == "raptchat group list"
    assert str(missing.value).isprintable()
    assert len(str(missing.value)) < 150


def test_the_one_key_in_use_says_which_provider_is_meant(
    service: CredentialService, factory: Factory, home: Path
) -> None:
    with factory.store.write():
        group = factory.store.groups.add("botany", provider="second")
    assert service.provider_of(group) == "second"

    made = service.create(group.id, KEY)
    assert service.provider_of(group) == "openrouter"
    assert service.require_active(group) == service.require_active(group, "openrouter") == made

    # Of keys in use for several providers the group's own setting decides.
    change(
        home,
        "INSERT INTO ai_credentials SELECT 'another', group_id, 'second', encrypted_key, nonce, key_id, key_hint,"
        " key_fingerprint, label, base_url, endpoint, is_active, created_at, updated_at, last_used_at,"
        " created_by, kind FROM ai_credentials",
    )
    assert service.provider_of(group) == "second"
    with factory.store.write():
        factory.store.groups.set(group.id, provider=None)
    assert service.provider_of(factory.store.groups.require(group.id)) == "openrouter"

    service.deactivate(made.id)
    assert service.provider_of(factory.store.groups.require(group.id)) == "second"
    with pytest.raises(UsageError, match="there is no provider `second`"):
        service.require_active(factory.store.groups.require(group.id))


def test_where_a_key_is_sent_is_its_own_place_or_the_gateway(
    service: CredentialService, group: Group, factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = add_group(factory, "history")
    made, elsewhere = (
        service.create(group.id, KEY),
        service.create(history.id, OTHER, base_url="https://gateway.example/v1"),
    )
    assert service.url_of(made) == "https://openrouter.ai/api/v1"
    assert service.url_of(elsewhere) == "https://gateway.example/v1"
    service.check_endpoint(made)
    service.check_endpoint(elsewhere)

    monkeypatch.setenv("AI_GATEWAY_URL", "https://other.example/v1")
    with Factory(Settings.load()) as other:
        there = CredentialService(other)
        assert there.url_of(made) == "https://other.example/v1"
        there.check_endpoint(elsewhere)
        with pytest.raises(
            DecryptionFailedError, match=r"the gateway is now https://other\.example:443"
        ) as refused:
            there.check_endpoint(made)
    assert refused.value.fields["group"] == "biology"


@pytest.mark.parametrize("url", ["https://evil.example/", "nonsense", "http://openrouter.ai/"])
def test_an_endpoint_is_checked_without_the_vault(
    service: CredentialService, group: Group, home: Path, url: str
) -> None:
    service.create(group.id, KEY)
    change(home, "UPDATE ai_credentials SET base_url = ?", url)
    (home / "master.key").unlink()

    with Factory(Settings.load()) as other:
        credential = CredentialService(other).require_active(group)
        with pytest.raises(DecryptionFailedError):
            CredentialService(other).check_endpoint(credential)


def test_what_is_not_there_is_not_found(service: CredentialService, group: Group) -> None:
    for act in (service.activate, service.deactivate, service.delete, service.update_last_used):
        with pytest.raises(CredentialNotFoundError) as missing:
            act("no-such-id")
        assert (missing.value.status_code, missing.value.exit_code) == (404, 3)
    for attempt in (lambda: service.create("no-such-id", KEY), lambda: service.list_for_group("no-such-id")):
        with pytest.raises(GroupNotFoundError):
            attempt()


def test_a_use_is_noted_with_its_time(service: CredentialService, group: Group) -> None:
    made = service.create(group.id, KEY)
    service.update_last_used(made.id)

    [used] = service.list_for_group(group.id)
    assert used.last_used_at is not None
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", used.last_used_at)
    assert used.last_used_at >= made.created_at


def test_a_group_without_a_key_is_told_how_to_add_one(service: CredentialService, factory: Factory) -> None:
    group = add_group(factory, "Mary's class")

    with pytest.raises(AiNotConfiguredError) as error:
        service.require_active(group)

    command = "raptchat group add-key 'Mary'\"'\"'s class'"
    assert str(error.value) == f"AI is not configured for this group. Please add an API key: {command}"
    assert error.value.hint == command
    assert error.value.fields == {"group": "Mary's class", "provider": "openrouter"}


def test_renaming_a_group_seals_all_its_keys_anew(
    service: CredentialService, group: Group, factory: Factory
) -> None:
    history = add_group(factory, "history")
    old, new = service.create(group.id, KEY), service.create(group.id, OTHER, replace=True)
    theirs = service.create(history.id, KEY, allow_shared=True)

    service.rename_group(group, "botany")

    assert [reopened(one) for one in (old, new, theirs)] == [KEY, OTHER, KEY]
    renamed = service.list_for_group(group.id)
    assert {one.encrypted_key for one in renamed}.isdisjoint({old.encrypted_key, new.encrypted_key})
    assert service.list_for_group(history.id) == [theirs]
    found = factory.store.groups.get(group.id)
    assert found is not None
    assert found.name == "botany"


def test_renaming_to_another_case_of_the_same_name_works(service: CredentialService, group: Group) -> None:
    made = service.create(group.id, KEY)
    service.rename_group(group, "BIOLOGY")

    assert reopened(made) == KEY


def test_a_name_that_another_group_has_is_refused(
    service: CredentialService, group: Group, factory: Factory
) -> None:
    made = service.create(group.id, KEY)
    add_group(factory, "History")

    with pytest.raises(DuplicateGroupError, match="there is a group `History` already"):
        service.rename_group(group, "history")
    assert reopened(made) == KEY


@pytest.mark.parametrize("table", ["groups", "ai_credentials"])
def test_a_rename_that_fails_in_the_middle_leaves_the_old_state(
    service: CredentialService, group: Group, home: Path, table: str
) -> None:
    made = [service.create(group.id, key, replace=True) for key in (KEY, OTHER)]
    condition = "WHEN new.is_active = 1" if table == "ai_credentials" else ""
    change(
        home,
        f"CREATE TRIGGER broken BEFORE UPDATE ON {table} {condition} BEGIN SELECT RAISE(ABORT, 'no more'); END",
    )

    with pytest.raises(StoreError, match="no more"):
        service.rename_group(group, "botany")

    assert rows(home, "SELECT name FROM groups") == [("biology",)]
    assert [reopened(one) for one in made] == [KEY, OTHER]


def test_a_group_without_keys_is_renamed_without_the_vault(
    service: CredentialService, group: Group, home: Path
) -> None:
    (home / "master.key").unlink()
    with Factory(Settings.load()) as other:
        CredentialService(other).rename_group(group, "botany")

    assert rows(home, "SELECT name FROM groups") == [("botany",)]


def test_a_damaged_key_stands_in_the_way_of_a_rename(service: CredentialService, group: Group, home: Path) -> None:
    service.create(group.id, KEY)
    change(home, "UPDATE ai_credentials SET nonce = zeroblob(12)")

    with pytest.raises(DecryptionFailedError):
        service.rename_group(group, "botany")
    assert rows(home, "SELECT name FROM groups") == [("biology",)]


def test_a_group_that_was_renamed_without_its_key_does_not_open(
    service: CredentialService, group: Group, home: Path
) -> None:
    made = service.create(group.id, KEY)
    change(home, "UPDATE groups SET name = 'botany', name_key = 'botany'")

    with pytest.raises(DecryptionFailedError, match="group `botany` does not open"):
        reopened(made)


def test_a_vault_key_that_somebody_put_in_its_place_is_not_sealed_with(
    service: CredentialService, group: Group, home: Path
) -> None:
    service.create(group.id, KEY)
    change(home, "INSERT INTO vault_keys VALUES ('newer', x'00', x'00', '9999')")

    for attempt in (
        lambda: service.create(group.id, OTHER, replace=True),
        lambda: service.rename_group(group, "botany"),
    ):
        with pytest.raises(DecryptionFailedError):
            attempt()
    assert [one.is_active for one in service.list_for_group(group.id)] == [True]


def rotate_at(factory: Factory, statement: str, times: int = 1) -> None:
    """Let another process change the vault's key just before *factory*'s next statements of this kind."""
    left = [times]

    def trace(said: str) -> None:
        if said == statement and left[0]:
            left[0] -= 1
            with Factory(Settings.load()) as other:
                CredentialService(other).rotate_vault()

    factory.store._connection.raw.set_trace_callback(trace)


def test_a_key_that_is_added_while_the_vaults_key_changes_is_sealed_with_the_new_one(
    service: CredentialService, group: Group, factory: Factory
) -> None:
    rotate_at(factory, "BEGIN IMMEDIATE", times=3)

    made = service.create(group.id, KEY)

    assert made.key_id == factory.store.vault.key().id  # type: ignore[union-attr]
    assert reopened(made) == KEY


def test_a_group_is_renamed_while_the_vaults_key_changes(
    service: CredentialService, group: Group, factory: Factory
) -> None:
    made = service.create(group.id, KEY)
    rotate_at(factory, "BEGIN IMMEDIATE")

    service.rename_group(group, "botany")

    assert factory.store.groups.require(group.id).name == "botany"
    assert reopened(made) == KEY


def test_a_key_that_was_read_before_the_vaults_key_changed_opens(
    service: CredentialService, group: Group, factory: Factory
) -> None:
    made = service.create(group.id, KEY)
    with Factory(Settings.load()) as other:
        CredentialService(other).rotate_vault()

    assert service.open_key(made).reveal() == KEY
    rotate_at(factory, "BEGIN")
    assert service.open_key(made).reveal() == KEY


def test_whoever_is_always_too_late_is_told_to_try_again(
    service: CredentialService, group: Group, factory: Factory
) -> None:
    made = service.create(group.id, KEY)
    rotate_at(factory, "BEGIN", times=1000)
    with pytest.raises(StoreBusyError, match="again and again"):
        service.open_key(made)
    with pytest.raises(StoreBusyError, match="again and again"):
        service.check_seals()
    rotate_at(factory, "BEGIN IMMEDIATE", times=1000)
    with pytest.raises(StoreBusyError, match="again and again"):
        service.create(group.id, OTHER, replace=True)

    assert reopened(made) == KEY


def test_a_group_and_its_key_are_made_together_or_not_at_all(
    service: CredentialService, factory: Factory, home: Path
) -> None:
    rotate_at(factory, "BEGIN IMMEDIATE")
    made = service.atomically(lambda: service.create(factory.store.groups.add("history").id, KEY))
    factory.store._connection.raw.set_trace_callback(None)

    assert reopened(made) == KEY
    with pytest.raises(SharedKeyError):
        service.atomically(lambda: service.create(factory.store.groups.add("botany").id, KEY))
    assert rows(home, "SELECT name FROM groups") == [("history",)]


def test_a_rotation_seals_every_key_anew_and_leaves_what_else_is_known_of_it(
    service: CredentialService, group: Group, factory: Factory, home: Path
) -> None:
    old, new = service.create(group.id, KEY, label="spring"), service.create(group.id, OTHER, replace=True)
    unsealed = "id, group_id, provider, key_hint, label, base_url, endpoint, is_active, created_at, created_by"
    before = rows(home, f"SELECT {unsealed} FROM ai_credentials ORDER BY id")
    sealed = "SELECT encrypted_key, nonce, key_id, key_fingerprint FROM ai_credentials"
    values = {value for row in rows(home, sealed) for value in row}

    rotation = service.rotate_vault()

    assert rotation.rows == 2
    assert rows(home, f"SELECT {unsealed} FROM ai_credentials ORDER BY id") == before
    assert values.isdisjoint(value for row in rows(home, sealed) for value in row)
    assert rows(home, "SELECT DISTINCT key_id FROM ai_credentials") == [(rotation.key_id,)]
    assert rows(home, "SELECT id FROM vault_keys") == [(rotation.key_id,)]
    assert [reopened(one) for one in (old, new)] == [KEY, OTHER]
    # The same key in two groups is found by fingerprints, which are all of one data key.
    with pytest.raises(SharedKeyError):
        service.create(add_group(factory, "history").id, OTHER)


def test_a_key_that_does_not_open_stands_in_the_way_of_a_rotation(
    service: CredentialService, group: Group, home: Path
) -> None:
    damaged = service.create(group.id, KEY)
    made = service.create(group.id, OTHER, replace=True)
    change(home, "UPDATE ai_credentials SET nonce = zeroblob(12) WHERE id = ?", damaged.id)
    before = rows(home, "SELECT * FROM ai_credentials"), rows(home, "SELECT * FROM vault_keys")

    with pytest.raises(DecryptionFailedError, match="group `biology`") as refused:
        service.rotate_vault()

    assert refused.value.hint == f"raptchat credentials delete {damaged.id}"
    assert (rows(home, "SELECT * FROM ai_credentials"), rows(home, "SELECT * FROM vault_keys")) == before
    assert reopened(made) == OTHER
    service.delete(damaged.id)
    assert service.rotate_vault().rows == 1


def test_the_check_opens_every_row_with_every_slot(
    service: CredentialService, group: Group, factory: Factory, home: Path
) -> None:
    made = service.create(group.id, KEY, base_url="https://a.example/v1")
    factory.vault.add("file", path=home / "second.key")

    report = service.check_seals()

    assert [(one.slot.kind, one.opens, one.problem) for one in report.slots] == [("file", True, None)] * 2
    assert [(one.credential.id, one.group, one.problem) for one in report.rows] == [(made.id, group, None)]


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        ("UPDATE ai_credentials SET nonce = zeroblob(12)", "does not open"),
        ("UPDATE ai_credentials SET key_id = 'other'", "does not open"),
        ("UPDATE ai_credentials SET base_url = 'https://b.example/v1'", "does not open"),
        ("UPDATE ai_credentials SET base_url = 'no url'", "does not open"),
        ("UPDATE groups SET name = 'botany', name_key = 'botany'", "does not open"),
        ("DELETE FROM groups", "its group is not in the store"),
    ],
)
def test_the_check_names_what_does_not_open(
    service: CredentialService, group: Group, home: Path, damage: str, problem: str
) -> None:
    made = service.create(group.id, KEY, base_url="https://a.example/v1")
    change(home, damage)

    with Factory(Settings.load()) as other:
        [row] = CredentialService(other).check_seals().rows

    assert row.credential.id == made.id
    assert row.problem
    assert problem in row.problem
    assert KEY not in row.problem


def test_the_check_tries_no_row_where_no_slot_opens(
    service: CredentialService, group: Group, factory: Factory, home: Path
) -> None:
    service.create(group.id, KEY)
    (home / "master.key").unlink()
    with Factory(Settings.load()) as other:
        report = CredentialService(other).check_seals()

    assert [slot.opens for slot in report.slots] == [False]
    assert "master.key" in str(report.slots[0].problem)
    assert report.rows == []


def test_the_check_of_a_store_without_a_vault_finds_nothing() -> None:
    with Factory(Settings.load()) as other:
        report = CredentialService(other).check_seals()

    assert (report.slots, report.rows) == ([], [])


def test_a_key_that_came_in_while_its_group_was_renamed_is_renamed_with_it(group: Group, home: Path) -> None:
    with Factory(Settings.load()) as renaming, Factory(Settings.load()) as adding:
        service = CredentialService(renaming)
        added: list[Credential] = []

        def add_first(statement: str) -> None:
            # The vault was not needed for a group without keys, and the transaction only begins here.
            if statement == "BEGIN IMMEDIATE" and not added:
                added.append(CredentialService(adding).create(group.id, KEY))

        renaming.store._connection.raw.set_trace_callback(add_first)
        service.rename_group(group, "botany")

    assert rows(home, "SELECT name FROM groups") == [("botany",)]
    assert reopened(added[0]) == KEY


def test_a_group_that_is_gone_cannot_be_renamed(
    service: CredentialService, group: Group, factory: Factory
) -> None:
    with factory.store.write():
        factory.store.groups.remove(group.id)

    with pytest.raises(GroupNotFoundError):
        service.rename_group(group, "botany")


def test_no_error_of_a_key_repeats_it(service: CredentialService, group: Group, factory: Factory) -> None:
    history = add_group(factory, "history")
    service.create(group.id, KEY)
    attempts: list[Callable[[], object]] = [
        lambda: service.create(group.id, KEY),
        lambda: service.create(history.id, KEY),
        lambda: service.create("none", KEY),
        lambda: service.create(group.id, KEY, provider="none"),
        lambda: service.create(group.id, KEY, base_url="ftp://none"),
    ]
    for attempt in attempts:
        with pytest.raises(RaptchatError) as refused:
            attempt()
        assert KEY not in str(refused.value) + refused.value.hint + repr(refused.value.fields)


def test_a_reference_is_sealed_and_its_key_is_not(
    service: CredentialService, group: Group, factory: Factory, home: Path
) -> None:
    history, geography = add_group(factory, "history"), add_group(factory, "geography")
    command = f"echo {KEY}"
    made = service.create(group.id, command, kind="command", resolved=Secret(KEY))

    assert (made.kind, made.key_hint) == ("command", "command:echo")
    assert reopened(made) == KEY
    assert b"echo " not in (home / "raptchat.db").read_bytes()
    # The same command is the same key, also after a rotation.
    service.rotate_vault()
    with pytest.raises(SharedKeyError, match="serves group `biology` already"):
        service.create(history.id, command, kind="command", resolved=Secret(OTHER))
    # The key that it gives is compared, and not kept.
    service.create(history.id, OTHER)
    with pytest.raises(SharedKeyError, match="serves group `history` already"):
        service.create(geography.id, "echo another", kind="command", resolved=Secret(OTHER))
    service.create(geography.id, KEY)
    service.rename_group(group, "life")
    assert reopened(service.list_for_group(group.id)[0]) == KEY


def test_a_key_can_be_kept_without_being_put_in_use(service: CredentialService, group: Group, home: Path) -> None:
    active = service.create(group.id, KEY)
    kept = service.create(group.id, OTHER, activate=False)

    assert not kept.is_active
    assert service.require_active(group) == active
    assert rows(home, "SELECT action FROM events WHERE action = 'credential.deactivate'") == []
    assert service.activate(kept.id).is_active


@pytest.mark.parametrize(
    ("text", "kind", "provider", "said"),
    [
        ("x", "none", "openai-compatible", "none is given"),
        ("", "none", "openrouter", "asks for a key"),
        ("", "command", "openrouter", "the command is empty"),
        ("key", "file", "openrouter", "whole path"),
    ],
)
def test_what_cannot_be_a_reference_is_refused(
    service: CredentialService, group: Group, text: str, kind: KeyKind, provider: str, said: str
) -> None:
    url = "http://127.0.0.1:9/v1" if provider != "openrouter" else None
    with pytest.raises(UsageError, match=said):
        service.create(group.id, text, kind=kind, provider=provider, base_url=url)
    assert service.list_for_group(group.id) == []


def test_a_suspended_group_pays_for_nothing(service: CredentialService, group: Group, factory: Factory) -> None:
    service.create(group.id, KEY)
    with factory.store.write():
        factory.store.groups.set(group.id, suspended_at="2026-11-23T00:00:00.000000Z")
    suspended = factory.store.groups.require(group.id)

    with pytest.raises(AiNotConfiguredError) as refused:
        service.require_active(suspended)
    assert str(refused.value) == "group `biology` is suspended: nothing is sent with its key"
    assert refused.value.hint == "raptchat group resume biology"
