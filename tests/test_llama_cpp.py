"""A real llama.cpp server, with a tiny model of random weights that is written here."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import gateway_process
import pytest
from conftest import Run

from raptchat.errors import AuthenticationFailedError
from raptchat.providers.key_info import KeyInfo
from raptchat.providers.openai_compatible import OpenAiCompatibleClient
from raptchat.records import ContentChunk

# Its build takes minutes.
pytestmark = [pytest.mark.gateway, pytest.mark.deep]

KEY = "secret-of-llama-cpp-sentinel"
HELLO = [{"role": "user", "content": "hello"}]
GREEDY: dict[str, object] = {"temperature": 0, "max_tokens": 20}


@dataclass(frozen=True, slots=True)
class Llama:
    """A server that asks for a key, or for none."""

    url: str
    key: str | None


@pytest.fixture(scope="module", params=[None, KEY], ids=["no key", "a key"])
def llama(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Llama]:
    python = gateway_process.program("RAPTCHAT_LLAMA_CPP", "llama")
    folder = tmp_path_factory.mktemp("llama")
    model = folder / "tiny.gguf"
    subprocess.run([python, str(Path(__file__).parent / "tiny_model.py"), str(model)], check=True, timeout=60)

    def command(port: int) -> list[str]:
        words = [python, "-m", "llama_cpp.server", "--model", str(model), "--model_alias", "tiny"]
        words += ["--host", "127.0.0.1", "--port", str(port), "--n_ctx", "512", "--n_threads", "1"]
        return words if request.param is None else [*words, "--api_key", request.param]

    with gateway_process.serving(command, ready="/v1/models", folder=folder, environ={}) as port:
        yield Llama(f"http://127.0.0.1:{port}/v1", request.param)


@pytest.fixture
def physics(raptchat: Run, llama: Llama, home: Path) -> Run:
    """The app, with a group that asks the server."""
    raptchat(["vault", "init", "--file", str(home.parent / "master.key")])
    raptchat("group create physics --model tiny")
    words = ["group", "add-key", "physics", "--provider", "openai-compatible", "--base-url", llama.url, "--verify"]
    if llama.key is None:
        raptchat([*words, "--no-key"])
    else:
        raptchat([*words, "--stdin"], stdin=llama.key)
    return raptchat


def test_a_reply_is_that_of_the_model_and_comes_in_pieces(llama: Llama) -> None:
    with OpenAiCompatibleClient(api_key=llama.key, base_url=llama.url, default_model="tiny") as client:
        *chunks, _ = client.stream_chat(HELLO, options=GREEDY)
        done = client.complete_chat(HELLO, options=GREEDY)

    assert "".join(chunk.text for chunk in chunks if isinstance(chunk, ContentChunk)) == done.content
    assert len(done.content) == 20
    assert done.content.isalpha()
    assert done.finish_reason == "length"
    assert done.usage.cost is None


def test_the_group_talks_to_it_for_nothing_that_is_known(physics: Run) -> None:
    said = physics("chat --temperature 0 --max-tokens 20 --json hello")
    answer = json.loads(said.out)
    assert answer["content"].isalpha()
    assert answer["usage"]["cost"] is None
    assert "length limit" in said.err
    [model] = json.loads(physics("models --json").out)
    assert model["id"] == "tiny"
    [check] = json.loads(physics("credentials check physics --json").out)
    assert check["verdict"] == "valid"


def test_what_is_too_long_for_the_model_is_told(physics: Run) -> None:
    said = physics(["chat", "--no-stream", "word " * 400], exit_code=69)
    assert said.out == ""
    assert said.err != ""


def test_only_the_key_that_it_was_started_with_is_taken(llama: Llama) -> None:
    with OpenAiCompatibleClient(api_key=llama.key, base_url=llama.url) as client:
        assert client.key_info() == KeyInfo()
    if llama.key is None:
        return
    for wrong in (None, "another-key-altogether"):
        with OpenAiCompatibleClient(api_key=wrong, base_url=llama.url, default_model="tiny") as client:
            with pytest.raises(AuthenticationFailedError):
                client.key_info()
            with pytest.raises(AuthenticationFailedError):
                client.complete_chat(HELLO)
