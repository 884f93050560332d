"""`raptchat sessions`: list, show, rename, remove."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from conftest import Run, rows


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
    assert len(json.loads(biology("sessions list --limit 1 --json").out)) == 1


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
