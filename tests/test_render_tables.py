"""Lists, single things, formats and errors, for a person and for a script."""

import csv
import io
import json
from dataclasses import replace
from decimal import Decimal

import pytest
from rich.cells import cell_len
from screen import shown

from raptchat.errors import AiNotConfiguredError, RateLimitedError, UsageError
from raptchat.render import Terminal, errors, tables
from raptchat.render.formats import tokens, usd, when


def written(terminal: Terminal) -> str:
    assert isinstance(terminal.out, io.StringIO)
    return terminal.out.getvalue()


def said(terminal: Terminal) -> str:
    assert isinstance(terminal.err, io.StringIO)
    return terminal.err.getvalue()


COLUMNS = ["GROUP", "REQUESTS"]
ROWS: list[list[str | None]] = [["biology", "12"], ["a\tb\nc", None]]


def test_into_a_pipe_a_table_is_tab_separated_without_a_header() -> None:
    terminal = Terminal.recorded()

    tables.table(terminal, COLUMNS, ROWS, empty="no groups")

    assert written(terminal) == "biology\t12\na␉b␊c\t-\n"


def test_at_a_terminal_a_table_is_aligned_under_a_header() -> None:
    terminal = Terminal.recorded(is_tty=True)

    tables.table(terminal, COLUMNS, ROWS, empty="no groups", numeric=["REQUESTS"])

    assert shown(written(terminal)) == [
        "GROUP    REQUESTS",
        "biology        12",
        "a␉b␊c           -",
    ]


def test_without_rows_there_is_a_note_and_no_result() -> None:
    terminal = Terminal.recorded()

    tables.table(terminal, COLUMNS, [], empty="no groups yet")

    assert (written(terminal), said(terminal)) == ("", "no groups yet\n")


def test_a_long_cell_is_folded_and_whole() -> None:
    terminal = Terminal.recorded(is_tty=True, width=40)

    tables.table(terminal, COLUMNS, [["x" * 100, "7"]], empty="")

    lines = shown(written(terminal), width=40)
    assert "".join(lines).count("x") == 100
    assert len(lines) == 5


def test_more_columns_than_fit_are_shown_one_under_the_other() -> None:
    terminal = Terminal.recorded(is_tty=True, width=20)

    tables.table(terminal, ["a name", "B"], [["x" * 30, "2026-11-22"], ["5", None]], empty="")

    lines = shown(written(terminal), width=20)
    assert lines[0] == "a name  xxxxxxxxxxxx"
    assert lines[3:] == ["B       2026-11-22", "", "a name  5", "B       -"]


@pytest.mark.parametrize("width", range(20, 121))
def test_a_table_fits_at_any_width_and_folds_nothing_short(width: int) -> None:
    terminal = Terminal.recorded(is_tty=True, width=width)
    row = ["6163e5f3", "日本語のグループ" * 3, "a long title " * 5, "12", "$0.000123", "2026-11-22 09:30"]

    columns = ["id", "group", "title", "messages", "cost", "last used"]
    tables.table(terminal, columns, [row] * 2, empty="", numeric=["messages", "cost"])

    lines = shown(written(terminal), width=width)
    assert all(cell_len(line) <= width for line in lines)
    for whole in ("6163e5f3", "$0.000123", "last used", *(["2026-11-22"] if width > 20 else [])):
        assert any(whole in line for line in lines)
    assert "".join(lines).count("語") == 6
    assert lines[0].split() == " ".join(columns if width >= 65 else ["id", row[0]]).split()


def test_headers_and_names_are_bold_unless_no_colour_is_wanted() -> None:
    person = Terminal.recorded(is_tty=True)
    plain = replace(Terminal.recorded(is_tty=True), out_colors=None)
    for terminal in (person, plain):
        tables.table(terminal, ["n"], [["1"]], empty="")
        tables.fields(terminal, [("name", "biology")])
        tables.fields(terminal, [])

    assert written(person) == "\x1b[1mn\x1b[0m\n1\n\x1b[1mname\x1b[0m  biology\n"
    assert written(plain) == "n\n1\nname  biology\n"


