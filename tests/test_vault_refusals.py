"""What the vault says when it refuses: the fact, and what to do next, word for word as people read it."""

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from vaults import PASSPHRASE, change, open_factory, private, typed

from raptchat import Factory
from raptchat.credentials import CredentialService
from raptchat.errors import (
    DecryptionFailedError,
    RaptchatError,
    StoreBusyError,
    StoreError,
    UsageError,
    VaultLockedError,
    VaultUnavailableError,
)
from raptchat.vault import recovery_key
from raptchat.vault.lock import vault_lock
from raptchat.vault.sealing import DataKey

RIGHT_ONE = "use the one that belongs to this store; raptchat vault status lists its ways to open"
BACKUP = "restore a backup of the store"
OF_RECOVERY = "name a file that holds the recovery key in RAPTCHAT_MASTER_KEY_FILE"
OF_FILE = "name it in RAPTCHAT_MASTER_KEY_FILE"
OF_PASSPHRASE = "name a file that holds it in RAPTCHAT_PASSPHRASE_FILE"
OF_ROTATION = "this is a bug of raptchat; nothing was changed"

Said = tuple[type[RaptchatError], str, str]


def said(call: Callable[[], object]) -> Said:
    """How *call* is refused."""
    with pytest.raises(RaptchatError) as refused:
        call()
    return type(refused.value), str(refused.value), refused.value.hint


def key_file(path: Path, secret: bytes = bytes(32)) -> Path:
    """A key file of another store."""
    return private(path, f"raptchat-key-1:{base64.b64encode(secret).decode()}\n")


def opening(**arguments: object) -> Said:
    """How another process is refused that opens the vault."""
    with open_factory(**arguments) as factory:
        return said(factory.vault.data_key)


def test_there_is_one_vault_or_none(home: Path) -> None:
    none = VaultUnavailableError, "this store has no vault yet", "raptchat vault init"
    with open_factory() as factory:
        assert said(factory.vault.data_key) == none
        assert said(lambda: factory.vault.add("file", path=home / "a.key")) == none
        assert said(lambda: factory.vault.remove("file")) == none
        assert said(lambda: factory.vault.rotate_slot("file")) == none
        factory.vault.init("file", path=home / "a.key")
        assert said(lambda: factory.vault.init("file", path=home / "b.key")) == (
            UsageError,
            "this store has a vault already",
            "raptchat vault status, or raptchat vault add",
        )


@pytest.mark.parametrize(
    ("statement", "message", "hint"),
    [
        ("DELETE FROM vault_keys", "the vault's data key was taken out of the store", BACKUP),
        ("DELETE FROM vault_slots", "the vault has no slot: its rows were altered", BACKUP),
        ("UPDATE vault_keys SET slots_mac = x'00'", "the vault's slots were altered", BACKUP),
        ("UPDATE vault_slots SET created_at = '2000'", "the vault's slots were altered", BACKUP),
        ("UPDATE vault_keys SET id = 'x'", "the vault's data key is another one: its rows were altered", BACKUP),
        (
            "UPDATE vault_keys SET check_value = zeroblob(32)",
            "the vault was replaced: it is not this master key's",
            BACKUP,
        ),
        ("UPDATE vault_slots SET proof = x''", "the vault was replaced: it is not this master key's", BACKUP),
        ("UPDATE vault_slots SET wrapped_key = x''", "a slot of the vault does not open: it was altered", BACKUP),
        ("UPDATE vault_slots SET kind = 'moon'", "the vault has a slot of an unknown kind: `moon`", ""),
    ],
)
def test_what_was_altered_in_the_store_is_named(
    factory: Factory, home: Path, statement: str, message: str, hint: str
) -> None:
    assert factory.vault.exists()
    change(home, statement)

    assert opening() == (DecryptionFailedError, message, hint)


