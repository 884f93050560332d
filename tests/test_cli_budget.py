"""`group budget`, `chat --max-cost`, and what is said of a budget elsewhere."""

import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from conftest import Run, rows

from raptchat.budgets import bounds
from raptchat.cli.options import amount
from raptchat.demo import DemoGateway
from raptchat.errors import UsageError


@pytest.mark.parametrize(
    ("text", "dollars"),
    [("5", "5"), ("0.50", "0.5"), ("$5", "5"), (" 1000000 ", "1000000"), ("0.000000001", "0.000000001")],
)
def test_an_amount_is_typed_as_dollars(text: str, dollars: str) -> None:
    assert amount(text, "--limit") == Decimal(dollars)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "five",
        "-1",
        "0",
        "0.0",
        "1e3",
        "1,50",
        "1.",
        ".5",
        "1000000.01",
        "0.0000000001",
        "\u0663",
        "NaN",
        "1\n2",
    ],
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="`--limit` must be an amount"):
        amount(text, "--limit")


def test_nothing_is_an_amount_where_it_means_something() -> None:
    assert amount("0", "AMOUNT", zero=True) == 0


def resets() -> datetime:
    return bounds("month", datetime.now(UTC))[1]


def test_a_budget_is_set_shown_changed_and_taken_away(biology: Run) -> None:
    assert "has no budget" in biology("group budget biology").err
    assert json.loads(biology("group budget biology --json").out)["budget"] is None

    shown = json.loads(biology("group budget biology 20 --per week --warn 50% --json").out)
    assert shown["group"] == "biology"
    assert shown["budget"] == {
        "amount": "20",
        "period": "week",
        "warnPercent": 50,
        "spent": "0",
        "unknownCosts": 0,
        "reserved": "0",
        "left": "20",
        "resetsAt": f"{bounds('week', datetime.now(UTC))[1]:%Y-%m-%dT%H:%M:%SZ}",
    }
    biology("group budget BIOLOGY --per month")
    text = biology("group budget biology $30").out.splitlines()
    assert text[1:] == [
        "budget\t$30.00 a month",
        "spent\t$0.00",
        "reserved\t$0.00",
        "left\t$30.00",
        f"resets\t{resets():%Y-%m-%d} 00:00 UTC",
        "warns at\t50%",
    ]
    assert json.loads(biology("group show biology --json").out)["budget"] == {
        "amount": "30",
        "period": "month",
        "warnPercent": 50,
    }
    assert "budget\t$30.00 a month, a warning at 50%\n" in biology("group show biology").out
    assert "has no budget" in biology("group budget biology none").err
    assert json.loads(biology("group show biology --json").out)["budget"] is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("biology x", "`AMOUNT` must be an amount"),
        ("biology -5", "no such option"),
        ("biology 5 --per year", "'year'"),
        ("biology 5 --warn 0%", "`--warn` must be from 1% to 100%"),
        ("biology 5 --warn 101", "`--warn` must be from 1% to 100%"),
        ("biology 5 --warn many", "`--warn` must be from 1% to 100%"),
        ("biology none --per day", "neither period nor warning"),
        ("biology --per day", "has no budget"),
    ],
)
def test_what_is_no_budget_is_refused(biology: Run, words: str, said: str) -> None:
    assert said in biology(f"group budget {words}", exit_code=2).err.lower().replace("`amount`", "`AMOUNT`")
    assert json.loads(biology("group show biology --json").out)["budget"] is None


def test_a_budget_of_nothing_lets_nothing_through_that_costs(biology: Run, gateway: DemoGateway) -> None:
    biology("group budget biology 0")
    said = biology("chat -g biology -m demo/cent hello", exit_code=5)
    assert "the budget of group `biology` is $0.00 a month" in said.err
    assert not [one for one in gateway.requests if "completions" in one.path]


def test_a_request_that_does_not_fit_ends_with_what_is_left(biology: Run, home: Path) -> None:
    biology("group budget biology 0.05")
    biology("chat -g biology -m demo/cent hello")
    said = json.loads(biology("chat -g biology -m demo/cent hello --json", exit_code=5).err)

    assert (said["code"], said["statusCode"]) == ("BUDGET_EXCEEDED", 402)
    assert (said["left"], said["estimate"], said["spent"]) == ("0.02", "0.03", "0.03")
    assert said["resetsAt"] == f"{resets():%Y-%m-%dT%H:%M:%SZ}"
    assert rows(home, "SELECT count(*) FROM sessions") == [(1,)]


def test_at_so_much_of_it_whoever_spends_is_told_once(biology: Run) -> None:
    biology("group budget biology 0.10 --warn 50%")
    assert biology("chat -g biology -m demo/cent hello").err == ""
    told = f"group biology: $0.04 left of $0.10 a month, until {resets():%Y-%m-%d} 00:00 UTC\n"
    assert biology("chat -g biology -m demo/cent hello").err == told
    assert biology("chat -g biology -m demo/cent hello -q").err == told.replace("0.04", "0.01")


def test_a_budget_of_nothing_of_which_nothing_is_spent_is_no_warning(biology: Run) -> None:
    biology("models -g biology")
    biology("group budget biology 0")
    assert biology("chat -g biology -m demo/slow hello").err == ""


def test_whoami_shows_what_is_left(biology: Run) -> None:
    biology("group budget biology 0.10")
    biology("chat -g biology -m demo/cent hello")
    assert f"budget\t$0.07 left of $0.10 a month, until {resets():%Y-%m-%d} 00:00 UTC\n" in biology("whoami").out
    assert json.loads(biology("whoami --json").out)["budget"]["left"] == "0.07"


def test_what_is_counted_by_estimate_is_said(biology: Run) -> None:
    biology("group budget biology 1")
    biology("chat -g biology -m demo/cut --max-cost 0.2 hello", exit_code=1)
    assert (
        "spent\t$0.20, with 1 of unknown cost as estimated: raptchat usage --refresh\n"
        in biology("group budget biology").out
    )


def test_the_most_for_one_request_lowers_the_limit_of_its_reply(biology: Run, gateway: DemoGateway) -> None:
    biology("chat -g biology -m demo/reply --max-cost 0.01 hello")
    assert 1900 < gateway.requests[-1].body["max_tokens"] < 2000
    assert (
        "`--max-cost` allows $0.01" in biology("chat -g biology -m demo/cent --max-cost 0.01 x", exit_code=5).err
    )
    assert "`--max-cost` must be" in biology("chat -g biology -m demo/cent --max-cost 0 x", exit_code=2).err


def test_a_reply_that_cost_more_than_it_might_is_said(biology: Run) -> None:
    said = biology("chat -g biology -m some/model --max-cost 0.000001 hello")
    assert re.search(r"the reply cost \$0\.\d{6}, more than --max-cost", said.err)


def test_a_dry_run_shows_what_rules_make_of_a_request_and_asks_nobody(biology: Run, gateway: DemoGateway) -> None:
    biology("models -g biology")
    biology("group set biology --max-cost 0.01 --zdr --models 'demo/*'")
    asked = len(gateway.requests)
    request = json.loads(biology("chat -g biology -m demo/reply --dry-run hello").out)["request"]
    assert 1900 < request["max_tokens"] < 2000
    assert request["provider"] == {"zdr": True}
    assert "allows no model but" in biology("chat -g biology -m a/b --dry-run hello", exit_code=2).err
    biology("group budget biology 0.001")
    assert "budget of group" in biology("chat -g biology -m demo/reply --dry-run hello", exit_code=5).err
    assert len(gateway.requests) == asked
