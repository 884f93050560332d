"""Rows are what they were asked for, also in a store that was changed so that it answers with others."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from full_store import put

from raptchat.errors import StoreError, WrongGroupError
from raptchat.records import Credential, Group, Session
from raptchat.store import Store

# That a change is never met in so many looks, of which each meets it with a chance of 1 in 8 or more: 1 in 10^9.
LOOKS = 160
ASKED = "00000001"

Found = Group | Credential | Session | None


@pytest.fixture
def path(home: Path) -> Path:
    return put(home)


def make_unsteady(path: Path, table: str, column: str) -> None:
    """Make *table* a view in which *column* has another value each time that it is looked at."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA legacy_alter_table = ON")
        others = [name for _, name, *_ in db.execute(f"PRAGMA table_info({table})") if name != column]
        db.execute(f"ALTER TABLE {table} RENAME TO kept")
        # SQLite puts the expression wherever the column is named: it is compared once, and read anew.
        unsteady = f"printf('%08d', abs(random()) % 2) AS {column}"
        db.execute(f"CREATE VIEW {table} AS SELECT rowid, {unsteady}, {', '.join(others)} FROM kept")  # noqa: S608


def looked(path: Path, look: Callable[[Store], object]) -> list[object]:
    """What is found, or the error that it is, in many looks."""
    found = []
    for _ in range(LOOKS):
        with closing(Store.open(path)) as store:
            try:
                found.append(look(store))
            except (StoreError, WrongGroupError) as error:
                found.append(error)
    return found


@pytest.mark.parametrize(
    ("table", "column", "look"),
    [
        ("groups", "id", lambda store: store.groups.get(ASKED)),
        ("sessions", "id", lambda store: store.sessions.get(ASKED)),
        ("sessions", "group_id", lambda store: store.sessions.last_used(ASKED)),
        ("ai_credentials", "id", lambda store: store.credentials.get(ASKED)),
        ("ai_credentials", "group_id", lambda store: store.credentials.active(ASKED, "openrouter")),
        ("ai_credentials", "group_id", lambda store: next(iter(store.credentials.of_group(ASKED)), None)),
    ],
)
def test_what_is_found_is_what_was_asked_for(
    path: Path, table: str, column: str, look: Callable[[Store], Found]
) -> None:
    make_unsteady(path, table, column)
    found = looked(path, look)

    assert any("under another's" in str(one) for one in found)
    for one in found:
        assert one is None or isinstance(one, StoreError | WrongGroupError) or getattr(one, column) == ASKED


@pytest.mark.parametrize(
    ("table", "look"),
    [
        ("groups", lambda store: store.groups.with_prefix(ASKED)),
        ("sessions", lambda store: store.sessions.with_prefix(ASKED)),
        ("ai_credentials", lambda store: store.credentials.with_prefix(ASKED)),
    ],
)
def test_what_is_found_by_the_beginning_of_its_id_begins_so(
    path: Path, table: str, look: Callable[[Store], list[Group | Credential | Session]]
) -> None:
    make_unsteady(path, table, "id")
    found = [one for some in looked(path, look) if isinstance(some, list) for one in some]

    assert {one.id for one in found} == {ASKED}
