"""`ChatService`: one message, from the session to the stored reply."""

import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace

from raptchat.clients import get_ai_client
from raptchat.credentials import CredentialService
from raptchat.errors import (
    AuthenticationFailedError,
    CredentialNotFoundError,
    GatewayError,
    GatewayTimeoutError,
    IncompleteReplyError,
    InsufficientCreditError,
    SessionNotFoundError,
    StoreError,
    UsageError,
)
from raptchat.factory import Factory
from raptchat.naming import as_argument
from raptchat.outside import safe_line
from raptchat.providers import DEFAULT_PROVIDER
from raptchat.records import (
    Booking,
    Chunk,
    ContentChunk,
    DoneChunk,
    Group,
    Message,
    Session,
    StartChunk,
    State,
    Usage,
)

AUTOSAVE_SECONDS = 2.0
_TITLE_LENGTH = 60
_REFUSALS = (GatewayError, InsufficientCreditError, UsageError)


class ChatService:
    """Sends messages of a session with the key of the session's group, and keeps what comes back.

    It opens the default store, or works with what *factory* opens.
    """

    def __init__(self, factory: Factory | None = None) -> None:
        self._factory = factory or Factory()

    def create_session(
        self, group_id: str, *, title: str | None = None, model: str | None = None, system: str | None = None
    ) -> Session:
        """A new, empty session of a group; *model* and *system* stay with it."""
        with self._factory.store.write():
            return self._factory.store.sessions.add(group_id, title=title, model=model, system=system)

    def send_message(
        self,
        session_id: str,
        user_message: str,
        *,
        model: str | None = None,
        options: Mapping[str, object] | None = None,
        timeout: float | None = None,
    ) -> Generator[Chunk]:
        """Yield the reply as it arrives, and one `DoneChunk` last, when everything is stored.

        The user's message is stored before the request is sent. However the reply ends, what had arrived is
        kept: `incomplete` when it was cut short, by whomever. Raises `AiNotConfiguredError` when the session's
        group has no key, `IncompleteReplyError` for an empty or cut reply, and the other `GatewayError`s.
        """
        check_prompt(user_message)
        store = self._factory.store
        session = store.sessions.get(session_id)
        if session is None:
            raise SessionNotFoundError(
                f"there is no session `{safe_line(session_id)[:80]}`", hint="raptchat sessions list"
            )
        group = store.groups.get(session.group_id)
        assert group is not None  # a foreign key holds it
        turn = _Turn(self._factory, group, session, model=model or session.model, options=options, timeout=timeout)
        context = self.context(group, session)
        with store.write():
            if session.title is None:
                store.sessions.set(session.id, title=_title(user_message))
            asked = store.sessions.add_message(session.id, "user", user_message)
        yield from turn.converse([*context, Message("user", user_message)], asked)

    def send_private(
        self,
        group_id: str,
        messages: list[Message],
        *,
        system: str | None = None,
        model: str | None = None,
        options: Mapping[str, object] | None = None,
        timeout: float | None = None,
    ) -> Generator[Chunk]:
        """As `send_message`, for *messages* that belong to no session: only the usage is stored."""
        check_prompt(messages[-1].content)
        group = self._factory.store.groups.get(group_id)
        assert group is not None
        turn = _Turn(self._factory, group, None, model=model, options=options, timeout=timeout)
        yield from turn.converse([*self.context(group, None, system=system), *messages], None)

    def context(self, group: Group, session: Session | None, *, system: str | None = None) -> list[Message]:
        """What goes before a new message: the system prompt, and the session's last messages."""
        system = system or (session.system_prompt if session else None) or group.system_prompt
        limit = self._factory.settings.history_messages
        earlier = self._factory.store.sessions.history(session.id, limit) if session else []
        return [*([Message("system", system)] if system else []), *earlier]

    def model_for(self, group: Group, session: Session | None, wanted: str | None = None) -> str:
        """The model of a request: what is *wanted*, the session's, the group's, or the default."""
        session_model = session.model if session else None
        return wanted or session_model or group.model or self._factory.settings.default_model


def check_prompt(text: str) -> None:
    """`UsageError` for a message that cannot be sent or stored: empty, with a NUL, or not Unicode text."""
    if not text.strip():
        raise UsageError("the prompt is empty", hint='raptchat chat "your question"')
    if (position := text.find("\0")) >= 0:
        raise UsageError(f"the prompt holds a NUL character at position {position}", hint="send text only")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"the prompt is not valid UTF-8 at position {error.start}") from None


@dataclass(slots=True)
class _Reply:
    """What has arrived so far; `DoneChunk`s and cut replies say the rest."""

    pieces: list[str] = field(default_factory=list)
    started: bool = False
    model: str | None = None
    generation_id: str | None = None
    finish_reason: str | None = None
    usage: Usage = field(default_factory=Usage)

    def add(self, chunk: Chunk) -> None:
        match chunk:
            case StartChunk(model, generation_id):
                self.started = True
                self.model, self.generation_id = model, generation_id
            case ContentChunk(text):
                self.pieces.append(text)
            case DoneChunk():
                self.started = True
                self.model, self.generation_id = chunk.model, chunk.generation_id or self.generation_id
                self.usage, self.finish_reason = chunk.usage, chunk.finish_reason

    @property
    def text(self) -> str:
        return "".join(self.pieces)


