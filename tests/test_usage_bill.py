"""`usage` as a bill to forward: exact to the last digit, safe to paste, and open about what is not known."""

import csv
import io
import json
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from datetime import date
from decimal import Decimal
from pathlib import Path
from random import Random

import pytest
from conftest import Run, environment, rows
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from processes import AtTerminal

from raptchat.cli.usage.period import read_period
from raptchat.clock import utc_now
from raptchat.errors import UsageError
from raptchat.render import Terminal, tables
from raptchat.render.bills import Bill
from raptchat.store import Store

# What a name may try to be in Markdown, HTML or a spreadsheet.
HOSTILE = [
    "a|b",
    "a\\|b",
    "a`b|`c",
    "``",
    "<img src=x onerror=alert(1)>",
    "<!--",
    "[click](https://evil.example)",
    "![x](https://evil.example/x.png)",
    "<https://evil.example>",
    "https://evil.example",
    "# heading",
    "**bold** _it_ ~~s~~",
    "&lt;b&gt; &#124;",
    "--: | :--",
    " lead",
    "trail\\",
]
NEW_LINES = ["two\nlines", "a\r\n\r\n# b", "\u2028x", "\x1b[2J", "\u202eabc"]


def book(home: Path, *lines: Mapping[str, object]) -> None:
    """Requests in the ledger, each with some columns of its own."""
    with closing(Store.open(home / "raptchat.db")), closing(sqlite3.connect(home / "raptchat.db")) as db, db:
        for changes in lines:
            line = {
                "group_id": "gone",
                "group_name": "biology",
                "session_id": "s1",
                "credential_id": "c1",
                "provider": "openrouter",
                "model": "demo/echo",
                "os_user": "me",
                "generation_id": "gen-1",
                "finish_reason": "stop",
                "input_tokens": 100,
                "output_tokens": 50,
                "cost_nano_usd": 1_000_000,
                "created_at": "2026-10-15T09:30:00.000000Z",
                **changes,
            }
            names = ", ".join(line)
            marks = ", ".join("?" * len(line))
            db.execute(f"INSERT INTO ai_usage ({names}) VALUES ({marks})", [*line.values()])  # noqa: S608


def columns_of(text: str) -> list[list[str]]:
    """The cells of the table in *text*, read as a renderer reads them: their words, without markup."""
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)
    found: list[list[str]] = []
    for token in tokens:
        if token.type == "tr_open":
            found.append([])
        elif token.type == "table_close":
            break
        elif token.type == "inline" and found:
            assert token.children is not None
            kinds = {child.type for child in token.children}
            assert kinds <= {"text", "code_inline", "strong_open", "strong_close", "text_special"}, kinds
            found[-1].append("".join(child.content for child in token.children))
    assert sum(token.type == "table_open" for token in tokens) <= 1
    assert not any("html" in token.type for token in tokens)
    return found


@pytest.fixture
def october(raptchat: Run, home: Path) -> Run:
    """The app, with a month in the ledger of which not all is known, and lines around it."""
    raptchat("group create biology")
    book(
        home,
        {"created_at": "2026-09-30T23:59:59.999999Z"},
        {"created_at": "2026-10-01T00:00:00.000000Z", "cost_nano_usd": 1},
        {"created_at": "2026-10-31T23:59:59.999999Z", "cost_nano_usd": 999_999_999_999_999, "model": "a/b"},
        {"cost_nano_usd": None, "model": "a/b", "input_tokens": None, "generation_id": None},
        {"cost_nano_usd": None, "group_name": "history", "group_id": "also gone", "model": "a/b"},
        {"created_at": "2026-11-01T00:00:00.000000Z"},
    )
    return raptchat


def test_a_month_is_all_of_its_days_and_no_other(october: Run) -> None:
    [biology, history] = json.loads(october("usage --month 2026-10 --json").out)

    assert (biology["requests"], biology["cost"], biology["unknownCosts"]) == (3, "1000000", 1)
    assert (history["requests"], history["cost"], history["unknownCosts"]) == (1, None, 1)
    assert json.loads(october("usage --month 2026-08 --json").out) == []


@pytest.mark.parametrize(
    ("month", "last"),
    [("2026-12", date(2026, 12, 31)), ("2028-02", date(2028, 2, 29)), ("9999-12", date(9999, 12, 31))],
)
def test_a_month_ends_on_its_last_day(month: str, last: date) -> None:
    period = read_period(None, None, month, everything=False, today=date(2026, 11, 23))

    assert (period.first, period.last, period.words) == (last.replace(day=1), last, f"in {month} (UTC)")


