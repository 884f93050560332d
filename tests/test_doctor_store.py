"""`raptchat doctor` on stores in every state that a machine leaves them in; it changes none of them."""

import dataclasses
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from conftest import Run, rows
from diagnosis import diagnose, own_home_fixture  # noqa: F401 - a fixture
from sample_files import PNG

from raptchat.demo import DEMO_KEY
from raptchat.doctor import Subject, examine, store_file, store_place
from raptchat.doctor.store_file import StoreFile
from raptchat.errors import StoreError
from raptchat.store.checks import file_facts
from raptchat.store.connection import APPLICATION_ID
from raptchat.store.migrations import STEPS

pytestmark = pytest.mark.usefixtures("own_home")

CONTENT = ("integrity", "foreign keys", "row sums", "attachments")


@pytest.fixture
def file(biology: Run, home: Path, tmp_path: Path) -> Path:
    """A store in use, with a conversation and an attachment."""
    (tmp_path / "cell.png").write_bytes(PNG)
    biology("chat -a cell.png -m demo/seen hello")
    return home / "raptchat.db"


def content(folder: Path) -> dict[str, tuple[bytes, int, int]]:
    """Every file of *folder*, with its mode and when it was changed."""
    return {
        each.name: (each.read_bytes(), each.stat().st_mode, each.stat().st_mtime_ns)
        for each in folder.iterdir()
        if each.is_file()
    }


def test_before_the_first_use_all_is_well_and_nothing_is_made(raptchat: Run, home: Path) -> None:
    found = diagnose(raptchat)

    assert found.worse() == [("vault", "keyring", "warning")]
    assert "not made yet" in found.the("store", "file")["text"]
    assert "none yet" in found.the("vault", "slots")["text"]
    assert not home.exists()


def test_a_store_in_use_is_well_and_stays_as_it_is(biology: Run, file: Path) -> None:
    before = content(file.parent)
    found = diagnose(biology)

    assert found.worse() == [("vault", "recovery", "warning")]
    for name in CONTENT:
        assert found.the("store", name)["level"] == "ok"
    assert content(file.parent) == before


@pytest.mark.parametrize(
    ("mode", "level", "says"),
    [
        (0o666, "problem", "others can write"),
        (0o640, "warning", "others can read"),
        (0o400, "warning", "by you too"),
        (0o600, "ok", "yours alone"),
    ],
)
def test_a_store_that_others_reach_is_still_looked_into(
    biology: Run, file: Path, mode: int, level: str, says: str
) -> None:
    file.chmod(mode)
    found = diagnose(biology, ok=level != "problem")

    assert found.the("store", "mode")["level"] == level
    assert says in found.the("store", "mode")["text"]
    assert found.the("store", "mode")["fix"] == (None if level == "ok" else f"chmod 600 {file}")
    assert found.the("store", "integrity")["level"] == "ok"
    assert file.stat().st_mode & 0o777 == mode


@pytest.mark.parametrize(
    ("mode", "level"), [(0o777, "problem"), (0o770, "warning"), (0o1777, "ok"), (0o755, "ok")]
)
def test_a_folder_where_the_store_can_be_replaced_is_said(biology: Run, file: Path, mode: int, level: str) -> None:
    file.parent.chmod(mode)
    folder = diagnose(biology, ok=level != "problem").the("store", "folder")

    assert (folder["level"], folder["fix"]) == (level, None if level == "ok" else f"chmod 700 {file.parent}")


