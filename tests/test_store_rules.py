"""What holds for the store whatever is done: how its file is opened and written, and that it waits for nobody."""

import json
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from conftest import environment
from full_store import fill, put, read
from secret_service import SecretService

import raptchat
from raptchat.demo import DEMO_KEY, DemoGateway
from raptchat.store import Store
from raptchat.store.connection import Connection
from raptchat.store.peek import ReadOnlyConnection

PACKAGE = Path(raptchat.__file__).parent
SOURCES = {path.relative_to(PACKAGE).as_posix(): path.read_text() for path in PACKAGE.rglob("*.py")}


def test_databases_are_opened_in_three_places_only() -> None:
    # The second is the file of a new copy, which nobody else knows; the third reads another program's file.
    found = {name for name, text in SOURCES.items() if re.search(r"sqlite3\.connect\(|sqlite3\.dbapi2", text)}
    assert found == {"store/connection.py", "store/backup.py", "foreign_sessions/llm_log.py"}
    plugins = [text for text in SOURCES.values() for text in re.findall(r"\bDatabase\(.*\)", text)]
    assert plugins == ["Database(connection.raw, execute_plugins=False)"]


def test_transactions_begin_in_three_places_only() -> None:
    begun = [(name, found) for name, text in SOURCES.items() for found in re.findall(r'"(BEGIN[^"]*)"', text)]

    assert sorted(begun) == [
        ("store/checks.py", "BEGIN IMMEDIATE"),
        ("store/connection.py", "BEGIN"),
        ("store/connection.py", "BEGIN IMMEDIATE"),
        ("store/restore.py", "BEGIN EXCLUSIVE"),
    ]


@pytest.mark.parametrize("mode", ["rw", "ro", "copy", "temporary"])
def test_the_pragmas_are_in_force_on_every_connection(home: Path, mode: str) -> None:
    with closing(Connection(put(home), mode=mode)) as connection:  # type: ignore[arg-type]
        found = {
            name: connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in (
                "synchronous",
                "foreign_keys",
                "secure_delete",
                "trusted_schema",
                "recursive_triggers",
                "journal_mode",
            )
        }

    assert found == {
        "synchronous": 3,
        "foreign_keys": 1,
        "secure_delete": 1,
        "trusted_schema": 0,
        "recursive_triggers": 1,
        "journal_mode": "delete",
    }


def test_a_look_that_is_not_felt_trusts_no_schema_and_writes_nothing(home: Path) -> None:
    with closing(ReadOnlyConnection(put(home))) as connection:
        assert connection.execute("PRAGMA trusted_schema").fetchone()[0] == 0
        with pytest.raises(raptchat.RaptchatError, match="read-only"):
            connection.execute("UPDATE groups SET name = ''")


def test_every_change_is_in_a_transaction_that_began_with_the_lock(home: Path) -> None:
    said: list[str] = []
    with closing(Store.open(put(home))) as store:
        store._connection.raw.set_trace_callback(said.append)
        [group, *_] = store.groups.all()
        # Without a transaction around them too.
        store.groups.set(group.id, description="alone")
        store.groups.unbind(Path("/"))
        [credential, *_] = store.credentials.all()
        store.credentials.touch(credential.id)
        with store.snapshot():
            read(store)
        with store.write(), store.snapshot(), store.write():
            store.groups.add("chemistry")
            store.sessions.remove_unused_since("9999")

    open_with = ""
    changes = 0
    for statement in said:
        if statement.startswith(("BEGIN", "COMMIT", "ROLLBACK")):
            open_with = statement
        elif re.match(r"(INSERT|UPDATE|DELETE|REPLACE)", statement):
            changes += 1
            assert open_with.startswith("BEGIN IMMEDIATE"), statement
    assert changes > 6


def test_a_snapshot_is_not_for_writing(home: Path) -> None:
    with closing(Store.open(put(home))) as store, pytest.raises(AssertionError), store.snapshot():
        store.groups.add("chemistry")


