"""Stores that somebody changed at random: each key opens for its own group and place, or not at all."""

# ruff: noqa: S608 - tables and columns are those that the file has

import base64
import json
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from proof import Trials, tried
from tampered_store import (  # noqa: F401 - pytest finds fixtures by import
    Sample,
    an_opener,
    flipped,
    folder_fixture,
    make_sample,
)

from raptchat.errors import RaptchatError

# Where a key is, whose it is, and what opens it.
TABLES = ["ai_credentials"] * 4 + ["groups"] * 2 + ["vault_slots"] * 2 + ["vault_keys", "store"]
SEALED = [
    ("ai_credentials", "encrypted_key"),
    ("ai_credentials", "nonce"),
    ("vault_slots", "public_key"),
    ("vault_slots", "wrapped_key"),
    ("vault_slots", "proof"),
    ("vault_slots", "params"),
    ("vault_slots", "trail"),
    ("vault_keys", "check_value"),
    ("vault_keys", "slots_mac"),
]


@pytest.fixture
def sample(folder: Path) -> Sample:
    return make_sample(folder / "home")


class Tamperer:
    """Changes one store at random, as who has no secret, heeds no foreign key and knows another store."""

    def __init__(self, db: sqlite3.Connection, other: sqlite3.Connection, dice: random.Random) -> None:
        self._db = db
        self._other = other
        self._dice = dice

    def change(self) -> None:
        table = self._dice.choice(TABLES)
        columns = [str(row[1]) for row in self._db.execute(f"PRAGMA table_info({table})")]
        fields = self._dice.sample(columns, min(self._dice.choice([1, 1, 2, 3, 99]), len(columns)))
        way = self._dice.choice([self._swap, self._swap, self._copy, self._take, self._clone, self._delete])
        try:
            with self._db:
                way(table, columns, fields)
        except sqlite3.IntegrityError:
            pass  # a constraint of the schema refuses it

    def _swap(self, table: str, columns: list[str], fields: list[str]) -> None:
        one, other = self._rows(self._db, table), self._rows(self._db, table)
        # Aside first: some of them are unique.
        keys = ", ".join(f"{name} = 'aside'" for name in fields if name in {"id", "name_key"})
        if keys:
            self._db.execute(f"UPDATE {table} SET {keys} WHERE rowid = ?", [one["rowid"]])
        self._set(table, fields, other["rowid"], one)
        self._set(table, fields, one["rowid"], other)

    def _copy(self, table: str, columns: list[str], fields: list[str]) -> None:
        self._set(table, fields, self._rows(self._db, table)["rowid"], self._rows(self._db, table))

    def _take(self, table: str, columns: list[str], fields: list[str]) -> None:
        self._set(table, fields, self._rows(self._db, table)["rowid"], self._rows(self._other, table))

    def _clone(self, table: str, columns: list[str], fields: list[str]) -> None:
        row = dict(self._rows(self._dice.choice([self._db, self._other]), table))
        row.pop("rowid")
        row["id"] = f"clone {self._dice.randrange(1000)}"
        if table == "groups" and self._dice.random() < 0.5:
            row["name"] = row["name_key"] = "clone"
        if "group_id" in row and self._dice.random() < 0.7:
            row["group_id"] = self._rows(self._db, "groups")["id"]
        names = ", ".join(row)
        self._db.execute(f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(row))})", [*row.values()])

    def _delete(self, table: str, columns: list[str], fields: list[str]) -> None:
        self._db.execute(f"DELETE FROM {table} WHERE rowid = ?", [self._rows(self._db, table)["rowid"]])

    def _set(self, table: str, fields: list[str], rowid: object, row: sqlite3.Row) -> None:
        changes = ", ".join(f"{name} = ?" for name in fields)
        values = [row[name] for name in fields]
        self._db.execute(f"UPDATE {table} SET {changes} WHERE rowid = ?", [*values, rowid])

    def _rows(self, db: sqlite3.Connection, table: str) -> sqlite3.Row:
        rows = db.execute(f"SELECT rowid, * FROM {table}").fetchall()
        if not rows:
            raise sqlite3.IntegrityError
        found = self._dice.choice(rows)
        assert isinstance(found, sqlite3.Row)
        return found


