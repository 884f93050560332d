"""`ChatService`: sessions, and what goes with a message of theirs."""

from collections.abc import Callable, Generator, Mapping, Sequence
from decimal import Decimal

from raptchat.errors import SessionNotFoundError, UsageError
from raptchat.factory import Factory
from raptchat.outside import safe_line, shortened
from raptchat.providers.request import check_size
from raptchat.records import Attachment, Chunk, Group, Message, Progress, Session
from raptchat.turn import Turn

_TITLE_LENGTH = 60


class ChatService:
    """Sends messages of a session with the key of the session's group, and keeps what comes back.

    It opens the default store, or works with what *factory* opens.
    """

    def __init__(self, factory: Factory | None = None) -> None:
        self._factory = factory or Factory()

    def create_session(
        self, group_id: str, *, title: str | None = None, model: str | None = None, system: str | None = None
    ) -> Session:
        """A new, empty session of a group; *model* and *system* stay with it.

        `GroupNotFoundError`; `PolicyError` for a group whose conversations are not stored.
        """
        with self._factory.store.write():
            session = self.draft_session(group_id, title=title, model=model, system=system)
            self._factory.store.sessions.put(session)
            return session

    def draft_session(
        self, group_id: str, *, title: str | None = None, model: str | None = None, system: str | None = None
    ) -> Session:
        """As `create_session`, but for the storing: `send_message` does that with its first message."""
        _check_history(self._factory.store.groups.require(group_id))
        return self._factory.store.sessions.draft(group_id, title=title, model=model, system=system)

    def send_message(
        self,
        session_id: str,
        user_message: str,
        *,
        system: str | None = None,
        model: str | None = None,
        options: Mapping[str, object] | None = None,
        timeout: float | None = None,
        attachments: Sequence[Attachment] = (),
        progress: Callable[[Progress], None] | None = None,
        instead_of: int | None = None,
        draft: Session | None = None,
        max_cost: Decimal | None = None,
    ) -> Generator[Chunk]:
        """Yield the reply as it arrives, and one `DoneChunk` last, when everything is stored.

        The user's message is stored before the request is sent, with its *attachments*, which have their
        content; in the same transaction its session is, when that is still a *draft*. *progress* is told what is
        waited for until the reply begins. With *instead_of*, the `seq` of a message, the context ends before that
        one, and a whole reply takes the place of all from there on. *system* is the session's system prompt from
        now on; an empty one takes it away. *max_cost* is the most that the request may cost, in US dollars.

        However the reply ends, what had arrived is kept: `incomplete` when it was cut short, by whomever. Raises
        `AiNotConfiguredError` when the session's group has no key, `PolicyError` for what its rules do not allow,
        `BudgetExceededError` for what could cost more than it may: then nothing is stored or sent;
        `IncompleteReplyError` for an empty or cut reply, and the other `GatewayError`s.
        """
        check_prompt(user_message, with_attachments=bool(attachments))
        store = self._factory.store
        session = draft or self._session(session_id)
        group = store.groups.require(session.group_id)
        _check_history(group)
        replaced = store.sessions.message_id(session.id, instead_of) if instead_of is not None else None
        if instead_of is not None and replaced is None:
            raise UsageError(
                f"the session has no message {instead_of}", hint=f"raptchat sessions show {session.id}"
            )
        turn = Turn(
            self._factory,
            group,
            session,
            model=self.model_for(group, session, model),
            options=self.options_for(session, options),
            timeout=timeout,
            progress=progress,
            max_cost=max_cost,
        )
        message = Message("user", user_message, attachments=tuple(attachments))
        messages = [*self.context(group, session, system=system, before=instead_of), message]
        check_size(messages)
        turn.estimate(messages)

        def ask() -> int:
            if draft is not None:
                store.sessions.put(draft)
            found = self._session(session.id)  # opening the vault can take long, and it may be gone since
            if system is not None and found.system_prompt != (system or None):
                store.sessions.set(found.id, system_prompt=system or None)
            if found.title is None:
                store.sessions.set(found.id, title=shortened(" ".join(user_message.split()), _TITLE_LENGTH))
            asked = store.sessions.add_message(found.id, "user", user_message)
            store.attachments.add(asked, attachments)
            return asked

        yield from turn.converse(messages, ask, instead_of=replaced)

    def send_private(
        self,
        group_id: str,
        messages: list[Message],
        *,
        system: str | None = None,
        model: str | None = None,
        options: Mapping[str, object] | None = None,
        timeout: float | None = None,
        progress: Callable[[Progress], None] | None = None,
        max_cost: Decimal | None = None,
    ) -> Generator[Chunk]:
        """As `send_message`, for *messages* that belong to no session: only the usage is stored."""
        last = messages[-1] if messages else Message("user", "")
        check_prompt(last.content, with_attachments=bool(last.attachments))
        group = self._factory.store.groups.require(group_id)
        turn = Turn(
            self._factory,
            group,
            None,
            model=self.model_for(group, None, model),
            options=self.options_for(None, options),
            timeout=timeout,
            progress=progress,
            max_cost=max_cost,
        )
        sent = [*self.context(group, None, system=system), *messages]
        turn.estimate(sent)
        yield from turn.converse(sent, lambda: None)

    def context(
        self, group: Group, session: Session | None, *, system: str | None = None, before: int | None = None
    ) -> list[Message]:
        """What goes before a new message: the system prompt, and the session's last messages, up to *before*.

        That prompt is *system*, unless that is `None` the session's; where it is empty, the group's.
        """
        own = session.system_prompt if session and system is None else system
        system = own or group.system_prompt
        earlier = self._earlier(session, before) if session else []
        return [*([Message("system", system)] if system else []), *earlier]

    def _session(self, session_id: str) -> Session:
        session = self._factory.store.sessions.get(session_id)
        if session is None:
            raise SessionNotFoundError(
                f"there is no session `{safe_line(session_id)[:80]}`", hint="raptchat sessions list"
            )
        return session

    def _earlier(self, session: Session, before: int | None) -> list[Message]:
        store, limit = self._factory.store, self._factory.settings.history_messages
        messages = store.sessions.history(session.id, limit, before=before)
        since = messages[0].seq if messages else 1
        attachments = store.attachments.of_session(session.id, with_content=True, since=since)
        return [one._replace(attachments=attachments.get(one.seq, ())) for one in messages]

    def model_for(self, group: Group, session: Session | None, wanted: str | None = None) -> str:
        """The model of a request: what is *wanted*, the session's, the group's, or the default; no alias."""
        settings = self._factory.settings
        session_model = session.model if session else None
        return settings.model_named(wanted or session_model or group.model or settings.default_model)

    def options_for(self, session: Session | None, options: Mapping[str, object] | None) -> dict[str, object]:
        """The further fields of a request: what is asked for, and the conversation's id."""
        # A random id, and the same for all of a conversation, lets the gateway keep its prompt cache warm.
        return {**({"session_id": session.id} if session else {}), **(options or {})}


def _check_history(group: Group) -> None:
    if group.policy.no_history:
        from raptchat.policy import refuse_history

        refuse_history(group)


def check_prompt(text: str, *, with_attachments: bool = False) -> None:
    """`UsageError` for a message that cannot be sent or stored: empty, with a NUL, or not Unicode text."""
    if not text.strip() and with_attachments:
        raise UsageError("an attachment needs a question", hint='raptchat chat -a FILE "what is this?"')
    if not text.strip():
        raise UsageError("the prompt is empty", hint='raptchat chat "your question"')
    if (position := text.find("\0")) >= 0:
        raise UsageError(f"the prompt holds a NUL character at position {position}", hint="send text only")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"the prompt is not valid UTF-8 at position {error.start}") from None
