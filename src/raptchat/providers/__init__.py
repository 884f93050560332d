"""The wire: one module a provider, and the table of the known ones."""

from importlib import import_module
from typing import TYPE_CHECKING

from raptchat.errors import UsageError
from raptchat.outside import safe_line, without_keys

if TYPE_CHECKING:
    from raptchat.providers.chat_client import ChatClient

DEFAULT_PROVIDER = "openrouter"
OPENAI_COMPATIBLE = "openai-compatible"

KNOWN = {
    DEFAULT_PROVIDER: "raptchat.providers.openrouter:OpenRouterClient",
    OPENAI_COMPATIBLE: "raptchat.providers.openai_compatible:OpenAiCompatibleClient",
}
# They are many, and each is somewhere else.
_WITHOUT_A_PLACE = {OPENAI_COMPATIBLE}


def check_known(provider: str) -> None:
    """`UsageError`, which lists the known providers, for a name that is none of them."""
    if provider not in KNOWN:
        raise UsageError(
            f"there is no provider `{safe_line(without_keys(provider))[:100]}`",
            hint=f"providers: {', '.join(KNOWN)}",
        )


def check_base_url(provider: str, base_url: str | None) -> None:
    """`UsageError` when *provider* is no one place, and no *base_url* says which of many is meant."""
    if base_url is None and provider in _WITHOUT_A_PLACE:
        raise UsageError(
            f"the provider `{provider}` needs the gateway's address",
            hint="add --base-url URL, such as http://127.0.0.1:4000/v1",
        )


def client_class(provider: str) -> "type[ChatClient]":
    """The class that talks to *provider*; `UsageError` lists the known ones."""
    check_known(provider)
    module, _, name = KNOWN[provider].partition(":")
    found: type[ChatClient] = getattr(import_module(module), name)
    return found
