"""How often a promise of SECURITY.md was put to the test: a little with each commit, at length for a release.

A proof is a test that is `tried`: with each commit so many times, in a deep run (`pytest -m deep`) many more.
A deep run is bounded: each proof takes `RAPTCHAT_DEEP_MINUTES` at most. It is resumable: what was tried stands
in `.proof/`, and the next run goes on behind it, until the sources change. `python tests/proof.py` prints it all,
and fails where a proof did.
"""

import hashlib
import json
import math
import os
import platform
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any, TypeVar

import pytest

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / ".proof"
SAVE_SECONDS = 5.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Depth:
    """How many trials a proof has, and whether they are kept count of."""

    name: str
    trials: int
    deep: bool


def tried(name: str, *, commit: int, deep: int) -> pytest.MarkDecorator:
    """Give the test its `trials`: *commit* of them with each commit, *deep* before a release.

    The test goes through them (`for number in trials`, or `trials.batches`); each number is a seed of its own.
    """
    return pytest.mark.parametrize(
        "trials",
        [
            # Others cover the same lines; to trace them in each trial would take a third longer.
            pytest.param(Depth(name, commit, deep=False), id=f"{commit}-trials", marks=[pytest.mark.no_cover]),
            pytest.param(
                Depth(name, deep, deep=True), id="deep", marks=[pytest.mark.deep, pytest.mark.timeout(0)]
            ),
        ],
        indirect=True,
    )


@dataclass
class Trials:
    """The trials that one test is to make now."""

    depth: Depth
    test: str
    counts: Counter[str] = field(default_factory=Counter)
    done: int = 0
    failed: int = 0
    spent: float = 0.0

    def __iter__(self) -> Iterator[int]:
        """The numbers of the trials, from the first that was not made yet."""
        for number, _ in self.batches(1):
            yield number

    def batches(self, size: int) -> Iterator[tuple[int, int]]:
        """The number of the first trial of each batch, and how many trials are in it: *size*, the last fewer."""
        begun = saved = time.monotonic()
        minutes = float(os.environ.get("RAPTCHAT_DEEP_MINUTES", "20"))
        while self.done < self.depth.trials:
            now = time.monotonic()
            if self.depth.deep and now - begun > minutes * 60:
                break
            count = min(size, self.depth.trials - self.done)
            yield self.done, count
            self.done += count
            self.spent += time.monotonic() - now
            if time.monotonic() - saved > SAVE_SECONDS:
                saved = time.monotonic()
                self.save()

    def at_most(self, count: int) -> None:
        """There are no more than *count* different trials: once all are made, the proof is whole."""
        self.depth = replace(self.depth, trials=min(count, self.depth.trials))

    def count(self, **what: int) -> None:
        """Keep count of what the trials met, such as `killed=1`."""
        self.counts.update(what)

    def resume(self) -> None:
        """Go on behind what an earlier deep run of the same sources made; what failed then stays told."""
        if self.depth.deep and (kept := _read(self._file)) and kept["sources"] == sources(self.test):
            self.done, self.failed = kept["done"], kept["failed"]
            self.spent, self.counts = kept["seconds"], Counter(kept["counts"])

    def save(self) -> None:
        """Keep what a deep run has made, and how often it failed."""
        if not self.depth.deep:
            return
        FOLDER.mkdir(exist_ok=True)
        report = {
            "name": self.depth.name,
            "test": self.test,
            "asked": self.depth.trials,
            "done": self.done,
            "failed": self.failed,
            "counts": self.counts,
            "seconds": round(self.spent, 1),
            "date": datetime.now(UTC).date().isoformat(),
            "sources": sources(self.test),
            "with": f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {platform.system()}",
        }
        beside = self._file.with_suffix(".new")
        beside.write_text(json.dumps(report, indent=1), encoding="utf-8")
        beside.replace(self._file)

    @property
    def _file(self) -> Path:
        return FOLDER / f"{self.depth.name.replace(' ', '-')}.json"


@cache
def sources(test: str) -> str:
    """A short hash of the program and of the file that *test* is in: figures of others are not mixed in.

    It is of when it was first asked for: what is changed in the middle of a run was not tried.
    """
    digest = hashlib.sha256()
    for path in [*sorted((ROOT / "src").rglob("*.py")), ROOT / test.partition("::")[0]]:
        digest.update(path.read_bytes() if path.exists() else b"")
    return digest.hexdigest()[:12]


def _read(file: Path) -> dict[str, Any] | None:
    try:
        report = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return report if isinstance(report, dict) else None


def spread(count: int) -> list[int]:
    """The numbers from 1 to *count*, in an order whose every beginning is spread evenly over them."""
    golden = (math.sqrt(5) - 1) / 2
    return sorted(range(1, count + 1), key=lambda number: number * golden % 1)


def in_turns(columns: Sequence[Sequence[T]]) -> list[T]:
    """The first of each column, then the second of each, and so on."""
    return [one for one in chain.from_iterable(zip_longest(*columns)) if one is not None]


def table(reports: Sequence[dict[str, Any]]) -> str:
    """The figures of the deep runs as a Markdown table."""
    lines = ["| proof | tried | of | met | failed | date | test |", "| --- | --- | --- | --- | --- | --- | --- |"]
    for report in reports:
        met = ", ".join(f"{count:,} {what.replace('_', ' ')}" for what, count in sorted(report["counts"].items()))
        lines.append(
            f"| {report['name']} | {report['done']:,} | {report['asked']:,} | {met} | {report['failed']} |"
            f" {report['date']} | `{report['test']}` |"
        )
    return "\n".join(lines)


def problems(reports: Sequence[dict[str, Any]]) -> list[str]:
    """Why these figures do not show what they are to show."""
    failed = [f"`{report['name']}` failed" for report in reports if report["failed"]]
    stale = [report["name"] for report in reports if report["sources"] != sources(report["test"])]
    return failed + [f"`{name}` is of other sources: try it again, or remove it from `.proof`" for name in stale]


if __name__ == "__main__":
    there = [report for file in sorted(FOLDER.glob("*.json")) if (report := _read(file))]
    sys.stdout.write(f"{table(there)}\n")
    if wrong := problems(there):
        sys.exit("\n".join(wrong))
