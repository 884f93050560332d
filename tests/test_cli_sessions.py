"""`raptchat sessions`: list, show, search, rename, fork, export, remove."""

import json
import os
import re
import shlex
import sqlite3
import subprocess
import sys
from base64 import b64decode, b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from conftest import Run, environment, rows
from processes import RAPTCHAT, AtTerminal

from raptchat.cli.chat.conversation.history import HistoryFile
from raptchat.records import Attachment, Role
from raptchat.store import Store
from raptchat.store.connection import Connection
from raptchat.store.migrations import STEPS
from raptchat.store.upgrade import migrate

PIXEL = b64decode("R0lGODlhAQABAAAAACwAAAAAAQABAAA=")


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    """The store, opened beside the commands that are run."""
    with closing(Store.open(home / "raptchat.db")) as opened:
        yield opened


@pytest.fixture
def session(biology: Run) -> str:
    """The id of biology's one session, of one question and its answer."""
    return str(json.loads(biology("chat -m demo/echo 'What is   osmosis?' --json").out)["session"])


def test_the_list_has_the_last_used_first(biology: Run, session: str) -> None:
    biology("group add-key history --stdin", stdin="sk-or-v1-demo-of-history")
    biology("chat -g history 'And the Ostrogoths?'")
    assert [line.split("\t")[1:4] for line in biology("sessions").out.splitlines()] == [
        ["history", "And the Ostrogoths?", "2"],
        ["biology", "What is osmosis?", "2"],
    ]
    biology("chat -g biology -c again")

    listed = json.loads(biology("sessions list --json").out)
    assert [(one["group"], one["messageCount"]) for one in listed] == [("biology", 4), ("history", 2)]
    assert listed[0]["id"] == session
    assert all(one[name].endswith("Z") for one in listed for name in ("createdAt", "lastUsedAt"))
    assert [one["group"] for one in json.loads(biology("sessions -g history --json").out)] == ["history"]
    assert len(json.loads(biology("sessions -n 1 --json").out)) == 1


def test_without_a_session_it_says_how_one_begins(biology: Run) -> None:
    said = biology("sessions list")

    assert said.out == ""
    assert "raptchat chat" in said.err
    assert json.loads(biology("sessions list --json").out) == []


def test_show_has_every_message(biology: Run, session: str) -> None:
    biology("chat -c -m demo/cut again", exit_code=1)
    shown = json.loads(biology(f"sessions show {session[:8]} --json").out)
    assert [(one["seq"], one["role"], one["state"]) for one in shown["messages"]] == [
        (1, "user", "complete"),
        (2, "assistant", "complete"),
        (3, "user", "complete"),
        (4, "assistant", "incomplete"),
    ]
    assert shown["messages"][0]["content"] == "What is   osmosis?"
    assert all(one["createdAt"].endswith("Z") for one in shown["messages"])
    assert shown["messageCount"] == 4

    text = biology(f"sessions show {session}").out
    assert "4. assistant (" in text
    assert ", incomplete)" in text
    assert "What is   osmosis?" in text


def test_what_is_stored_does_not_act_on_a_terminal(biology: Run) -> None:
    biology(["chat", "-m", "demo/echo", "a\x1b]0;title\x07\u202eb"])
    [listed] = json.loads(biology("sessions list --json").out)

    for words in (f"sessions show {listed['id']}", "sessions list"):
        assert not {"\x1b", "\x07", "\u202e"} & set(biology(words).out)


def test_a_session_gets_another_title(biology: Run, session: str) -> None:
    assert (
        json.loads(biology(f"sessions rename {session} ' Water  and salt ' --json").out)["title"]
        == "Water and salt"
    )
    assert "is now `Salt`" in biology(f"sessions rename {session} Salt").err
    for title in ("", " ", "x" * 201):
        biology(["sessions", "rename", session, title], exit_code=2)
    assert json.loads(biology("sessions --json").out)[0]["title"] == "Salt"


