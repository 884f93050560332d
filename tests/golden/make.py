"""Make the golden store of the raptchat that is imported: `python tests/golden/make.py`; see `README.md`.

It must run with the code of every version, so it uses what has been there from the first one on, and the rest
where it is there.
"""

import hashlib
import inspect
import json
import shutil
import sqlite3
import tempfile
from contextlib import closing, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

from raptchat import ChatService, CredentialService, Factory, RaptchatError
from raptchat.caller import Caller
from raptchat.config import Settings
from raptchat.demo import DEMO_KEY, DemoGateway
from raptchat.records import Group

HERE = Path(__file__).parent
CALLER = Caller(command="raptchat group add-key", os_user="teacher", host="school")
# What is stored names no place of the machine that it was made on.
GATEWAY_PORT = 48321
ELSEWHERE = "https://gateway.example/v1"
KEYS = [
    # group, label, key, where it may be sent; of two keys of a group the last is in use
    ("Biologie für Anfänger", "alt", "sk-or-v1-golden-biologie-retired-000000000000", None),
    ("Biologie für Anfänger", "neu", "sk-or-v1-golden-biologie-in-use-0000000000000", None),
    ("Русский язык", None, "sk-or-v1-golden-russian-00000000000000000000", ELSEWHERE),
    ("数学 📐", None, "short-key", None),
    ("Gespräche", "demo", DEMO_KEY, f"http://127.0.0.1:{GATEWAY_PORT}/api/v1"),
]
LONG_AGO = "2026-11-01T00:00:00Z"
MANAGEMENT_KEY = "sk-or-v1-golden-management-0000000000000000"
ELSEWHERE_KEPT, BY_COMMAND = "Verweis", "echo sk-or-v1-golden-by-command-000000000000"
QUESTIONS = [
    ("Größe der Zellen", ["Wie groß ist eine Zelle?", "Und ein Ei?\n\n\tMit Zeilen."]),
    ("Ёжик", ["Где живёт ёж? \N{HEDGEHOG}", "e\u0301 is two characters"]),
]


def fill(factory: Factory) -> None:
    """All that a store of this version can hold."""
    vault, store = factory.vault, factory.store
    vault.init("file")
    vault.add("passphrase")
    service = CredentialService(factory)
    for name, label, key, base_url in KEYS:
        with store.write():
            group = store.groups.named(name) or store.groups.add(
                name, description=f"{name}, 2. Jahr", model="demo/echo", system_prompt="Antworte knapp."
            )
        service.create(group.id, key, label=label, base_url=base_url, replace=True)
    with store.write():
        [biology, *_] = (group for group in store.groups.all() if group.name.startswith("Bio"))
        store.groups.bind(Path("/home/teacher/Übungen"), biology.id)
        closed = store.groups.add("closed")
    service.create(closed.id, "sk-or-v1-golden-of-a-group-that-is-gone-00000")
    service.remove_group(closed)
    converse(factory)
    if has_rules():
        set_rules(factory)


def has_rules() -> bool:
    """Whether the raptchat that is imported knows rules, budgets and keys of an account."""
    return "budget" in Group._fields


def set_rules(factory: Factory) -> None:
    """What came with version 6: rules, budgets, a key that is kept elsewhere, and the account's key."""
    from raptchat.credentials.management_key import ManagementKeys
    from raptchat.records import Budget, KeyWork, Policy
    from raptchat.secret import Secret
    from raptchat.store.groups import budget_columns, policy_columns

    store = factory.store
    policy = Policy(("anthropic/*", "demo/*"), zdr=True, max_cost=Decimal("0.50"))
    budget = Budget(Decimal(20), "month", 75)
    with store.write():
        strict = store.groups.add("Regeln")
        store.groups.set(strict.id, **policy_columns(policy), **budget_columns(budget), suspended_at=LONG_AGO)
        store.budgets.reserve(strict.id, Decimal("0.03"))
        elsewhere = store.groups.add(ELSEWHERE_KEPT)
        store.management.begin(KeyWork("w", strict.name, "https://openrouter.ai:443", None, "0" * 64, LONG_AGO))
    key = BY_COMMAND.rsplit(maxsplit=1)[-1]
    CredentialService(factory).create(elsewhere.id, BY_COMMAND, kind="command", resolved=Secret(key))
    ManagementKeys(factory).save(Secret(MANAGEMENT_KEY), "https://openrouter.ai:443")


def converse(factory: Factory) -> None:
    """Conversations, one of them cut short; with reasoning and attachments where they are kept."""
    store, chat = factory.store, ChatService(factory)
    [group] = (group for group in store.groups.all() if group.name == "Gespräche")
    for title, questions in QUESTIONS:
        session = chat.create_session(group.id, title=title)
        for question in questions:
            list(chat.send_message(session.id, question))
    session = chat.create_session(group.id)
    list(chat.send_message(session.id, "Denk nach", model="demo/reasoning"))
    with suppress(RaptchatError):
        list(chat.send_message(session.id, "Brich ab", model="demo/cut"))
    if "attachments" in inspect.signature(chat.send_message).parameters:
        from raptchat.records import Attachment

        content = "Blätter, Äste, Wurzeln\n".encode()
        file = Attachment("bäume.txt", "text/plain", hashlib.sha256(content).hexdigest(), len(content), content)
        list(chat.send_message(session.id, "Was steht darin?", attachments=[file]))


