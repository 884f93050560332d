"""One request of a group, with that group's key, and what becomes of its reply."""

from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, closing, suppress
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, TypedDict

from raptchat.clients import get_ai_client
from raptchat.credentials import CredentialService
from raptchat.errors import (
    AuthenticationFailedError,
    CredentialNotFoundError,
    GatewayError,
    GatewayTimeoutError,
    IncompleteReplyError,
    InsufficientCreditError,
    ModelNotAvailableError,
    PolicyError,
    StoreError,
    UnconfirmedError,
    UsageError,
)
from raptchat.factory import Factory
from raptchat.interruptions import signals_held_back
from raptchat.naming import add_key_command
from raptchat.outside import safe_line
from raptchat.records import (
    Booking,
    Chunk,
    ContentChunk,
    DoneChunk,
    Group,
    Message,
    Policy,
    Progress,
    ReasoningChunk,
    Session,
    Start,
    State,
    Usage,
)
from raptchat.repeated import Repeated

if TYPE_CHECKING:
    from raptchat.allowance import Allowance

AUTOSAVE_SECONDS = 2.0
# Well before what is reserved for a request would be let go.
EXTEND_SECONDS = timedelta(minutes=3).total_seconds()
_NO_RULES = Policy()
_REFUSALS = (GatewayError, InsufficientCreditError, UsageError)


class _Reply:
    """What has arrived so far; `DoneChunk`s and cut replies say the rest."""

    def __init__(self) -> None:
        # In UTF-8: a list of the pieces would take ten times the memory. One thread adds, and another one reads.
        self._content = bytearray()
        self._reasoning = bytearray()
        self._end: DoneChunk | None = None
        self.reasoning_details: str | None = None
        self.started = False
        self.model: str | None = None
        self.generation_id: str | None = None
        self.finish_reason: str | None = None
        self.usage = Usage()

    def start(self, start: Start) -> None:
        self.started = True
        self.model, self.generation_id = start.model, start.generation_id

    def add(self, chunk: Chunk) -> None:
        match chunk:
            case ContentChunk():
                self._content += chunk.text.encode()
            case ReasoningChunk():
                self._reasoning += chunk.text.encode()
            case DoneChunk():
                self.started = True
                self.model, self.generation_id = chunk.model, chunk.generation_id or self.generation_id
                self.usage, self.finish_reason = chunk.usage, chunk.finish_reason
                self.reasoning_details = chunk.reasoning_details
                # It has all of both: they need not be kept twice while they are stored.
                self._end, self._content, self._reasoning = chunk, bytearray(), bytearray()

    @property
    def content(self) -> str:
        arrived = self._content  # first: it is not emptied before the end is there
        return self._end.content if self._end else arrived.decode()

    @property
    def reasoning(self) -> str:
        arrived = self._reasoning
        return self._end.reasoning if self._end else arrived.decode()

    @property
    def size(self) -> int:
        """How many bytes it takes, until all of it is there."""
        return len(self._content) + len(self._reasoning)


class _Stored(TypedDict):
    content: str
    state: State
    model: str | None
    reasoning: str | None
    reasoning_details: str | None


