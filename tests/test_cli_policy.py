"""A group's rules on the command line."""

import json
from pathlib import Path

import pytest
from conftest import Run, rows

from raptchat.demo import DemoGateway

NONE = {"models": [], "zdr": False, "denyTraining": False, "maxCost": None, "noHistory": False}


def policy(run: Run) -> object:
    return json.loads(run("group show biology --json").out)["policy"]


def test_rules_are_set_shown_and_taken_away_one_by_one(biology: Run) -> None:
    assert policy(biology) == NONE
    biology("group set biology --models 'anthropic/*, openai/gpt-*' --zdr --deny-training")
    biology("group set biology --max-cost 0.50 --no-history")
    assert policy(biology) == {
        "models": ["anthropic/*", "openai/gpt-*"],
        "zdr": True,
        "denyTraining": True,
        "maxCost": "0.5",
        "noHistory": True,
    }
    shown = "rules\tmodels anthropic/*, openai/gpt-*; zdr; deny-training; max-cost $0.50; no-history\n"
    assert shown in biology("group show biology").out

    biology("group set biology --model demo/echo")
    assert policy(biology) != NONE
    biology("group set biology --models '' --no-zdr")
    assert policy(biology) == {**NONE, "denyTraining": True, "maxCost": "0.5", "noHistory": True}
    biology("group set biology --no-deny-training --max-cost '' --history")
    assert policy(biology) == NONE
    biology("group set biology --max-cost 1")
    biology("group set biology --max-cost none")
    assert policy(biology) == NONE
    assert "rules\t-\n" in biology("group show biology").out


def test_a_group_is_made_with_its_rules(raptchat: Run) -> None:
    raptchat("group create biology --models 'a/*' --no-history")
    assert policy(raptchat) == {**NONE, "models": ["a/*"], "noHistory": True}


@pytest.mark.parametrize("words", ["--max-cost x", "--max-cost 0", "--models ,", "--models 'a b'", "", "--zdr=1"])
def test_what_is_no_rule_is_refused(biology: Run, words: str) -> None:
    biology(f"group set biology {words}", exit_code=2)
    assert policy(biology) == NONE


def test_what_a_rule_does_not_allow_is_neither_sent_nor_stored(
    biology: Run, gateway: DemoGateway, home: Path
) -> None:
    biology("group set biology --models 'demo/*' --zdr")
    for words in (
        "chat -g biology -m openai/gpt-5 hello",
        "chat -g biology -m openai/gpt-5 --private hello",
        "chat -g biology -m demo/echo --fallback openai/gpt-5 hello",
        "chat -g biology -m demo/echo -o provider '{\"zdr\": false}' hello",
    ):
        said = json.loads(biology(f"{words} --json", exit_code=2).err)
        assert (said["code"], said["statusCode"]) == ("POLICY_REFUSED", 403)
        assert said["rule"] in {"models", "zdr"}
    assert gateway.requests == []
    assert rows(home, "SELECT count(*) FROM sessions") == [(0,)]

    biology("chat -g biology -m demo/echo hello")
    assert gateway.requests[-1].body["provider"] == {"zdr": True}


def test_conversations_of_a_group_without_history_are_not_stored(biology: Run, home: Path) -> None:
    biology("chat -g biology -m demo/echo before")
    biology("group set biology --no-history")
    assert biology("chat -g biology -m demo/echo hello").out == "hello\n"
    [(session, count)] = rows(home, "SELECT session_id, count(*) FROM messages GROUP BY 1")
    assert count == 2
    assert rows(home, "SELECT count(*) FROM ai_usage") == [(2,)]

    for flag in ("-c", f"--session {session}"):
        assert "`no-history`" in biology(f"chat -g biology {flag} hello", exit_code=2).err
    assert "before" in biology(f"sessions show {session}").out
    biology("group set biology --history")
    biology("chat -g biology -m demo/echo -c again")


def test_what_is_refused_changes_nothing_of_the_session(biology: Run, gateway: DemoGateway, home: Path) -> None:
    biology("chat -g biology -m demo/echo -s old hello")
    biology("group set biology --models 'demo/*'")
    biology("chat -g biology -m openai/gpt-5 -c -s new hello", exit_code=2)
    assert rows(home, "SELECT system_prompt FROM sessions") == [("old",)]

    biology("chat -g biology -c -s new hello")
    assert rows(home, "SELECT system_prompt FROM sessions") == [("new",)]
    assert gateway.requests[-1].body["messages"][0] == {"role": "system", "content": "new"}
    biology(["chat", "-g", "biology", "-c", "-s", "", "hello"])
    assert rows(home, "SELECT system_prompt FROM sessions") == [(None,)]
    assert gateway.requests[-1].body["messages"][0]["role"] == "user"
