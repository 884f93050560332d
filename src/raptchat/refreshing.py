"""Costs that were not known when their requests ended, asked of the gateway later.

Whoever cancels a reply does not hear what it cost; the gateway's books know it, some time after.
"""

import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from queue import Empty, SimpleQueue

from raptchat.clock import utc_now
from raptchat.credentials import CredentialService
from raptchat.errors import AuthenticationFailedError, GatewayTimeoutError, RaptchatError, StoreError
from raptchat.factory import Factory
from raptchat.naming import refused_key_command
from raptchat.providers import DEFAULT_PROVIDER, client_class
from raptchat.records import BookedRequest, Credential, Group, Usage
from raptchat.secret import Secret

MOST_REQUESTS = 1_000
# What a gateway does not know by then, it never will; asked for on and on, such requests would keep others out.
ASKED_FOR_DAYS = 30
_AT_ONCE = 8
_SECONDS = 10.0
_MOST_RETRIES = 1
# A gateway that fails so often in a row fails the rest too; one that fails at one reply may know all others.
_MOST_FAILURES = 8
# What one question may take with its retry, and with a name that is looked up for long.
_PATIENCE_SECONDS = 40.0


@dataclass(slots=True)
class Refreshed:
    """What became of the requests whose cost was not known, in numbers of requests.

    *learnt* ones are in the ledger; *unknown* ones the gateway does not know (yet); *nameless* ones have no
    generation id, *old* ones are asked for no more; *left* ones could not be asked for, by what is in *problems*,
    and *later* ones are more than are asked for at once.
    """

    learnt: int = 0
    unknown: int = 0
    nameless: int = 0
    old: int = 0
    left: int = 0
    later: int = 0
    problems: list[RaptchatError] = field(default_factory=list)


def oldest() -> str:
    """The time before which the gateway is not asked any more."""
    return (datetime.fromisoformat(utc_now()) - timedelta(days=ASKED_FOR_DAYS)).isoformat()


def refresh(
    factory: Factory, groups: Sequence[Group], *, progress: Callable[[int, int], None] = lambda _done, _total: None
) -> Refreshed:
    """Ask OpenRouter what the newest requests of *groups* cost of which that is not known, and book it.

    Each is booked as it is learnt, so that Ctrl-C loses nothing. *progress* is told how many of how many are done.
    What is wrong with a key or a gateway is among the *problems*; what opening the vault or the store raises is
    raised.
    """
    result = Refreshed()
    requests, credentials = _find(factory, groups, result)
    if not requests:
        return result
    factory.vault.data_key()
    keys = _Keys(factory, {group.id: group for group in groups}, credentials, result.problems)
    waiting, running, done = deque(requests), 0, 0
    came: SimpleQueue[tuple[BookedRequest, Credential, Usage | Exception | None]] = SimpleQueue()
    progress(0, len(requests))
    while waiting or running:
        while waiting and running < _AT_ONCE:
            request = waiting.popleft()
            # Here: a key may come of a command that asks a person, and the store is of this thread.
            credential = keys.credential_for(request)
            if credential is None:
                result.left, done = result.left + 1, done + 1
                continue
            ask = keys.question(credential, request)
            _beside(partial(_answer, came, request, credential, ask))
            running += 1
        if not running:
            break
        try:
            request, credential, found = came.get(timeout=_PATIENCE_SECONDS)
        except Empty:
            result.left += running + len(waiting)
            result.problems.append(GatewayTimeoutError("the gateway did not answer in time", hint="try again"))
            break
        running -= 1
        if isinstance(found, AuthenticationFailedError):
            keys.refused(credential, found)
            # Another key of the group may do.
            waiting.appendleft(request)
            continue
        if isinstance(found, Exception):
            keys.failed(credential, found)
            result.left += 1
        else:
            keys.answered(credential)
            if found is None or found.cost is None:
                result.unknown += 1
            else:
                # Of two that ask at once, one learns it.
                result.learnt += factory.store.ledger.learn(request.id, found)
        done += 1
        progress(done, len(requests))
    return result


def _beside(answer: Callable[[], None]) -> None:
    try:
        # A daemon, so that Ctrl-C ends the program at once.
        threading.Thread(target=answer, name="generation", daemon=True).start()
    except RuntimeError:  # no thread to be had
        answer()


