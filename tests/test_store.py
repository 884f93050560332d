"""The store's file: how it is made, what is refused, and what its transactions promise."""

import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
from contextlib import closing
from pathlib import Path

import pytest
from conftest import environment, rows

from raptchat import Factory
from raptchat.caller import Caller
from raptchat.config import Settings
from raptchat.errors import StoreBusyError, StoreError, UsageError
from raptchat.store import Store
from raptchat.store.connection import APPLICATION_ID, Connection


@pytest.fixture
def path(home: Path) -> Path:
    return home / "raptchat.db"


def make(path: Path) -> None:
    """A store with one group in it."""
    with closing(Store.open(path)) as store, store.write():
        store.groups.add("biology")


def change(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(sql)


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_a_store_and_its_folder_are_private_whatever_the_umask_is(path: Path, umask: int) -> None:
    old = os.umask(umask)
    try:
        make(path)
    finally:
        os.umask(old)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_the_journal_is_private_too_and_gone_afterwards(path: Path) -> None:
    old = os.umask(0)
    try:
        with closing(Store.open(path)) as store:
            with store.write():
                store.groups.add("biology")
                journal = path.with_name("raptchat.db-journal")
                assert stat.S_IMODE(journal.stat().st_mode) == 0o600
            assert not journal.exists()
    finally:
        os.umask(old)


def test_a_dangling_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir()
    path.symlink_to(tmp_path / "elsewhere.db")

    with pytest.raises(StoreError, match="cannot be opened: No such file"):
        Store.open(path)
    assert not (tmp_path / "elsewhere.db").exists()


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_store_that_others_can_write_is_refused(path: Path, mode: int) -> None:
    make(path)
    path.chmod(mode)

    with pytest.raises(StoreError, match="others can write the store") as refused:
        Store.open(path)
    assert refused.value.hint == f"chmod 600 '{path}'"


def test_a_folder_that_anyone_can_write_is_refused_unless_it_is_sticky(path: Path) -> None:
    make(path)
    path.parent.chmod(0o777)

    with pytest.raises(StoreError, match="anyone can write the folder of the store") as refused:
        Store.open(path)
    assert refused.value.hint.startswith(f"chmod 700 '{path.parent}'")

    path.parent.chmod(0o1777)
    Store.open(path).close()


@pytest.mark.parametrize("name", ["x" * 300, "x" * 300 + "/raptchat.db", "x/" * 3000 + "raptchat.db", "x" * 250])
def test_a_name_that_is_too_long_is_an_error(home: Path, name: str) -> None:
    with pytest.raises(StoreError) as refused:
        Store.open(home / name)
    assert refused.value.exit_code == 74


def test_a_link_that_leads_to_itself_is_an_error(path: Path) -> None:
    path.parent.mkdir()
    path.symlink_to(path)

    with pytest.raises(StoreError, match="cannot be opened"):
        Store.open(path)


def test_a_path_that_begins_with_two_slashes_is_a_path(path: Path) -> None:
    twice = Path(f"/{path}")
    assert str(twice).startswith("//")
    make(twice)

    with closing(Store.open(path)) as store:
        assert store.groups.named("biology")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere file systems take no such name")
def test_a_path_that_is_no_text_is_a_path(home: Path) -> None:
    path = home / "caf\udce9" / "st\udcf6re.db"
    make(path)

    with closing(Store.open(path)) as store:
        assert store.groups.named("biology")
    assert list(path.parent.iterdir()) == [path]


def test_a_path_that_cannot_be_is_an_error(home: Path) -> None:
    for path in (home / "a\0b", home / "a\0b" / "raptchat.db"):
        with pytest.raises(StoreError, match="holds a NUL character"):
            Store.open(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_root_may_open_the_store_of_a_user(path: Path) -> None:
    make(path)
    os.chown(path, 12345, -1)

    Store.open(path).close()


def test_a_folder_in_the_stores_place_is_an_error(path: Path) -> None:
    path.mkdir(parents=True)

    with pytest.raises(StoreError, match="is not a file"):
        Store.open(path)


def test_a_file_in_the_folders_place_is_an_error(path: Path) -> None:
    path.parent.write_text("")

    with pytest.raises(StoreError, match="cannot be opened: Not a directory"):
        Store.open(path)


def test_a_folder_that_cannot_be_made_is_an_error() -> None:
    with pytest.raises(StoreError, match="cannot be made"):
        Store.open(Path("/proc/no/such/raptchat.db"))


def test_a_path_with_odd_characters_is_a_path(home: Path) -> None:
    path = home / "50% of #1?mode=memory" / "st\u00f6re.db"
    make(path)

    with closing(Store.open(path)) as store:
        assert store.groups.named("biology")
    assert [entry.name for entry in path.parent.iterdir()] == ["st\u00f6re.db"]


def test_an_empty_file_becomes_a_store(path: Path) -> None:
    path.parent.mkdir()
    path.touch(mode=0o600)

    make(path)

    assert rows(path.parent, "SELECT name FROM groups") == [("biology",)]


def foreign(path: Path) -> None:
    change(path, "CREATE TABLE notes (text)")


def foreign_with_number(path: Path) -> None:
    change(path, "PRAGMA application_id = 7")


def newer(path: Path) -> None:
    make(path)
    change(path, "PRAGMA user_version = 99")


def no_database(path: Path) -> None:
    path.write_bytes(b"SQLite format 4\0" + b"notes of mine " * 1000)


def cut(path: Path) -> None:
    make(path)
    path.write_bytes(path.read_bytes()[:5000])


def overwritten(path: Path) -> None:
    make(path)
    data = bytearray(path.read_bytes())
    data[100:3000] = b"\xff" * 2900
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (foreign, "no store of raptchat"),
        (foreign_with_number, "no store of raptchat"),
        (newer, "made by a newer raptchat"),
        (no_database, "damaged, or no store"),
        (cut, "damaged, or no store"),
        (overwritten, "damaged"),
    ],
)
def test_a_file_that_is_not_a_store_of_this_version_is_left_as_it_is(
    path: Path, spoil: object, problem: str
) -> None:
    assert callable(spoil)
    path.parent.mkdir()
    path.touch(mode=0o600)
    spoil(path)
    before = path.read_bytes()

    with pytest.raises(StoreError, match=problem) as refused:
        Store.open(path).groups.all()

    assert (refused.value.exit_code, refused.value.code) == (74, "STORE_ERROR")
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["raptchat.db"]


