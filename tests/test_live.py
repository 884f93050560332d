"""The real service: `pytest -m live` with `RAPTCHAT_LIVE_KEY` set; it costs a cent at most."""

import json
import os
from pathlib import Path

import pytest
from conftest import Run

LIVE_KEY = os.environ.get("RAPTCHAT_LIVE_KEY", "")
MODELS = ("~anthropic/claude-haiku-latest", "openai/gpt-4o-mini")

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(not LIVE_KEY, reason="RAPTCHAT_LIVE_KEY is not set"),
]


@pytest.fixture
def live(raptchat: Run, tmp_path: Path) -> Run:
    """The app with a vault in a key file, and the group `biology` with the real key."""
    raptchat(["vault", "init", "--file", str(tmp_path / "master.key")])
    raptchat("group add-key biology --stdin", stdin=LIVE_KEY)
    return raptchat


def test_two_models_answer_and_are_booked(live: Run) -> None:
    for model in MODELS:
        said = live(f"chat -g biology -m {model} --max-tokens 20 --json 'Say the one word: osmosis'")
        document = json.loads(said.out)
        assert "osmosis" in document["content"].lower()
        assert document["usage"]["totalTokens"] > 0
        assert float(document["usage"]["cost"]) > 0
        assert LIVE_KEY not in said.out + said.err
    assert "osmosis" in live("chat -g biology -c 'Say it again, one word.'").out.lower()

    [listed] = json.loads(live("credentials list --json").out)
    assert listed["lastUsedAt"].endswith("Z")
    [row] = json.loads(live("usage --json").out)
    assert row["requests"] == 3
    assert float(row["cost"]) < 0.01


def test_a_wrong_key_is_refused(live: Run) -> None:
    wrong = LIVE_KEY[:-8] + "00000000"
    live("group add-key history --stdin", stdin=wrong)
    said = live("chat -g history --json hello", exit_code=77)

    assert json.loads(said.err)["code"] == "AUTHENTICATION_FAILED"
    assert wrong not in said.err
