"""Chat with language models, with a separate, encrypted API key for every group.

The public names are imported when first asked for: importing this package opens nothing and
loads nothing heavy.
"""

__version__ = "0.1.0"

# That of `typing`, which alone would take as long to import as `raptchat --version` takes.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from raptchat.chat import ChatService
    from raptchat.clients import get_ai_client, get_ai_client_for_group
    from raptchat.credentials import CredentialService
    from raptchat.errors import (
        AiNotConfiguredError,
        AuthenticationFailedError,
        BudgetExceededError,
        ContentRefusedError,
        CredentialNotFoundError,
        DecryptionFailedError,
        DuplicateCredentialError,
        DuplicateGroupError,
        GatewayError,
        GatewayTimeoutError,
        GroupNotFoundError,
        IncompleteReplyError,
        InsufficientCreditError,
        InvalidResponseError,
        ModelNotAvailableError,
        NoGroupError,
        OutputError,
        PolicyError,
        RaptchatError,
        RateLimitedError,
        SchemaMismatchError,
        SessionNotFoundError,
        SharedKeyError,
        SignalledError,
        StoreBusyError,
        StoreError,
        UnconfirmedError,
        UsageError,
        VaultLockedError,
        VaultUnavailableError,
        WrongGroupError,
    )
    from raptchat.factory import Factory
    from raptchat.providers.openrouter import OpenRouterClient
    from raptchat.records import ContentChunk, DoneChunk, Message, ReasoningChunk, RetryChunk, Usage

__all__ = [
    "AiNotConfiguredError",
    "AuthenticationFailedError",
    "BudgetExceededError",
    "ChatService",
    "ContentChunk",
    "ContentRefusedError",
    "CredentialNotFoundError",
    "CredentialService",
    "DecryptionFailedError",
    "DoneChunk",
    "DuplicateCredentialError",
    "DuplicateGroupError",
    "Factory",
    "GatewayError",
    "GatewayTimeoutError",
    "GroupNotFoundError",
    "IncompleteReplyError",
    "InsufficientCreditError",
    "InvalidResponseError",
    "Message",
    "ModelNotAvailableError",
    "NoGroupError",
    "OpenRouterClient",
    "OutputError",
    "PolicyError",
    "RaptchatError",
    "RateLimitedError",
    "ReasoningChunk",
    "RetryChunk",
    "SchemaMismatchError",
    "SessionNotFoundError",
    "SharedKeyError",
    "SignalledError",
    "StoreBusyError",
    "StoreError",
    "UnconfirmedError",
    "Usage",
    "UsageError",
    "VaultLockedError",
    "VaultUnavailableError",
    "WrongGroupError",
    "get_ai_client",
    "get_ai_client_for_group",
]

# All others are errors.
_HOMES = {
    "ChatService": "raptchat.chat",
    "ContentChunk": "raptchat.records",
    "CredentialService": "raptchat.credentials",
    "DoneChunk": "raptchat.records",
    "Factory": "raptchat.factory",
    "Message": "raptchat.records",
    "OpenRouterClient": "raptchat.providers.openrouter",
    "ReasoningChunk": "raptchat.records",
    "RetryChunk": "raptchat.records",
    "Usage": "raptchat.records",
    "get_ai_client": "raptchat.clients",
    "get_ai_client_for_group": "raptchat.clients",
}


def __getattr__(name: str) -> object:
    """Import a public name from where it lives."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES.get(name, "raptchat.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
