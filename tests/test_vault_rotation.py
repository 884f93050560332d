"""A new data key: every row and every slot goes over to it at once, whatever fails on the way."""

# ruff: noqa: S608 - tables and columns are constants of this file

import os
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from conftest import rows
from secret_service import SecretService
from vaults import KEY, PASSPHRASE, add_key, change, key_of, open_factory, private, typed

from raptchat import Factory, crypto
from raptchat.credentials import CredentialService, resealing
from raptchat.errors import (
    DecryptionFailedError,
    RaptchatError,
    StoreBusyError,
    StoreError,
    UsageError,
    VaultLockedError,
    VaultUnavailableError,
)
from raptchat.vault.sealing import DataKey


@pytest.fixture
def of_keyring(secret_service: SecretService, home: Path, monkeypatch: pytest.MonkeyPatch) -> SecretService:
    """A real keyring, and a home where the vault has no slot yet."""
    secret_service.apply(monkeypatch)
    monkeypatch.setenv("RAPTCHAT_HOME", str(home))
    return secret_service


def rotate(**arguments: object) -> str:
    """Rotate as a process of its own does; the new data key's id."""
    with open_factory(**arguments) as factory:
        return CredentialService(factory).rotate_vault().key_id


def of_vault(home: Path) -> list[tuple[Any, ...]]:
    """All that the store says of its vault and its keys."""
    tables = ("vault_keys", "vault_slots", "ai_credentials")
    return [row for table in tables for row in rows(home, f"SELECT * FROM {table} ORDER BY id")]


def test_the_old_data_key_opens_nothing_any_more(factory: Factory, home: Path) -> None:
    group_id = add_key(factory)
    old = factory.vault.data_key()

    rotation = CredentialService(factory).rotate_vault()

    assert rotation.key_id != old.id
    assert rotation.rows == 1
    assert [slot.key_id for slot in rotation.slots] == [rotation.key_id]
    assert factory.vault.data_key().id == rotation.key_id
    assert key_of(group_id) == KEY
    [(nonce, sealed, name)] = rows(
        home, "SELECT nonce, encrypted_key, name FROM ai_credentials JOIN groups ON groups.id = group_id"
    )
    [credential] = factory.store.credentials.all()
    with pytest.raises(DecryptionFailedError):
        old.open(
            crypto.Sealed(nonce, sealed),
            *("api key", credential.id, group_id, name, credential.provider, credential.endpoint),
        )
    assert rows(home, "SELECT action FROM events ORDER BY id DESC LIMIT 1") == [("vault.rotate",)]


def test_an_empty_vault_is_rotated_too(factory: Factory, home: Path) -> None:
    assert CredentialService(factory).rotate_vault().rows == 0
    assert key_of(add_key(factory)) == KEY


def test_there_is_nothing_to_rotate_without_a_vault(home: Path) -> None:
    with open_factory() as factory, pytest.raises(VaultUnavailableError, match="no vault yet"):
        CredentialService(factory).rotate_vault()


def test_a_rotation_makes_a_new_entry_in_the_keyring_and_removes_the_old_one(
    of_keyring: SecretService, home: Path
) -> None:
    with open_factory() as factory:
        before = factory.vault.init()
        group_id = add_key(factory)
        [slot] = CredentialService(factory).rotate_vault().slots

    assert slot.id != before.id
    assert slot.public_key != before.public_key
    assert of_keyring.services() == {slot.params["service"]}
    assert rows(home, "SELECT id, state, trail FROM vault_slots") == [(slot.id, "active", "[]")]
    assert key_of(group_id) == KEY


def test_two_slots_in_one_keyring_both_get_a_new_entry(of_keyring: SecretService, home: Path) -> None:
    with open_factory() as factory:
        factory.vault.init()
        factory.vault.add("keyring")
        group_id = add_key(factory)
    old = of_keyring.services()

    rotate()

    assert len(of_keyring.services()) == 2
    assert old.isdisjoint(of_keyring.services())
    assert key_of(group_id) == KEY


def test_slots_at_hand_get_a_proof_of_the_new_key_at_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAPTCHAT_PASSPHRASE_FILE", str(private(home.parent / "passphrase", PASSPHRASE)))
    with open_factory() as factory:
        factory.vault.init("passphrase")
        factory.vault.add("file", path=home / "master.key")
        group_id = add_key(factory)
    proofs = {proof for (proof,) in rows(home, "SELECT proof FROM vault_slots")}

    rotate()

    assert rows(home, "SELECT DISTINCT trail FROM vault_slots") == [("[]",)]
    assert proofs.isdisjoint(proof for (proof,) in rows(home, "SELECT proof FROM vault_slots"))
    assert key_of(group_id) == KEY
    monkeypatch.delenv("RAPTCHAT_PASSPHRASE_FILE")
    assert key_of(group_id) == KEY


