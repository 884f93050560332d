"""Processes that rotate, add and read at once: each of them does what it was asked to."""

import os
import random
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from conftest import rows
from proof import Trials, tried
from secret_service import SecretService
from vaults import KEY, add_key, key_of, open_factory

from raptchat.credentials import CredentialService
from raptchat.vault import SlotKind

pytestmark = pytest.mark.process

ROTATIONS = 3


def in_children(works: list[Callable[[], None]], seed: int) -> list[int]:
    """Do each of *works* in a process of its own, all begun at once; how each ended."""
    reader, writer = os.pipe()
    children = []
    for work in random.Random(seed).sample(works, len(works)):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.close(writer)
                os.read(reader, 1)  # until the last one is there
                work()
                code = 0
            except BaseException:  # noqa: BLE001 - it is shown, and the child ends
                traceback.print_exc()
            finally:
                os._exit(code)
        children.append(child)
    os.close(writer)
    os.close(reader)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def rotate() -> None:
    for _ in range(ROTATIONS):
        with open_factory() as factory:
            CredentialService(factory).rotate_vault()


def add(name: str) -> None:
    """Make a group with its key in one transaction, and another key for it in the next."""
    with open_factory() as factory:
        service = CredentialService(factory)
        made = service.atomically(lambda: service.create(factory.store.groups.add(name).id, f"{KEY}-{name}-first"))
        service.create(made.group_id, f"{KEY}-{name}", replace=True)


def read(group_id: str) -> None:
    """Open a key as a command does, and as a conversation does that goes on."""
    assert key_of(group_id) == KEY
    with open_factory() as factory:
        service = CredentialService(factory)
        [credential] = service.list_for_group(group_id)
        for _ in range(20):
            assert service.open_key(credential).reveal() == KEY


@tried("one rotator, adders and readers", commit=2, deep=40)
def test_one_rotator_and_those_who_add_and_read_meanwhile_all_succeed(
    secret_service: SecretService,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    trials: Trials,
) -> None:
    secret_service.apply(monkeypatch)
    adders, readers = (16, 16) if trials.depth.deep else (4, 3)
    for number in trials:
        kind: SlotKind = "keyring" if number % 2 else "file"
        home = tmp_path / f"{kind}-{number}"
        monkeypatch.setenv("RAPTCHAT_HOME", str(home))
        secret_service.clear()
        with open_factory() as factory:
            factory.vault.init(kind, path=home / "master.key" if kind == "file" else None)
            group_id = add_key(factory)
        works: list[Callable[[], None]] = [
            rotate,
            *(partial(add, f"group-{one}") for one in range(adders)),
            *[partial(read, group_id)] * readers,
        ]

        assert in_children(works, number) == [0] * len(works)

        with open_factory() as factory:
            service = CredentialService(factory)
            report = service.check_seals()
            assert [row.problem for row in report.rows] == [None] * (1 + 2 * adders)
            keys = {
                group.name: service.open_key(service.require_active(group)).reveal()
                for group in factory.store.groups.all()
            }
            assert factory.vault.leftovers() == []
        assert keys == {"biology": KEY} | {f"group-{n}": f"{KEY}-group-{n}" for n in range(adders)}
        assert rows(home, "SELECT count(*) FROM vault_keys") == [(1,)]
        assert len(secret_service.services()) == (kind == "keyring")
        trials.count(rotations=ROTATIONS, processes=len(works))
