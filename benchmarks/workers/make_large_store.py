"""Makes a store of many years' size in FOLDER, which becomes a `RAPTCHAT_HOME`: FOLDER [GROUPS MESSAGES].

Each group has a sealed key, and the messages and their usage are spread over two years. It is the same each time
but for the vault, the sealed keys, and the day that it ends with, which is today: `usage` without words is about
this month. Schema, keys, search index and sums are raptchat's own, so that `raptchat doctor` finds nothing wrong
with it; only the rows are put in many at a time, since a million commits would take an hour.

Words are as frequent as in a language (Zipf); what is planted is in as many messages of a million as it says.
"""
# ruff: noqa: S311 - nothing here has to be unpredictable, and the keys are no keys

import os
import random
import sqlite3
import sys
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from raptchat import Factory
from raptchat.api_key import hint_of
from raptchat.config import Settings
from raptchat.credentials.sealed_row import seal_row
from raptchat.gateway_url import origin
from raptchat.records import Credential, Group
from raptchat.secret import Secret
from raptchat.store import credentials as credential_rows
from raptchat.store import groups as group_rows
from raptchat.store import row_sums
from raptchat.store.connection import Connection

SEED = 2026
DAYS = 730
COMMON = "the"
PLANTED = {"ostrogoth": 12, "a membrane potential": 400, "植物的光合作用吸收二氧化碳。": 60}
WORDS, SENTENCES = 30_000, 50_000
LETTERS = "etaoinshrdlucmfwypvbgkqjxz"
MODELS = [
    "anthropic/claude-haiku",
    "openai/gpt-4o",
    "mistralai/mistral-small",
    "google/gemini-flash",
    "bench/model",
]
# Every third session is of one of these.
HEAVY_GROUPS = 20
LONGEST_SESSION = 2_000
# How many messages are held before they are written.
HELD = 50_000

SESSION = "id, group_id, title, model, system_prompt, created_at, last_used_at"
MESSAGE = "session_id, seq, role, content, state, model, created_at"
USAGE = (
    "group_id, group_name, session_id, credential_id, provider, model, os_user, finish_reason, input_tokens,"
    " output_tokens, cached_tokens, reasoning_tokens, cost_nano_usd, created_at"
)


class Conversations(NamedTuple):
    """Rows that are still to be written."""

    sessions: list[Sequence[object]]
    messages: list[Sequence[object]]
    usage: list[Sequence[object]]


