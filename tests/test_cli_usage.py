"""`raptchat usage`: sums for a person, a script and a spreadsheet."""

import csv
import io
import json
import re
import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from conftest import Run, environment
from processes import AtTerminal

from raptchat.cli.usage.period import read_period

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
    biology, history = sums(booked, "--all")

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


def test_into_a_pipe_go_lines_without_a_header(booked: Run) -> None:
    assert (
        booked("usage --all").out
        == "biology\t3\t110\t55\t165\t$2.000002 + 1 unknown\nhistory\t1\t1\t1\t2\t$0.000000\n"
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
        ("-g history --by model", [("demo/echo", 1)]),
    ],
)
def test_what_is_summed_can_be_chosen(booked: Run, words: str, expected: list[tuple[str, int]]) -> None:
    found = sums(booked, words if "20" in words else f"{words} --all")

    assert [(next(iter(one.values())), one["requests"]) for one in found] == expected


def test_several_keys_are_combined_in_their_order(booked: Run) -> None:
    found = sums(booked, "--all --by model --by group")
    assert [(one["model"], one["group"], one["requests"]) for one in found] == [
        ("demo/echo", "biology", 2),
        ("demo/echo", "history", 1),
        ("demo/reply", "biology", 1),
    ]
    assert list(found[0])[:2] == ["model", "group"]
    assert sums(booked, "--all --by model,group,model") == found


def test_csv_has_a_header_and_empty_cells_for_unknown(booked: Run) -> None:
    said = booked("usage --all --by group --by model --csv")
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
    assert (said.out, said.err) == ("", "nothing was used from 2030-01-01 (UTC)\n")
    assert json.loads(booked("usage --since 2030-01-01 --json").out) == []


def test_costs_are_plain_decimal_strings(biology: Run) -> None:
    biology("chat hello")
    [row] = json.loads(biology("usage --json").out)

    assert re.fullmatch(r"0\.0*[1-9]\d*", row["cost"])


def book(home: Path, time: datetime, *, cost: int | None = 1_000, model: str = "demo/echo") -> None:
    """One request of biology's in the ledger."""
    with closing(sqlite3.connect(home / "raptchat.db")) as db, db:
        db.execute(
            "INSERT INTO ai_usage (group_id, group_name, session_id, credential_id, provider, model, os_user,"
            " input_tokens, output_tokens, cost_nano_usd, created_at)"
            " VALUES ((SELECT id FROM groups), 'biology', 's', 'key', 'openrouter', ?, 'me', 2, 3, ?, ?)",
            (model, cost, time.isoformat().replace("+00:00", "Z")),
        )


def test_it_is_the_month_to_date_unless_days_are_named(biology: Run, home: Path) -> None:
    first = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    book(home, first)
    book(home, first - timedelta(microseconds=1))
    # By a clock that is ahead.
    book(home, first + timedelta(days=32))

    assert [row["requests"] for row in sums(biology, "")] == [1]
    assert [row["requests"] for row in sums(biology, "--all")] == [3]
    assert [row["requests"] for row in sums(biology, "--until 9999-12-31")] == [3]
    assert [row["requests"] for row in sums(biology, "--since 0001-01-01")] == [3]
    assert len(list(csv.DictReader(io.StringIO(biology("usage --csv --by day").out)))) == 1


@pytest.mark.parametrize(
    ("today", "first"),
    [
        (date(2026, 12, 31), date(2026, 12, 1)),
        (date(2027, 1, 1), date(2027, 1, 1)),
        (date(2028, 2, 29), date(2028, 2, 1)),
    ],
)
def test_the_month_to_date_is_this_month_up_to_today(today: date, first: date) -> None:
    period = read_period(None, None, None, everything=False, today=today)

    assert (period.first, period.last) == (first, today)
    assert period.words == f"in {first:%Y-%m}, to date (UTC)"


def test_what_is_said_of_a_month_without_use_names_it(biology: Run) -> None:
    month = datetime.now(UTC).strftime("%Y-%m")

    assert biology("usage").err == f"nothing was used in {month}, to date (UTC)\n"
    assert biology("usage --all").err == "nothing was used yet\n"


def test_all_days_and_some_days_exclude_each_other(biology: Run) -> None:
    said = biology("usage --all --since 2026-11-01", exit_code=2)

    assert "--all goes with neither --since nor --until" in said.err