def test_a_store_without_its_id_is_damaged(path: Path) -> None:
    make(path)
    change(path, "DELETE FROM store")

    with closing(Store.open(path)) as store, pytest.raises(StoreError, match="has no id"):
        store.id  # noqa: B018 - reading it is the point


def test_whoever_cannot_write_can_still_read(path: Path) -> None:
    make(path)
    with closing(Store.open(path)) as store:
        store._connection.execute("PRAGMA query_only = ON")
        assert store.groups.named("biology")
        with pytest.raises(StoreError, match="it is read-only"), store.write():
            store.groups.add("history")


READ_ONLY = """
import os, sys
from pathlib import Path
from raptchat.store import Store
from raptchat.errors import StoreError
import sqlite_utils
os.setgroups([]); os.setgid(65534); os.setuid(65534)
store = Store.open(Path(sys.argv[1]))
print([group.name for group in store.groups.all()])
try:
    with store.write():
        store.groups.add("history")
except StoreError as error:
    print(error)
try:
    Store.open(Path(sys.argv[1]).with_name("other.db"))
except StoreError as error:
    print(str(error).partition("` ")[2])
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_store_on_read_only_ground_opens_and_takes_nothing() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "raptchat.db")
        make(path)
        os.chown(path, 65534, 65534)
        path.chmod(0o400)
        make(Path(folder, "other.db"))
        os.chown(Path(folder, "other.db"), 12345, 12345)
        Path(folder).chmod(0o755)

        said = subprocess.run(
            [sys.executable, "-c", READ_ONLY, str(path)],
            env=environment(),
            capture_output=True,
            text=True,
            check=True,
        )

    assert said.stdout.splitlines() == [
        "['biology']",
        f"the store `{path}` cannot be written: it is read-only",
        "belongs to another user",
    ]


FULL = """
import resource, signal, sys
from pathlib import Path
from raptchat.store import Store
from raptchat.errors import StoreError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = Store.open(Path(sys.argv[1]))
size = Path(sys.argv[1]).stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
try:
    with store.write():
        store.groups.add("history", description="x" * 100_000)
