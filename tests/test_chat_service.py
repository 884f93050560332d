"""One message and its reply: what is sent, what is kept, and what is booked, however it ends."""

import hashlib
import itertools
import json
import os
import signal
import sqlite3
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import rows

from raptchat import (
    AiNotConfiguredError,
    AuthenticationFailedError,
    ChatService,
    ContentChunk,
    CredentialService,
    DoneChunk,
    Factory,
    GatewayError,
    GroupNotFoundError,
    IncompleteReplyError,
    ReasoningChunk,
    RetryChunk,
    SessionNotFoundError,
    StoreError,
    UsageError,
)
from raptchat.config import Settings
from raptchat.demo import DEMO_KEY, Answer, DemoGateway
from raptchat.errors import (
    ContentRefusedError,
    GatewayTimeoutError,
    InsufficientCreditError,
    InvalidResponseError,
    ModelNotAvailableError,
    RaptchatError,
    RateLimitedError,
)
from raptchat.models import Models
from raptchat.records import Attachment, Chunk, Group, Message, Session
from raptchat.vault import Vault

BEGINNING = "The beginning of a reply"


@dataclass(frozen=True, slots=True)
class Desk:
    """A group with a key and a session, and the gateway that its requests go to."""

    factory: Factory
    service: ChatService
    group: Group
    credential_id: str
    session: Session
    gateway: DemoGateway
    home: Path

    def send(self, text: str = "hello", **arguments: Any) -> "tuple[str, DoneChunk | None, RaptchatError | None]":
        """The text that was shown, and how it ended."""
        shown, done, error = "", None, None
        try:
            for chunk in self.service.send_message(self.session.id, text, **arguments):
                if isinstance(chunk, ContentChunk):
                    shown += chunk.text
                if isinstance(chunk, DoneChunk):
                    done = chunk
        except RaptchatError as raised:
            error = raised
        return shown, done, error

    def messages(self) -> list[tuple[Any, ...]]:
        return rows(self.home, "SELECT role, content, state FROM messages ORDER BY seq")

    def usage(self, columns: str = "*") -> list[tuple[Any, ...]]:
        return rows(self.home, f"SELECT {columns} FROM ai_usage")  # noqa: S608

    def last_used(self) -> str | None:
        [(when,)] = rows(self.home, "SELECT last_used_at FROM ai_credentials")
        return None if when is None else str(when)

    def sent(self) -> list[tuple[str, str]]:
        """The messages of the last request."""
        return [(one["role"], one["content"]) for one in self.gateway.requests[-1].body["messages"]]