def test_a_removed_session_is_gone_from_the_file_and_its_bill_stays(
    biology: Run, session: str, home: Path
) -> None:
    assert "needs --yes" in biology(f"sessions remove {session}", exit_code=2).err
    assert json.loads(biology(f"sessions remove {session} --yes --json").out) == {"removed": session}

    assert b"osmosis" not in (home / "raptchat.db").read_bytes()
    assert rows(home, "SELECT session_id FROM ai_usage") == [(session,)]
    biology(f"sessions show {session}", exit_code=3)


@pytest.mark.parametrize("words", ["SESSION", "--before 2999-01-01"])
def test_a_removed_question_is_not_remembered_as_a_typed_line_either(
    biology: Run, session: str, home: Path, words: str
) -> None:
    [(group_id, asked)] = rows(
        home,
        "SELECT group_id, content FROM sessions JOIN messages ON session_id = sessions.id WHERE role = 'user'",
    )
    history = HistoryFile(home / "history" / group_id)
    for entry in (asked, f'"""\n{asked}\n"""', "/help", "another line"):
        history.add(entry)

    biology(f"sessions remove {words.replace('SESSION', session)} --yes")

    assert history.read() == ["/help", "another line"]
    assert asked.encode() not in (home / "history" / group_id).read_bytes()


@pytest.mark.parametrize(("column", "value"), [("role", "root\x1b[2J"), ("state", "paid\x1b[2J")])
def test_a_message_that_was_tampered_with_is_an_error_of_the_store(
    biology: Run, session: str, home: Path, column: str, value: str
) -> None:
    with closing(sqlite3.connect(home / "raptchat.db")) as db, db:
        db.execute("PRAGMA ignore_check_constraints = ON")
        db.execute(f"UPDATE messages SET {column} = ? WHERE seq = 2", (value,))  # noqa: S608

    for more in ("", " --json"):
        said = biology(f"sessions show {session}{more}", exit_code=74)
        assert said.out == ""
        assert f"`{column}` of a message cannot be what it is" in said.err
        assert "\x1b" not in said.err


def test_the_cost_is_shown_as_far_as_it_is_known(biology: Run, session: str, home: Path) -> None:
    biology(f"chat --session {session} -m demo/echo more")
    [listed] = json.loads(biology("sessions list --json").out)
    [(known,)] = rows(home, "SELECT sum(cost_nano_usd) FROM ai_usage")
    assert known > 0
    assert Decimal(listed["cost"]) == Decimal(known) / 10**9
    assert listed["unknownCosts"] == 0
    dollars = f"${Decimal(known) / 10**9:.6f}"
    assert biology("sessions list").out.split("\t")[4] == dollars

    with closing(sqlite3.connect(home / "raptchat.db")) as db, db:
        db.execute("UPDATE ai_usage SET cost_nano_usd = NULL WHERE id = 1")
    assert biology("sessions list").out.split("\t")[4].endswith(" + 1 unknown")
    with closing(sqlite3.connect(home / "raptchat.db")) as db, db:
        db.execute("UPDATE ai_usage SET cost_nano_usd = NULL")
    assert biology("sessions list").out.split("\t")[4] == "-"
    [listed] = json.loads(biology("sessions list --json").out)
    assert (listed["cost"], listed["unknownCosts"]) == (None, 2)


def test_a_cost_that_is_no_whole_number_is_a_damaged_store(biology: Run, session: str, home: Path) -> None:
    with closing(sqlite3.connect(home / "raptchat.db")) as db, db:
        db.execute("PRAGMA writable_schema = ON")
        db.execute("UPDATE sqlite_schema SET sql = replace(sql, 'STRICT', '') WHERE name = 'ai_usage'")
    with closing(sqlite3.connect(home / "raptchat.db")) as db, db:
        db.execute("DROP TRIGGER ai_usage_corrects_its_day")
        db.execute("UPDATE ai_usage SET cost_nano_usd = 1.5")

    for words in ("list", f"show {session}", f"export {session}"):
        assert "a cost in the ledger is of another type" in biology(f"sessions {words}", exit_code=74).err


