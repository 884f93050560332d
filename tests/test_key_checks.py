"""What gateways say of keys: judged one by one, asked many at once, and never waited for too long."""

import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import hostile_gateway
import httpx
import key_gateway
import pytest
import respx
from hostile_gateway import HostileGateway, hangs
from key_gateway import KeyGateway, key_is, refused
from web_server import answer

from raptchat import CredentialService, Factory
from raptchat.errors import (
    AuthenticationFailedError,
    DecryptionFailedError,
    GatewayError,
    GatewayTimeoutError,
    InvalidResponseError,
    RaptchatError,
    RateLimitedError,
    StoreError,
    UsageError,
    VaultUnavailableError,
)
from raptchat.key_checks import AT_ONCE, KeyCheck, check_all, check_key, expiry
from raptchat.providers.key_info import KeyInfo
from raptchat.records import Credential
from raptchat.secret import Secret

KEY = "sk-or-v1-0123456789abcdef-sentinel"


@pytest.fixture(autouse=True)
def threads_end() -> Iterator[None]:
    """One that was given up ends once its gateway is gone."""
    yield
    for thread in threading.enumerate():
        if thread.name == "key check":
            thread.join(10)
            assert not thread.is_alive()


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[KeyGateway]:
    monkeypatch.setenv("AI_MAX_RETRIES", "0")
    with key_gateway.running() as running:
        monkeypatch.setenv("AI_GATEWAY_URL", running.url)
        yield running


@pytest.fixture
def credentials(gateway: KeyGateway, factory: Factory) -> list[Credential]:
    """Twenty groups, each with a key of its own."""
    del gateway
    service = CredentialService(factory)

    def add() -> list[Credential]:
        groups = [factory.store.groups.add(f"group {number:02}") for number in range(20)]
        return [service.create(group.id, key(number)) for number, group in enumerate(groups)]

    return service.atomically(add)


def key(number: int) -> str:
    return f"{KEY}-{number:02}"


def check(factory: Factory, url: str | None = None, *, timeout: float | None = None) -> KeyInfo:
    return check_key(factory, provider="openrouter", base_url=url, key=Secret(KEY), timeout=timeout)


def days_from_now(days: float) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_a_good_key_is_told_of(gateway: KeyGateway, factory: Factory) -> None:
    gateway.says[KEY] = key_is(expires_at=days_from_now(3))

    info = check(factory)

    assert (str(info.limit), str(info.limit_remaining), info.limit_reset) == ("20", "12.5", "monthly")
    assert expiry(info) is not None
    assert gateway.asked == [KEY]


def test_a_key_with_nothing_left_is_good(gateway: KeyGateway, factory: Factory) -> None:
    gateway.says[KEY] = key_is(limit_remaining=0)

    assert check(factory).limit_remaining == 0


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        (refused("User not found."), AuthenticationFailedError, "refused"),
        (key_is(disabled=True), AuthenticationFailedError, "the key is disabled at the gateway"),
        (key_is(expires_at="2026-06-30T10:00:00Z"), AuthenticationFailedError, "the key expired on 2026-06-30"),
        (key_is(is_management_key=True), UsageError, "this is a management key"),
        (key_is(is_provisioning_key=True, is_management_key=None), UsageError, "this is a management key"),
        (refused("slow down", "429 Too Many Requests"), RateLimitedError, "."),
        (refused("oops", "500 Internal Server Error"), GatewayError, "."),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\noops", InvalidResponseError, "."),
        (b"", GatewayError, "hung up"),
    ],
)
def test_a_key_that_is_not_good_is_an_error(
    gateway: KeyGateway, factory: Factory, said: bytes, kind: type[RaptchatError], words: str
) -> None:
    # An empty answer counts as none: the key would be refused.
    gateway.says[KEY] = lambda: said

    with pytest.raises(kind, match=words) as caught:
        check(factory)

    assert KEY not in f"{caught.value!r} {caught.value.hint} {caught.value.fields}"


def test_a_management_key_says_what_to_do_with_it(gateway: KeyGateway, factory: Factory) -> None:
    gateway.says[KEY] = key_is(is_management_key=True)

    with pytest.raises(UsageError) as caught:
        check(factory)

    assert "raptchat account login" in caught.value.hint


