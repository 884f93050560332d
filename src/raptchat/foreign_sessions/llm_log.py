"""The log of `llm`: the conversations in its `logs.db`.

Two forms, of which one file can hold both (simonw/llm, `llm/migrations.py`): since 0.32 a tree of `messages` with
their `parts`, into which `threads` point and of which `turns` tell model and time; before, `responses` of
`conversations`. What the first months of 2023 left in `logs` llm itself no longer shows. The file is somebody
else's: it is only read, each value and each conversation is bounded, and so is the time that a query may take.
Attachments and what tools were asked stay there.
"""

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from raptchat.errors import UsageError
from raptchat.foreign_sessions import Conversation
from raptchat.outside import safe_line, shortened
from raptchat.records import Message
from raptchat.store.connection import uri

MOST_CHARACTERS = 64 * 2**20
# What a row counts for, beside its texts, against that: a million empty ones are enough too.
_ROW_WEIGHT = 64
_MOST_MESSAGES = 20_000
_TITLE_LENGTH = 100
_SECONDS = 60.0
# Between two looks at the clock, in steps of SQLite's virtual machine.
_STEPS = 100_000
_NO_TIME = "1970-01-01T00:00:00.000000Z"
# llm-openrouter calls OpenRouter's models so.
_OPENROUTER = "openrouter/"

_TABLES = (
    *("conversations", "responses", "fragments", "prompt_fragments", "system_fragments"),
    *("threads", "turns", "messages", "parts", "attachments", "tool_calls"),
)

Row = dict[str, Any]