def test_a_wide_table_is_aligned_whatever_its_characters_are_wide() -> None:
    terminal = Terminal.recorded(is_tty=True, width=40)

    tables.table(
        terminal, ["n", "what", "cost"], [["日本", "é" * 30, "1"], ["x", "y", "100"]], empty="", numeric=["cost"]
    )

    assert written(terminal).splitlines()[1:] == [
        "日本  " + "é" * 28 + "     1",
        "      éé",
        "x     y" + " " * 30 + "100",
    ]


def test_words_in_brackets_are_not_markup() -> None:
    terminal = Terminal.recorded(is_tty=True)

    rows = [["[link=https://x]a[/link]"], ["[/nothing]"], [":smile:"]]
    tables.table(terminal, ["[bold]N[/bold]"], rows, empty="")

    assert shown(written(terminal)) == ["[bold]N[/bold]", "[link=https://x]a[/link]", "[/nothing]", ":smile:"]


def test_one_thing_is_a_name_and_a_value_on_a_line() -> None:
    person, script = Terminal.recorded(is_tty=True), Terminal.recorded()
    pairs = [("name", "bio\tlogy"), ("description", None)]

    tables.fields(person, pairs)
    tables.fields(script, pairs)

    assert shown(written(person)) == ["name         bio␉logy", "description  -"]
    assert written(script) == "name\tbio␉logy\ndescription\t-\n"


def test_a_name_that_is_wider_than_the_terminal_leaves_room_for_its_value() -> None:
    terminal = Terminal.recorded(is_tty=True, width=20)

    tables.fields(terminal, [("n" * 25, "v" * 10), ("b", "c")])

    assert shown(written(terminal), width=20) == [
        "n" * 10 + "  " + "v" * 8,
        "n" * 10 + "  vv",
        "n" * 5,
        "b           c",
    ]


@pytest.mark.parametrize("is_tty", [True, False])
def test_a_document_is_json_in_ascii_everywhere(*, is_tty: bool) -> None:
    terminal = Terminal.recorded(is_tty=is_tty)

    tables.document(terminal, {"cost": Decimal("0.000000010"), "name": "é\x1b", "tokens": None})

    assert written(terminal) == ('{\n  "cost": "0.000000010",\n  "name": "\\u00e9\\u001b",\n  "tokens": null\n}\n')


@pytest.mark.parametrize(("value", "error"), [(object(), TypeError), (float("nan"), ValueError)])
def test_what_json_does_not_know_is_a_bug(value: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        tables.document(Terminal.recorded(), value)


def test_csv_comes_back_as_it_was_and_runs_nothing() -> None:
    terminal = Terminal.recorded()
    row = ["a,b", 'say "x"\r\nand y', None, "=1+1", "-2", "+3.5", "@x", "-x", "\x1b[2J", "-2+3"]

    tables.csv_rows(terminal, list("ABCDEFGHIJ"), [row])

    assert written(terminal).startswith("A,B,C,D,E,F,G,H,I,J\r\n")
    (read,) = csv.reader(io.StringIO(written(terminal).partition("\r\n")[2], newline=""))
    assert read == ["a,b", 'say "x"\r\nand y', "", "'=1+1", "-2", "+3.5", "'@x", "'-x", "[2J", "'-2+3"]


def test_csv_at_a_terminal_keeps_a_row_on_its_line() -> None:
    terminal = Terminal.recorded(is_tty=True)

    tables.csv_rows(terminal, ["A"], [["x\r\ny\x1b"]])

    assert written(terminal) == "A\r\nx␍␊y␛\r\n"


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (None, "-"),
        (Decimal(0), "$0.000000"),
        (Decimal("0.0012345"), "$0.001234"),
        (Decimal("1234.5"), "$1,234.500000"),
        (Decimal("0.0000000001"), "<$0.000001"),
        (Decimal("-0.5"), "-$0.500000"),
    ],
)
def test_money_has_six_places_and_unknown_is_not_nothing(amount: Decimal | None, text: str) -> None:
    assert usd(amount) == text


