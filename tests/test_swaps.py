"""A store that somebody changed: each key opens for its own group and place, or not at all."""

# ruff: noqa: S608 - tables and columns are constants of this file

import itertools
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from conftest import Run
from tampered_store import (  # noqa: F401 - pytest finds fixtures by import
    file_fixture,
    keys_fixture,
    open_key,
    outcomes,
    read,
    tamper,
)

from raptchat import Factory, get_ai_client_for_group
from raptchat.config import Settings
from raptchat.credentials import CredentialService
from raptchat.demo import DEMO_KEY, DemoGateway
from raptchat.errors import DecryptionFailedError, StoreError, WrongGroupError
from raptchat.records import KeyKind

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
            " created_by, kind FROM ai_credentials WHERE group_id = ?",
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


def test_a_value_whose_type_was_flipped_is_a_damaged_store(keys: dict[str, str], file: Path) -> None:
    # Such a row cannot be written through SQL in a STRICT table; a flipped bit of the record's header makes it.
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("PRAGMA writable_schema = ON")
        db.execute("UPDATE sqlite_schema SET sql = replace(sql, ') STRICT', ')') WHERE name = 'ai_credentials'")
    tamper(file, ("UPDATE ai_credentials SET nonce = 'twelve chars'", []))

    assert {type(found) for found in outcomes(keys).values()} == {StoreError}


@pytest.mark.parametrize("table", ["ai_credentials", "groups"])
def test_a_view_that_answers_otherwise_than_it_was_asked_gives_nobody_the_key_of_another(
    keys: dict[str, str], file: Path, table: str
) -> None:
    """An expression of a view is worked out again for each use: one value is compared, another one read."""
    one, other = list(keys)[:2]
    column = {"ai_credentials": "group_id", "groups": "id"}[table]
    columns = [str(name) for _, name, *_ in read(file, f"PRAGMA table_info({table})")]
    changing = f"CASE WHEN random() % 2 THEN '{one}' ELSE '{other}' END AS {column}"
    rest = ", ".join(changing if name == column else name for name in columns)
    tamper(
        file,
        ("PRAGMA legacy_alter_table = ON", []),
        (f"ALTER TABLE {table} RENAME TO hidden", []),
        (f"CREATE VIEW {table} AS SELECT {rest} FROM hidden WHERE {column} = '{other}'", []),
    )

    for _ in range(40):
        assert outcomes(keys)[one] != keys[other]


@pytest.mark.parametrize("way", ["trigger", "two rows of one id"])
def test_a_group_that_answers_to_another_name_in_the_middle_of_a_command_pays_nothing(
    biology: Run, gateway: DemoGateway, file_of_biology: Path, way: str
) -> None:
    biology("group add-key history --stdin", stdin=DEMO_KEY + "-history")
    rename = "UPDATE groups SET name = '{0}', name_key = '{0}' WHERE name = '{1}'"
    swap = [rename.format("x", "biology"), rename.format("biology", "history"), rename.format("history", "x")]
    if way == "trigger":
        trigger = f"CREATE TRIGGER back AFTER INSERT ON sessions BEGIN {'; '.join(swap)}; END"
        tamper(file_of_biology, *((sql, []) for sql in [*swap, trigger]))
    else:
        # The one of `history` is found by its id, and its twin by the name.
        columns = [str(name) for _, name, *_ in read(file_of_biology, "PRAGMA table_info(groups)")]
        twin = ", ".join("'biology'" if name.startswith("name") else name for name in columns)
        tamper(
            file_of_biology,
            (f"CREATE TABLE twins ({', '.join(columns)}, PRIMARY KEY (name))", []),
            ("INSERT INTO twins SELECT * FROM groups WHERE name = 'history'", []),
            (f"INSERT INTO twins SELECT {twin} FROM groups WHERE name = 'history'", []),
            ("DROP TABLE groups", []),
            ("ALTER TABLE twins RENAME TO groups", []),
        )

    # The trigger works when the question is stored, which is too late: by then a key was to be opened.
    code, reason = {
        "trigger": (78, "of group `biology` does not open"),
        "two rows of one id": (6, "the group `biology` is called `history` now"),
    }[way]
    said = biology("chat -g biology hello", exit_code=code)

    assert reason in said.err
    assert gateway.requests == []


def test_a_group_that_is_renamed_meanwhile_is_not_taken_for_the_one_that_was_meant(keys: dict[str, str]) -> None:
    first = next(iter(keys))
    with Factory(Settings.load()) as long, Factory(Settings.load()) as other:
        group = long.store.groups.require(first)
        CredentialService(other).rename_group(group, "renamed")

        with pytest.raises(WrongGroupError, match="is called `renamed` now"):
            open_key(long, first)
        assert "renamed" in [one.name for one in long.store.groups.all()]
        assert long.store.groups.again(first) == other.store.groups.get(first)
        assert open_key(long, first) == keys[first]


def test_an_older_copy_of_the_whole_store_still_opens(keys: dict[str, str], file: Path, home: Path) -> None:
    shutil.copy(file, home / "copy.db")
    with Factory(Settings.load(store=home / "copy.db")) as factory:
        assert {group_id: open_key(factory, group_id) for group_id in keys} == keys


@pytest.mark.parametrize(("sealed", "said"), list(itertools.permutations(["key", "command", "file", "none"], 2)))
def test_what_is_sealed_as_one_kind_does_not_open_as_another(
    factory: Factory, home: Path, sealed: KeyKind, said: KeyKind
) -> None:
    # A key that is run as a command would be seen by all, and a command that is sent by the gateway.
    witness, program = home / "ran", home / "program"
    program.write_text(f"#!/bin/sh\ntouch {witness}\n")
    program.chmod(0o700)
    text = "" if sealed == "none" else str(program)
    with factory.store.write():
        group = factory.store.groups.add("biology")
    url = "http://127.0.0.1:9/v1"
    CredentialService(factory).create(group.id, text, kind=sealed, provider="openai-compatible", base_url=url)
    kind = None if said == "key" else said
    tamper(home / "raptchat.db", ("UPDATE ai_credentials SET kind = ?", [kind]))

    with Factory(Settings.load()) as another:
        [credential] = CredentialService(another).list_for_group(group.id)
        assert credential.kind == said
        with pytest.raises(DecryptionFailedError, match="altered, moved or damaged"):
            CredentialService(another).open_key(credential)
        [row] = CredentialService(another).check_seals().rows
        assert row.problem is not None
        assert row.absence is None
    assert not witness.exists()