def test_whoever_opened_with_a_typed_passphrase_types_it_once(home: Path) -> None:
    with open_factory(ask=typed(PASSPHRASE, PASSPHRASE)) as factory:
        factory.vault.init("passphrase")
        group_id = add_key(factory)

    rotate(ask=typed(PASSPHRASE))

    assert rows(home, "SELECT trail FROM vault_slots") == [("[]",)]
    assert key_of(group_id, ask=typed(PASSPHRASE)) == KEY


@pytest.mark.parametrize(
    "table",
    [
        "CREATE TABLE tokens (id TEXT PRIMARY KEY, sealed_by TEXT REFERENCES vault_keys(id)) STRICT",
        "CREATE TABLE tokens (id TEXT PRIMARY KEY, key_id TEXT) STRICT",
        "CREATE TABLE tokens (id TEXT PRIMARY KEY, KEY_ID TEXT) WITHOUT ROWID",
    ],
)
def test_a_later_table_with_a_key_id_cannot_be_forgotten(factory: Factory, home: Path, table: str) -> None:
    group_id = add_key(factory)
    change(home, table)
    before = of_vault(home)

    with pytest.raises(StoreError, match="tokens"):
        rotate()

    assert of_vault(home) == before
    [(key_id,)] = rows(home, "SELECT id FROM vault_keys")
    change(home, "INSERT INTO tokens VALUES ('one', ?)", key_id)
    with open_factory() as other:
        # A resealer that forgets a row of its own table is found out inside the transaction.
        resealers = {name: lambda old, new: 0 for name in ("management_keys", "tokens")}
        resealers["ai_credentials"] = partial(resealing.reseal, other.store)
        with pytest.raises(StoreError, match="tokens"):
            other.vault.rotate(resealers)
    assert of_vault(home) == before
    assert key_of(group_id) == KEY

    column = table.partition("PRIMARY KEY, ")[2].split()[0]

    def reseal(old: DataKey, new: DataKey) -> int:
        change_in = other.store._connection
        return change_in.execute(f"UPDATE tokens SET {column} = ?", (new.id,)).rowcount

    with open_factory() as other:
        resealers = {"management_keys": lambda old, new: 0, "tokens": reseal}
        resealers["ai_credentials"] = partial(resealing.reseal, other.store)
        assert other.vault.rotate(resealers).rows == 2
    assert key_of(group_id) == KEY


def test_a_slot_that_changes_while_the_passphrase_is_typed_is_not_signed(factory: Factory, home: Path) -> None:
    add_key(factory)
    with open_factory() as other:

        def change_meanwhile(statement: str) -> None:
            if statement == "BEGIN IMMEDIATE":
                change(home, "UPDATE vault_slots SET public_key = zeroblob(32)")

        other.store._connection.raw.set_trace_callback(change_meanwhile)
        with pytest.raises(StoreBusyError, match="changed meanwhile"):
            CredentialService(other).rotate_vault()


def test_a_slot_that_was_slipped_in_gets_nothing(factory: Factory, home: Path) -> None:
    add_key(factory)
    mine = crypto.public_key(bytes(range(32)))
    change(
        home,
        "INSERT INTO vault_slots SELECT ?, kind, state, key_id, ?, wrapped_key, proof, params, created_at, trail"
        " FROM vault_slots",
        str(uuid.uuid4()),
        mine,
    )
    before = of_vault(home)

    with pytest.raises(DecryptionFailedError, match="slots were altered"):
        rotate()

    assert of_vault(home) == before


@pytest.mark.parametrize("key_id", ["old", "new"])
def test_a_removed_slots_secret_opens_nothing_after_a_rotation(
    factory: Factory, home: Path, monkeypatch: pytest.MonkeyPatch, key_id: str
) -> None:
    group_id = add_key(factory)
    lost = factory.vault.add("file", path=home / "lost.key")
    [old] = rows(home, "SELECT * FROM vault_slots WHERE id = ?", lost.id)
    factory.vault.remove(lost.id)
    rotate()
    monkeypatch.setenv("RAPTCHAT_MASTER_KEY_FILE", str(home / "lost.key"))
    with pytest.raises(DecryptionFailedError, match="another master key"):
        key_of(group_id)

    # Whoever has the lost key file and an old copy puts the old slot back.
    change(home, f"INSERT INTO vault_slots VALUES ({', '.join('?' * len(old))})", *old)
    if key_id == "new":
        change(home, "UPDATE vault_slots SET key_id = (SELECT id FROM vault_keys)")
    with pytest.raises(DecryptionFailedError):
        key_of(group_id)