except StoreError as error:
    print(type(error).__name__, error.exit_code)
print([group.name for group in store.groups.all()])
"""


def test_a_full_disk_leaves_the_old_state(path: Path) -> None:
    make(path)

    said = subprocess.run(
        [sys.executable, "-c", FULL, str(path)], env=environment(), capture_output=True, text=True, check=True
    )

    assert said.stdout.splitlines() == ["StoreError 74", "['biology']"]
    assert rows(path.parent, "SELECT name FROM groups") == [("biology",)]


def test_sqlites_own_full_disk_is_told(path: Path) -> None:
    with closing(Store.open(path)) as store:
        [(pages,)] = store._connection.execute("PRAGMA page_count").fetchall()
        store._connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StoreError, match="the disk is full") as refused, store.write():
            store.groups.add("biology", description="x" * 100_000)
        assert refused.value.exit_code == 74
        assert store.groups.all() == []


def test_who_waits_to_write_asks_as_often_as_who_has_just_come(path: Path) -> None:
    # SQLite's own waiting gets slower with each try: of many the one that came first would come last.
    make(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as other, closing(Store.open(path)) as store:
        other.execute("BEGIN IMMEDIATE")
        tries: list[str] = []

        def note(statement: str) -> None:
            tries.append(statement)
            if tries.count("BEGIN IMMEDIATE") == 30:
                other.execute("COMMIT")

        store._connection.raw.set_trace_callback(note)
        with store.write():
            store.groups.add("history")
        store._connection.raw.set_trace_callback(None)

    # None of them waited inside of SQLite, but what comes after them may.
    first, last = tries.index("BEGIN IMMEDIATE"), len(tries) - tries[::-1].index("BEGIN IMMEDIATE")
    assert tries[first - 1] == "PRAGMA busy_timeout=0"
    assert tries[first:last] == ["BEGIN IMMEDIATE"] * 30
    assert tries[last] == "PRAGMA busy_timeout=30000"


def test_a_store_that_another_process_holds_is_busy(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raptchat.store.connection.BUSY_SECONDS", 0.05)
    make(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as other, closing(Store.open(path)) as store:
        other.execute("BEGIN IMMEDIATE")
        assert store.groups.named("biology")  # reading goes on
        with pytest.raises(StoreBusyError, match="held by another process") as refused, store.write():
            pytest.fail("two writers at once")
        assert (refused.value.exit_code, refused.value.status_code) == (75, 503)
        other.execute("COMMIT")
        with store.write():
            store.groups.add("history")


def test_a_writer_that_reads_first_waits_for_the_other(path: Path) -> None:
    make(path)

    def count_up() -> None:
        with closing(Store.open(path)) as store:
            for _ in range(5):
                with store.write():
                    [group] = store.groups.all()
                    store.groups.set(group.id, description=str(1 + int(group.description or 0)))

    threads = [threading.Thread(target=count_up) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert rows(path.parent, "SELECT description FROM groups") == [("30",)]


@pytest.mark.parametrize("error", [KeyboardInterrupt, GeneratorExit, ValueError])
def test_what_ends_a_transaction_early_undoes_it(path: Path, error: type[BaseException]) -> None:
    with closing(Store.open(path)) as store:

        def fail() -> None:
            with store.write():
                store.groups.add("outer")
                with store.write():
                    store.groups.add("inner")
                raise error

        with pytest.raises(error):
            fail()
        assert store.groups.all() == []
        with store.write():
            store.groups.add("later")
    assert rows(path.parent, "SELECT name FROM groups") == [("later",)]


def test_a_snapshot_is_of_one_moment(path: Path) -> None:
    make(path)
    with closing(Store.open(path)) as store:
        with store.snapshot():
            before = store.groups.all()
            assert store.groups.all() == before
        with store.write():
            store.groups.add("history")
        assert len(store.groups.all()) == 2


def test_a_closed_store_is_an_error_of_ours(path: Path) -> None:
    store = Store.open(path)
    store.close()
    store.close()

    with pytest.raises(StoreError, match="failed: Cannot operate on a closed database"):
        store.groups.all()


def test_a_text_that_is_no_utf8_is_refused(path: Path) -> None:
    with closing(Store.open(path)) as store, pytest.raises(UsageError, match="not valid UTF-8"), store.write():
        store.groups.add("biology", description="caf\udce9")


def test_the_text_of_a_removed_session_is_gone_from_the_file(path: Path) -> None:
    sentinel = "a sentence that must not stay"
    with closing(Store.open(path)) as store:
        with store.write():
            group = store.groups.add("biology")
            session = store.sessions.add(group.id, title=sentinel[:20], system=sentinel)
            for number in range(50):
                store.sessions.add_message(session.id, "user", f"{sentinel} {number} " * 40)
        assert sentinel.encode() in path.read_bytes()
        with store.write():
            store.sessions.remove(session.id)

    assert sentinel[:20].encode() not in path.read_bytes()


def test_events_only_grow(path: Path) -> None:
    with closing(Store.open(path)) as store, store.write():
        store.ledger.note(
            "credential.create", caller=Caller("test", "me", "here"), group=store.groups.add("biology")
        )
    for sql in ("UPDATE events SET action = 'nothing'", "DELETE FROM events"):
        with pytest.raises(sqlite3.IntegrityError, match="events only grow"):
            change(path, sql)

    assert rows(path.parent, "SELECT action, command, os_user, host FROM events") == [
        ("credential.create", "test", "me", "here")
    ]


COLUMNS = {
    "ai_credentials": "id group_id provider encrypted_key nonce key_id key_hint key_fingerprint label base_url"
    " endpoint is_active created_at updated_at last_used_at created_by kind",
    "messages": "id session_id seq role content state model created_at reasoning reasoning_details",
}


def test_the_tables_are_those_of_the_contract(path: Path) -> None:
    make(path)
    tables = dict(rows(path.parent, "SELECT name, strict FROM pragma_table_list WHERE type = 'table'"))

    assert {"groups", "ai_credentials", "sessions", "messages", "ai_usage", "events", "bindings"} <= tables.keys()
    assert all(strict for name, strict in tables.items() if not name.startswith("sqlite_"))
    for table, columns in COLUMNS.items():
        assert rows(path.parent, "SELECT name FROM pragma_table_info(?)", table) == [(c,) for c in columns.split()]
    assert rows(path.parent, "PRAGMA application_id") == [(APPLICATION_ID,)]


def test_a_group_has_one_active_credential_for_each_provider_and_takes_all_with_it(path: Path) -> None:
    make(path)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("INSERT INTO vault_keys VALUES ('k', x'', x'', '')")
        insert = (
            "INSERT INTO ai_credentials SELECT ?, id, ?, x'', x'', 'k', '', '', NULL, NULL, '',"
            " ?, '', '', NULL, '', NULL FROM groups"
        )
        db.execute(insert, ("1", "openrouter", 1))
        db.execute(insert, ("2", "openrouter", 0))
        db.execute(insert, ("3", "another", 1))
        with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
            db.execute(insert, ("4", "openrouter", 1))
        db.execute("DELETE FROM groups")
    assert rows(path.parent, "SELECT count(*) FROM ai_credentials") == [(0,)]


def test_folders_are_bound_with_all_below_them(path: Path, tmp_path: Path) -> None:
    with closing(Store.open(path)) as store:
        with store.write():
            biology, history = store.groups.add("biology"), store.groups.add("history")
            store.groups.bind(tmp_path / "a", biology.id)
            store.groups.bind(tmp_path / "a" / "b", biology.id)
            store.groups.bind(tmp_path / "a" / "b", history.id)
        assert store.groups.bound_to(tmp_path) is None
        assert store.groups.bound_to(tmp_path / "a" / "x" / "y") == (tmp_path / "a", biology)
        assert store.groups.bound_to(tmp_path / "a" / "b" / "c") == (tmp_path / "a" / "b", history)
        assert store.groups.bound_to(tmp_path / "a" / "caf\udce9") == (tmp_path / "a", biology)
        with store.write():
            assert store.groups.unbind(tmp_path / "a" / "b")
            assert not store.groups.unbind(tmp_path / "a" / "b")
            store.groups.remove(biology.id)
        # A folder of a removed group is not anybody else's.
        assert store.groups.bound_to(tmp_path / "a" / "b") == (tmp_path / "a", None)


def disobey(path: Path, *statements: str) -> None:
    """Change the store without regard to its checks."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA ignore_check_constraints = ON")
        for statement in statements:
            db.execute(statement)


