"""Inputs that nobody would write: a target must take each, or refuse it with an error of ours.

Hypothesis makes them, so many with each commit and many more in a deep run. To let atheris (libFuzzer) make them,
which follows the branches that they take, install it and run in `tests/`, for each `Target` of `test_fuzz.py`:

    python -c 'import atheris, sys
    with atheris.instrument_imports():
        import test_fuzz
    atheris.Setup(sys.argv, test_fuzz.NAMES.one_input)
    atheris.Fuzz()'
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from proof import Trials


@dataclass(frozen=True)
class Target:
    """What is tried, and what it is tried with."""

    check: Callable[[Any], object]
    inputs: st.SearchStrategy[Any]

    def one_input(self, data: bytes) -> object:
        """Try what *data* stands for, as fuzzers call it."""
        return self._test(1).hypothesis.fuzz_one_input(data)

    def try_out(self, trials: Trials) -> None:
        """Make the trials; each batch is another one by its seed, and nothing is kept between them."""
        for first, count in trials.batches(250):
            seed(first)(self._test(count))()
            trials.count(inputs=count)

    def _test(self, count: int) -> Any:
        def test(value: Any) -> None:
            self.check(value)

        limits = settings(
            max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck)
        )
        return limits(given(self.inputs)(test))
