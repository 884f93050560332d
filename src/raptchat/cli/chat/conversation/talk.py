"""What is said in one conversation: remembered by a session of the group, or in private only here."""

from collections.abc import Generator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Any

from raptchat.chat import ChatService, check_prompt
from raptchat.cli.budget_left import standing_of
from raptchat.cli.chat.ask import Ask, answer, find_session
from raptchat.cli.invocation import Invocation
from raptchat.clock import utc_now
from raptchat.errors import (
    GatewayError,
    GroupNotFoundError,
    IncompleteReplyError,
    InsufficientCreditError,
    RaptchatError,
    SchemaMismatchError,
    SessionNotFoundError,
    UsageError,
)
from raptchat.records import Chunk, ContentChunk, DoneChunk, Message, Session, State
from raptchat.render.formats import usd

# What a question that was sent can end in: it is stored with what was attached, for `/retry`.
_SENT = (GatewayError, IncompleteReplyError, InsufficientCreditError, SchemaMismatchError)


class Talk:
    """One conversation. *pending* goes with the next question; the line editor begins with *draft*.

    In private there is no session: the messages are kept here, numbered as a session numbers them, and *spent*
    holds what each reply took.
    """

    def __init__(self, ask: Ask, run: Invocation) -> None:
        self.ask = ask
        self.run = run
        self.pending = ask.attachments
        self.draft = ""
        self._new = {"model": ask.model, "system": ask.system}
        self.spent: list[DoneChunk] = []
        # Where the question stands that was asked again without a whole reply so far.
        self._unanswered: int | None = None
        self._aside: str | None = None
        self._private: list[Message] = []
        self._service = _Listening(run.factory)
        self.session: Session | None = find_session(ask, run)

    @property
    def model(self) -> str:
        """The model of the next question."""
        return self._service.model_for(self.ask.group, self.session, self.ask.model)

    @property
    def system(self) -> str | None:
        """The system prompt of the next question."""
        own = self.session.system_prompt if self.session and self.ask.system is None else self.ask.system
        return own or self.ask.group.system_prompt

    def use(self, *, model: str | None = None, system: str | None = None) -> None:
        """Change the model or the system prompt, here and in the session."""
        changed = {"model": model, "system_prompt": system}
        self._set(**{name: value for name, value in changed.items() if value is not None})
        self.ask = self.ask._replace(model=model or self.ask.model, system=system or self.ask.system)
        self._new = {"model": model or self._new["model"], "system": system or self._new["system"]}

    def check_rules(self, model: str) -> None:
        """`PolicyError` for a model that the group's rules do not allow."""
        self._see_group()
        if self.ask.group.policy.models:
            from raptchat.policy import check_model

            check_model(self.ask.group.policy, model, group=self.ask.group.name)

    def begin_anew(self) -> None:
        """Leave what was said; the next question begins a new session, with what was last asked for."""
        self.session, self._private, self._unanswered = None, [], None
        self.ask = self.ask._replace(**self._new)  # type: ignore[arg-type]

    def go_on_with(self, word: str) -> Session:
        """Continue another session of the group, with the model and the system prompt that it has."""
        if self.ask.group.policy.no_history:
            from raptchat.policy import refuse_history

            refuse_history(self.ask.group)
        if self.ask.private:
            raise UsageError(
                "a private conversation does not go on with a stored one", hint=f"raptchat chat --session {word}"
            )
        self._see_group()
        try:
            session = find_session(self.ask._replace(session=word, resume=False), self.run)
        except SessionNotFoundError as error:
            # What is typed here and is no command is a question.
            error.hint = error.hint.replace("raptchat sessions list", "/sessions")
            raise
        assert session is not None
        self.session, self._unanswered = session, None
        self.ask = self.ask._replace(model=None, system=None)
        return session

    def messages(self) -> list[Message]:
        """All that was said so far."""
        if self.session is None:
            return list(self._private)
        self._check_presence()
        return self.run.factory.store.sessions.messages(self.session.id)

    def last_reply(self) -> str:
        """The text of the last reply; `UsageError` when there is none."""
        text = next((one.content for one in reversed(self.messages()) if one.role == "assistant"), None)
        if text is None:
            raise UsageError("there is no reply yet", hint="ask something first")
        return text

    def last_question(self) -> Message:
        """The last question with its attachments; `UsageError` when there is none."""
        found = next((one for one in reversed(self.messages()) if one.role == "user"), None)
        if found is None:
            raise UsageError("nothing was asked yet", hint="ask something first")
        if self.session is None:
            return found
        content = self.run.factory.store.attachments.content
        return found._replace(
            attachments=tuple(one._replace(content=content(one.hash)) for one in found.attachments)
        )

    def take_back(self) -> Message:
        """Remove the last question and all that came after it; returns it."""
        self._unanswered = None
        if self.session is None:
            question = self.last_question()
            del self._private[question.seq - 1 :]
            return question
        store = self.run.factory.store
        with store.write():  # another terminal may be in this session too
            question = self.last_question()
            store.sessions.remove_messages(self.session.id, since=question.seq)
        return question

    def question(self, text: str) -> None:
        """Ask a new question, with what is attached to it, and show the reply."""
        check_prompt(text)
        attached, self.pending = self.pending, ()
        self._unanswered = None
        try:
            self._ask(Message("user", text, attachments=attached))
        except RaptchatError as error:
            if not isinstance(error, _SENT):
                self.pending = attached
            raise

    def ask_again(self) -> None:
        """Ask the last question again, and show the reply; once it is whole it takes the place of the last one."""
        question = self.last_question()
        # A reply that was cut or refused replaced nothing: the next one is to replace all of them.
        since = self._unanswered or question.seq
        asked = [one.content for one in self.messages() if one.role == "user" and one.seq >= since]
        # But what another terminal asked in this session meanwhile stays.
        self._unanswered = since if set(asked) == {question.content} else question.seq
        if self._ask(question._replace(seq=self._unanswered)):
            self._unanswered = None

    def _ask(self, question: Message) -> bool:
        """Ask *question* and show the reply; whether that is whole. With a `seq` it is asked in place of that one.

        Ctrl-C stops the reply: what had arrived is kept.
        """
        self._check_presence()
        if question.attachments:
            from raptchat.models import Models

            Models(self.run.factory).check_attachments(self.ask.group.id, self.model, question.attachments)
        began = utc_now()
        ask = self.ask._replace(prompt=question.content, resume=False, session=None)
        try:
            if self.ask.private:
                self._send_private(ask, question)
            else:
                self._send(ask, question)
        except KeyboardInterrupt:
            kept = "what had arrived is kept" if self._replied_since(began) else "nothing had arrived"
            self.run.terminal.say(f"stopped; {kept} · {self._cost_since(began)}")
            return False
        finally:
            self._aside = None
        return True

    def spent_this_month(self) -> str:
        """What the group has spent since the month began (UTC), and what is left of its budget, if it has one.

        Costs that are not known are left out, and nothing is said where none is known.
        """
        try:
            ledger = self.run.factory.store.ledger
            rows = ledger.report([], group_id=self.ask.group.id, since=f"{utc_now()[:7]}-01")
            standing = standing_of(self.run, self.ask.group)
        except RaptchatError:  # a store that is busy is no reason not to ask for the next line
            return ""
        said = [
            f"{'at least ' if row.unknown_costs else ''}{usd(row.cost)} this month"
            for row in rows
            if row.cost is not None
        ]
        if standing is not None:
            period = standing.budget.period
            said.append(f"{usd(standing.left)} left {'today' if period == 'day' else f'this {period}'}")
        return ", ".join(said)

    @property
    def aside(self) -> str:
        """As `spent_this_month`; the ledger is looked at when the conversation begins, and after each question."""
        if self._aside is None:
            self._aside = self.spent_this_month()
        return self._aside

    def _send(self, ask: Ask, question: Message) -> None:
        if self.session is not None:
            # A message of a session brings its own history.
            answer(ask, self.run, self._service, self.session, [question], instead_of=question.seq or None)
            return
        # What is refused leaves no session behind.
        draft = self._service.draft_session(ask.group.id, model=ask.model, system=ask.system)
        try:
            answer(ask, self.run, self._service, draft, [question], draft=draft)
        finally:
            with suppress(RaptchatError):
                self.session = self.run.factory.store.sessions.get(draft.id)

    def _send_private(self, ask: Ask, question: Message) -> None:
        earlier = self._private[: question.seq - 1 if question.seq else None]
        sent = [one for one in earlier if one.state != "failed"]
        heard = self._service.begin_to_listen()
        try:
            answer(ask, self.run, self._service, None, [*sent, question])
        finally:
            if heard.done is not None:
                self._private = earlier
                self.spent.append(heard.done)
            seq = len(self._private) + 1
            self._private.append(question._replace(seq=seq, state="complete" if heard.text else "failed"))
            if heard.text:
                reply = Message("assistant", heard.text, seq + 1, heard.state, self.model, utc_now())
                if heard.done is not None:
                    details = heard.done.reasoning_details
                    reply = reply._replace(reasoning=heard.done.reasoning or None, reasoning_details=details)
                self._private.append(reply)

    def _cost_since(self, began: str) -> str:
        session_id = self.session.id if self.session else None
        rows = self.run.factory.store.ledger.report(
            [], group_id=self.ask.group.id, session_id=session_id, since=began
        )
        # In private another process of the group may have paid for another request meanwhile.
        sure = [row for row in rows if row.cost is not None and row.requests == 1]
        return usd(sure[0].cost) if sure else "cost not known yet"

    def _replied_since(self, began: str) -> bool:
        store = self.run.factory.store
        messages = store.sessions.messages(self.session.id) if self.session else self._private
        return any(one.role == "assistant" and one.created_at >= began for one in messages)

    def _check_presence(self) -> None:
        """An error that says so when the group, or the session, was removed elsewhere in the meantime."""
        self._see_group()
        if self.session is not None and self.run.factory.store.sessions.get(self.session.id) is None:
            raise SessionNotFoundError("the session was removed meanwhile", hint="/new begins another one")

    def _see_group(self) -> None:
        """Take the group as it is now: who pays must not go by a name that another group may have by now."""
        known = self.ask.group
        group = self.run.factory.store.groups.again(known.id)
        if group is None:
            raise GroupNotFoundError(f"the group `{known.name}` was removed meanwhile", hint="/exit")
        if group.name != known.name:
            self.run.terminal.say(f"the group `{known.name}` is called `{group.name}` now")
        self.ask = self.ask._replace(group=group)

    def _set(self, **values: str) -> None:
        if self.session is not None:
            self._check_presence()
            store = self.run.factory.store
            with store.write():
                store.sessions.set(self.session.id, **values)
            self.session = store.sessions.get(self.session.id)


@dataclass(slots=True)
class _Heard:
    """What has arrived of a private reply, which is stored nowhere."""

    pieces: list[str] = field(default_factory=list)
    done: DoneChunk | None = None

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def state(self) -> State:
        return "incomplete" if self.done is None else "complete"


class _Listening(ChatService):
    """Hears what comes back in private, however that ends."""

    def begin_to_listen(self) -> _Heard:
        """What is heard of the next reply."""
        self._heard = _Heard()
        return self._heard

    def send_private(self, *args: Any, **kwargs: Any) -> Generator[Chunk]:
        """As `ChatService.send_private`."""
        with closing(super().send_private(*args, **kwargs)) as chunks:
            for chunk in chunks:
                if isinstance(chunk, ContentChunk):
                    self._heard.pieces.append(chunk.text)
                elif isinstance(chunk, DoneChunk):
                    self._heard.done = chunk
                yield chunk