# Every step fails once.


class Faulty:
    """A connection of `sqlite3` whose statement number *at* fails, of those that begin with *only*."""

    def __init__(
        self, raw: sqlite3.Connection, at: int, error: BaseException, *, after: bool = False, only: str = ""
    ) -> None:
        self._raw = raw
        self._left = at
        self._error = error
        self._after = after
        self._only = only

    def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        self._left -= sql.startswith(self._only)
        failing, self._left = self._left == 0, self._left or -1
        if failing and not self._after:
            raise type(self._error)(*self._error.args)
        done = self._raw.execute(sql, parameters)
        if failing:
            # A new one: what is raised keeps the cursor, which keeps the file locked.
            raise type(self._error)(*self._error.args)
        return done

    @property
    def has_failed(self) -> bool:
        return self._left < 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)


def failing_at(
    number: int, error: BaseException, work: Callable[[Factory], object], *, after: bool = False
) -> bool:
    """Do *work* with one statement that fails; whether it was reached."""
    with open_factory() as factory:
        faulty = Faulty(factory.store._connection.raw, number, error, after=after)
        factory.store._connection.raw = faulty  # type: ignore[assignment]
        with suppress(RaptchatError, KeyboardInterrupt):
            work(factory)
    return faulty.has_failed


def each_statement(error: BaseException, work: Callable[[Factory], object], *, after: bool) -> Iterator[int]:
    """Fail at the first statement of *work*, then at the second, until all of it went well."""
    number = 1
    while failing_at(number, error, work, after=after):
        yield number
        number += 1


ERRORS: list[tuple[BaseException, bool]] = [
    (sqlite3.OperationalError("disk I/O error"), False),
    (KeyboardInterrupt(), False),
    (KeyboardInterrupt(), True),
]


@pytest.mark.parametrize(("error", "after"), ERRORS, ids=["disk error", "Ctrl-C before", "Ctrl-C after"])
@pytest.mark.parametrize("work", ["rotate", "rotate_slot"])
def test_whatever_statement_fails_the_old_state_or_the_new_is_left(
    factory: Factory,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    after: bool,  # noqa: FBT001
    work: str,
) -> None:
    monkeypatch.setenv("RAPTCHAT_PASSPHRASE_FILE", str(private(home.parent / "passphrase", PASSPHRASE)))
    factory.vault.add("file", path=home / "second.key")
    group_id = add_key(factory)
    paths = iter(range(1000))

    def do(other: Factory) -> None:
        if work == "rotate":
            CredentialService(other).rotate_vault()
        else:
            [*_, slot] = [one for one in other.store.vault.slots() if one.state == "active"]
            other.vault.rotate_slot(slot.id, path=home / f"{next(paths)}.key")

    failed = 0
    for _ in each_statement(error, do, after=after):
        failed += 1
        assert key_of(group_id) == KEY
        assert rows(home, "SELECT count(*) FROM vault_slots WHERE state = 'active'") == [(2,)]
        assert rows(home, "SELECT count(*) FROM vault_keys") == [(1,)]

    assert failed > 15
    with open_factory() as other:
        assert other.vault.leftovers() == []


def test_what_was_done_is_not_called_failed_because_leftovers_stay(factory: Factory, home: Path) -> None:
    group_id = add_key(factory)
    slot = factory.vault.add("file", path=home / "second.key")
    factory.store._connection.raw = Faulty(  # type: ignore[assignment]
        factory.store._connection.raw,
        1,
        sqlite3.OperationalError("disk I/O error"),
        only="DELETE FROM vault_slots",
    )

    factory.vault.rotate_slot(slot.id, path=home / "third.key")

    assert [one.id for one in factory.vault.leftovers()] == [slot.id]
    assert key_of(group_id) == KEY
    with open_factory() as other:
        CredentialService(other).rotate_vault()
        assert other.vault.leftovers() == []


