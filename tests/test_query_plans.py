"""Every statement of every command finds what it wants by an index, however much is stored.

While all commands run, each statement that they hand to SQLite is written down, and then `EXPLAIN QUERY PLAN` says
how it is carried out. Each statement that stands in the code must be among them. Nothing here is timed.
"""

import ast
import re
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Self

import pytest
from age_files import Identity
from conftest import Run, rows
from sample_files import PNG

import raptchat as package
from raptchat import CredentialService, Factory
from raptchat.demo import DEMO_MANAGEMENT_KEY
from raptchat.records import Booking, Session, Usage
from raptchat.store import Store
from raptchat.store.ledger import BY
from raptchat.store.peek import peek
from raptchat.store.search import Query, find

SOURCES = Path(package.__file__).parent
# What reads or changes everything on purpose: an upgrade, the sums of all rows, a check of the file, a copy.
WHOLE_FILE = {
    SOURCES / "store" / f"{name}.py"
    for name in ("migrations", "upgrade", "row_sums", "checks", "backup", "restore")
}
# It asks a file of another program, which has what indexes it has.
ELSEWHERE = {SOURCES / "foreign_sessions" / "llm_log.py"}
# One row, or as many as a person has made by hand, or the schema.
SMALL = {
    "sqlite_master",
    "store",
    "bindings",
    "vault_keys",
    "vault_slots",
    "management_keys",
    "key_works",
    "sqlite_schema",
    "t",
    "c",
    "f",
}
BEGINS = ("SELECT ", "INSERT ", "UPDATE ", "DELETE ", "REPLACE ", "WITH ")

ALLOWED = {
    r"SELECT \(SELECT count\(\*\) FROM groups\)": "counts all, by an index, for `backup`",
    r"FROM groups ORDER BY name_key$": "lists all groups, in the order of an index",
    r"FROM ai_credentials WHERE 1 ": "lists all keys, in the order of an index, or rotates them",
    r'SELECT 1 FROM "ai_credentials" WHERE "key_id" = \?': "a rotation, which writes all of them",
    r"SELECT DISTINCT group_id, group_name FROM events": "`events -g` of a group that is gone",
    r"FROM events WHERE true ORDER BY id DESC LIMIT": "the last events, read from the end",
    r"FROM events WHERE created_at >= .* ORDER BY id DESC": "sorts the events of the days that are named",
    r"FROM \(SELECT .* FROM sessions\s+ORDER BY last_used_at DESC, number DESC LIMIT :limit\)": "the last",
    r"FROM \(SELECT .* FROM sessions\s+WHERE .* LIMIT :limit\)": "sorts again the few that the limit has left",
    r"FROM \w+ WHERE id >= \? AND id < \? ORDER BY": "sorts what an id's beginning has found",
    r"FROM ai_credentials WHERE key_fingerprint = \? ORDER BY": "sorts the groups that share one key",
    r"ORDER BY bm25": "ranks the newest 50,000 that were found, or all when all are asked for",
    r"FROM messages CROSS JOIN .* WHERE true .*ORDER BY messages.id DESC LIMIT": "few, or all asked for",
    r"SELECT messages.id AS id FROM messages WHERE true ORDER BY messages.id DESC LIMIT 1 OFFSET": "50,000 steps",
}


@dataclass
class Recorder:
    """The statements that were run, each with the values of its first run."""

    statements: dict[str, Any] = field(default_factory=dict)

    def note(self, sql: str, parameters: Any = ()) -> None:
        """Remember one, unless it is for the whole file."""
        callers = set(map(Path, _callers()))
        if (
            sql.startswith(BEGINS)
            and not callers & WHOLE_FILE
            and any(path.is_relative_to(SOURCES) for path in callers)
        ):
            self.statements.setdefault(sql, parameters)


def _callers() -> Iterator[str]:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame.f_code.co_filename
        frame = frame.f_back


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """Every connection that is made from now on tells what it runs."""
    recorded = Recorder()

    class Told(sqlite3.Cursor):
        def execute(self, sql: str, parameters: Any = (), /) -> Self:
            recorded.note(sql, parameters)
            return super().execute(sql, parameters)

    class Telling(sqlite3.Connection):
        def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
            return self.cursor(Told).execute(sql, parameters)

    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Telling))
    return recorded