def test_tokens_are_grouped_by_thousands() -> None:
    assert (tokens(1234567), tokens(0), tokens(None)) == ("1,234,567", "0", "-")


def test_a_time_is_that_of_the_clock_on_the_wall(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        assert when("2026-11-22T23:30:59.000000Z") == "2026-11-23 05:00"
    finally:
        monkeypatch.undo()
        time.tzset()
    assert when(None) == "-"


@pytest.mark.parametrize("time", ["garbage", "", "2026-13-01T00:00:00Z", "0001-01-01T00:00:00+23:59"])
def test_a_time_that_is_none_is_shown_as_it_stands(time: str) -> None:
    assert when(time) == time


def test_an_error_is_what_happened_and_what_to_do() -> None:
    terminal = Terminal.recorded(is_tty=True)

    errors.error(terminal, UsageError("no such `a\nhint: b\x1b[2J` sk-or-v1-0123456789abcdef", hint="x\ny"))
    errors.error(terminal, UsageError("wrong"))

    assert said(terminal) == "raptchat: no such `a␊hint: b␛[2J` ***\nhint: x␊y\nraptchat: wrong\n"
    assert written(terminal) == ""


def test_an_error_in_json_is_one_line_with_fields_of_its_own() -> None:
    terminal = Terminal.recorded()
    key = "sk-or-v1-0123456789abcdef"
    raised = RateLimitedError(f"slow\ndown {key}", retryAfter=Decimal("1.5"), group=key)

    errors.error(terminal, raised, as_json=True)
    errors.error(terminal, UsageError("wrong", hint="do"), as_json=True)

    first, second = said(terminal).splitlines()
    assert json.loads(first) == {
        "error": "slow\ndown ***",
        "code": "RATE_LIMITED",
        "statusCode": 429,
        "hint": "",
        "retryAfter": "1.5",
        "group": "***",
    }
    assert json.loads(second) == {"error": "wrong", "code": "USAGE", "statusCode": 400, "hint": "do"}


def not_configured(**fields: object) -> AiNotConfiguredError:
    message = "AI is not configured for this group. Please add an API key: raptchat group add-key biology"
    return AiNotConfiguredError(message, hint="raptchat group add-key biology", **fields)


def test_a_newcomer_sees_the_group_the_command_and_where_to_get_a_key() -> None:
    terminal = Terminal.recorded(is_tty=True)

    errors.error(terminal, not_configured(group="[bold]bio\x1b[/bold]", provider="openrouter"))

    assert shown(said(terminal)) == [
        "╭─ AI is not configured for group [bold]bio␛[/bold] ─╮",
        "│                                                    │",
        "│  Add an API key for openrouter:                    │",
        "│                                                    │",
        "│    raptchat group add-key biology                  │",
        "│                                                    │",
        "│  Get a key at https://openrouter.ai/keys           │",
        "│                                                    │",
        "╰────────────────────────────────────────────────────╯",
    ]


def test_without_fields_or_with_another_gateway_the_frame_says_less() -> None:
    unnamed, other = Terminal.recorded(is_tty=True), Terminal.recorded(is_tty=True)

    errors.error(unnamed, not_configured())
    errors.error(other, not_configured(group="biology", provider="openai-compatible"))

    assert "for this group" in "".join(shown(said(unnamed)))
    assert "openrouter.ai/keys" in said(unnamed)
    assert "openrouter.ai/keys" not in said(other)


@pytest.mark.parametrize(("is_tty", "width"), [(False, 80), (True, 30)])
def test_in_a_pipe_and_on_a_narrow_screen_it_is_the_usual_two_lines(*, is_tty: bool, width: int) -> None:
    terminal = Terminal.recorded(is_tty=is_tty, width=width)

    errors.error(terminal, not_configured(group="biology", provider="openrouter"))

    assert said(terminal) == (
        "raptchat: AI is not configured for this group. Please add an API key: raptchat group add-key biology\n"
        "hint: raptchat group add-key biology\n"
    )
