"""A store with a little of everything in it, and all that can be read of it."""

import hashlib
import tempfile
from contextlib import closing
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from sample_files import PNG

from raptchat import CredentialService, Factory
from raptchat.caller import Caller
from raptchat.config import Settings
from raptchat.credentials.management_key import ManagementKeys
from raptchat.records import Attachment, Booking, Budget, KeyWork, Policy, Usage
from raptchat.secret import Secret
from raptchat.store import Store
from raptchat.store.groups import budget_columns, policy_columns
from raptchat.store.ledger import BY
from raptchat.store.search import Query

CALLER = Caller("raptchat", "teacher", "school")
PICTURE = Attachment("cell.png", "image/png", hashlib.sha256(PNG).hexdigest(), len(PNG), PNG)
RULES = Policy(("anthropic/*", "a/b"), zdr=True, max_cost=Decimal("0.5"), no_history=True)
BUDGET = Budget(Decimal(20), "month")
ORIGIN, NOON = "https://openrouter.ai:443", "2026-11-01T12:00:00Z"
FOLDER = Path("/home/teacher/biology")


def fill(home: Path) -> Path:
    """Make a store in *home* with groups, keys, a vault of two slots, sessions, usage and events; where it is."""
    environ = {
        "RAPTCHAT_HOME": str(home),
        "RAPTCHAT_MASTER_KEY_FILE": str(home / "master.key"),
        "HOME": str(home),
    }
    with Factory(Settings.load(environ), caller=CALLER) as factory:
        factory.vault.init("file")
        factory.vault.add("file", path=home / "second.key")
        store, service = factory.store, CredentialService(factory)
        with store.write():
            groups = [
                store.groups.add(name, description="Größe", model="a/b", system_prompt="Be brief.")
                for name in ("biology", "history", "art")
            ]
            store.groups.bind(FOLDER, groups[0].id)
        keys = [service.create(group.id, f"sk-or-v1-{group.name}-{'0' * 40}", label="of 2026") for group in groups]
        with store.write():
            for group, key in zip(groups, keys, strict=True):
                talk(store, group.id, key.id)
            store.groups.set(groups[2].id, **policy_columns(RULES), **budget_columns(BUDGET))
            store.budgets.reserve(groups[2].id, Decimal("0.03"))
            store.management.begin(KeyWork("w", "history", ORIGIN, None, "0" * 64, NOON))
        ManagementKeys(factory).save(Secret("sk-or-v1-management-" + "0" * 40), ORIGIN)
    return home / "raptchat.db"


def put(home: Path) -> Path:
    """Put a copy of such a store into *home*, with its key files; where it is."""
    home.mkdir(mode=0o700)
    for name, data in _made().items():
        (home / name).touch(mode=0o600)
        (home / name).write_bytes(data)
    return home / "raptchat.db"


@cache
def _made() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder))
        return {name: Path(folder, name).read_bytes() for name in ("raptchat.db", "master.key", "second.key")}


def talk(store: Store, group_id: str, credential_id: str) -> str:
    """Put a session with messages, an attachment and usage into *store*; its id."""
    session = store.sessions.add(group_id, title="Cells", system="Be brief.")
    asked = 0
    for number in range(6):
        asked = store.sessions.add_message(session.id, "user", f"How large is cell {number}? " * 20)
        store.sessions.add_message(
            session.id, "assistant", f"Größe {number} µm. " * 30, model="a/b", reasoning="Hm."
        )
    store.attachments.add(asked, [PICTURE])
    store.ledger.book(
        Booking(
            group_id, "biology", session.id, credential_id, "openrouter", "a/b", "teacher", "gen-1", "stop",
            Usage(10, 20, 30, 4, 5, Decimal("0.001")), "2026-11-01T10:00:00Z",
        )
    )  # fmt: skip
    return session.id


def everything(path: Path) -> dict[str, Any]:
    """All that can be read of the store at *path*; raises `StoreError` where it cannot."""
    with closing(Store.open(path)) as store:
        return read(store)


def read(store: Store) -> dict[str, Any]:
    """All that can be read of *store*."""
    sessions = store.sessions.listed()
    groups = store.groups.all()
    return {
        "id": store.id,
        "groups": groups,
        "named": [store.groups.named(name) for name in ("BIOLOGY", "history", "art", "chemistry")],
        "bound": store.groups.bound_to(FOLDER / "cells"),
        "credentials": store.credentials.all(),
        "active": [store.credentials.active(group.id, "openrouter") for group in groups],
        "key": store.vault.key(),
        "slots": store.vault.slots(),
        "sessions": sessions,
        "last used": [store.sessions.last_used(group.id) for group in groups],
        "messages": [store.sessions.messages(one.session.id) for one in sessions],
        "attachments": [store.attachments.of_session(one.session.id, with_content=True) for one in sessions],
        "found": [
            store.sessions.search(Query.read(words)).messages for words in ("cell", "grosse", '"µm"', "nothing")
        ],
        "spent": [store.budgets.spending(group.id, "2026-11-01") for group in groups],
        "management keys": store.management.keys(),
        "works": store.management.works(ORIGIN),
        "usage": [store.ledger.report([by]) for by in BY],
        "events": store.ledger.events(),
    }
