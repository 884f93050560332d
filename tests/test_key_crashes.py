"""Whoever is killed at work on keys at the gateway leaves a group with a key that works, and none too many."""

import multiprocessing
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import key_crashes
import pytest
from dying import DONE, PATIENCE_SECONDS
from key_crashes import TRIED
from proof import Trials, in_turns, spread, tried

from raptchat.demo import DemoGateway

pytestmark = pytest.mark.process


class Stage:
    """The warm process, as the tests see it."""

    def __init__(self, pool: ProcessPoolExecutor, folder: Path) -> None:
        self._pool = pool
        self._folder = folder

    def count(self, name: str, *, lines: bool) -> int:
        return self._pool.submit(key_crashes.count, self._folder, name, lines=lines).result(PATIENCE_SECONDS)

    def kill_at(self, name: str, number: int, *, lines: bool) -> int:
        trial = self._pool.submit(key_crashes.kill_at, self._folder, name, number, lines=lines)
        return trial.result(2 * PATIENCE_SECONDS)


@pytest.fixture
def stage(gateway: DemoGateway, tmp_path: Path) -> Iterator[Stage]:
    del gateway  # in the environment
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        yield Stage(pool, tmp_path)


def test_work_on_keys_killed_at_any_request_or_commit_leaves_a_working_key_and_none_too_many(stage: Stage) -> None:
    for name in TRIED:
        points = stage.count(name, lines=False)
        assert points >= 5
        ended = [stage.kill_at(name, number, lines=False) for number in range(1, points + 1)]
        assert set(ended) == {-signal.SIGKILL}


@tried("kills in work on keys", commit=6, deep=20_000)
def test_work_on_keys_killed_at_any_line_leaves_a_working_key_and_none_too_many(
    stage: Stage, trials: Trials
) -> None:
    lines = in_turns([[(name, line) for line in spread(stage.count(name, lines=True))] for name in TRIED])
    trials.at_most(len(lines))
    for number in trials:
        code = stage.kill_at(*lines[number], lines=True)
        trials.count(killed=code == -signal.SIGKILL, done_before=code == DONE)

    assert trials.counts["killed"] > 0.9 * trials.done