def test_a_month_that_is_not_over_says_so() -> None:
    def words(today: date) -> str:
        return read_period(None, None, "2026-11", everything=False, today=today).words

    assert words(date(2026, 11, 23)) == "in 2026-11, to date (UTC)"
    assert words(date(2026, 11, 30)) == words(date(2026, 10, 31)) == "in 2026-11 (UTC)"


@pytest.mark.parametrize(
    "month", ["2026-13", "2026-1", "26-11", "2026-11-01", "2026", "", "november", "\x1b", "\uff12026-11"]
)
def test_what_is_no_month_is_refused(month: str) -> None:
    with pytest.raises(UsageError, match="must be a month such as 2026-11"):
        read_period(None, None, month, everything=False, today=date(2026, 11, 23))


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("--month 2026-10 --all", "--month goes with none of"),
        ("--month 2026-10 --since 2026-10-01", "--month goes with none of"),
        ("--until 2026-10-01 --month 2026-10", "--month goes with none of"),
        ("--csv --markdown", "--markdown and --csv exclude each other"),
        ("--json --markdown", "--markdown and --json exclude each other"),
        ("--detail --by model", "--detail is a line for each request"),
    ],
)
def test_what_does_not_go_together_is_refused(raptchat: Run, words: str, problem: str) -> None:
    assert problem in raptchat(f"usage {words}", exit_code=2).err


def test_a_bill_is_exact_and_says_what_its_total_leaves_out(october: Run) -> None:
    said = october("usage --month 2026-10 --by group,model --markdown")

    header, *lines, total = columns_of(said.out)
    assert header == [
        *("group", "model", "requests", "input tokens", "output tokens", "total tokens"),
        *("known cost (USD)", "costs not known"),
    ]
    assert lines == [
        ["biology", "a/b", "2", "100", "100", "150", "999999.999999999", "1"],
        ["biology", "demo/echo", "1", "100", "50", "150", "0.000000001", "0"],
        ["history", "a/b", "1", "100", "50", "150", "unknown", "1"],
    ]
    assert total == ["total", "", "4", "300", "200", "450", "1000000.00", "2"]
    assert "The cost of 2 requests is not known, and the total is without.\n" in said.out
    assert "The tokens of 1 request are not known, and the total is without.\n" in said.out
    assert said.err == ""


def test_a_bill_says_when_it_was_made_for_whom_and_for_which_days(october: Run) -> None:
    everybody, _, made, *_ = october("usage --month 2026-10 --markdown").out.splitlines()
    of_one = october("usage biology --month 2026-08 --markdown").out

    assert everybody == "# Usage in 2026-10 (UTC)"
    assert made.startswith(f"All groups. Made on {utc_now()[:10]}")
    assert made.endswith("; days and times are UTC.")
    assert "\nGroup `biology`. Made on " in of_one
    assert of_one.endswith("\n\nNothing was used in 2026-08 (UTC).\n")
    assert october("usage --month 2026-08 --markdown --detail").out.endswith(
        "\n\nNothing was used in 2026-08 (UTC).\n"
    )


def test_a_bill_of_which_all_is_known_says_nothing_of_the_unknown(raptchat: Run, home: Path) -> None:
    raptchat("group create biology")
    book(home, {}, {"cost_nano_usd": 0})

    assert "not known, and" not in raptchat("usage --month 2026-10 --markdown").out


def test_csv_has_all_digits_and_the_unknown_in_a_column_of_its_own(october: Run) -> None:
    table = list(csv.DictReader(io.StringIO(october("usage --month 2026-10 --by model --csv").out)))

    assert [(one["model"], one["cost"], one["unknownCosts"]) for one in table] == [
        ("a/b", "999999.999999999", "2"),
        ("demo/echo", "0.000000001", "0"),
    ]


@pytest.mark.parametrize("words", ["--by group,model", "--detail"])
def test_no_name_breaks_the_table_or_makes_a_link(raptchat: Run, home: Path, words: str) -> None:
    names = [*HOSTILE, *NEW_LINES]
    book(home, *({"group_id": f"g{n}", "group_name": name, "model": name} for n, name in enumerate(names)))

    _, *lines, _ = columns_of(raptchat(f"usage --all {words} --markdown").out)

    at = 1 if words == "--detail" else 0
    # One space at each end of code is no part of it (CommonMark, 6.1).
    found = {(line[at].strip(), line[at + 1].strip()) for line in lines}
    assert len(lines) == len(names)
    assert found >= {(name.strip(), name.strip()) for name in HOSTILE}
    assert all(len(line) == len(lines[0]) for line in lines)


