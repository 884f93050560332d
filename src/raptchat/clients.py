"""The factory of clients: a group in, a client with exactly that group's key out."""

from typing import TYPE_CHECKING, cast

from raptchat.credentials import CredentialService
from raptchat.factory import Factory
from raptchat.providers import DEFAULT_PROVIDER, client_class

if TYPE_CHECKING:
    from raptchat.providers.chat_client import ChatClient
    from raptchat.providers.openrouter import OpenRouterClient


def get_ai_client_for_group(group_id: str, *, factory: Factory | None = None) -> "tuple[OpenRouterClient, str]":
    """A client that sends with, and is paid by, the active OpenRouter key of this group; and the key's id.

    Raises `AiNotConfiguredError` when the group has no active credential, `GroupNotFoundError` when there is no
    such group, and what opening the vault raises. Without a *factory* the default store is opened.
    """
    client, credential_id = get_ai_client(group_id, DEFAULT_PROVIDER, factory=factory)
    return cast("OpenRouterClient", client), credential_id


def get_ai_client(
    group_id: str, provider: str, *, factory: Factory | None = None, timeout: float | None = None
) -> "tuple[ChatClient, str]":
    """As `get_ai_client_for_group`, for any known provider; an unknown one is a `UsageError` that lists them.

    *timeout* is in seconds and wins over the setting. A credential for a gateway that asks for no key gives a
    client that sends none.
    """
    if factory is None:
        with Factory() as own:
            return get_ai_client(group_id, provider, factory=own, timeout=timeout)
    make_client = client_class(provider)
    group = factory.store.groups.require(group_id)
    credentials = CredentialService(factory)
    credential = credentials.require_active(group, provider)
    settings = factory.settings
    # Opened in any case: the seal is what says that no key goes there.
    key = credentials.open_key(credential)
    client = make_client(
        api_key=key if credential.kind != "none" else None,
        credential_id=credential.id,
        base_url=credentials.url_of(credential),
        default_model=group.model or settings.default_model,
        timeout=settings.timeout_seconds if timeout is None else timeout,
        max_retries=settings.max_retries,
    )
    return client, credential.id
