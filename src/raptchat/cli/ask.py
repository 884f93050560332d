"""One question of a group: sent in its session or in private, and its reply shown."""

import shlex
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from raptchat import naming
from raptchat.cli import documents
from raptchat.cli.invocation import Invocation
from raptchat.errors import IncompleteReplyError, SessionNotFoundError, WrongGroupError
from raptchat.records import Chunk, DoneChunk, Group, Message, Session
from raptchat.render import tables
from raptchat.render.formats import tokens, usd
from raptchat.render.reply import ReplyFormat, show

if TYPE_CHECKING:
    from raptchat.chat import ChatService


@dataclass(frozen=True, slots=True)
class Ask:
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
    show_usage: bool = False
    quiet: bool = False
    options: dict[str, object] = field(default_factory=dict)


def run_chat(ask: Ask, run: Invocation) -> None:
    """Send one message and show its reply."""
    from raptchat.chat import ChatService, check_prompt

    check_prompt(ask.prompt)
    service = ChatService(run.factory)
    introduce(ask, run)
    session = open_session(ask, run, service)
    with closing(send(ask, service, session, [Message("user", ask.prompt)])) as chunks:
        show_reply(ask, run, chunks, session)


def run_dry(ask: Ask, run: Invocation) -> None:
    """Show the request that would be sent; nothing is sent or stored."""
    from raptchat.chat import ChatService, check_prompt
    from raptchat.credentials import CredentialService

    check_prompt(ask.prompt)
    service = ChatService(run.factory)
    credentials = CredentialService(run.factory)
    credential = credentials.require_active(ask.group)
    credentials.check_endpoint(credential)
    session = find_session(ask, run)
    context = service.context(ask.group, session, system=ask.system)
    messages = [*context, Message("user", ask.prompt)]
    model = service.model_for(ask.group, session, ask.model)
    tables.document(
        run.terminal,
        {
            "group": ask.group.name,
            "reason": ask.reason,
            "credentialId": credential.id,
            "keyHint": credential.key_hint,
            "url": f"{credentials.url_of(credential)}/chat/completions",
            "request": {
                "model": model,
                "messages": [{"role": one.role, "content": one.content} for one in messages],
                "stream": True,
                **service.options_for(session, ask.options),
            },
        },
    )


def introduce(ask: Ask, run: Invocation) -> None:
    """Say who pays, in one line, where a person is looking; an error when the group has no key."""
    from raptchat.chat import ChatService
    from raptchat.credentials import CredentialService

    credential = CredentialService(run.factory).require_active(ask.group)
    if run.terminal.err_is_tty and not ask.quiet:
        model = ChatService(run.factory).model_for(ask.group, find_session(ask, run), ask.model)
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
            f"session {session.id[:8]} belongs to group `{owner.name}`, not to `{ask.group.name}`",
            hint=f"--group {shlex.quote(owner.name)} (here {ask.reason} decides)",
            group=ask.group.name,
        )
    return session


def open_session(ask: Ask, run: Invocation, service: "ChatService") -> Session | None:
    """The session for a message: the one to go on with, a new one, or none when it is private."""
    if ask.private:
        return None
    if session := find_session(ask, run):
        if ask.system is not None:
            with run.factory.store.write():
                run.factory.store.sessions.set(session.id, system_prompt=ask.system or None)
        return session
    return service.create_session(ask.group.id, model=ask.model, system=ask.system)


def send(ask: Ask, service: "ChatService", session: Session | None, messages: list[Message]) -> Generator[Chunk]:
    """Send the last of *messages*: in its session, or with the others where there is none."""
    if session is None:
        return service.send_private(
            ask.group.id,
            messages,
            system=ask.system,
            model=ask.model,
            options=ask.options,
            timeout=ask.timeout,
        )
    return service.send_message(
        session.id, messages[-1].content, model=ask.model, options=ask.options, timeout=ask.timeout
    )


def show_reply(ask: Ask, run: Invocation, chunks: Generator[Chunk], session: Session | None) -> DoneChunk | None:
    """Show a reply as it arrives, and what there is to say about it at its end."""

    def document(done: DoneChunk) -> documents.Document:
        return _document(ask, session, done)

    try:
        done = show(chunks, run.terminal, ask.how, stream=ask.stream, quiet=ask.quiet, done=document)
    except IncompleteReplyError as error:
        if ask.how is ReplyFormat.JSON and isinstance(error.partial, DoneChunk) and error.partial.content:
            tables.document(run.terminal, document(error.partial))
        raise
    if done is None:
        return None
    if ask.how is ReplyFormat.JSON:
        tables.document(run.terminal, document(done))
    if done.finish_reason == "length":
        run.terminal.say("the reply was cut at its length limit: --max-tokens N allows more")
    elif done.finish_reason == "content_filter":
        run.terminal.say("the reply was cut by the gateway's content filter")
    if ask.show_usage:
        run.terminal.say(usage_line(done))
    return done


def usage_line(done: DoneChunk) -> str:
    """What a reply took, in one line."""
    usage = done.usage
    cost = usd(usage.cost) if usage.cost is not None else "cost unknown"
    return f"{tokens(usage.input_tokens)} tokens in, {tokens(usage.output_tokens)} out, {cost}, {done.model}"


def _document(ask: Ask, session: Session | None, done: DoneChunk) -> documents.Document:
    return {
        "group": ask.group.name,
        "session": session.id if session else None,
        "model": done.model,
        "content": done.content,
        "finishReason": done.finish_reason,
        "usage": documents.tokens_and_cost(done.usage),
        "credentialId": done.credential_id,
    }