@pytest.fixture
def all_statements(recorder: Recorder, biology: Run, home: Path) -> Mapping[str, Any]:
    """What all commands run, and what a conversation does besides."""
    commands(biology, home)
    spending(biology, home)
    with Factory() as factory:
        conversation(factory)
        searches(factory.store)
    with closing(peek(home / "raptchat.db")) as looked_at:
        looked_at.sessions.with_prefix("a")
    return recorder.statements


def commands(raptchat: Run, home: Path) -> None:
    """Each command that asks the store something, on a store with two of everything."""
    Path("diagram.png").write_bytes(PNG)
    raptchat("group add-key history --stdin", stdin="sk-or-v1-history-000000000000000000000000")
    raptchat("group add-key history --stdin --replace", stdin="sk-or-v1-history-1111111111111111111111111")
    for words in (
        "group create art --model demo/echo",
        "chat -g biology -m demo/echo 'What is a cell?'",
        "chat -g biology -m demo/seen -a diagram.png 'What is shown?'",
        "chat -g biology -m demo/echo -c --system Briefly 'And 細胞?'",
        "group bind biology",
        "group set biology --description 'First year'",
        "chat -m demo/echo 'And a wall?'",
        "whoami",
        "group unbind",
    ):
        raptchat(words)
    identity, bundle = Identity(Path("identity.txt")), Path("all.age").absolute()
    [(first,), (second,), *_] = rows(home, "SELECT id FROM sessions ORDER BY rowid")
    [(key,), *_] = rows(home, "SELECT id FROM ai_credentials WHERE is_active = 0")
    for words in (
        "doctor --offline",
        "group list",
        "group show biology",
        "group rename history annals",
        "credentials list",
        "credentials list biology",
        f"credentials show {key[:8]}",
        f"credentials activate {key}",
        f"credentials deactivate {key}",
        f"credentials delete {key} --yes",
        "sessions list",
        "sessions list -g biology",
        f"sessions show {first[:8]}",
        f"sessions rename {first} Cells",
        f"sessions fork {second} --at 2",
        f"sessions export {second}",
        "sessions search cell",
        "sessions search --best cell -g biology",
        "sessions remove --before 2001-01-01 --yes",
        "sessions remove --before 2001-01-01 -g biology --yes",
        "usage",
        "usage biology --all --by day",
        *(f"usage --all --by {key}" for key in BY),
        f"usage biology --by {','.join(BY)}",
        "models -g biology",
        "events",
        "events -g biology",
        "events --since 2026-01-01",
        "events --since 2026-01-01 -g biology",
        "vault status",
        "vault check",
        "vault rotate",
        f"backup {home / 'copy'}",
        f"vault export {bundle} --with-sessions --recipient {identity.recipient}",
        "group remove art --yes",
        f"vault import {bundle} --identity {identity.file} --on-conflict skip",
        f"sessions remove {first} --yes",
        "sessions remove --before 2100-01-01 -g annals --yes",
        "group remove annals --yes",
    ):
        raptchat(words)
    raptchat("events -g annals")
    raptchat("whoami -g nobody", exit_code=3)


def spending(raptchat: Run, home: Path) -> None:
    """What commands ask of a group with a budget, and of an account with a management key."""
    raptchat("account login --stdin", stdin=DEMO_MANAGEMENT_KEY)
    raptchat("group provision music --limit 5 --model demo/echo")
    for words in (
        "group budget music 20 --per month",
        "chat -g music hello",
        "chat -g music -m any/unlisted hello",
        "group budget music",
        "group rotate-key music",
        "account keys",
        "usage --detail",
        "usage music --detail",
        "usage --refresh",
        "usage reconcile",
        "credentials check",
        "vault rotate",
        "group remove music --revoke --yes",
        "account logout --yes",
    ):
        raptchat(words)
    with Factory() as factory, factory.store.write():
        store = factory.store
        store.budgets.extend("a")
        store.ledger.unknown("g", "openrouter", limit=1)
        store.ledger.learn(0, Usage(cost=Decimal(1)))


