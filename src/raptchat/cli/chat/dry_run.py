"""`chat --dry-run`: the request that would be sent, and who would pay for it."""

from collections.abc import Mapping, Sequence

from raptchat import policy
from raptchat.allowance import Allowance
from raptchat.chat import ChatService, check_prompt
from raptchat.cli.chat.ask import Ask, check_attachments, find_session, question
from raptchat.cli.invocation import Invocation
from raptchat.credentials import CredentialService
from raptchat.providers import client_class
from raptchat.records import Message
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
    options = _held_to_rules(
        ask, run, credential.provider, model, service.options_for(session, ask.options), messages
    )
    tables.document(
        run.terminal,
        {
            "group": ask.group.name,
            "reason": ask.reason,
            "credentialId": credential.id,
            "keyHint": credential.key_hint,
            "url": f"{credentials.url_of(credential)}/chat/completions",
            "request": client_class(credential.provider).request_form(messages, model, options, short=True),
        },
    )


def _held_to_rules(
    ask: Ask,
    run: Invocation,
    provider: str,
    model: str,
    options: Mapping[str, object],
    messages: Sequence[Message],
) -> Mapping[str, object]:
    """*options* as the group's rules change them; what would be refused is. Only remembered prices are known."""
    group = ask.group
    options = policy.check(group.policy, provider=provider, model=model, options=options, group=group.name)
    if group.budget is None and group.policy.max_cost is None and ask.max_cost is None:
        return options
    allowance = Allowance(
        run.factory,
        group,
        provider=provider,
        model=model,
        options=options,
        messages=messages,
        max_cost=ask.max_cost,
        ask=False,
    )
    allowance.check()
    return allowance.options