@pytest.mark.parametrize("work", ["rotate", "rotate_slot"])
@pytest.mark.parametrize("method", ["search_items", "set_password", "delete_password"])
def test_whatever_call_to_the_keyring_fails_the_old_state_or_the_new_is_left(
    of_keyring: SecretService, home: Path, monkeypatch: pytest.MonkeyPatch, method: str, work: str
) -> None:
    with open_factory() as factory:
        factory.vault.init()
        group_id = add_key(factory)
    import secretstorage
    from keyring.backends.SecretService import Keyring

    # What reads an entry has no need of `keyring`'s class.
    edge = secretstorage.Collection if method == "search_items" else Keyring
    real = getattr(edge, method)
    for number in range(1, 12):
        left = [number]

        def fail(
            self: object,
            *words: object,
            left: list[int] = left,
            real: Callable[..., Any] = real,
        ) -> Any:
            left[0] -= 1
            if left[0] == 0:
                raise OSError("the daemon is gone")
            return real(self, *words)

        monkeypatch.setattr(edge, method, fail)
        with open_factory() as factory, suppress(RaptchatError):
            if work == "rotate":
                CredentialService(factory).rotate_vault()
            else:
                factory.vault.rotate_slot("keyring")
        monkeypatch.setattr(edge, method, real)
        assert key_of(group_id) == KEY
        if left[0] > 0:
            break
    else:
        pytest.fail("the keyring is called too often")

    rotate()
    assert len(of_keyring.services()) == 1
    assert rows(home, "SELECT kind, state FROM vault_slots") == [("keyring", "active")]
    assert key_of(group_id) == KEY


def test_a_commit_that_failed_on_the_disk_takes_no_entry_away(of_keyring: SecretService, home: Path) -> None:
    with open_factory() as factory:
        factory.vault.init()
        group_id = add_key(factory)
    for number in range(1, 10):
        with open_factory() as factory:
            failing = Faulty(
                factory.store._connection.raw, number, sqlite3.OperationalError("disk I/O error"), only="COMMIT"
            )
            factory.store._connection.raw = failing  # type: ignore[assignment]
            with pytest.raises(StoreError):
                CredentialService(factory).rotate_vault()
        if len(of_keyring.services()) == 2:
            break

    # Which state the disk has is known to whoever reads it next; until then both entries are needed.
    assert len(of_keyring.services()) == 2
    assert rows(home, "SELECT state FROM vault_slots ORDER BY created_at") == [("active",), ("pending",)]
    assert key_of(group_id) == KEY
    rotate()
    assert len(of_keyring.services()) == 1


def test_leftovers_are_listed_and_collected_by_the_next_change(of_keyring: SecretService, home: Path) -> None:
    with open_factory() as factory:
        factory.vault.init()
        add_key(factory)
        change(
            home,
            "INSERT INTO vault_slots SELECT ?, kind, 'pending', NULL, NULL, NULL, NULL, params, created_at, trail"
            " FROM vault_slots",
            str(uuid.uuid4()),
        )
        assert [(one.kind, one.state) for one in factory.vault.leftovers()] == [("keyring", "pending")]
        CredentialService(factory).rotate_vault()
        assert factory.vault.leftovers() == []


