"""The figures of the proofs: they go on where a run ended, and hide no failure."""

import re
from collections import Counter
from pathlib import Path

import proof
import pytest
from proof import Depth, Trials

DEEP = Depth("of this test", 10, deep=True)
TEST = "tests/test_proof.py::test"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(proof, "FOLDER", tmp_path / "figures")
    return tmp_path / "figures"


def begun() -> Trials:
    trials = Trials(DEEP, TEST)
    trials.resume()
    return trials


def report(folder: Path) -> dict[str, object]:
    [file] = folder.iterdir()
    found = proof._read(file)
    assert found
    return found


def test_a_run_goes_on_where_the_last_one_ended(folder: Path) -> None:
    first = begun()
    for number in first:
        if number == 4:
            break
        first.count(met=1)
    first.save()
    assert first.done == 4

    then = begun()
    assert list(then) == [4, 5, 6, 7, 8, 9]
    then.save()
    assert report(folder)["done"] == 10
    assert report(folder)["counts"] == {"met": 4}
    assert list(begun()) == []


def test_a_run_ends_when_its_time_is_over(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAPTCHAT_DEEP_MINUTES", "-1")

    assert list(begun()) == []
    # With each commit there are few, and all of them are made.
    assert list(Trials(Depth("few", 3, deep=False), TEST)) == [0, 1, 2]


def test_a_failure_is_told_until_the_sources_change(folder: Path) -> None:
    first = begun()
    first.failed += 1
    first.save()
    again = begun()
    assert len(list(again)) == 10
    again.save()

    assert report(folder)["failed"] == 1
    assert proof.problems([report(folder)]) == ["`of this test` failed"]
    [file] = folder.iterdir()
    file.write_text(file.read_text().replace(proof.sources(TEST), "of before"))
    assert [begun().failed, begun().done, begun().counts] == [0, 0, Counter()]
    assert "is of other sources" in proof.problems([report(folder)])[1]


def test_batches_have_all_numbers_and_there_are_no_more_than_there_can_be() -> None:
    trials = Trials(Depth("few", 100, deep=False), TEST)
    trials.at_most(7)

    assert list(trials.batches(3)) == [(0, 3), (3, 3), (6, 1)]


def test_every_proof_has_a_name_of_its_own() -> None:
    tests = Path(__file__).parent.glob("test_*.py")
    names = [name for file in tests for name in re.findall(r"@tried\(\s*\"([^\"]+)\"", file.read_text())]

    assert len(names) > 30
    assert [name for name, times in Counter(names).items() if times > 1] == []
