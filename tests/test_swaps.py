"""A store that somebody changed: each key opens for its own group and place, or not at all."""

# ruff: noqa: S608 - tables and columns are constants of this file

import itertools
import random
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from conftest import Run

from raptchat import Factory, get_ai_client_for_group
from raptchat.config import Settings
from raptchat.credentials import CredentialService
from raptchat.demo import DEMO_KEY, DemoGateway
from raptchat.errors import DecryptionFailedError, RaptchatError, StoreError

PLACES = [None, None, None, "https://a.example/v1", "https://b.example/v1", "https://b.example:8443/v1"]
PAIRS = list(itertools.combinations(range(6), 2))
FIELDS = [
    "encrypted_key",
    "nonce",
    "encrypted_key, nonce",
    "encrypted_key, nonce, key_id, key_hint, key_fingerprint",
    "group_id",
    "id",
    "base_url",
    "endpoint",
    "base_url, endpoint",
    "base_url, endpoint, encrypted_key, nonce",
]


@pytest.fixture
def keys(factory: Factory) -> dict[str, str]:
    """Six groups, and the key that each was given."""
    with factory.store.write():
        groups = [factory.store.groups.add(f"group {number}") for number in range(6)]
    made = {}
    for number, (group, place) in enumerate(zip(groups, PLACES, strict=True)):
        made[group.id] = f"sk-or-v1-of-group-{number}-{number:032d}"
        CredentialService(factory).create(group.id, made[group.id], base_url=place)
    factory.close()
    return made


@pytest.fixture
def file(keys: dict[str, str], home: Path) -> Path:
    return home / "raptchat.db"


def tamper(file: Path, *statements: tuple[str, Sequence[object]]) -> None:
    """Change the store as somebody does who has no key, and need not heed foreign keys."""
    with closing(sqlite3.connect(file)) as db, db:
        for sql, parameters in statements:
            db.execute(sql, parameters)


def read(file: Path, sql: str, *parameters: object) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(file)) as db:
        return db.execute(sql, parameters).fetchall()


def open_key(factory: Factory, group_id: str) -> str:
    """The key that a request of the group would be sent with."""
    client, _ = get_ai_client_for_group(group_id, factory=factory)
    with client:
        return client._key.reveal()


def outcomes(keys: dict[str, str]) -> dict[str, str | RaptchatError]:
    """What a new process gets for each group: a key, or why not."""
    found: dict[str, str | RaptchatError] = {}
    with Factory(Settings.load()) as factory:
        for group_id in keys:
            try:
                found[group_id] = open_key(factory, group_id)
            except RaptchatError as error:
                found[group_id] = error
    return found


@pytest.mark.parametrize("fields", FIELDS)
def test_rows_that_were_swapped_do_not_open_and_the_others_do(
    keys: dict[str, str], file: Path, fields: str
) -> None:
    columns = fields.split(", ")
    rows = {str(row[0]): row[1:] for row in read(file, f"SELECT group_id, id, {fields} FROM ai_credentials")}
    original = file.read_bytes()
    for one, other in itertools.combinations(keys, 2):
        (id_of_one, *of_one), (id_of_other, *of_other) = rows[one], rows[other]
        change = ", ".join(f"{column} = ?" for column in columns)
        aside = ", ".join(f"{column} = 'aside'" for column in columns if column in {"id", "group_id"})
        tamper(
            file,
            (f"UPDATE ai_credentials SET {aside} WHERE id = ?", [id_of_one]) if aside else ("SELECT 1", []),
            (f"UPDATE ai_credentials SET {change} WHERE id = ?", [*of_one, id_of_other]),
            (
                f"UPDATE ai_credentials SET {change} WHERE id = ?",
                [*of_other, "aside" if "id" in columns else id_of_one],
            )
            if "group_id" not in columns
            else ("UPDATE ai_credentials SET group_id = ? WHERE group_id = 'aside'", of_other),
        )

        found = outcomes(keys)

        for group_id, key in keys.items():
            if group_id in {one, other} and of_one != of_other:
                assert isinstance(found[group_id], DecryptionFailedError), (fields, found[group_id])
            else:
                assert found[group_id] == key
        file.write_bytes(original)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("encrypted_key", b""),
        ("encrypted_key", b"\x01"),
        ("encrypted_key", b"\x02" + bytes(60)),
        ("nonce", b""),
        ("nonce", bytes(12)),
        ("nonce", bytes(64)),
        ("key_id", "another"),
        ("base_url", "https://evil.example/v1"),
        ("base_url", "ftp://openrouter.ai:443"),
        ("base_url", "https://openrouter.ai:99999/"),
        ("base_url", "https://openrouter.ai\\@evil.example"),
        ("base_url", "https://user@openrouter.ai/"),
        ("base_url", "http://evil.example[::1]/"),
        ("base_url", "no address"),
        ("endpoint", "https://evil.example:443"),
        ("endpoint", ""),
    ],
)
def test_a_field_that_was_changed_is_refused(
    keys: dict[str, str], file: Path, field: str, value: str | bytes
) -> None:
    first, *others = keys
    tamper(file, (f"UPDATE ai_credentials SET {field} = ? WHERE group_id = ?", [value, first]))

    found = outcomes(keys)

    assert isinstance(found[first], DecryptionFailedError)
    assert [found[other] for other in others] == [keys[other] for other in others]


