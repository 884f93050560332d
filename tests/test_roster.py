"""`raptchat group provision --from`: a whole school, every line checked before the first key is made."""

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from account import FaultyGateway, actions, at_gateway, pays
from conftest import Run, rows
from processes import PATIENCE_SECONDS, RAPTCHAT

from raptchat.cli.group.roster import MOST_BYTES
from raptchat.demo import DEMO_KEY, Answer, DemoGateway
from raptchat.demo.wire import refusal

ROSTER = """name,limit,reset,expires,model
biology,5,monthly,2999-06-30,demo/echo
art,0.50,,,
Chemie 10b,,,,
"""


@pytest.fixture
def roster(tmp_path: Path) -> Path:
    file = tmp_path / "roster.csv"
    file.write_text(ROSTER)
    return file


def provision(run: Run, file: Path, *flags: str, **options: Any) -> Any:
    return run(["group", "provision", "--from", str(file), *flags], **options)


def outcomes(out: str) -> dict[str, str]:
    return {one["group"]: one["outcome"] for one in json.loads(out)}


def refused(run: Run, file: Path, content: str | bytes) -> str:
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    err: str = provision(run, file, exit_code=2).err
    return err


def test_each_line_makes_a_group_with_a_capped_key_and_a_second_run_makes_nothing(
    account: Run, roster: Path
) -> None:
    said = provision(account, roster, "--json")

    assert set(outcomes(said.out).values()) == {"made"}
    made = {(info.name or "").rpartition(" ")[0]: info for info in at_gateway().values()}
    assert set(made) == {"raptchat biology", "raptchat art", "raptchat Chemie 10b"}
    assert made["raptchat biology"].limit_reset == "monthly"
    assert str(made["raptchat art"].limit) == "0.5"
    pays(account)

    before = at_gateway()
    again = provision(account, roster, "--json")
    assert set(outcomes(again.out).values()) == {"has a key already"}
    assert {(one["limit"], one["model"]) for one in json.loads(again.out)} == {
        (None, None)
    }  # not what the file says
    assert provision(account, roster).out.splitlines()[0] == "biology\thas a key already\t-\t-\t-"
    assert at_gateway().keys() == before.keys()
    assert actions(account).count("provision") == 3


def test_what_would_be_done_is_shown_and_not_done(account: Run, roster: Path, gateway: DemoGateway) -> None:
    account("group add-key ART --stdin", stdin=DEMO_KEY)
    asked = len(gateway.requests)

    said = provision(account, roster, "--dry-run")

    assert [line.split("\t") for line in said.out.splitlines()] == [
        ["biology", "would be made", "-", "at most $5.00 monthly, until 2999-06-30T23:59:59Z", "demo/echo"],
        ["ART", "has a key already", "-", "-", "-"],
        ["Chemie 10b", "would be made", "-", "without a cap", "-"],
    ]
    assert len(gateway.requests) == asked
    assert [group["name"] for group in json.loads(account("group --json").out)] == ["ART"]


@pytest.mark.parametrize(
    "content",
    [
        "\ufeff" + ROSTER,
        ROSTER.replace("\n", "\r\n"),
        ROSTER.replace(",", ";"),
        ROSTER.replace(",", "\t"),
        "\n \n" + ROSTER.replace("name,limit", "Name , LIMIT").replace("art,0.50,,,", ',,,,\n"art",$0.50,,,'),
    ],
    ids=["BOM", "CRLF", "semicolons", "tabs", "blank lines"],
)
def test_what_spreadsheets_write_is_read(raptchat: Run, tmp_path: Path, content: str) -> None:
    file = tmp_path / "roster.csv"
    file.write_bytes(content.encode())

    found = json.loads(provision(raptchat, file, "--dry-run", "--json").out)

    assert [(one["group"], one["limit"]) for one in found] == [
        ("biology", "5"), ("art", "0.5"), ("Chemie 10b", None)
    ]  # fmt: skip


def test_columns_may_stand_in_any_order_and_be_left_out(raptchat: Run, tmp_path: Path) -> None:
    file = tmp_path / "roster.csv"
    file.write_text("model,name\ndemo/echo,biology\n")

    [line] = json.loads(provision(raptchat, file, "--dry-run", "--json").out)

    assert (line["line"], line["group"], line["model"], line["limit"]) == (2, "biology", "demo/echo", None)


def test_every_bad_line_is_told_with_its_number_and_nothing_is_done(
    account: Run, tmp_path: Path, gateway: DemoGateway
) -> None:
    file, asked = tmp_path / "roster.csv", len(gateway.requests)
    file.write_text(
        "name,limit,reset,expires,model\n"
        "good,5,,,\n"
        ",5,,,\n"
        "\u202ename,,,,\n"
        "a,five,,,\n"
        "b,5,yearly,,\n"
        "c,,monthly,,\n"
        "d,,,2020-01-01,\n"
        "e,,,soon,\n"
        "f,,,,two words\n"
        "GOOD,,,,\n"
        "g,1\n"
        f"{DEMO_KEY},,,,\n"
        '"two\nlines",,,,\n'
        "h,-1,,,\n"
    )

    said = provision(account, file, "--json", exit_code=2)

    problems = {one["line"]: one["error"] for one in json.loads(said.err)["problems"]}
    assert list(problems) == [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16]
    assert problems[11] == "group `GOOD` stands on line 2 already"
    assert "2 cells" in problems[12]
    assert "API key" in problems[13]
    assert "line 3: the group's name is empty; line 4: " in provision(account, file, exit_code=2).err
    assert len(gateway.requests) == asked
    assert json.loads(account("group --json").out) == []


