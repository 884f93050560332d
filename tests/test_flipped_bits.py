"""A bit that flips in the store's file: no other value is read that the checks do not find."""

import random
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from full_store import everything, fill
from proof import Trials, tried

from raptchat.errors import StoreError
from raptchat.store import Store


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, dict[str, Any]]:
    """The file of a store with everything in it, and what can be read of it."""
    path = fill(tmp_path_factory.mktemp("whole") / "home")
    return path.read_bytes(), everything(path)


@tried("bit flips in the file: noticed by doctor's checks", commit=100, deep=20_000)
def test_a_flipped_bit_is_refused_or_noticed_or_changes_nothing(
    trials: Trials, whole: tuple[bytes, dict[str, Any]], tmp_path: Path
) -> None:
    before, expected = whole
    path = tmp_path / "raptchat.db"
    for number in trials:
        bit = random.Random(number).randrange(len(before) * 8)
        after = bytearray(before)
        after[bit // 8] ^= 1 << bit % 8
        path.unlink(missing_ok=True)
        path.write_bytes(after)
        path.chmod(0o600)
        try:
            found = everything(path)
        except StoreError:
            trials.count(refused=1)
            continue
        with closing(Store.open(path)) as store:
            said_ok, problems = not store.checks.integrity(), store.checks.problems()
        assert found == expected or problems, f"bit {bit} of {len(before) * 8}"
        if found == expected:
            trials.count(**{"same_values_and_noticed" if problems else "same_values": 1})
        else:
            trials.count(**{"noticed_though_integrity_check_said_ok" if said_ok else "noticed": 1})