def test_a_key_of_another_provider_does_not_open(keys: dict[str, str], file: Path) -> None:
    first = next(iter(keys))
    tamper(file, ("UPDATE ai_credentials SET provider = 'other' WHERE group_id = ?", [first]))

    with Factory(Settings.load()) as factory:
        [credential] = CredentialService(factory).list_for_group(first)
        with pytest.raises(DecryptionFailedError, match="altered, moved or damaged"):
            CredentialService(factory).open_key(credential)


def test_a_copied_row_does_not_open_for_the_group_that_got_it(keys: dict[str, str], file: Path) -> None:
    victim, thief = list(keys)[:2]
    tamper(
        file,
        ("DELETE FROM ai_credentials WHERE group_id = ?", [thief]),
        (
            "INSERT INTO ai_credentials SELECT 'copied', ?, provider, encrypted_key, nonce, key_id, key_hint,"
            " key_fingerprint, label, base_url, endpoint, is_active, created_at, updated_at, last_used_at,"
            " created_by FROM ai_credentials WHERE group_id = ?",
            [thief, victim],
        ),
    )

    found = outcomes(keys)

    assert isinstance(found[thief], DecryptionFailedError)
    assert found[victim] == keys[victim]


def test_two_groups_whose_names_were_exchanged_do_not_open(keys: dict[str, str], file: Path) -> None:
    one, other = list(keys)[:2]
    tamper(
        file,
        ("UPDATE groups SET name = 'x', name_key = 'x' WHERE id = ?", [one]),
        ("UPDATE groups SET name = 'group 0', name_key = 'group 0' WHERE id = ?", [other]),
        ("UPDATE groups SET name = 'group 1', name_key = 'group 1' WHERE id = ?", [one]),
    )

    found = outcomes(keys)

    assert isinstance(found[one], DecryptionFailedError)
    assert isinstance(found[other], DecryptionFailedError)
    assert [found[rest] for rest in list(keys)[2:]] == list(keys.values())[2:]


@pytest.mark.parametrize("way", ["both", "one", "spelled otherwise"])
def test_a_group_that_is_filed_under_another_name_is_a_damaged_store_and_nothing_is_sent(
    biology: Run, gateway: DemoGateway, file_of_biology: Path, way: str
) -> None:
    biology("group add-key history --stdin", stdin=DEMO_KEY + "-history")
    set_key = "UPDATE groups SET name_key = ? WHERE name = ?"
    match way:
        case "both":
            changes = [("x", "biology"), ("biology", "history"), ("history", "biology")]
        case "one":
            biology("group remove history --yes")
            changes = [("history", "biology")]
        case _:
            changes = [("Biology", "biology"), ("History", "history")]
    tamper(file_of_biology, *((set_key, change) for change in changes))

    for name in ("biology", "history"):
        said = biology(f"chat -g {name} hello", exit_code=74)
        assert said.out == ""
        assert "filed under another name" in said.err
    biology("group list", exit_code=74)
    with Factory(Settings.load()) as factory:
        [(group_id,), *_] = read(file_of_biology, "SELECT id FROM groups ORDER BY name")
        assert isinstance(group_id, str)
        attempts: list[Callable[[], object]] = [
            lambda: get_ai_client_for_group(group_id, factory=factory),
            lambda: factory.store.groups.get(group_id),
            lambda: factory.store.groups.require(group_id),
            lambda: factory.store.groups.with_prefix(group_id[:8]),
            factory.store.groups.all,
            lambda: CredentialService(factory).create(group_id, DEMO_KEY + "-x", replace=True),
            lambda: CredentialService(factory).list_for_group(group_id),
        ]
        for attempt in attempts:
            with pytest.raises(StoreError, match="filed under another name"):
                attempt()
    assert gateway.requests == []


@pytest.fixture
def file_of_biology(biology: Run, home: Path) -> Path:
    return home / "raptchat.db"


def test_a_row_of_another_store_with_the_same_key_file_does_not_open(
    keys: dict[str, str], file: Path, home: Path
) -> None:
    first = next(iter(keys))
    with Factory(Settings.load(store=home / "other.db")) as other:
        other.vault.init("file", path=home / "master.key")
        with other.store.write():
            group = other.store.groups.add("group 0")
        CredentialService(other).create(group.id, "sk-or-v1-of-the-other-store-000000")
    [(sealed, nonce)] = read(home / "other.db", "SELECT encrypted_key, nonce FROM ai_credentials")
    tamper(
        file,
        ("UPDATE ai_credentials SET encrypted_key = ?, nonce = ? WHERE group_id = ?", [sealed, nonce, first]),
    )

    assert isinstance(outcomes(keys)[first], DecryptionFailedError)


