"""`raptchat events`: what was done to which key."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from conftest import Run, environment, rows
from processes import AtTerminal

from raptchat.demo import DEMO_KEY


@pytest.fixture
def busy(biology: Run, home: Path) -> Run:
    """The app, after a key was added, replaced and retired, and a group with one was removed."""
    biology("group add-key biology --stdin --replace", stdin=DEMO_KEY + "-2")
    [(credential,)] = rows(home, "SELECT id FROM ai_credentials WHERE is_active = 1")
    biology(f"credentials deactivate {credential}")
    biology("group add-key history --stdin", stdin=DEMO_KEY + "-3")
    biology("group remove history --yes")
    return biology


def test_the_last_comes_first_with_who_did_it_by_which_command(busy: Run) -> None:
    found = json.loads(busy("events --json").out)

    assert [(one["group"], one["action"], one["command"]) for one in found] == [
        ("history", "group.remove", "group remove"),
        ("history", "credential.delete", "group remove"),
        ("history", "credential.create", "group add-key"),
        ("biology", "credential.deactivate", "credentials deactivate"),
        ("biology", "credential.create", "group add-key"),
        ("biology", "credential.deactivate", "group add-key"),
        ("biology", "credential.create", "group add-key"),
        (None, "vault.init", "vault init"),
    ]
    assert all(one["createdAt"].endswith("Z") and one["osUser"] and one["host"] for one in found)
    assert set(found[0]) == {
        "createdAt",
        "action",
        "group",
        "groupId",
        "credentialId",
        "command",
        "osUser",
        "host",
    }


def test_no_event_holds_a_key(busy: Run) -> None:
    assert DEMO_KEY not in busy("events").out + busy("events --json").out


def test_only_those_of_a_group_also_of_one_that_was_removed(busy: Run) -> None:
    assert {one["group"] for one in json.loads(busy("events -g Biology --json").out)} == {"biology"}
    assert {one["group"] for one in json.loads(busy("events -g HISTORY --json").out)} == {"history"}
    assert "biology" in busy("events -g biologie", exit_code=3).err


def test_a_group_keeps_its_events_under_a_new_name(busy: Run) -> None:
    busy("group rename biology cells")

    [renamed, *before] = json.loads(busy("events -g cells --json").out)
    assert (renamed["action"], renamed["group"], renamed["command"]) == ("group.rename", "biology", "group rename")
    assert [one["action"] for one in before].count("credential.create") == 2


def test_a_new_group_of_the_same_name_has_only_its_own(busy: Run) -> None:
    busy("group create history")

    said = busy("events -g history")

    assert (said.out, said.err) == ("", "nothing was done to any key yet\n")


def test_from_a_day_on_and_only_the_last(busy: Run, home: Path) -> None:
    with closing(sqlite3.connect(home / "raptchat.db")) as db, db:
        db.execute("DROP TRIGGER events_refuse_update")
        db.execute("UPDATE events SET created_at = '2026-01-0' || id || 'T12:00:00Z'")
    days = [one["createdAt"][:10] for one in json.loads(busy("events --json").out)]

    assert [one["createdAt"][:10] for one in json.loads(busy("events --json -n 2").out)] == days[:2]
    assert [one["createdAt"][:10] for one in json.loads(busy("events --json --since 2026-01-03").out)] == [
        day for day in days if day >= "2026-01-03"
    ]
    assert "in that time" in busy("events --since 2027-01-01").err
    assert "--since" in busy("events --since yesterday", exit_code=2).err
    busy("events -n 0", exit_code=2)
    assert len(busy("events -n 99999999999999999999").out.splitlines()) == len(days)


def test_at_a_terminal_ids_are_short_and_what_a_name_holds_is_only_shown(busy: Run, home: Path) -> None:
    of_history = {one["credentialId"] for one in json.loads(busy("events -g history --json").out)}
    [credential] = of_history - {None}
    with closing(sqlite3.connect(home / "raptchat.db")) as db, db:
        db.execute(
            "INSERT INTO events (created_at, action, command, os_user, host)"
            " VALUES ('2026-01-01T00:00:00Z', ?, ?, ?, ?)",
            ["\x1b]0;title\x07"] * 4,
        )
    with AtTerminal("events", env=environment(PAGER="cat"), columns=140) as terminal:
        said = terminal.ends(0)

    assert credential[:8] in said
    assert credential not in said
    assert "\x1b]" not in said
