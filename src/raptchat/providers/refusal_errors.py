"""Which of our errors a refusal of the gateway is, and what to do about it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from raptchat.errors import (
    AuthenticationFailedError,
    ContentRefusedError,
    GatewayError,
    GatewayTimeoutError,
    InsufficientCreditError,
    ModelNotAvailableError,
    RaptchatError,
    RateLimitedError,
)
from raptchat.providers.cleaning import Cleaner

_TOO_LONG = {"context_length_exceeded", "max_tokens_exceeded", "token_limit_exceeded", "exceed_context_size_error"}
# The sentences of LiteLLM, for a name that its configuration does not have, and of OpenRouter.
_NO_SUCH_MODEL = ("not a valid model", "invalid model name")
# What web frameworks say of a path that they do not have; no gateway says so of a model.
_NO_SUCH_PATH = {"not found", "file not found"}
# A key that may not use this model; the status is that of one that may use none (LiteLLM, `ProxyErrorTypes`).
_NO_ACCESS = "_model_access_denied"
# LiteLLM passes a failure of the model's host on with the host's status, and says so in the text.
_PASSED_ON = "litellm."
# vLLM and others; LiteLLM, for whatever its host said.
_TOO_LONG_SAID = ("context length", "litellm.contextwindowexceedederror")
IN_FLIGHT = "openrouter_in_flight_budget"
FREE_DAILY = "openrouter_free_tier_daily"
_BUDGET_SPENT = "a budget of the gateway is used up"
_PURSES = {
    "openrouter_credits": "the account's credit does not cover this request",
    "openrouter_key_limit": "the limit of the key is used up",
    "openrouter_guardrail_budget": "a budget set for the key is used up",
    "openrouter_workspace_budget": "the budget of the workspace is used up",
    IN_FLIGHT: "the requests now running take up the account's credit",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error as the gateway told it.

    *spent*: a budget of its own is used up. *foreign*: the body was not JSON, but such as a page of HTML.
    """

    status: int
    model: str
    said: str = ""
    types: frozenset[str] = frozenset()
    metadata: Mapping[str, object] = field(default_factory=dict)
    availability: Mapping[str, object] = field(default_factory=dict)
    wait: float | None = None
    spent: bool = False
    foreign: bool = False
    address_hint: str = ""

    @property
    def source(self) -> str:
        """Which limit was met (`limit_source`), or nothing."""
        source = self.metadata.get("limit_source")
        if self.metadata.get("reason") == "in_flight_budget_exhausted":
            return IN_FLIGHT
        return source if isinstance(source, str) else ""


def error_of(refusal: Refusal, clean: Cleaner) -> RaptchatError:
    """What *refusal* is for whoever asked; its texts are rid of keys by *clean*."""
    if any(kind.endswith(_NO_ACCESS) for kind in refusal.types):
        return _not_found(refusal, clean)
    if "no_db_connection" in refusal.types:
        # A LiteLLM without a database knows one key only, and looks every other one up in it.
        return _unauthorised(refusal, clean)
    if tell := _BY_STATUS.get(refusal.status):
        return tell(refusal, clean)
    if refusal.status >= 500:
        return GatewayError(_message("the gateway or the model's host failed", refusal))
    return _bad_request(refusal, clean)


def _message(fact: str, refusal: Refusal) -> str:
    said = f": {refusal.said}" if refusal.said else ""
    return f"{fact} ({refusal.status}){said}"


def _unauthorised(refusal: Refusal, clean: Cleaner) -> RaptchatError:
    host = clean(refusal.metadata.get("provider_name"), 100)
    if host or refusal.said.startswith(_PASSED_ON):
        who = f"`{host}`" if host else "the model's host"
        return GatewayError(
            _message(f"{who} refused the credential that the gateway has for it", refusal),
            hint="choose another model: the key itself was not refused",
        )
    return AuthenticationFailedError(
        _message("the gateway refused the key", refusal), hint="check that the key is whole and still valid"
    )


