"""The nouns as `--json` shows them: field names in camelCase, unknown as `null`, money as a decimal string."""

from decimal import Decimal

from raptchat.records import Credential, Group, Message, Session, Usage

Document = dict[str, object]


def money(amount: Decimal | None) -> str | None:
    """*amount* in US dollars without an exponent, such as `0.000014`."""
    return None if amount is None else format(amount.normalize() if amount else Decimal(0), "f")


def group(found: Group) -> Document:
    """A group."""
    return {
        "id": found.id,
        "name": found.name,
        "description": found.description,
        "model": found.model,
        "system": found.system_prompt,
        "provider": found.provider,
        "createdAt": found.created_at,
        "updatedAt": found.updated_at,
    }


def credential(found: Credential, group_name: str) -> Document:
    """A credential: of its key only the hint."""
    return {
        "id": found.id,
        "groupId": found.group_id,
        "group": group_name,
        "provider": found.provider,
        "keyHint": found.key_hint,
        "label": found.label,
        "baseUrl": found.base_url,
        "endpoint": found.endpoint,
        "isActive": found.is_active,
        "createdAt": found.created_at,
        "updatedAt": found.updated_at,
        "lastUsedAt": found.last_used_at,
        "createdBy": found.created_by,
    }


def session(found: Session, group_name: str, messages: int) -> Document:
    """A session, with how many messages it has."""
    return {
        "id": found.id,
        "groupId": found.group_id,
        "group": group_name,
        "title": found.title,
        "model": found.model,
        "system": found.system_prompt,
        "messageCount": messages,
        "createdAt": found.created_at,
        "lastUsedAt": found.last_used_at,
    }


def message(found: Message) -> Document:
    """A message."""
    return {
        "seq": found.seq,
        "role": found.role,
        "content": found.content,
        "state": found.state,
        "model": found.model,
        "createdAt": found.created_at,
    }


def tokens_and_cost(usage: Usage) -> Document:
    """What one request took."""
    return {
        "inputTokens": usage.input_tokens,
        "outputTokens": usage.output_tokens,
        "totalTokens": usage.total_tokens,
        "cachedTokens": usage.cached_tokens,
        "reasoningTokens": usage.reasoning_tokens,
        "cost": money(usage.cost),
    }