@given(st.text())
def test_any_text_stands_in_one_cell_as_text(text: str) -> None:
    terminal = Terminal.recorded()
    bill = Bill(terminal, ["name", "cost"], numeric=["cost"])

    bill.heading("Usage", group=text, made="")
    bill.lines([[text, "1"], [None, text]])

    page = terminal.out.getvalue()  # type: ignore[attr-defined]
    [_, [_, one], [_, _]] = columns_of(page)
    assert one == "1"
    assert page.count("\n") == 8


def test_a_spreadsheet_runs_no_name(raptchat: Run, home: Path) -> None:
    formulas = ["=1+1", "+1-1x", "-x", "@SUM(A1)", "\t=1", "\r=1", "\uff1d1", "\uff0b1", "\uff0d1", "\uff20x"]
    book(home, *({"model": name, "generation_id": name} for name in formulas))

    for words, column in (("--by model", "model"), ("--detail", "generationId")):
        said = raptchat(f"usage --all {words} --csv").out
        found = [one[column] for one in csv.DictReader(io.StringIO(said, newline=""))]
        assert len(found) == len(formulas)
        assert all(name.startswith("'") for name in found)


def test_no_cell_begins_within_a_name_where_a_semicolon_ends_one() -> None:
    terminal = Terminal.recorded()

    tables.csv_rows(terminal, ["name"], [["a;=1+1;b"], ["a;\t@b"], ["a=b;c-d"], ["-0.5"]])

    page = terminal.out.getvalue()  # type: ignore[attr-defined]
    assert page.split("\r\n")[1:-1] == ["a;'=1+1;b", "a;\t'@b", "a=b;c-d", "-0.5"]


def test_every_form_and_every_sum_of_the_same_lines_is_the_same_amount(raptchat: Run, home: Path) -> None:
    random = Random(6)
    costs = [random.choice([None, 0, 1, random.randrange(10**9), 10**15 - 1]) for _ in range(60)]
    book(
        home,
        *(
            {
                "cost_nano_usd": cost,
                "group_id": f"g{number % 3}",
                "group_name": f"name {number % 4}",
                "model": f"m{number % 5}",
                "session_id": None if number % 7 == 0 else f"s{number % 7}",
                "created_at": f"2026-10-{1 + number % 31:02}T23:59:59.999999Z",
            }
            for number, cost in enumerate(costs)
        ),
    )
    known = [Decimal(cost).scaleb(-9) for cost in costs if cost is not None]
    expected = (sum(known), 60 - len(known))

    def added(cells: Iterable[str | None]) -> tuple[Decimal | int, int]:
        found = [Decimal(cell) if cell else None for cell in cells]
        return sum(cost for cost in found if cost is not None), found.count(None)

    def read(words: str) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(raptchat(f"usage --month 2026-10 {words} --csv").out)))

    def billed(words: str) -> tuple[list[list[str]], list[str]]:
        _, *lines, total = columns_of(raptchat(f"usage --month 2026-10 {words} --markdown").out)
        return lines, total

    lines, total = billed("--detail")
    detail = json.loads(raptchat("usage --month 2026-10 --detail --json").out)
    assert added(one["cost"] for one in detail) == added(one["cost"] for one in read("--detail")) == expected
    assert added(line[7].replace("unknown", "") for line in lines) == expected
    assert Decimal(total[7]) == expected[0]
    for by in ("group", "model", "day", "session", "credential", "model,group,day"):
        found = json.loads(raptchat(f"usage --month 2026-10 --by {by} --json").out)
        lines, total = billed(f"--by {by}")
        assert added(one["cost"] for one in found)[0] == added(one["cost"] for one in read(f"--by {by}"))[0]
        assert (added(one["cost"] for one in found)[0], sum(one["unknownCosts"] for one in found)) == expected
        assert added(line[-2].replace("unknown", "") for line in lines)[0] == expected[0]
        assert (Decimal(total[-2]), int(total[-1])) == expected
        assert sum(one["requests"] for one in found) == 60


def test_each_request_stands_with_what_finds_it_at_the_gateway(october: Run) -> None:
    found = json.loads(october("usage --month 2026-10 --detail --json").out)

    assert found[0] == {
        "createdAt": "2026-10-01T00:00:00.000000Z",
        "group": "biology",
        "model": "demo/echo",
        "credential": "c1",
        "session": "s1",
        "inputTokens": 100,
        "outputTokens": 50,
        "totalTokens": 150,
        "cachedTokens": None,
        "reasoningTokens": None,
        "cost": "0.000000001",
        "finishReason": "stop",
        "generationId": "gen-1",
    }
    assert [one["createdAt"][8:10] for one in found] == ["01", "15", "15", "31"]
    assert [one["cost"] for one in found] == ["0.000000001", None, None, "999999.999999999"]
    assert [one["generationId"] for one in found].count(None) == 1
    read = list(csv.DictReader(io.StringIO(october("usage --month 2026-10 --detail --csv").out)))
    assert [dict(one) for one in read] == [
        {name: "" if value is None else str(value) for name, value in one.items()} for one in found
    ]


