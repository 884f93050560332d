"""Any other gateway with OpenAI's chat completions: LiteLLM, Ollama, llama.cpp, vLLM and their like.

They agree on the wire and on little beside it. So nothing that only OpenRouter knows is sent, no part of an answer
is relied on, and what a gateway does not have is not missed.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import ClassVar
from urllib.parse import urlsplit

from raptchat.errors import InsufficientCreditError, InvalidResponseError, UsageError
from raptchat.providers import request
from raptchat.providers._http import Response
from raptchat.providers.chat_client import ChatClient, Listener
from raptchat.providers.key_info import KeyInfo
from raptchat.providers.reply import Reply
from raptchat.providers.retries import AttemptFailed
from raptchat.records import Chunk, Message, Model, RetryChunk, Usage

# The fields that only OpenRouter has, each with the flag that sets it, where there is one.
_ONLY_OPENROUTER = {
    "cache_control": "",
    "debug": "",
    "image_config": "",
    "include_reasoning": "",
    "metadata": "",
    "models": "--fallback",
    "plugins": "--pdf-engine",
    "preset": "",
    "prompt_cache_options": "",
    "provider": "--zdr",
    "reasoning": "--effort",
    "route": "",
    "trace": "",
    "transforms": "",
    "usage": "",
}
# raptchat adds them itself, and a gateway without them does no less.
_NOT_MISSED = {"session_id"}
_WITH_USAGE = b',"stream_options":{"include_usage":true}}'
_REFUSED = {400, 422}


class OpenAiCompatibleClient(ChatClient):
    """Talks to a gateway at *base_url*, which is taken as it is: `/v1` is not added.

    With `None` for *api_key* no key is sent. The other parameters are those of `OpenRouterClient`.

    A stream that ends in good order after some text, but with neither a finish reason nor `[DONE]`, is a whole
    reply here, whose `finish_reason` is `None`: servers on a laptop end so. In good order means that HTTP itself
    says that this was all; what only breaks off is cut short, as everywhere.
    """

    needs_no_key: ClassVar[bool] = True

    @staticmethod
    def request_form(
        messages: Sequence[Message | Mapping[str, object]],
        model: str,
        options: Mapping[str, object],
        *,
        short: bool = False,
    ) -> dict[str, object]:
        """All fields of the request; *short* is for a person, and shows attachments by their names.

        The tokens are asked for, which gateways count in a stream only when they are. `UsageError` for what cannot
        be sent, as are *options* that only OpenRouter has: none of them is left out in silence, since it may be
        the one that keeps a text private.
        """
        form = request.request_form(messages, model, _plain(options), short=short, openrouter=False)
        return form if "stream_options" in form else {**form, "stream_options": {"include_usage": True}}

    def list_models(self, *, retrying: Callable[[RetryChunk], None] = lambda _: None) -> list[Model]:
        """All models that the gateway lists, with the prices that a LiteLLM has for them.

        *retrying* is told before each wait for another attempt. Raises the `GatewayError` that fits, or
        `InsufficientCreditError`.
        """
        models = super().list_models(retrying=retrying)
        if any(model.input_price is not None or model.output_price is not None for model in models):
            return models
        priced = self._prices()
        return [_with_price(model, priced.get(model.id)) for model in models]

    def key_info(self) -> KeyInfo:
        """What is known of the key: that the gateway takes it, and what a LiteLLM says of its own keys.

        Raises `AuthenticationFailedError` when the list of models is refused, and other errors that fit. Without
        such a list nothing is known of the key, and the address may be wrong.
        """
        from raptchat.providers.litellm import ask_key_info

        with self._calls(self.base_url) as calls:
            try:
                models = calls.call("GET", "/models").get("data")
            except InsufficientCreditError:
                # The gateway knows the key, which is good again when its budget is renewed.
                return KeyInfo(limit_remaining=Decimal(0))
            if not isinstance(models, list):
                raise InvalidResponseError("the gateway's answer is no list of models", hint=self._address_hint())
        with self._calls(self._root(), can_do_without=True) as calls:
            return ask_key_info(calls)

    def generation(self, generation_id: str) -> Usage | None:
        """Always `None`: these gateways keep no books that could be asked."""
        del generation_id
        return None

    def _prices(self) -> Mapping[str, Model]:
        from raptchat.providers.litellm import ask_prices

        with self._calls(self._root(), can_do_without=True) as calls:
            return {model.id: model for model in ask_prices(calls)}

    def _root(self) -> str:
        """Where LiteLLM has what OpenAI has not."""
        return self.base_url.removesuffix("/v1")

    def _model_lists(self) -> Mapping[str, bool]:
        return {"/models": False}

    def _address_hint(self) -> str:
        if not urlsplit(self.base_url).path:
            return f"check the address that --base-url names: it often ends in /v1, as {self.base_url}/v1 does"
        return "check the address that --base-url names"

    def _attempt(self, body: bytes, model: str, listener: Listener) -> Iterator[Chunk]:
        try:
            yield from super()._attempt(body, model, listener)
        except AttemptFailed as failure:
            if not (
                body.endswith(_WITH_USAGE) and failure.status in _REFUSED and _names_usage(str(failure.error))
            ):
                raise
        else:
            return
        yield from super()._attempt(body.removesuffix(_WITH_USAGE) + b"}", model, listener)

    def _may_end_so(self, response: Response, reply: Reply) -> bool:
        framed = "transfer-encoding" in response.headers or "content-length" in response.headers
        return framed and reply.answered


def _names_usage(said: str) -> bool:
    return "stream_options" in said or "include_usage" in said


def _plain(options: Mapping[str, object]) -> dict[str, object]:
    """*options* in the words that all gateways know; `UsageError` for what only OpenRouter has."""
    plain = {name: value for name, value in options.items() if name not in _NOT_MISSED}
    if _only(plain.get("provider"), "require_parameters"):
        # Comes with a schema, and chooses among hosts: here there is one.
        del plain["provider"]
    reasoning = plain.get("reasoning")
    if isinstance(reasoning, dict) and _only(reasoning, "effort"):
        del plain["reasoning"]
        plain.setdefault("reasoning_effort", reasoning["effort"])
    for name in plain:
        if name in _ONLY_OPENROUTER:
            raise _refused(f"the field `{name}`", _ONLY_OPENROUTER[name])
    tools = plain.get("tools")
    for tool in tools if isinstance(tools, list | tuple) else ():
        if isinstance(tool, dict) and str(tool.get("type")).startswith("openrouter:"):
            raise _refused("a tool of the gateway", "--web")
    return plain


def _only(value: object, name: str) -> bool:
    return isinstance(value, dict) and value.keys() == {name}


def _refused(what: str, flag: str) -> UsageError:
    without = f"leave out `{flag}`, or" if flag else "leave it out, or"
    return UsageError(
        f"{what} is OpenRouter's, and the group's gateway is another",
        hint=f"{without} use a group whose key is for `openrouter`",
    )


def _with_price(model: Model, priced: Model | None) -> Model:
    if priced is None:
        return model
    return model._replace(
        input_price=priced.input_price,
        output_price=priced.output_price,
        context_length=model.context_length or priced.context_length,
    )
