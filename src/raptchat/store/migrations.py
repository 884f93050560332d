"""The schema's history, oldest first; it only ever grows at the end.

`PRAGMA user_version` counts the steps that ran. All that are pending and their number land in one transaction or
not at all, and the number is read again inside it: of many first starts at once, one makes the tables.
"""

import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from raptchat.clock import utc_now
from raptchat.errors import OutputError, StoreError
from raptchat.store import row_sums
from raptchat.store.backup import copy_to
from raptchat.store.connection import APPLICATION_ID, Connection

if TYPE_CHECKING:
    from sqlite_utils import Database

Step = Callable[["Database"], None]


def create_first_tables(db: "Database") -> None:
    """The tables of the first release."""
    db.table("store").create({"id": str, "created_at": str}, pk="id", not_null=["created_at"], strict=True)
    db.table("store").insert({"id": str(uuid.uuid4()), "created_at": utc_now()})
    db.execute("""
        CREATE TABLE groups (
            id TEXT PRIMARY KEY,
            name TEXT NOT NULL,
            name_key TEXT NOT NULL UNIQUE, -- the name as it is compared: NFC, without case
            description TEXT,
            model TEXT,
            system_prompt TEXT,
            provider TEXT,
            created_at TEXT NOT NULL,
            updated_at TEXT NOT NULL
        ) STRICT""")
    db.execute("""
        CREATE TABLE ai_credentials (
            id TEXT PRIMARY KEY,
            group_id TEXT NOT NULL REFERENCES groups(id) ON DELETE CASCADE,
            provider TEXT NOT NULL,
            encrypted_key BLOB NOT NULL,
            nonce BLOB NOT NULL,
            key_id TEXT NOT NULL REFERENCES vault_keys(id),
            key_hint TEXT NOT NULL,
            key_fingerprint TEXT NOT NULL,
            label TEXT,
            base_url TEXT,
            endpoint TEXT NOT NULL, -- the origin the key is sealed for, with or without a base_url
            is_active INTEGER NOT NULL CHECK (is_active IN (0, 1)),
            created_at TEXT NOT NULL,
            updated_at TEXT NOT NULL,
            last_used_at TEXT,
            created_by TEXT NOT NULL
        ) STRICT""")
    db.execute("""
        CREATE UNIQUE INDEX ai_credentials_one_active
        ON ai_credentials (group_id, provider) WHERE is_active = 1""")
    db.execute("CREATE INDEX ai_credentials_by_fingerprint ON ai_credentials (key_fingerprint)")
    db.execute("CREATE INDEX ai_credentials_by_group ON ai_credentials (group_id, created_at)")
    db.execute("""
        CREATE TABLE sessions (
            id TEXT PRIMARY KEY,
            group_id TEXT NOT NULL REFERENCES groups(id) ON DELETE CASCADE,
            title TEXT,
            model TEXT,
            system_prompt TEXT,
            created_at TEXT NOT NULL,
            last_used_at TEXT NOT NULL
        ) STRICT""")
    db.execute("CREATE INDEX sessions_by_use ON sessions (group_id, last_used_at)")
    db.execute("""
        CREATE TABLE messages (
            id INTEGER PRIMARY KEY,
            session_id TEXT NOT NULL REFERENCES sessions(id) ON DELETE CASCADE,
            seq INTEGER NOT NULL CHECK (seq >= 1),
            role TEXT NOT NULL CHECK (role IN ('system', 'user', 'assistant')),
            content TEXT NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('complete', 'incomplete', 'failed')),
            model TEXT,
            created_at TEXT NOT NULL,
            UNIQUE (session_id, seq)
        ) STRICT""")
    # The ledger outlives what it counts: a removed group or session still has its bill.
    db.execute("""
        CREATE TABLE ai_usage (
            id INTEGER PRIMARY KEY,
            group_id TEXT NOT NULL,
            group_name TEXT NOT NULL,
            session_id TEXT,
            credential_id TEXT NOT NULL,
            provider TEXT NOT NULL,
            model TEXT NOT NULL,
            os_user TEXT NOT NULL,
            generation_id TEXT,
            finish_reason TEXT,
            input_tokens INTEGER,
            output_tokens INTEGER,
            total_tokens INTEGER GENERATED ALWAYS AS (input_tokens + output_tokens) STORED,
            cached_tokens INTEGER,
            reasoning_tokens INTEGER,
            cost_nano_usd INTEGER,
            created_at TEXT NOT NULL
        ) STRICT""")
    db.execute("CREATE INDEX ai_usage_by_group ON ai_usage (group_id, created_at)")
    db.execute("CREATE INDEX ai_usage_by_time ON ai_usage (created_at)")
    db.execute("CREATE INDEX ai_usage_by_session ON ai_usage (session_id)")
    db.execute("""
        CREATE TABLE events (
            id INTEGER PRIMARY KEY,
            created_at TEXT NOT NULL,
            action TEXT NOT NULL,
            command TEXT NOT NULL,
            os_user TEXT NOT NULL,
            host TEXT NOT NULL,
            group_id TEXT,
            group_name TEXT,
            credential_id TEXT
        ) STRICT""")
    for change in ("UPDATE", "DELETE"):
        db.execute(f"""
            CREATE TRIGGER events_refuse_{change.lower()} BEFORE {change} ON events
            BEGIN SELECT RAISE(ABORT, 'events only grow'); END""")
    db.execute("""
        CREATE TABLE bindings (
            folder TEXT PRIMARY KEY,
            group_id TEXT REFERENCES groups(id) ON DELETE SET NULL,
            created_at TEXT NOT NULL
        ) STRICT""")
    db.execute("""
        CREATE TABLE vault_keys (
            id TEXT PRIMARY KEY,
            check_value BLOB NOT NULL,
            slots_mac BLOB NOT NULL,
            created_at TEXT NOT NULL
        ) STRICT""")
    db.execute("""
        CREATE TABLE vault_slots (
            id TEXT PRIMARY KEY,
            kind TEXT NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('pending', 'active', 'dying')),
            key_id TEXT REFERENCES vault_keys(id),
            public_key BLOB,
            wrapped_key BLOB,
            proof BLOB, -- under the slot's secret: which data key it opens
            params TEXT NOT NULL,
            created_at TEXT NOT NULL,
            CHECK (
                state = 'pending'
                OR (key_id NOTNULL AND public_key NOTNULL AND wrapped_key NOTNULL AND proof NOTNULL)
            )
        ) STRICT""")