def test_a_folder_that_may_not_be_written_is_said(
    biology: Run, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # To root everything is allowed, but for what is mounted so that it can only be read.
    monkeypatch.setattr(os, "access", lambda *_: False)

    assert "can only be read" in diagnose(biology).the("store", "folder")["text"]


def missing_link(file: Path) -> None:
    file.unlink()
    file.symlink_to("nowhere")


def folder_in_its_place(file: Path) -> None:
    file.unlink()
    file.mkdir()


def pipe_in_its_place(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def another_database(file: Path) -> None:
    file.unlink()
    with closing(sqlite3.connect(file)) as db:
        db.execute("CREATE TABLE notes (text)")


def made_by_a_newer_one(file: Path) -> None:
    with closing(sqlite3.connect(file)) as db:
        db.execute(f"PRAGMA user_version = {len(STEPS) + 1}")


def write_ahead(file: Path) -> None:
    with closing(sqlite3.connect(file)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE made_by_hand (text)")


def damaged_schema(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[100:140] = b"\xff" * 40
    file.write_bytes(data)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (missing_link, "a link that leads nowhere"),
        (folder_in_its_place, "is not a file"),
        (pipe_in_its_place, "is not a file"),
        (lambda file: file.write_text("no database"), "no store of raptchat"),
        (lambda file: file.write_bytes(b"SQLite format 3\0"), "no store of raptchat"),
        (another_database, "a database, but no store of raptchat"),
        (write_ahead, "write-ahead log"),
        (damaged_schema, "is damaged"),
    ],
)
def test_what_cannot_be_read_is_said_once_and_left_alone(
    biology: Run, file: Path, spoil: Callable[[Path], None], says: str
) -> None:
    spoil(file)
    before = sorted(each.name for each in file.parent.iterdir())
    found = diagnose(biology, ok=False)

    said = found.the("store", "file")
    assert (said["level"], says in said["text"], bool(said["fix"])) == ("problem", True, True), said
    assert not any(found.of("store", name) for name in CONTENT)
    assert found.of("store", "mode") == [] or file.is_file()
    assert "not looked at" in found.the("vault", "slots")["text"]
    assert found.the("versions", "SQLite")["level"] == "ok"
    assert sorted(each.name for each in file.parent.iterdir()) == before


def test_a_store_of_a_newer_raptchat_is_said(biology: Run, file: Path) -> None:
    made_by_a_newer_one(file)
    schema = diagnose(biology, ok=False).the("store", "schema")

    assert schema["text"] == f"made by a newer raptchat (version {len(STEPS) + 1}, known here: {len(STEPS)})"
    assert schema["fix"] == "upgrade raptchat"


def test_an_older_store_is_not_upgraded(raptchat: Run, home: Path) -> None:
    home.mkdir(mode=0o700)
    file = home / "raptchat.db"
    with closing(sqlite3.connect(file)) as db, db:
        from sqlite_utils import Database

        STEPS[0](Database(db, execute_plugins=False))
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute("PRAGMA user_version = 1")
    file.chmod(0o600)
    before = content(home)
    found = diagnose(raptchat)

    assert found.the("store", "schema")["level"] == "warning"
    assert f"brings it to {len(STEPS)}" in found.the("store", "schema")["text"]
    assert found.the("store", "integrity")["level"] == "ok"
    assert found.of("store", "row sums") == []
    assert content(home) == before


def test_an_empty_file_is_a_store_to_be(raptchat: Run, home: Path) -> None:
    home.mkdir(mode=0o700)
    (home / "raptchat.db").touch(mode=0o600)

    assert "is empty" in diagnose(raptchat).the("store", "file")["text"]
    assert (home / "raptchat.db").stat().st_size == 0


def test_a_path_that_is_none_is_said(raptchat: Run) -> None:
    found = diagnose(raptchat, "--store", "a\0b", ok=False)

    assert "its path is none" in found.the("store", "file")["text"]


@contextmanager
def powerless() -> Iterator[None]:
    """What is closed is closed meanwhile, also to tests that root runs."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("closed", ["the store", "its folder"])
def test_what_may_not_be_read_is_said_and_the_rest_is_looked_at(biology: Run, file: Path, closed: str) -> None:
    examine(Subject.found(offline=True))  # whoever has no power may not be able to import either
    place = file if closed == "the store" else file.parent
    place.chmod(0)
    try:
        with powerless():
            found = examine(Subject.found(offline=True))
    finally:
        place.chmod(0o700)

    [said] = [one for one in found if (one.area, one.name) == ("store", "file")]
    assert (said.level, said.text) == ("problem", f"`{file}` cannot be read: Permission denied")
    assert {one.area for one in found} == {"store", "vault", "gateway", "environment", "versions"}
    assert not [one for one in found if "could not be looked at: PermissionError" in one.text]


def test_a_folder_where_no_store_can_be_made_is_said(raptchat: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = diagnose(raptchat, "--store", str(tmp_path / "file" / "raptchat.db"), ok=False)

    assert "Not a directory" in found.the("store", "file")["text"]
    assert "no store can be made" in found.the("store", "folder")["text"]


def test_a_store_that_another_process_writes_is_not_waited_for_long(
    biology: Run, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_file, "PATIENCE_SECONDS", 0.05)
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute("BEGIN EXCLUSIVE")
        found = diagnose(biology, ok=False)

    assert "another process has been writing" in found.the("store", "file")["text"]
    assert found.the("store", "mode")["level"] == "ok"


def test_a_journal_that_a_killed_process_left_is_not_played_back(biology: Run, file: Path) -> None:
    killed = file.with_name("killed.db")
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute("PRAGMA cache_size = 1")
        db.execute("BEGIN IMMEDIATE")
        db.execute("UPDATE groups SET description = hex(randomblob(200000))")
        for end in ("", "-journal"):
            shutil.copy(f"{file}{end}", f"{killed}{end}")
    killed.chmod(0o600)
    before = content(file.parent)
    found = diagnose(biology, "--store", str(killed))

    assert found.the("store", "journal")["level"] == "warning"
    assert content(file.parent) == before
    biology(["group", "list", "--store", str(killed)])
    assert diagnose(biology, "--store", str(killed)).of("store", "journal") == []


def test_a_row_that_somebody_changed_is_found(biology: Run, file: Path) -> None:
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("UPDATE messages SET content = 'another'")
    found = diagnose(biology, ok=False)

    assert "`messages`" in found.the("store", "row sums")["text"]
    assert found.the("store", "row sums")["fix"]
    assert found.the("store", "integrity")["level"] == "ok"


def test_what_sqlite_finds_is_one_line_of_text(biology: Run, file: Path) -> None:
    data = bytearray(file.read_bytes())
    pages = len(data) // 4096
    data[28:32] = (pages + 2).to_bytes(4, "big")
    file.write_bytes(data + bytes(2 * 4096))
    integrity = diagnose(biology, ok=False).the("store", "integrity")

    assert integrity["text"] == f"Page {pages + 1} is never used; Page {pages + 2} is never used"


def test_a_row_whose_owner_is_gone_is_found(biology: Run, file: Path) -> None:
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("DELETE FROM sessions")
    found = diagnose(biology, ok=False)

    assert found.the("store", "foreign keys")["level"] == "problem"
    assert "`messages`" in found.the("store", "foreign keys")["text"]


def test_an_attachment_that_is_another_one_is_found(biology: Run, file: Path) -> None:
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("UPDATE attachments SET content = x'00'")

    assert "attachment" in diagnose(biology, ok=False).the("store", "attachments")["text"]


def test_of_many_damaged_rows_a_few_are_listed(biology: Run, file: Path) -> None:
    with closing(sqlite3.connect(file)) as db, db:
        db.executemany(
            "INSERT INTO message_attachments VALUES (?, 0, 'no hash', 'a', 'text/plain')",
            [[n] for n in range(90, 99)],
        )
    text = diagnose(biology, ok=False).the("store", "foreign keys")["text"]

    assert text.count("belongs to one of") == 3
    assert text.endswith("more")


def test_a_damaged_page_is_found(biology: Run, file: Path) -> None:
    [(page,)] = rows(file.parent, "SELECT rootpage FROM sqlite_schema WHERE name = 'ai_usage_by_group'")
    data = bytearray(file.read_bytes())
    data[(page - 1) * 4096 : (page - 1) * 4096 + 64] = b"\xff" * 64
    file.write_bytes(data)
    found = diagnose(biology, ok=False)

    assert found.the("store", "integrity")["level"] == "problem"
    assert found.the("store", "mode")["level"] == "ok"


def test_copies_beside_the_store_are_listed(biology: Run, file: Path) -> None:
    copies = {end: file.with_name(f"{file.name}{end}") for end in (".v1.bak", ".v2.bak", ".v3.bak")}
    copies["unfinished"] = file.with_name(".raptchat-0a1b2c3d.new")
    for copy in copies.values():
        copy.touch(mode=0o600)
    os.utime(copies[".v2.bak"], times=(time.time() - 100 * 86400,) * 2)
    copies[".v3.bak"].chmod(0o644)
    found = diagnose(biology).of("store", "copies")

    assert [one["level"] for one in found] == ["ok", "warning", "warning", "warning"]
    assert [one["fix"] for one in found] == [
        None,
        f"rm {copies['.v2.bak']}",
        f"chmod 600 {copies['.v3.bak']}",
        f"rm {copies['unfinished']}",
    ]
    assert "is 100 days old" in found[1]["text"]


def test_a_check_that_fails_is_a_problem_of_its_own_and_the_others_run(biology: Run, file: Path) -> None:
    file.with_name(f"{file.name}.v1.bak").symlink_to("nowhere")
    found = diagnose(biology, ok=False)

    assert found.the("store", "copies")["text"] == "could not be looked at: No such file or directory"
    assert [one for one in found.worse() if one[2] == "problem"] == [("store", "copies", "problem")]
    assert found.the("vault", "recovery")


@pytest.mark.parametrize(("free", "level"), [(0, "problem"), (50_000_000, "warning"), (3 * 10**9, "ok")])
def test_a_disk_that_is_nearly_full_is_said(
    biology: Run, file: Path, monkeypatch: pytest.MonkeyPatch, free: int, level: str
) -> None:
    real = os.statvfs(file)
    fields = list(real)
    fields[3:5] = [free // real.f_frsize] * 2
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result(fields))

    space = diagnose(biology, ok=level != "problem").the("store", "space")
    assert (space["level"], space["fix"]) == (level, None if level == "ok" else "make room on this disk")
    if free > 10**8:
        assert space["text"].endswith(" used, 3 GB free")


def test_a_network_file_system_is_said(biology: Run, file: Path) -> None:
    facts = file_facts(file)
    [nfs] = store_place._file_system(dataclasses.replace(facts, network="nfs4"))
    assert (nfs.level, "(nfs4)" in nfs.text) == ("warning", True)
    assert list(store_place._file_system(dataclasses.replace(facts, network=None))) == []


def test_a_store_of_another_user_is_said(biology: Run, file: Path) -> None:
    facts = dataclasses.replace(file_facts(file), owner=12345)
    assert [one.name for one in store_place._mode(file, facts) if one.level == "problem"] == ["owner"]


def test_what_takes_long_to_read_can_be_interrupted(biology: Run, file: Path) -> None:
    store, begun = StoreFile.at(file), threading.Event()
    ended: list[Exception] = []

    def read() -> None:
        with store.opened() as opened:
            opened._connection.raw.create_function("begun", 0, begun.set)
            endless = "WITH RECURSIVE c (x) AS (SELECT begun() UNION ALL SELECT 1 FROM c) SELECT count(*) FROM c"
            try:
                opened._connection.row(endless)
            except StoreError as error:
                ended.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    assert begun.wait(20)
    store.interrupt()
    thread.join(20)

    assert [str(error).endswith("interrupted") for error in ended] == [True]


def test_a_key_that_serves_several_groups_is_a_warning(biology: Run) -> None:
    assert diagnose(biology).the("store", "shared keys")["level"] == "ok"
    biology("group add-key history --stdin --allow-shared", stdin=DEMO_KEY)
    found = diagnose(biology).the("store", "shared keys")
    assert found["level"] == "warning"
    assert found["text"].endswith("serves more than one group: `biology`, `history`")
    # What it says to do about it is enough.
    biology("group add-key history --stdin --replace", stdin="sk-or-v1-a-key-of-its-own")
    assert diagnose(biology).the("store", "shared keys")["level"] == "ok"
    assert biology("credentials list").err == ""
    biology("group add-key history --stdin --allow-shared --replace", stdin=DEMO_KEY)
    for number in range(8):
        key = f"sk-or-v1-of-two-groups-{number // 2}"
        biology(f"group add-key g{number} --stdin --allow-shared", stdin=key)
    found_all = diagnose(biology).of("store", "shared keys")
    assert len(found_all) == 4
    assert found_all[-1]["text"] == "2 more keys serve more than one group"