@tried("row, field and slot swaps", commit=150, deep=10_000)
def test_no_exchange_of_rows_fields_or_slots_gives_a_group_the_key_of_another(
    trials: Trials, sample: Sample, folder: Path
) -> None:
    other = make_sample(folder / "other")
    (folder / "home" / "raptchat.db").write_bytes(sample.content)
    assert sample.check(folder / "home", sample.openers[0]) == (18, 0)
    (folder / "other.db").write_bytes(other.content)
    file = folder / "home" / "raptchat.db"
    with closing(sqlite3.connect(folder / "other.db")) as foreign:
        foreign.row_factory = sqlite3.Row
        for number in trials:
            dice = random.Random(number)
            file.write_bytes(sample.content)
            with closing(sqlite3.connect(file)) as db:
                db.row_factory = sqlite3.Row
                db.execute("PRAGMA ignore_check_constraints = ON")
                for _ in range(dice.choice([1, 1, 1, 2, 4])):
                    Tamperer(db, foreign, dice).change()
            keys, refused = sample.check(folder / "home", an_opener(sample, dice))
            trials.count(stores=1, keys=keys, refused=refused)
    assert trials.counts["keys"] > trials.counts["stores"]
    assert trials.counts["refused"] > trials.counts["stores"]


@tried("bit flips in sealed rows, slots and the file", commit=300, deep=20_000)
def test_a_flipped_bit_never_gives_another_value(trials: Trials, sample: Sample, folder: Path) -> None:
    home = folder / "home"
    file = home / "raptchat.db"
    page = 4096
    pages = [at for at in range(0, len(sample.content), page) if any(sample.content[at : at + page])]
    for number in trials:
        dice = random.Random(number)
        if number % 2:
            at = dice.choice(pages)
            # Where there is something: the rest of a page is free space.
            there = [byte for byte in range(at, at + page) if sample.content[byte]]
            file.write_bytes(flipped(sample.content, dice.choice(there) * 8 + dice.randrange(8)))
            table = "file"
        else:
            file.write_bytes(sample.content)
            table = flip_what_is_sealed(file, dice)
        try:
            keys, refused = sample.check(home, an_opener(sample, dice))
        except RaptchatError:
            keys, refused = 0, 1
        # Of a sealed key no other is touched; of a slot or the key behind it, everything.
        assert table != "ai_credentials" or refused in {1, 2}
        assert not table.startswith("vault") or keys == 0
        trials.count(**{f"flips_in_{table}": 1, "keys": keys, "refused": refused})
    assert trials.counts["keys"] > 0 < trials.counts["refused"]


def flip_what_is_sealed(file: Path, dice: random.Random) -> str:
    """Flip a bit in one of the fields that nobody can change unnoticed; the table that it is in."""
    table, column = dice.choice(SEALED)
    with closing(sqlite3.connect(file)) as db, db:
        # `{}` and `[]` stay nothing, whatever flips in them.
        filled = db.execute(f"SELECT rowid, {column} FROM {table} WHERE length({column}) > 2").fetchall()
        rowid, value = dice.choice(filled)
        new = value
        while meaning(new) == meaning(value):
            data = value.encode() if isinstance(value, str) else value
            changed = flipped(data, dice.randrange(len(data) * 8))
            new = changed.decode("latin-1") if isinstance(value, str) else changed
        db.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", [new, rowid])
    return table


def meaning(value: str | bytes) -> object:
    """What a field stands for: Base64, in a slot's trail, can spell its last character in several ways."""
    if isinstance(value, bytes) or not value.startswith("[["):
        return value
    try:
        return [[key_id, *map(base64.b64decode, texts)] for key_id, *texts in json.loads(value)]
    except (ValueError, TypeError):
        return value