@pytest.fixture
def desk(gateway: DemoGateway, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setenv("AI_MAX_RETRIES", "0")
    monkeypatch.setenv("AI_DEFAULT_MODEL", "demo/echo")
    with Factory(Settings.load()) as factory:
        factory.vault.init("file", path=home / "master.key")
        with factory.store.write():
            group = factory.store.groups.add("biology")
        credential = CredentialService(factory).create(group.id, DEMO_KEY)
        service = ChatService(factory)
        session = service.create_session(group.id)
        yield Desk(factory, service, group, credential.id, session, gateway, home)


def until(true: Callable[[], bool]) -> None:
    """Wait for another thread, ten seconds at most."""
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


def test_a_message_and_its_reply_are_stored_and_booked(desk: Desk) -> None:
    shown, done, error = desk.send("What is osmosis?")

    assert error is None
    assert shown == "What is osmosis?"
    assert done is not None
    assert done.content == shown
    assert (done.model, done.finish_reason, done.credential_id) == ("demo/echo", "stop", desk.credential_id)
    assert desk.messages() == [
        ("user", "What is osmosis?", "complete"),
        ("assistant", "What is osmosis?", "complete"),
    ]
    [usage] = desk.usage(
        "group_id, group_name, session_id, credential_id, provider, model, os_user, generation_id, finish_reason,"
        " input_tokens, output_tokens, total_tokens, cached_tokens, reasoning_tokens, cost_nano_usd"
    )
    assert usage == (
        *(desk.group.id, "biology", desk.session.id, desk.credential_id, "openrouter", "demo/echo"),
        *(desk.factory.caller.os_user, "gen-demo-1", "stop", 3, 3, 6, 0, 0, 18_000),
    )
    assert desk.last_used()
    assert desk.gateway.requests[-1].api_key == DEMO_KEY


def test_nothing_is_done_before_the_first_chunk_is_asked_for(desk: Desk) -> None:
    desk.service.send_message(desk.session.id, "hello").close()

    assert desk.gateway.requests == []
    assert desk.messages() == []


def test_the_users_message_is_stored_before_the_request_is_sent(desk: Desk) -> None:
    seen: list[list[tuple[Any, ...]]] = []

    def body() -> Iterator[bytes]:
        seen.append(desk.messages())
        yield b'data: {"choices":[{"delta":{"content":"hi"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'

    desk.gateway.answer(Answer(body=body()))
    desk.send("stored first?")

    assert seen == [[("user", "stored first?", "complete")]]


def test_the_reply_is_stored_as_it_arrives(desk: Desk) -> None:
    stream = desk.service.send_message(desk.session.id, "hello", model="demo/slow")
    with closing(stream):
        first = next(chunk for chunk in stream if isinstance(chunk, ContentChunk))

        assert desk.messages()[1:] == [("assistant", first.text, "incomplete")]
        assert desk.usage() == []
        assert desk.last_used() is None


def test_what_arrived_is_stored_also_while_nothing_more_comes(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raptchat.turn.AUTOSAVE_SECONDS", 0.02)
    kept: list[bool] = []

    def watch() -> None:
        until(lambda: desk.messages()[1:] == [("assistant", BEGINNING, "incomplete")])
        kept.append(True)
        desk.gateway.stop()

    watcher = threading.Thread(target=watch)
    watcher.start()
    shown, _, error = desk.send(model="demo/stall")
    watcher.join()

    assert kept
    assert shown == BEGINNING
    assert isinstance(error, IncompleteReplyError)


class UnconfirmedCommit:
    """A connection whose disk fails once, when a reply is first saved: after the journal is gone (fsync(2))."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.failed = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        reply = "SELECT 1 FROM messages WHERE role = 'assistant'"
        fails = sql == "COMMIT" and not self.failed and self._connection.execute(reply).fetchone()
        cursor = self._connection.execute(sql, *parameters)
        if fails:
            self.failed = True
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorname = "SQLITE_IOERR_DIR_FSYNC"
            raise error
        return cursor


def test_a_save_that_stands_though_the_disk_failed_is_gone_on_with(desk: Desk) -> None:
    connection = desk.factory.store._connection
    connection.raw = disk = UnconfirmedCommit(connection.raw)  # type: ignore[assignment]
    shown, done, error = desk.send("one two three")

    assert disk.failed
    assert (done is not None, error) == (True, None)
    assert desk.messages() == [("user", "one two three", "complete"), ("assistant", shown, "complete")]


def test_an_autosave_that_fails_ends_quietly_and_the_last_save_says_why(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raptchat.turn.AUTOSAVE_SECONDS", 0.01)
    stream = desk.service.send_message(desk.session.id, "one two three four", model="demo/slow")
    shown = [next(chunk for chunk in stream if isinstance(chunk, ContentChunk))]
    desk.factory.store._connection.execute("PRAGMA query_only = ON")

    with pytest.raises(StoreError, match="read-only"):
        shown.extend(chunk for chunk in stream if isinstance(chunk, ContentChunk))

    assert "".join(chunk.text for chunk in shown) == "One word after the other"
    assert [thread.name for thread in threading.enumerate() if thread.name == "autosave"] == []


def test_where_no_thread_can_be_started_a_reply_is_stored_at_its_end(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(
        thread: threading.Thread, start: Callable[[threading.Thread], None] = threading.Thread.start
    ) -> None:
        if thread.name == "autosave":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    shown, done, error = desk.send("one two three")

    assert (done is not None, error) == (True, None)
    assert desk.messages()[1] == ("assistant", shown, "complete")


def test_while_a_private_reply_comes_the_store_is_left_alone(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raptchat.turn.AUTOSAVE_SECONDS", 0.001)
    stream = desk.service.send_private(desk.group.id, [Message("user", "hello")], model="demo/slow")
    next(chunk for chunk in stream if isinstance(chunk, ContentChunk))
    statements: list[str] = []
    desk.factory.store._connection.raw.set_trace_callback(statements.append)

    come = [next(stream) for _ in range(2)]

    assert all(isinstance(chunk, ContentChunk) for chunk in come)
    assert statements == []
    stream.close()


@pytest.mark.no_cover
def test_a_long_reply_takes_less_than_four_bytes_for_each_of_its_own(desk: Desk) -> None:
    token = b'data: {"choices":[{"delta":{"content":"tokens "}}]}\n\n'
    ending = b'data: {"choices":[{"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'

    def most_memory(tokens: int) -> int:
        body = (token * 50 for _ in range(tokens // 50))
        desk.gateway.answer(Answer(body=itertools.chain(body, [ending])))
        stream = desk.service.send_private(desk.group.id, [Message("user", "hello")])
        next(chunk for chunk in stream if isinstance(chunk, ContentChunk))
        tracemalloc.start()
        try:
            size = sum(len(chunk.text) for chunk in stream if isinstance(chunk, ContentChunk))
            assert 7 * tokens - 10_000 < size < 7 * tokens
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    short, long = most_memory(5_000), most_memory(50_000)

    assert long - short < 4 * 7 * 45_000


@pytest.mark.parametrize("model", ["demo/reply", "demo/echo", "demo/bytes", "demo/length", "demo/reasoning"])
def test_a_reply_that_ended_well_counts_as_a_use_of_the_key(desk: Desk, model: str) -> None:
    shown, done, error = desk.send(model=model)

    assert error is None
    assert done is not None
    assert done.content == shown
    assert desk.messages() == [("user", "hello", "complete"), ("assistant", shown, "complete")]
    assert len(desk.usage()) == 1
    assert desk.last_used()
    assert desk.usage("finish_reason") == [("length" if model == "demo/length" else "stop",)]


@pytest.mark.parametrize("model", ["demo/cut", "demo/hangup", "demo/reset", "demo/error-midstream", "demo/stall"])
def test_what_arrived_of_a_reply_that_was_cut_is_kept(desk: Desk, model: str) -> None:
    shown, done, error = desk.send(model=model, timeout=0.5)

    assert done is None
    if shown:
        assert isinstance(error, IncompleteReplyError)
        assert isinstance(error.partial, DoneChunk)
        assert error.partial.credential_id == desk.credential_id
        assert desk.messages() == [("user", "hello", "complete"), ("assistant", shown, "incomplete")]
        assert BEGINNING.startswith(shown)
        assert len(desk.usage()) == 1
    else:  # a reset may overtake what was sent before it
        assert model == "demo/reset"
    assert desk.last_used() is None


def test_an_empty_reply_is_an_error_that_is_booked_and_no_use_of_the_key(desk: Desk) -> None:
    shown, done, error = desk.send(model="demo/empty")

    assert (shown, done) == ("", None)
    assert isinstance(error, IncompleteReplyError)
    assert str(error) == "the reply was empty (finish reason `stop`)"
    assert desk.messages() == [("user", "hello", "complete")]
    assert desk.usage("finish_reason, input_tokens") == [("stop", 1)]
    assert desk.last_used() is None


@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("demo/status-400", GatewayError),
        ("demo/status-401", AuthenticationFailedError),
        ("demo/status-402", InsufficientCreditError),
        ("demo/status-403", ContentRefusedError),
        ("demo/status-404", ModelNotAvailableError),
        ("demo/status-429", RateLimitedError),
        ("demo/status-500", GatewayError),
        ("demo/html", InvalidResponseError),
        ("demo/garbage", InvalidResponseError),
        ("demo/not-http", InvalidResponseError),
    ],
)
def test_a_refused_question_is_marked_costs_nothing_and_is_not_asked_again(
    desk: Desk, model: str, error: type[RaptchatError]
) -> None:
    _, _, raised = desk.send("refused", model=model)

    assert isinstance(raised, error)
    assert desk.messages() == [("user", "refused", "failed")]
    assert desk.usage() == []
    assert desk.last_used() is None
    desk.send("another")
    assert desk.sent() == [("user", "another")]


@pytest.mark.parametrize("model", ["demo/hang", "demo/keepalives"])
def test_a_request_that_nobody_answers_in_time_is_booked_as_unknown(desk: Desk, model: str) -> None:
    _, _, error = desk.send(model=model, timeout=0.2)

    assert isinstance(error, GatewayTimeoutError)
    assert desk.messages() == [("user", "hello", "failed")]
    assert desk.usage("total_tokens, cost_nano_usd") == [(None, None)]
    assert desk.last_used() is None


def test_an_option_that_cannot_be_sent_is_refused_and_not_booked(desk: Desk) -> None:
    _, _, error = desk.send(options={"messages": []})

    assert isinstance(error, UsageError)
    assert desk.gateway.requests == []
    assert desk.usage() == []
    assert desk.messages() == [("user", "hello", "failed")]


@pytest.mark.parametrize("ending", [KeyboardInterrupt, GeneratorExit, RuntimeError])
def test_whoever_ends_a_reply_keeps_what_had_arrived(desk: Desk, ending: type[BaseException]) -> None:
    stream = desk.service.send_message(desk.session.id, "hello", model="demo/endless")
    shown = ""
    while len(shown) < 20:
        chunk = next(stream)
        shown += chunk.text if isinstance(chunk, ContentChunk) else ""

    with pytest.raises(ending):
        stream.throw(ending)

    assert desk.messages() == [("user", "hello", "complete"), ("assistant", shown, "incomplete")]
    assert desk.usage("model, total_tokens, cost_nano_usd") == [("demo/endless", None, None)]
    assert desk.last_used() is None
    assert [thread.name for thread in threading.enumerate() if thread.name == "autosave"] == []


def test_a_request_that_was_interrupted_before_its_reply_is_booked_all_the_same(desk: Desk) -> None:
    stream = desk.service.send_message(desk.session.id, "hello", model="demo/reasoning")
    assert isinstance(next(stream), ReasoningChunk)  # the gateway began to answer
    stream.close()

    assert desk.messages() == [("user", "hello", "complete")]
    assert desk.usage("model, generation_id, total_tokens") == [("demo/reasoning", "gen-demo-1", None)]
    assert desk.last_used() is None


class Ended(BaseException):
    """What the handler of SIGTERM raises here."""


@pytest.fixture
def handlers() -> Iterator[None]:
    """SIGINT and SIGTERM raise, as they do in the command."""

    def end(*_: object) -> None:
        raise Ended

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, end)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


# What another connection does, and which of ours then waits for it.
WRITER = (("BEGIN IMMEDIATE",), "BEGIN IMMEDIATE")
READER = (("BEGIN", "SELECT * FROM groups"), "COMMIT")


@contextmanager
def held(home: Path, statements: tuple[str, ...]) -> Iterator[sqlite3.Connection]:
    """The store in the hands of another connection, until it is closed or rolls back."""
    with closing(sqlite3.connect(home / "raptchat.db", isolation_level=None, check_same_thread=False)) as other:
        for statement in statements:
            other.execute(statement).fetchall()
        yield other


def waits_for(statement: str) -> bool:
    """Whether the main thread is at this statement."""
    main = threading.main_thread().ident
    assert main is not None
    frame = sys._current_frames()[main]
    if statement == "BEGIN IMMEDIATE":
        return frame.f_code.co_name == "_begin_writing"  # between two tries
    return frame.f_code.co_name == "execute" and frame.f_locals.get("sql") == statement


@contextmanager
def signalled(
    home: Path, numbers: tuple[signal.Signals, ...], lock: tuple[tuple[str, ...], str]
) -> Iterator[None]:
    """Another connection holds the store, and lets go once the signals came while the main thread waits."""
    statements, waiting = lock
    with held(home, statements) as other:

        def interrupt() -> None:
            try:
                until(lambda: waits_for(waiting))
                for number in numbers:
                    os.kill(os.getpid(), number)
            finally:
                other.rollback()

        thread = threading.Thread(target=interrupt)
        thread.start()
        yield
        thread.join()


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("lock", [WRITER, READER], ids=["writer", "reader"])
@pytest.mark.parametrize(
    "numbers",
    [(signal.SIGINT,), (signal.SIGTERM,), (signal.SIGINT, signal.SIGTERM)],
    ids=["SIGINT", "SIGTERM", "both"],
)
def test_a_signal_while_the_last_save_waits_for_the_store_loses_nothing(
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
    numbers: tuple[signal.Signals, ...],
    lock: tuple[tuple[str, ...], str],
) -> None:
    monkeypatch.setattr("raptchat.turn.AUTOSAVE_SECONDS", 60)
    stream = desk.service.send_message(desk.session.id, "one two three")
    next(chunk for chunk in stream if isinstance(chunk, ContentChunk))

    with signalled(desk.home, numbers, lock), pytest.raises((KeyboardInterrupt, Ended)):
        list(stream)

    assert desk.messages() == [("user", "one two three", "complete"), ("assistant", "one two three", "complete")]
    assert desk.usage("finish_reason, total_tokens, cost_nano_usd") == [("stop", 6, 18_000)]
    assert desk.last_used()


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("lock", [WRITER, READER], ids=["writer", "reader"])
def test_a_second_signal_waits_until_a_reply_that_was_stopped_is_stored(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, lock: tuple[tuple[str, ...], str]
) -> None:
    monkeypatch.setattr("raptchat.turn.AUTOSAVE_SECONDS", 60)
    stream = desk.service.send_message(desk.session.id, "hello", model="demo/endless")
    shown = "".join(next(stream).text for _ in range(20))  # type: ignore[union-attr]

    with signalled(desk.home, (signal.SIGTERM, signal.SIGINT), lock), pytest.raises((KeyboardInterrupt, Ended)):
        stream.throw(KeyboardInterrupt)

    assert desk.messages() == [("user", "hello", "complete"), ("assistant", shown, "incomplete")]
    assert desk.usage("model, total_tokens") == [("demo/endless", None)]
    assert desk.last_used() is None


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("lock", [WRITER, READER], ids=["writer", "reader"])
def test_a_signal_while_the_first_text_is_stored_does_not_store_it_twice(
    desk: Desk, lock: tuple[tuple[str, ...], str]
) -> None:
    with held(desk.home, ()) as other:

        def body() -> Iterator[bytes]:
            for statement in lock[0]:
                other.execute(statement).fetchall()
            yield b'data: {"choices":[{"delta":{"content":"hi"}}]}\n\n'
            until(lambda: waits_for(lock[1]))
            os.kill(os.getpid(), signal.SIGINT)
            other.rollback()

        desk.gateway.answer(Answer(body=body(), ending="hang"))
        with pytest.raises(KeyboardInterrupt):
            list(desk.service.send_message(desk.session.id, "hello"))

    assert desk.messages() == [("user", "hello", "complete"), ("assistant", "hi", "incomplete")]
    assert len(desk.usage()) == 1


@pytest.mark.usefixtures("handlers")
def test_a_signal_after_the_end_of_an_empty_reply_books_it_once(desk: Desk) -> None:
    stream = desk.service.send_message(desk.session.id, "hello", model="demo/reasoning")
    next(stream)
    with signalled(desk.home, (signal.SIGINT,), WRITER), pytest.raises(KeyboardInterrupt):
        stream.close()

    assert desk.messages() == [("user", "hello", "complete")]
    assert len(desk.usage()) == 1


def test_in_a_thread_of_its_own_a_reply_is_stored_as_anywhere(desk: Desk) -> None:
    ended: list[tuple[str, DoneChunk | None, RaptchatError | None]] = []
    thread = threading.Thread(target=lambda: ended.append(desk.send("from a thread")))
    thread.start()
    thread.join()

    [(shown, done, error)] = ended
    assert (shown, error) == ("from a thread", None)
    assert done is not None
    assert desk.messages()[1] == ("assistant", "from a thread", "complete")


@pytest.mark.parametrize("lock", [WRITER, READER], ids=["writer", "reader"])
def test_a_beginning_that_could_not_be_stored_is_stored_with_the_rest(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, lock: tuple[tuple[str, ...], str]
) -> None:
    monkeypatch.setattr("raptchat.turn.AUTOSAVE_SECONDS", 60)
    monkeypatch.setattr("raptchat.store.connection.BUSY_SECONDS", 0.05)
    with held(desk.home, ()) as other:

        def body() -> Iterator[bytes]:
            for statement in lock[0]:
                other.execute(statement).fetchall()
            yield b'data: {"choices":[{"delta":{"content":"one "}}]}\n\n'
            yield b'data: {"choices":[{"delta":{"content":"two"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'

        desk.gateway.answer(Answer(body=body()))
        stream = desk.service.send_message(desk.session.id, "hello")
        assert next(stream) == ContentChunk("one ")
        assert desk.messages() == [("user", "hello", "complete")]
        other.rollback()
        # What another process says meanwhile takes the number that the beginning would have had.
        with Factory(Settings.load()) as meanwhile, meanwhile.store.write():
            meanwhile.store.sessions.add_message(desk.session.id, "user", "me too")
        assert isinstance(list(stream)[-1], DoneChunk)

    assert desk.messages() == [
        ("user", "hello", "complete"),
        ("user", "me too", "complete"),
        ("assistant", "one two", "complete"),
    ]


def test_the_reply_is_stored_as_soon_as_a_store_that_was_busy_is_free(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raptchat.turn.AUTOSAVE_SECONDS", 0.01)
    monkeypatch.setattr("raptchat.store.connection.BUSY_SECONDS", 0.01)
    connection = desk.factory.store._connection
    attempts: list[str] = []
    with held(desk.home, ()) as other:

        def body() -> Iterator[bytes]:
            other.execute("BEGIN IMMEDIATE")
            attempts.clear()
            yield b'data: {"choices":[{"delta":{"content":"hi"}}]}\n\n'
            until(lambda: attempts.count("BEGIN IMMEDIATE") >= 4)  # each but the last has failed
            assert desk.messages() == [("user", "hello", "complete")]
            other.rollback()
            until(lambda: desk.messages()[1:] == [("assistant", "hi", "incomplete")])
            yield b"data: [DONE]\n\n"

        connection.raw.set_trace_callback(attempts.append)
        desk.gateway.answer(Answer(body=body()))
        shown, done, error = desk.send()

    assert (shown, error) == ("hi", None)
    assert done is not None
    assert desk.messages()[1] == ("assistant", "hi", "complete")


def test_a_conversation_goes_on_after_a_cut_reply(desk: Desk) -> None:
    desk.send("first", model="demo/cut")
    desk.send("second")

    assert desk.sent() == [("user", "first"), ("assistant", BEGINNING), ("user", "second")]
    assert [row[0] for row in rows(desk.home, "SELECT seq FROM messages ORDER BY seq")] == [1, 2, 3, 4]


def test_the_context_is_the_system_prompt_the_last_twenty_messages_and_the_new_one(desk: Desk) -> None:
    session = desk.service.create_session(desk.group.id, system="Be brief.")
    with desk.factory.store.write():
        for number in range(25):
            role = "assistant" if number % 2 else "user"
            desk.factory.store.sessions.add_message(session.id, role, f"message {number}")  # type: ignore[arg-type]

    list(desk.service.send_message(session.id, "the new one"))

    sent = desk.sent()
    assert sent[0] == ("system", "Be brief.")
    assert [content for _, content in sent[1:]] == [*(f"message {n}" for n in range(5, 25)), "the new one"]


@pytest.mark.parametrize(("limit", "sent"), [(0, ["third"]), (1, ["second", "third"])])
def test_how_many_earlier_messages_go_along_is_a_setting(desk: Desk, limit: int, sent: list[str]) -> None:
    desk.send("first")
    desk.send("second")
    (desk.home / "config.toml").write_text(f"history_messages = {limit}\n")

    with Factory(Settings.load()) as factory:
        list(ChatService(factory).send_message(desk.session.id, "third"))

    assert [content for _, content in desk.sent()] == sent


def test_the_sessions_system_prompt_wins_over_the_groups(desk: Desk) -> None:
    with desk.factory.store.write():
        desk.factory.store.groups.set(desk.group.id, system_prompt="Of the group.")
    desk.send()
    assert desk.sent()[0] == ("system", "Of the group.")

    own = desk.service.create_session(desk.group.id, system="Of the session.")
    list(desk.service.send_message(own.id, "hello"))
    assert desk.sent()[0] == ("system", "Of the session.")


def test_the_model_is_what_was_asked_for_or_the_sessions_the_groups_or_the_default(desk: Desk) -> None:
    def model_of(session: Session, **arguments: str) -> object:
        list(desk.service.send_message(session.id, "hello", **arguments))  # type: ignore[arg-type]
        return desk.gateway.requests[-1].body["model"]

    assert model_of(desk.session) == "demo/echo"
    with desk.factory.store.write():
        desk.factory.store.groups.set(desk.group.id, model="demo/reply")
    assert model_of(desk.session) == "demo/reply"
    own = desk.service.create_session(desk.group.id, model="demo/bytes")
    assert model_of(own) == "demo/bytes"
    assert model_of(own, model="demo/length") == "demo/length"
    group = desk.factory.store.groups.get(desk.group.id)
    assert group is not None
    assert desk.service.model_for(group, None) == "demo/reply"
    assert desk.service.model_for(group, own) == "demo/bytes"
    assert desk.service.model_for(group, own, "x/y") == "x/y"


def test_options_are_sent_and_a_session_has_its_id_at_the_gateway(desk: Desk) -> None:
    desk.send(options={"temperature": 0.5})

    body = desk.gateway.requests[-1].body
    assert body["temperature"] == 0.5
    assert body["session_id"] == desk.session.id


def test_a_wait_for_another_attempt_is_told_and_the_reply_is_booked_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AI_MAX_RETRIES", "1")
    with Factory(Settings.load()) as factory:
        chunks = list(ChatService(factory).send_message(desk.session.id, "hello", model="demo/flaky-1"))

    assert isinstance(chunks[0], RetryChunk)
    assert isinstance(chunks[-1], DoneChunk)
    assert len(desk.usage()) == 1
    assert len(desk.gateway.requests) == 2


def test_a_group_without_a_key_leaves_no_trace(desk: Desk) -> None:
    with desk.factory.store.write():
        other = desk.factory.store.groups.add("history")
    session = desk.service.create_session(other.id)

    with pytest.raises(AiNotConfiguredError):
        next(desk.service.send_message(session.id, "hello"))

    assert desk.messages() == desk.usage() == []
    assert desk.gateway.requests == []


def test_a_session_is_paid_by_its_own_group(desk: Desk) -> None:
    with desk.factory.store.write():
        other = desk.factory.store.groups.add("history")
    theirs = CredentialService(desk.factory).create(other.id, DEMO_KEY + "-history")
    session = desk.service.create_session(other.id)

    list(desk.service.send_message(session.id, "hello"))

    assert desk.gateway.requests[-1].api_key == DEMO_KEY + "-history"
    assert desk.usage("group_id, credential_id, session_id") == [(other.id, theirs.id, session.id)]
    assert rows(desk.home, "SELECT group_id FROM ai_credentials WHERE last_used_at NOTNULL") == [(other.id,)]


def test_an_unknown_session_is_an_error(desk: Desk) -> None:
    with pytest.raises(SessionNotFoundError, match="there is no session `no such thing`"):
        next(desk.service.send_message("no such thing", "hello"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [("", "empty"), (" \n\t", "empty"), ("a\0b", "NUL character at position 1"), ("ab\udcff", "position 2")],
)
def test_a_prompt_that_cannot_be_sent_is_refused_and_not_stored(desk: Desk, text: str, problem: str) -> None:
    _, _, error = desk.send(text)

    assert isinstance(error, UsageError)
    assert problem in str(error)
    assert desk.messages() == []
    assert desk.gateway.requests == []


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("  What is\n osmosis? ", "What is osmosis?"),
        ("x" * 60, "x" * 60),
        ("word " * 30, ("word " * 12).rstrip()[:59].rstrip() + "…"),
    ],
)
def test_a_session_is_called_after_its_first_message(desk: Desk, text: str, title: str) -> None:
    desk.send(text)
    desk.send("second")

    assert rows(desk.home, "SELECT title FROM sessions") == [(title,)]


def test_ten_megabytes_go_there_and_back(desk: Desk) -> None:
    text = "0123456789abcde\n" * (10 * 2**20 // 16)

    done = desk.send(text, model="demo/length")[1]

    assert done is not None
    assert desk.messages()[0] == ("user", text, "complete")


def fail_on(home: Path, table: str, condition: str = "") -> None:
    """Make every further row of a table an error, as a disk that fails does."""
    with closing(sqlite3.connect(home / "raptchat.db")) as db, db:
        db.execute(
            f"CREATE TRIGGER broken BEFORE INSERT ON {table} {condition} BEGIN SELECT RAISE(ABORT, 'no more'); END"
        )


def test_a_reply_that_cannot_be_stored_was_shown_and_the_error_says_so(desk: Desk) -> None:
    fail_on(desk.home, "ai_usage")

    shown, done, error = desk.send("shown all the same")

    assert shown == "shown all the same"
    assert done is None
    assert type(error) is StoreError
    assert error.exit_code == 74
    assert desk.messages()[1][2] == "incomplete"
    assert desk.last_used() is None


def test_a_reply_of_which_not_even_the_beginning_can_be_stored_is_shown(desk: Desk) -> None:
    fail_on(desk.home, "messages", "WHEN new.role = 'assistant'")

    shown, done, error = desk.send("shown all the same")

    assert (shown, done) == ("shown all the same", None)
    assert type(error) is StoreError
    assert desk.messages() == [("user", "shown all the same", "complete")]


def test_a_disk_that_fills_up_under_a_reply_is_an_error_and_the_store_still_opens(desk: Desk) -> None:
    text = "word " * 20_000
    stream = desk.service.send_message(desk.session.id, text)
    shown = [next(chunk for chunk in stream if isinstance(chunk, ContentChunk)).text]
    connection = desk.factory.store._connection
    [(pages,)] = connection.execute("PRAGMA page_count").fetchall()
    connection.execute(f"PRAGMA max_page_count = {pages}")

    with pytest.raises(StoreError, match="the disk is full"):
        shown.extend(chunk.text for chunk in stream if isinstance(chunk, ContentChunk))

    # In one piece of the stream or in several: all of it was yielded before the error.
    assert "".join(shown) == text
    assert desk.messages()[0] == ("user", text, "complete")
    assert desk.messages()[1] == ("assistant", shown[0], "incomplete")
    connection.execute(f"PRAGMA max_page_count = {pages * 100}")
    assert desk.send("again")[2] is None


def test_a_message_that_cannot_be_stored_is_not_sent(desk: Desk) -> None:
    fail_on(desk.home, "messages")

    assert type(desk.send()[2]) is StoreError
    assert desk.gateway.requests == []


def test_a_key_that_is_deleted_while_its_reply_comes_does_not_lose_the_reply(desk: Desk) -> None:
    stream = desk.service.send_message(desk.session.id, "one two three")
    first = next(chunk for chunk in stream if isinstance(chunk, ContentChunk))
    with Factory(Settings.load()) as other:
        CredentialService(other).delete(desk.credential_id)

    rest = list(stream)

    assert isinstance(rest[-1], DoneChunk)
    assert first.text.startswith("one")
    assert desk.messages()[1] == ("assistant", "one two three", "complete")
    assert len(desk.usage()) == 1


@pytest.mark.parametrize("what", ["session", "group"])
def test_a_reply_to_what_is_removed_meanwhile_is_still_booked(desk: Desk, what: str) -> None:
    stream = desk.service.send_message(desk.session.id, "one two three")
    next(chunk for chunk in stream if isinstance(chunk, ContentChunk))
    with Factory(Settings.load()) as other, other.store.write():
        if what == "session":
            other.store.sessions.remove(desk.session.id)
        else:
            other.store.groups.remove(desk.group.id)

    assert isinstance(list(stream)[-1], DoneChunk)
    assert desk.messages() == []
    assert desk.usage("group_name, total_tokens") == [("biology", 6)]


@pytest.mark.parametrize("what", ["session", "group"])
@pytest.mark.parametrize(
    ("event", "outcome"),
    [
        ('{"choices":[{"delta":{"content":"hi"},"finish_reason":"stop"}]}', None),
        ('{"choices":[{"delta":{"content":"hi"},"finish_reason":"error"}]}', IncompleteReplyError),
        ('{"choices":[{"delta":{},"finish_reason":"stop"}]}', IncompleteReplyError),
    ],
    ids=["whole", "cut", "empty"],
)
def test_a_request_of_what_is_removed_before_its_first_text_is_booked(
    desk: Desk, what: str, event: str, outcome: type[RaptchatError] | None
) -> None:
    def body() -> Iterator[bytes]:
        with Factory(Settings.load()) as other, other.store.write():
            if what == "session":
                other.store.sessions.remove(desk.session.id)
            else:
                other.store.groups.remove(desk.group.id)
        yield f"data: {event}\n\ndata: [DONE]\n\n".encode()

    desk.gateway.answer(Answer(body=body()))
    _, done, error = desk.send()

    assert (error and type(error)) == outcome
    assert (done is None) == (outcome is not None)
    assert desk.messages() == []
    assert desk.usage("group_id, group_name, session_id, credential_id") == [
        (desk.group.id, "biology", desk.session.id, desk.credential_id)
    ]


def test_a_question_of_a_session_that_was_removed_meanwhile_is_refused_as_any_other(desk: Desk) -> None:
    def body() -> Iterator[bytes]:
        with Factory(Settings.load()) as other, other.store.write():
            other.store.groups.remove(desk.group.id)
        yield b"{}"

    desk.gateway.answer(Answer(401, {}, body()))
    _, _, error = desk.send()

    assert isinstance(error, AuthenticationFailedError)
    assert str(error).endswith("(group `biology`)")
    assert desk.messages() == desk.usage() == []


def test_a_session_that_is_removed_while_the_vault_opens_is_not_found(desk: Desk) -> None:
    class Slow(Factory):
        """A factory whose vault opens as slowly as another terminal needs to remove the session."""

        @property
        def vault(self) -> Vault:
            with desk.factory.store.write():
                desk.factory.store.sessions.remove(desk.session.id)
            return super().vault

    with Slow(Settings.load()) as slow, pytest.raises(SessionNotFoundError):
        list(ChatService(slow).send_message(desk.session.id, "hello"))

    assert desk.gateway.requests == []


def test_an_unknown_group_has_no_session_and_no_private_message(desk: Desk) -> None:
    with pytest.raises(GroupNotFoundError, match="no group with the id `nobody`"):
        desk.service.create_session("nobody")
    with pytest.raises(GroupNotFoundError, match="no group with the id `nobody`"):
        list(desk.service.send_private("nobody", [Message("user", "hello")]))

    assert desk.gateway.requests == []
    assert rows(desk.home, "SELECT count(*) FROM sessions") == [(1,)]


def test_no_private_message_at_all_is_an_empty_prompt(desk: Desk) -> None:
    with pytest.raises(UsageError, match="the prompt is empty"):
        private(desk, [])

    assert desk.gateway.requests == []


def private(desk: Desk, messages: list[Message], **arguments: Any) -> list[Chunk]:
    return list(desk.service.send_private(desk.group.id, messages, **arguments))


def test_a_private_message_that_could_not_be_booked_is_not_sent(desk: Desk) -> None:
    desk.factory.store._connection.execute("PRAGMA query_only = ON")

    with pytest.raises(StoreError, match="read-only"):
        private(desk, [Message("user", "hello")])

    assert desk.gateway.requests == []


def test_of_a_private_message_nothing_but_the_usage_is_stored(desk: Desk) -> None:
    chunks = private(desk, [Message("user", "a private matter")], system="In private.")

    assert isinstance(chunks[-1], DoneChunk)
    assert chunks[-1].content == "a private matter"
    assert desk.sent() == [("system", "In private."), ("user", "a private matter")]
    assert "session_id" not in desk.gateway.requests[-1].body
    assert desk.messages() == []
    assert desk.usage("session_id, total_tokens") == [(None, 8)]
    assert desk.last_used()
    desk.factory.close()
    data = b"".join(path.read_bytes() for path in desk.home.iterdir())
    assert b"private matter" not in data
    assert b"In private" not in data


def test_of_a_private_attachment_and_what_was_thought_about_it_nothing_is_stored(desk: Desk) -> None:
    content = b"a private picture"
    file = Attachment("mine.png", "image/png", hashlib.sha256(content).hexdigest(), len(content), content)
    question = Message("user", "a private matter", attachments=(file,))

    done = private(desk, [question], model="demo/thinking")[-1]

    assert isinstance(done, DoneChunk)
    assert "private matter" in done.reasoning
    assert len(desk.gateway.requests[-1].body["messages"][0]["content"]) == 2
    desk.factory.close()
    data = b"".join(path.read_bytes() for path in desk.home.iterdir())
    for secret in (b"private matter", content, file.hash.encode(), b"mine.png", b"demo-signature"):
        assert secret not in data


@pytest.mark.parametrize(
    ("model", "usage"), [("demo/cut", 1), ("demo/empty", 1), ("demo/status-401", 0), ("demo/status-402", 0)]
)
def test_a_private_message_that_fails_is_booked_as_any_other(desk: Desk, model: str, usage: int) -> None:
    with pytest.raises(RaptchatError):
        private(desk, [Message("user", "hello")], model=model)

    assert len(desk.usage()) == usage
    assert desk.messages() == []
    assert desk.last_used() is None


def test_a_usage_that_makes_no_sense_is_unknown_and_not_an_error(desk: Desk) -> None:
    usage = {"prompt_tokens": 10**30, "completion_tokens": -1, "cost": 1e300}
    events = [
        {"choices": [{"delta": {"content": "hi"}, "finish_reason": "stop"}]},
        {"choices": [], "usage": usage},
    ]
    body = [b"data: " + json.dumps(event).encode() + b"\n\n" for event in events]
    desk.gateway.answer(Answer(body=[*body, b"data: [DONE]\n\n"]))

    assert desk.send()[2] is None
    assert desk.usage("input_tokens, output_tokens, total_tokens, cost_nano_usd") == [(None,) * 4]


def test_eight_messages_at_once_in_one_session_are_numbered_apart(desk: Desk) -> None:
    def send(number: int) -> None:
        with Factory(Settings.load()) as factory:
            list(ChatService(factory).send_message(desk.session.id, f"number {number}"))

    threads = [threading.Thread(target=send, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert rows(desk.home, "SELECT seq FROM messages ORDER BY seq") == [(seq,) for seq in range(1, 17)]
    assert len(desk.usage()) == 8


def test_the_default_store_is_opened_when_nobody_brings_one(desk: Desk) -> None:
    service = ChatService()

    [*_, done] = service.send_message(desk.session.id, "hello")

    assert isinstance(done, DoneChunk)
    assert len(desk.usage()) == 1


def test_what_the_model_thought_is_stored_with_its_reply(desk: Desk) -> None:
    desk.send("2 + 2", model="demo/reasoning")

    [(reasoning,)] = rows(desk.home, "SELECT reasoning FROM messages WHERE role = 'assistant'")
    assert reasoning == "Two and two."


def test_the_blocks_of_what_the_model_thought_go_back_to_it_with_the_next_question(desk: Desk) -> None:
    _, done, _ = desk.send("why", model="demo/thinking")

    desk.send("go on")

    assert done is not None
    [_, reply, _] = desk.gateway.requests[-1].body["messages"]
    assert reply["reasoning_details"] == json.loads(done.reasoning_details or "")
    [block] = reply["reasoning_details"]
    assert (block["text"], block["signature"]) == (done.reasoning, "demo-signature")


def test_a_question_asked_again_takes_the_place_of_the_old_one_and_its_answer(desk: Desk) -> None:
    desk.send("one")
    desk.send("two", model="demo/length")

    desk.send("two", instead_of=3)

    assert desk.sent() == [("user", "one"), ("assistant", "one"), ("user", "two")]
    found = rows(desk.home, "SELECT seq, content FROM messages ORDER BY seq")
    assert found == [(1, "one"), (2, "one"), (3, "two"), (4, "two")]
    assert rows(desk.home, "SELECT count(*) FROM ai_usage") == [(3,)]


def test_the_old_answer_stays_when_asking_again_fails(desk: Desk) -> None:
    desk.send("one")

    _, _, error = desk.send("one", instead_of=1, model="demo/cut")

    assert isinstance(error, IncompleteReplyError)
    assert desk.messages() == [
        ("user", "one", "complete"),
        ("assistant", "one", "complete"),
        ("user", "one", "complete"),
        ("assistant", "The beginning of a reply", "incomplete"),
    ]


@pytest.mark.parametrize("seq", [0, -1, 3, 99])
def test_a_question_is_not_asked_instead_of_a_message_that_is_not_there(desk: Desk, seq: int) -> None:
    desk.send("one")

    _, _, error = desk.send("again", instead_of=seq)

    assert isinstance(error, UsageError)
    assert str(error) == f"the session has no message {seq}"
    assert len(desk.gateway.requests) == 1
    assert desk.messages() == [("user", "one", "complete"), ("assistant", "one", "complete")]


def test_a_reply_that_comes_while_another_terminal_asks_again_is_kept_whole(desk: Desk) -> None:
    desk.send("one")
    ours = desk.service.send_message(desk.session.id, "two words")
    again = desk.service.send_message(desk.session.id, "one", instead_of=1)
    for chunks in (again, ours):
        next(chunks)  # the beginnings are stored

    assert isinstance([*again][-1], DoneChunk)
    assert isinstance([*ours][-1], DoneChunk)

    kept = rows(desk.home, "SELECT seq, role, content, state FROM messages ORDER BY seq")
    assert kept == [
        (1, "user", "one", "complete"),
        (2, "assistant", "one", "complete"),
        (3, "user", "two words", "complete"),
        (4, "assistant", "two words", "complete"),
    ]


def test_a_reply_to_a_question_that_was_taken_back_meanwhile_touches_nothing_else(desk: Desk) -> None:
    desk.send("one")
    store, session_id = desk.factory.store, desk.session.id
    ours = desk.service.send_message(session_id, "taken back")
    next(ours)
    with store.write():  # as in another terminal, which then goes on
        store.sessions.remove_messages(session_id, since=3)
        store.sessions.add_message(session_id, "user", "another question")
        store.sessions.add_message(session_id, "assistant", "another answer")

    assert isinstance([*ours][-1], DoneChunk)

    assert [content for _, content, _ in desk.messages()] == ["one", "one", "another question", "another answer"]
    assert len(desk.usage()) == 2


def test_two_terminals_that_ask_the_same_question_again_lose_neither_reply(desk: Desk) -> None:
    desk.send("one")
    first = desk.service.send_message(desk.session.id, "one", instead_of=1)
    second = desk.service.send_message(desk.session.id, "once more", instead_of=1)
    for chunks in (first, second):
        next(chunks)

    assert isinstance([*first][-1], DoneChunk)
    assert isinstance([*second][-1], DoneChunk)

    kept = [(role, content) for role, content, _ in desk.messages()]
    assert kept == [("user", "one"), ("assistant", "one"), ("user", "once more"), ("assistant", "once more")]
    assert len(desk.usage()) == 3


def test_what_is_waited_for_is_told_until_the_reply_begins(desk: Desk) -> None:
    told: list[str] = []
    desk.send(model="demo/slow", progress=told.append)

    assert told[:2] == ["connecting", "waiting"]
    assert told.count("processing") == len(told) - 2 > 0


def test_attachments_are_stored_with_their_question_once_and_sent_again_with_the_next(desk: Desk) -> None:
    content = b"\x89PNG picture"
    picture = Attachment("a.png", "image/png", hashlib.sha256(content).hexdigest(), len(content), content)

    desk.send("look", attachments=[picture, picture._replace(name="b.png")])
    desk.send("again")

    found = rows(desk.home, "SELECT seq, name FROM message_attachments JOIN messages ON id = message_id")
    assert found == [(1, "a.png"), (1, "b.png")]
    assert rows(desk.home, "SELECT content FROM attachments") == [(content,)]
    session = desk.session.id
    context = desk.service.context(desk.group, desk.factory.store.sessions.get(session))
    assert [one.attachments for one in context[:2]] == [(picture, picture._replace(name="b.png")), ()]

    desk.factory.store.sessions.remove(session)

    assert rows(desk.home, "SELECT * FROM attachments") == []


def test_what_goes_along_of_a_file_that_was_attached_often_is_read_once(desk: Desk) -> None:
    content = bytes(3_000_000)
    file = Attachment("a.png", "image/png", hashlib.sha256(content).hexdigest(), len(content), content)
    for _ in range(6):
        desk.send("look", attachments=[file])
    session = desk.factory.store.sessions.get(desk.session.id)

    tracemalloc.start()
    context = desk.service.context(desk.group, session)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert [len(one.attachments) for one in context] == [1, 0] * 6
    assert most < 3 * len(content)


@pytest.mark.parametrize("wrong", [{"content": None}, {"content": b"of another"}])
def test_a_file_that_is_not_what_its_hash_says_is_neither_sent_nor_stored(
    desk: Desk, wrong: dict[str, Any]
) -> None:
    file = Attachment("a.png", "image/png", hashlib.sha256(b"own").hexdigest(), 3, b"own")

    _, _, error = desk.send("look", attachments=[file._replace(**wrong)])

    assert isinstance(error, UsageError)
    assert str(error) == "the content of `a.png` is not there"
    assert desk.gateway.requests == []
    assert desk.messages() == rows(desk.home, "SELECT * FROM attachments") == []


def test_a_draft_is_stored_with_its_first_message_or_not_at_all(desk: Desk) -> None:
    sessions = desk.factory.store.sessions
    draft = desk.service.draft_session(desk.group.id, system="Be brief.")
    wrong = Attachment("a.png", "image/png", hashlib.sha256(b"own").hexdigest(), 3, b"other")

    with pytest.raises(UsageError, match=r"the content of `a\.png`"):
        list(desk.service.send_message(draft.id, "look", attachments=[wrong], draft=draft))
    assert sessions.get(draft.id) is None

    list(desk.service.send_message(draft.id, "hello", draft=draft))
    stored = sessions.get(draft.id)
    assert stored is not None
    assert stored == draft._replace(title="hello", last_used_at=stored.last_used_at)
    assert desk.sent() == [("system", "Be brief."), ("user", "hello")]


def test_what_is_paid_by_the_group_of_a_draft_is_stored_in_no_other_session(desk: Desk) -> None:
    draft = desk.service.draft_session(desk.group.id)

    list(desk.service.send_message(desk.session.id, "hello", draft=draft))

    assert desk.factory.store.sessions.messages(desk.session.id) == []
    assert [one.role for one in desk.factory.store.sessions.messages(draft.id)] == ["user", "assistant"]


def test_a_misspelt_model_is_answered_with_the_nearest_that_is_remembered(desk: Desk) -> None:
    _, _, before = desk.send(model="demo/repyl")
    Models(desk.factory).fetch(desk.group)

    _, _, after = desk.send(model="demo/repyl")

    assert isinstance(before, ModelNotAvailableError)
    assert isinstance(after, ModelNotAvailableError)
    assert before.hint == "instead: demo/reply"
    assert after.hint.startswith("did you mean `demo/reply`")


def test_an_alias_stands_for_its_model_wherever_a_model_is_named(
    desk: Desk, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "config.toml").write_text('[aliases]\nfast = "demo/echo"\n')
    with Factory(Settings.load()) as factory:
        service = ChatService(factory)
        assert service.model_for(desk.group, desk.session, "fast") == "demo/echo"
        assert service.model_for(desk.group._replace(model="fast"), None) == "demo/echo"
