"""Conversations of `llm` become sessions: of each form of its log, each once, whatever the file holds."""

import json
import os
import signal
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from conftest import Run, rows
from diagnosis import own_home_fixture  # noqa: F401 - a fixture
from processes import AtTerminal

from raptchat.demo import DEMO_KEY
from raptchat.errors import PolicyError, UsageError
from raptchat.factory import Factory
from raptchat.foreign_sessions import llm_log
from raptchat.foreign_sessions.llm_log import LlmLog
from raptchat.foreign_sessions.taking_over import Taken, take_over
from raptchat.records import Group, Policy

# As llm 0.36 makes them, but for columns that nothing here reads.
TREE = """
    CREATE TABLE threads (id TEXT PRIMARY KEY, name TEXT, tip_message_hash TEXT, forked_from TEXT,
        datetime_utc TEXT);
    CREATE TABLE turns (id TEXT PRIMARY KEY, thread_id TEXT, parent_message_hash TEXT, tip_message_hash TEXT,
        model TEXT, resolved_model TEXT, datetime_utc TEXT);
    CREATE TABLE messages (hash TEXT PRIMARY KEY, parent_hash TEXT, role TEXT, provider_metadata TEXT);
    CREATE TABLE parts (id INTEGER PRIMARY KEY, message_hash TEXT, position INTEGER, type TEXT, tool_name TEXT,
        text TEXT, payload TEXT);
"""
RESPONSES = """
    CREATE TABLE conversations (id TEXT PRIMARY KEY, name TEXT, model TEXT);
    CREATE TABLE responses (id TEXT PRIMARY KEY, model TEXT, prompt TEXT, system TEXT, prompt_json TEXT,
        response TEXT, conversation_id TEXT, duration_ms INTEGER, datetime_utc TEXT);
"""
FRAGMENTS = """
    CREATE TABLE fragments (id INTEGER PRIMARY KEY, hash TEXT, content TEXT);
    CREATE TABLE prompt_fragments (response_id TEXT, fragment_id INTEGER, "order" INTEGER);
    CREATE TABLE system_fragments (response_id TEXT, fragment_id INTEGER, "order" INTEGER);
"""
WITH_TOOLS = """
    CREATE TABLE attachments (id TEXT PRIMARY KEY);
    CREATE TABLE tool_calls (id INTEGER PRIMARY KEY);
    INSERT INTO attachments VALUES ('a'), ('b');
    INSERT INTO tool_calls VALUES (1);
    INSERT INTO parts (type) VALUES ('tool_call'), ('text'), ('tool_result');
"""
Said = tuple[str, str | None, str | None]
WHEN = "2025-03-01T10:00:0{}.5"


@contextmanager
def written(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path)) as db, db:
        yield db


def answer(db: sqlite3.Connection, number: int, prompt: str | None, response: object, *, of: str = "c1") -> None:
    """A question and its answer, as llm kept them before 0.32."""
    db.execute("INSERT OR IGNORE INTO conversations VALUES (?, 'Of birds', 'openrouter/demo/echo')", (of,))
    db.execute(
        "INSERT INTO responses VALUES (?, 'openrouter/demo/echo', ?, ?, NULL, ?, ?, 1, ?)",
        (f"{of}-{number}", prompt, "Be brief." if number == 1 else None, response, of, WHEN.format(number)),
    )


def thread(
    db: sqlite3.Connection, messages: Iterable[tuple[str, str | None, str | None]], *, of: str = "c1"
) -> None:
    """Messages with role, text and payload, as llm keeps them since 0.32; each answer ends a turn."""
    tip = None
    for number, (role, text, payload) in enumerate(messages, 1):
        parent, tip = tip, f"b2:{of}-{number}"
        db.execute("INSERT INTO messages VALUES (?, ?, ?, NULL)", (tip, parent, role))
        db.execute("INSERT INTO parts VALUES (NULL, ?, 1, 'text', NULL, ?, ?)", (tip, text, payload))
        if role == "assistant":
            db.execute("INSERT INTO parts VALUES (NULL, ?, 0, 'reasoning', NULL, 'Hm.', NULL)", (tip,))
            db.execute(
                "INSERT INTO turns VALUES (?, ?, ?, ?, 'gpt-4o', NULL, ?)",
                (tip, of, parent, tip, f"2026-09-01T08:00:0{number}+02:00"),
            )
    db.execute("INSERT OR REPLACE INTO threads VALUES (?, NULL, ?, NULL, '2026-01-01 00:00:00')", (of, tip))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs.db"


@pytest.fixture
def group(factory: Factory) -> Group:
    return factory.store.groups.add("biology")