# Runs commands, and writes down which of them open the store's file while it is open, or wait in a transaction.
WATCHED = """
import gc, json, os, sys
from pathlib import Path
from raptchat.cli import app
from raptchat.store.connection import Connection
from typer.testing import CliRunner

store = Path(os.environ["RAPTCHAT_HOME"], "raptchat.db")
broken, seen = [], {"open": 0, "wait": 0}

def connections():
    for each in gc.get_objects():
        if isinstance(each, Connection) and each.close.alive and each.path == store:
            yield each

def watch(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes)) and not arguments[2] & os.O_EXCL:
        if os.path.realpath(os.fsdecode(arguments[0])) == str(store):
            seen["open"] += 1
            if any(connections()):
                broken.append("opened the file")
    if event == "socket.connect" or (event == "open" and arguments[0] == "/dev/tty"):
        seen["wait"] += 1
        if any(each.raw.in_transaction for each in connections()):
            broken.append("waited in a transaction")

sys.addaudithook(watch)
for words, stdin in json.load(sys.stdin):
    ended = CliRunner().invoke(app, words, input=stdin)
    if ended.exit_code:
        broken.append(f"{words}: {ended.exit_code} {ended.stderr}")
json.dump([broken, seen], sys.stdout)
"""


def watched(*commands: tuple[str, str | None], **changes: str) -> tuple[list[str], dict[str, int]]:
    """What was done against the rules while these commands ran, and how often there was a chance to."""
    said = subprocess.run(
        [sys.executable, "-c", WATCHED],
        input=json.dumps([(words.split(), stdin) for words, stdin in commands]),
        env=environment(**changes),
        capture_output=True,
        text=True,
        check=True,
    )
    broken, seen = json.loads(said.stdout)
    return broken, seen


def test_the_file_is_never_opened_beside_a_connection_and_no_transaction_waits(
    home: Path, gateway: DemoGateway, tmp_path: Path
) -> None:
    broken, seen = watched(
        (f"vault init --file {tmp_path}/master.key", None),
        ("group add-key biology --stdin", DEMO_KEY),
        ("chat -g biology hello", None),
        ("chat -g biology -c again", None),
        ("models -g biology", None),
        ("group rename biology botany", None),
        (f"vault add file --file {tmp_path}/second.key", None),
        ("vault status", None),
        ("whoami", None),
        (f"backup {tmp_path}/copy.bak", None),
        ("sessions remove --before 9999-01-01 --yes", None),
        (f"restore {tmp_path}/copy.bak --yes", None),
        ("credentials list", None),
        ("events", None),
    )

    assert broken == []
    assert seen["wait"] >= 3
    assert gateway.requests
    assert home.exists()


def test_no_transaction_waits_for_the_keyring(secret_service: SecretService, gateway: DemoGateway) -> None:
    broken, seen = watched(
        ("group add-key biology --stdin", DEMO_KEY),
        ("chat -g biology hello", None),
        ("vault status", None),
        ("group rename biology botany", None),
        DBUS_SESSION_BUS_ADDRESS=secret_service.environ["DBUS_SESSION_BUS_ADDRESS"],
    )

    assert broken == []
    # The bus and the gateway.
    assert seen["wait"] > len(gateway.requests) >= 1


def test_the_watch_sees_what_is_against_the_rules(home: Path) -> None:
    path = fill(home)
    prelude = WATCHED.partition("for words, stdin")[0]
    said = subprocess.run(
        [
            sys.executable,
            "-c",
            f"{prelude}\nimport socket\nfrom raptchat.store import Store\nopened = Store.open(store)\n"
            "store.read_bytes()\n"
            "with opened.write():\n"
            "    socket.socket(socket.AF_UNIX).connect_ex('/nowhere')\n"
            "print(broken)",
        ],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )

    assert path.exists()
    assert said.stdout.strip() == "['opened the file', 'waited in a transaction']"
