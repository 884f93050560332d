"""The whole store put back: checked first, kept as it was, and switched in one step for whoever uses it."""

import errno
import os
import random
import shutil
import signal
import sqlite3
import stat
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest
from dying import end, trace
from full_store import CALLER, everything, put
from proof import Trials, tried
from test_backup import damaged_page, damaged_row, lost_attachment, refuse_links, room_for

from raptchat.errors import RaptchatError, StoreBusyError, StoreError, UsageError
from raptchat.store import Store
from raptchat.store.backup import back_up
from raptchat.store.connection import Connection
from raptchat.store.migrations import STEPS
from raptchat.store.restore import restore
from raptchat.store.upgrade import migrate


@pytest.fixture
def path(home: Path) -> Path:
    return put(home)


@pytest.fixture
def copy(path: Path, tmp_path: Path) -> Path:
    """A copy of the store; the store itself has another group and no sessions since."""
    back_up(path, tmp_path / "copy", confirm=yes)
    change(path)
    return tmp_path / "copy"


def change(path: Path) -> None:
    with closing(Store.open(path)) as store, store.write():
        store.groups.add("chemistry", description="x" * 20_000)
        store.sessions.remove_unused_since("9999")


def yes() -> None:
    """Agree."""


def names(path: Path) -> list[str]:
    with closing(Store.open(path)) as store:
        return [group.name for group in store.groups.all()]


def put_back(path: Path, copy: Path) -> Path | None:
    return restore(path, copy, caller=CALLER, confirm=yes)


def without_the_restore(found: dict[str, object]) -> dict[str, object]:
    events = found["events"]
    assert isinstance(events, list)
    assert [event.action for event in events[:1]] == ["store.restore"]
    return {**found, "events": events[1:]}


def test_a_store_is_as_it_was_when_it_was_copied_and_the_one_of_before_is_kept(path: Path, copy: Path) -> None:
    expected, changed, source = everything(copy), everything(path), copy.read_bytes()
    previous = put_back(path, copy)

    assert without_the_restore(everything(path)) == expected
    assert previous
    assert previous.name.startswith("raptchat.db.before-restore-")
    assert everything(previous) == changed
    assert [stat.S_IMODE(file.stat().st_mode) for file in (path, previous)] == [0o600] * 2
    others = {"master.key", "second.key"}
    assert {entry.name for entry in path.parent.iterdir()} == {path.name, previous.name, *others}
    assert copy.read_bytes() == source
    with closing(Store.open(path)) as store:
        assert store.checks.problems() == []
        [event, *_] = store.ledger.events()
        assert (event.command, event.os_user, event.host) == (CALLER.command, CALLER.os_user, CALLER.host)


def test_what_was_kept_can_be_put_back_in_turn(path: Path, copy: Path) -> None:
    changed = everything(path)
    first = put_back(path, copy)
    assert first
    second = put_back(path, first)

    assert second not in {None, first}
    assert without_the_restore(everything(path)) == changed


def test_whoever_has_the_store_open_goes_on_with_the_other_one(path: Path, copy: Path) -> None:
    with closing(Store.open(path)) as other:
        assert other.groups.named("chemistry")
        put_back(path, copy)
        assert other.groups.named("chemistry") is None
        assert len(other.sessions.listed()) == 3
        with other.write():
            other.groups.add("physics")
        assert other.checks.problems() == []
    assert "physics" in names(path)


def test_where_there_is_no_store_it_is_made_unasked(path: Path, copy: Path, tmp_path: Path) -> None:
    expected = everything(copy)
    path.unlink()
    elsewhere = tmp_path / "new" / "home" / "raptchat.db"

    for place in (path, elsewhere):
        assert restore(place, copy, caller=CALLER, confirm=lambda: pytest.fail("there is nothing to lose")) is None
        assert without_the_restore(everything(place)) == expected
    assert [entry.name for entry in elsewhere.parent.iterdir()] == ["raptchat.db"]
    assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o600
    assert stat.S_IMODE(elsewhere.parent.stat().st_mode) == 0o700


def test_an_empty_file_is_no_store_to_lose(path: Path, copy: Path) -> None:
    path.write_bytes(b"")

    assert restore(path, copy, caller=CALLER, confirm=lambda: pytest.fail("there is nothing to lose")) is None
    assert "biology" in names(path)


def test_nothing_is_changed_unless_it_is_agreed(path: Path, copy: Path) -> None:
    before, files = path.read_bytes(), sorted(path.parent.iterdir())

    def refuse() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore(path, copy, caller=CALLER, confirm=refuse)

    assert path.read_bytes() == before
    assert sorted(path.parent.iterdir()) == files


