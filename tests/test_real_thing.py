"""The four lines of the README for real: processes, the served demo gateway, a real keyring or a key file."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from conftest import environment
from processes import AtTerminal, read_until, run, started
from secret_service import SecretService

from raptchat.demo import DEMO_KEY


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    """The address of `raptchat demo --serve`, a process of its own."""
    with started("demo", "--serve") as process:
        assert process.stdout
        line = read_until(process.stdout.fileno(), b"in another terminal").decode()
        found = re.search(r"http://127\.0\.0\.1:\d+/api/v1", line)
        assert found
        yield found[0]


def the_four_lines(env: Mapping[str, str], *, makes_the_vault: bool = False) -> None:
    with AtTerminal("group", "add-key", "biology", env=env) as terminal:
        terminal.until("API key for group biology (not shown): ")
        terminal.keys(DEMO_KEY + "\r")
        if makes_the_vault:
            terminal.until("Make a recovery key, to keep on paper? [Y/n] ")
            terminal.keys("n\r")
        terminal.ends(0)
    assert DEMO_KEY not in terminal.said

    with AtTerminal("chat", "-g", "biology", "What is osmosis?", env=env) as terminal:
        terminal.ends(0)
        page = "\n".join(terminal.screen())
    assert "A reply from the demo gateway" in page
    assert "What is osmosis?" in page

    run("group", "create", "history", env=env)
    said = run("chat", "-g", "history", "And the Ostrogoths?", env=env, exit_code=4)
    assert said.stdout == ""
    assert "raptchat group add-key history" in said.stderr

    [listed] = json.loads(run("credentials", "list", "--json", env=env).stdout)
    assert (listed["group"], listed["keyHint"]) == ("biology", f"{DEMO_KEY[:8]}...{DEMO_KEY[-4:]}")
    assert listed["lastUsedAt"].endswith("Z")


def test_with_a_real_keyring(served: str, secret_service: SecretService, tmp_path: Path) -> None:
    env = {**secret_service.environ, "RAPTCHAT_HOME": str(tmp_path / "home"), "AI_GATEWAY_URL": served}
    the_four_lines(env, makes_the_vault=True)

    [slot] = json.loads(run("vault", "status", "--json", env=env).stdout)["slots"]
    assert (slot["kind"], slot["opens"]) == ("keyring", True)
    assert len(secret_service.services()) == 1

    secret_service.lock()
    refused = run("chat", "-g", "biology", "hello", env=env, exit_code=78)
    assert refused.stdout == ""
    assert "hint: " in refused.stderr
    run("credentials", "list", env=env)
    secret_service.unlock()
    run("chat", "-g", "biology", "hello", env=env)


def test_with_a_key_file_where_there_is_no_keyring(served: str, tmp_path: Path) -> None:
    env = environment(AI_GATEWAY_URL=served)
    run("vault", "init", "--file", str(tmp_path / "master.key"), env=env)
    the_four_lines(env)


def test_two_groups_never_pay_for_each_other(served: str, tmp_path: Path) -> None:
    env = environment(AI_GATEWAY_URL=served)
    run("vault", "init", "--file", str(tmp_path / "master.key"), env=env)
    run("group", "add-key", "biology", "--stdin", env=env, stdin=DEMO_KEY)
    run("group", "add-key", "history", "--stdin", env=env, stdin="sk-or-v1-not-of-the-demo")

    run("chat", "-g", "biology", "hello", env=env)
    refused = run("chat", "-g", "history", "hello", env=env, exit_code=77)
    assert "refused the key" in refused.stderr
    used = {one["group"]: one["lastUsedAt"] for one in json.loads(run("credentials", "--json", env=env).stdout)}
    assert used["biology"] is not None
    assert used["history"] is None