def test_requests_in_markdown_have_a_total(october: Run) -> None:
    said = october("usage --month 2026-10 --detail --markdown").out

    header, *lines, total = columns_of(said)
    assert header[7] == "cost (USD)"
    assert [line[7] for line in lines] == ["0.000000001", "unknown", "unknown", "999999.999999999"]
    assert [total[0], *total[5:8]] == ["total of 4 requests", "300", "200", "1000000.00"]
    assert "The cost of 2 requests is not known, and the total is without.\n" in said
    nothing_known = october("usage -g biology --since 2026-10-15 --until 2026-10-15 --detail --markdown").out
    assert "Nothing was used" in nothing_known


def test_requests_into_a_pipe_are_lines_of_cells(october: Run) -> None:
    said = october("usage --month 2026-10 --detail")

    cells = [line.split("\t") for line in said.out.splitlines()]
    assert [len(line) for line in cells] == [10] * 4
    assert cells[1][7] == "-"
    assert cells[-1][0] == "2026-10-31 23:59"
    assert october("usage --month 2026-08 --detail").err == "nothing was used in 2026-08 (UTC)\n"
    assert json.loads(october("usage --month 2026-08 --detail --json").out) == []


def test_requests_of_a_group_are_its_own_under_the_name_it_has_now(biology: Run, home: Path) -> None:
    biology("chat hello")
    biology("group rename biology botany")
    book(home, {"group_name": "history", "created_at": "2026-11-01T00:00:00.000000Z"})

    [mine] = json.loads(biology("usage botany --all --detail --json").out)
    assert (mine["group"], mine["finishReason"]) == ("botany", "stop")
    assert mine["session"] == rows(home, "SELECT id FROM sessions")[0][0]
    assert len(json.loads(biology("usage --all --detail --json").out)) == 2


@pytest.mark.parametrize("form", ["--json", "--csv", "--markdown", ""])
def test_however_many_requests_there_are_each_comes_once_in_order(raptchat: Run, home: Path, form: str) -> None:
    # More than are read at once, many of them of one moment.
    book(
        home,
        *({"generation_id": f"g{n:04}", "created_at": f"2026-10-01T00:00:{n // 900:02}Z"} for n in range(2_100)),
    )

    said = raptchat(f"usage --all --detail {form}").out

    found = [
        word for word in said.replace('"', " ").replace(",", " ").replace("`", " ").split() if word[:1] == "g"
    ]
    assert [word for word in found if word[1:].isdigit()] == [f"g{n:04}" for n in range(2_100)]
    if form == "--json":
        assert said == json.dumps(json.loads(said), indent=2) + "\n"
    if form == "--markdown":
        assert said.count(":--") == 7
        assert "total of 2,100 requests" in said


def test_a_person_sees_requests_as_a_table(october: Run) -> None:
    words = ("usage", "--month", "2026-10", "--detail")
    with AtTerminal(*words, env=environment(NO_COLOR="1"), columns=140, lines=40) as terminal:
        terminal.until("generation")
        terminal.ends(0)

        lines = terminal.screen()
    assert lines[0].split()[:4] == ["time", "(UTC)", "group", "model"]
    assert len(lines) >= 5


def test_many_documents_are_written_as_one_list() -> None:
    values = [{"a": ["x\ny", None]}, [], {"b": {}}]
    whole, parts, none = (Terminal.recorded() for _ in range(3))

    tables.document(whole, values)
    tables.documents(parts, iter(values))
    tables.documents(none, [])

    assert parts.out.getvalue() == whole.out.getvalue()  # type: ignore[attr-defined]
    assert none.out.getvalue() == "[]\n"  # type: ignore[attr-defined]


def test_a_group_that_is_called_as_a_command_is_named_by_the_flag(biology: Run) -> None:
    biology("group rename biology reconcile")
    biology("chat hello")

    for words in ("usage -g reconcile", "usage --group=reconcile", "usage -- reconcile", "usage --all reconcile"):
        assert biology(words).out.startswith("reconcile\t1\t")
    assert "\tagrees\n" in biology("usage reconcile").out
    assert json.loads(biology("usage --json reconcile reconcile").out)[0]["group"] == "reconcile"
    assert "more words than the command takes" in biology("usage biology history", exit_code=2).err
