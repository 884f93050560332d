"""The schema's history, oldest first; it only ever grows at the end, and `version.NEWEST` with it.

`PRAGMA user_version` counts the steps that ran; `upgrade.py` runs those that are pending.
"""

import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING

from raptchat.clock import utc_now

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
    """The sums that tell whether a row is as it was written; the upgrade makes them."""
    db.execute("""
        CREATE TABLE row_sums (
            table_name TEXT NOT NULL,
            key TEXT NOT NULL,
            sum BLOB NOT NULL,
            PRIMARY KEY (table_name, key)
        ) STRICT, WITHOUT ROWID""")


def add_what_a_large_store_needs(db: "Database") -> None:
    """An index for each order and each condition that commands have, and the usage of each day, summed up."""
    db.execute("CREATE INDEX sessions_by_time ON sessions (last_used_at)")
    db.execute("CREATE INDEX events_by_group ON events (group_id)")
    db.execute("CREATE INDEX events_by_time ON events (created_at)")
    # A sum is NULL where no request of the day had the number, as that of `sum` is.
    db.execute("""
        CREATE TABLE ai_usage_days (
            day TEXT NOT NULL,
            group_id TEXT NOT NULL,
            group_name TEXT NOT NULL,
            model TEXT NOT NULL,
            credential_id TEXT NOT NULL,
            requests INTEGER NOT NULL,
            input_tokens INTEGER,
            output_tokens INTEGER,
            total_tokens INTEGER,
            cached_tokens INTEGER,
            reasoning_tokens INTEGER,
            cost_nano_usd INTEGER,
            unknown_tokens INTEGER NOT NULL,
            unknown_costs INTEGER NOT NULL,
            PRIMARY KEY (day, group_id, group_name, model, credential_id)
        ) STRICT, WITHOUT ROWID""")
    db.execute("""
        INSERT INTO ai_usage_days
        SELECT
            substr(created_at, 1, 10), group_id, group_name, model, credential_id, count(*),
            sum(input_tokens), sum(output_tokens), sum(total_tokens), sum(cached_tokens), sum(reasoning_tokens),
            sum(cost_nano_usd), count(*) - count(total_tokens), count(*) - count(cost_nano_usd)
        FROM ai_usage GROUP BY 1, 2, 3, 4, 5""")
    db.execute("CREATE INDEX ai_usage_days_by_group ON ai_usage_days (group_id, day)")
    # The ledger only grows: no line is taken away, and what one comes to know later corrects its day (below).
    db.execute("""
        CREATE TRIGGER ai_usage_adds_to_its_day AFTER INSERT ON ai_usage BEGIN
            INSERT INTO ai_usage_days VALUES (
                substr(new.created_at, 1, 10), new.group_id, new.group_name, new.model, new.credential_id, 1,
                new.input_tokens, new.output_tokens, new.total_tokens, new.cached_tokens, new.reasoning_tokens,
                new.cost_nano_usd, new.total_tokens IS NULL, new.cost_nano_usd IS NULL
            ) ON CONFLICT DO UPDATE SET
                requests = requests + 1,
                input_tokens = coalesce(input_tokens + excluded.input_tokens, input_tokens, excluded.input_tokens),
                output_tokens
                    = coalesce(output_tokens + excluded.output_tokens, output_tokens, excluded.output_tokens),
                total_tokens = coalesce(total_tokens + excluded.total_tokens, total_tokens, excluded.total_tokens),
                cached_tokens
                    = coalesce(cached_tokens + excluded.cached_tokens, cached_tokens, excluded.cached_tokens),
                reasoning_tokens = coalesce(
                    reasoning_tokens + excluded.reasoning_tokens, reasoning_tokens, excluded.reasoning_tokens
                ),
                cost_nano_usd
                    = coalesce(cost_nano_usd + excluded.cost_nano_usd, cost_nano_usd, excluded.cost_nano_usd),
                unknown_tokens = unknown_tokens + excluded.unknown_tokens,
                unknown_costs = unknown_costs + excluded.unknown_costs;
        END""")


