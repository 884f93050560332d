"""Many processes against one budget, and one that is killed while its money is kept."""

import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conftest import Run, environment, rows
from processes import read_until, run, started

from raptchat import Factory
from raptchat.config import Settings

pytestmark = pytest.mark.process

PATIENCE_SECONDS = 300


def test_processes_at_once_do_not_overrun_the_budget(biology: Run, home: Path) -> None:
    count, answered = 64, 33
    biology("group budget biology 1.00")
    biology("models -g biology")
    asking = [
        subprocess.Popen(
            [sys.executable, "-m", "raptchat", "chat", "-g", "biology", "-m", "demo/cent", f"question {number}"],
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for number in range(count)
    ]
    said = [process.communicate(timeout=PATIENCE_SECONDS) for process in asking]

    assert sorted(process.returncode for process in asking) == [0] * answered + [5] * (count - answered)
    assert all(b"the budget of group" in err for _, err in said if b"raptchat:" in err)
    assert rows(home, "SELECT count(*), sum(cost_nano_usd) FROM ai_usage") == [(answered, answered * 30_000_000)]
    assert rows(home, "SELECT count(*) FROM sessions") == [(answered,)]
    assert rows(home, "SELECT * FROM reservations") == []


def test_what_a_killed_process_kept_is_free_after_its_time(biology: Run, home: Path) -> None:
    biology("group budget biology 0.05")
    biology("models -g biology")
    with started(
        "chat", "-g", "biology", "-m", "demo/stall", "--max-cost", "0.05", "hello", env=environment()
    ) as process:
        assert process.stdout is not None
        read_until(process.stdout.fileno(), b"The")
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert rows(home, "SELECT amount_nano_usd FROM reservations") == [(50_000_000,)]
    refused = run("chat", "-g", "biology", "-m", "demo/cent", "hello", env=environment(), exit_code=5)
    assert "$0.05 reserved and $0.00 left" in refused.stderr

    over = f"{datetime.now(UTC) - timedelta(seconds=1):%Y-%m-%dT%H:%M:%S.%fZ}"
    with Factory(Settings.load()) as factory:
        factory.store.budgets._db.execute("UPDATE reservations SET until = ?", (over,))
    run("chat", "-g", "biology", "-m", "demo/cent", "hello", env=environment())
    assert rows(home, "SELECT * FROM reservations") == []