@pytest.mark.parametrize(
    ("column", "value"),
    [("role", "tool"), ("role", ""), ("role", "User"), ("state", "done"), ("state", "\x1b[2J"), ("state", "user")],
)
def test_a_message_with_a_word_that_does_not_exist_is_a_damaged_store(path: Path, column: str, value: str) -> None:
    with closing(Store.open(path)) as store:
        with store.write():
            session = store.sessions.add(store.groups.add("biology").id)
            store.sessions.add_message(session.id, "user", "hello")
        disobey(path, f"UPDATE messages SET {column} = '{value}'")  # noqa: S608 - a constant

        for read in (store.sessions.messages, lambda session_id: store.sessions.history(session_id, 20)):
            with pytest.raises(
                StoreError, match=f"damaged: `{column}` of a message cannot be what it is"
            ) as refused:
                read(session.id)
            assert refused.value.exit_code == 74


def test_a_slot_with_a_state_that_does_not_exist_is_a_damaged_store(factory: Factory, home: Path) -> None:
    disobey(home / "raptchat.db", "UPDATE vault_slots SET state = 'asleep'")

    with Factory(Settings.load()) as other, pytest.raises(StoreError, match="damaged: `state` of a slot"):
        other.vault.data_key()


def test_the_session_that_was_used_last_is_one_with_more_than_refused_questions(path: Path) -> None:
    with closing(Store.open(path)) as store, store.write():
        group = store.groups.add("biology")
        sessions = store.sessions
        refused = sessions.add(group.id)
        sessions.mark(sessions.add_message(refused.id, "user", "no"), "failed")
        assert sessions.last_used(group.id) == sessions.get(refused.id)
        good = sessions.add(group.id)
        sessions.add_message(good.id, "user", "yes")
        sessions.mark(sessions.add_message(good.id, "user", "and no"), "failed")
        for session in (refused, sessions.add(group.id)):
            sessions.mark(sessions.add_message(session.id, "user", "no again"), "failed")
        sessions.add(group.id)

        assert sessions.last_used(group.id) == sessions.get(good.id)

        later = sessions.add(group.id)
        sessions.add_message(later.id, "assistant", "hm", state="incomplete")
        assert sessions.last_used(group.id) == sessions.get(later.id)


