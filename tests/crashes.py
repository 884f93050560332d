"""Work that dies in the middle: the processes that `test_processes.py` kills, and what must hold afterwards."""

import json
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import raptchat
from raptchat import ChatService, CredentialService, DoneChunk, Factory, RaptchatError
from raptchat.config import Settings
from raptchat.demo import DEMO_KEY
from raptchat.store import Store
from raptchat.store.connection import Connection
from raptchat.store.migrations import STEPS, migrate
from raptchat.store.search import Query

PACKAGE = str(Path(raptchat.__file__).parent)
OLD, NEW = "biology", "botany"
KEYS = [DEMO_KEY, DEMO_KEY + "-retired", DEMO_KEY + "-older"]
QUESTION = "one two three four"

DONE, REFUSED, BROKEN = 0, 3, 4


@dataclass(frozen=True, slots=True)
class Work:
    """Something that changes a store: what is there before, the change, and what must hold after a crash."""

    prepare: Callable[[Path], None]
    act: Callable[[Path], None]
    check: Callable[[Path, bool], None]


def open_factory(home: Path) -> Factory:
    environ = {**os.environ, "RAPTCHAT_HOME": str(home), "RAPTCHAT_MASTER_KEY_FILE": str(home / "master.key")}
    return Factory(Settings.load(environ))


def add_key(home: Path) -> None:
    """The first use of a new home: store, vault, group and key."""
    with open_factory(home) as factory:
        store = factory.store
        with store.write():
            group = store.groups.named(OLD) or store.groups.add(OLD)
        CredentialService(factory).create(group.id, KEYS[0], replace=True)


def check_key(home: Path, acknowledged: bool) -> None:  # noqa: FBT001
    found = keys(home)
    assert found == [KEYS[0]] or (found == [] and not acknowledged), found
    add_key(home)
    assert set(keys(home)) == {KEYS[0]}


def add_three_keys(home: Path) -> None:
    with open_factory(home) as factory:
        with factory.store.write():
            group = factory.store.groups.add(OLD)
        for key in reversed(KEYS):
            CredentialService(factory).create(group.id, key, replace=True)


def keys(home: Path) -> list[str]:
    """Every key of the group, the newest first, as a new process opens them."""
    with open_factory(home) as factory:
        service = CredentialService(factory)
        found = [
            service.open_key(credential).reveal()
            for group in factory.store.groups.all()
            for credential in service.list_for_group(group.id)
        ]
    return found[::-1]


def rename(home: Path) -> None:
    with open_factory(home) as factory:
        [group] = factory.store.groups.all()
        CredentialService(factory).rename_group(group, NEW)


def check_rename(home: Path, acknowledged: bool) -> None:  # noqa: FBT001
    with open_factory(home) as factory:
        [group] = factory.store.groups.all()
    assert group.name == NEW or (group.name == OLD and not acknowledged)
    assert keys(home) == KEYS
    rename(home)
    assert keys(home) == KEYS


def prepare_chat(home: Path) -> None:
    add_key(home)
    with open_factory(home) as factory:
        [group] = factory.store.groups.all()
        ChatService(factory).create_session(group.id)


def chat(home: Path) -> None:
    with open_factory(home) as factory:
        [group] = factory.store.groups.all()
        session = factory.store.sessions.last_used(group.id)
        assert session is not None
        [*_, done] = ChatService(factory).send_message(session.id, QUESTION, model="demo/echo")
        assert isinstance(done, DoneChunk)


def check_chat(home: Path, acknowledged: bool) -> None:  # noqa: FBT001
    with open_factory(home) as factory:
        [listed] = factory.store.sessions.listed()
        messages = factory.store.sessions.messages(listed.session.id)
        [*_, credential] = factory.store.credentials.all()
        requests = sum(row.requests for row in factory.store.ledger.report([]))
    assert [message.role for message in messages] in ([], ["user"], ["user", "assistant"])
    answers = messages[1:]
    if messages:
        assert messages[0].content == QUESTION
    if answers:
        assert QUESTION.startswith(answers[0].content)
    if acknowledged:
        assert (answers[0].state, answers[0].content) == ("complete", QUESTION)
    whole = bool(answers) and answers[0].state == "complete"
    # Reply, usage and last use land together.
    assert whole == (credential.last_used_at is not None)
    assert requests == 1 or (requests == 0 and not whole)
    chat(home)


