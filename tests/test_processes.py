"""Real processes: many at once in one store, and some that are killed in the middle."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import crashes
import pytest
from conftest import Run, environment, rows
from secret_service import SecretService

from raptchat import Factory
from raptchat.config import Settings
from raptchat.credentials import CredentialService
from raptchat.demo import DEMO_KEY, DemoGateway
from raptchat.store import Store

pytestmark = pytest.mark.process

CRASHES = str(Path(crashes.__file__))
PATIENCE_SECONDS = 100


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


def test_sixteen_chats_at_once_are_all_answered_and_booked(biology: Run, home: Path) -> None:
    said = ended([start("chat", "-g", "biology", "-m", "demo/echo", f"question {n}") for n in range(16)])

    assert [(code, out, err) for code, out, err in said] == [(0, f"question {n}\n", "") for n in range(16)]
    assert rows(home, "SELECT count(*), count(DISTINCT session_id) FROM ai_usage") == [(16, 16)]
    assert rows(home, "SELECT role, state, count(*) FROM messages GROUP BY role, state ORDER BY role") == [
        ("assistant", "complete", 16),
        ("user", "complete", 16),
    ]


def test_eight_chats_at_once_in_one_session_are_numbered_apart(biology: Run, home: Path) -> None:
    biology("chat -g biology -m demo/echo first")
    [(session,)] = rows(home, "SELECT id FROM sessions")

    said = ended(
        [
            start("chat", "-g", "biology", "--session", session, "-m", "demo/echo", f"question {n}")
            for n in range(8)
        ]
    )

    assert [code for code, _, _ in said] == [0] * 8
    assert rows(home, "SELECT seq FROM messages ORDER BY seq") == [(seq,) for seq in range(1, 19)]
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


def test_sixteen_first_keys_at_once_make_one_vault_in_a_key_file(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAPTCHAT_MASTER_KEY_FILE", str(home.parent / "master.key"))

    add_keys_at_once(16)

    assert rows(home, "SELECT count(*) FROM vault_keys") == [(1,)]
    assert rows(home, "SELECT kind, state FROM vault_slots") == [("file", "active")]


def test_sixteen_first_keys_at_once_make_one_vault_in_the_keyring(
    secret_service: SecretService, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret_service.apply(monkeypatch)
    monkeypatch.setenv("RAPTCHAT_HOME", str(home))

    add_keys_at_once(16)

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


def run_crashes(*command: str) -> dict[str, int]:
    said = subprocess.run(
        command, env=environment(), capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS
    )
    assert said.returncode == 0, said.stderr[-3000:]
    found = json.loads(said.stdout)
    assert isinstance(found, dict)
    return found


def test_a_process_that_is_killed_at_any_line_leaves_the_old_state_or_the_new(gateway: DemoGateway) -> None:
    killed = run_crashes(sys.executable, CRASHES, "lines", "20")

    assert killed.keys() == crashes.WORKS.keys()
    # Of a chat, how many lines run is a matter of how the stream was cut.
    assert all(times >= 15 for times in killed.values()), killed


def strace_works() -> bool:
    """Whether a process may be traced here, and strace is new enough to change what its calls return."""
    if sys.platform != "linux" or shutil.which("strace") is None:
        return False
    tried = subprocess.run(
        ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=fsync:error=EIO:when=1", "true"],
        capture_output=True,
        check=False,
    )
    return tried.returncode == 0


# SQLite's own calls, and those that make the key file. An error or a death at the n-th of each kind.
FAULTS = [
    *(("pwrite64", "signal=KILL", n) for n in (1, 2, 3, 5, 8, 13)),
    *(("fdatasync,fsync", "signal=KILL", n) for n in (1, 2, 3, 5, 8)),
    *(("unlink", "signal=KILL", n) for n in (1, 2)),
    *(("pwrite64", "error=EIO", n) for n in (1, 4)),
    *(("pwrite64", "error=ENOSPC", n) for n in (2, 5)),
    *(("fdatasync,fsync", "error=EIO", n) for n in (1, 3)),
    ("unlink", "error=EIO", 1),
]


@pytest.mark.parametrize(("calls", "fault", "when"), FAULTS)
def test_a_system_call_that_kills_or_fails_leaves_the_old_state_or_the_new(
    gateway: DemoGateway, tmp_path: Path, calls: str, fault: str, when: int
) -> None:
    if not strace_works():
        pytest.skip("needs strace, and the right to trace a process")
    for name, work in crashes.WORKS.items():
        work.prepare(tmp_path / name)

    codes = run_crashes(
        *("strace", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null"),
        *("-e", f"trace={calls}", "-e", f"inject={calls}:{fault}:when={when}"),
        *(sys.executable, CRASHES, "calls", str(tmp_path)),
    )

    expected = {crashes.DONE, -signal.SIGKILL if "KILL" in fault else crashes.REFUSED}
    assert set(codes.values()) <= expected
    assert set(codes.values()) != {crashes.DONE} or when > 1
    for name, work in crashes.WORKS.items():
        work.check(tmp_path / name, codes[name] == crashes.DONE)


def test_sixteen_first_starts_at_once_make_one_store(home: Path) -> None:
    said = ended([start("group", "create", f"group {n}") for n in range(16)])

    assert [(code, err) for code, _, err in said if code] == []
    assert rows(home, "SELECT count(*) FROM store") == [(1,)]
    Store.open(home / "raptchat.db").close()
    assert rows(home, "SELECT count(*) FROM groups") == [(16,)]
