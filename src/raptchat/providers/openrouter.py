"""OpenRouter: what it has beyond the wire that it shares with other gateways."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from raptchat.config import (
    DEFAULT_GATEWAY_URL,
    DEFAULT_MAX_RETRIES,
    DEFAULT_MODEL,
    DEFAULT_TIMEOUT_SECONDS,
)
from raptchat.gateway_url import origin
from raptchat.providers import request
from raptchat.providers.chat_client import ChatClient
from raptchat.records import Message, Usage
from raptchat.secret import Secret

if TYPE_CHECKING:
    from raptchat.providers.key_info import KeyInfo


class OpenRouterClient(ChatClient):
    """Talks to OpenRouter, or to a gateway that speaks its language, with one API key.

    *api_key* is required and read from nowhere else; *credential_id* says whose it is, for the books. *timeout*
    is the longest wait in seconds between two bytes of an answer, *max_retries* how often a request is sent
    again before any of its reply came. `UsageError` when a value cannot be right.
    """

    def __init__(
        self,
        *,
        api_key: str | Secret,
        credential_id: str | None = None,
        base_url: str = DEFAULT_GATEWAY_URL,
        default_model: str = DEFAULT_MODEL,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
        max_retries: int = DEFAULT_MAX_RETRIES,
    ) -> None:
        super().__init__(
            api_key=api_key,
            credential_id=credential_id,
            base_url=base_url,
            default_model=default_model,
            timeout=timeout,
            max_retries=max_retries,
        )

    @staticmethod
    def request_form(
        messages: Sequence[Message | Mapping[str, object]],
        model: str,
        options: Mapping[str, object],
        *,
        short: bool = False,
    ) -> dict[str, object]:
        """All fields of the request; *short* is for a person, and shows attachments by their names.

        `UsageError` for what cannot be sent.
        """
        return request.request_form(messages, model, options, short=short)

    def key_info(self) -> "KeyInfo":
        """What the gateway says of the key (`GET /key`). Raises `AuthenticationFailedError`, or another error."""
        from raptchat.providers.keys import ask_key_info

        with self._calls(self.base_url) as calls:
            return ask_key_info(calls)

    def generation(self, generation_id: str) -> Usage | None:
        """What one reply took (`GET /generation`); `None` where the gateway does not know it (yet)."""
        from raptchat.providers.generations import ask_generation

        with self._calls(self.base_url) as calls:
            return ask_generation(calls, generation_id)

    def _model_lists(self) -> Mapping[str, bool]:
        # Gateways that copy OpenRouter have no list for each key, take `user` there for a model's name, or let a
        # key ask for chats only. At OpenRouter itself the list is there, and a refusal means the key.
        return {"/models/user": origin(self.base_url) != origin(DEFAULT_GATEWAY_URL), "/models": False}

    def _address_hint(self) -> str:
        return "check `AI_GATEWAY_URL`"
