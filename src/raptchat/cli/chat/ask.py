"""One question of a group: sent in its session or in private, and its reply shown."""

import shlex
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from raptchat import naming
from raptchat.cli.chat.notes import cite, usage_line, warn, warn_of_budget
from raptchat.cli.chat.pace import Pace
from raptchat.cli.invocation import Invocation
from raptchat.errors import IncompleteReplyError, SessionNotFoundError, WrongGroupError
from raptchat.records import Attachment, Chunk, ContentChunk, DoneChunk, Group, Message, Progress, Session
from raptchat.render.reply import ReasoningView, ReplyFormat, show
from raptchat.render.waiting import Waiting

if TYPE_CHECKING:
    from raptchat.chat import ChatService
    from raptchat.cli.documents import Document
    from raptchat.schema import Schema


class Ask(NamedTuple):
    """What `chat` was asked for."""

    prompt: str
    group: Group
    reason: str
    model: str | None = None
    system: str | None = None
    resume: bool = False
    session: str | None = None
    how: ReplyFormat = ReplyFormat.PLAIN
    stream: bool = True
    private: bool = False
    timeout: float | None = None
    max_cost: Decimal | None = None
    show_usage: bool = False
    quiet: bool = False
    options: Mapping[str, object] = MappingProxyType({})
    attachments: tuple[Attachment, ...] = ()
    reasoning: ReasoningView = ReasoningView.FOLD
    schema: "Schema | None" = None
    extract: bool = False


def run_chat(ask: Ask, run: Invocation) -> None:
    """Send one message and show its reply."""
    from raptchat.chat import ChatService, check_prompt

    check_prompt(ask.prompt, with_attachments=bool(ask.attachments))
    service = ChatService(run.factory)
    introduce(ask, run)
    check_attachments(ask, run)
    session, draft = find_session(ask, run), None
    if session is None and not ask.private:
        session = draft = service.draft_session(ask.group.id, model=ask.model, system=ask.system)
    answer(ask, run, service, session, [question(ask)], draft=draft)


def introduce(ask: Ask, run: Invocation) -> None:
    """Say who pays, in one line, where a person is looking; an error when the group has no key."""
    from raptchat.credentials import CredentialService

    credential = CredentialService(run.factory).require_active(ask.group)
    if run.terminal.err_is_tty and not ask.quiet:
        model = _model(ask, run, find_session(ask, run))
        payer = f"{ask.group.name} (chosen by {ask.reason})"
        vault = ", ".join(run.factory.store.vault.kinds())
        run.terminal.say(f"{payer} · {credential.key_hint} · {model} · vault: {vault}")


def find_session(ask: Ask, run: Invocation) -> Session | None:
    """The session to go on with, if one was asked for; one of another group is refused."""
    store = run.factory.store
    if ask.resume:
        session = store.sessions.last_used(ask.group.id)
        if session is None:
            raise SessionNotFoundError(
                f"group `{ask.group.name}` has no session to go on with", hint="leave out -c"
            )
        return session
    if ask.session is None:
        return None
    session = naming.find_session(store, ask.session)
    if session.group_id != ask.group.id:
        owner = store.groups.require(session.group_id)
        raise WrongGroupError(
            f"session {session.id[:8]} belongs to group `{owner.name}`, not to `{ask.group.name}`"
            f" (chosen by {ask.reason})",
            hint=f"raptchat chat --group {shlex.quote(owner.name)} --session {session.id[:8]}",
            group=ask.group.name,
        )
    return session


def answer(
    ask: Ask,
    run: Invocation,
    service: "ChatService",
    session: Session | None,
    messages: list[Message],
    instead_of: int | None = None,
    draft: Session | None = None,
) -> None:
    """Send the last of *messages*, in its session or with the others where there is none, and show its reply.

    In a session the reply takes the place of the messages from *instead_of* on; a *draft* of one is stored with
    the question. However it ends, what had arrived is kept and was written, and the terminal is at the beginning
    of a line.
    """
    pace = Pace()
    with _waiting(ask, run, service, session) as waiting:

        def progress(now: Progress) -> None:
            pace.ask()
            waiting.note(now)

        chunks = _send(ask, service, session, messages, progress, instead_of, draft)
        with closing(chunks):
            _show_reply(ask, run, chunks, session, waiting=waiting, pace=pace)


def _send(
    ask: Ask,
    service: "ChatService",
    session: Session | None,
    messages: list[Message],
    progress: Callable[[Progress], None],
    instead_of: int | None,
    draft: Session | None,
) -> Generator[Chunk]:
    if session is None:
        return service.send_private(
            ask.group.id,
            messages,
            system=ask.system,
            model=ask.model,
            options=ask.options,
            timeout=ask.timeout,
            progress=progress,
            max_cost=ask.max_cost,
        )
    return service.send_message(
        session.id,
        messages[-1].content,
        system=ask.system,
        model=ask.model,
        options=ask.options,
        timeout=ask.timeout,
        attachments=messages[-1].attachments,
        progress=progress,
        instead_of=instead_of,
        draft=draft,
        max_cost=ask.max_cost,
    )