def add_what_goes_with_messages(db: "Database") -> None:
    """Reasoning and attachments of messages, and the index that finds their words."""
    # AUTOINCREMENT: the id of a message that is gone is not given to another, for a reply to it may still come in.
    db.execute("""
        CREATE TABLE new_messages (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            session_id TEXT NOT NULL REFERENCES sessions(id) ON DELETE CASCADE,
            seq INTEGER NOT NULL CHECK (seq >= 1),
            role TEXT NOT NULL CHECK (role IN ('system', 'user', 'assistant')),
            content TEXT NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('complete', 'incomplete', 'failed')),
            model TEXT,
            created_at TEXT NOT NULL,
            reasoning TEXT,
            reasoning_details TEXT,
            UNIQUE (session_id, seq)
        ) STRICT""")
    db.execute("INSERT INTO new_messages SELECT *, NULL, NULL FROM messages")
    db.execute("DROP TABLE messages")
    db.execute("ALTER TABLE new_messages RENAME TO messages")
    db.execute("""
        CREATE TABLE attachments (
            hash TEXT PRIMARY KEY, -- SHA-256 of the content, which is kept once
            size INTEGER NOT NULL,
            content BLOB NOT NULL
        ) STRICT""")
    db.execute("""
        CREATE TABLE message_attachments (
            message_id INTEGER NOT NULL REFERENCES messages(id) ON DELETE CASCADE,
            position INTEGER NOT NULL,
            hash TEXT NOT NULL REFERENCES attachments(hash),
            name TEXT NOT NULL,
            media_type TEXT NOT NULL,
            PRIMARY KEY (message_id, position)
        ) STRICT""")
    db.execute("CREATE INDEX message_attachments_by_hash ON message_attachments (hash)")
    db.execute("""
        CREATE TRIGGER attachments_go_with_their_last_message AFTER DELETE ON message_attachments
        WHEN NOT EXISTS (SELECT 1 FROM message_attachments WHERE hash = old.hash)
        BEGIN DELETE FROM attachments WHERE hash = old.hash; END""")
    # The index keeps no text of its own (FTS5, "External Content Tables"). No trigger can keep it true: with
    # `trusted_schema` off none may write to a virtual table. So `store/search.py` does.
    db.execute("""
        CREATE VIRTUAL TABLE messages_fts USING fts5 (
            content, content = 'messages', content_rowid = 'id', tokenize = 'unicode61 remove_diacritics 2'
        )""")
    db.execute("INSERT INTO messages_fts (messages_fts) VALUES ('rebuild')")