class _Turn:
    """One request of a group, with that group's key, and what becomes of its reply."""

    def __init__(
        self,
        factory: Factory,
        group: Group,
        session: Session | None,
        *,
        model: str | None,
        options: Mapping[str, object] | None,
        timeout: float | None,
    ) -> None:
        self._store = factory.store
        self._caller = factory.caller
        self._credentials = CredentialService(factory)
        self._group = group
        self._session = session
        self._provider = group.provider or DEFAULT_PROVIDER
        # First of all: a group without a key leaves no trace in the store.
        self._client, self._credential_id = get_ai_client(
            group.id, self._provider, factory=factory, timeout=timeout
        )
        self._model = model or self._client.default_model
        # One random id for a conversation lets the gateway keep its prompt cache warm.
        own = {"session_id": session.id} if session and self._provider == DEFAULT_PROVIDER else {}
        self._options = {**own, **(options or {})}
        self._reply = _Reply()
        self._answer: int | None = None
        self._saved = 0

    def converse(self, messages: list[Message], asked: int | None) -> Generator[Chunk]:
        reply = self._reply
        try:
            with self._client, _Autosave(self._save) as autosave:
                stream = self._client.stream_chat(messages, model=self._model, options=self._options)
                with closing(stream):
                    done = None
                    for chunk in stream:
                        reply.add(chunk)
                        if isinstance(chunk, DoneChunk):
                            done = replace(chunk, credential_id=self._credential_id)
                            break
                        if isinstance(chunk, ContentChunk) and len(reply.pieces) == 1:
                            with suppress(StoreError):  # shown all the same; the save at the end says why
                                self._save()
                            autosave.start()
                        yield chunk
        except AuthenticationFailedError as error:
            self._end_early(error, asked)
            raise self._with_group(error) from None
        except BaseException as error:
            self._end_early(error, asked)
            raise
        assert done is not None  # a client that does not raise says so last
        if not done.content:
            self._end_early(None, asked)
            raise IncompleteReplyError(
                "the reply was empty"
                + (f" (finish reason `{safe_line(done.finish_reason)}`)" if done.finish_reason else ""),
                partial=done,
                hint="try again, or another model with -m",
            )
        with self._store.write():
            self._keep("complete")
            self._book()
            with suppress(CredentialNotFoundError):  # deleted while the reply that it paid came in
                self._credentials.update_last_used(self._credential_id)
        yield done

    def _end_early(self, error: BaseException | None, asked: int | None) -> None:
        """Keep what arrived, and book what may have cost something."""
        if isinstance(error, IncompleteReplyError) and isinstance(error.partial, DoneChunk):
            error.partial = replace(error.partial, credential_id=self._credential_id)
            self._reply.add(error.partial)
        # What the gateway refused, or was never sent, costs nothing; where nothing came in time nobody knows.
        refused = isinstance(error, _REFUSALS) and not isinstance(error, GatewayTimeoutError)
        with self._store.write():
            if self._reply.pieces:
                self._keep("incomplete")
            elif isinstance(error, _REFUSALS) and self._session is not None and asked is not None:
                # A question that was refused is not asked again with the next one.
                self._store.sessions.mark(self._session.id, asked, "failed")
            if self._reply.started or not refused:
                self._book()

    def _with_group(self, error: AuthenticationFailedError) -> AuthenticationFailedError:
        """*error* with what the client does not know: whose key it is."""
        credential = self._store.credentials.get(self._credential_id)
        key = f"key `{credential.key_hint}` of group" if credential else "group"
        return AuthenticationFailedError(
            f"{error} ({key} `{self._group.name}`)",
            hint=f"raptchat group add-key {as_argument(self._group.name)} --replace",
            **{**error.fields, "group": self._group.name},
        )

    def _save(self) -> None:
        arrived = len(self._reply.pieces)
        if arrived != self._saved:
            with self._store.write():
                self._keep("incomplete")
            self._saved = arrived

    def _keep(self, state: State) -> None:
        if self._session is None:
            return
        sessions, reply = self._store.sessions, self._reply
        model = reply.model or self._model
        if self._answer is None:
            self._answer = sessions.add_message(
                self._session.id, "assistant", reply.text, state=state, model=model
            )
        else:
            sessions.update_message(self._session.id, self._answer, content=reply.text, state=state, model=model)

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
            except StoreError:
                return  # the save at the end meets the same error where it can be raised

    def __enter__(self) -> "_Autosave":
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()


def _title(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _TITLE_LENGTH else line[: _TITLE_LENGTH - 1].rstrip() + "…"
