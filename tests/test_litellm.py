"""The real LiteLLM proxy, with what docs/teams.md shows."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import litellm_proxy
import processes
import pytest
from conftest import Run
from litellm_proxy import MASTER_KEY, SAID, LiteLlmProxy

from raptchat.errors import GatewayError
from raptchat.providers.key_info import KeyInfo
from raptchat.providers.openai_compatible import OpenAiCompatibleClient
from raptchat.records import ContentChunk

pytestmark = pytest.mark.gateway

PAGE = (Path(__file__).parent.parent / "docs" / "teams.md").read_text(encoding="utf-8")
HELLO = [{"role": "user", "content": "hello"}]


def blocks(language: str) -> list[str]:
    """What the page shows in *language*."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiteLlmProxy]:
    [config] = blocks("yaml")
    with litellm_proxy.running(config, tmp_path_factory.mktemp("litellm")) as running:
        yield running


@pytest.fixture
def biology(raptchat: Run, proxy: LiteLlmProxy, home: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The app, with a group whose key is the proxy's."""
    monkeypatch.setenv("AI_MAX_RETRIES", "0")
    raptchat(["vault", "init", "--file", str(home.parent / "master.key")])
    raptchat("group create biology --model haiku")
    give_key(raptchat, proxy, MASTER_KEY)
    return raptchat


def give_key(raptchat: Run, proxy: LiteLlmProxy, key: str, *more: str, exit_code: int = 0) -> str:
    words = ["group", "add-key", "biology", "--provider", "openai-compatible", "--base-url", proxy.url, "--stdin"]
    said = raptchat([*words, *more], stdin=key, exit_code=exit_code)
    return said.out + said.err


def document(said: str) -> Any:
    assert "sentinel" not in said
    return json.loads(said)


def test_a_question_is_answered_and_booked_at_what_the_proxy_charges(biology: Run) -> None:
    assert biology("chat hello").out == f"{SAID}\n"

    said = document(biology("chat --json hello").out)
    assert (said["content"], said["finishReason"], said["model"]) == (SAID, "stop", "haiku")
    assert said["usage"]["outputTokens"] > 0
    assert float(said["usage"]["cost"]) > 0
    [line] = document(biology("usage biology --json").out)
    assert line["requests"] == 2


def test_a_reply_comes_in_pieces_and_its_thoughts_apart(proxy: LiteLlmProxy) -> None:
    with OpenAiCompatibleClient(api_key=MASTER_KEY, base_url=proxy.url, default_model="demo-reasoning") as client:
        *chunks, _ = client.stream_chat(HELLO)
        done = client.complete_chat(HELLO)
    assert len([chunk for chunk in chunks if isinstance(chunk, ContentChunk)]) > 0
    assert done.reasoning
    assert done.content
    assert done.reasoning not in done.content


def test_a_model_without_a_price_has_an_unknown_cost(biology: Run) -> None:
    assert document(biology("chat -m unpriced --json hello").out)["usage"]["cost"] is None


def test_a_reply_to_a_schema_is_checked(biology: Run) -> None:
    said = biology(["chat", "-m", "demo-json", "--schema", "name, age int", "a person"])
    assert document(said.out).keys() == {"name", "age"}


@pytest.mark.parametrize(
    ("model", "exit_code", "said"),
    [
        ("hiaku", 69, "did you mean `haiku`"),
        ("busy", 75, "too many requests (429)"),
        ("full", 69, "too long for the model"),
        ("broken", 69, "(500)"),
        # The key that the gateway has for its host is not the group's.
        ("demo-reply", 69, "the model's host refused the credential"),
    ],
)
def test_what_the_proxy_refuses_is_told_apart(biology: Run, model: str, exit_code: int, said: str) -> None:
    biology("models")  # what the suggestion is made from
    refused = biology(f"chat -m {model} hello", exit_code=exit_code)
    assert said in refused.err
    assert refused.out == ""


def test_a_wrong_key_is_refused_as_one(biology: Run, proxy: LiteLlmProxy) -> None:
    give_key(biology, proxy, "sk-of-somebody-else-sentinel", "--replace")
    refused = biology("chat --json hello", exit_code=77)
    assert document(refused.err)["code"] == "AUTHENTICATION_FAILED"
    biology("credentials check biology", exit_code=77)


def test_a_wrong_key_is_not_even_stored_when_it_is_verified(biology: Run, proxy: LiteLlmProxy) -> None:
    before = biology("credentials list --json").out
    give_key(biology, proxy, "sk-of-somebody-else-sentinel", "--replace", "--verify", exit_code=77)
    assert biology("credentials list --json").out == before


def test_a_budget_of_the_gateway_that_is_used_up_is_said_as_one(biology: Run) -> None:
    deadline = time.monotonic() + 30
    ended = processes.run("chat", "-m", "capped", "hello")
    while ended.returncode == 0 and time.monotonic() < deadline:
        # The proxy counts what a request took some time after it has answered.
        ended = processes.run("chat", "-m", "capped", "--json", "hello", exit_code=None)
    assert ended.returncode == 5
    assert document(ended.stderr)["code"] == "INSUFFICIENT_CREDIT"
    assert "crossed budget" in ended.stderr


def test_the_models_have_the_proxys_prices(biology: Run) -> None:
    models = {model["id"]: model for model in document(biology("models --json").out)}
    assert {"haiku", "mini", "unpriced"} <= models.keys()
    assert float(models["mini"]["inputPricePerMillion"]) == 0.15
    assert float(models["mini"]["outputPricePerMillion"]) == 0.6
    assert models["mini"]["contextLength"] == 128_000
    assert models["unpriced"]["inputPricePerMillion"] is None


def test_the_key_can_be_checked(biology: Run, proxy: LiteLlmProxy) -> None:
    [found] = document(biology("credentials check biology --json").out)
    assert found["verdict"] == "valid"
    with OpenAiCompatibleClient(api_key=MASTER_KEY, base_url=proxy.url) as client:
        assert client.key_info() == KeyInfo()
        assert client.generation("any") is None
    with (
        OpenAiCompatibleClient(api_key=None, base_url=proxy.url, max_retries=0) as client,
        pytest.raises(GatewayError),
    ):
        client.key_info()


def test_another_program_asks_the_proxy_with_the_key_that_it_is_lent(biology: Run) -> None:
    child = """
import json, os, urllib.request
body = json.dumps({"model": "haiku", "messages": [{"role": "user", "content": "hi"}]}).encode()
headers = {"Authorization": "Bearer " + os.environ["OPENAI_API_KEY"], "Content-Type": "application/json"}
asked = urllib.request.Request(os.environ["OPENAI_BASE_URL"] + "/chat/completions", body, headers)
print(json.load(urllib.request.urlopen(asked))["choices"][0]["message"]["content"])
"""
    words = ["exec", "-g", "biology", "--env", "OPENAI_API_KEY", "--", sys.executable, "-c", child]
    assert processes.run(*words).stdout == f"{SAID}\n"


def test_the_page_for_teams_is_true(
    raptchat: Run, proxy: LiteLlmProxy, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raptchat(["vault", "init", "--file", str(home.parent / "master.key")])
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, script in {
        "op": f'test "$*" = "read op://acme/litellm/biology" && echo {MASTER_KEY}',
        "raptchat": f'exec {sys.executable} -m raptchat "$@"',
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")

    shown = blocks("sh")
    said = [sh(block.replace("127.0.0.1:4000", f"127.0.0.1:{proxy.port}")) for block in shown]

    assert len(shown) == 3
    assert SAID in said[0]
    assert "haiku" in {model["id"] for model in json.loads(said[1])["data"]}
    assert "biology" in said[2]
    assert MASTER_KEY not in "".join(said)


def sh(commands: str) -> str:
    ended = subprocess.run(["sh", "-eu"], input=commands, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, (ended.stdout, ended.stderr)
    return ended.stdout + (ended.stderr if "exec" not in commands else "")


def test_the_proxy_of_these_tests_calls_nobody(biology: Run, proxy: LiteLlmProxy) -> None:
    biology("chat hello")
    assert not proxy.called_somebody()