def taken(factory: Factory, path: Path, group: Group) -> Taken:
    log = LlmLog(path)
    try:
        return take_over(factory.store, log, group)
    finally:
        log.close()


def said(factory: Factory) -> list[list[tuple[str, str]]]:
    """What was said in each session, the oldest session first."""
    sessions = reversed(factory.store.sessions.listed())
    return [
        [(one.role, one.content) for one in factory.store.sessions.messages(each.session.id)] for each in sessions
    ]


def test_a_conversation_keeps_title_model_system_prompt_times_and_words(
    factory: Factory, path: Path, group: Group
) -> None:
    with written(path) as db:
        db.executescript(RESPONSES)
        answer(db, 2, "And owls?", "They hunt at night.")
        answer(db, 1, "Which birds sing?", "Songbirds.")

    assert taken(factory, path, group) == Taken(new=1)
    [found] = factory.store.sessions.listed()
    session = found.session
    assert (session.title, session.model, session.system_prompt) == ("Of birds", "demo/echo", "Be brief.")
    assert (session.created_at, session.last_used_at) == (
        "2025-03-01T10:00:01.500000Z",
        "2025-03-01T10:00:02.500000Z",
    )
    messages = factory.store.sessions.messages(session.id)
    assert [(one.seq, one.role, one.content, one.model, one.created_at[17:19]) for one in messages] == [
        (1, "user", "Which birds sing?", None, "01"),
        (2, "assistant", "Songbirds.", "demo/echo", "01"),
        (3, "user", "And owls?", None, "02"),
        (4, "assistant", "They hunt at night.", "demo/echo", "02"),
    ]
    assert factory.store.checks.integrity() == []
    assert found.cost is None


def test_the_newest_form_is_a_chain_of_messages(factory: Factory, path: Path, group: Group) -> None:
    borrowed = json.dumps({"text_ref": [{"fragment": 1}, {"literal": "\nWho wrote it?"}]})
    with written(path) as db:
        db.executescript(TREE + FRAGMENTS)
        db.execute("INSERT INTO fragments VALUES (1, 'h', 'A whole novel')")
        messages = [
            ("system", "Be kind.", None),
            ("user", None, borrowed),
            ("tool", "42", None),
            ("assistant", "", None),
            ("assistant", "Nobody knows.", None),
        ]
        thread(db, messages)
    assert taken(factory, path, group) == Taken(new=1)

    [found] = factory.store.sessions.listed()
    assert (found.session.title, found.session.model, found.session.system_prompt) == (
        "A whole novel Who wrote it?",
        "gpt-4o",
        "Be kind.",
    )
    question, reply = factory.store.sessions.messages(found.session.id)
    assert question.content == "A whole novel\nWho wrote it?"
    assert (reply.content, reply.reasoning, reply.created_at) == (
        "Nobody knows.",
        "Hm.",
        "2026-09-01T06:00:05.000000Z",
    )


def test_a_conversation_that_a_newer_version_went_on_with_is_one(
    factory: Factory, path: Path, group: Group
) -> None:
    with written(path) as db:
        db.executescript(RESPONSES + FRAGMENTS)
        answer(db, 1, "Q1", "A1")
        db.execute("INSERT INTO fragments VALUES (1, 'h', 'file')")
        db.execute("INSERT INTO prompt_fragments VALUES ('c1-1', 1, 0)")
    assert taken(factory, path, group) == Taken(new=1)

    with written(path) as db:
        db.executescript(TREE)
        said_there = [("user", "file\nQ1"), ("assistant", "A1"), ("user", "Q2"), ("assistant", "A2")]
        thread(db, [(role, text, None) for role, text in said_there])
    assert taken(factory, path, group) == Taken(continued=1)
    assert said(factory) == [said_there]


def test_only_what_is_new_is_added(factory: Factory, path: Path, group: Group) -> None:
    with written(path) as db:
        db.executescript(RESPONSES)
        answer(db, 1, "Q1", "A1")
        answer(db, 1, "other", "reply", of="c2")
    assert taken(factory, path, group) == Taken(new=2)
    assert taken(factory, path, group) == Taken(unchanged=2)

    with written(path) as db:
        answer(db, 2, "Q2", "A2")
        answer(db, 1, "third", "reply", of="c3")
    assert taken(factory, path, group) == Taken(new=1, continued=1, unchanged=1)
    assert [("user", "Q1"), ("assistant", "A1"), ("user", "Q2"), ("assistant", "A2")] in said(factory)