def prepare_upgrade(home: Path) -> None:
    """A store of the first step, with a conversation."""
    with closing(Connection(home / "raptchat.db")) as connection:
        migrate(connection, STEPS[:1])
        with connection.write():
            connection.execute("INSERT INTO groups VALUES ('g', ?, ?, NULL, NULL, NULL, NULL, '', '')", (OLD, OLD))
            connection.execute("INSERT INTO sessions VALUES ('s', 'g', NULL, NULL, NULL, '', '')")
            for seq in range(1, 100):
                connection.execute(
                    "INSERT INTO messages VALUES (?, 's', ?, 'user', ?, 'complete', NULL, '')",
                    (seq + 7, seq, f"{QUESTION} {seq} " * 50),
                )


def upgrade(home: Path) -> None:
    Store.open(home / "raptchat.db").close()


def check_upgrade(home: Path, acknowledged: bool) -> None:  # noqa: FBT001
    del acknowledged
    with closing(Store.open(home / "raptchat.db")) as store:
        found = store.sessions.search(Query.read("four 57"))
        assert [(one.seq, store.sessions.message_id("s", one.seq)) for one in found] == [(57, 64)]
        assert len(store.sessions.messages("s")) == 99
    assert sorted(file.name for file in home.iterdir()) == ["raptchat.db", "raptchat.db.v1.bak"]


WORKS = {
    "add-key": Work(lambda home: None, add_key, check_key),
    "rename": Work(add_three_keys, rename, check_rename),
    "chat": Work(prepare_chat, chat, check_chat),
    "upgrade": Work(prepare_upgrade, upgrade, check_upgrade),
}


def in_a_child(work: Callable[[], None]) -> int:
    """How a process ended that did *work*: its exit code, or the signal that killed it, negative."""
    child = os.fork()
    if child == 0:
        code = BROKEN
        try:
            work()
            code = DONE
        except RaptchatError:
            code = REFUSED
        except BaseException:  # noqa: BLE001 - whatever it is, it is shown, and the child ends
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def count_lines(work: Callable[[], None]) -> int:
    """How many lines of raptchat *work* runs."""
    reader, writer = os.pipe()

    def counted() -> None:
        lines = [0]
        trace(lines, -1)
        work()
        sys.settrace(None)
        os.write(writer, str(lines[0]).encode())

    assert in_a_child(counted) == DONE
    os.close(writer)
    with os.fdopen(reader) as pipe:
        return int(pipe.read())


def trace(lines: list[int], last: int) -> None:
    """Count the lines of raptchat that run, and die at the one with the number *last*."""

    def local(frame: FrameType, event: str, argument: Any) -> Any:
        del frame, argument
        if event == "line":
            lines[0] += 1
            if lines[0] == last:
                os.kill(os.getpid(), signal.SIGKILL)
        return local

    sys.settrace(lambda frame, *_: local if frame.f_code.co_filename.startswith(PACKAGE) else None)


def kill_at_lines(times: int) -> dict[str, int]:
    """Kill each kind of work at *times* lines, spread over all that it runs, and check what is left."""
    killed = {}
    with tempfile.TemporaryDirectory() as folder:
        prepare_chat(Path(folder))  # loads what would count as lines of the first work
    for name, work in WORKS.items():
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder, "counted")
            work.prepare(home)
            count = count_lines(lambda home=home, work=work: work.act(home))  # type: ignore[misc]
        killed[name] = 0
        for number in range(times):
            with tempfile.TemporaryDirectory() as folder:
                home = Path(folder, "home")
                work.prepare(home)
                last = 1 + count * number // times

                def act(home: Path = home, work: Work = work, last: int = last) -> None:
                    trace([0], last)
                    work.act(home)

                code = in_a_child(act)
                assert code in {-signal.SIGKILL, DONE}, (name, last, code)
                killed[name] += code != DONE
                try:
                    work.check(home, code == DONE)
                except BaseException:
                    print(f"{name}, killed at line {last} of {count}", file=sys.stderr)  # noqa: T201
                    raise
    return killed


def act_in(folder: Path) -> dict[str, int]:
    """Do each kind of work in its prepared home below *folder*; how each ended."""
    return {name: in_a_child(lambda work=work, name=name: work.act(folder / name)) for name, work in WORKS.items()}  # type: ignore[misc]


if __name__ == "__main__":
    # Loaded before the children are made: each of them would load it again.
    import sqlite_utils  # noqa: F401

    import raptchat.providers.openrouter
    import raptchat.vault

    report = kill_at_lines(int(sys.argv[2])) if sys.argv[1] == "lines" else act_in(Path(sys.argv[2]))
    print(json.dumps(report))  # noqa: T201
