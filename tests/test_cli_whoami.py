"""`raptchat whoami`: which group would pay, and why."""

import json
from pathlib import Path

import pytest
from conftest import Run

from raptchat.demo import DEMO_KEY, DemoGateway


def test_everything_that_decides_is_shown(biology: Run, gateway: DemoGateway, home: Path) -> None:
    shown = json.loads(biology("whoami --json").out)

    assert shown == {
        "group": "biology",
        "groupId": shown["groupId"],
        "reason": "the only group",
        "provider": "openrouter",
        "credentialId": shown["credentialId"],
        "keyHint": f"{DEMO_KEY[:8]}...{DEMO_KEY[-4:]}",
        "model": "~anthropic/claude-haiku-latest",
        "gateway": gateway.url,
        "budget": None,
        "vault": ["file"],
        "store": str(home / "raptchat.db"),
        "ignoredVariables": [],
    }
    text = biology("whoami").out
    assert text.startswith("group\tbiology (chosen by the only group)\n")


def test_a_group_without_a_key_is_shown_too(raptchat: Run) -> None:
    raptchat("group create history --model some/model")
    shown = json.loads(raptchat("whoami --json").out)

    assert (shown["credentialId"], shown["keyHint"], shown["vault"]) == (None, None, [])
    assert shown["model"] == "some/model"
    assert "key\tnone: raptchat group add-key history\n" in raptchat("whoami").out


def test_an_exported_key_is_said_to_be_ignored(biology: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-or-v1-ambient-0123456789")
    said = biology("whoami")
    assert "OPENROUTER_API_KEY is set, and ignored" in said.err
    assert "ambient" not in said.out + said.err
    assert json.loads(biology("whoami --json").out)["ignoredVariables"] == ["OPENROUTER_API_KEY"]


def test_nothing_is_asked_or_sent(biology: Run, gateway: DemoGateway, tmp_path: Path) -> None:
    (tmp_path / "master.key").unlink()
    biology("whoami")

    assert gateway.requests == []


def test_a_gateway_that_the_key_is_not_for_is_said(biology: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "refused" not in biology("whoami").out
    monkeypatch.setenv("AI_GATEWAY_URL", "https://gateway.example/v1")

    key = next(line for line in biology("whoami").out.splitlines() if line.startswith("key\t"))
    assert key.startswith(f"key\t{DEMO_KEY[:8]}...{DEMO_KEY[-4:]}, refused: ")
    assert key.endswith("and the gateway is now https://gateway.example:443")


def test_an_exported_key_is_said_to_be_ignored_also_where_no_group_is_chosen(
    raptchat: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-ambient-0123456789")
    assert "OPENAI_API_KEY is set, and ignored" in raptchat("whoami", exit_code=3).err

    [line] = raptchat("whoami --json", exit_code=3).err.splitlines()
    assert json.loads(line)["code"] == "NO_GROUP"


def test_of_an_alias_the_model_is_shown_that_it_stands_for(biology: Run) -> None:
    biology("config set alias.fast mistralai/mistral-small")
    biology("group set biology --model fast")

    assert json.loads(biology("whoami --json").out)["model"] == "mistralai/mistral-small"