def test_a_list_of_many_sessions_is_one_statement(store: Store, home: Path) -> None:
    with store.write():
        groups = [store.groups.add(name).id for name in ("biology", "history")]
        for number in range(400):
            made = store.sessions.add(groups[number % 2], title=str(number))
            store.sessions.add_message(made.id, "user", "hello")
    for group_id in (None, groups[0]):
        statements: list[str] = []
        store.sessions._db.raw.set_trace_callback(statements.append)
        found = store.sessions.listed(group_id, limit=5)
        store.sessions._db.raw.set_trace_callback(None)
        assert len(found) == 5
        [statement] = statements
        with closing(sqlite3.connect(home / "raptchat.db")) as db:
            plan = [step for *_, step in db.execute(f"EXPLAIN QUERY PLAN {statement}")]
        # The table of sessions is read once, the others by an index alone.
        assert not [
            step for step in plan if step.startswith("SCAN") and "sessions" not in step and "(" not in step
        ]
        assert len([step for step in plan if "USING COVERING INDEX" in step and "messages" in step]) == 1
        assert len([step for step in plan if "ai_usage_by_session" in step]) == 2
        assert bool(group_id) == any("sessions_by_use (group_id=?)" in step for step in plan)


def keep(store: Store, *messages: tuple[Role, str], group: str = "art", **more: Any) -> str:
    """A session of a group with these messages; the first has an attachment, the last was thought about."""
    with store.write():
        owner = store.groups.named(group) or store.groups.add(group)
        made = store.sessions.add(owner.id, title=more.get("title", "Kept"), system="Be brief.")
        ids = [store.sessions.add_message(made.id, role, content) for role, content in messages]
        store.sessions.update_message(
            ids[-1],
            content=messages[-1][1],
            state="incomplete",
            model="a/b",
            reasoning="thought over",
            reasoning_details='[{"text": "thought over"}]',
        )
        store.attachments.add(
            ids[0], [Attachment("cell.gif", "image/gif", sha256(PIXEL).hexdigest(), len(PIXEL), PIXEL)]
        )
    return made.id


def test_show_names_attachments_and_says_how_long_it_was_thought(raptchat: Run, store: Store) -> None:
    kept = keep(store, ("user", "# Why?\n\n```\ncut"), ("assistant", "*So.*"))

    shown = json.loads(raptchat(f"sessions show {kept} --json").out)
    assert shown["cost"] is None
    asked, replied = shown["messages"]
    assert asked == {
        "seq": 1,
        "role": "user",
        "content": "# Why?\n\n```\ncut",
        "state": "complete",
        "attachments": [
            {"name": "cell.gif", "mediaType": "image/gif", "size": len(PIXEL), "hash": sha256(PIXEL).hexdigest()}
        ],
        "createdAt": asked["createdAt"],
    }
    assert replied == {
        "seq": 2,
        "role": "assistant",
        "content": "*So.*",
        "state": "incomplete",
        "model": "a/b",
        "reasoning": "thought over",
        "createdAt": replied["createdAt"],
    }
    text = raptchat(f"sessions show {kept}").out
    assert "incomplete, after 12 characters of reasoning)" in text
    assert f"cut\n```\n\n- attachment: cell.gif (image/gif, {len(PIXEL)} bytes)\n" in text
    assert "Be brief." in text


