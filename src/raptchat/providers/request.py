"""The body of a chat request: messages, model and options, as JSON."""

import json
from collections.abc import Mapping, Sequence

from raptchat.errors import UsageError
from raptchat.providers.reply import well_formed
from raptchat.records import Message

_OURS = ("messages", "model", "stream")


def body(messages: Sequence[Message | Mapping[str, object]], model: str, options: Mapping[str, object]) -> bytes:
    """The request in UTF-8; *options* are further fields. `UsageError` for what cannot be sent."""
    if not messages:
        raise UsageError("there is no message to send")
    if taken := [name for name in _OURS if name in options]:
        raise UsageError(f"`{taken[0]}` cannot be set as an option")
    fields = {**options, "model": model, "messages": [_message(message) for message in messages], "stream": True}
    try:
        text = json.dumps(fields, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        raise UsageError("a message or an option cannot be written as JSON") from None
    return well_formed(text).encode()


def _message(message: Message | Mapping[str, object]) -> dict[str, object]:
    if isinstance(message, Message):
        return {"role": message.role, "content": message.content}
    missing = [name for name in ("role", "content") if name not in message]
    if missing:
        raise UsageError(f"a message has no `{missing[0]}`")
    # Nothing else of a stored message is the gateway's business.
    return {"role": message["role"], "content": message["content"]}
