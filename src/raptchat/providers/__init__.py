"""The wire: one module a provider, and the table of the known ones."""

from importlib import import_module
from typing import TYPE_CHECKING

from raptchat.errors import UsageError
from raptchat.outside import safe_line, without_keys

if TYPE_CHECKING:
    from raptchat.providers.openrouter import OpenRouterClient

DEFAULT_PROVIDER = "openrouter"

KNOWN = {"openrouter": "raptchat.providers.openrouter:OpenRouterClient"}


def check_known(provider: str) -> None:
    """`UsageError`, which lists the known providers, for a name that is none of them."""
    if provider not in KNOWN:
        raise UsageError(
            f"there is no provider `{safe_line(without_keys(provider))[:100]}`",
            hint=f"providers: {', '.join(KNOWN)}",
        )


def client_class(provider: str) -> "type[OpenRouterClient]":
    """The class that talks to *provider*; `UsageError` lists the known ones."""
    check_known(provider)
    module, _, name = KNOWN[provider].partition(":")
    found: type[OpenRouterClient] = getattr(import_module(module), name)
    return found