class Author:
    """Says what is said: the next text of its *count*, of as many sentences as are asked for."""

    def __init__(self, chance: random.Random, count: int) -> None:
        self._chance = chance
        words = [COMMON, *("".join(chance.choices(LETTERS, k=chance.randrange(2, 12))) for _ in range(WORDS))]
        # Zipf's law: how frequent a word is, is one by its rank.
        weights = list(accumulate(1 / rank for rank in range(1, len(words) + 1)))
        self._sentences = [
            " ".join(chance.choices(words, cum_weights=weights, k=chance.randrange(4, 18))).capitalize() + "."
            for _ in range(SENTENCES)
        ]
        self._planted: dict[int, str] = {}
        for text, of_a_million in PLANTED.items():
            for _ in range(max(1, of_a_million * count // 1_000_000)):
                self._planted[chance.randrange(count)] = text
        self._said = 0

    def text(self, sentences: int) -> str:
        """The next text."""
        said = self._chance.choices(self._sentences, k=sentences)
        if planted := self._planted.get(self._said):
            said.append(planted)
        self._said += 1
        return " ".join(said)


def make(home: Path, groups: int, messages: int) -> None:
    """Make the store in *home*, which has none."""
    chance, now = random.Random(SEED), datetime.now(UTC)
    os.environ |= {"RAPTCHAT_HOME": str(home), "RAPTCHAT_MASTER_KEY_FILE": str(home / "master.key")}
    owners = list(_groups(chance, groups, now - timedelta(days=DAYS)))
    with Factory(Settings.load()) as factory:
        factory.vault.init("file")
        endpoint, data_key = origin(factory.settings.gateway_url), factory.vault.data_key()
        keys = [
            seal_row(data_key, *_credential(chance, group, number, endpoint), group)
            for number, group in enumerate(owners)
        ]
        file = factory.settings.paths.store
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        # Whoever fails here begins anew.
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-500000", "foreign_keys=OFF"):
            db.execute(f"PRAGMA {pragma}")
        db.execute("BEGIN")
        for table, rows in (
            ("groups", list(map(group_rows.columns, owners))),
            ("ai_credentials", list(map(credential_rows.columns, keys))),
        ):
            _insert(db, table, ", ".join(rows[0]), (list(row.values()) for row in rows))
        for part in _conversations(chance, list(zip(owners, keys, strict=True)), messages, now):
            _insert(db, "sessions", SESSION, part.sessions)
            _insert(db, "messages", MESSAGE, part.messages)
            _insert(db, "ai_usage", USAGE, part.usage)
        db.execute("INSERT INTO messages_fts (messages_fts) VALUES ('rebuild')")
        db.execute("COMMIT")
    with closing(Connection(file)) as connection, connection.write():
        row_sums.renew(connection, damaged=[])


def _groups(chance: random.Random, count: int, made: datetime) -> Iterator[Group]:
    for number in range(count):
        at = _time(made)
        yield Group(_id(chance), f"Class {number:06d}", None, chance.choice(MODELS), None, None, at, at)


def _credential(chance: random.Random, group: Group, number: int, endpoint: str) -> tuple[Credential, Secret]:
    secret = Secret(f"sk-or-v1-{number:08d}-{'0' * 40}")
    credential = Credential(
        id=_id(chance),
        group_id=group.id,
        provider="openrouter",
        encrypted_key=b"",
        nonce=b"",
        key_id="",
        key_hint=hint_of(secret),
        key_fingerprint="",
        label=None,
        base_url=None,
        endpoint=endpoint,
        is_active=True,
        created_at=group.created_at,
        updated_at=group.created_at,
        last_used_at=None,
        created_by="teacher",
    )
    return credential, secret


def _conversations(
    chance: random.Random, payers: Sequence[tuple[Group, Credential]], count: int, now: datetime
) -> Iterator[Conversations]:
    author = Author(chance, count)
    lengths = list(_lengths(chance, count))
    # No day is busier than another: a month is a share of all.
    begins = sorted(chance.random() for _ in lengths)
    part = Conversations([], [], [])
    for length, begin in zip(lengths, begins, strict=True):
        group, key = payers[_payer(chance, len(payers))]
        # A message a minute, and the last of them before now.
        start = now - timedelta(days=DAYS * (1 - begin), minutes=length)
        session, model, at = _id(chance), chance.choice(MODELS), ""
        for seq in range(1, length + 1):
            at = _time(start + timedelta(minutes=seq))
            role = "user" if seq % 2 else "assistant"
            text = author.text(1 if role == "user" else chance.randrange(2, 12))
            part.messages.append((session, seq, role, text, "complete", model, at))
            if role == "assistant":
                # Of one answer in fifty the gateway did not say what it took.
                figures = (chance.randrange(4_000), chance.randrange(900), 0, 0, chance.randrange(9_000_000))
                took = figures if chance.random() > 0.02 else (None,) * len(figures)
                whose = (group.id, group.name, session, key.id, "openrouter", model, "teacher", "stop")
                part.usage.append((*whose, *took, at))
        part.sessions.append((session, group.id, f"About {session[:8]}", model, None, _time(start), at))
        if len(part.messages) >= HELD:
            yield part
            part = Conversations([], [], [])
    yield part


def _lengths(chance: random.Random, left: int) -> Iterator[int]:
    """Of sessions, in messages: most are short, a few go on for weeks."""
    while left:
        length = min(left, 2 * int(min(LONGEST_SESSION, chance.paretovariate(1.25))))
        left -= length
        yield length


def _payer(chance: random.Random, groups: int) -> int:
    if chance.random() < 1 / 3:
        return chance.randrange(min(HEAVY_GROUPS, groups))
    return int(groups * chance.random() ** 3)


def _insert(db: sqlite3.Connection, table: str, columns: str, rows: Iterable[Sequence[object]]) -> None:
    places = ", ".join("?" * len(columns.split(",")))
    db.executemany(f"INSERT INTO {table} ({columns}) VALUES ({places})", rows)  # noqa: S608 - constants


def _id(chance: random.Random) -> str:
    return str(uuid.UUID(int=chance.getrandbits(128), version=4))


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


if __name__ == "__main__":
    folder, *sizes = sys.argv[1:]
    make(Path(folder).absolute(), *(map(int, sizes) if sizes else (100_000, 1_000_000)))