def test_a_name_that_begins_another_groups_id_is_told(raptchat: Run, tmp_path: Path) -> None:
    raptchat("group create biology")
    group_id = json.loads(raptchat("group show biology --json").out)["id"]

    said = refused(raptchat, tmp_path / "roster.csv", f"name\n{group_id[:6]}\n")

    assert "line 2: " in said
    assert "beginning of the id" in said


def test_a_model_that_the_groups_rules_do_not_allow_is_told(raptchat: Run, tmp_path: Path) -> None:
    raptchat(["group", "create", "biology", "--models", "demo/*"])

    said = refused(raptchat, tmp_path / "roster.csv", "name,model\nBiology,openai/gpt-5\nart,openai/gpt-5\n")

    assert "line 2: " in said
    assert "allows no model but `demo/*`" in said
    assert "line 3" not in said


def test_files_that_are_no_roster_are_refused(raptchat: Run, tmp_path: Path) -> None:
    file = tmp_path / "roster.csv"
    refusals: dict[str | bytes, str] = {
        "": "names no group",
        "name\n\n": "names no group",
        "limit\n5\n": "no column `name`",
        "name,price\na,5\n": "unknown column: `price`",
        "name,Name\na,b\n": "a column twice",
        'name\n"open\n': "line 2: it is no CSV",
        b"name\nok\n\xff\xfe\n": "is not UTF-8 text: line 3",
        "name\n" + "\n".join(f"g{number}" for number in range(10_001)): "more than 10,000 groups",
        "x" * (MOST_BYTES + 1): "larger than 1 MiB",
    }
    for content, problem in refusals.items():
        assert problem in refused(raptchat, file, content), problem
    assert "cannot be read" in provision(raptchat, tmp_path, exit_code=2).err
    assert "cannot be read" in provision(raptchat, tmp_path / "none", exit_code=2).err
    assert "stand in the file" in provision(raptchat, file, "--limit", "5", exit_code=2).err


def test_of_many_bad_lines_the_first_are_told(raptchat: Run, tmp_path: Path) -> None:
    said = refused(raptchat, tmp_path / "roster.csv", "name\n" + "x\n" * 23)

    assert "line 22: " in said
    assert "and 2 more" in said


def test_a_gateway_that_fails_half_way_leaves_what_was_made_and_a_second_run_goes_on(
    flaky: FaultyGateway, raptchat: Run, roster: Path, home: Path
) -> None:
    flaky.failing, flaky.passing = {"POST": 500}, 1

    said = provision(raptchat, roster, "--json", exit_code=69)

    assert outcomes(said.out) == {"biology": "has a key already", "art": "made", "Chemie 10b": "not reached"}
    assert "stopped at line 4, group `Chemie 10b`" in said.err
    assert "run it again: groups that have a key are left alone" in said.err
    flaky.failing = {}
    assert outcomes(provision(raptchat, roster, "--json").out) == {
        "biology": "has a key already", "art": "has a key already", "Chemie 10b": "made"
    }  # fmt: skip
    assert len(at_gateway()) == 3
    assert rows(home, "SELECT * FROM key_works") == []


def test_a_gateway_that_asks_for_patience_gets_it(account: Run, roster: Path, gateway: DemoGateway) -> None:
    busy = refusal(429, "too many")
    gateway.answer(Answer(busy.status, {**busy.headers, "Retry-After": "0"}, busy.body))

    assert set(outcomes(provision(account, roster, "--json").out).values()) == {"made"}
    assert len(at_gateway()) == 3


def test_without_a_management_key_nothing_is_listed(raptchat: Run, roster: Path) -> None:
    said = provision(raptchat, roster, exit_code=4)

    assert said.out == ""
    assert "stopped" not in said.err


@pytest.mark.process
def test_ctrl_c_half_way_lists_what_was_made(account: Run, roster: Path, gateway: DemoGateway, home: Path) -> None:
    account("group provision biology")
    gateway.answer(Answer(ending="hang"))
    asked = len(gateway.requests)
    with subprocess.Popen(
        [*RAPTCHAT, "group", "provision", "--from", str(roster), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            while len(gateway.requests) == asked:
                assert process.poll() is None
                time.sleep(0.005)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=PATIENCE_SECONDS)
        finally:
            process.kill()

    assert process.returncode == 130, err
    assert outcomes(out.decode())["biology"] == "has a key already"
    assert set(outcomes(provision(account, roster, "--json").out).values()) == {"has a key already", "made"}
    assert len(at_gateway()) == 3