def missing(copy: Path) -> None:
    copy.unlink()


def folder(copy: Path) -> None:
    copy.unlink()
    copy.mkdir()


def pipe(copy: Path) -> None:
    copy.unlink()
    os.mkfifo(copy)


def empty(copy: Path) -> None:
    copy.write_bytes(b"")


def text(copy: Path) -> None:
    copy.write_text("notes " * 1000)


def change_by(sql: str) -> Callable[[Path], None]:
    def spoil(copy: Path) -> None:
        with closing(sqlite3.connect(copy)) as db, db:
            db.execute(sql)

    return spoil


def cut(copy: Path) -> None:
    copy.write_bytes(copy.read_bytes()[:-5000])


def half_written(copy: Path) -> None:
    """A change that is under way, and already in the file; the journal that undoes it is beside it."""
    before = copy.with_name("before")
    with closing(sqlite3.connect(copy, isolation_level=None)) as db:
        db.execute("PRAGMA cache_size = 1")
        db.execute("BEGIN")
        db.execute("UPDATE messages SET content = hex(zeroblob(5000))")
        db.execute("CREATE TABLE notes AS SELECT * FROM messages, groups")
        shutil.copy(copy, before)
        shutil.copy(f"{copy}-journal", f"{before}-journal")
    before.rename(copy)
    Path(f"{before}-journal").rename(f"{copy}-journal")


def other_database(copy: Path) -> None:
    copy.unlink()
    change_by("CREATE TABLE notes (text)")(copy)


@pytest.mark.parametrize(
    ("spoil", "error", "problem"),
    [
        (missing, UsageError, "cannot be read: No such file"),
        (folder, UsageError, "is not a file"),
        (pipe, UsageError, "is not a file"),
        (empty, StoreError, "no copy of a store"),
        (text, StoreError, "is damaged, or no store of raptchat"),
        (cut, StoreError, "is damaged"),
        (half_written, StoreError, "was left in the middle of a change"),
        (other_database, StoreError, "no copy of a store"),
        (change_by("PRAGMA application_id = 7"), StoreError, "no copy of a store"),
        (change_by("PRAGMA user_version = 0"), StoreError, "no copy of a store"),
        (change_by("PRAGMA user_version = 99"), StoreError, "made by a newer raptchat"),
        (change_by("DELETE FROM store"), StoreError, "is damaged, and nothing was changed"),
        (change_by("DELETE FROM groups"), StoreError, "belongs to one of `groups` that is gone"),
        (damaged_page, StoreError, "is damaged, and nothing was changed"),
        (damaged_row, StoreError, r"a row of `messages` is not as it was written: 1 \(and"),
        (lost_attachment, StoreError, "the content of the attachment"),
    ],
)
def test_a_file_that_is_no_good_copy_changes_nothing(
    path: Path, copy: Path, spoil: Callable[[Path], None], error: type[RaptchatError], problem: str
) -> None:
    spoil(copy)
    before, files = path.read_bytes(), sorted(path.parent.iterdir())

    with pytest.raises(error, match=problem) as refused:
        restore(path, copy, caller=CALLER, confirm=lambda: pytest.fail("asked too early"))

    assert refused.value.hint
    assert path.read_bytes() == before
    assert sorted(path.parent.iterdir()) == files


@pytest.mark.parametrize("name", ["raptchat.db", "link", "a\0b"])
def test_the_store_itself_is_no_copy_of_it(path: Path, name: str) -> None:
    (path.parent / "link").symlink_to(path)

    with pytest.raises(UsageError, match=r"is the store itself|is no name of a file"):
        put_back(path, path.parent / name)


def test_a_database_of_another_program_is_not_replaced(path: Path, copy: Path) -> None:
    path.unlink()
    path.touch(mode=0o600)
    change_by("CREATE TABLE notes (text)")(path)
    before = path.read_bytes()

    with pytest.raises(StoreError, match="is a database, but no store of raptchat"):
        put_back(path, copy)

    assert path.read_bytes() == before


@pytest.mark.parametrize("spoil", [damaged_page, damaged_row, lost_attachment, change_by("DELETE FROM store")])
def test_a_damaged_store_is_replaced_and_kept_as_it_is(
    path: Path, copy: Path, spoil: Callable[[Path], None]
) -> None:
    expected = everything(copy)
    spoil(path)
    damaged = path.read_bytes()
    previous = put_back(path, copy)

    assert previous
    assert previous.read_bytes()[100:] == damaged[100:]
    assert without_the_restore(everything(path)) == expected


