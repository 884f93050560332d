"""Commands on a store of 100,000 groups with a key each, 1,000,000 messages and 500,000 lines of usage."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from measuring import Bench, Program, Row
from peers import LIMITS, PROMPT, SHORT, done

SECTION = "large_store"

GROUPS, MESSAGES = 100_000, 1_000_000
# With --quick there is a tenth of each.
QUICK = 10

# What each search is for; `make_large_store.py` says how frequent it is.
SEARCHES = {
    "a common word": "the",
    "a rare word": "ostrogoth",
    "a phrase": '"membrane potential"',
    "no hit": "visigoth",
}
UNSPACED = "光合作用"
# Of the groups one of those that are used most.
GROUP = "Class 000003"
LOOKED_UP = 50

_WORKERS = Path(__file__).with_name("workers")


def measure(bench: Bench) -> Iterator[Row]:
    """A look-up, a message, lists, searches and sums; each row says in how large a store."""
    home = bench.scratch / "large"
    groups, messages = (number // (QUICK if bench.quick else 1) for number in (GROUPS, MESSAGES))
    # Keys are sealed for the gateway.
    maker = Program("python", bench.python.command, bench.raptchat.environ)
    done(maker(str(_WORKERS / "make_large_store.py"), str(home), str(groups), str(messages)))
    store = home / "raptchat.db"
    raptchat = bench.raptchat.with_environ(
        RAPTCHAT_HOME=str(home), RAPTCHAT_MASTER_KEY_FILE=str(home / "master.key")
    )
    yield from _look_ups(bench, store, groups)
    for name, words in (
        ("chat -c", ("chat", "-c", "-g", GROUP, "-m", SHORT, PROMPT)),
        ("sessions list", ("sessions", "list")),
        ("sessions list, the last 20", ("sessions", "list", "--limit", "20")),
        ("usage of this month", ("usage",)),
        *((f"usage, all, by {key}", ("usage", "--all", "--by", key)) for key in ("day", "model", "group")),
        ("usage of a group, all, by day", ("usage", GROUP, "--all", "--by", "day")),
    ):
        yield from bench.compare(SECTION, f"{messages:,} messages: {name}", [raptchat(*words)])
    yield from _searches(bench, raptchat, store, messages)


def _look_ups(bench: Bench, store: Path, groups: int) -> Iterator[Row]:
    names = [f"Class {number:06d}" for number in range(0, groups, groups // LOOKED_UP)]
    worker = bench.python(str(_WORKERS / "look_up_keys.py"), str(store), *names).named("raptchat")
    [row] = bench.compare(SECTION, f"{groups:,} groups: look up a key", [worker], runs=1)
    yield replace(row, extra={"lookup_ms": float(bench.run(worker).output)})


def _searches(bench: Bench, raptchat: Program, store: Path, messages: int) -> Iterator[Row]:
    size = f"{messages:,} messages"
    llm = bench.llm and _with_same_messages(bench.llm, store, bench.scratch / "large-llm")
    limit = bench.python(str(LIMITS / "bare_sqlite.py"), str(store)).named("bare sqlite3")
    for name, words in SEARCHES.items():
        programs = [raptchat("sessions", "search", words), limit(words), llm and llm("logs", "-q", words)]
        yield from bench.compare(SECTION, f"{size}: search, {name}", programs)
    # `llm` cannot look for a part of a word.
    yield from bench.compare(SECTION, f"{size}: search, Chinese", [raptchat("sessions", "search", UNSPACED)])
    best = raptchat("sessions", "search", "--best", SEARCHES["a common word"])
    yield from bench.compare(SECTION, f"{size}: search, the best", [best])


def _with_same_messages(llm: Program, store: Path, folder: Path) -> Program:
    """`llm` with a log of its own in *folder* that has the messages of *store*."""
    folder.mkdir()
    file = folder / "logs.db"
    code = "import sys, sqlite_utils, llm.migrations as m; m.migrate(sqlite_utils.Database(sys.argv[1]))"
    python = Path(llm.command[0]).with_name("python")
    done(Program("llm", (str(python), "-c", code, str(file)), llm.environ))
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        for pragma in ("journal_mode=OFF", "synchronous=OFF"):
            db.execute(f"PRAGMA {pragma}")
        db.execute("ATTACH ? AS ours", (str(store),))
        db.execute("BEGIN")
        # One by one these would take longer than all else; the index is built at the end.
        triggers = db.execute("SELECT name, sql FROM main.sqlite_schema WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            db.execute(f'DROP TRIGGER "{name}"')
        db.execute("INSERT INTO conversations (id, name, model) SELECT id, title, model FROM ours.sessions")
        db.execute(
            "INSERT INTO responses (id, model, prompt, response, conversation_id, duration_ms, datetime_utc)"
            " SELECT printf('%026d', asked.id), asked.model, asked.content, answered.content, asked.session_id,"
            " 900, answered.created_at FROM ours.messages AS asked JOIN ours.messages AS answered"
            " ON answered.session_id = asked.session_id AND answered.seq = asked.seq + 1"
            " WHERE asked.role = 'user' ORDER BY asked.id"
        )
        db.execute("INSERT INTO responses_fts (responses_fts) VALUES ('rebuild')")
        for _, sql in triggers:
            db.execute(sql)
        db.execute("COMMIT")
    return llm.with_environ(LLM_USER_PATH=str(folder))
