"""What the gateways say of keys: of one before it is sealed, or of many at once.

A gateway that is silent holds nobody up: each key is asked in a thread of its own and given up after ten seconds,
which also bounds what has no time limit itself, such as looking a name up.
"""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from typing import Literal, NamedTuple

from raptchat.credentials import CredentialService
from raptchat.errors import (
    AuthenticationFailedError,
    GatewayTimeoutError,
    RaptchatError,
    StoreError,
    UsageError,
)
from raptchat.factory import Factory
from raptchat.gateway_url import origin
from raptchat.providers import client_class
from raptchat.providers.key_info import KeyInfo
from raptchat.records import Credential, Group
from raptchat.secret import Secret

Verdict = Literal["valid", "refused", "expired", "disabled", "management", "unknown"]

SECONDS = 10.0
AT_ONCE = 8
_MOST_RETRIES = 1


class KeyCheck(NamedTuple):
    """What is known of a credential's key now: *info* as the gateway tells it, *problem* why it cannot be used.

    `unknown` is a key that could not be asked for; *problem* then says what was in the way.
    """

    credential: Credential
    group: Group
    verdict: Verdict
    info: KeyInfo | None
    problem: RaptchatError | None


class _Asked(NamedTuple):
    """A question to a gateway that is ready to be put, in any thread."""

    url: str
    ask: Callable[[], KeyInfo]


def check_key(
    factory: Factory, *, provider: str, base_url: str | None, key: Secret | None, timeout: float | None = None
) -> KeyInfo:
    """What the gateway says of *key*, which can be used; *key* is `None` for a gateway that asks for none.

    *timeout* is in seconds, for all of it: ten when it is not said. Raises `AuthenticationFailedError` for a key
    that is refused, disabled or expired, `UsageError` for a management key, and the error that fits where the
    gateway could not be asked.
    """
    seconds = SECONDS if timeout is None else timeout
    asked = _question(factory, provider, base_url or factory.settings.gateway_url, key, seconds)
    [(_, found)] = _answers([asked], seconds)
    if isinstance(found, RaptchatError):
        raise found
    _, problem = _judged(found)
    if problem is not None:
        raise problem
    return found


def check_all(
    factory: Factory,
    credentials: Sequence[Credential],
    *,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> list[KeyCheck]:
    """Ask the gateways about the keys of *credentials*, eight at once; the checks are in the same order.

    *progress* is told how many of how many are done. What is wrong with one key is its check's *problem*; what
    opening the vault or reading the store raises is raised.
    """
    service, total = CredentialService(factory), len(credentials)
    groups = {group.id: group for group in factory.store.groups.all()}
    if credentials:
        factory.vault.data_key()
    checks: dict[int, KeyCheck] = {}
    questions: dict[int, _Asked] = {}
    # Here and one after the other: the store is this thread's, and a command that has a key may ask for a finger.
    for number, credential in enumerate(credentials):
        try:
            key = service.open_key(credential)
            questions[number] = _question(
                factory,
                credential.provider,
                service.url_of(credential),
                None if credential.kind == "none" else key,
                SECONDS,
            )
        except StoreError:
            raise
        except RaptchatError as problem:
            checks[number] = KeyCheck(credential, groups[credential.group_id], "unknown", None, problem)
    progress(len(checks), total)
    numbers = list(questions)
    for at, found in _answers(list(questions.values()), SECONDS):
        credential = credentials[numbers[at]]
        checks[numbers[at]] = _check(credential, groups[credential.group_id], found)
        progress(len(checks), total)
    return [checks[number] for number in range(total)]


def _question(factory: Factory, provider: str, url: str, key: Secret | None, seconds: float) -> _Asked:
    settings, make_client = factory.settings, client_class(provider)
    timeout, retries = min(seconds, settings.timeout_seconds), min(_MOST_RETRIES, settings.max_retries)

    def ask() -> KeyInfo:
        with make_client(api_key=key, base_url=url, timeout=timeout, max_retries=retries) as client:
            return client.key_info()

    return _Asked(url, ask)


def _answers(asked: Sequence[_Asked], seconds: float) -> Iterator[tuple[int, KeyInfo | RaptchatError]]:
    """Each one's number and what became of it, as they come; no more than eight are asked at a time.

    A gateway that did not answer so many in a row is asked no more.
    """
    waiting = deque(enumerate(asked))
    given_up_at: dict[int, float] = {}
    silences: Counter[str] = Counter()
    came: SimpleQueue[tuple[int, KeyInfo | Exception]] = SimpleQueue()

    while waiting or given_up_at:
        while waiting and len(given_up_at) < AT_ONCE:
            number, one = waiting.popleft()
            given_up_at[number] = time.monotonic() + seconds
            if silences[origin(one.url)] < AT_ONCE:
                _ask(number, one, came)
            else:
                came.put((number, _silence(one.url, seconds)))
        first = min(given_up_at, key=given_up_at.__getitem__)
        try:
            number, found = came.get(timeout=max(0.0, given_up_at[first] - time.monotonic()))
        except Empty:
            number, found = first, _silence(asked[first].url, seconds)
        # One that was given up may still answer.
        if given_up_at.pop(number, None) is not None:
            if not isinstance(found, KeyInfo | RaptchatError):
                raise found
            place = origin(asked[number].url)
            silences[place] = silences[place] + 1 if isinstance(found, GatewayTimeoutError) else 0
            yield number, found


def _ask(number: int, one: _Asked, came: "SimpleQueue[tuple[int, KeyInfo | Exception]]") -> None:
    """Ask *one* in a thread; what becomes of it comes with its *number*."""

    def ask() -> None:
        try:
            came.put((number, one.ask()))
        except Exception as error:  # noqa: BLE001 - it is raised, or told of, in the thread that waits for it
            came.put((number, error))

    # A daemon, so that Ctrl-C ends the program at once.
    thread = threading.Thread(target=ask, name="key check", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # no thread to be had: the client's own time limits remain
        ask()


def _silence(url: str, seconds: float) -> GatewayTimeoutError:
    return GatewayTimeoutError(
        f"`{origin(url)}` did not answer within {seconds:g} s",
        hint="check the network, and `HTTPS_PROXY` if it goes through a proxy",
    )


def _check(credential: Credential, group: Group, found: KeyInfo | RaptchatError) -> KeyCheck:
    if isinstance(found, AuthenticationFailedError):
        return KeyCheck(credential, group, "refused", None, found)
    if isinstance(found, RaptchatError):
        return KeyCheck(credential, group, "unknown", None, found)
    verdict, problem = _judged(found)
    return KeyCheck(credential, group, verdict, found, problem)


def _judged(info: KeyInfo) -> tuple[Verdict, RaptchatError | None]:
    if info.is_management:
        return "management", UsageError(
            "this is a management key: it makes keys and cannot pay for a chat",
            hint="a group needs a key of its own; `raptchat account login` takes this one",
        )
    if info.disabled:
        return "disabled", AuthenticationFailedError("the key is disabled at the gateway")
    ends = expiry(info)
    if ends is not None and ends <= datetime.now(UTC):
        return "expired", AuthenticationFailedError(
            f"the key expired on {ends.astimezone().date().isoformat()}",
            hint="a new key is needed, or is this machine's clock wrong?",
        )
    return "valid", None


def expiry(info: KeyInfo) -> datetime | None:
    """When the key ends, in UTC; `None` when it does not, or when nobody can tell."""
    try:
        ends = datetime.fromisoformat(info.expires_at or "")
    except ValueError:
        return None
    return ends.replace(tzinfo=UTC) if ends.tzinfo is None else ends.astimezone(UTC)