def test_a_search_says_where_each_hit_is(biology: Run, session: str) -> None:
    biology("group add-key history --stdin", stdin="sk-or-v1-demo-of-history")
    biology("chat -g history -m demo/echo 'Osmosis in history'")

    lines = [line.split("\t") for line in biology("sessions search osmosis").out.splitlines()]
    assert [(line[1], line[2], line[3], line[4]) for line in lines] == [
        ("history", "Osmosis in history", "2", "assistant"),
        ("history", "Osmosis in history", "1", "user"),
        ("biology", "What is osmosis?", "2", "assistant"),
        ("biology", "What is osmosis?", "1", "user"),
    ]
    assert lines[3][0] == session
    assert lines[3][6] == "What is osmosis?"
    assert {line.split("\t")[1] for line in biology("sessions search -g biology OSMO*").out.splitlines()} == {
        "biology"
    }
    assert len(biology("sessions search -g biology -g history osmosis").out.splitlines()) == 4
    assert "no group `physics`" in biology("sessions search -g physics osmosis", exit_code=3).err


def test_any_number_is_a_limit(biology: Run, session: str) -> None:
    for words, count in (("list", 1), ("search osmosis", 2)):
        assert len(biology(f"sessions {words} --limit {10**30}").out.splitlines()) == count
        biology(f"sessions {words} --limit 0", exit_code=2)


def test_a_list_that_nobody_reads_to_its_end_ends(biology: Run, session: str, store: Store) -> None:
    [group] = store.groups.all()
    with store.write():
        for _ in range(1_000):
            store.sessions.add(group.id)

    said = biology("sessions list")

    assert len(said.out.splitlines()) == 1_000
    assert said.err == "there are more: --limit 10000 lists more of them\n"
    assert len(json.loads(biology("sessions list --json").out)) == 1_000
    said = biology("sessions list --limit 10000")
    assert (len(said.out.splitlines()), said.err) == (1_001, "")


def test_a_search_says_what_it_did_not_look_through(biology: Run, session: str, store: Store) -> None:
    # More than are looked through, each as small as it can be.
    with store.write():
        store._connection.execute(
            "INSERT INTO messages (session_id, seq, role, content, state, created_at)"
            " WITH RECURSIVE number(n) AS (SELECT 3 UNION ALL SELECT n + 1 FROM number WHERE n < 50010)"
            " SELECT ?, n, 'user', '.', 'complete', '' FROM number",
            (session,),
        )

    said = biology("sessions search 細胞")

    assert said.err == (
        "nothing was found\nonly among the newest 50,000 messages: --all looks through all of them\n"
    )
    assert biology("sessions search 細胞 --all").err == "nothing was found\n"
    assert json.loads(biology("sessions search --json '?'").out) == []
    assert len(json.loads(biology("sessions search --json --all '?'").out)) == 2


def test_the_best_come_first_when_they_are_asked_for(biology: Run, session: str) -> None:
    biology("chat -m demo/echo 'osmosis osmosis osmosis'")
    biology("chat -m demo/echo 'one word about osmosis among a hundred others'")

    newest, best = (json.loads(biology(f"sessions search osmosis --json{flag}").out) for flag in ("", " --best"))

    assert "one word about" in newest[0]["excerpt"]
    assert best[0]["excerpt"] == "osmosis osmosis osmosis"
    assert len(newest) == len(best)


def test_a_search_as_json_says_where_the_hits_are(biology: Run, session: str) -> None:
    found = json.loads(biology("sessions search --json '\"is osmosis\"' what").out)

    assert [one["seq"] for one in found] == [2, 1]
    assert found[1] == {
        "session": session,
        "groupId": found[0]["groupId"],
        "group": "biology",
        "title": "What is osmosis?",
        "seq": 1,
        "role": "user",
        "createdAt": found[1]["createdAt"],
        "excerpt": "What is osmosis?",
        "hits": [[0, 4], [5, 15]],
    }


def test_a_search_that_finds_nothing_or_too_much_says_so(biology: Run, session: str) -> None:
    said = biology("sessions search ostrogoths")
    assert (said.out, said.err) == ("", "nothing was found\n")
    assert json.loads(biology("sessions search ostrogoths --json").out) == []

    said = biology("sessions search osmosis --limit 1")
    assert len(said.out.splitlines()) == 1
    assert "there are more: --limit" in said.err
    assert biology("sessions search osmosis --limit 2").err == ""
    for nothing in ("''", "' '", "'\"\"'"):
        assert "nothing to search for" in biology(f"sessions search {nothing}", exit_code=2).err
    biology("sessions search", exit_code=2)