def test_a_key_file_is_named_and_what_is_wrong_with_it(factory: Factory, home: Path) -> None:
    path, another = home / "master.key", base64.b64encode(bytes(32)).decode()
    assert factory.vault.exists()
    assert said(lambda: factory.vault.add("file")) == (
        UsageError,
        "a file slot needs the path of its key file",
        "--file PATH",
    )
    assert said(lambda: factory.vault.rotate_slot("file", path=path)) == (
        UsageError,
        "the slot has this very secret already",
        "--file PATH with a new path",
    )
    for text, message in [
        (
            f"raptchat-key-1:{another}",
            f"the key file `{path}` holds another master key",
        ),
        ("raptchat-key-2:AAAA", f"`{path}` is no key file of raptchat"),
        (f"raptchat-key-1:!{another}", "a slot's secret is damaged: it is not what raptchat wrote"),
        ("raptchat-key-1:", "a slot's secret is damaged: it is not what raptchat wrote"),
        (
            f"raptchat-key-1:{base64.b64encode(bytes(31)).decode()}",
            "a slot's secret is damaged: it is not what raptchat wrote",
        ),
        ("raptchat-key-1:é", "a slot's secret is damaged: it is not what raptchat wrote"),
    ]:
        path.write_text(text)
        assert opening() == (DecryptionFailedError, message, RIGHT_ONE)
    path.write_text("two\nlines\n")
    assert opening() == (
        UsageError,
        f"the key file `{path}` must hold exactly one line of text",
        "is it the right file?",
    )
    path.unlink()
    missing = f"the key file `{path}` cannot be read: No such file or directory"
    assert opening() == (VaultUnavailableError, missing, "put it back, or name another")


