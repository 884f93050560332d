"""What changes a store: what is there before, the change, and what must hold after a crash in the middle of it."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from homes import (
    KEY,
    KEYS,
    NEW,
    NEW_KEY,
    OLD,
    QUESTION,
    RENAMED,
    Home,
    Keys,
    clean,
    sound,
    with_a_key_file,
)

from raptchat import ChatService, CredentialService, DoneChunk, Factory
from raptchat.store import Store
from raptchat.store.migrations import STEPS
from raptchat.store.search import Query

GOLDEN = Path(__file__).parent / "golden"
VERSIONS = sorted(int(file.stem.removeprefix("v")) for file in GOLDEN.glob("v*.db"))


@dataclass(frozen=True, slots=True)
class Work:
    """*act* changes what *prepare* made; *check* is told whether it was *acknowledged*, and may change it more."""

    prepare: Callable[[Home], None]
    act: Callable[[Home], None]
    check: Callable[[Home, bool], None]
    keyring: bool = field(default=False, kw_only=True)


def changed(
    act: Callable[[Home], None], before: Keys, after: Keys, *again: Keys, files: tuple[str, ...] = ()
) -> Callable[[Home, bool], None]:
    """The check of a work after which there are other keys; doing it *again* may lead to others still."""

    def check(home: Home, acknowledged: bool) -> None:  # noqa: FBT001
        found = sound(home)
        assert found == after or (found == before and not acknowledged), found
        act(home)
        found = sound(home)
        assert found in (after, *again), found
        clean(home, *files)

    return check


def same(act: Callable[[Home], None], *files: str) -> Callable[[Home, bool], None]:
    """The check of a work after which the keys are what they were."""
    return changed(act, KEYS, KEYS, files=files)


def add_first_key(home: Home) -> None:
    """The first use of a new home: store, vault, group and key."""
    with home.with_key_file() as factory:
        _add_first_key(factory)


def add_first_key_to_the_keyring(home: Home) -> None:
    with home.factory() as factory:
        _add_first_key(factory)


def _add_first_key(factory: Factory) -> None:
    store = factory.store
    with store.write():
        group = store.groups.named(OLD) or store.groups.add(OLD)
    CredentialService(factory).create(group.id, KEY, replace=True)


def check_first_key(act: Callable[[Home], None]) -> Callable[[Home, bool], None]:
    def check(home: Home, acknowledged: bool) -> None:  # noqa: FBT001
        expected: list[Keys] = [{OLD: [KEY]}]
        if not acknowledged:
            expected += [{}, {OLD: []}]
        assert sound(home) in expected
        act(home)
        assert set(sound(home)[OLD]) == {KEY}
        clean(home)

    return check


def add_another_key(home: Home) -> None:
    with home.factory() as factory:
        group = factory.store.groups.named(OLD)
        assert group
        CredentialService(factory).create(group.id, NEW_KEY, replace=True)


def rename(home: Home) -> None:
    with home.factory() as factory:
        group = factory.store.groups.named(OLD) or factory.store.groups.named(NEW)
        assert group
        CredentialService(factory).rename_group(group, NEW)


def prepare_chat(home: Home) -> None:
    add_first_key(home)
    with home.factory() as factory:
        [group] = factory.store.groups.all()
        ChatService(factory).create_session(group.id)


def chat(home: Home) -> None:
    with home.factory() as factory:
        [group] = factory.store.groups.all()
        session = factory.store.sessions.last_used(group.id)
        assert session is not None
        [*_, done] = ChatService(factory).send_message(session.id, QUESTION, model="demo/echo")
        assert isinstance(done, DoneChunk)


def check_chat(home: Home, acknowledged: bool) -> None:  # noqa: FBT001
    assert sound(home) == {OLD: [KEY]}
    with home.factory() as factory:
        [listed] = factory.store.sessions.listed()
        messages = factory.store.sessions.messages(listed.session.id)
        [credential] = factory.store.credentials.all()
        requests = sum(row.requests for row in factory.store.ledger.report([]))
    roles = [message.role for message in messages]
    assert roles in ([], ["user"], ["user", "assistant"]), roles
    answers = messages[1:]
    if messages:
        assert messages[0].content == QUESTION
    for answer in answers:
        assert QUESTION.startswith(answer.content)
    whole = bool(answers) and (answers[-1].state, answers[-1].content) == ("complete", QUESTION)
    assert [answer.state for answer in answers if answer.state != "incomplete"] == ["complete"] * whole
    assert whole or not acknowledged
    # Reply, usage and last use land together.
    assert whole == (credential.last_used_at is not None)
    assert requests == 1 or (requests == 0 and not whole)
    chat(home)
    clean(home)


def remove_session(home: Home) -> None:
    with home.factory() as factory:
        sessions = factory.store.sessions
        with factory.store.write():
            for listed in sessions.listed():
                sessions.remove(listed.session.id)
        sessions.scrub()


def check_removal(home: Home, acknowledged: bool) -> None:  # noqa: FBT001
    assert sound(home) == KEYS
    counts = home.query(
        "SELECT (SELECT count(*) FROM sessions), (SELECT count(*) FROM messages),"
        " (SELECT count(*) FROM message_attachments), (SELECT count(*) FROM attachments)"
    )
    assert counts == [(0, 0, 0, 0)] or (counts == [(1, 2, 1, 1)] and not acknowledged)
    remove_session(home)
    assert QUESTION.encode() not in home.store.read_bytes()
    clean(home)


def prepare_upgrade(version: int) -> Callable[[Home], None]:
    def prepare(home: Home) -> None:
        shutil.copyfile(GOLDEN / f"v{version}.db", home.store)
        shutil.copyfile(GOLDEN / "master.key", home.folder / "master.key")
        home.store.chmod(0o600)
        (home.folder / "master.key").chmod(0o600)

    return prepare


def upgrade(home: Home) -> None:
    Store.open(home.store).close()


def check_upgrade(version: int) -> Callable[[Home, bool], None]:
    def check(home: Home, acknowledged: bool) -> None:  # noqa: FBT001
        [(now,)] = home.query("PRAGMA user_version")
        assert now == len(STEPS) or (now == version and not acknowledged)
        upgrade(home)
        assert home.query("PRAGMA user_version") == [(len(STEPS),)]
        assert contents(home.store) == contents(GOLDEN / f"v{version}.db")
        with home.with_key_file() as factory:
            assert [one for one in CredentialService(factory).check_seals().rows if one.problem] == []
            assert factory.store.checks.problems() == []
            assert factory.store.sessions.search(Query.read("Zelle")).messages
        backup = f"raptchat.db.v{version}.bak"
        assert home.names() == {"raptchat.db", "master.key", backup}
        assert contents(home.folder / backup) == contents(GOLDEN / f"v{version}.db")

    return check


def contents(file: Path) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of every table of the first version, by its first columns, which every later version has too."""
    golden = GOLDEN / "v1.db"
    with closing(sqlite3.connect(golden)) as first, closing(sqlite3.connect(file)) as db:
        tables = [name for (name,) in first.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        found = {}
        for table in tables:
            columns = ", ".join(row[1] for row in first.execute(f"PRAGMA table_info({table})"))
            found[table] = db.execute(f"SELECT {columns} FROM {table} ORDER BY 1").fetchall()  # noqa: S608
        return found


STORE_WORKS = {
    "add-first-key": Work(lambda _: None, add_first_key, check_first_key(add_first_key)),
    "add-first-key-keyring": Work(
        lambda _: None,
        add_first_key_to_the_keyring,
        check_first_key(add_first_key_to_the_keyring),
        keyring=True,
    ),
    "add-key": Work(
        with_a_key_file,
        add_another_key,
        changed(
            add_another_key,
            KEYS,
            {**KEYS, OLD: [NEW_KEY, *KEYS[OLD]]},
            {**KEYS, OLD: [NEW_KEY, NEW_KEY, *KEYS[OLD]]},
        ),
    ),
    "rename": Work(with_a_key_file, rename, changed(rename, KEYS, RENAMED)),
    "chat": Work(prepare_chat, chat, check_chat),
    "remove-session": Work(with_a_key_file, remove_session, check_removal),
    **{
        f"upgrade-{version}": Work(prepare_upgrade(version), upgrade, check_upgrade(version))
        for version in VERSIONS
        if version < len(STEPS)
    },
}
