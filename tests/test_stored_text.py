"""No stored text acts on a terminal, whichever command shows it, also in a store that somebody else has filled."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from conftest import Run, environment
from processes import AtTerminal
from sample_files import PNG
from test_examples import TOP, paths
from test_terminal_safety import acting

from raptchat import Factory
from raptchat.cli.completing.answer import answered
from raptchat.demo import DEMO_MANAGEMENT_KEY
from raptchat.records import KeyWork
from raptchat.store.groups import name_key

pytestmark = pytest.mark.process

HOSTILE = "\x1b]0;owned\x07\x9b2J\x1b[2J\x1b]52;c;eA==\x07\u202ex"
# Of the texts of the store nobody else has a say in these, or nothing would be found any more.
KEPT = {
    *("provider", "key_id", "state", "role", "kind", "hash", "budget_period", "endpoint"),
    # With these nothing would be asked any more; they have a test of their own.
    *("allowed_models", "suspended_at"),
    *("group_id", "session_id", "credential_id", "id"),
}
# What is needed to open a credential is in the vault's tables, which have a test of their own.
TABLES_KEPT = {"store", "row_sums", "vault_keys", "vault_slots", "bindings"}
NAMED = ("sessions", "groups", "ai_credentials")
LOOKS = (
    "sessions list",
    "sessions show {0}",
    "sessions search osmosis",
    "sessions export {0}",
    "sessions export {0} -f html",
    "sessions export {0} -f json",
    "sessions fork {0} --at 99",
    "sessions remove {0}",
    "sessions rename {0} new",
    "events",
    "usage --by group,model",
    "usage --by session",
    "usage --detail",
    "usage --by group,model --markdown",
    "usage --refresh",
    "usage reconcile",
    "group budget {1}",
    "group suspend {1}",
    "group resume {1}",
    "group cap {1} 5",
    "group rotate-key {1}",
    "account status",
    "account keys",
    "account logout",
    "exec -- true",
    "group list",
    "group show {1}",
    "group set {1} --model a/b",
    "group bind {1}",
    "group unbind",
    "group rename {1} new",
    "group remove {1}",
    "credentials list",
    "credentials check",
    "credentials show {2}",
    "credentials deactivate {2}",
    "credentials activate {2}",
    "credentials delete {2}",
    "whoami",
    "doctor --offline",
    "models",
    "models x",
    "chat -m demo/rply hello",
    "chat --dry-run hello",
    "vault check",
)
# They show ids only, or what was checked when the list of models was read.
CLEAN = {
    *("sessions fork {0} --at 99", "sessions remove {0}", "sessions rename {0} new", "usage --by session"),
    *("models", "models x", "group unbind"),
}
OF_THE_VAULT = ("vault status", "vault status --json", "vault check", "vault remove file")
# They show nothing that is stored; the texts of a bundle have tests of their own.
NOTHING_STORED = {
    *(
        "",
        "completion",
        "demo",
        "config",
        "config get",
        "config list",
        "config path",
        "config set",
        "config unset",
    ),
    *("group create", "group add-key", "vault init", "vault add", "vault rotate", "vault export", "vault import"),
    *("backup", "restore", "account login", "group provision", "import-keys"),
}


@pytest.fixture
def hostile_home(biology: Run, home: Path, tmp_path: Path) -> list[str]:
    """Ids of a session, a group and a credential in a store that somebody else has filled."""
    (tmp_path / "cell.png").write_bytes(PNG)
    biology("chat -m demo/reasoning -a cell.png osmosis")
    biology("models")
    biology("account login --stdin", stdin=DEMO_MANAGEMENT_KEY)
    biology("group budget biology 5 --per month")
    with Factory() as factory, factory.store.write():
        work = KeyWork("w", "biology", "https://openrouter.ai:443", "raptchat biology", "0", "")
        factory.store.management.begin(work)
    with closing(sqlite3.connect(home / "raptchat.db")) as db, db:
        for table, column in texts_of(db):
            changed = f"UPDATE {table} SET {column} = coalesce({column}, '') || ?"  # noqa: S608
            db.execute(changed, (HOSTILE,))
        # No event can be changed; one more can be slipped in.
        columns = [column for column in columns_of(db, "events") if column != "group_id"]
        marks = ", ".join("?" for _ in columns)
        db.execute(f"INSERT INTO events ({', '.join(columns)}) VALUES ({marks})", [HOSTILE] * len(columns))  # noqa: S608
        db.execute("UPDATE groups SET name_key = ?", (name_key(f"biology{HOSTILE}"),))
        ids = [db.execute(f"SELECT id FROM {table}").fetchone()[0] for table in NAMED]  # noqa: S608
    [cache] = (home / "models").iterdir()
    listed = json.loads(cache.read_text(encoding="utf-8"))
    for model in listed["models"]:
        model |= {"name": HOSTILE, "expiration_date": HOSTILE, "supported_parameters": [HOSTILE, "x"]}
    listed["models"].append({"id": HOSTILE, "name": HOSTILE})
    cache.write_text(json.dumps(listed), encoding="utf-8")
    return ids


def columns_of(db: sqlite3.Connection, table: str) -> list[str]:
    """The names of the columns of *table* that hold texts."""
    return [name for _, name, kind, *_ in db.execute(f"PRAGMA table_info({table})") if kind == "TEXT"]


def texts_of(db: sqlite3.Connection) -> list[tuple[str, str]]:
    """Every column for texts that there is, also in later tables, but for those that are kept."""
    tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return [
        (table, column)
        for table in tables
        if table not in TABLES_KEPT | {"events"} and not table.startswith(("messages_fts", "sqlite_"))
        for column in columns_of(db, table)
        if column not in KEPT
    ]


def shown(words: str) -> str:
    """All that a command writes at a terminal; a question is answered with no."""
    with AtTerminal(*words.split()) as terminal:
        if words.split()[1:2] in (["remove"], ["delete"], ["logout"]):
            terminal.keys("n\r")
        terminal.ends(None)
    assert "a bug in raptchat" not in terminal.said, terminal.said
    return terminal.said.replace("\r\n", "\n")


def test_nothing_that_is_stored_acts_on_a_terminal_whichever_command_shows_it(
    hostile_home: list[str], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAGER", "cat")
    with closing(sqlite3.connect(home / "raptchat.db")) as db:
        assert len(texts_of(db)) > 20
    acted, clean = {}, set()
    for look in LOOKS:
        before = (home / "raptchat.db").read_bytes()
        said = shown(look.format(*hostile_home))
        (home / "raptchat.db").write_bytes(before)
        if not ("\u241b" in said or "\\u001b" in said):
            clean.add(look)
        acted[look] = acting(said)

    assert {look: found for look, found in acted.items() if found} == {}
    assert clean == CLEAN


def test_no_rule_that_is_stored_acts_on_a_terminal(biology: Run, home: Path) -> None:
    said = []
    for column in ("allowed_models", "suspended_at"):
        with closing(sqlite3.connect(home / "raptchat.db")) as db, db:
            db.execute("UPDATE groups SET allowed_models = NULL, suspended_at = NULL")
            db.execute(f"UPDATE groups SET {column} = ?", (HOSTILE,))  # noqa: S608
        said += [
            shown(look) for look in ("group show biology", "group list", "whoami", "chat hello", "exec -- true")
        ]

    assert [acting(text) for text in said] == [[]] * len(said)
    assert sum("\u241b" in text for text in said) >= 3


def test_nothing_that_a_vault_stores_acts_on_a_terminal(
    biology: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAGER", "cat")
    with closing(sqlite3.connect(home / "raptchat.db")) as db:
        [params] = db.execute("SELECT params FROM vault_slots").fetchone()
        spoiled = [
            json.dumps({**json.loads(params), "path": HOSTILE}),
            json.dumps({HOSTILE: HOSTILE}),
            HOSTILE,
        ]
    acted = {}
    for number, changed in enumerate(spoiled):
        with closing(sqlite3.connect(home / "raptchat.db")) as db, db:
            db.execute("UPDATE vault_slots SET params = ?, created_at = ?, trail = ?", (changed, HOSTILE, changed))
        for look in OF_THE_VAULT:
            acted[look, number] = acting(shown(look))

    assert {look: found for look, found in acted.items() if found} == {}
    assert "\u241b" in shown("vault status") or "\\u001b" in shown("vault status --json")


@pytest.mark.parametrize("term", ["dumb", "xterm-256color"])
def test_nothing_that_is_stored_acts_within_a_conversation(
    hostile_home: list[str], monkeypatch: pytest.MonkeyPatch, term: str
) -> None:
    monkeypatch.setenv("PAGER", "cat")
    with AtTerminal("chat", env=environment(TERM=term)) as terminal:
        for line in ("/sessions", "/usage", f"/resume {hostile_home[0]}", "/help", "/exit"):
            terminal.until("\x1b[?2004h" if term != "dumb" else "> ")
            terminal.keys(f"{line}\r")
        terminal.ends(None)

    said = terminal.said.replace("\r\n", "\n")
    assert "a bug in raptchat" not in said
    assert "\u241b]0;owned\u2407" in said
    for hostile in ("\x1b]0;owned", "\x9b", "\x1b]52", "\u202e", "\x07"):
        assert hostile not in said
    if term == "dumb":
        assert acting(said) == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_nothing_that_is_stored_acts_on_the_shell_that_completes_it(hostile_home: list[str], shell: str) -> None:
    for end in ("sessions show ", "group show ", "credentials show ", "chat -g ", "chat -m ", "chat --session "):
        environ = {"_RAPTCHAT_LINE": f"raptchat {end}", "_RAPTCHAT_WORD": ""}
        offered = answered(TOP, shell, end.split(), environ)

        assert acting(offered) == [], (end, offered)


def test_every_command_was_looked_at() -> None:
    looked = {tuple(look.split()[:count]) for look in (*LOOKS, *OF_THE_VAULT) for count in (1, 2)}
    nouns = {path[:-1] for path in paths()}
    left = {" ".join(path) for path in paths() if path not in looked | nouns}

    assert left <= NOTHING_STORED