def test_sessions_are_listed_with_the_last_used_first(path: Path) -> None:
    with closing(Store.open(path)) as store:
        with store.write():
            group, other = store.groups.add("biology"), store.groups.add("history")
            first, second = store.sessions.add(group.id), store.sessions.add(group.id, title="two")
            theirs = store.sessions.add(other.id)
            assert store.sessions.last_used(group.id) == second
            store.sessions.mark(store.sessions.add_message(first.id, "user", "hello"), "failed")
            store.sessions.add_message(first.id, "assistant", "hm", model="a/b")
        listed = store.sessions.listed(group.id)
        assert [(one.session.id, one.messages) for one in listed] == [(first.id, 2), (second.id, 0)]
        assert {one.session.id for one in store.sessions.listed()} == {first.id, second.id, theirs.id}
        assert len(store.sessions.listed(limit=1)) == 1
        kept = store.sessions.messages(first.id)
        assert [(message.seq, message.state) for message in kept] == [(1, "failed"), (2, "complete")]
        assert [message.content for message in store.sessions.history(first.id, 10)] == ["hm"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("SQLITE_BUSY_SNAPSHOT", "was held by another process"),
        ("SQLITE_LOCKED", "was held by another process"),
        ("SQLITE_READONLY_DBMOVED", "it is read-only"),
        ("SQLITE_CORRUPT_INDEX", "is damaged"),
        ("SQLITE_IOERR_FSYNC", "failed: no such luck"),
    ],
)
def test_every_error_of_sqlite_becomes_ours(name: str, message: str, tmp_path: Path) -> None:
    error = sqlite3.OperationalError("no such luck")
    error.sqlite_errorname = name

    connection = Connection(tmp_path / "x.db")
    with closing(connection), pytest.raises(StoreError, match=message), connection.errors():
        raise error
