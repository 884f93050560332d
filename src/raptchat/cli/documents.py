"""The nouns as `--json` shows them: field names in camelCase, unknown as `null`, money as a decimal string."""

from collections.abc import Sequence
from decimal import Decimal
from itertools import accumulate
from typing import TYPE_CHECKING

from raptchat.records import (
    Attachment,
    Budget,
    Credential,
    Event,
    FoundMessage,
    Group,
    Message,
    SessionSummary,
    Slot,
    Usage,
    UsageRow,
)

if TYPE_CHECKING:
    from raptchat.budgets import Standing

Document = dict[str, object]


def money(amount: Decimal | None) -> str | None:
    """*amount* in US dollars without an exponent, such as `0.000014`."""
    return None if amount is None else format(amount.normalize() if amount else Decimal(0), "f")


def group(found: Group, key: Credential | None) -> Document:
    """A group, with the hint of the *key* that it pays with."""
    return {
        "id": found.id,
        "name": found.name,
        "description": found.description,
        "model": found.model,
        "system": found.system_prompt,
        "provider": found.provider,
        "keyHint": key.key_hint if key else None,
        "lastUsedAt": key.last_used_at if key else None,
        "policy": {
            "models": list(found.policy.models),
            "zdr": found.policy.zdr,
            "denyTraining": found.policy.deny_training,
            "maxCost": money(found.policy.max_cost),
            "noHistory": found.policy.no_history,
        },
        "budget": _budget(found.budget) if found.budget else None,
        "suspendedAt": found.suspended_at,
        "createdAt": found.created_at,
        "updatedAt": found.updated_at,
    }


def _budget(found: Budget) -> Document:
    return {"amount": money(found.amount), "period": found.period, "warnPercent": found.warn_percent}


def standing(found: "Standing") -> Document:
    """A budget, and what is spent and left of it."""
    return {
        **_budget(found.budget),
        "spent": money(found.spent),
        "unknownCosts": found.unknown_costs,
        "reserved": money(found.reserved),
        "left": money(found.left),
        "resetsAt": found.resets_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def slot(found: Slot) -> Document:
    """A slot of the vault: what it is, and where its secret is kept."""
    return {"id": found.id, "kind": found.kind, "place": place(found), "createdAt": found.created_at}


def place(found: Slot) -> str:
    """What opens this slot, in words."""
    match found.kind:
        case "keyring":
            return f"the keyring ({found.params.get('backend')})"
        case "file":
            return f"the key file {found.params.get('path')}"
        case "recovery":
            return "a recovery key"
        case _:
            return "a passphrase"


def credential(found: Credential, group_name: str, shared_with: Sequence[str] = ()) -> Document:
    """A credential: of its key only the hint, and which other groups have it too."""
    shared = {"sharedWith": list(shared_with)} if shared_with else {}
    return {
        "id": found.id,
        "groupId": found.group_id,
        "group": group_name,
        "provider": found.provider,
        "kind": found.kind,
        "keyHint": found.key_hint,
        "label": found.label,
        "baseUrl": found.base_url,
        "endpoint": found.endpoint,
        "isActive": found.is_active,
        "createdAt": found.created_at,
        "updatedAt": found.updated_at,
        "lastUsedAt": found.last_used_at,
        "createdBy": found.created_by,
        **shared,
    }


def event(found: Event) -> Document:
    """What was done to which credential."""
    return {
        "createdAt": found.created_at,
        "action": found.action,
        "group": found.group_name,
        "groupId": found.group_id,
        "credentialId": found.credential_id,
        "command": found.command,
        "osUser": found.os_user,
        "host": found.host,
    }


def session(found: SessionSummary, group_name: str) -> Document:
    """A session, with how many messages it has and what is known of its cost."""
    about = found.session
    return {
        "id": about.id,
        "groupId": about.group_id,
        "group": group_name,
        "title": about.title,
        "model": about.model,
        "system": about.system_prompt,
        "messageCount": found.messages,
        "cost": money(found.cost),
        "unknownCosts": found.unknown_costs,
        "createdAt": about.created_at,
        "lastUsedAt": about.last_used_at,
    }


def message(found: Message) -> Document:
    """A message: a reply with its model and reasoning, another with its attachments but for their content."""
    of_role: Document = (
        {"model": found.model, "reasoning": found.reasoning}
        if found.role == "assistant"
        else {"attachments": [attachment(one) for one in found.attachments]}
    )
    return {
        "seq": found.seq,
        "role": found.role,
        "content": found.content,
        "state": found.state,
        **of_role,
        "createdAt": found.created_at,
    }


def attachment(found: Attachment) -> Document:
    """A file that goes with a message; *size* in bytes, *hash* its SHA-256."""
    return {"name": found.name, "mediaType": found.media_type, "size": found.size, "hash": found.hash}


def transcript(found: SessionSummary, group_name: str, messages: Sequence[Message]) -> Document:
    """A session with all of its messages."""
    return {**session(found, group_name), "messages": [message(one) for one in messages]}


def found_message(found: FoundMessage) -> Document:
    """A message that was searched for; *hits* are the beginnings and ends of what matched in its *excerpt*."""
    ends = list(accumulate(map(len, found.excerpt)))
    return {
        "session": found.session_id,
        "groupId": found.group_id,
        "group": found.group_name,
        "title": found.title,
        "seq": found.seq,
        "role": found.role,
        "createdAt": found.created_at,
        "excerpt": "".join(found.excerpt),
        "hits": [[begin, end] for begin, end in zip(ends[::2], ends[1::2], strict=False)],
    }


def tokens_and_cost(usage: Usage | UsageRow) -> Document:
    """What one request took, or several."""
    return {
        "inputTokens": usage.input_tokens,
        "outputTokens": usage.output_tokens,
        "totalTokens": usage.total_tokens,
        "cachedTokens": usage.cached_tokens,
        "reasoningTokens": usage.reasoning_tokens,
        "cost": money(usage.cost),
    }