class Turn:
    """One request of a group, with that group's key, and what becomes of its reply."""

    def __init__(
        self,
        factory: Factory,
        group: Group,
        session: Session | None,
        *,
        model: str,
        options: Mapping[str, object],
        timeout: float | None,
        progress: Callable[[Progress], None] | None,
        max_cost: Decimal | None = None,
    ) -> None:
        self._tell = progress
        self._sent = False
        self._factory = factory
        self._store = factory.store
        self._caller = factory.caller
        self._credentials = CredentialService(factory)
        self._group = group
        self._session = session
        self._provider = self._credentials.provider_of(group)
        self._options = self._allowed(model, options)
        # First of all: a group without a key leaves no trace in the store.
        self._client, self._credential_id = get_ai_client(
            group.id, self._provider, factory=factory, timeout=timeout
        )
        self._model = model
        self._max_cost = max_cost
        self._allowance: Allowance | None = None
        self._reply = _Reply()
        self._question: int | None = None
        self._answer: int | None = None
        self._saved = 0
        self._kept = False

    def estimate(self, messages: list[Message]) -> None:
        """Hold the request with *messages* to what it may cost, where the group or the caller says how much.

        The gateway's list of models may be asked for. Raises what `Allowance` does.
        """
        group = self._group
        if group.budget is None and group.policy.max_cost is None and self._max_cost is None:
            return
        from raptchat.allowance import Allowance

        self._progress("connecting")
        self._allowance = Allowance(
            self._factory,
            group,
            provider=self._provider,
            model=self._model,
            options=self._options,
            messages=messages,
            max_cost=self._max_cost,
        )
        self._options = self._allowance.options

    def converse(
        self, messages: list[Message], ask: Callable[[], int | None], *, instead_of: int | None = None
    ) -> Generator[Chunk]:
        """Send *messages* and yield the reply.

        *ask* stores the question, in the transaction in which the money is reserved, and returns its id; `None`
        where it is not stored. A whole reply takes, with its question, the place of the messages from the one with
        the id *instead_of* on. Raises `BudgetExceededError`; `PolicyError` when the group's rules are others than
        the request was made by; `GroupNotFoundError`.
        """
        reply, done, asked, begun = self._reply, None, False, False
        try:
            with self._store.write():
                self._reserve()
                self._question = ask()
                asked = True  # from here on: a signal can come before this is committed, or after
            with self._client, ExitStack() as threads:
                autosave = threads.enter_context(Repeated(self._save, AUTOSAVE_SECONDS, name="autosave"))
                if self._allowance is not None and self._allowance.is_reserved:
                    extend = Repeated(self._allowance.extend, EXTEND_SECONDS, name="reservation")
                    threads.enter_context(extend).start()
                stream = self._client.stream_chat(
                    messages,
                    model=self._model,
                    options=self._options,
                    started=reply.start,
                    progress=self._progress,
                )
                with closing(stream):
                    for chunk in stream:
                        reply.add(chunk)
                        if isinstance(chunk, DoneChunk):
                            done = chunk
                            break
                        if not begun and isinstance(chunk, ContentChunk) and self._session is not None:
                            begun = True
                            with suppress(StoreError):  # shown all the same; the save at the end says why
                                self._save()
                            autosave.start()
                        yield chunk
            assert done is not None  # a client that does not raise says so last
            self._keep_whole(done, instead_of)
        except BaseException as error:
            if isinstance(error, StoreError) or not asked:
                raise
            with signals_held_back():
                if done is not None and done.content:
                    self._keep_whole(done, instead_of)  # a signal came while the store was waited for
                else:
                    self._end_early(error)
            if isinstance(error, AuthenticationFailedError):
                raise self._with_group(error) from None
            if isinstance(error, ModelNotAvailableError):
                self._suggest_models(error)
            raise
        yield done

    def _reserve(self) -> None:
        """Keep the money for the request, in the caller's transaction, by what holds for the group then."""
        group = self._store.groups.require(self._group.id)
        unbudgeted = group.budget is not None and self._allowance is None
        if group.policy != self._group.policy or group.suspended_at is not None or unbudgeted:
            raise PolicyError(f"the rules of group `{group.name}` were changed meanwhile", hint="try again")
        if self._allowance is not None:
            self._allowance.reserve(group)

    def _keep_whole(self, done: DoneChunk, instead_of: int | None) -> None:
        if not done.content:
            reason = f" (finish reason `{safe_line(done.finish_reason)}`)" if done.finish_reason else ""
            raise IncompleteReplyError(
                f"the reply was empty{reason}", partial=done, hint="try again, or another model with -m"
            )
        if self._kept:
            return  # the signal was let through when all was done
        with signals_held_back():
            with self._store.write():
                self._keep("complete")
                if self._question is not None and instead_of is not None:
                    self._store.sessions.move_messages(self._question, instead_of=instead_of)
                self._book()
                self._release()
                with suppress(CredentialNotFoundError):  # deleted while the reply that it paid came in
                    self._credentials.update_last_used(self._credential_id)
            self._kept = True

    def _end_early(self, error: BaseException) -> None:
        """Keep what arrived, and book what may have cost something."""
        if isinstance(error, IncompleteReplyError) and isinstance(error.partial, DoneChunk):
            self._reply.add(error.partial)
        # What the gateway refused, or was never sent, costs nothing; where nothing came in time nobody knows.
        refused = isinstance(error, _REFUSALS) and not isinstance(error, GatewayTimeoutError)
        with self._store.write():
            if self._reply.content:
                self._keep("incomplete")
            elif isinstance(error, _REFUSALS) and self._question is not None:
                # A question that was refused is not asked again with the next one.
                self._store.sessions.mark(self._question, "failed")
            if self._reply.started or (self._sent and not refused):
                self._book()
            self._release()

    def _progress(self, now: Progress) -> None:
        self._sent = self._sent or now != "connecting"
        if self._tell is not None:
            self._tell(now)

    def _allowed(self, model: str, options: Mapping[str, object]) -> Mapping[str, object]:
        group = self._group
        if group.policy == _NO_RULES:
            return options
        from raptchat import policy

        return policy.check(group.policy, provider=self._provider, model=model, options=options, group=group.name)

    def _release(self) -> None:
        if self._allowance is not None:
            self._allowance.release()

    def _with_group(self, error: AuthenticationFailedError) -> AuthenticationFailedError:
        """*error* with what the client does not know: whose key it is."""
        credential = self._store.credentials.get(self._credential_id)
        key = f"key `{credential.key_hint}` of group" if credential else "group"
        return AuthenticationFailedError(
            f"{error} ({key} `{self._group.name}`)",
            hint=add_key_command(self._group.name, replace=True, like=credential),
            **{**error.fields, "group": self._group.name},
        )

    def _suggest_models(self, error: ModelNotAvailableError) -> None:
        from raptchat.models import Models

        nearest = Models(self._factory).nearest(self._group.id, self._model)
        # One that the list has was not misspelt: something else of the request keeps it away.
        if nearest and self._model not in nearest:
            error.hint = f"did you mean {' or '.join(f'`{name}`' for name in nearest)}? raptchat models lists them"

    def _save(self) -> None:
        arrived = self._reply.size
        if arrived != self._saved:
            answer = self._answer
            with signals_held_back():
                try:
                    with self._store.write():
                        answer = self._keep("incomplete")
                except UnconfirmedError:
                    self._answer = answer
                    raise
                # Not before it is certain: a message that was undone cannot be changed later.
                self._answer, self._saved = answer, arrived

    def _keep(self, state: State) -> int | None:
        sessions, reply = self._store.sessions, self._reply
        if self._session is None or self._question is None or not sessions.has_message(self._question):
            return None  # private, or taken back while the reply came in: only its bill stays
        message = _Stored(
            content=reply.content,
            state=state,
            model=reply.model or self._model,
            reasoning=reply.reasoning or None,
            reasoning_details=reply.reasoning_details,
        )
        if self._answer is None:
            return sessions.add_message(self._session.id, "assistant", **message)
        sessions.update_message(self._answer, **message)
        return self._answer

    def _book(self) -> None:
        reply, allowance = self._reply, self._allowance
        estimate = allowance.estimate(reply.usage) if allowance is not None and reply.usage.cost is None else None
        self._store.ledger.book(
            Booking(
                group_id=self._group.id,
                group_name=self._group.name,
                session_id=self._session.id if self._session else None,
                credential_id=self._credential_id,
                provider=self._provider,
                model=reply.model or self._model,
                os_user=self._caller.os_user,
                generation_id=reply.generation_id,
                finish_reason=reply.finish_reason,
                usage=reply.usage,
                estimate=estimate,
            )
        )