def _show_reply(
    ask: Ask,
    run: Invocation,
    chunks: Generator[Chunk],
    session: Session | None,
    *,
    waiting: Waiting,
    pace: Pace,
) -> None:
    """Show a reply as it arrives, and what there is to say about it at its end.

    `SchemaMismatchError` and `IncompleteReplyError` rise when it has not the shape, or no code block to extract:
    then it was kept and all is said.
    """

    def document(done: DoneChunk) -> "Document":
        return _document(ask, session, done)

    # A block to extract is known at the end only; until then nothing is shown.
    how = ReplyFormat.JSON if ask.extract and ask.how is not ReplyFormat.JSONL else ask.how
    try:
        done = show(
            pace.of(chunks),
            run.terminal,
            how,
            stream=ask.stream,
            quiet=ask.quiet,
            done=document,
            reasoning=ask.reasoning,
            waiting=waiting,
        )
    except IncompleteReplyError as error:
        if ask.how is ReplyFormat.JSON and isinstance(error.partial, DoneChunk) and error.partial.content:
            _write(run, document(error.partial))
        raise
    assert done is not None  # a service that does not raise says so last
    if ask.how is ReplyFormat.JSON:
        _write(run, document(done))
    elif ask.extract and ask.how is not ReplyFormat.JSONL:
        _show_block(ask, run, done)
    warn(run.terminal, done, asked=_model(ask, run, session), options=ask.options, max_cost=ask.max_cost)
    if not ask.quiet:
        cite(run.terminal, done)
    warn_of_budget(ask.group, run)
    if ask.show_usage:
        run.terminal.say(usage_line(done, pace))
    _check_shape(ask, session, done)


def question(ask: Ask) -> Message:
    """The message that is asked for."""
    return Message("user", ask.prompt, attachments=ask.attachments)


def check_attachments(ask: Ask, run: Invocation) -> None:
    """`UsageError` for an attachment that the model is known not to take, before anything is sent or stored."""
    if ask.attachments:
        from raptchat.models import Models

        model = _model(ask, run, find_session(ask, run))
        Models(run.factory).check_attachments(ask.group.id, model, ask.attachments)


def _model(ask: Ask, run: Invocation, session: Session | None) -> str:
    from raptchat.chat import ChatService

    return ChatService(run.factory).model_for(ask.group, session, ask.model)


def _waiting(ask: Ask, run: Invocation, service: "ChatService", session: Session | None) -> Waiting:
    """What is waited for, in words that only a person needs."""
    from raptchat.credentials import CredentialService

    if ask.quiet or not run.terminal.err_repaints:
        return Waiting(run.terminal, quiet=True)
    credentials = CredentialService(run.factory)
    host = urlsplit(credentials.url_of(credentials.require_active(ask.group))).netloc
    return Waiting(run.terminal, host=host, model=service.model_for(ask.group, session, ask.model))


def _show_block(ask: Ask, run: Invocation, done: DoneChunk) -> None:
    block = _block(ask, done)
    if block is not None:
        # The fence is gone: what was in it is no Markdown.
        how = ReplyFormat.RAW if ask.how is ReplyFormat.RAW else ReplyFormat.PLAIN
        show([ContentChunk(block)], run.terminal, how, stream=False)


def _block(ask: Ask, done: DoneChunk) -> str | None:
    """What of the reply was asked for with `-x`: a document may come without a fence."""
    from raptchat.render.extract import first_block

    block = first_block(done.content)
    return done.content if block is None and ask.schema is not None else block


def _check_shape(ask: Ask, session: Session | None, done: DoneChunk) -> None:
    wanted = _block(ask, done) if ask.extract else done.content
    if wanted is None:
        raise IncompleteReplyError(
            "the reply has no code block to extract",
            hint=f"raptchat sessions show {session.id[:8]}" if session else "ask for one, or leave out -x",
        )
    if ask.schema is not None:
        ask.schema.check(wanted)


def _write(run: Invocation, document: "Document") -> None:
    from raptchat.render import tables

    tables.document(run.terminal, document)


def _document(ask: Ask, session: Session | None, done: DoneChunk) -> "Document":
    from raptchat.cli import documents

    document: Document = {
        "group": ask.group.name,
        "session": session.id if session else None,
        "model": done.model,
        "content": done.content,
        "finishReason": done.finish_reason,
        "usage": documents.tokens_and_cost(done.usage),
        "credentialId": done.credential_id,
    }
    if done.reasoning:
        document["reasoning"] = done.reasoning
    if done.citations:
        document["citations"] = [{"url": one.url, "title": one.title} for one in done.citations]
    if ask.extract:
        document["extracted"] = _block(ask, done)
    return document