def test_a_key_is_asked_for_where_it_may_be_sent(gateway: KeyGateway, factory: Factory) -> None:
    with key_gateway.running() as other:
        other.says[KEY] = key_is()
        check(factory, other.url)

    assert other.asked == [KEY]
    assert gateway.asked == []


def test_a_silent_gateway_is_given_up(gateway: KeyGateway, factory: Factory) -> None:
    answered = threading.Event()
    gateway.says[KEY] = lambda: key_is() if answered.wait(20) else b""
    try:
        with pytest.raises(GatewayTimeoutError, match="did not"):
            check(factory, timeout=0.2)
    finally:
        answered.set()


def test_a_gateway_that_wants_to_be_left_alone_for_long_is_not_called_silent(
    gateway: KeyGateway, factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AI_MAX_RETRIES", "2")
    body = b'{"error": {"code": 429, "message": "slow down"}}'
    gateway.says[KEY] = answer(body, "Retry-After: 30", "Connection: close", status="429 Too Many Requests")

    with pytest.raises(RateLimitedError) as caught:
        check(factory)
    assert (caught.value.exit_code, caught.value.fields["retryAfter"]) == (75, 30)
    assert gateway.asked == [KEY]


def test_what_takes_long_without_being_silent_is_given_up_too(factory: Factory) -> None:
    asked = threading.Event()

    def never(request: httpx.Request) -> httpx.Response:
        del request
        asked.wait(20)
        return httpx.Response(401)

    with respx.mock:
        respx.get("http://127.0.0.1:9/key").mock(side_effect=never)
        try:
            with pytest.raises(GatewayTimeoutError, match=r"`http://127.0.0.1:9` did not answer within 0.2 s"):
                check(factory, "http://127.0.0.1:9", timeout=0.2)
        finally:
            asked.set()


def test_a_bug_in_a_thread_is_not_lost(factory: Factory) -> None:
    with respx.mock:
        respx.get("http://127.0.0.1:9/key").mock(side_effect=ZeroDivisionError)
        with pytest.raises(ZeroDivisionError):
            check(factory, "http://127.0.0.1:9")


def test_without_a_thread_to_be_had_it_takes_longer(
    gateway: KeyGateway, factory: Factory, credentials: list[Credential], monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.says = {key(number): key_is() for number in range(3)}
    start = threading.Thread.start

    def full(thread: threading.Thread) -> None:
        # The gateway is another process in truth.
        if thread.name == "key check":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", full)

    assert verdicts(check_all(factory, credentials[:3])) == ["valid"] * 3


def test_many_keys_are_asked_for_eight_at_a_time(
    gateway: KeyGateway, factory: Factory, credentials: list[Credential]
) -> None:
    # Nobody is answered before eight are there.
    together = threading.Barrier(AT_ONCE)

    def say() -> bytes:
        with suppress(threading.BrokenBarrierError):
            together.wait(10)
        return key_is()

    gateway.says = {key(number): say for number in range(16)}
    told: list[tuple[int, int]] = []

    checks = check_all(factory, credentials[:16], progress=lambda done, total: told.append((done, total)))

    assert not together.broken
    assert gateway.most_at_once == AT_ONCE
    assert {one.verdict for one in checks} == {"valid"}
    assert told == [(done, 16) for done in range(17)]


def test_a_gateway_that_answers_nobody_is_not_waited_for_again_and_again(
    gateway: KeyGateway, factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    del factory
    asked: list[socket.socket] = []

    def nothing(server: HostileGateway, connection: socket.socket) -> None:
        asked.append(connection)
        hangs(server, connection)

    monkeypatch.setenv("AI_REQUEST_TIMEOUT_MS", "50")
    gateway.says[KEY] = key_is()
    with hostile_gateway.running() as dead, Factory() as impatient:
        dead.behave = nothing
        service = CredentialService(impatient)

        def add() -> list[Credential]:
            groups = [impatient.store.groups.add(f"group {number:02}") for number in range(20)]
            url = f"http://127.0.0.1:{dead.port}"
            found = [service.create(one.id, key(at), base_url=url) for at, one in enumerate(groups)]
            return [*found, service.create(impatient.store.groups.add("elsewhere").id, KEY)]

        *checks, last = check_all(impatient, service.atomically(add))

    assert {type(one.problem) for one in checks} == {GatewayTimeoutError}
    assert last.verdict == "valid"
    assert AT_ONCE <= len(asked) < 2 * AT_ONCE


def test_the_checks_are_in_the_order_of_the_credentials(
    gateway: KeyGateway, factory: Factory, credentials: list[Credential]
) -> None:
    others = threading.Semaphore(0)

    def last() -> bytes:
        for _ in range(19):
            others.acquire(timeout=10)
        return key_is(limit=0)

    def soon() -> bytes:
        others.release()
        return key_is()

    gateway.says = {key(0): last, **{key(number): soon for number in range(1, 20)}}

    checks = check_all(factory, credentials)

    assert [one.credential for one in checks] == credentials
    assert [one.group.name for one in checks] == [f"group {number:02}" for number in range(20)]
    assert [one.info.limit for one in checks if one.info] == [0, *[20] * 19]


def verdicts(checks: list[KeyCheck]) -> list[str]:
    return [one.verdict for one in checks]


def test_each_key_has_a_verdict_and_a_problem_of_its_own(
    gateway: KeyGateway, factory: Factory, credentials: list[Credential]
) -> None:
    gateway.says = {
        key(0): key_is(),
        key(2): key_is(expires_at=days_from_now(-1)),
        key(3): key_is(disabled=True),
        key(4): key_is(is_management_key=True),
        key(5): refused("oops", "500 Internal Server Error"),
    }

    checks = check_all(factory, credentials[:6])

    assert verdicts(checks) == ["valid", "refused", "expired", "disabled", "management", "unknown"]
    assert [one.problem is None for one in checks] == [True] + [False] * 5
    assert [one.info is None for one in checks] == [False, True, False, False, False, True]


def test_a_row_that_does_not_open_is_one_key_less(
    gateway: KeyGateway, factory: Factory, credentials: list[Credential], home: Path
) -> None:
    gateway.says = {key(number): key_is() for number in range(20)}
    with closing(sqlite3.connect(home / "raptchat.db")) as db, db:
        db.execute("UPDATE ai_credentials SET nonce = zeroblob(length(nonce)) WHERE id = ?", [credentials[1].id])
    found = [factory.store.credentials.get(credential.id) for credential in credentials[:3]]

    checks = check_all(factory, [credential for credential in found if credential])

    assert verdicts(checks) == ["valid", "unknown", "valid"]
    assert isinstance(checks[1].problem, DecryptionFailedError)
    assert sorted(gateway.asked) == [key(0), key(2)]


def test_a_key_for_another_gateway_is_not_sent(
    factory: Factory, credentials: list[Credential], monkeypatch: pytest.MonkeyPatch
) -> None:
    with key_gateway.running() as thief:
        monkeypatch.setenv("AI_GATEWAY_URL", thief.url)
        with Factory() as moved:
            moved.vault.data_key()
            [check] = check_all(moved, credentials[:1])

    assert check.verdict == "unknown"
    assert isinstance(check.problem, DecryptionFailedError)
    assert thief.asked == []


def test_without_the_vault_there_is_no_check(
    gateway: KeyGateway, credentials: list[Credential], home: Path
) -> None:
    (home / "master.key").unlink()

    with Factory() as locked, pytest.raises(VaultUnavailableError):
        check_all(locked, credentials)

    assert gateway.asked == []


def test_a_store_that_fails_is_no_fault_of_a_key(
    gateway: KeyGateway, factory: Factory, credentials: list[Credential], home: Path
) -> None:
    with closing(sqlite3.connect(home / "raptchat.db")) as db, db:
        db.execute("DROP TABLE ai_credentials")

    with pytest.raises(StoreError):
        check_all(factory, credentials)
    assert gateway.asked == []


def test_no_keys_need_no_vault(home: Path) -> None:
    del home
    with Factory() as factory:
        assert check_all(factory, []) == []


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("2026-12-01T00:00:00Z", datetime(2026, 12, 1, tzinfo=UTC)),
        ("2026-12-01T02:00:00+02:00", datetime(2026, 12, 1, tzinfo=UTC)),
        ("2026-12-01", datetime(2026, 12, 1, tzinfo=UTC)),
        ("never", None),
        ("", None),
        (None, None),
    ],
)
def test_when_a_key_ends(text: str | None, ends: datetime | None) -> None:
    assert expiry(KeyInfo(expires_at=text)) == ends
