"""The vault: what every kind of slot promises, and what none of them may do."""

import base64
import errno
import json
import multiprocessing
import os
import stat
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from conftest import environment, rows
from secret_service import SecretService
from vaults import KEY, PASSPHRASE, add_key, change, key_of, open_factory, private, typed

from raptchat import Factory, crypto, get_ai_client_for_group
from raptchat.config import Settings
from raptchat.credentials import CredentialService
from raptchat.demo import DemoGateway
from raptchat.errors import (
    DecryptionFailedError,
    RaptchatError,
    StoreBusyError,
    StoreError,
    UsageError,
    VaultLockedError,
    VaultUnavailableError,
)
from raptchat.records import Slot
from raptchat.secret import Secret
from raptchat.store import Store
from raptchat.vault import SlotKind
from raptchat.vault.keyring import OsKeyring
from raptchat.vault.lock import vault_lock
from raptchat.vault.opening import Opened
from raptchat.vault.patience import Patience
from raptchat.vault.sealing import slot_info, slots_mac


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of slot: how its secret is lost, and how it becomes another one."""

    name: SlotKind
    path: Path | None
    lose: Callable[[], None]
    exchange: Callable[[], None]
    lost: type[RaptchatError]


@pytest.fixture(params=["keyring", "file", "passphrase"])
def kind(request: pytest.FixtureRequest, home: Path, monkeypatch: pytest.MonkeyPatch) -> Kind:
    """Each kind of slot in turn; nothing of it is made yet."""
    if request.param == "keyring":
        return of_keyring(request.getfixturevalue("secret_service"), home, monkeypatch)
    if request.param == "file":
        path = home.parent / "master.key"

        def exchange() -> None:
            path.write_text(f"raptchat-key-1:{base64.b64encode(bytes(32)).decode()}\n")

        return Kind("file", path, path.unlink, exchange, VaultUnavailableError)
    path = private(home.parent / "passphrase", PASSPHRASE + "\n")
    monkeypatch.setenv("RAPTCHAT_PASSPHRASE_FILE", str(path))

    def another() -> None:
        path.write_text("another\n")

    return Kind(
        "passphrase",
        None,
        lambda: monkeypatch.delenv("RAPTCHAT_PASSPHRASE_FILE"),
        another,
        VaultLockedError,
    )


def of_keyring(service: SecretService, home: Path, monkeypatch: pytest.MonkeyPatch) -> Kind:
    service.apply(monkeypatch)
    monkeypatch.setenv("RAPTCHAT_HOME", str(home))
    tell: list[str] = []

    def the_keyring() -> OsKeyring:
        return OsKeyring.choose(patience=Patience(interactive=False, tell=tell.append))

    def lose() -> None:
        for entry in service.services():
            the_keyring().delete(entry)

    def exchange() -> None:
        for entry in service.services():
            the_keyring().delete(entry)
            the_keyring().put(entry, base64.b64encode(bytes(32)).decode())

    return Kind("keyring", None, lose, exchange, VaultLockedError)


def test_a_key_comes_back_in_another_process(kind: Kind) -> None:
    with open_factory() as factory:
        slot = factory.vault.init(kind.name, path=kind.path)
        group_id = add_key(factory)

    assert slot.kind == kind.name
    assert slot.state == "active"
    assert key_of(group_id) == KEY


def test_a_lost_secret_is_never_replaced_by_a_new_one(kind: Kind, home: Path) -> None:
    with open_factory() as factory:
        factory.vault.init(kind.name, path=kind.path)
        group_id = add_key(factory)
    before = rows(home, "SELECT * FROM vault_slots"), rows(home, "SELECT * FROM vault_keys")
    kind.lose()

    with pytest.raises(kind.lost):
        key_of(group_id)
    with open_factory() as factory, pytest.raises(kind.lost):
        add_key(factory, "history", KEY + "x")
    with open_factory() as factory, pytest.raises(UsageError, match="has a vault already"):
        factory.vault.init(kind.name, path=kind.path)

    assert (rows(home, "SELECT * FROM vault_slots"), rows(home, "SELECT * FROM vault_keys")) == before
    assert rows(home, "SELECT count(*) FROM ai_credentials") == [(1,)]


def test_another_secret_is_told_from_a_lost_one_and_from_an_altered_row(kind: Kind, home: Path) -> None:
    with open_factory() as factory:
        factory.vault.init(kind.name, path=kind.path)
        group_id = add_key(factory)
    messages = []
    change(home, "UPDATE ai_credentials SET nonce = zeroblob(12)")
    with pytest.raises(DecryptionFailedError) as altered:
        key_of(group_id)
    messages.append(str(altered.value))
    kind.exchange()
    with pytest.raises(DecryptionFailedError) as wrong:
        key_of(group_id)
    messages.append(str(wrong.value))
    kind.lose()
    with pytest.raises(kind.lost) as missing:
        key_of(group_id)
    messages.append(str(missing.value))

    assert len(set(messages)) == 3
    assert "altered" in messages[0]
    assert "another" in messages[1] or "wrong" in messages[1]


def test_the_status_says_what_opens_and_why_not(kind: Kind) -> None:
    with open_factory() as factory:
        assert factory.vault.status() == []
        factory.vault.init(kind.name, path=kind.path)
        [status] = factory.vault.status()
        assert (status.slot.kind, status.opens, status.problem) == (kind.name, True, None)
    kind.exchange()
    with open_factory() as factory:
        [status] = factory.vault.status()
    assert status.opens is False
    assert status.problem


def test_the_secret_of_a_slot_stands_nowhere_in_the_store(kind: Kind, home: Path) -> None:
    with open_factory() as factory:
        factory.vault.init(kind.name, path=kind.path)
        add_key(factory)
    data = (home / "raptchat.db").read_bytes()

    assert KEY.encode() not in data
    assert KEY[9:].encode() not in data
    assert PASSPHRASE.encode() not in data
    if kind.path:
        secret = kind.path.read_text().strip().partition(":")[2]
        assert secret.encode() not in data
        assert base64.b64decode(secret) not in data


def test_a_slot_can_be_added_and_the_first_one_removed(kind: Kind, home: Path) -> None:
    with open_factory() as factory:
        first = factory.vault.init(kind.name, path=kind.path)
        group_id = add_key(factory)
    with open_factory() as factory:
        added = factory.vault.add("file", path=home / "second.key")
        assert factory.vault.remove(first.id[:8]).id == first.id
    with open_factory() as factory:
        assert [status.slot.id for status in factory.vault.status()] == [added.id]
    kind.lose()

    assert key_of(group_id) == KEY


def forge_vault(home: Path, slot: Slot, store_id: str, *, key_id: str, proof: bytes) -> None:
    """Put a data key of one's own in the vault's place, as somebody can who has only the public key."""
    data_key = bytes(range(32))
    mine = slot._replace(key_id=key_id, proof=proof)
    assert slot.public_key
    wrapped = crypto.wrap(data_key, public=slot.public_key, info=slot_info(mine, store_id))
    mine = mine._replace(wrapped_key=wrapped)
    check, mac = crypto.subkey(data_key, "check value"), slots_mac(data_key, [mine])
    change(home, "UPDATE vault_keys SET id = ?, check_value = ?, slots_mac = ?", key_id, check, mac)
    change(home, "UPDATE vault_slots SET key_id = ?, wrapped_key = ?, proof = ?", mine.key_id, wrapped, mine.proof)


def test_a_vault_that_was_replaced_whole_opens_nothing_and_takes_nothing(
    kind: Kind, gateway: DemoGateway, home: Path
) -> None:
    with open_factory() as factory:
        slot = factory.vault.init(kind.name, path=kind.path)
        group_id = add_key(factory)
        store_id = factory.store.id
    assert slot.proof
    forge_vault(home, slot, store_id, key_id=str(uuid.uuid4()), proof=slot.proof)

    with open_factory() as factory:
        with pytest.raises(DecryptionFailedError, match="the vault was replaced"):
            get_ai_client_for_group(group_id, factory=factory)
        with pytest.raises(DecryptionFailedError, match="the vault was replaced"):
            add_key(factory, "history", KEY + "x")
        assert [group.name for group in factory.store.groups.all()] == ["biology", "history"]
    assert rows(home, "SELECT count(*) FROM ai_credentials") == [(1,)]
    assert gateway.requests == []


@pytest.mark.parametrize("proof", ["the old one", "one with the data key", "one with the public key", "none"])
@pytest.mark.parametrize("new_id", [True, False], ids=["new id", "old id"])
def test_nothing_that_the_store_tells_makes_a_proof(
    gateway: DemoGateway, home: Path, proof: str, *, new_id: bool
) -> None:
    with open_factory() as factory:
        slot = factory.vault.init("file", path=home / "master.key")
        group_id = add_key(factory)
        store_id = factory.store.id
    assert slot.proof
    assert slot.public_key
    assert slot.key_id
    key_id = str(uuid.uuid4()) if new_id else slot.key_id
    check = crypto.subkey(bytes(range(32)), "check value")
    proofs = {
        "the old one": slot.proof,
        "one with the data key": crypto.mac(
            crypto.subkey(bytes(range(32)), "proof"), store_id, slot.id, key_id, check
        ),
        "one with the public key": crypto.mac(
            crypto.subkey(slot.public_key, "proof"), store_id, slot.id, key_id, check
        ),
        "none": b"",
    }
    forge_vault(home, slot, store_id, key_id=key_id, proof=proofs[proof])

    with open_factory() as factory:
        assert [(status.opens, status.problem) for status in factory.vault.status()] == [
            (False, "the vault was replaced: it is not this master key's")
        ]
        for attempt in (
            lambda: get_ai_client_for_group(group_id, factory=factory),
            lambda: CredentialService(factory).create(group_id, KEY + "x", replace=True),
            lambda: factory.vault.add("file", path=home / "second.key"),
            lambda: factory.vault.remove("file"),
        ):
            with pytest.raises(DecryptionFailedError, match="the vault was replaced"):
                attempt()
    assert not (home / "second.key").exists()
    assert gateway.requests == []


def test_a_data_key_that_was_wrapped_anew_does_not_pass_for_the_old_one(home: Path) -> None:
    with open_factory() as factory:
        slot = factory.vault.init("file", path=home / "master.key")
        group_id = add_key(factory)
        store_id = factory.store.id
    assert slot.public_key
    # The proof still holds: check value and ids are the old ones.
    wrapped = crypto.wrap(bytes(range(32)), public=slot.public_key, info=slot_info(slot, store_id))
    change(home, "UPDATE vault_slots SET wrapped_key = ?", wrapped)

    with pytest.raises(DecryptionFailedError) as refused:
        key_of(group_id)
    assert str(refused.value) == "the vault's data key is another one: its rows were altered"
    assert refused.value.hint == "restore a backup of the store"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE vault_keys SET id = 'another'",
        "UPDATE vault_keys SET check_value = zeroblob(32)",
        "UPDATE vault_keys SET slots_mac = zeroblob(32)",
        "UPDATE vault_slots SET public_key = zeroblob(32)",
    ],
)
def test_what_changed_since_the_vault_was_opened_is_not_signed(
    factory: Factory, home: Path, statement: str
) -> None:
    factory.vault.data_key()
    change(home, statement)

    with pytest.raises(DecryptionFailedError):
        factory.vault.add("file", path=home / "second.key")
    assert not (home / "second.key").exists()


@pytest.mark.parametrize("changed", ["slipped in", "taken away", "altered"])
def test_slots_that_change_while_a_passphrase_is_typed_are_not_signed(home: Path, changed: str) -> None:
    with open_factory() as factory:
        factory.vault.init("file", path=home / "master.key")
        factory.vault.add("file", path=home / "second.key")
        group_id = add_key(factory)
    before = rows(home, "SELECT * FROM vault_keys")
    statement = {
        "slipped in": "INSERT INTO vault_slots SELECT 'slipped in', kind, state, key_id, public_key, wrapped_key,"
        " proof, params, created_at, trail FROM vault_slots LIMIT 1",
        "taken away": "DELETE FROM vault_slots WHERE rowid = (SELECT min(rowid) FROM vault_slots)",
        "altered": "UPDATE vault_slots SET public_key = zeroblob(32)",
    }[changed]
    asked: list[str] = []

    def ask(prompt: str) -> str:
        if not asked:
            change(home, statement)
        asked.append(prompt)
        return PASSPHRASE

    with open_factory(ask=ask) as factory, pytest.raises(StoreBusyError, match="the vault was changed meanwhile"):
        factory.vault.add("passphrase")

    assert asked == ["Choose a passphrase: ", "The same again: "]
    assert rows(home, "SELECT * FROM vault_keys") == before
    assert rows(home, "SELECT DISTINCT kind, state FROM vault_slots") == [("file", "active")]
    with pytest.raises(DecryptionFailedError):
        key_of(group_id)


def test_a_keyring_slot_that_is_not_signed_leaves_no_entry(
    secret_service: SecretService, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_keyring(secret_service, home, monkeypatch)
    with open_factory() as factory:
        factory.vault.init("file", path=home / "master.key")
        add_key(factory)
    with open_factory() as factory:

        def change_meanwhile(statement: str) -> None:
            # The first transaction names the entry, the second one signs.
            if statement == "BEGIN IMMEDIATE" and secret_service.services():
                change(home, "UPDATE vault_slots SET public_key = zeroblob(32) WHERE kind = 'file'")

        factory.store._connection.raw.set_trace_callback(change_meanwhile)
        with pytest.raises(StoreBusyError, match="changed meanwhile"):
            factory.vault.add("keyring")
        factory.store._connection.raw.set_trace_callback(None)

    assert secret_service.services() == set()
    assert rows(home, "SELECT kind, state FROM vault_slots") == [("file", "active")]


def test_the_last_slot_that_opens_stays(kind: Kind, home: Path) -> None:
    with open_factory() as factory:
        slot = factory.vault.init(kind.name, path=kind.path)
        group_id = add_key(factory)
        with pytest.raises(UsageError, match="the last that opens"):
            factory.vault.remove(kind.name)
        factory.vault.add("file", path=home / "second.key")
        (home / "second.key").unlink()
        with pytest.raises(UsageError, match="the last that opens"):
            factory.vault.remove(slot.id)

    assert key_of(group_id) == KEY


def test_a_removed_keyring_slot_leaves_no_entry(
    secret_service: SecretService, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_keyring(secret_service, home, monkeypatch)
    with open_factory() as factory:
        slot = factory.vault.init()
        group_id = add_key(factory)
        assert secret_service.services() == {f"raptchat:{factory.store.id}:{slot.id}"}
        factory.vault.add("file", path=home / "master.key")
        factory.vault.remove("keyring")

    assert secret_service.services() == set()
    assert key_of(group_id) == KEY


def test_a_keyring_is_not_asked_where_a_key_file_opens(
    secret_service: SecretService, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import secretstorage

    of_keyring(secret_service, home, monkeypatch)
    with open_factory() as factory:
        factory.vault.init()
        factory.vault.add("file", path=home / "master.key")
    asked: list[str] = []
    monkeypatch.setattr(secretstorage, "dbus_init", lambda: asked.append("the bus"))

    with open_factory() as factory:
        factory.vault.data_key()
    assert asked == []
    (home / "master.key").unlink()
    with open_factory() as factory, pytest.raises(VaultUnavailableError):
        factory.vault.data_key()
    assert asked == ["the bus"]


def test_a_removed_slot_whose_keyring_is_gone_is_collected_later(
    secret_service: SecretService, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_keyring(secret_service, home, monkeypatch)
    with open_factory() as factory:
        factory.vault.init()
        factory.vault.add("file", path=home / "master.key")
    bus = os.environ["DBUS_SESSION_BUS_ADDRESS"]
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", f"unix:path={home}/no-bus")
    with open_factory() as factory:
        factory.vault.remove("keyring")
    assert rows(home, "SELECT kind, state FROM vault_slots ORDER BY kind") == [
        ("file", "active"),
        ("keyring", "dying"),
    ]
    assert len(secret_service.services()) == 1

    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", bus)
    with open_factory() as factory:
        factory.vault.add("file", path=home / "second.key")

    assert rows(home, "SELECT DISTINCT kind, state FROM vault_slots") == [("file", "active")]
    assert secret_service.services() == set()


KILLED_AFTER_MAKING = """
import os, signal
from keyring.backends.SecretService import Keyring
from raptchat import Factory