def test_what_went_on_here_is_left_alone(factory: Factory, path: Path, group: Group) -> None:
    with written(path) as db:
        db.executescript(RESPONSES)
        answer(db, 1, "Q1", "A1")
    taken(factory, path, group)
    [found] = factory.store.sessions.listed()
    factory.store.sessions.add_message(found.session.id, "user", "asked here")
    assert taken(factory, path, group) == Taken(unchanged=1)

    with written(path) as db:
        answer(db, 2, "asked there", "A2")
    assert taken(factory, path, group) == Taken(diverged=1)
    assert said(factory) == [[("user", "Q1"), ("assistant", "A1"), ("user", "asked here")]]


def test_a_conversation_of_another_group_stays_there(factory: Factory, path: Path, group: Group) -> None:
    with written(path) as db:
        db.executescript(RESPONSES)
        answer(db, 1, "Q1", "A1")
    taken(factory, path, group)

    assert taken(factory, path, factory.store.groups.add("history")) == Taken(elsewhere=1)
    [found] = factory.store.sessions.listed()
    assert found.session.group_id == group.id


def test_a_group_that_keeps_no_conversation_gets_none(factory: Factory, path: Path, group: Group) -> None:
    with written(path) as db:
        db.executescript(RESPONSES)
        answer(db, 1, "Q1", "A1")
    with pytest.raises(PolicyError, match="keeps no conversations"):
        taken(factory, path, group._replace(policy=Policy(no_history=True)))
    assert factory.store.sessions.listed() == []