def test_what_was_found_does_not_act_on_a_terminal_and_is_bold_there(biology: Run) -> None:
    biology(["chat", "-m", "demo/echo", "osmosis \x1b]0;title\x07\u202e[bold]b[/bold]"])
    with AtTerminal("sessions", "search", "osmosis", env=environment(PAGER="")) as terminal:
        terminal.ends(0)

    assert re.search(r"\x1b\[1[;0-9]*mosmosis\x1b\[0m", terminal.said)
    assert not {"\x07", "\u202e"} & set(terminal.said)
    assert "\x1b]" not in terminal.said
    assert any("[bold]b[/bold]" in line for line in terminal.screen())


@pytest.mark.parametrize("words", [("list",), ("search", "osmosis"), ("show",)])
def test_at_twenty_columns_every_word_is_there(biology: Run, session: str, words: tuple[str, ...]) -> None:
    words = (*words, session) if words == ("show",) else words
    with AtTerminal("sessions", *words, columns=20, lines=80, env=environment(PAGER="")) as terminal:
        terminal.ends(0)
        lines = terminal.screen()

    assert "osmosis" in "".join("".join(lines).split())
    assert "\x1b[?" not in terminal.said


def test_a_fork_has_everything_up_to_a_message_and_goes_its_own_way(
    biology: Run, store: Store, home: Path
) -> None:
    kept = keep(store, ("user", "one"), ("assistant", "two"), ("user", "three"), ("assistant", "four"))
    whole, half = (biology(f"sessions fork {kept}{more}").out.strip() for more in ("", " --at 2"))

    show = {each: json.loads(biology(f"sessions show {each} --json").out) for each in (kept, whole, half)}
    assert show[whole]["messages"] == show[kept]["messages"]
    assert show[half]["messages"] == show[kept]["messages"][:2]
    assert [show[each]["title"] for each in (whole, half)] == ["Kept (fork)"] * 2
    assert {show[each]["groupId"] for each in show} == {show[kept]["groupId"]}
    assert show[half]["system"] == "Be brief."
    assert rows(home, "SELECT count(*) FROM ai_usage") == [(0,)]
    assert rows(home, "SELECT count(*), count(DISTINCT hash) FROM message_attachments") == [(3, 1)]
    assert rows(home, "SELECT DISTINCT reasoning_details FROM messages WHERE seq = 4") == [
        ('[{"text": "thought over"}]',)
    ]
    assert len(json.loads(biology("sessions search four --json").out)) == 2

    biology(f"sessions remove {kept} --yes")
    assert b64encode(PIXEL).decode() in biology(f"sessions export {half} --format html").out
    assert len(json.loads(biology("sessions search four --json").out)) == 1
    biology(f"sessions remove {whole} --yes")
    assert rows(home, "SELECT count(*) FROM attachments") == [(1,)]
    biology(f"sessions remove {half} --yes")
    assert rows(home, "SELECT count(*) FROM attachments") == [(0,)]


def test_a_conversation_goes_on_in_its_fork(biology: Run, session: str) -> None:
    fork = json.loads(biology(f"sessions fork {session} --at 1 --json").out)
    assert fork["messageCount"] == 1
    assert fork["cost"] is None

    biology(f"chat --session {fork['id']} -m demo/echo again")
    listed = json.loads(biology("sessions --json").out)
    assert [(one["id"], one["messageCount"]) for one in listed] == [(fork["id"], 3), (session, 2)]