set_password = Keyring.set_password
def set_and_die(self, *words):
    set_password(self, *words)
    os.kill(os.getpid(), signal.SIGKILL)
Keyring.set_password = set_and_die
Factory().vault.init()
"""


def test_what_a_killed_init_left_in_the_keyring_is_collected(
    secret_service: SecretService, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_keyring(secret_service, home, monkeypatch)
    killed = subprocess.run([sys.executable, "-c", KILLED_AFTER_MAKING], check=False, timeout=60)
    assert killed.returncode == -9
    [leftover] = secret_service.services()
    assert rows(home, "SELECT state FROM vault_slots") == [("pending",)]

    with open_factory() as factory:
        group_id = add_key(factory)

    [entry] = secret_service.services()
    assert entry != leftover
    assert rows(home, "SELECT kind, state FROM vault_slots") == [("keyring", "active")]
    assert key_of(group_id) == KEY


def test_a_leftover_of_somebody_elses_making_does_not_take_the_master_key_away(
    secret_service: SecretService, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_keyring(secret_service, home, monkeypatch)
    with open_factory() as factory:
        factory.vault.init()
        group_id = add_key(factory)
    change(
        home,
        "INSERT INTO vault_slots SELECT 'slipped in', kind, 'pending', NULL, NULL, NULL, NULL, params, created_at,"
        " trail FROM vault_slots",
    )

    with open_factory() as factory:
        factory.vault.add("file", path=home / "master.key")

    assert len(secret_service.services()) == 1
    monkeypatch.delenv("RAPTCHAT_MASTER_KEY_FILE", raising=False)
    (home / "master.key").unlink()
    assert key_of(group_id) == KEY


@pytest.mark.parametrize("state", ["pending", "dying"])
@pytest.mark.parametrize(
    "spelled",
    [
        str,
        str.upper,
        "{{{}}}".format,
        "urn:uuid:{}".format,
        "{} ".format,
        lambda slot_id: slot_id.replace("-", ""),
    ],
    ids=["the same", "capitals", "braces", "urn", "space", "no hyphens"],
)
def test_a_leftover_that_is_called_as_a_slot_in_use_does_not_take_its_master_key_away(
    secret_service: SecretService,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    state: str,
    spelled: Callable[[str], str],
) -> None:
    of_keyring(secret_service, home, monkeypatch)
    with open_factory() as factory:
        slot = factory.vault.init()
        group_id = add_key(factory)
    # With another primary key the table takes one id twice.
    columns = [name for (name,) in rows(home, "SELECT name FROM pragma_table_info('vault_slots')")]
    change(home, f"CREATE TABLE rebuilt ({', '.join(columns)}, PRIMARY KEY (id, state))")
    change(home, "INSERT INTO rebuilt SELECT * FROM vault_slots")
    change(home, "DROP TABLE vault_slots")
    change(home, "ALTER TABLE rebuilt RENAME TO vault_slots")
    change(
        home,
        "INSERT INTO vault_slots SELECT ?, kind, ?, key_id, public_key, wrapped_key, proof, params, created_at,"
        " trail FROM vault_slots",
        spelled(slot.id),
        state,
    )

    with open_factory() as factory:
        factory.vault.add("file", path=home / "master.key")

    assert secret_service.services() == {slot.params["service"]}
    # Not even asked to remove it: some keyrings do not tell capitals apart.
    assert rows(home, "SELECT state FROM vault_slots WHERE id = ? AND state <> 'active'", spelled(slot.id))[0] == (
        state,
    )
    (home / "master.key").unlink()
    assert key_of(group_id) == KEY


def test_without_a_keyring_the_first_key_names_the_other_ways(home: Path) -> None:
    with open_factory() as factory, pytest.raises(VaultUnavailableError) as refused:
        add_key(factory)

    assert "raptchat vault init --file" in refused.value.hint
    assert "--passphrase" in refused.value.hint
    assert rows(home, "SELECT count(*) FROM vault_keys") == [(0,)]
    assert rows(home, "SELECT count(*) FROM ai_credentials") == [(0,)]


def test_opening_a_store_without_a_vault_says_how_to_make_one(home: Path) -> None:
    with open_factory() as factory:
        assert not factory.vault.exists()
        with pytest.raises(VaultUnavailableError, match="no vault yet"):
            factory.vault.data_key()
        with pytest.raises(VaultUnavailableError, match="no vault yet"):
            factory.vault.add("file", path=home / "master.key")


def test_a_vault_is_made_once(factory: Factory, home: Path) -> None:
    with pytest.raises(UsageError, match="has a vault already"):
        factory.vault.init("file", path=home / "another.key")

    assert not (home / "another.key").exists()


def test_no_second_vault_is_made_when_the_key_row_was_taken_away(factory: Factory, home: Path) -> None:
    group_id = add_key(factory)
    change(home, "DELETE FROM vault_keys")

    with open_factory() as other, pytest.raises(UsageError, match="has a vault already"):
        other.vault.init("file", path=home / "another.key")
    with open_factory() as other, pytest.raises(DecryptionFailedError, match="data key was taken out"):
        add_key(other, "history", KEY + "x")
    with pytest.raises(DecryptionFailedError, match="data key was taken out"):
        key_of(group_id)

    assert rows(home, "SELECT count(*) FROM vault_keys") == [(0,)]
    assert rows(home, "SELECT count(*) FROM vault_slots") == [(1,)]
    assert not (home / "another.key").exists()


def test_what_is_left_of_a_vault_is_not_taken_for_none(
    secret_service: SecretService, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret_service.apply(monkeypatch)
    monkeypatch.setenv("RAPTCHAT_HOME", str(home))
    with open_factory() as factory:
        factory.vault.init("keyring")
    change(home, "UPDATE vault_slots SET state = 'dying'")
    change(home, "DELETE FROM vault_keys")

    with open_factory() as factory, pytest.raises(DecryptionFailedError, match="data key was taken out"):
        add_key(factory)

    # What opens the backups of the store is still there.
    assert len(secret_service.services()) == 1


@pytest.mark.parametrize("mode", [0o600, 0o666])
def test_a_vault_of_somebody_elses_does_not_open_with_a_key_file_that_comes_through_a_pipe(
    home: Path, mode: int
) -> None:
    with open_factory() as factory:
        factory.vault.init("file", path=home / "master.key")
        group_id = add_key(factory)
    line = (home / "master.key").read_text()
    (home / "master.key").unlink()
    os.mkfifo(home / "master.key")
    (home / "master.key").chmod(mode)
    pipe = os.open(home / "master.key", os.O_RDWR)
    os.write(pipe, line.encode())

    with pytest.raises(VaultUnavailableError, match="no regular file"):
        key_of(group_id)
    os.close(pipe)


@pytest.mark.parametrize("path", [None, "master.key"])
def test_a_key_file_is_not_looked_for_in_the_working_folder(
    home: Path, monkeypatch: pytest.MonkeyPatch, path: str | None
) -> None:
    with open_factory() as factory:
        factory.vault.init("file", path=home / str(path))
        group_id = add_key(factory)
    monkeypatch.chdir(home)
    change(home, "UPDATE vault_slots SET params = ?", json.dumps({"path": path} if path else {}))

    with pytest.raises(VaultUnavailableError, match="names no key file"):
        key_of(group_id)


def test_the_named_key_file_opens_a_vault_that_was_made_with_another_path(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_factory() as factory:
        factory.vault.init("file", path=home / "master.key")
        group_id = add_key(factory)
    (home / "master.key").rename(home / "elsewhere.key")
    with pytest.raises(VaultUnavailableError):
        key_of(group_id)

    monkeypatch.setenv("RAPTCHAT_MASTER_KEY_FILE", str(home / "elsewhere.key"))

    assert key_of(group_id) == KEY


def test_a_named_key_file_makes_the_first_vault_without_a_keyring(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAPTCHAT_MASTER_KEY_FILE", str(home.parent / "named.key"))
    with open_factory() as factory:
        group_id = add_key(factory)

    assert stat.S_IMODE((home.parent / "named.key").stat().st_mode) == 0o600
    assert rows(home, "SELECT kind FROM vault_slots") == [("file",)]
    assert key_of(group_id) == KEY


def test_a_named_passphrase_file_makes_the_first_vault_without_a_keyring(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = private(home.parent / "passphrase", PASSPHRASE)
    monkeypatch.setenv("RAPTCHAT_PASSPHRASE_FILE", str(path))
    with open_factory() as factory:
        group_id = add_key(factory)

    assert rows(home, "SELECT kind FROM vault_slots") == [("passphrase",)]
    monkeypatch.delenv("RAPTCHAT_PASSPHRASE_FILE")
    asked: list[str] = []

    def ask(prompt: str) -> str:
        asked.append(prompt)
        return PASSPHRASE

    assert key_of(group_id, ask=ask) == KEY
    assert asked == ["Passphrase: "]


@pytest.mark.parametrize("spoilt", ["wrong", "no key file", "missing", "readable"])
def test_a_named_key_file_that_does_not_open_is_refused_and_no_other_slot_is_tried(
    home: Path, monkeypatch: pytest.MonkeyPatch, spoilt: str
) -> None:
    private(home.parent / "passphrase", PASSPHRASE)
    with open_factory() as factory:
        factory.vault.init("file", path=home.parent / "master.key")
        group_id = add_key(factory)
    monkeypatch.setenv("RAPTCHAT_PASSPHRASE_FILE", str(home.parent / "passphrase"))
    with open_factory() as factory:
        factory.vault.add("passphrase")
    monkeypatch.delenv("RAPTCHAT_PASSPHRASE_FILE")
    named = home.parent / "named.key"
    match spoilt:
        case "wrong":
            private(named, f"raptchat-key-1:{base64.b64encode(bytes(32)).decode()}")
        case "no key file":
            private(named, "some text")
        case "readable":
            private(named, (home.parent / "master.key").read_text()).chmod(0o640)
    monkeypatch.setenv("RAPTCHAT_MASTER_KEY_FILE", str(named))
    asked: list[str] = []

    error = VaultUnavailableError if spoilt in {"missing", "readable"} else DecryptionFailedError
    with pytest.raises(error, match=r"named\.key"):
        key_of(group_id, ask=asked.append)
    assert asked == []


def test_a_wrong_passphrase_file_is_refused_and_no_other_slot_is_tried(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = private(home.parent / "passphrase", PASSPHRASE)
    monkeypatch.setenv("RAPTCHAT_PASSPHRASE_FILE", str(path))
    with open_factory() as factory:
        factory.vault.init("passphrase")
        factory.vault.add("file", path=home.parent / "master.key")
        group_id = add_key(factory)
    path.write_text("wrong")

    with pytest.raises(DecryptionFailedError, match="the passphrase is wrong"):
        key_of(group_id)


def test_of_several_key_files_the_named_one_opens(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_factory() as factory:
        factory.vault.init("file", path=home / "first.key")
        factory.vault.add("file", path=home / "second.key")
        group_id = add_key(factory)

    for name in ("first.key", "second.key"):
        monkeypatch.setenv("RAPTCHAT_MASTER_KEY_FILE", str(home / name))
        assert key_of(group_id) == KEY


def test_a_key_file_that_is_there_is_used_and_not_overwritten(home: Path) -> None:
    with open_factory() as factory:
        factory.vault.init("file", path=home.parent / "shared.key")
        group_id = add_key(factory)
    before = (home.parent / "shared.key").read_bytes()
    with Factory(Settings.load(store=home / "other.db")) as other:
        other.vault.init("file", path=home.parent / "shared.key")
        assert other.vault.status()[0].opens

    assert (home.parent / "shared.key").read_bytes() == before
    assert key_of(group_id) == KEY


def test_a_file_that_is_no_key_file_is_neither_used_nor_overwritten(home: Path) -> None:
    other = private(home.parent / "notes.txt", "my notes\n")
    with open_factory() as factory, pytest.raises(DecryptionFailedError, match="no key file"):
        factory.vault.init("file", path=other)

    assert other.read_text() == "my notes\n"
    with open_factory() as factory:
        factory.vault.init("file", path=home / "master.key")
        assert [status.slot.kind for status in factory.vault.status()] == ["file"]


def test_a_key_file_is_private_whatever_the_umask_is(home: Path) -> None:
    old = os.umask(0)
    try:
        with open_factory() as factory:
            factory.vault.init("file", path=home / "master.key")
    finally:
        os.umask(old)

    for path in [home / "master.key", home / "raptchat.db", home / "raptchat.db.vault-lock"]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


def test_a_file_slot_without_a_path_says_so(home: Path) -> None:
    with open_factory() as factory, pytest.raises(UsageError, match="needs the path"):
        factory.vault.init("file")


def test_a_passphrase_is_typed_twice(home: Path) -> None:
    with open_factory(ask=typed("one", "other")) as factory, pytest.raises(UsageError, match="differ"):
        factory.vault.init("passphrase")
    with open_factory(ask=typed("")) as factory, pytest.raises(UsageError, match="empty"):
        factory.vault.init("passphrase")
    with open_factory(ask=typed("caf\udce9", "caf\udce9")) as factory, pytest.raises(UsageError, match="UTF-8"):
        factory.vault.init("passphrase")

    assert rows(home, "SELECT count(*) FROM vault_slots") == [(0,)]


def test_a_mistyped_passphrase_is_asked_for_again_and_accents_may_be_typed_in_two_ways(home: Path) -> None:
    with open_factory(ask=typed("caf\u00e9", "caf\u00e9")) as factory:
        factory.vault.init("passphrase")
        group_id = add_key_typed(factory, "caf\u00e9")
    told: list[str] = []

    assert key_of(group_id, ask=typed("coffee", "cafe\u0301"), tell=told.append) == KEY
    assert told == ["the passphrase is wrong"]
    with pytest.raises(DecryptionFailedError, match="the passphrase is wrong"):
        key_of(group_id, ask=typed("a", "b", "c"))
    with pytest.raises(VaultLockedError) as nobody:
        key_of(group_id)
    assert "RAPTCHAT_PASSPHRASE_FILE" in nobody.value.hint
    with open_factory() as factory:
        assert factory.vault.status()[0].opens is None


def add_key_typed(factory: Factory, passphrase: str) -> str:
    """Add a key where the passphrase is asked for once more."""
    factory._ask = typed(passphrase)
    factory.__dict__.pop("vault", None)
    return add_key(factory)


@pytest.mark.parametrize(
    "tampered",
    [
        {"memory": 2**30},
        {"memory": 1},
        {"memory": "65536"},
        {"passes": 1_000_000},
        {"passes": 0},
        {"lanes": 17},
        {"lanes": None},
        {"salt": ""},
        {"salt": "!"},
        {"salt": base64.b64encode(bytes(8)).decode()},
    ],
)
def test_costs_that_were_tampered_with_are_refused_before_any_work(
    home: Path, monkeypatch: pytest.MonkeyPatch, tampered: dict[str, object]
) -> None:
    with open_factory() as factory:
        factory.vault.init("file", path=home / "master.key")
        group_id = add_key(factory)
    params = {"lanes": 4, "memory": 65536, "passes": 3, "salt": base64.b64encode(bytes(16)).decode(), **tampered}
    change(home, "UPDATE vault_slots SET kind = 'passphrase', params = ?", json.dumps(params))
    monkeypatch.setenv("RAPTCHAT_PASSPHRASE_FILE", str(private(home.parent / "passphrase", PASSPHRASE)))
    start = time.process_time()

    with pytest.raises(DecryptionFailedError):
        key_of(group_id)

    assert time.process_time() - start < 0.2  # one derivation alone takes longer


@pytest.mark.parametrize(
    "params",
    ["", "[]", "null", "{", '{"path": 7}', '{"path": "\\u0000"}', '{"path": "\\ud800"}', "[" * 100_000],
    ids=["empty", "list", "null", "cut", "number", "NUL", "surrogate", "deep"],
)
def test_parameters_that_are_none_are_refused(factory: Factory, home: Path, params: str) -> None:
    group_id = add_key(factory)
    change(home, "UPDATE vault_slots SET params = ?", params)

    with pytest.raises((DecryptionFailedError, VaultUnavailableError)):
        key_of(group_id)


def test_parameters_that_could_be_nested_too_deep_to_be_written_again_are_not_read(
    factory: Factory, home: Path
) -> None:
    change(home, "UPDATE vault_slots SET params = ?", json.dumps({"path": str(home / "master.key"), "more": {}}))

    assert [slot.params for slot in factory.store.vault.slots()] == [{}]


def test_a_keyring_backend_that_the_store_was_made_to_name_is_refused(factory: Factory, home: Path) -> None:
    group_id = add_key(factory)
    params = {"backend": "keyrings.alt.file.PlaintextKeyring", "service": "raptchat:x:y"}
    change(home, "UPDATE vault_slots SET kind = 'keyring', params = ?", json.dumps(params))

    with pytest.raises(VaultUnavailableError, match="is refused"):
        key_of(group_id)


def test_a_slot_of_an_unknown_kind_is_refused(factory: Factory, home: Path) -> None:
    group_id = add_key(factory)
    change(home, "UPDATE vault_slots SET kind = 'moonlight\x1b[2J'")

    with pytest.raises(DecryptionFailedError, match="unknown kind") as refused:
        key_of(group_id)
    assert "\x1b" not in str(refused.value)
    with open_factory() as other:
        [status] = other.vault.status()
    assert status.opens is False


def test_a_vault_without_slots_is_refused(factory: Factory, home: Path) -> None:
    group_id = add_key(factory)
    change(home, "DELETE FROM vault_slots")

    with pytest.raises(DecryptionFailedError, match="no slot"):
        key_of(group_id)


def test_a_check_value_that_was_changed_is_refused(factory: Factory, home: Path) -> None:
    group_id = add_key(factory)
    change(home, "UPDATE vault_keys SET check_value = zeroblob(32)")

    with pytest.raises(DecryptionFailedError, match="the vault was replaced"):
        key_of(group_id)


def test_a_data_key_under_another_id_is_refused(factory: Factory, home: Path) -> None:
    group_id = add_key(factory)
    change(home, "UPDATE vault_keys SET id = 'another'")

    with pytest.raises(DecryptionFailedError, match="data key is another one"):
        key_of(group_id)


def test_a_word_that_means_no_slot_or_several_lists_them(factory: Factory, home: Path) -> None:
    factory.vault.add("file", path=home / "second.key")

    with pytest.raises(UsageError, match="more than one slot") as several:
        factory.vault.remove("file")
    with pytest.raises(UsageError, match="no slot `keyring`") as none:
        factory.vault.remove("keyring")
    for slot in factory.store.vault.slots():
        assert slot.id[:8] in several.value.hint
        assert slot.id[:8] in none.value.hint


def test_each_change_of_the_slots_is_an_event(home: Path) -> None:
    with open_factory() as factory:
        slot = factory.vault.init("file", path=home / "master.key")
        factory.vault.add("file", path=home / "second.key")
        factory.vault.rotate_slot(slot.id, path=home / "third.key")
        factory.vault.remove(factory.store.vault.slots()[0].id)

    assert rows(home, "SELECT action FROM events ORDER BY id") == [
        ("vault.init",),
        ("vault.add",),
        ("vault.rotate-slot",),
        ("vault.remove",),
    ]


def test_the_data_key_shows_nothing_of_itself(factory: Factory) -> None:
    data_key = factory.vault.data_key()

    assert str(uuid.UUID(data_key.id)) == data_key.id
    assert data_key._key.hex() not in repr(data_key)
    assert repr(data_key._key) not in repr(data_key)
    assert data_key.fingerprint(Secret(KEY)) == data_key.fingerprint(Secret(KEY))
    assert data_key.fingerprint(Secret(KEY)) != data_key.fingerprint(Secret(KEY + "x"))
    opened = Opened(factory.store.vault.slots()[0], b"a secret", data_key)
    assert "secret" not in repr(opened)
    # Nor to whoever prints the attributes of whatever they meet.
    assert not hasattr(data_key, "__dict__")
    assert not hasattr(opened, "__dict__")


def test_a_key_is_no_longer_put_in_a_core_file(factory: Factory) -> None:
    script = (
        "import resource, ctypes; from raptchat import Factory; f = Factory(); f.vault.data_key();"
        "print(resource.getrlimit(resource.RLIMIT_CORE)[0], ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
    )
    said = subprocess.run(
        [sys.executable, "-c", script], env=environment(), capture_output=True, text=True, check=True
    )

    assert said.stdout.split() == ["0", "0" if sys.platform == "linux" else "-1"]


def test_a_lock_file_that_cannot_be_made_is_an_error_of_the_store(home: Path) -> None:
    with open_factory() as factory:
        assert not factory.vault.exists()
        (home / "raptchat.db.vault-lock").symlink_to(home / "nowhere")
        with pytest.raises(StoreError, match="cannot be changed"):
            factory.vault.init("file", path=home / "master.key")


def test_a_file_system_without_locks_is_an_error_of_the_store(
    factory: Factory, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(StoreError, match="cannot be changed: No locks available"):
        factory.vault.add("file", path=home / "second.key")


def test_whoever_waits_too_long_for_the_other_process_is_told_to_try_again(
    factory: Factory, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raptchat.vault.patience.DEADLINE_SECONDS", 0.1)
    with (
        vault_lock(home / "raptchat.db"),
        open_factory() as other,
        pytest.raises(StoreBusyError, match="another process"),
    ):
        other.vault.add("file", path=home / "second.key")


@pytest.mark.parametrize("work", ["init", "ensure"])
def test_who_waited_for_the_other_process_has_that_much_less_for_the_keyring(
    home: Path, monkeypatch: pytest.MonkeyPatch, work: str
) -> None:
    monkeypatch.setenv("RAPTCHAT_MASTER_KEY_FILE", str(home.parent / "master.key"))
    monkeypatch.setattr("raptchat.vault.patience.DEADLINE_SECONDS", 20.0)
    Store.open(home / "raptchat.db").close()
    with ExitStack() as held, open_factory() as factory:
        held.enter_context(vault_lock(home / "raptchat.db"))
        timer = threading.Timer(0.2, held.close)
        timer.start()
        getattr(factory.vault, work)()
        timer.join()
        assert factory.vault.patience.left < 19.9


def first_run(store: Path, barrier: Barrier, name: str) -> None:
    """Add the first key of a group, in a process of its own."""
    with Factory(Settings.load(store=store)) as factory:
        barrier.wait()
        add_key(factory, name, f"{KEY}-{name}")


@pytest.mark.process
def test_two_first_runs_at_once_make_one_vault(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAPTCHAT_MASTER_KEY_FILE", str(home.parent / "master.key"))
    Store.open(home / "raptchat.db").close()
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    runs = [
        context.Process(target=first_run, args=(home / "raptchat.db", barrier, name))
        for name in ("biology", "history")
    ]
    for run in runs:
        run.start()
    for run in runs:
        run.join(60)

    assert [run.exitcode for run in runs] == [0, 0]
    assert rows(home, "SELECT count(*) FROM vault_keys") == [(1,)]
    for group_id, name in rows(home, "SELECT id, name FROM groups"):
        assert key_of(group_id) == f"{KEY}-{name}"
