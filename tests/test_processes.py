"""Real processes: many at once in one store, and one that is killed in the middle of a reply."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from conftest import Run, environment, rows
from proof import Trials, tried
from secret_service import SecretService

from raptchat import Factory
from raptchat.config import Settings
from raptchat.credentials import CredentialService
from raptchat.demo import DEMO_KEY, DemoGateway
from raptchat.store import Store

pytestmark = pytest.mark.process

PATIENCE_SECONDS = 100
# All the trials of a proof are processes at once: one batch.
MOST = 1000


def start(*words: str, stdin: str | None = None, **changes: str) -> "subprocess.Popen[str]":
    """The app in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "raptchat", *words],
        env=environment(**changes),
        stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    if stdin is not None:
        assert process.stdin
        # A short text: the pipe takes it whether or not the process reads yet.
        process.stdin.write(stdin)
        process.stdin.close()
        process.stdin = None
    return process


def ended(processes: "Sequence[subprocess.Popen[str]]") -> list[tuple[int, str, str]]:
    """How each process ended, and what it said."""
    said = [process.communicate(timeout=PATIENCE_SECONDS) for process in processes]
    return [(process.returncode, out, err) for process, (out, err) in zip(processes, said, strict=True)]


def opened_keys() -> dict[str, str]:
    """The active key of every group, by its name."""
    with Factory(Settings.load()) as factory:
        credentials = CredentialService(factory)
        return {
            group.name: credentials.open_key(credentials.require_active(group)).reveal()
            for group in factory.store.groups.all()
        }


@tried("chats at once", commit=16, deep=64)
def test_chats_at_once_are_all_answered_and_booked(biology: Run, home: Path, trials: Trials) -> None:
    for _, count in trials.batches(MOST):
        said = ended([start("chat", "-g", "biology", "-m", "demo/echo", f"question {n}") for n in range(count)])

        assert said == [(0, f"question {n}\n", "") for n in range(count)]
        assert rows(home, "SELECT count(*), count(DISTINCT session_id) FROM ai_usage") == [(count, count)]
        assert rows(home, "SELECT role, state, count(*) FROM messages GROUP BY role, state ORDER BY role") == [
            ("assistant", "complete", count),
            ("user", "complete", count),
        ]


@tried("chats at once in one session", commit=8, deep=64)
def test_chats_at_once_in_one_session_are_numbered_apart(biology: Run, home: Path, trials: Trials) -> None:
    biology("chat -g biology -m demo/echo first")
    [(session,)] = rows(home, "SELECT id FROM sessions")
    words = ["chat", "-g", "biology", "--session", session, "-m", "demo/echo"]
    for _, count in trials.batches(MOST):
        said = ended([start(*words, f"question {n}") for n in range(count)])

        assert [(code, err) for code, _, err in said if code] == []
        assert rows(home, "SELECT seq FROM messages ORDER BY seq") == [(n + 1,) for n in range(2 * count + 2)]
        assert rows(home, "SELECT count(*) FROM sessions") == [(1,)]


def add_keys_at_once(times: int, **changes: str) -> None:
    said = ended(
        [
            start("group", "add-key", f"group {n}", "--stdin", stdin=f"{DEMO_KEY}-{n}\n", **changes)
            for n in range(times)
        ]
    )

    assert [(code, err) for code, _, err in said if code] == []
    assert opened_keys() == {f"group {n}": f"{DEMO_KEY}-{n}" for n in range(times)}


@tried("first keys at once in a key file", commit=16, deep=64)
def test_first_keys_at_once_make_one_vault_in_a_key_file(
    home: Path, monkeypatch: pytest.MonkeyPatch, trials: Trials
) -> None:
    monkeypatch.setenv("RAPTCHAT_MASTER_KEY_FILE", str(home.parent / "master.key"))
    for _, count in trials.batches(MOST):
        add_keys_at_once(count)

        assert rows(home, "SELECT count(*) FROM vault_keys") == [(1,)]
        assert rows(home, "SELECT kind, state FROM vault_slots") == [("file", "active")]


@tried("first keys at once in the keyring", commit=12, deep=64)
def test_first_keys_at_once_make_one_vault_in_the_keyring(
    secret_service: SecretService, home: Path, monkeypatch: pytest.MonkeyPatch, trials: Trials
) -> None:
    secret_service.apply(monkeypatch)
    monkeypatch.setenv("RAPTCHAT_HOME", str(home))
    for _, count in trials.batches(MOST):
        add_keys_at_once(count)

        assert rows(home, "SELECT count(*) FROM vault_keys") == [(1,)]
        assert rows(home, "SELECT kind, state FROM vault_slots") == [("keyring", "active")]
        assert len(secret_service.services()) == 1


def test_of_several_keys_at_once_for_one_new_group_exactly_one_is_taken(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAPTCHAT_MASTER_KEY_FILE", str(home.parent / "master.key"))

    said = ended([start("group", "add-key", "biology", "--stdin", stdin=f"{DEMO_KEY}-{n}") for n in range(6)])

    assert sorted(code for code, _, _ in said) == [0, 6, 6, 6, 6, 6], said
    winner = [code for code, _, _ in said].index(0)
    assert opened_keys() == {"biology": f"{DEMO_KEY}-{winner}"}


def until(true: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    """Wait for another process, ten seconds at most."""
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline, process.poll()
        time.sleep(0.02)


def test_what_a_killed_chat_had_received_is_there_and_the_conversation_goes_on(
    biology: Run, home: Path, gateway: DemoGateway
) -> None:
    process = start("chat", "-g", "biology", "-m", "demo/slow", "tell me")
    until(lambda: rows(home, "SELECT 1 FROM messages WHERE role = 'assistant'") != [], process)
    process.send_signal(signal.SIGKILL)
    process.communicate()

    [user, (role, begun, state)] = rows(home, "SELECT role, content, state FROM messages ORDER BY seq")
    assert user == ("user", "tell me", "complete")
    assert (role, state) == ("assistant", "incomplete")
    assert begun
    assert "One word after the other".startswith(begun)
    said = biology("chat -g biology -c -m demo/echo 'go on'")
    assert said.out == "go on\n"
    assert [one["content"] for one in gateway.requests[-1].body["messages"]] == ["tell me", begun, "go on"]


@tried("first starts at once", commit=12, deep=64)
def test_first_starts_at_once_make_one_store(home: Path, trials: Trials) -> None:
    for _, count in trials.batches(MOST):
        said = ended([start("group", "create", f"group {n}") for n in range(count)])

        assert [(code, err) for code, _, err in said if code] == []
        assert rows(home, "SELECT count(*) FROM store") == [(1,)]
        Store.open(home / "raptchat.db").close()
        assert rows(home, "SELECT count(*) FROM groups") == [(count,)]