def _unpaid(refusal: Refusal, clean: Cleaner) -> RaptchatError:
    remedy = clean(refusal.metadata.get("remedy_hint"))
    fact = _PURSES.get(refusal.source, _BUDGET_SPENT if refusal.spent else "the gateway asks for credit")
    hint = remedy or "add credit, raise the limit of the key, or ask for less with --max-tokens"
    if resets := clean(refusal.metadata.get("resets_at"), 40):
        hint = f"the limit is renewed at {resets}"
    return InsufficientCreditError(_message(fact, refusal), hint=hint)


def _forbidden(refusal: Refusal, clean: Cleaner) -> RaptchatError:
    metadata, said = refusal.metadata, refusal.said.lower()
    if refusal.foreign:
        return GatewayError(
            _message("something before the gateway refused the request", refusal),
            hint="check the network: a proxy, a firewall or a sign-in page may be in the way",
        )
    if metadata.keys() & {"reasons", "flagged_input"} or refusal.types & {"content_policy_violation", "refusal"}:
        reasons = clean.names(metadata.get("reasons"))
        return ContentRefusedError(
            _message(f"moderation refused the text{f' for {reasons}' if reasons else ''}", refusal),
            hint="word it another way, or choose a model without moderation",
        )
    if "patterns" in metadata:
        return ContentRefusedError(_message("a guardrail of the account refused the text", refusal))
    if "region_restricted" in refusal.types or "region" in said or "country" in said:
        return GatewayError(
            _message("the model is not offered in this region", refusal), hint="choose another model"
        )
    if refusal.source in _PURSES or any(word in said for word in ("key limit", "budget", "guardrail")):
        return _unpaid(refusal, clean)
    return _unauthorised(refusal, clean)


def _not_found(refusal: Refusal, clean: Cleaner) -> RaptchatError:
    if refusal.foreign or (refusal.address_hint and refusal.said.lower() in _NO_SUCH_PATH):
        return GatewayError(_message("there is no gateway at this address", refusal), hint=refusal.address_hint)
    if not refusal.model:
        fact = "the gateway does not know what it was asked for"
        return GatewayError(_message(fact, refusal), hint=refusal.address_hint)
    fact = f"the model `{refusal.model}` is not available"
    if excluded := clean.names(refusal.availability.get("excluded_by")):
        fact += f" under {excluded}"
    others = clean.names(refusal.availability.get("fallback_models"))
    hint = f"instead: {others}" if others else "choose another model with -m"
    return ModelNotAvailableError(_message(fact, refusal), hint=hint)


def _limited(refusal: Refusal, clean: Cleaner) -> RaptchatError:
    fact = "too many requests"
    if refusal.source == FREE_DAILY:
        fact = "the account's free requests of today (UTC) are used up"
    remedy = clean(refusal.metadata.get("remedy_hint"))
    return RateLimitedError(_message(fact, refusal), hint=remedy)


def _bad_request(refusal: Refusal, clean: Cleaner) -> RaptchatError:
    said = refusal.said.lower()
    if "model_not_found" in refusal.types or any(words in said for words in _NO_SUCH_MODEL):
        return _not_found(refusal, clean)
    if refusal.types & {"content_policy_violation", "refusal"}:
        return ContentRefusedError(_message("moderation refused the text", refusal))
    if refusal.status == 413:
        return GatewayError(_message("the request is too large", refusal), hint="send less text")
    if refusal.types & _TOO_LONG or any(words in said for words in _TOO_LONG_SAID):
        return GatewayError(
            _message("the conversation is too long for the model", refusal),
            hint="begin a new session, or choose a model with a larger context",
        )
    return GatewayError(_message("the gateway refused the request", refusal))


def _timed_out(refusal: Refusal, _: Cleaner) -> RaptchatError:
    return GatewayTimeoutError(_message("the model's host took too long", refusal))


_BY_STATUS: dict[int, Callable[[Refusal, Cleaner], RaptchatError]] = {
    401: _unauthorised,
    402: _unpaid,
    403: _forbidden,
    404: _not_found,
    408: _timed_out,
    429: _limited,
    504: _timed_out,
    524: _timed_out,
}
