"""Chat with language models, with a separate, encrypted API key for every group.

The public names are imported when first asked for: importing this package opens nothing and
loads nothing heavy.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from raptchat.chat import ChatService
    from raptchat.clients import get_ai_client, get_ai_client_for_group
    from raptchat.credentials import CredentialService
    from raptchat.errors import (
        AiNotConfiguredError,
        AuthenticationFailedError,
        CredentialNotFoundError,
        DuplicateCredentialError,
        GatewayError,
        GroupNotFoundError,
        IncompleteReplyError,
        RaptchatError,
        SessionNotFoundError,
        SharedKeyError,
        StoreError,
        UsageError,
        WrongGroupError,
    )
    from raptchat.factory import Factory
    from raptchat.providers.openrouter import OpenRouterClient
    from raptchat.records import (
        ContentChunk,
        DoneChunk,
        Message,
        ReasoningChunk,
        RetryChunk,
        Usage,
    )

__all__ = [
    "AiNotConfiguredError",
    "AuthenticationFailedError",
    "ChatService",
    "ContentChunk",
    "CredentialNotFoundError",
    "CredentialService",
    "DoneChunk",
    "DuplicateCredentialError",
    "Factory",
    "GatewayError",
    "GroupNotFoundError",
    "IncompleteReplyError",
    "Message",
    "OpenRouterClient",
    "RaptchatError",
    "ReasoningChunk",
    "RetryChunk",
    "SessionNotFoundError",
    "SharedKeyError",
    "StoreError",
    "Usage",
    "UsageError",
    "WrongGroupError",
    "get_ai_client",
    "get_ai_client_for_group",
]

_HOMES = {
    "AiNotConfiguredError": "raptchat.errors",
    "AuthenticationFailedError": "raptchat.errors",
    "ChatService": "raptchat.chat",
    "ContentChunk": "raptchat.records",
    "CredentialNotFoundError": "raptchat.errors",
    "CredentialService": "raptchat.credentials",
    "DoneChunk": "raptchat.records",
    "DuplicateCredentialError": "raptchat.errors",
    "Factory": "raptchat.factory",
    "GatewayError": "raptchat.errors",
    "GroupNotFoundError": "raptchat.errors",
    "IncompleteReplyError": "raptchat.errors",
    "Message": "raptchat.records",
    "OpenRouterClient": "raptchat.providers.openrouter",
    "RaptchatError": "raptchat.errors",
    "ReasoningChunk": "raptchat.records",
    "RetryChunk": "raptchat.records",
    "SessionNotFoundError": "raptchat.errors",
    "SharedKeyError": "raptchat.errors",
    "StoreError": "raptchat.errors",
    "Usage": "raptchat.records",
    "UsageError": "raptchat.errors",
    "WrongGroupError": "raptchat.errors",
    "get_ai_client": "raptchat.clients",
    "get_ai_client_for_group": "raptchat.clients",
}


def __getattr__(name: str) -> object:
    """Import a public name from where it lives."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