def conversation(factory: Factory) -> None:
    """What only somebody at a terminal does."""
    store = factory.store
    group = store.groups.named("biology")
    assert group is not None
    [key] = CredentialService(factory).list_for_group(group.id)
    with store.write():
        session = store.sessions.add(group.id)
        asked = [store.sessions.add_message(session.id, "user", f"question {number}") for number in range(4)]
        store.sessions.update_message(asked[2], content="another", state="failed", model=None)
        store.sessions.mark(asked[3], "failed")
        store.sessions.move_messages(asked[3], instead_of=asked[1])
        store.sessions.remove_messages(session.id, since=2)
        store.sessions.put(session._replace(id="another"))
        store.sessions.put_message("another", store.sessions.messages(session.id)[0])
        store.ledger.book(
            Booking(group.id, group.name, "another", key.id, "openrouter", "a/b", "me", None, None, Usage(), "")
        )
    store.sessions.message_id(session.id, 1)
    store.sessions.has_message(asked[0])
    store.ledger.report([], session_id=session.id)
    store.ledger.report([], group_id=group.id, since="2026-11-01")
    store.groups.with_prefix(group.id[:4])
    store.credentials.with_prefix(key.id[:4])
    only_refused = store.groups.add("refused")
    refused: Session = store.sessions.add(only_refused.id)
    store.sessions.last_used(refused.group_id)
    factory.vault.remove(factory.vault.add("file", path=Path("second.key")).id)


def searches(store: Store) -> None:
    """Every way to search, as it is in a store with more messages than are candidates."""
    group = store.groups.named("biology")
    assert group is not None
    for text in ("cell", "細胞", "cell 細胞"):
        for best in (False, True):
            for group_ids in (None, [group.id]):
                find(store.sessions._db, Query.read(text), group_ids=group_ids, best=best, candidates=1)
                find(store.sessions._db, Query.read(text), group_ids=group_ids, best=best)


def plan(db: sqlite3.Connection, sql: str, parameters: Any) -> list[str]:
    """What `EXPLAIN QUERY PLAN` says, a line a step."""
    return [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}", parameters)]


def faults(steps: Sequence[str]) -> list[str]:
    """The steps that read a whole table that grows, or sort what they have read of it."""
    found = []
    tables = {step.split(" ")[1] for step in steps if step.startswith(("SCAN ", "SEARCH "))}
    for step in steps:
        name = step.removeprefix("SCAN ").split(" ")[0]
        if step.startswith("SCAN ") and name not in SMALL:
            # The index of the words is asked for words (M), or for the row of a message (=).
            words = "VIRTUAL TABLE INDEX" in step and re.search(r":.*[M=]", step)
            derived = name.startswith(("(", "pragma")) or name in {"sums", "json_each", "CONSTANT"}
            if not words and not derived:
                found.append(step)
        elif "TEMP B-TREE FOR ORDER BY" in step and not tables <= SMALL:
            found.append(step)
    return found


def literals() -> Iterator[tuple[str, re.Pattern[str]]]:
    """Where each statement stands in the code, and what it looks like when it is run."""
    for path in sorted(SOURCES.rglob("*.py")):
        if path in WHOLE_FILE | ELSEWHERE:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for function in ast.walk(tree):
            if not isinstance(function, ast.FunctionDef):
                continue
            for node in ast.walk(function):
                if isinstance(node, ast.JoinedStr | ast.Constant):
                    parts: Sequence[ast.expr] = node.values if isinstance(node, ast.JoinedStr) else [node]
                    texts = [part.value if isinstance(part, ast.Constant) else None for part in parts]
                    if texts and str(texts[0]).startswith(BEGINS):
                        wanted = "".join(".*" if text is None else re.escape(str(text)) for text in texts)
                        yield f"{path.relative_to(SOURCES)}:{node.lineno}", re.compile(wanted, re.DOTALL)


def test_every_statement_of_the_code_is_run_here(all_statements: Mapping[str, Any]) -> None:
    places = dict(literals())
    assert len(places) > 50

    never = [place for place, wanted in places.items() if not any(map(wanted.match, all_statements))]

    assert not never, never


def test_no_statement_reads_or_sorts_a_whole_table_that_grows(
    all_statements: Mapping[str, Any], home: Path
) -> None:
    unused = set(ALLOWED)
    refused = []
    with closing(sqlite3.connect(home / "raptchat.db")) as db:
        db.create_function("row_sum", -1, lambda *_: b"")
        for sql, parameters in all_statements.items():
            found = faults(plan(db, sql, parameters))
            reasons = {pattern for pattern in ALLOWED if re.search(pattern, sql, re.DOTALL)}
            if found:
                unused -= reasons
            if found and not reasons:
                refused.append((sql, found))

    assert not refused, "\n".join(map(str, refused))
    assert not unused, unused