def test_what_cannot_be_collected_does_not_name_the_old_key(
    of_keyring: SecretService, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_factory() as factory:
        factory.vault.init()
        factory.vault.add("file", path=home / "master.key")
        group_id = add_key(factory)
    bus = os.environ["DBUS_SESSION_BUS_ADDRESS"]
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", f"unix:path={home}/no-bus")
    with open_factory() as factory:
        factory.vault.remove("keyring")
        [dying] = factory.vault.leftovers()
        assert (dying.wrapped_key, dying.proof) == (b"", b"")

    key_id = rotate()

    assert rows(home, "SELECT kind, state, key_id FROM vault_slots ORDER BY kind") == [
        ("file", "active", key_id),
        ("keyring", "dying", key_id),
    ]
    assert len(of_keyring.services()) == 1
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", bus)
    rotate()
    assert of_keyring.services() == set()
    assert key_of(group_id) == KEY


# Others meanwhile.


def test_a_process_that_lives_long_notices_a_new_key(factory: Factory) -> None:
    group_id = add_key(factory)
    [credential] = CredentialService(factory).list_for_group(group_id)
    before = factory.vault.data_key()

    key_id = rotate()

    assert CredentialService(factory).open_key(credential).reveal() == KEY
    assert factory.vault.data_key().id == key_id != before.id


def test_a_slot_that_was_rotated_away_while_it_was_read_is_read_again(
    of_keyring: SecretService, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from secretstorage import Collection

    with open_factory() as factory:
        factory.vault.init()
        group_id = add_key(factory)
    real: Any = Collection.search_items
    rotations = [3]

    def rotate_first(self: Collection, attributes: dict[str, str]) -> Any:
        if rotations[0]:
            rotations[0] -= 1
            left, rotations[0] = rotations[0], 0
            rotate()
            rotations[0] = left
        return real(self, attributes)

    monkeypatch.setattr(Collection, "search_items", rotate_first)
    assert key_of(group_id) == KEY
    rotations[0] = 1000
    with pytest.raises(StoreBusyError, match="again and again"):
        key_of(group_id)


def test_an_entry_that_is_gone_and_was_not_rotated_away_is_locked(of_keyring: SecretService, home: Path) -> None:
    with open_factory() as factory:
        factory.vault.init()
        group_id = add_key(factory)
    of_keyring.clear()

    with pytest.raises(VaultLockedError, match="does not hold"):
        key_of(group_id)
    assert rows(home, "SELECT count(*) FROM vault_slots") == [(1,)]


# A new secret for one slot.


def test_a_keyring_slot_gets_a_new_entry_for_the_same_data_key(of_keyring: SecretService, home: Path) -> None:
    with open_factory() as factory:
        old = factory.vault.init()
        factory.vault.add("file", path=home / "master.key")
        group_id = add_key(factory)
        before = factory.vault.data_key()
        new = factory.vault.rotate_slot("keyring")

        assert factory.vault.data_key().check_value() == before.check_value()
    assert new.id != old.id
    assert new.public_key != old.public_key
    assert of_keyring.services() == {new.params["service"]}
    assert rows(home, "SELECT kind FROM vault_slots ORDER BY kind") == [("file",), ("keyring",)]
    assert rows(home, "SELECT action FROM events ORDER BY id DESC LIMIT 1") == [("vault.rotate-slot",)]
    (home / "master.key").unlink()
    assert key_of(group_id) == KEY


def test_a_file_slot_gets_another_key_file(factory: Factory, home: Path) -> None:
    group_id = add_key(factory)
    with pytest.raises(UsageError, match="this very secret"):
        factory.vault.rotate_slot("file", path=home / "master.key")
    with pytest.raises(UsageError, match="needs the path"):
        factory.vault.rotate_slot("file")
    assert rows(home, "SELECT state FROM vault_slots") == [("active",)]

    slot = factory.vault.rotate_slot("file", path=home / "second.key")

    assert slot.params == {"path": str(home / "second.key")}
    (home / "master.key").unlink()
    assert key_of(group_id) == KEY


def test_a_passphrase_is_changed(home: Path) -> None:
    with open_factory(ask=typed(PASSPHRASE, PASSPHRASE)) as factory:
        factory.vault.init("passphrase")
        group_id = add_key(factory)
    with open_factory(ask=typed(PASSPHRASE, "a new one", "a new one")) as factory:
        factory.vault.rotate_slot("passphrase")

    assert key_of(group_id, ask=typed("a new one")) == KEY
    with pytest.raises(DecryptionFailedError, match="passphrase is wrong"):
        key_of(group_id, ask=typed(*[PASSPHRASE] * 3))


def test_a_passphrase_that_stands_in_a_file_is_typed_anew_where_somebody_is(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = private(home.parent / "passphrase", PASSPHRASE)
    monkeypatch.setenv("RAPTCHAT_PASSPHRASE_FILE", str(path))
    with open_factory() as factory:
        factory.vault.init("passphrase")
        group_id = add_key(factory)
    with open_factory(ask=typed("a new one", "a new one")) as factory:
        factory.vault.rotate_slot("passphrase")
    path.write_text("a new one")

    assert key_of(group_id) == KEY


def test_without_a_terminal_the_passphrase_file_holds_the_new_one_and_another_slot_opens(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = private(home.parent / "passphrase", PASSPHRASE)
    monkeypatch.setenv("RAPTCHAT_PASSPHRASE_FILE", str(path))
    with open_factory() as factory:
        factory.vault.init("passphrase")
        group_id = add_key(factory)
        with pytest.raises(DecryptionFailedError, match="no slot"):
            factory.vault.rotate_slot("passphrase")
        factory.vault.add("file", path=home / "master.key")
    path.write_text("a new one")
    with open_factory() as factory:
        factory.vault.rotate_slot("passphrase")
    (home / "master.key").unlink()

    assert key_of(group_id) == KEY
