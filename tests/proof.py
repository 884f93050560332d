"""How often a promise of SECURITY.md was put to the test: a little with each commit, at length for a release.

A proof is a test that is `tried`: with each commit so many times, in a deep run (`pytest -m deep`) many more.
A deep run is bounded: each proof takes `RAPTCHAT_DEEP_MINUTES` at most. It is resumable: what was tried stands
in `.proof/`, and the next run goes on behind it, until the sources change. `python tests/proof.py` prints it all.
"""

import hashlib
import json
import os
import platform
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / ".proof"
SAVE_SECONDS = 5.0


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
            pytest.param(Depth(name, commit, deep=False), id=f"{commit}-trials"),
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
    finished: bool = False
    done: int = 0
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
                self.save(failed=0)
        self.finished = True

    def at_most(self, count: int) -> None:
        """There are no more than *count* different trials: once all are made, the proof is whole."""
        self.depth = replace(self.depth, trials=min(count, self.depth.trials))

    def count(self, **what: int) -> None:
        """Keep count of what the trials met, such as `killed=1`."""
        self.counts.update(what)

    def resume(self) -> None:
        """Go on behind what an earlier deep run of the same sources made."""
        if self.depth.deep and (kept := _read(self._file)) and kept["sources"] == sources():
            self.done, self.spent, self.counts = kept["done"], kept["seconds"], Counter(kept["counts"])

    def save(self, *, failed: int) -> None:
        """Keep what a deep run has made, and how many of its trials failed."""
        if not self.depth.deep:
            return
        FOLDER.mkdir(exist_ok=True)
        report = {
            "name": self.depth.name,
            "test": self.test,
            "asked": self.depth.trials,
            "done": self.done,
            "failed": failed,
            "counts": self.counts,
            "seconds": round(self.spent, 1),
            "date": datetime.now(UTC).date().isoformat(),
            "sources": sources(),
            "with": f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {platform.system()}",
        }
        beside = self._file.with_suffix(".new")
        beside.write_text(json.dumps(report, indent=1), encoding="utf-8")
        beside.replace(self._file)

    @property
    def _file(self) -> Path:
        return FOLDER / f"{self.depth.name.replace(' ', '-')}.json"


def sources() -> str:
    """A short hash of all that was tried: figures of other sources are not mixed in."""
    digest = hashlib.sha256()
    for path in sorted((ROOT / "src").rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _read(file: Path) -> dict[str, Any] | None:
    try:
        report = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return report if isinstance(report, dict) else None


def table() -> str:
    """The figures of the deep runs as a Markdown table."""
    lines = ["| proof | tried | of | met | failed | date | test |", "| --- | --- | --- | --- | --- | --- | --- |"]
    stale = 0
    for file in sorted(FOLDER.glob("*.json")):
        report = _read(file)
        if report is None:
            continue
        stale += report["sources"] != sources()
        met = ", ".join(f"{count:,} {what.replace('_', ' ')}" for what, count in sorted(report["counts"].items()))
        lines.append(
            f"| {report['name']} | {report['done']:,} | {report['asked']:,} | {met} | {report['failed']} |"
            f" {report['date']} | `{report['test']}` |"
        )
    if stale:
        lines += ["", f"{stale} of these are of other sources than those that are here."]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(f"{table()}\n")