def add_trails_of_slots(db: "Database") -> None:
    """How a slot that was not at hand when the data key was changed comes from the key it knows to the new one."""
    db.execute("ALTER TABLE vault_slots ADD COLUMN trail TEXT NOT NULL DEFAULT '[]'")


def add_row_sums(db: "Database") -> None:
    """The sums that tell whether a row is as it was written; `migrate` makes them."""
    db.execute("""
        CREATE TABLE row_sums (
            table_name TEXT NOT NULL,
            key TEXT NOT NULL,
            sum BLOB NOT NULL,
            PRIMARY KEY (table_name, key)
        ) STRICT, WITHOUT ROWID""")


STEPS: list[Step] = [create_first_tables, add_what_goes_with_messages, add_trails_of_slots, add_row_sums]


def migrate(connection: Connection, steps: Sequence[Step] = STEPS, *, backup: bool = True) -> None:
    """Bring the store up to date, with a copy of the older one beside it where *backup* says so.

    `StoreError` for a newer one and for a file that is not ours; it is left as it is.
    """
    if _version(connection, steps) == len(steps):
        return
    # Loading sqlite-utils takes longer than all else a command does; only a pending step pays for it.
    from sqlite_utils import Database

    # No plugins: no foreign code on a connection that sees sealed keys.
    db = Database(connection.raw, execute_plugins=False)
    with connection.write():
        version = _version(connection, steps)
        if version == len(steps):
            return  # another process was first
        if backup and version:
            _back_up(connection, version)
        damaged = row_sums.damaged_rows(connection) if row_sums.exist(connection) else []
        with connection.errors():
            for step in steps[version:]:
                step(db)
        if row_sums.exist(connection):
            row_sums.renew(connection, damaged=damaged)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(steps)}")


def _version(connection: Connection, steps: Sequence[Step]) -> int:
    row = connection.row(
        "SELECT user_version, application_id, (SELECT count(*) FROM sqlite_schema) AS tables"
        " FROM pragma_user_version, pragma_application_id"
    )
    assert row is not None  # each of these has one row
    version, application, tables = row["user_version"], row["application_id"], row["tables"]
    if application != APPLICATION_ID and (tables or version or application):
        raise StoreError(
            f"`{connection.path}` is a database, but no store of raptchat", hint="name another with --store"
        )
    if version > len(steps):
        raise StoreError(
            f"the store `{connection.path}` was made by a newer raptchat (its version {version}, "
            f"known here: {len(steps)})",
            hint="upgrade raptchat; the file was not touched",
        )
    return int(version)


def _back_up(connection: Connection, version: int) -> None:
    """Copy the store beside itself before its tables change.

    In a transaction that has not written yet: nobody else upgrades the store, or copies it, at the same time.
    """
    place = connection.path.with_name(f"{connection.path.name}.v{version}.bak")
    try:
        # Not from this connection: SQLite does not copy from one that is about to write.
        copy_to(place, connection.path, replace=True)
    except (OSError, OutputError) as error:
        raise StoreError(
            f"the store cannot be backed up to `{place}` before its upgrade: {error}",
            hint="make room beside it and try again; the store was not touched",
        ) from None