def _answer(
    came: "SimpleQueue[tuple[BookedRequest, Credential, Usage | Exception | None]]",
    request: BookedRequest,
    credential: Credential,
    ask: Callable[[], Usage | None],
) -> None:
    try:
        came.put((request, credential, ask()))
    except Exception as error:  # noqa: BLE001 - it is judged in the thread that waits for it
        came.put((request, credential, error))


def _find(
    factory: Factory, groups: Sequence[Group], result: Refreshed
) -> tuple[list[BookedRequest], Mapping[str, Sequence[Credential]]]:
    ledger, since = factory.store.ledger, oldest()
    found: list[BookedRequest] = []
    credentials: dict[str, list[Credential]] = {}
    wanted = {group.id for group in groups}
    for credential in factory.store.credentials.all():
        if credential.provider == DEFAULT_PROVIDER and credential.group_id in wanted:
            credentials.setdefault(credential.group_id, []).append(credential)
    for group_id in credentials:
        counted = ledger.unknown_costs(group_id, DEFAULT_PROVIDER, since=since)
        result.nameless += counted.nameless
        result.old += counted.old
        result.later += counted.requests - counted.nameless - counted.old
        if counted.requests > counted.nameless + counted.old:
            found += ledger.unknown(group_id, DEFAULT_PROVIDER, since=since, limit=MOST_REQUESTS)
            found.sort(key=lambda request: request.created_at, reverse=True)
            del found[MOST_REQUESTS:]
    result.later -= len(found)
    return found, credentials


class _Keys:
    """Which key a request is asked for with: the one that paid it, or else the one in use of the same group."""

    def __init__(
        self,
        factory: Factory,
        groups: Mapping[str, Group],
        credentials: Mapping[str, Sequence[Credential]],
        problems: list[RaptchatError],
    ) -> None:
        self._factory = factory
        self._groups = groups
        self._service = CredentialService(factory)
        self._credentials = credentials
        self._problems = problems
        self._opened: dict[str, Secret] = {}
        self._lost: set[str] = set()
        self._failures: Counter[str] = Counter()

    def credential_for(self, request: BookedRequest) -> Credential | None:
        """The credential to ask with; `None` where none does."""
        of_group = self._credentials[request.group_id]
        paid = [one for one in of_group if one.id == request.credential_id]
        # The gateway answers any key of the same account.
        in_use = [one for one in of_group if one.is_active and one.id != request.credential_id]
        for credential in (*paid, *in_use):
            if (
                credential.id not in self._lost
                and self._failures[credential.endpoint] < _MOST_FAILURES
                and self._open(credential)
            ):
                return credential
        return None

    def refused(self, credential: Credential, problem: AuthenticationFailedError) -> None:
        """Ask no more with this key."""
        group = self._groups[credential.group_id]
        problem.hint, problem.fields["group"] = refused_key_command(group, credential), group.name
        if credential.id not in self._lost:
            self._lost.add(credential.id)
            self._problems.append(problem)

    def failed(self, credential: Credential, problem: Exception) -> None:
        """Ask no more at the gateway of this key, once it has failed too often; what is a bug is raised."""
        if not isinstance(problem, RaptchatError):
            raise problem
        self._failures[credential.endpoint] += 1
        self._problems.append(problem)

    def answered(self, credential: Credential) -> None:
        """Its gateway knows other replies, whatever it has failed at."""
        self._failures[credential.endpoint] = 0

    def question(self, credential: Credential, request: BookedRequest) -> Callable[[], Usage | None]:
        """What asks for the *request*, in any thread."""
        settings, make_client = self._factory.settings, client_class(DEFAULT_PROVIDER)
        key, url = self._opened[credential.id], self._service.url_of(credential)
        generation_id = request.generation_id or ""

        def ask() -> Usage | None:
            with make_client(
                api_key=key,
                base_url=url,
                timeout=min(_SECONDS, settings.timeout_seconds),
                max_retries=min(_MOST_RETRIES, settings.max_retries),
            ) as client:
                return client.generation(generation_id)

        return ask

    def _open(self, credential: Credential) -> bool:
        if credential.id not in self._opened:
            try:
                self._opened[credential.id] = self._service.open_key(credential)
            except StoreError:
                raise
            except RaptchatError as problem:
                self._lost.add(credential.id)
                self._problems.append(problem)
                return False
        return True