@pytest.mark.parametrize("spoil", [text, cut])
def test_a_file_that_sqlite_does_not_open_is_set_aside(
    path: Path, copy: Path, spoil: Callable[[Path], None]
) -> None:
    expected = everything(copy)
    spoil(path)
    damaged = path.read_bytes()
    previous = put_back(path, copy)

    assert previous
    assert previous.read_bytes() == damaged
    assert without_the_restore(everything(path)) == expected
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_damaged_file_that_cannot_be_kept_stays(path: Path, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text(path)
    before, files = path.read_bytes(), sorted(path.parent.iterdir())
    refuse_links(monkeypatch, errno.EPERM)

    with pytest.raises(StoreError, match=r"cannot be kept as .*: Operation not permitted"):
        put_back(path, copy)

    assert path.read_bytes() == before
    assert sorted(path.parent.iterdir()) == files


@pytest.mark.parametrize("spoil", [None, text])
def test_a_link_to_the_store_stays_one(
    path: Path, copy: Path, tmp_path: Path, spoil: Callable[[Path], None] | None
) -> None:
    (tmp_path / "link").symlink_to(path)
    if spoil:
        spoil(path)
    previous = put_back(tmp_path / "link", copy)

    assert previous
    assert previous.parent == path.parent
    assert (tmp_path / "link").is_symlink()
    assert "chemistry" not in names(path)


def test_a_link_that_leads_nowhere_is_not_followed(path: Path, copy: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(path.with_name("elsewhere.db"))

    with pytest.raises(StoreError, match="cannot be opened"):
        put_back(tmp_path / "link", copy)
    assert not path.with_name("elsewhere.db").exists()


def test_an_old_copy_without_an_id_is_damaged(path: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    with closing(Connection(old)) as connection:
        migrate(connection, STEPS[:1])
        connection.execute("DELETE FROM store")

    with pytest.raises(StoreError, match="it has no id"):
        put_back(path, old)


def test_a_store_of_a_newer_raptchat_is_replaced_and_kept(path: Path, copy: Path) -> None:
    change_by("PRAGMA user_version = 99")(path)
    previous = put_back(path, copy)

    assert previous
    with pytest.raises(StoreError, match="newer"):
        Store.open(previous)
    assert "biology" in names(path)


def test_an_older_copy_is_brought_up_to_date_and_stays_as_it_is(path: Path, tmp_path: Path) -> None:
    old = tmp_path / "raptchat.db.v1.bak"
    with closing(Connection(old)) as connection:
        migrate(connection, STEPS[:1])
        connection.execute("INSERT INTO groups VALUES ('g', 'old', 'old', NULL, NULL, NULL, NULL, '', '')")
    before = old.read_bytes()
    put_back(path, old)

    assert names(path) == ["old"]
    assert old.read_bytes() == before
    assert list(tmp_path.glob("raptchat.db*")) == [old]
    with closing(Store.open(path)) as store:
        assert store.checks.problems() == []


def test_a_copy_on_read_only_ground_is_read(path: Path, copy: Path) -> None:
    copy.chmod(0o444)
    copy.parent.chmod(0o555)
    try:
        put_back(path, copy)
    finally:
        copy.parent.chmod(0o700)

    assert "chemistry" not in names(path)


def test_what_was_pending_when_the_copy_was_made_is_forgotten(path: Path, copy: Path) -> None:
    # Its secret may be what opens the store that is kept: as a leftover it would be removed.
    with closing(Store.open(copy)) as store, store.write():
        store._connection.execute(
            "INSERT INTO vault_slots (id, kind, state, params, created_at)"
            " VALUES ('s', 'keyring', 'pending', '{}', '')"
        )
    put_back(path, copy)

    with closing(Store.open(path)) as store:
        assert [slot.state for slot in store.vault.slots()] == ["active", "active"]


def test_a_store_that_is_held_for_too_long_is_busy(
    path: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raptchat.store.connection.BUSY_SECONDS", 0.05)
    files = sorted(path.parent.iterdir())
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusyError, match="held by another process"):
            put_back(path, copy)
        other.execute("ROLLBACK")

    assert "chemistry" in names(path)
    assert sorted(path.parent.iterdir()) == files


@pytest.mark.parametrize(("room", "problem"), [(0.5, "cannot be kept as"), (1.1, "the store .* failed|is full")])
def test_a_full_disk_leaves_the_store_as_it_is(path: Path, copy: Path, room: float, problem: str) -> None:
    with closing(Store.open(copy)) as store, store.write():
        store.groups.add("large", description="x" * 400_000)
    expected, files = everything(path), sorted(path.parent.iterdir())

    with room_for(int(path.stat().st_size * room)), pytest.raises(StoreError, match=problem):
        put_back(path, copy)

    assert everything(path) == expected
    assert sorted(path.parent.iterdir()) == files


def test_nothing_that_was_acknowledged_meanwhile_is_lost(path: Path, copy: Path) -> None:
    over = threading.Event()
    acknowledged: list[str] = []

    def write() -> None:
        with closing(Store.open(path)) as store:
            # Somebody who never lets go of a store keeps all others out.
            while not over.wait(0.01):
                with store.write():
                    store.groups.add(f"meanwhile {len(acknowledged)}")
                acknowledged.append(f"meanwhile {len(acknowledged)}")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        kept = [put_back(path, copy) for _ in range(4)]
    finally:
        over.set()
        thread.join()

    there = {name for file in [*kept, path] if file for name in names(file)}
    assert set(acknowledged) <= there
    assert len(kept) == len(set(kept)) == 4


def sound(path: Path, old: dict[str, object], new: dict[str, object]) -> bool:
    """Whether the store is the new one, and else the old one; nothing else may be."""
    with closing(Store.open(path)) as store:
        assert store.checks.problems() == []
    found = everything(path)
    if found == old:
        return False
    assert without_the_restore(found) == new
    return True


@tried("restore killed at a Python line: the old store or the new", commit=12, deep=600)
def test_a_restore_that_is_killed_leaves_the_old_store_or_the_new(trials: Trials, path: Path, copy: Path) -> None:
    before, old, new = path.read_bytes(), everything(path), everything(copy)
    lines = count_lines(path, copy)
    for number in trials:
        renew(path, before)
        last = random.Random(number).randrange(1, lines)

        def act(last: int = last) -> None:
            trace([0], last)
            put_back(path, copy)

        killed = end(act).code == -signal.SIGKILL
        is_new = sound(path, old, new)
        assert is_new or killed
        trials.count(killed=killed, new=is_new, old=not is_new)
        # The next one removes what this one left.
        put_back(path, copy)
        assert not list(path.parent.glob(".raptchat-*"))


def count_lines(path: Path, copy: Path) -> int:
    reader, writer = os.pipe()
    with os.fdopen(reader) as pipe:

        def counted() -> None:
            lines = [0]
            trace(lines)
            put_back(path, copy)
            os.write(writer, str(lines[0]).encode())

        before = path.read_bytes()
        end(counted)
        os.close(writer)
        renew(path, before)
        return int(pipe.read())


@tried("restore killed at a moment: the old store or the new", commit=12, deep=600)
def test_a_restore_that_is_killed_while_it_writes_leaves_the_old_store_or_the_new(
    trials: Trials, path: Path, copy: Path
) -> None:
    with closing(Store.open(copy)) as store, store.write():
        session = store.sessions.add(store.groups.all()[0].id)
        for _ in range(300):
            store.sessions.add_message(session.id, "user", "hello " * 500)
    before, old, new = path.read_bytes(), everything(path), everything(copy)
    journal = path.with_name(f"{path.name}-journal")
    for number in trials:
        renew(path, before)
        pause = random.Random(number).random() * 0.01

        killers: list[threading.Thread] = []

        def act() -> None:
            put_back(path, copy)

        def begin(child: int, pause: float = pause, killers: list[threading.Thread] = killers) -> None:
            killers.append(threading.Thread(target=kill_once_there, args=(child, journal, pause)))
            killers[0].start()

        killed = end(act, before=begin).code == -signal.SIGKILL
        killers[0].join()
        hot = journal.exists() and journal.stat().st_size > 0
        is_new = sound(path, old, new)
        assert is_new or killed
        trials.count(killed=killed, hot_journal=hot, new=is_new, old=not is_new)


def kill_once_there(child: int, journal: Path, pause: float) -> None:
    """Kill *child* *pause* seconds after the journal came: from then on the store is being written."""
    with suppress(ProcessLookupError):
        while not journal.exists():
            os.kill(child, 0)
            time.sleep(0.0005)
        time.sleep(pause)
        os.kill(child, signal.SIGKILL)


def renew(path: Path, data: bytes) -> None:
    """Put the store of before into its folder again, and nothing else."""
    for entry in path.parent.glob("raptchat.db*"):
        entry.unlink()
    path.touch(mode=0o600)
    path.write_bytes(data)
