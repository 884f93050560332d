"""The issue's four lines: add-key, a streamed reply, a group without a key, the masked list."""

import json
from pathlib import Path

from conftest import Run, rows

from raptchat.demo import DEMO_KEY, DemoGateway


def test_the_main_job(raptchat: Run, gateway: DemoGateway, home: Path) -> None:
    raptchat(["vault", "init", "--file", str(home.parent / "master.key")])
    said = raptchat("group add-key biology --stdin", stdin=DEMO_KEY + "\n")
    assert DEMO_KEY not in said.out + said.err

    said = raptchat('chat -g biology "What is osmosis?"')
    assert "demo" in said.out
    assert "osmosis" in said.out
    assert gateway.requests[-1].api_key == DEMO_KEY

    raptchat("group create history")
    said = raptchat('chat -g history "And the Ostrogoths?"', exit_code=4)
    assert said.out == ""
    assert "raptchat group add-key history" in said.err
    assert len(gateway.requests) == 1

    listed = json.loads(raptchat("credentials list --json").out)
    assert [(one["group"], one["isActive"]) for one in listed] == [("biology", True)]
    assert listed[0]["lastUsedAt"].endswith("Z")
    assert listed[0]["keyHint"] == f"{DEMO_KEY[:8]}...{DEMO_KEY[-4:]}"

    assert rows(home, "SELECT seq, role, state FROM messages ORDER BY seq") == [
        (1, "user", "complete"),
        (2, "assistant", "complete"),
    ]
    [(tokens, total, cost)] = rows(home, "SELECT input_tokens, total_tokens, cost_nano_usd FROM ai_usage")
    assert total > tokens > 0
    assert cost > 0
