"""`raptchat usage`: sums for a person, a script and a spreadsheet."""

import csv
import io
import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from conftest import Run

BOOKED = [
    # group, model, day, input, output, cost in nano-dollars
    ("biology", "demo/echo", "2026-10-31", 10, 5, 1_500),
    ("biology", "demo/echo", "2026-11-01", 100, 50, 2_000_000_000),
    ("biology", "demo/reply", "2026-11-02", None, None, None),
    ("history", "demo/echo", "2026-11-02", 1, 1, 0),
]


@pytest.fixture
def booked(biology: Run, home: Path) -> Run:
    """The app, with four requests of two groups on three days in the ledger."""
    biology("group create history")
    with closing(sqlite3.connect(home / "raptchat.db")) as db, db:
        for number, (group, model, day, tokens_in, tokens_out, cost) in enumerate(BOOKED):
            db.execute(
                "INSERT INTO ai_usage (group_id, group_name, session_id, credential_id, provider, model, os_user,"
                " input_tokens, output_tokens, cost_nano_usd, created_at)"
                " VALUES ((SELECT id FROM groups WHERE name = ?), ?, ?, 'key', 'openrouter', ?, 'me', ?, ?, ?, ?)",
                (group, group, f"session {number // 2}", model, tokens_in, tokens_out, cost, f"{day}T23:59:59.5Z"),
            )
    return biology


def sums(booked: Run, words: str) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = json.loads(booked(f"usage {words} --json").out)
    return rows


def test_sums_are_by_group_and_unknown_is_not_zero(booked: Run) -> None:
    biology, history = sums(booked, "")

    assert biology == {
        "group": "biology",
        "requests": 3,
        "inputTokens": 110,
        "outputTokens": 55,
        "totalTokens": 165,
        "cachedTokens": None,
        "reasoningTokens": None,
        "cost": "2.0000015",
        "unknownTokens": 1,
        "unknownCosts": 1,
    }
    assert (history["cost"], history["unknownCosts"]) == ("0", 0)


def test_a_person_reads_a_table(booked: Run) -> None:
    assert (
        booked("usage").out == "biology\t3\t110\t55\t165\t$2.000002 + 1 unknown\nhistory\t1\t1\t1\t2\t$0.000000\n"
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--by model", [("demo/echo", 3), ("demo/reply", 1)]),
        ("--by day", [("2026-10-31", 1), ("2026-11-01", 1), ("2026-11-02", 2)]),
        ("--by session", [("session 0", 2), ("session 1", 2)]),
        ("--by credential", [("key", 4)]),
        ("--by GROUP", [("biology", 3), ("history", 1)]),
        ("--by day --since 2026-11-01", [("2026-11-01", 1), ("2026-11-02", 2)]),
        ("--by day --until 2026-11-01", [("2026-10-31", 1), ("2026-11-01", 1)]),
        ("--by day --since 2026-11-01 --until 2026-11-01", [("2026-11-01", 1)]),
        ("--by day --since 2026-11-02 --until 2026-11-01", []),
        ("history --by model", [("demo/echo", 1)]),
    ],
)
def test_what_is_summed_can_be_chosen(booked: Run, words: str, expected: list[tuple[str, int]]) -> None:
    found = sums(booked, words)

    assert [(next(iter(one.values())), one["requests"]) for one in found] == expected


def test_several_keys_are_combined_in_their_order(booked: Run) -> None:
    found = sums(booked, "--by model --by group")
    assert [(one["model"], one["group"], one["requests"]) for one in found] == [
        ("demo/echo", "biology", 2),
        ("demo/echo", "history", 1),
        ("demo/reply", "biology", 1),
    ]
    assert list(found[0])[:2] == ["model", "group"]
    assert sums(booked, "--by model,group,model") == found


def test_csv_has_a_header_and_empty_cells_for_unknown(booked: Run) -> None:
    said = booked("usage --by group --by model --csv")
    table = list(csv.DictReader(io.StringIO(said.out)))

    assert list(table[0])[:4] == ["group", "model", "requests", "inputTokens"]
    assert [(one["model"], one["cost"], one["totalTokens"]) for one in table if one["group"] == "biology"] == [
        ("demo/echo", "2.0000015", "165"),
        ("demo/reply", "", ""),
    ]


def test_what_a_spreadsheet_would_run_is_made_text(raptchat: Run, biology: Run) -> None:
    biology("group rename biology '=SUM(A1)'")
    biology("chat hello")

    assert "'=SUM(A1)" in biology("usage --csv").out


def test_when_nothing_was_used_it_says_so(booked: Run, raptchat: Run) -> None:
    said = booked("usage --since 2030-01-01")
    assert (said.out, said.err) == ("", "nothing was used in that time\n")
    assert json.loads(booked("usage --since 2030-01-01 --json").out) == []


def test_costs_are_plain_decimal_strings(biology: Run) -> None:
    biology("chat hello")
    [row] = json.loads(biology("usage --json").out)

    assert re.fullmatch(r"0\.0*[1-9]\d*", row["cost"])
