"""The store that the benchmark measures on is one as raptchat makes it, and has what is searched for."""

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import large_store
import pytest
from conftest import environment

from raptchat.store import Store
from raptchat.store.search import Query

MAKER = Path(large_store.__file__).parent / "workers" / "make_large_store.py"

GROUPS, MESSAGES = 30, 2_000


@pytest.fixture
def large(home: Path) -> Path:
    """A small one."""
    subprocess.run(
        [sys.executable, MAKER, home, str(GROUPS), str(MESSAGES)], check=True, env=environment(), timeout=60
    )
    return home / "raptchat.db"


def test_a_large_store_is_in_order_and_has_what_is_looked_up(large: Path) -> None:
    with closing(Store.open(large)) as store:
        assert store.checks.problems() == []
        assert [group.name for group in store.groups.all()][:2] == ["Class 000000", "Class 000001"]
        assert len(store.groups.all()) == len(store.credentials.all()) == GROUPS
        assert sum(one.messages for one in store.sessions.listed()) == MESSAGES
        assert [row.requests for row in store.ledger.report([])] == [MESSAGES // 2]
        group = store.groups.named(large_store.GROUP)
        assert group is not None
        assert store.sessions.last_used(group.id) is not None

        def found(text: str) -> int:
            return len(store.sessions.search(Query.read(text)).messages)

        common, rare, phrase, none = map(found, large_store.SEARCHES.values())
        assert common > MESSAGES // 2 > phrase >= rare >= 1 > none
        assert found(large_store.UNSPACED) >= 1
