"""`chat --dry-run`: the request that would be sent, and who would pay for it."""

from raptchat.chat import ChatService, check_prompt
from raptchat.cli.chat.ask import Ask, check_attachments, find_session, question
from raptchat.cli.invocation import Invocation
from raptchat.credentials import CredentialService
from raptchat.providers.request import request_form
from raptchat.render import tables


def run_dry(ask: Ask, run: Invocation) -> None:
    """Show the request that would be sent; nothing is sent or stored."""
    check_prompt(ask.prompt, with_attachments=bool(ask.attachments))
    service = ChatService(run.factory)
    credentials = CredentialService(run.factory)
    credential = credentials.require_active(ask.group)
    credentials.check_endpoint(credential)
    check_attachments(ask, run)
    session = find_session(ask, run)
    context = service.context(ask.group, session, system=ask.system)
    messages = [*context, question(ask)]
    model = service.model_for(ask.group, session, ask.model)
    tables.document(
        run.terminal,
        {
            "group": ask.group.name,
            "reason": ask.reason,
            "credentialId": credential.id,
            "keyHint": credential.key_hint,
            "url": f"{credentials.url_of(credential)}/chat/completions",
            "request": request_form(messages, model, service.options_for(session, ask.options), short=True),
        },
    )