def test_the_named_key_file_is_the_one_that_is_called_wrong(
    factory: Factory, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert factory.vault.exists()
    named = key_file(home / "named.key")
    monkeypatch.setenv("RAPTCHAT_MASTER_KEY_FILE", str(named))
    assert opening() == (DecryptionFailedError, f"the key file `{named}` holds another master key", RIGHT_ONE)
    named.write_text("neither\n")
    assert opening() == (DecryptionFailedError, f"`{named}` is no key file of raptchat", RIGHT_ONE)
    named.unlink()
    missing = f"the key file `{named}` cannot be read: No such file or directory"
    assert opening() == (VaultUnavailableError, missing, "put it back, or name another")


def test_a_recovery_key_of_a_store_that_has_none_is_called_that(
    factory: Factory, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert factory.vault.exists()
    paper = private(home / "paper", recovery_key.written(bytes(32)))
    monkeypatch.setenv("RAPTCHAT_MASTER_KEY_FILE", str(paper))

    assert opening() == (
        DecryptionFailedError,
        f"`{paper}` holds a recovery key, and this store has none",
        "unset RAPTCHAT_MASTER_KEY_FILE, or have it name this store's key file",
    )


def test_the_slot_that_is_meant_is_found_or_the_slots_are_listed(factory: Factory, home: Path) -> None:
    [first] = factory.store.vault.slots()
    listed = f"slots: file {first.id[:8]}"
    for word in ("keyring", first.id[:3], f"{first.id}x", ""):
        assert said(lambda word=word: factory.vault.remove(word)) == (  # type: ignore[misc]
            UsageError,
            f"there is no slot `{word}`",
            listed,
        )
    assert said(lambda: factory.vault.remove("\x1b[2J"))[1] == "there is no slot `␛[2J`"
    assert said(lambda: factory.vault.remove(first.id[:4])) == (
        UsageError,
        "the `file` slot is the last that opens, and stays",
        "raptchat vault add keyring, file, passphrase or recovery",
    )
    second = factory.vault.add("file", path=home / "second.key")
    assert said(lambda: factory.vault.remove("file")) == (
        UsageError,
        "more than one slot is called `file`",
        f"{listed}, file {second.id[:8]}",
    )
    assert factory.vault.remove(second.id[:4]).id == second.id


def test_a_new_passphrase_is_typed_twice_and_is_none_of_nothing(home: Path) -> None:
    for lines, message in [
        (("",), "the passphrase is empty"),
        (("one", "other"), "the two passphrases differ"),
        (("caf\udce9", "caf\udce9"), "the passphrase is not valid UTF-8"),
    ]:
        with open_factory(ask=typed(*lines)) as factory:
            assert said(lambda factory=factory: factory.vault.init("passphrase")) == (  # type: ignore[misc]
                UsageError,
                message,
                "",
            )
            assert factory.store.vault.slots() == []
    with open_factory() as factory:
        assert said(lambda: factory.vault.init("passphrase")) == (
            VaultLockedError,
            "the store opens with a passphrase, and there is no terminal to ask for it",
            OF_PASSPHRASE,
        )


def test_a_passphrase_is_asked_for_three_times_and_a_recovery_key_too(home: Path) -> None:
    kept: list[str] = []
    asked: list[str] = []
    told: list[str] = []
    answers = [PASSPHRASE, PASSPHRASE]

    def ask(prompt: str) -> str:
        asked.append(prompt)
        return answers.pop(0)

    with open_factory(ask=ask, keep=kept.append) as factory:
        factory.vault.init("passphrase")
        factory.vault.add("recovery")
    another = recovery_key.written(bytes(32))
    mistyped = kept[0][:-1] + ("A" if kept[0][-1] != "A" else "B")
    asked.clear()
    # Two short passphrases are refused without a derivation: they are no text.
    answers += ["caf\udce9", *[mistyped, another, "  "]]

    assert opening(ask=ask, tell=told.append) == (
        VaultUnavailableError,
        "no recovery key was given",
        f"{RIGHT_ONE}",
    )
    assert asked == ["Passphrase: ", *["Recovery key: "] * 3]
    assert told == [
        "the passphrase is not valid UTF-8",
        "the recovery key is mistyped: its last group, which checks the others, does not fit them",
        "the recovery key is another one: it does not open this store",
    ]


def test_who_cannot_be_asked_is_told_which_file_to_name(home: Path) -> None:
    kept: list[str] = []
    with open_factory() as factory:
        factory.vault.init("file", path=home / "master.key")
        assert said(lambda: factory.vault.add("recovery")) == (
            UsageError,
            "a recovery key is shown at a terminal, and there is none",
            "raptchat vault add recovery",
        )
    with open_factory(keep=kept.append) as factory:
        second = factory.vault.add("file", path=home / "second.key")
        factory.vault.add("recovery")
    (home / "master.key").unlink()
    (home / "second.key").unlink()

    missing = f"the key file `{home}/master.key` cannot be read: No such file or directory"
    assert opening() == (VaultUnavailableError, missing, f"put it back, or name another; or {OF_RECOVERY}")
    with open_factory(ask=typed(*kept * 2)) as factory:
        factory.vault.remove(second.id)
        factory.vault.remove("file")
    nobody = "the store opens with its recovery key, and there is no terminal to ask for it"
    assert opening() == (VaultUnavailableError, nobody, OF_RECOVERY)


def test_a_slot_without_a_path_has_no_file_of_the_working_folder_read(factory: Factory, home: Path) -> None:
    assert factory.vault.exists()
    change(home, "UPDATE vault_slots SET params = '{}'")
    assert opening() == (VaultUnavailableError, "the file slot names no key file", OF_FILE)


def test_a_rotation_asks_nobody_for_the_slots_that_it_does_not_need(home: Path) -> None:
    asked: list[str] = []
    with open_factory(ask=asked.append, keep=lambda text: None) as factory:
        factory.vault.init("file", path=home / "master.key")
        factory.vault.add("recovery")
        CredentialService(factory).rotate_vault()
    assert asked == []


def test_where_there_is_no_other_way_the_recovery_key_is_named(home: Path) -> None:
    with open_factory(keep=lambda text: None) as factory:
        factory.vault.init("file", path=home / "master.key")
        factory.vault.add("recovery")
    change(home, "UPDATE vault_slots SET params = ? WHERE kind = 'file'", json.dumps({"path": "/\0"}))

    none = "the key file cannot be read: its path is none"
    assert opening() == (VaultUnavailableError, none, OF_RECOVERY)


def test_a_slot_of_an_unknown_kind_does_not_keep_the_others_from_being_tried(factory: Factory, home: Path) -> None:
    second = factory.vault.add("file", path=home / "second.key")
    change(home, "UPDATE vault_slots SET kind = 'moon' WHERE id = ?", second.id)

    assert opening() == (DecryptionFailedError, "the vault's slots were altered", BACKUP)


def test_what_says_most_is_said_first(factory: Factory, home: Path) -> None:
    # A wrong secret before one that is asked for, and that before one that is not there.
    second = factory.vault.add("file", path=home / "second.key")
    (home / "second.key").unlink()
    key_file(home / "other.key").replace(home / "master.key")
    assert opening()[1] == f"the key file `{home}/master.key` holds another master key"
    (home / "master.key").unlink()
    change(
        home,
        "UPDATE vault_slots SET kind = 'passphrase', params = ? WHERE id = ?",
        json.dumps({"lanes": 1, "memory": 8, "passes": 1, "salt": base64.b64encode(bytes(16)).decode()}),
        second.id,
    )
    assert opening() == (
        VaultLockedError,
        "the store opens with a passphrase, and there is no terminal to ask for it",
        OF_PASSPHRASE,
    )


def test_a_vault_that_others_change_is_busy(factory: Factory, home: Path) -> None:
    with (
        vault_lock(home / "raptchat.db"),
        pytest.raises(StoreBusyError),
        vault_lock(home / "raptchat.db", seconds=0),
    ):
        pytest.fail("two have the lock")
    factory.vault.patience.left = 0
    with vault_lock(home / "raptchat.db"):
        assert said(lambda: factory.vault.remove("file")) == (
            StoreBusyError,
            "another process is changing the vault",
            "try again",
        )
    with open_factory() as other:

        def change_first(statement: str) -> None:
            if statement == "BEGIN IMMEDIATE":
                change(home, "UPDATE vault_slots SET created_at = '2000'")

        other.store._connection.raw.set_trace_callback(change_first)
        assert said(CredentialService(other).rotate_vault) == (
            StoreBusyError,
            "the vault was changed meanwhile",
            "try again",
        )


def test_a_vault_that_changes_whenever_it_is_read_is_busy(factory: Factory, home: Path) -> None:
    assert factory.vault.exists()
    (home / "master.key").unlink()
    changes: list[str] = []
    with open_factory() as other:

        def change_first(statement: str) -> None:
            if statement.startswith("SELECT id, check_value"):
                changes.append(f"{len(changes)}")
                change(home, "UPDATE vault_slots SET created_at = ?", changes[-1])

        other.store._connection.raw.set_trace_callback(change_first)
        assert said(other.vault.data_key) == (
            StoreBusyError,
            "the vault is being changed again and again",
            "try again",
        )


def test_a_rotation_names_every_table_that_it_would_have_lost(factory: Factory, home: Path) -> None:
    change(home, "CREATE TABLE tokens (id TEXT PRIMARY KEY, key_id TEXT) STRICT")
    change(home, "CREATE TABLE deeds (id TEXT PRIMARY KEY, key_id TEXT) STRICT")
    change(home, "INSERT INTO tokens SELECT 'one', id FROM vault_keys")
    change(home, "INSERT INTO deeds SELECT 'one', id FROM vault_keys")
    with open_factory() as other:
        assert said(CredentialService(other).rotate_vault) == (
            StoreError,
            "the vault's key is not changed: rows of deeds, tokens would not open any more",
            OF_ROTATION,
        )
        forgetful = {
            table: lambda old, new: 0 for table in ("ai_credentials", "management_keys", "deeds", "tokens")
        }
        assert said(lambda: other.vault.rotate(forgetful)) == (
            StoreError,
            "the vault's key is not changed: rows of deeds, tokens would not open any more",
            OF_ROTATION,
        )


def test_each_slot_says_whether_it_opens_with_what_a_person_types(home: Path) -> None:
    kept: list[str] = []
    with open_factory(keep=kept.append) as factory:
        factory.vault.init("file", path=home / "master.key")
        factory.vault.add("recovery")
        first, second = factory.store.vault.slots()
        key = factory.vault.data_key()
    (home / "master.key").unlink()
    missing = f"the key file `{home}/master.key` cannot be read: No such file or directory"
    mistyped = "the recovery key is mistyped: it has 56 letters and digits, and this has 1"

    with open_factory(ask=typed(kept[0])) as factory:
        assert [(one.slot, one.opens, one.problem) for one in factory.vault.status()] == [
            (first, False, missing),
            (second, None, None),
        ]
        [_, (slot, found)] = factory.vault.each_slot(ask=True)
        assert isinstance(found, DataKey)
        assert (slot, found.check_value()) == (second, key.check_value())
    with open_factory(ask=typed(" ")) as factory:
        assert [found for _, found in factory.vault.each_slot(ask=True)][1] is None
    with open_factory(ask=typed("a", "b", "c")) as factory:
        [_, (_, error)] = factory.vault.each_slot(ask=True)
    assert isinstance(error, DecryptionFailedError)
    assert (str(error), error.hint) == (mistyped, RIGHT_ONE)