def recorded(file: Path) -> dict[str, Any]:
    """What is in *file*, read without raptchat, and the keys that were put in."""
    with closing(sqlite3.connect(file)) as db:
        db.row_factory = sqlite3.Row

        def rows(sql: str) -> list[dict[str, Any]]:
            return [dict(row) for row in db.execute(sql)]

        columns = {row["name"] for row in db.execute("PRAGMA table_info(messages)")}
        has_files = bool(rows("SELECT 1 FROM sqlite_schema WHERE name = 'message_attachments'"))
        return {
            "schema": db.execute("PRAGMA user_version").fetchone()[0],
            "keys": [
                {
                    "group": name,
                    "label": label,
                    "key": key,
                    "base_url": base_url,
                    "is_active": all(key == other[2] for other in KEYS[number:] if other[0] == name),
                }
                for number, (name, label, key, base_url) in enumerate(KEYS)
            ]
            + [
                {
                    "group": ELSEWHERE_KEPT,
                    "label": None,
                    "key": BY_COMMAND.rsplit(maxsplit=1)[-1],
                    "base_url": None,
                    "is_active": True,
                }
            ]
            * has_rules(),
            "groups": rows("SELECT id, name, description, model, system_prompt FROM groups ORDER BY id"),
            "rules": rows(
                "SELECT name, allowed_models, zdr, deny_training, max_cost_nano_usd, no_history, budget_nano_usd,"
                " budget_period, budget_warn_percent, suspended_at FROM groups WHERE budget_nano_usd NOTNULL"
            )
            if has_rules()
            else [],
            "management_keys": {"https://openrouter.ai:443": MANAGEMENT_KEY} if has_rules() else {},
            "bindings": rows(
                "SELECT folder, name AS 'group' FROM bindings JOIN groups ON groups.id = bindings.group_id"
            ),
            "sessions": rows("SELECT id, title FROM sessions ORDER BY id"),
            "messages": rows(
                f"SELECT session_id, seq, role, content, state, model,"  # noqa: S608
                f" {'reasoning' if 'reasoning' in columns else 'NULL AS reasoning'}"
                " FROM messages ORDER BY session_id, seq"
            ),
            "attachments": rows(
                "SELECT session_id, seq, name, media_type, message_attachments.hash,"
                " CAST(attachments.content AS TEXT) AS content"
                " FROM message_attachments JOIN messages ON messages.id = message_id JOIN attachments USING (hash)"
            )
            if has_files
            else [],
            "usage": rows(
                "SELECT group_name AS 'group', count(*) AS requests, sum(input_tokens) AS input_tokens,"
                " sum(total_tokens) AS total_tokens, sum(cost_nano_usd) AS cost_nano_usd"
                " FROM ai_usage GROUP BY group_name"
            ),
            "events": rows("SELECT action, group_name, os_user, host FROM events ORDER BY id"),
        }


def make(home: Path, secrets: dict[str, Path]) -> dict[str, str]:
    """Fill a new store in *home*; returns the secrets that were made on the way."""
    kept: list[str] = []
    # From version 3 on there is a recovery key, and the data key is changed without the secret of every slot.
    extra: dict[str, Any] = {"keep": kept.append} if "keep" in inspect.signature(Factory).parameters else {}
    environ = {
        "RAPTCHAT_HOME": str(home),
        "HOME": str(home),
        "RAPTCHAT_MASTER_KEY_FILE": str(secrets["master.key"]),
    }
    all_named = {**environ, "RAPTCHAT_PASSPHRASE_FILE": str(secrets["passphrase"])}
    with DemoGateway(port=GATEWAY_PORT), Factory(Settings.load(all_named), caller=CALLER, **extra) as factory:
        fill(factory)
        if extra:
            factory.vault.add("recovery")
    if extra:
        with Factory(Settings.load(environ), caller=CALLER) as factory:
            for _ in range(2):
                CredentialService(factory).rotate_vault()
    return {"recovery": kept[0]} if kept else {}


def main() -> None:
    """Make the store, and write it and what is in it beside this file, if there is none of its version yet."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder, "home")
        secrets = {}
        for name in ("master.key", "passphrase"):
            secrets[name] = Path(folder, name)
            shutil.copy(HERE / name, secrets[name])
            secrets[name].chmod(0o600)
        made_secrets = make(home, secrets)
        file = home / "raptchat.db"
        with closing(sqlite3.connect(file)) as db:
            db.execute("VACUUM")
        record = {**recorded(file), **made_secrets}
        made = HERE / f"v{record['schema']}.db"
        if made.exists():
            raise SystemExit(f"{made.name} is there already, and is never changed")
        shutil.copyfile(file, made)
        text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
        made.with_suffix(".json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
