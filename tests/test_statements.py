"""What a command asks of SQLite: few statements, fewer commits, and no more of them in a large store."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from conftest import Run

from raptchat.store import Store

Counted = Callable[[str], list[str]]

# What stands for a write to the disk: every other transaction only reads.
WRITING = "BEGIN IMMEDIATE"
# Opening a store, before anything is asked of it: five settings and its version.
OPENING = 6


class Recording(sqlite3.Connection):
    """A connection that keeps each statement which it is given."""

    said: list[str]

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        self.said.append(sql)
        return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> sqlite3.Cursor:
        self.said.append(sql)
        return super().executemany(sql, parameters)

    def executescript(self, script: str, /) -> sqlite3.Cursor:
        self.said.append(script)
        return super().executescript(script)


@contextmanager
def recorded() -> Iterator[list[str]]:
    """The statements that new connections are given meanwhile."""
    Recording.said = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Recording))
        yield Recording.said


@pytest.fixture
def statements(biology: Run) -> Counted:
    """Run a command; the statements that it ran, with the parameters left out."""

    def run(words: str) -> list[str]:
        with recorded() as said:
            biology(words)
        return said

    return run


def commits(said: list[str]) -> int:
    return said.count(WRITING)


def test_a_question_takes_few_statements_and_commits(statements: Counted) -> None:
    said = statements("chat -g biology -m demo/echo hello")

    assert commits(said) <= 3
    assert len(said) <= 60
    assert sum(one.startswith("CREATE TEMP TRIGGER") for one in said) == 1


def test_going_on_takes_no_more_than_beginning(statements: Counted) -> None:
    began = statements("chat -g biology -m demo/echo hello")
    went_on = statements("chat -g biology -m demo/echo -c again")

    assert commits(went_on) <= commits(began)
    assert len(went_on) <= len(began)


def test_without_a_budget_and_rules_nothing_is_asked_about_them(statements: Counted) -> None:
    said = statements("chat -g biology -m demo/echo hello")
    assert not any("FROM reservations" in one or "INTO reservations" in one for one in said)


def test_a_budget_takes_no_commit_more(statements: Counted, biology: Run) -> None:
    biology("chat -g biology -m demo/echo hello")
    without = statements("chat -g biology -m demo/echo hello")
    biology("group budget biology 5")
    biology("models -g biology")
    within = statements("chat -g biology -m demo/echo hello")

    assert commits(within) == commits(without)
    assert len(within) <= len(without) + 14


def test_a_private_question_writes_its_bill_alone(statements: Counted) -> None:
    said = statements("chat -g biology -m demo/echo --private hello")

    assert commits(said) <= 3
    assert not any("messages" in one for one in said if one.startswith(("INSERT", "UPDATE")))


@pytest.mark.parametrize(
    ("words", "most"),
    [("credentials list", 4), ("group list", 4), ("whoami -g biology", 8), ("sessions list", 4), ("usage", 3)],
)
def test_a_list_asks_little_writes_nothing_and_does_not_even_prepare_to(
    statements: Counted, words: str, most: int
) -> None:
    statements("chat -g biology -m demo/echo hello")
    said = statements(words)

    assert len(said) <= OPENING + most
    assert not any(one.startswith(("BEGIN IMMEDIATE", "INSERT", "UPDATE", "DELETE", "CREATE")) for one in said)


@pytest.mark.parametrize(
    "words", ["chat -m demo/echo -g biology -c hello", "credentials list biology", "whoami -g biology"]
)
def test_a_large_store_is_asked_no_more_than_a_small_one(
    statements: Counted, biology: Run, home: Path, words: str
) -> None:
    biology("chat -g biology -m demo/echo first")
    small = statements(words)
    with closing(Store.open(home / "raptchat.db")) as store:
        fill(store)

    assert statements(words) == small


def test_opening_a_store_reads_its_version_and_nothing_else(home: Path) -> None:
    Store.open(home / "raptchat.db").close()
    with recorded() as said:
        Store.open(home / "raptchat.db").close()

    assert len(said) == OPENING
    assert all(one.startswith("PRAGMA ") for one in said[:-1])


def fill(store: Store) -> None:
    """Many groups, and many messages in the session that is there."""
    with store.write():
        for number in range(60):
            store.groups.add(f"group {number}")
        [found] = store.sessions.listed()
        for number in range(30):
            store.sessions.add_message(found.session.id, "user", f"question {number}")
            store.sessions.add_message(found.session.id, "assistant", f"answer {number}")