def drawn(words: str, *, columns: int = 80, ends: str = "total", **changes: str) -> list[str]:
    """The lines that a person sees."""
    env = environment(TERM="xterm-256color", PAGER="cat", LC_ALL="C.UTF-8", **changes)
    with AtTerminal("usage", *words.split(), env=env, columns=columns, lines=60) as terminal:
        terminal.until(ends)
        terminal.ends(0)
        return terminal.screen()


def test_a_person_sees_bars_with_what_is_not_known_hatched(booked: Run) -> None:
    lines = drawn("--all")

    assert lines[0] == "usage since the first day; bars: cost"
    biology, history, total = lines[3:6]
    assert re.fullmatch(r"biology  █+░░░ +\$2\.000002 \+ 1 unknown +165 +3", biology)
    assert re.fullmatch(r"history +\$0\.000000 +2 +1", history)
    assert re.fullmatch(r"total +\$2\.000002 \+ 1 unknown +167 +4", total)
    assert lines[6] == "░ not known: the gateway did not say it"


def test_an_id_is_drawn_short_so_that_what_follows_it_is_seen(biology: Run) -> None:
    biology("chat hello")
    [session] = json.loads(biology("sessions --json").out)

    assert drawn("--by session --by day")[3].startswith(f"{session['id'][:8]}, {session['lastUsedAt'][:10]} ")
    assert biology("usage --by session").out.startswith(f"{session['id']}\t")


def test_a_cost_that_is_not_known_is_never_drawn_as_nothing(booked: Run) -> None:
    [reply] = [line for line in drawn("--all --by model") if line.startswith("demo/reply")]

    assert re.fullmatch(r"demo/reply +░░░ +unknown +- +1", reply)
    assert "$0" not in reply


def test_the_days_of_a_month_are_a_line_of_small_bars(booked: Run) -> None:
    lines = drawn("--all --by day")

    assert lines[2] == "2026-10  ······························▁"
    assert lines[3].startswith("2026-11  █░")
    assert [line[:10] for line in lines if re.match(r"2026-1\d-\d\d", line)] == [
        "2026-10-31",
        "2026-11-01",
        "2026-11-02",
    ]


def test_the_days_around_the_period_are_not_drawn_as_days_without_use(booked: Run) -> None:
    lines = drawn("--by day --since 2026-11-02 --until 2026-11-04")

    assert lines[2] == "2026-11   █··"


def test_a_model_that_costs_nothing_is_drawn_by_its_tokens(biology: Run, home: Path) -> None:
    book(home, datetime.now(UTC), cost=0)
    lines = drawn("")

    assert lines[0].endswith("to date (UTC); bars: tokens")
    assert re.fullmatch(r"biology  █+ +\$0\.000000 +5 +1", lines[3])


def test_a_wide_terminal_has_room_for_input_and_output(booked: Run) -> None:
    assert drawn("biology --all", columns=120)[2].split() == ["cost", "tokens", "requests", "input", "output"]


def test_without_colours_no_escape_sequence_is_written(booked: Run) -> None:
    with AtTerminal("usage", "--all", env=environment(NO_COLOR="1", PAGER="cat")) as terminal:
        terminal.until("total")
        terminal.ends(0)

        assert "\x1b" not in terminal.said


def test_where_the_encoding_has_no_blocks_they_are_ascii(booked: Run) -> None:
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    with AtTerminal("usage", "--all", "--by", "day", env=environment(PAGER="cat", **ascii_only)) as terminal:
        terminal.until("total")
        terminal.ends(0)

        assert terminal.said.isascii()
        assert "#" in terminal.said
        assert "? not known" in terminal.said


def test_a_long_chart_goes_through_the_pager(booked: Run, tmp_path: Path) -> None:
    page = tmp_path / "page"
    with AtTerminal("usage", "--all", env=environment(PAGER=f"tee {page}", LC_ALL="C.UTF-8")) as terminal:
        terminal.until("total")
        terminal.ends(0)

    assert "█" in page.read_text(encoding="utf-8")


def test_a_day_that_a_damaged_store_holds_does_not_end_it(booked: Run, home: Path) -> None:
    with closing(sqlite3.connect(home / "raptchat.db")) as db, db:
        db.execute("UPDATE ai_usage_days SET day = 'long ago' WHERE model = 'demo/reply'")

    assert any(line.startswith("long ago") for line in drawn("--all --by day"))
