"""One request of a group, with that group's key, and what becomes of its reply."""

import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import TypedDict

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
    StoreBusyError,
    StoreError,
    UnconfirmedError,
    UsageError,
)
from raptchat.factory import Factory
from raptchat.interruptions import signals_held_back
from raptchat.models import Models
from raptchat.naming import add_key_command
from raptchat.outside import safe_line
from raptchat.records import (
    Booking,
    Chunk,
    ContentChunk,
    DoneChunk,
    Group,
    Message,
    Progress,
    ReasoningChunk,
    Session,
    Start,
    State,
    Usage,
)

AUTOSAVE_SECONDS = 2.0
_REFUSALS = (GatewayError, InsufficientCreditError, UsageError)


@dataclass(slots=True)
class _Reply:
    """What has arrived so far; `DoneChunk`s and cut replies say the rest."""

    pieces: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    reasoning_details: str | None = None
    started: bool = False
    model: str | None = None
    generation_id: str | None = None
    finish_reason: str | None = None
    usage: Usage = field(default_factory=Usage)

    def start(self, start: Start) -> None:
        self.started = True
        self.model, self.generation_id = start.model, start.generation_id

    def add(self, chunk: Chunk) -> None:
        match chunk:
            case ContentChunk(text):
                self.pieces.append(text)
            case ReasoningChunk(text):
                self.thoughts.append(text)
            case DoneChunk():
                self.started = True
                self.model, self.generation_id = chunk.model, chunk.generation_id or self.generation_id
                self.usage, self.finish_reason = chunk.usage, chunk.finish_reason
                self.reasoning_details = chunk.reasoning_details

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def reasoning(self) -> str | None:
        return "".join(self.thoughts) or None


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
    ) -> None:
        self._progress = progress
        self._factory = factory
        self._store = factory.store
        self._caller = factory.caller
        self._credentials = CredentialService(factory)
        self._group = group
        self._session = session
        self._provider = self._credentials.provider_of(group)
        # First of all: a group without a key leaves no trace in the store.
        self._client, self._credential_id = get_ai_client(
            group.id, self._provider, factory=factory, timeout=timeout
        )
        self._model = model
        self._options = options
        self._reply = _Reply()
        self._question: int | None = None
        self._answer: int | None = None
        self._saved = 0
        self._kept = False

    def converse(
        self, messages: list[Message], question: int | None, *, instead_of: int | None = None
    ) -> Generator[Chunk]:
        """Send *messages* and yield the reply; *question* is the id of the question, where it is stored.

        A whole reply takes, with its question, the place of the messages from the one with the id *instead_of* on.
        """
        self._question = question
        reply, done = self._reply, None
        try:
            with self._client, _Autosave(self._save) as autosave:
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
                        if isinstance(chunk, ContentChunk) and len(reply.pieces) == 1:
                            with suppress(StoreError):  # shown all the same; the save at the end says why
                                self._save()
                            autosave.start()
                        yield chunk
            assert done is not None  # a client that does not raise says so last
            self._keep_whole(done, instead_of)
        except BaseException as error:
            if isinstance(error, StoreError):
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
            if self._reply.pieces:
                self._keep("incomplete")
            elif isinstance(error, _REFUSALS) and self._question is not None:
                # A question that was refused is not asked again with the next one.
                self._store.sessions.mark(self._question, "failed")
            if self._reply.started or not refused:
                self._book()

    def _with_group(self, error: AuthenticationFailedError) -> AuthenticationFailedError:
        """*error* with what the client does not know: whose key it is."""
        credential = self._store.credentials.get(self._credential_id)
        key = f"key `{credential.key_hint}` of group" if credential else "group"
        return AuthenticationFailedError(
            f"{error} ({key} `{self._group.name}`)",
            hint=add_key_command(self._group.name, replace=True),
            **{**error.fields, "group": self._group.name},
        )

    def _suggest_models(self, error: ModelNotAvailableError) -> None:
        nearest = Models(self._factory).nearest(self._group.id, self._model)
        # One that the list has was not misspelt: something else of the request keeps it away.
        if nearest and self._model not in nearest:
            error.hint = f"did you mean {' or '.join(f'`{name}`' for name in nearest)}? raptchat models lists them"

    def _save(self) -> None:
        arrived = len(self._reply.pieces)
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
            content=reply.text,
            state=state,
            model=reply.model or self._model,
            reasoning=reply.reasoning,
            reasoning_details=reply.reasoning_details,
        )
        if self._answer is None:
            return sessions.add_message(self._session.id, "assistant", **message)
        sessions.update_message(self._answer, **message)
        return self._answer

    def _book(self) -> None:
        reply = self._reply
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
            )
        )


class _Autosave:
    """Calls *save* every two seconds from a thread of its own, also while nothing arrives."""

    def __init__(self, save: Callable[[], None]) -> None:
        self._save = save
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="autosave", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(AUTOSAVE_SECONDS):
            try:
                self._save()
            except StoreBusyError:
                continue
            except StoreError:
                return  # the save at the end meets the same error where it can be raised

    def __enter__(self) -> "_Autosave":
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