def test_a_changed_address_is_refused_before_anything_is_sent(
    factory: Factory, gateway: DemoGateway, home: Path
) -> None:
    with DemoGateway() as elsewhere:
        with Factory(Settings.load()) as first:
            with first.store.write():
                group = first.store.groups.add("biology")
            CredentialService(first).create(group.id, DEMO_KEY)
        tamper(home / "raptchat.db", ("UPDATE ai_credentials SET base_url = ?", [elsewhere.url]))

        with pytest.raises(DecryptionFailedError, match="is for http://127"):
            get_ai_client_for_group(group.id)

        tamper(
            home / "raptchat.db",
            ("UPDATE ai_credentials SET endpoint = ?", [elsewhere.url.removesuffix("/api/v1")]),
        )
        with pytest.raises(DecryptionFailedError, match="altered, moved or damaged"):
            get_ai_client_for_group(group.id)
        assert elsewhere.requests == gateway.requests == []


SLOT_FIELDS = ["id", "kind", "key_id", "public_key", "wrapped_key", "proof", "params", "created_at"]


@pytest.fixture
def two_slots(keys: dict[str, str], file: Path, home: Path) -> Path:
    """The store with two key files of its own, and beside it another store that the first one opens too."""
    with Factory(Settings.load()) as factory:
        factory.vault.add("file", path=home / "second.key")
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
        (
            "INSERT INTO vault_slots SELECT 'mine', kind, state, key_id, public_key, wrapped_key, proof, params,"
            " created_at FROM vault_slots LIMIT 1",
            [],
        ),
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


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@pytest.mark.parametrize(
    ("table", "column", "times"),
    [
        ("ai_credentials", "encrypted_key", 60),
        ("ai_credentials", "nonce", 30),
        ("vault_slots", "public_key", 20),
        ("vault_slots", "wrapped_key", 20),
        ("vault_slots", "proof", 20),
        ("vault_slots", "params", 30),
        ("vault_keys", "check_value", 20),
        ("vault_keys", "slots_mac", 20),
    ],
)
def test_a_flipped_bit_in_what_is_sealed_is_refused(
    keys: dict[str, str], file: Path, table: str, column: str, times: int
) -> None:
    dice = random.Random(f"{table} {column}")
    stored = read(file, f"SELECT rowid, {column} FROM {table} ORDER BY rowid")
    original = file.read_bytes()
    for _ in range(times):
        rowid, value = dice.choice(stored)
        assert isinstance(value, str | bytes)
        data = value.encode() if isinstance(value, str) else value
        changed: bytes | str = flipped(data, dice.randrange(len(data) * 8))
        if isinstance(value, str):
            assert isinstance(changed, bytes)
            changed = changed.decode("latin-1")
        tamper(file, (f"UPDATE {table} SET {column} = ? WHERE rowid = ?", [changed, rowid]))

        found = outcomes(keys)

        refused = [group_id for group_id in keys if found[group_id] != keys[group_id]]
        assert all(isinstance(found[group_id], RaptchatError) for group_id in refused)
        assert len(refused) == (1 if table == "ai_credentials" else len(keys))
        file.write_bytes(original)


def test_a_flipped_bit_of_the_file_never_gives_another_value(keys: dict[str, str], file: Path) -> None:
    dice = random.Random(4711)
    original = file.read_bytes()
    page = 4096
    used = [number for number in range(len(original) // page) if any(original[number * page :][:page])]
    assert outcomes(keys) == keys
    refused = 0
    for _ in range(150):
        at = dice.choice(used) * page
        # Where there is something: the rest of a page is free space.
        there = [byte for byte in range(at, at + page) if original[byte]]
        file.write_bytes(flipped(original, dice.choice(there) * 8 + dice.randrange(8)))
        try:
            found = outcomes(keys)
        except RaptchatError:
            refused += 1
            continue
        for group_id, key in keys.items():
            assert found[group_id] == key or isinstance(found[group_id], RaptchatError)
            refused += found[group_id] != key
    assert refused
    file.write_bytes(original)
    assert outcomes(keys) == keys


def test_a_value_whose_type_was_flipped_is_a_damaged_store(keys: dict[str, str], file: Path) -> None:
    # Such a row cannot be written through SQL in a STRICT table; a flipped bit of the record's header makes it.
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("PRAGMA writable_schema = ON")
        db.execute("UPDATE sqlite_schema SET sql = replace(sql, ') STRICT', ')') WHERE name = 'ai_credentials'")
    tamper(file, ("UPDATE ai_credentials SET nonce = 'twelve chars'", []))

    assert {type(found) for found in outcomes(keys).values()} == {StoreError}


def test_an_older_copy_of_the_whole_store_still_opens(keys: dict[str, str], file: Path, home: Path) -> None:
    shutil.copy(file, home / "copy.db")
    with Factory(Settings.load(store=home / "copy.db")) as factory:
        assert {group_id: open_key(factory, group_id) for group_id in keys} == keys