def test_a_fork_at_a_message_that_is_not_there_is_refused(biology: Run, session: str, store: Store) -> None:
    for at in (0, -1, 3, 10**15):
        said = biology(f"sessions fork {session} --at {at}", exit_code=2)
        assert f"has no message {at}: its messages are 1 to 2" in said.err
    with store.write():
        empty = store.sessions.add(store.groups.all()[0].id)
    assert "has no message 1: it has none" in biology(f"sessions fork {empty.id} --at 1", exit_code=2).err
    assert json.loads(biology(f"sessions fork {empty.id} --json").out)["title"] is None
    biology("sessions fork ffff", exit_code=3)


def test_a_title_stays_within_its_length_when_forked(biology: Run, session: str) -> None:
    biology(["sessions", "rename", session, "x" * 200])

    title = json.loads(biology(f"sessions fork {session} --json").out)["title"]
    assert len(title) == 200
    assert title.endswith("x (fork)")


def test_an_export_is_markdown_json_or_a_page(raptchat: Run, store: Store) -> None:
    kept = keep(store, ("user", "Why?\x07"), ("assistant", "<b>So</b>"))

    text = raptchat(f"sessions export {kept} --format md").out
    assert (
        text == raptchat(f"sessions export {kept}").out == raptchat(f"sessions show {kept}").out.replace("␇", "")
    )
    assert "\n\nWhy?\n\n" in text
    shown = json.loads(raptchat(f"sessions show {kept} --json").out)
    assert json.loads(raptchat(f"sessions export {kept} --format json").out) == shown
    assert json.loads(raptchat(f"sessions export {kept} --json").out) == shown
    page = raptchat(f"sessions export {kept} --format html --output -").out
    assert page.startswith("<!doctype html>")
    assert "&lt;b&gt;So&lt;/b&gt;" in page
    assert b64encode(PIXEL).decode() in page
    assert "exclude each other" in raptchat(f"sessions export {kept} --format html --json", exit_code=2).err
    raptchat(f"sessions export {kept} --format pdf", exit_code=2)


def test_an_export_into_a_file_is_whole_and_asks_before_it_writes_over_another(
    biology: Run, session: str, tmp_path: Path
) -> None:
    file, link = tmp_path / "out.md", tmp_path / "link.md"
    said = biology(f"sessions export {session} --output {file}")
    assert said.out == ""
    assert f"wrote {file}" in said.err
    assert file.read_text() == biology(f"sessions export {session}").out

    file.write_text("mine")
    link.symlink_to(file)
    assert "needs --yes" in biology(f"sessions export {session} --output {file}", exit_code=2).err
    assert file.read_text() == "mine"
    biology(f"sessions export {session} --output {link} --yes")
    assert link.is_symlink()
    assert "osmosis" in file.read_text()
    assert sorted(each.name for each in tmp_path.iterdir() if "out.md" in each.name) == ["out.md"]


@pytest.mark.parametrize("name", ["", ".", "no/such/folder/out.md", "x" * 300, "/dev/full", "nul\0"])
def test_an_export_that_cannot_be_written_leaves_nothing(
    biology: Run, session: str, tmp_path: Path, name: str
) -> None:
    before = sorted(tmp_path.iterdir())

    said = biology(["sessions", "export", session, "--output", name], exit_code=74)

    assert "cannot be written: " in said.err
    assert sorted(tmp_path.iterdir()) == before