def test_many_conversations_are_many_transactions_with_progress(
    factory: Factory, path: Path, group: Group
) -> None:
    with written(path) as db:
        db.executescript(RESPONSES)
        for number in range(120):
            answer(db, 1, "Q", "A", of=f"c{number:03}")
    log, told = LlmLog(path), []
    try:
        take_over(factory.store, log, group, progress=lambda *done: told.append(done))
    finally:
        log.close()
    assert told == [(50, 120), (100, 120)]
    assert len(factory.store.sessions.listed()) == 120


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0" + b"x" * 5000, b"{}" * 4000])
def test_a_file_that_is_no_log_is_an_error_and_no_traceback(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "logs.db"
    path.write_bytes(content)
    if not content:
        with closing(LlmLog(path)) as log:
            assert log.ids() == []
        return
    with pytest.raises(UsageError, match="cannot be read"):
        LlmLog(path)


def test_no_log_and_a_folder_are_errors(tmp_path: Path) -> None:
    for path in (tmp_path / "none.db", tmp_path):
        with pytest.raises(UsageError, match="cannot be read"):
            LlmLog(path)


def test_a_damaged_log_gives_what_can_be_read_or_an_error(factory: Factory, path: Path, group: Group) -> None:
    with written(path) as db:
        db.executescript(RESPONSES)
        for number in range(30):
            answer(db, 1, "Q" * 900, "A" * 900, of=f"c{number:03}")
    data = bytearray(path.read_bytes())
    for at in range(8 * 4096, len(data), 4096):
        data[at : at + 64] = b"\xff" * 64
    path.write_bytes(data)
    try:
        found = taken(factory, path, group)
    except UsageError as error:
        assert "cannot be read" in str(error)  # noqa: PT017 - either is right
    else:
        assert found.unreadable > 0


def test_values_of_other_types_and_broken_references_do_no_harm(
    factory: Factory, path: Path, group: Group
) -> None:
    with written(path) as db:
        db.executescript(RESPONSES + TREE)
        answer(db, 1, "Q1", b"\x00\xff")
        db.execute("UPDATE responses SET datetime_utc = 'yesterday', model = 7")
        db.execute("INSERT INTO responses (id, conversation_id, prompt) VALUES ('x', x'00', 'blob')")
        db.execute("INSERT INTO responses (id, conversation_id, prompt) VALUES ('y', 'c4', CAST(x'ff41' AS TEXT))")
        payloads = [
            None,
            "x",
            "[]",
            "{}",
            '{"text_ref": 1}',
            '{"text_ref": [1]}',
            '{"text_ref": [{"fragment": "a"}]}',
            '{"text_ref": [{"fragment": 1}]}',
        ]
        thread(db, [("user", None, payload) for payload in payloads] + [("robot", "beep", None)], of="c2")
        thread(db, [("user", "lost", None)], of="c3")
        db.execute("DELETE FROM messages WHERE hash LIKE '%c3%'")

    assert taken(factory, path, group) == Taken(new=2, unreadable=2)
    assert sorted(said(factory)) == [[("user", "Q1")], [("user", "\ufffdA")]]
    assert {one.session.created_at for one in factory.store.sessions.listed()} >= {"1970-01-01T00:00:00.000000Z"}


def test_a_ring_of_messages_ends(factory: Factory, path: Path, group: Group) -> None:
    with written(path) as db:
        db.executescript(TREE)
        thread(db, [("user", "Q", None), ("assistant", "A", None)])
        db.execute("UPDATE messages SET parent_hash = 'b2:c1-2' WHERE parent_hash IS NULL")
    assert taken(factory, path, group) == Taken(unreadable=1)


def test_a_text_too_large_leaves_the_others_readable(
    factory: Factory, path: Path, group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llm_log, "MOST_CHARACTERS", 50_000)
    with written(path) as db:
        db.executescript(RESPONSES + TREE)
        answer(db, 1, "Q1", "A" * 60_000)
        answer(db, 1, "Q1", "A" * 30_000, of="c2")
        answer(db, 2, "Q2", "A" * 30_000, of="c2")
        answer(db, 1, "Q1", "A1", of="c3")
        thread(db, [("user", "A" * 30_000, None), ("assistant", "A" * 30_000, None)], of="c4")
    assert taken(factory, path, group) == Taken(new=1, unreadable=3)


def test_what_is_borrowed_again_and_again_counts_each_time(
    factory: Factory, path: Path, group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llm_log, "MOST_CHARACTERS", 50_000)
    with written(path) as db:
        db.executescript(RESPONSES + TREE + FRAGMENTS)
        db.execute("INSERT INTO fragments VALUES (1, 'h', ?)", ("A" * 20_000,))
        thread(db, [("user", None, json.dumps({"text_ref": [{"fragment": 1}] * 3}))])
        for number in range(3):
            answer(db, number, "Q", "A", of="c2")
            db.execute("INSERT INTO prompt_fragments VALUES (?, 1, 0)", (f"c2-{number}",))
        answer(db, 1, "Q1", "A1", of="c3")
    assert taken(factory, path, group) == Taken(new=1, unreadable=2)


def test_half_a_surrogate_pair_is_taken_for_a_question_mark(factory: Factory, path: Path, group: Group) -> None:
    with written(path) as db:
        db.executescript(TREE)
        thread(db, [("user", None, '{"text_ref": [{"literal": "a\\ud83d"}, {"literal": "\\ud83d\\ude00"}]}')])
    assert taken(factory, path, group) == Taken(new=1)
    assert said(factory) == [[("user", "a?\U0001f600")]]


def test_ctrl_c_in_a_long_query_is_ctrl_c(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(sqlite3.connect(path)), closing(LlmLog(path)) as log:
        before = signal.signal(signal.SIGALRM, signal.default_int_handler)
        monkeypatch.setattr(llm_log, "_SECONDS", 10.0)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.02)
            with pytest.raises(KeyboardInterrupt), log._errors():
                log._rows("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n")
        finally:
            signal.signal(signal.SIGALRM, before)


def test_a_view_that_would_never_end_is_not_asked(path: Path) -> None:
    with written(path) as db:
        db.execute(
            "CREATE VIEW threads AS WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n)"
            " SELECT CAST(id AS TEXT) AS id, 'x' AS tip_message_hash FROM n"
        )
    with closing(LlmLog(path)) as log:
        assert log.ids() == []


def test_a_query_that_takes_too_long_is_given_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llm_log, "_SECONDS", -1.0)
    monkeypatch.setattr(llm_log, "_STEPS", 1)
    with written(path) as db:
        db.executescript(RESPONSES)
    with pytest.raises(UsageError, match="interrupted"):
        LlmLog(path)


def test_a_log_in_wal_mode_is_read_with_what_is_only_in_its_wal(
    factory: Factory, path: Path, group: Group
) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.executescript(RESPONSES)
        answer(db, 1, "Q1", "A1")
        db.commit()
        assert taken(factory, path, group) == Taken(new=1)


def test_a_log_in_wal_mode_is_read_where_nothing_can_be_written(
    factory: Factory, path: Path, group: Group
) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.executescript(RESPONSES)
        answer(db, 1, "Q1", "A1")
        db.commit()
    # In the place of the file that SQLite would make, as it cannot in a read-only folder.
    path.with_name("logs.db-shm").mkdir()
    assert taken(factory, path, group) == Taken(new=1)


def test_reading_writes_nothing_into_the_log(factory: Factory, path: Path, group: Group) -> None:
    with written(path) as db:
        db.executescript(RESPONSES)
        answer(db, 1, "Q1", "A1")
    before = path.read_bytes(), path.stat().st_mtime_ns
    taken(factory, path, group)

    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


