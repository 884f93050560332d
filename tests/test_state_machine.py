"""A store that is used in every way at random, and killed now and then, is what a model of it says."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pytest
import state_machine
from proof import Trials, tried

STEPS, DEEP_STEPS = 20, 50


@pytest.mark.process
@tried("state machine against a model", commit=100, deep=5_000)
def test_nothing_acknowledged_is_lost_and_no_key_opens_for_another_group(trials: Trials) -> None:
    steps = DEEP_STEPS if trials.depth.deep else STEPS
    # Children are forked and killed: from a process that has no other threads.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        for first, count in trials.batches(25):
            trials.count(**process.submit(state_machine.run, first, count, steps).result())
    assert trials.counts["killed"] > 0 < trials.counts["refused"]