class LlmLog:
    """An open `logs.db`; what is wrong with the file is a `UsageError`, here and in each method."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ends, self._size = 0.0, 0
        self._db = self._opened()
        try:
            with self._errors():
                there = self._names()
                self._tables = {name: self._columns(name) if name in there else set() for name in _TABLES}
                self._responses = self._numbers()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def ids(self) -> list[str]:
        """Its conversations, the oldest first; one that a newer version went on with is there once."""
        threads: list[Row] = []
        if "id" in self._tables["threads"]:
            with self._errors():
                threads = self._rows("SELECT id FROM threads ORDER BY id")
        return list(dict.fromkeys([*self._responses, *(_text(row["id"]) for row in threads)]))

    def conversation(self, id_: str) -> Conversation:
        """The conversation with one of these ids; `UsageError` for one that is too large or damaged."""
        with self._errors():
            older = self._of_responses(id_)
        with self._errors():
            newer = self._of_thread(id_)
        # A newer version begins with all that an older one had.
        return max(older, newer, key=lambda one: len(one.messages))

    def attachments_and_tool_calls(self) -> tuple[int, int]:
        """How many of each it holds; a conversation brings neither along."""
        with self._errors():
            tool_calls = self._count("tool_calls") + self._count("parts", "type = 'tool_call'", needs="type")
            return self._count("attachments"), tool_calls

    def _of_responses(self, id_: str) -> Conversation:
        needed = {"id", "model", "prompt", "system", "response", "conversation_id", "datetime_utc"}
        if not needed <= self._tables["responses"]:
            return Conversation(id_, None, None, None, ())
        reasoning = "reasoning" if "reasoning" in self._tables["responses"] else "NULL"
        rows = self._rows(
            f"SELECT id, model, prompt, system, response, {reasoning} AS reasoning, datetime_utc AS at"
            " FROM responses WHERE rowid IN (SELECT value FROM json_each(?)) ORDER BY datetime_utc, id",
            (json.dumps(self._responses.get(id_, [])),),
        )
        named = []
        if {"id", "name"} <= self._tables["conversations"]:
            named = self._rows("SELECT name FROM conversations WHERE id = ?", (id_,))
        with_fragments = [
            {
                **row,
                "prompt": self._with_fragments("prompt_fragments", row["id"], row["prompt"]),
                "system": self._with_fragments("system_fragments", row["id"], row["system"]),
            }
            for row in rows
        ]
        return _of_rows(id_, named[0]["name"] if named else None, with_fragments)

    def _with_fragments(self, table: str, response: object, text: object) -> str:
        """*text* behind the files that went with it, as llm sent them."""
        pieces: list[object] = []
        if {"response_id", "fragment_id"} <= self._tables[table] and "content" in self._tables["fragments"]:
            rows = self._rows(
                f"SELECT content FROM {table} JOIN fragments ON fragments.id = fragment_id"
                ' WHERE response_id = ? ORDER BY "order"',
                (response,),
            )
            pieces = [row["content"] for row in rows]
        return "\n".join(filter(None, map(_text, [*pieces, text])))

    def _of_thread(self, id_: str) -> Conversation:
        nothing = Conversation(id_, None, None, None, ())
        threads = []
        if {"id", "tip_message_hash"} <= self._tables["threads"]:
            threads = self._rows(
                "SELECT name, tip_message_hash AS tip, datetime_utc AS at FROM threads WHERE id = ?", (id_,)
            )
        if not threads:
            return nothing
        turns = {
            row["tip"]: row
            for row in self._rows(
                "SELECT tip_message_hash AS tip, model, datetime_utc AS at FROM turns WHERE thread_id = ?"
                " ORDER BY id",
                (id_,),
            )
        }
        at, model = _time(threads[0]["at"]), None
        messages: list[Message] = []
        system = None
        # From the newest on: a question has the time of the turn that answered it.
        for hash_, role in self._chain(threads[0]["tip"]):
            if turn := turns.get(hash_):
                at, model = _time(turn["at"]), _model(turn["model"])
            text, reasoning = self._parts(hash_)
            if role == "system":
                system = text or system
            elif text and role == "user":
                messages.append(Message("user", text, created_at=at))
            elif text and role == "assistant":
                messages.append(_answer(text, at, model, reasoning))
        messages.reverse()
        return _conversation(id_, threads[0]["name"], system, messages)

    def _chain(self, tip: object) -> Iterator[tuple[object, str]]:
        met: set[object] = set()
        while tip is not None:
            if tip in met or len(met) == _MOST_MESSAGES:
                raise UsageError("its messages are not in a row")
            met.add(tip)
            rows = self._rows("SELECT parent_hash, role FROM messages WHERE hash = ?", (tip,))
            if not rows:
                return
            yield tip, rows[0]["role"]
            tip = rows[0]["parent_hash"]

    def _parts(self, hash_: object) -> tuple[str, str]:
        """What a message says, and what the model thought before."""
        said: list[str] = []
        thought: list[str] = []
        for row in self._rows(
            "SELECT type, text, payload FROM parts WHERE message_hash = ? AND type IN ('text', 'reasoning')"
            " ORDER BY position",
            (hash_,),
        ):
            text = _text(row["text"]) if row["text"] is not None else self._referenced(row["payload"])
            (thought if row["type"] == "reasoning" else said).append(text)
        return "".join(said), "".join(thought)

    def _referenced(self, payload: object) -> str:
        """The text of a part that borrows from fragments: a list of their ids, and of what stands between them."""
        try:
            pieces = json.loads(_text(payload))["text_ref"]
            text = "".join(
                self._fragment(piece["fragment"]) if "fragment" in piece else _text(piece["literal"])
                for piece in pieces
            )
            # JSON can hold half of a surrogate pair, which the store does not take.
            return text.encode(errors="replace").decode()
        except (ValueError, TypeError, KeyError, RecursionError):
            return ""

    def _fragment(self, id_: object) -> str:
        if not isinstance(id_, int) or "content" not in self._tables["fragments"]:
            return ""
        rows = self._rows("SELECT content FROM fragments WHERE id = ?", (id_,))
        return _text(rows[0]["content"]) if rows else ""

    def _opened(self) -> sqlite3.Connection:
        path = self._path.absolute()
        try:
            try:
                return _connected(uri(path, mode="ro"))
            except sqlite3.OperationalError:
                if any(path.with_name(path.name + end).exists() for end in ("-wal", "-journal")):
                    raise
                # In WAL mode and where nothing can be written; without those files there is nothing to miss.
                return _connected(uri(path, mode="ro", immutable="1"))
        except (sqlite3.Error, ValueError) as error:
            raise self._error(error) from None

    @contextmanager
    def _errors(self) -> Iterator[None]:
        self._ends, self._size = time.monotonic() + _SECONDS, 0
        self._db.set_progress_handler(lambda: time.monotonic() > self._ends, _STEPS)
        try:
            yield
        except (sqlite3.Error, ValueError, OverflowError) as error:
            code = getattr(error, "sqlite_errorcode", None)
            if code == sqlite3.SQLITE_INTERRUPT and time.monotonic() <= self._ends:
                # Python raised it in the handler, and SQLite took it for "stop".
                raise KeyboardInterrupt from None
            raise self._error(error) from None

    def _error(self, error: Exception) -> UsageError:
        path = safe_line(str(self._path))
        return UsageError(
            f"the log `{path}` of `llm` cannot be read: {safe_line(str(error))[:200]}", hint="llm logs status"
        )

    def _rows(self, sql: str, parameters: tuple[object, ...] = ()) -> list[Row]:
        rows = []
        for row in self._db.execute(sql, parameters):
            named = dict(row)
            texts = (len(value) for value in named.values() if isinstance(value, (str, bytes)))
            self._size += _ROW_WEIGHT + sum(texts)
            if self._size > MOST_CHARACTERS:
                raise UsageError(f"what belongs together is larger than {MOST_CHARACTERS // 2**20} MiB")
            rows.append(named)
        return rows

    def _numbers(self) -> dict[str, list[int]]:
        """The numbers of the rows of each conversation, of which the table of responses has no index."""
        found: dict[str, list[int]] = {}
        if "conversation_id" in self._tables["responses"]:
            for row in self._rows("SELECT rowid AS number, conversation_id AS id FROM responses ORDER BY 1"):
                if id_ := _text(row["id"]):
                    found.setdefault(id_, []).append(row["number"])
        return found

    def _count(self, table: str, which: str = "TRUE", *, needs: str = "id") -> int:
        if needs not in self._tables[table]:
            return 0
        [row] = self._rows(f"SELECT count(*) AS number FROM {table} WHERE {which}")
        return int(row["number"])

    def _names(self) -> set[str]:
        # Of a view each row could be the work of minutes.
        return {row["name"] for row in self._rows("SELECT name FROM sqlite_master WHERE type = 'table'")}

    def _columns(self, table: str) -> set[str]:
        return {row["name"] for row in self._rows(f"PRAGMA table_info({table})")}


def _connected(name: str) -> sqlite3.Connection:
    db = sqlite3.connect(name, uri=True, isolation_level=None)
    try:
        db.row_factory = sqlite3.Row
        db.text_factory = lambda data: data.decode(errors="replace")
        db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_CHARACTERS)
        db.execute("PRAGMA trusted_schema=OFF")
        db.execute("SELECT count(*) FROM sqlite_master")
    except BaseException:
        db.close()
        raise
    return db


def _of_rows(id_: str, name: object, rows: list[Row]) -> Conversation:
    """The conversation of *rows*, each a question with its answer."""
    system = next((text for row in rows if (text := _text(row["system"]))), None)
    messages = []
    for row in rows:
        at, model = _time(row["at"]), _model(row["model"])
        if question := _text(row["prompt"]):
            messages.append(Message("user", question, created_at=at))
        if answer := _text(row["response"]):
            messages.append(_answer(answer, at, model, _text(row.get("reasoning"))))
    return _conversation(id_, name, system, messages)


def _conversation(id_: str, name: object, system: str | None, messages: list[Message]) -> Conversation:
    first = next((one.content for one in messages if one.role == "user"), "")
    title = shortened(" ".join((_text(name) or first).split()), _TITLE_LENGTH) or None
    model = next((one.model for one in reversed(messages) if one.model), None)
    numbered = tuple(one._replace(seq=seq) for seq, one in enumerate(messages, 1))
    return Conversation(id_, title, model, system, numbered)


def _answer(text: str, at: str, model: str | None, reasoning: str) -> Message:
    return Message("assistant", text, model=model, created_at=at, reasoning=reasoning or None)


def _text(value: object) -> str:
    return value if isinstance(value, str) else str(value) if isinstance(value, int) else ""


def _model(value: object) -> str | None:
    return _text(value).removeprefix(_OPENROUTER)[:_TITLE_LENGTH] or None


def _time(value: object) -> str:
    """The time in the one form that the store uses; llm writes UTC, with or without saying so."""
    try:
        found = datetime.fromisoformat(_text(value))
        found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return _NO_TIME
    return found.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"
