"""Stores with something in them, and what is in a bundle: for the tests of export and import."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sample_files import PNG

from raptchat import CredentialService, Factory
from raptchat.attachments import from_bytes
from raptchat.bundle import document, taking_in, taking_out
from raptchat.records import Group

KEY = "sk-or-v1-0123456789abcdef0123456789abcdef"
OTHER = "sk-or-v1-fedcba9876543210fedcba9876543210"
THIRD = "sk-or-v1-00000000111111112222222233333333"
ELSEWHERE = "https://gateway.example/v1"


@contextmanager
def store_in(folder: Path) -> Iterator[Factory]:
    """A store of its own, whose vault opens with a key file beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    with Factory(store=folder / "raptchat.db") as factory:
        if not factory.vault.exists():
            factory.vault.init("file", path=folder / "master.key")
        yield factory


def add(factory: Factory, name: str, *keys: str, **settings: str) -> Group:
    """A group with *settings*, to which each of *keys* was given one after another."""
    with factory.store.write():
        group = factory.store.groups.add(name, **settings)
    for key in keys:
        CredentialService(factory).create(group.id, key, replace=True, allow_shared=True)
    return group


def talk(factory: Factory, group: Group, *texts: str, title: str = "Cells") -> str:
    """A conversation of *group*: questions with a picture, and answers; returns the session's id."""
    store = factory.store
    with store.write():
        session = store.sessions.add(group.id, title=title, model="demo/echo", system="Be brief.")
        for text in texts:
            asked = store.sessions.add_message(session.id, "user", text)
            store.attachments.add(asked, [from_bytes(PNG, "cell.png", most_bytes=10_000)])
            store.sessions.add_message(
                session.id,
                "assistant",
                text[::-1],
                state="incomplete",
                model="demo/echo",
                reasoning="so",
                reasoning_details='[{"type": "reasoning.text", "text": "so"}]',
            )
    return session.id


def exported(factory: Factory, *, with_sessions: bool = True) -> dict[str, Any]:
    """The document of everything in a store."""
    bundle = taking_out.take_out(factory, with_sessions=with_sessions)
    found = json.loads(document.write(bundle))
    assert isinstance(found, dict)
    return found


def imported(
    factory: Factory, wanted: dict[str, Any], *, allow_shared: bool = False, **choices: taking_in.Choice
) -> list[taking_in.GroupPlan]:
    """What was done to take *wanted* in, with a choice for each group that is in conflict, by its name."""
    bundle = document.read(json.dumps(wanted).encode())
    by_id = {one.group.id: choices[one.group.name] for one in bundle.groups if one.group.name in choices}
    taking = taking_in.TakingIn(factory, bundle, by_id, factory.vault.data_key(), allow_shared)
    plans = taking.plan()
    taking.carry_out(plans)
    return plans


def keys_of(factory: Factory, group_name: str) -> list[tuple[str, bool]]:
    """Each key of a group as it opens, the oldest first, and whether it is in use."""
    found = [one for one in exported(factory)["groups"] if one["name"] == group_name]
    return [(key["apiKey"], key["isActive"]) for one in found for key in one["credentials"]]