def test_a_trigger_finds_what_it_changes_by_an_index(home: Path) -> None:
    with closing(Store.open(home / "raptchat.db")), closing(sqlite3.connect(home / "raptchat.db")) as db:
        triggers = db.execute("SELECT sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        for (sql,) in triggers:
            when, _, body = re.sub(r"\b(?:new|old)\.\w+", "NULL", sql).partition("BEGIN")
            for statement in (*re.findall(r"WHEN (.*)", when), *body.removesuffix("END").split(";")):
                if statement.strip() and "RAISE" not in statement:
                    asked = statement if statement.strip().startswith(BEGINS) else f"SELECT {statement}"
                    assert faults(plan(db, asked, ())) == [], sql

    assert len(triggers) >= 4


def test_what_goes_with_a_row_is_found_by_an_index(home: Path) -> None:
    # Else deleting one session would read all messages.
    with closing(Store.open(home / "raptchat.db")), closing(sqlite3.connect(home / "raptchat.db")) as db:
        children = db.execute(
            'SELECT t.name, f."from" FROM sqlite_schema t JOIN pragma_foreign_key_list(t.name) f'
            " WHERE type = 'table'"
        ).fetchall()
        # A key of the vault goes when all credentials were sealed anew; a table that has few rows may be read.
        looked_up = [pair for pair in children if pair[0] not in SMALL and pair != ("ai_credentials", "key_id")]
        for table, column in looked_up:
            assert faults(plan(db, f"DELETE FROM {table} WHERE {column} = ?", ("",))) == [], (table, column)  # noqa: S608

    assert ("messages", "session_id") in looked_up


def grown(store: Store, groups: int) -> Session:
    """*store* with so many groups, each with three sessions and a line of the ledger; one session of the first."""
    with store.write():
        made = [store.groups.add(f"group {number}") for number in range(groups)]
        for group in made:
            for session in [store.sessions.add(group.id) for _ in range(3)]:
                store.sessions.add_message(session.id, "user", "the common word")
                store.ledger.book(
                    Booking(group.id, group.name, session.id, "", "", "a/b", "me", None, None, Usage(1, 1, 2))
                )
        first = store.sessions.add(made[0].id)
        store.sessions.add_message(first.id, "user", "the common word is said")
        return first


LOOKED_UP: dict[str, Callable[[Store, Session], object]] = {
    "a group by its name": lambda store, _: store.groups.named("group 1"),
    "the first groups": lambda store, _: store.groups.beginning("", 10),
    "the active key of a group": lambda store, session: store.credentials.active(session.group_id, "openrouter"),
    "the session to go on with": lambda store, session: store.sessions.last_used(session.group_id),
    "the last sessions": lambda store, _: store.sessions.listed(limit=10),
    "the last sessions of a group": lambda store, session: store.sessions.listed(session.group_id, limit=10),
    "the context of a message": lambda store, session: store.sessions.history(session.id, 20),
    "the usage of a group": lambda store, session: store.ledger.report(["day"], group_id=session.group_id),
    "the newest with a common word": lambda store, _: store.sessions.search(Query.read("common"), limit=10),
    "the last events": lambda store, _: store.ledger.events(limit=10),
    "the best of the newest": lambda store, _: find(
        store.sessions._db, Query.read("common"), limit=5, best=True, candidates=10
    ),
    "a substring in the newest": lambda store, _: find(
        store.sessions._db, Query.read("水"), limit=5, candidates=10
    ),
}


@pytest.mark.parametrize("looked_up", LOOKED_UP.values(), ids=LOOKED_UP.keys())
def test_a_larger_store_is_asked_no_more(tmp_path: Path, looked_up: Callable[[Store, Session], object]) -> None:
    steps = []
    for groups in (10, 100):
        with closing(Store.open(tmp_path / f"{groups}.db")) as store:
            session = grown(store, groups)
            counted = [0]

            def count(counted: list[int] = counted) -> None:
                counted[0] += 1

            # Called at each instruction of SQLite's machine (sqlite3_progress_handler).
            store.sessions._db.raw.set_progress_handler(count, 1)
            looked_up(store, session)
            steps.append(counted[0])

    small, large = steps
    assert 0 < large <= small * 1.2
