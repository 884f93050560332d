"""The sum of every row: true after whatever the program does, and another one after whatever it did not do."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from conftest import rows
from full_store import NOON, ORIGIN, PICTURE, put, talk

from raptchat import CredentialService, Factory
from raptchat.config import Settings
from raptchat.errors import StoreError
from raptchat.records import Booking, Usage
from raptchat.store import Store, row_sums
from raptchat.store.connection import Connection, DamagedStoreError
from raptchat.store.migrations import STEPS
from raptchat.store.row_sums import DamagedRow
from raptchat.store.upgrade import migrate

if TYPE_CHECKING:
    from sqlite_utils import Database


@pytest.fixture
def path(home: Path) -> Path:
    return put(home)


def damage(path: Path, *statements: str) -> None:
    """Change rows as a flipped bit does: no sum is renewed."""
    with closing(sqlite3.connect(path)) as db, db:
        for statement in statements:
            db.execute(statement)


def damaged(path: Path) -> list[DamagedRow]:
    with closing(Store.open(path)) as store:
        return store.checks.row_sums()


def session_of(store: Store, number: int = 0) -> str:
    return store.sessions.listed()[number].session.id


def rename_and_bind(store: Store) -> None:
    [group, *_] = store.groups.all()
    store.groups.set(group.id, name="botany", description=None)
    store.groups.bind(Path("/home/teacher/biology"), group.id)
    store.groups.unbind(Path("/nowhere"))


def remove_a_group(store: Store) -> None:
    store.groups.remove(store.groups.all()[0].id)


def stream(store: Store) -> None:
    message_id = store.sessions.add_message(session_of(store), "assistant", "", state="incomplete")
    for length in (10, 2000, 100_000):
        text = "größer " * length
        store.sessions.update_message(message_id, content=text, state="incomplete", model=None, reasoning=text)
    store.sessions.update_message(
        message_id, content="ende", state="complete", model="a/b", reasoning_details="[]"
    )


def fork_and_move(store: Store) -> None:
    copied = store.sessions.copy(session_of(store), title="fork", until=4)
    first, third = (store.sessions.message_id(copied.id, seq) for seq in (1, 3))
    assert first is not None
    assert third is not None
    store.sessions.move_messages(third, instead_of=first)
    store.sessions.remove_messages(copied.id, since=2)


def remove_sessions(store: Store) -> None:
    store.sessions.remove(session_of(store))
    store.sessions.remove_unused_since("9999")


def use_credentials(store: Store) -> None:
    [first, *_] = store.credentials.all()
    store.credentials.touch(first.id)
    store.credentials.set_active(first.id, active=False)
    store.credentials.reseal(first._replace(encrypted_key=b"\0\xff", nonce=b""))
    store.credentials.remove(first.id)


def manage_keys(store: Store) -> None:
    [key] = store.management.keys()
    store.management.put_key(key._replace(encrypted_key=b"\0\xff"))
    [work] = store.management.works(ORIGIN)
    store.management.go_on(work._replace(old_hash="1" * 64))
    store.management.finish(work.id)
    store.management.remove_key(ORIGIN)


def spend(store: Store) -> None:
    group = store.groups.all()[0]
    reservation = store.budgets.reserve(group.id, Decimal(1))
    store.budgets.extend(reservation)
    store.budgets.release(reservation)
    store.ledger.book(Booking(group.id, "", None, "", "openrouter", "a/b", "me", "gen-2", None, Usage(), NOON))
    [unknown] = store.ledger.unknown(group.id, "openrouter")
    store.ledger.learn(unknown.id, Usage(1, 2, cost=Decimal("0.03")))


def put_a_slot_again(store: Store) -> None:
    [first, *_] = store.vault.slots()
    store.vault.put_slot(first)


DEEDS = [
    rename_and_bind,
    remove_a_group,
    stream,
    fork_and_move,
    remove_sessions,
    use_credentials,
    put_a_slot_again,
    manage_keys,
    spend,
]


@pytest.mark.parametrize("do", DEEDS)
def test_what_the_program_does_keeps_every_sum_true(path: Path, do: Callable[[Store], None]) -> None:
    with closing(Store.open(path)) as store:
        with store.write():
            do(store)
        assert store.checks.problems() == []
        store.sessions.scrub()
        assert store.checks.problems() == []
    assert damaged(path) == []


@pytest.mark.parametrize("do", DEEDS)
def test_what_is_undone_leaves_every_sum_as_it_was(path: Path, do: Callable[[Store], None]) -> None:
    sums = rows(path.parent, "SELECT * FROM row_sums")
    with closing(Store.open(path)) as store:

        def fail() -> None:
            with store.write():
                do(store)
                raise RuntimeError

        with pytest.raises(RuntimeError):
            fail()
        assert store.checks.row_sums() == []
        assert rows(path.parent, "SELECT * FROM row_sums") == sums
        with store.write():
            do(store)
        assert store.checks.row_sums() == []


def test_a_change_outside_of_a_transaction_is_summed_up_too(path: Path) -> None:
    with closing(Store.open(path)) as store:
        store.groups.add("chemistry")
        store.groups.remove(store.groups.all()[0].id)

        assert store.checks.row_sums() == []


def test_the_service_keeps_every_sum_true(path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert path.exists()
    monkeypatch.setenv("RAPTCHAT_MASTER_KEY_FILE", str(home / "master.key"))
    with Factory(Settings.load()) as factory:
        service = CredentialService(factory)
        [group, other, _] = factory.store.groups.all()
        service.create(group.id, "sk-or-v1-another-" + "1" * 40, replace=True)
        service.rename_group(group, "botany")
        service.remove_group(other)
        factory.vault.add("file", path=home / "third.key")

        assert factory.store.checks.problems() == []


def test_every_table_has_its_rows_summed_up(path: Path) -> None:
    tables = {name for (name,) in rows(path.parent, "SELECT name FROM pragma_table_list WHERE strict = 1")}
    summed = {name for (name,) in rows(path.parent, "SELECT DISTINCT table_name FROM row_sums")}

    assert tables - {"row_sums", "attachments", "ai_usage_days"} == summed - {"sqlite_schema"}
    for table in summed:
        [(count,)] = rows(path.parent, f"SELECT count(*) FROM {table}")  # noqa: S608
        assert rows(path.parent, "SELECT count(*) FROM row_sums WHERE table_name = ?", table) == [(count,)]


@pytest.mark.parametrize(
    ("statement", "table"),
    [
        ("UPDATE groups SET description = 'Größf' WHERE name = 'art'", "groups"),
        ("UPDATE ai_credentials SET label = NULL", "ai_credentials"),
        ("UPDATE messages SET content = 'How lerge' WHERE id = 1", "messages"),
        ("UPDATE messages SET content = CAST(x'ff' AS TEXT) WHERE id = 1", "messages"),
        ("UPDATE messages SET id = 999 WHERE id = 2", "messages"),
        ("UPDATE ai_usage SET cost_nano_usd = cost_nano_usd + 1024 WHERE id = 1", "ai_usage"),
        ("DELETE FROM ai_usage WHERE id = 2", "ai_usage"),
        ("INSERT INTO bindings VALUES ('/tmp', NULL, '')", "bindings"),
        ("UPDATE vault_slots SET params = '{}'", "vault_slots"),
        ("UPDATE store SET id = 'another'", "store"),
        ("UPDATE message_attachments SET name = 'Cell.png'", "message_attachments"),
        ("DROP TRIGGER events_refuse_update", "sqlite_schema"),
        ("DELETE FROM row_sums WHERE table_name = 'sessions'", "sessions"),
    ],
)
def test_a_row_that_the_program_did_not_write_is_found(path: Path, statement: str, table: str) -> None:
    damage(path, statement)

    found = damaged(path)
    assert {row.table for row in found} == {table}
    assert all(row.key for row in found)
    with closing(Store.open(path)) as store:
        assert any(f"a row of `{table}`" in problem for problem in store.checks.problems())


def test_a_damaged_row_can_be_changed_and_removed(path: Path) -> None:
    damage(
        path, "UPDATE messages SET content = CAST(x'ff' AS TEXT) WHERE id = 1", "DELETE FROM messages WHERE id = 3"
    )
    with closing(Store.open(path)) as store:
        session = session_of(store, 2)
        with store.write():
            store.sessions.mark(1, "failed")
        assert [row.key for row in store.checks.row_sums()] == ["3"]
        with store.write():
            store._connection.execute("DELETE FROM messages WHERE id = 1")
            # Its sum is still there.
            store._connection.execute("UPDATE messages SET id = 3 WHERE id = 4")
        assert store.checks.row_sums() == []
        with store.write():
            store.sessions.set(session, title="still there")


def test_a_table_that_cannot_be_read_is_damaged_as_a_whole(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        [(page,)] = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'bindings'").fetchall()
        [(size,)] = db.execute("PRAGMA page_size").fetchall()
    data = bytearray(path.read_bytes())
    data[(page - 1) * size : page * size] = b"\xff" * size
    path.write_bytes(data)

    with closing(Store.open(path)) as store:
        assert store.checks.row_sums() == [DamagedRow("bindings", None)]
        assert store.checks.integrity()


def test_a_table_without_a_primary_key_is_no_table_of_a_store(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE notes (text TEXT)")

    with closing(Store.open(path)) as store:
        assert store.checks.row_sums() == [DamagedRow("sqlite_schema", None)]
        with pytest.raises(DamagedStoreError, match="is damaged, or no store of raptchat"):
            store.groups.add("chemistry")
        assert store.groups.named("chemistry") is None


def add_colour(db: "Database") -> None:
    db.execute("ALTER TABLE groups ADD COLUMN colour TEXT")


def add_a_table(db: "Database") -> None:
    db.execute(
        "CREATE TABLE notes (group_id TEXT, number INTEGER, text TEXT, PRIMARY KEY (group_id, number)) STRICT"
    )
    db.execute("INSERT INTO notes VALUES ('g', 1, 'one')")


def test_a_column_with_nothing_in_it_changes_no_sum(path: Path) -> None:
    sums = rows(path.parent, "SELECT * FROM row_sums WHERE table_name = 'groups'")
    with closing(Connection(path)) as connection:
        migrate(connection, [*STEPS, add_colour])

    assert rows(path.parent, "SELECT * FROM row_sums WHERE table_name = 'groups'") == sums


def test_the_rows_of_a_later_table_are_summed_up(path: Path) -> None:
    with closing(Connection(path)) as connection:
        migrate(connection, [*STEPS, add_a_table])
        connection.before_first_write(row_sums.keep_true)
        with connection.write():
            connection.execute("INSERT INTO notes VALUES ('g', 2, 'two'), ('h', 3, NULL)")
            connection.execute("UPDATE notes SET number = 4, text = 'four' WHERE number = 1")
            connection.execute("INSERT OR REPLACE INTO notes VALUES ('g', 2, 'zwei')")
        assert row_sums.damaged_rows(connection) == []
        kept = connection.rows("SELECT key FROM row_sums WHERE table_name = 'notes' ORDER BY key")
        assert [row["key"] for row in kept] == ["'g' 2", "'g' 4", "'h' 3"]
        connection.raw.execute('DROP TRIGGER "notes after UPDATE"')
        connection.execute("UPDATE notes SET text = 'too'")
        assert {row.key for row in row_sums.damaged_rows(connection)} == {"'g' 2", "'g' 4", "'h' 3"}


def test_what_replace_takes_away_has_no_sum_any_more(path: Path) -> None:
    with closing(Store.open(path)) as store, store.write():
        [group, *_] = store.groups.all()
        store._connection.execute(
            "INSERT OR REPLACE INTO groups"
            " (id, name, name_key, description, model, system_prompt, provider, created_at, updated_at)"
            " SELECT 'new', name, name_key, NULL, NULL, NULL, NULL, '', '' FROM groups WHERE id = ?",
            (group.id,),
        )
        assert store.groups.get(group.id) is None
        assert store.checks.row_sums() == []


def test_events_are_not_replaced_either(path: Path) -> None:
    with closing(Store.open(path)) as store, pytest.raises(StoreError, match="events only grow"), store.write():
        store._connection.execute(
            "INSERT OR REPLACE INTO events SELECT id, '', '', '', '', '', '', '', '' FROM events"
        )


def test_an_upgrade_does_not_hide_what_was_damaged_before(path: Path) -> None:
    damage(path, "UPDATE messages SET content = 'no' WHERE id = 1", "DELETE FROM ai_usage WHERE id = 2")
    before = damaged(path)
    with closing(Connection(path)) as connection:
        migrate(connection, [*STEPS, add_colour])
        after = row_sums.damaged_rows(connection)

    assert len(before) == 2
    assert after == before


def test_a_store_from_before_the_sums_gets_them(home: Path) -> None:
    with closing(Connection(home / "raptchat.db")) as connection:
        migrate(connection, STEPS[:2])
        connection.execute("INSERT INTO groups VALUES ('g', 'art', 'art', NULL, NULL, NULL, NULL, '', '')")
    with closing(Store.open(home / "raptchat.db")) as store:
        assert store.checks.row_sums() == []
        assert rows(home, "SELECT key FROM row_sums WHERE table_name = 'groups'") == [("'g'",)]


def test_a_session_that_is_removed_takes_its_attachment_with_it(path: Path) -> None:
    with closing(Store.open(path)) as store:
        with store.write():
            group = store.groups.add("chemistry")
            talk(store, group.id, "c")
            store.sessions.remove_unused_since("9999")
        assert rows(path.parent, "SELECT count(*) FROM attachments WHERE hash = ?", PICTURE.hash) == [(0,)]
        assert store.checks.problems() == []
