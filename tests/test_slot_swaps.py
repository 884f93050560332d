"""Slots that somebody exchanged, took away or slipped in: the vault does not open, for no group."""

# ruff: noqa: S608 - tables and columns are constants of this file

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tampered_store import (  # noqa: F401 - pytest finds fixtures by import
    file_fixture,
    keys_fixture,
    open_key,
    outcomes,
    read,
    tamper,
)

from raptchat import CredentialService, Factory
from raptchat.config import Settings
from raptchat.errors import DecryptionFailedError

SLOT_FIELDS = ["id", "kind", "key_id", "public_key", "wrapped_key", "proof", "params", "created_at", "trail"]


@pytest.fixture
def two_slots(keys: dict[str, str], file: Path, home: Path) -> Path:
    """The store with two key files of its own, and beside it another store that the first one opens too.

    The second one was elsewhere when the data key was changed, so that it has a trail.
    """
    with Factory(Settings.load()) as factory:
        factory.vault.add("file", path=home / "second.key")
        (home / "second.key").rename(home / "elsewhere.key")
        CredentialService(factory).rotate_vault()
        (home / "elsewhere.key").rename(home / "second.key")
    with Factory(Settings.load(store=home / "other.db")) as other:
        other.vault.init("file", path=home / "master.key")
    return file


@pytest.mark.parametrize("field", SLOT_FIELDS)
def test_slots_whose_fields_were_swapped_are_refused(
    keys: dict[str, str], two_slots: Path, home: Path, field: str
) -> None:
    (first, of_first), (second, of_second) = read(two_slots, f"SELECT rowid, {field} FROM vault_slots")
    [(foreign,)] = read(home / "other.db", f"SELECT {field} FROM vault_slots")
    original = two_slots.read_bytes()
    set_field = f"UPDATE vault_slots SET {field} = ? WHERE rowid = ?"
    for of_one, of_other in [(of_second, of_first), (foreign, of_second), (of_first, foreign)]:
        if (of_one, of_other) == (of_first, of_second):
            continue  # both slots have the same kind and key id
        tamper(
            two_slots,
            (set_field, ["aside", first] if field == "id" else [of_first, first]),
            (set_field, [of_other, second]),
            (set_field, [of_one, first]),
        )

        assert {type(found) for found in outcomes(keys).values()} <= {DecryptionFailedError}, (of_one, of_other)
        two_slots.write_bytes(original)
    assert outcomes(keys) == keys


def test_a_slot_that_somebody_slipped_in_is_refused(keys: dict[str, str], two_slots: Path) -> None:
    tamper(
        two_slots,
        ("CREATE TEMP TABLE mine AS SELECT * FROM vault_slots LIMIT 1", []),
        ("UPDATE mine SET id = 'mine'", []),
        ("INSERT INTO vault_slots SELECT * FROM mine", []),
    )

    assert {type(found) for found in outcomes(keys).values()} == {DecryptionFailedError}


def test_a_slot_that_somebody_took_away_is_noticed(keys: dict[str, str], two_slots: Path) -> None:
    tamper(two_slots, ("DELETE FROM vault_slots WHERE rowid = (SELECT max(rowid) FROM vault_slots)", []))

    with Factory(Settings.load()) as factory, pytest.raises(DecryptionFailedError, match="slots were altered"):
        open_key(factory, next(iter(keys)))


def test_the_store_says_the_same_of_every_key_when_its_slots_were_exchanged_for_anothers(
    keys: dict[str, str], two_slots: Path, home: Path
) -> None:
    with closing(sqlite3.connect(two_slots)) as db, db:
        db.execute("ATTACH ? AS other", [str(home / "other.db")])
        for table in ("vault_keys", "vault_slots"):
            db.execute(f"DELETE FROM main.{table}")
            db.execute(f"INSERT INTO main.{table} SELECT * FROM other.{table}")

    assert {type(found) for found in outcomes(keys).values()} == {DecryptionFailedError}