def kept(own_home: Path) -> Path:
    path = own_home / ".config/io.datasette.llm/logs.db"
    path.parent.mkdir(parents=True)
    with written(path) as db:
        db.executescript(RESPONSES)
        answer(db, 1, "Which birds sing?", "The \x1b[31m nightingale\x07.")
    return path


def test_the_command_takes_conversations_with_a_key_and_finds_their_words(
    biology: Run, own_home: Path, home: Path
) -> None:
    path = kept(own_home)
    (path.parent / "keys.json").write_text(json.dumps({"openrouter": f"{DEMO_KEY}-2"}))
    said = biology("import-keys llm --sessions --map openrouter=history --json")

    document = json.loads(said.out)
    assert document["sessions"] == {
        "found": 1,
        "attachments": 0,
        "toolCalls": 0,
        "group": "history",
        "new": 1,
        "continued": 0,
        "unchanged": 0,
        "diverged": 0,
        "elsewhere": 0,
        "unreadable": 0,
    }
    assert "nightingale" in biology("sessions search nightingale -g history").out
    assert rows(home, "SELECT count(*) FROM ai_usage") == [(0,)]
    assert "\x1b" not in biology("sessions list").out


def test_conversations_alone_go_to_the_group_that_is_named(biology: Run, own_home: Path) -> None:
    kept(own_home)
    said = biology("import-keys llm --sessions --group biology")
    assert "group `biology`: 1 new, 0 continued, 0 unchanged" in said.err
    assert "1 unchanged" in biology("import-keys llm --sessions --group biology").err
    made = biology("import-keys llm --sessions --group new")
    assert "left alone, since they belong to another group: 1" in made.err
    with AtTerminal("import-keys", "llm", "--sessions") as terminal:
        terminal.until("Which group do the conversations belong to? [Enter: none] ")
        terminal.keys("a\u202eb\r")
        terminal.until("cannot hold the character")
        terminal.keys("biology\r")
        terminal.until("1 unchanged")
        terminal.ends(0)
    for nothing in ("\r", "\x04"):
        with AtTerminal("import-keys", "llm", "--sessions") as terminal:
            terminal.until("[Enter: none] ")
            terminal.keys(nothing)
            terminal.until("the log holds 1 conversation")
            terminal.ends(0)
    biology("group create other")
    assert "--group NAME" in biology("import-keys llm --sessions", exit_code=3).err


def test_what_was_left_alone_is_said(biology: Run, own_home: Path) -> None:
    path = kept(own_home)
    biology("import-keys llm --sessions --group biology")
    with Factory() as factory:
        [found] = factory.store.sessions.listed()
        factory.store.sessions.add_message(found.session.id, "user", "asked here")
    with written(path) as db:
        answer(db, 2, "asked there", "A2")
        answer(db, 1, None, None, of="c2")

    said = biology("import-keys llm --sessions --group biology").err
    assert "they went on here otherwise than there: 1" in said
    assert "they are empty or cannot be read: 1" in said


def test_where_conversations_are_refused_it_is_still_said_what_became_of_the_key(
    biology: Run, own_home: Path
) -> None:
    path = kept(own_home)
    (path.parent / "keys.json").write_text(json.dumps({"openrouter": f"{DEMO_KEY}-2"}))
    biology("group set biology --no-history")
    said = biology("import-keys llm --sessions --group biology --replace --remove --json", exit_code=2)
    assert [one["removed"] for one in json.loads(said.out)["keys"]] == [True]
    assert json.loads(said.err.splitlines()[-1])["code"] == "POLICY_REFUSED"


def test_a_dry_run_only_counts_them_and_what_stays_there(raptchat: Run, own_home: Path, home: Path) -> None:
    path = kept(own_home)
    with written(path) as db:
        db.executescript(TREE + WITH_TOOLS)
    said = raptchat("import-keys llm --sessions --dry-run")
    assert "the log holds 1 conversation\n" in said.err
    assert "2 attachments and 2 tool calls of it cannot be taken over\n" in said.err
    assert not home.exists()


@pytest.mark.usefixtures("own_home")
def test_a_log_that_is_not_there_is_said(raptchat: Run) -> None:
    assert "there is no log of llm" in raptchat("import-keys llm --sessions --group a", exit_code=2).err


def test_a_pipe_in_the_place_of_the_log_is_no_log(raptchat: Run, own_home: Path) -> None:
    kept(own_home).unlink()
    os.mkfifo(own_home / ".config/io.datasette.llm/logs.db")
    assert "there is no log of llm" in raptchat("import-keys llm --sessions --group a", exit_code=2).err