def add_what_many_keys_need(db: "Database") -> None:
    """Rules and budgets of groups, keys that are kept elsewhere, the account's key, and costs known later."""
    # All of these are NULL where nothing was said: a row's sum leaves NULL out, and stays what it is.
    for column in (
        "allowed_models TEXT",  # patterns, with a comma between
        "zdr INTEGER CHECK (zdr IN (0, 1))",
        "deny_training INTEGER CHECK (deny_training IN (0, 1))",
        "max_cost_nano_usd INTEGER CHECK (max_cost_nano_usd >= 0)",
        "no_history INTEGER CHECK (no_history IN (0, 1))",
        "budget_nano_usd INTEGER CHECK (budget_nano_usd >= 0)",
        "budget_period TEXT CHECK (budget_period IN ('day', 'week', 'month'))",
        "budget_warn_percent INTEGER CHECK (budget_warn_percent BETWEEN 1 AND 100)",
        "suspended_at TEXT",
    ):
        db.execute(f"ALTER TABLE groups ADD COLUMN {column}")
    # What is sealed instead of a key: the command that prints it, the file that holds it, or nothing.
    db.execute("ALTER TABLE ai_credentials ADD COLUMN kind TEXT CHECK (kind IN ('command', 'file', 'none'))")
    # What a budget counts for a request whose cost is not known.
    db.execute("ALTER TABLE ai_usage ADD COLUMN estimated_nano_usd INTEGER")
    db.execute("CREATE INDEX ai_usage_unknown ON ai_usage (group_id, created_at) WHERE cost_nano_usd IS NULL")
    db.execute("""
        CREATE TRIGGER ai_usage_corrects_its_day
        AFTER UPDATE OF input_tokens, output_tokens, cached_tokens, reasoning_tokens, cost_nano_usd ON ai_usage
        BEGIN
            INSERT OR REPLACE INTO ai_usage_days
            SELECT
                substr(new.created_at, 1, 10), group_id, group_name, model, credential_id, count(*),
                sum(input_tokens), sum(output_tokens), sum(total_tokens), sum(cached_tokens),
                sum(reasoning_tokens), sum(cost_nano_usd), count(*) - count(total_tokens),
                count(*) - count(cost_nano_usd)
            FROM ai_usage
            WHERE group_id = new.group_id AND created_at >= substr(new.created_at, 1, 10)
            AND created_at < substr(new.created_at, 1, 10) || 'U' AND group_name = new.group_name
            AND model = new.model AND credential_id = new.credential_id
            GROUP BY group_id, group_name, model, credential_id;
        END""")
    # What requests that are under way may cost, until they are booked; after `until` their process is gone.
    db.execute("""
        CREATE TABLE reservations (
            id TEXT PRIMARY KEY,
            group_id TEXT NOT NULL REFERENCES groups(id) ON DELETE CASCADE,
            amount_nano_usd INTEGER NOT NULL CHECK (amount_nano_usd >= 0),
            until TEXT NOT NULL
        ) STRICT""")
    db.execute("CREATE INDEX reservations_by_group ON reservations (group_id, until)")
    db.execute("""
        CREATE TABLE management_keys (
            id TEXT PRIMARY KEY,
            encrypted_key BLOB NOT NULL,
            nonce BLOB NOT NULL,
            key_id TEXT NOT NULL REFERENCES vault_keys(id),
            key_hint TEXT NOT NULL,
            endpoint TEXT NOT NULL UNIQUE, -- the origin of the gateway whose keys it manages
            created_at TEXT NOT NULL,
            created_by TEXT NOT NULL
        ) STRICT""")
    # Work at the gateway that is not finished: a killed process leaves its line, from which the next one goes on.
    db.execute("""
        CREATE TABLE key_works (
            id TEXT PRIMARY KEY,
            group_name TEXT NOT NULL,
            endpoint TEXT NOT NULL,
            new_name TEXT UNIQUE, -- of the key that is made, at the gateway: by it that key is found again
            old_hash TEXT, -- SHA-256 of the key that is to go, as the gateway names it
            created_at TEXT NOT NULL,
            proof BLOB NOT NULL -- under the management key: that raptchat wrote this line
        ) STRICT""")


STEPS: list[Step] = [
    create_first_tables,
    add_what_goes_with_messages,
    add_trails_of_slots,
    add_row_sums,
    add_what_a_large_store_needs,
    add_what_many_keys_need,
]

# Of them, those that write no row of a table that was there before: its rows need not be summed up again, which
# takes longer than all else in a large store.
LEAVES_ROWS: frozenset[Step] = frozenset({add_what_a_large_store_needs, add_what_many_keys_need})