def test_an_export_goes_into_a_pipe_that_has_a_name(biology: Run, session: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with ThreadPoolExecutor(1) as reader:
        read = reader.submit((tmp_path / "pipe").read_text)
        biology(f"sessions export {session} --output {tmp_path / 'pipe'}")
        assert "osmosis" in read.result()


def test_old_sessions_are_removed_with_every_word(biology: Run, store: Store, home: Path) -> None:
    old = [
        keep(store, ("user", f"secretword{name} 浸透"), ("assistant", "So."), group=name, title=f"oldtitle{name}")
        for name in ("biology", "history")
    ]
    with closing(sqlite3.connect(home / "raptchat.db")) as db, db:
        db.execute("UPDATE sessions SET last_used_at = '2026-10-31T23:59:59.999999Z'")
    new = keep(store, ("user", "kept"), group="biology")
    before = (home / "raptchat.db").read_bytes()
    assert b"secretwordbiology" in before
    assert PIXEL in before

    assert "needs --yes" in biology("sessions remove --before 2026-11-01", exit_code=2).err
    assert biology("sessions remove --before 2026-10-31").err == "removed 0 sessions of all groups\n"
    said = biology("sessions remove --before 2026-11-01 -g biology --yes")
    assert said.err == "removed 1 session of group `biology`\n"
    assert {one["id"] for one in json.loads(biology("sessions --json").out)} == {old[1], new}
    assert b"secretwordbiology" not in (home / "raptchat.db").read_bytes()
    assert json.loads(biology("sessions search secretword* --json").out)[0]["group"] == "history"

    assert json.loads(biology("sessions remove --before 2026-11-01 --yes --json").out) == {"removedSessions": 1}
    assert [one["id"] for one in json.loads(biology("sessions --json").out)] == [new]
    biology(f"sessions remove {new} --yes")
    left = (home / "raptchat.db").read_bytes()
    for gone in (b"secretword", "浸透".encode(), b"oldtitle", b"thought over", PIXEL, b"cell.gif", b"Be brief"):
        assert gone not in left
    with closing(sqlite3.connect(home / "raptchat.db")) as db:
        db.execute("INSERT INTO messages_fts (messages_fts) VALUES ('integrity-check')")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "name one session, or a day"),
        ("{} --before 2026-11-01", "name one session, or a day"),
        ("{} -g biology", "--group goes with --before"),
        ("--before yesterday", "must be a day such as 2026-11-01: `yesterday`"),
        ("--before 2026-02-30", "must be a day"),
        ("--before ''", "must be a day"),
    ],
)
def test_what_is_not_clear_removes_nothing(biology: Run, session: str, words: str, message: str) -> None:
    assert message in biology(f"sessions remove --yes {words.format(session)}", exit_code=2).err
    assert "no group" in biology("sessions remove --yes --before 2030-01-01 -g nobody", exit_code=3).err
    assert json.loads(biology("sessions --json").out)[0]["id"] == session


def test_a_session_that_is_used_while_the_question_stands_stays(biology: Run, session: str, home: Path) -> None:
    with closing(sqlite3.connect(home / "raptchat.db")) as db, db:
        db.execute("UPDATE sessions SET last_used_at = '2026-01-01T00:00:00.000000Z'")
    with AtTerminal("sessions", "remove", "--before", "2026-11-01") as terminal:
        assert "removing 1 session of all groups, last used before 2026-11-01" in terminal.until("[y/N] ")
        biology(f"chat --session {session} -m demo/echo again")
        terminal.keys("y\r")
        assert "removed 0 sessions" in terminal.ends(0)

    assert json.loads(biology("sessions --json").out)[0]["messageCount"] == 4


def test_of_a_private_question_no_word_is_stored(biology: Run, home: Path) -> None:
    biology("chat --private -m demo/echo 'unspeakable secretword'")

    assert b"secretword" not in (home / "raptchat.db").read_bytes()
    assert rows(home, "SELECT count(*) FROM ai_usage") == [(1,)]
    for table in ("sessions", "messages", "attachments", "message_attachments", "messages_fts"):
        assert rows(home, f"SELECT count(*) FROM {table}") == [(0,)]  # noqa: S608


@pytest.mark.parametrize(
    ("question", "title"),
    [
        ("first line\n\n- second\t line", "first line - second line"),
        ("# **Why** `x`?", "# **Why** `x`?"),
        ("مرحبا بالعالم", "مرحبا بالعالم"),
        ("x" * 100, "x" * 59 + "…"),
        ("word " * 30, "word " * 11 + "word…"),
    ],
)
def test_a_title_is_the_first_words_of_the_first_question(biology: Run, question: str, title: str) -> None:
    biology(["chat", "-m", "demo/echo", question])

    assert json.loads(biology("sessions --json").out)[0]["title"] == title
    assert biology("sessions").out.split("\t")[2] == title


def test_a_session_whose_group_goes_meanwhile_is_an_error_and_no_crash(biology: Run, session: str) -> None:
    biology("group remove biology --yes")

    for words in ("show", "export", "fork", "remove --yes"):
        verb, *more = words.split()
        assert "no session" in biology(f"sessions {verb} {session} {' '.join(more)}", exit_code=3).err
    assert json.loads(biology("sessions list --json").out) == []
    assert json.loads(biology("sessions search osmosis --json").out) == []


@pytest.mark.parametrize(
    "words", ["sessions remove {}", "sessions remove --before 2030-01-01", "group remove art"]
)
def test_a_copy_from_before_an_upgrade_that_still_holds_the_words_is_named(
    raptchat: Run, home: Path, words: str
) -> None:
    path = home / "it's [a] store.db"
    with closing(Connection(path)) as connection:
        migrate(connection, STEPS[:1])
        connection.execute("INSERT INTO groups VALUES ('g', 'art', 'art', NULL, NULL, NULL, NULL, '', '')")
        connection.execute("INSERT INTO sessions VALUES ('5e55', 'g', 'secretword', NULL, NULL, '', '')")
    raptchat(["sessions", "--store", str(path)])
    torn = path.with_name(f"{path.name}.v1.bak.0123abcd")
    torn.write_text("secretword")
    path.with_name("other.db.v1.bak").touch()

    said = raptchat(["--store", str(path), *words.format("5e55").split(), "--yes", "--json"])

    assert b"secretword" not in path.read_bytes()
    named = [line.partition("may still hold it: rm ")[2] for line in said.err.splitlines()]
    assert [shlex.split(name) for name in named] == [[str(path) + ".v1.bak"], [str(torn)]]
    assert b"secretword" in Path(shlex.split(named[0])[0]).read_bytes()


# Room for the removal, and not for the journal of the whole file, which is longer than the file itself.
_CRAMPED = """
import os, resource, signal, sys
from raptchat.__main__ import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
size = os.path.getsize(os.environ["RAPTCHAT_HOME"] + "/raptchat.db")
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
sys.exit(main())
"""


def test_where_the_file_cannot_be_written_anew_it_says_what_may_be_left(biology: Run, store: Store) -> None:
    kept = keep(store, ("user", "short"))
    content = bytes(20_000_000)
    large = Attachment("large.bin", "application/pdf", sha256(content).hexdigest(), len(content), content)
    with store.write():
        owner = store.sessions.message_id(keep(store, ("user", "long"), ("user", "long")), 2)
        assert owner is not None
        store.attachments.add(owner, [large])
    cramped = [sys.executable, "-c", _CRAMPED, "sessions", "remove", kept, "--yes"]

    ended = subprocess.run(cramped, capture_output=True, text=True, check=False)

    assert ended.returncode == 74, ended.stderr
    assert "scraps of its text may be left in the file: the store" in ended.stderr
    assert len(json.loads(biology("sessions --json").out)) == 1
    hint = ended.stderr.partition("to try again: raptchat ")[2].strip()
    assert biology(f"{hint} --yes").err == "removed 0 sessions of all groups\n"


@pytest.mark.parametrize("words", ["list", "show {}", "search osmosis", "export {}", "export {} --format html"])
def test_a_full_disk_and_a_closed_pipe_end_each_as_they_should(biology: Run, session: str, words: str) -> None:
    command = [*RAPTCHAT, "sessions", *words.format(session).split()]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (ended.returncode, ended.stderr.count("cannot be written")) == (74, 1), ended.stderr

    read, write = os.pipe()
    os.close(read)
    ended = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (ended.returncode, ended.stderr) == (0, "")
