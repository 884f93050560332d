"""What the gateway said instead of a reply, as one of our errors.

Statuses, body shapes and limits are those of the OpenRouter errors page and of the gateways that copy it;
every field is optional and every list of values open. All texts come from outside: they are cleaned, cut, and
rid of the key before they stand in a message. `user_id`, `flagged_input`, `raw` and `patterns` hold account ids
or prompts and are never shown.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import ceil
from urllib.parse import urlsplit

from raptchat.errors import (
    AuthenticationFailedError,
    ContentRefusedError,
    GatewayError,
    GatewayTimeoutError,
    InsufficientCreditError,
    InvalidResponseError,
    ModelNotAvailableError,
    RaptchatError,
    RateLimitedError,
)
from raptchat.providers.cleaning import Cleaner
from raptchat.providers.retries import MAX_WAIT_SECONDS, AttemptFailed, Repeat
from raptchat.providers.waits import seconds_to_wait

MAX_BODY_BYTES = 64 * 1024

_REPEATED = {408, 429, 502, 503, 504, 520, 521, 522, 523, 524, 529}
# An HTTP 400 with one of these in its body is another host's failure, passed on.
_WRAPPED_IN_400 = {408, 429, 500, 502, 503, 504, 524, 529}
_STATUS_OF_TYPE = {
    "authentication": 401,
    "authentication_error": 401,
    "budget_exceeded": 402,
    "content_policy_violation": 403,
    "insufficient_quota": 402,
    "invalid_request_error": 400,
    "not_found": 404,
    "overloaded_error": 529,
    "payload_too_large": 413,
    "payment_required": 402,
    "permission_denied": 403,
    "provider_overloaded": 529,
    "provider_unavailable": 502,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "refusal": 403,
    "server": 500,
    "server_error": 500,
    "timeout": 504,
}
_TOO_LONG = {"context_length_exceeded", "max_tokens_exceeded", "token_limit_exceeded", "exceed_context_size_error"}
_IN_FLIGHT = "openrouter_in_flight_budget"
_FREE_DAILY = "openrouter_free_tier_daily"
_PURSES = {
    "openrouter_credits": "the account's credit does not cover this request",
    "openrouter_key_limit": "the limit of the key is used up",
    "openrouter_guardrail_budget": "a budget set for the key is used up",
    "openrouter_workspace_budget": "the budget of the workspace is used up",
    _IN_FLIGHT: "the requests now running take up the account's credit",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error as the gateway told it; *foreign* when the body was not JSON, such as a page of HTML."""

    status: int
    model: str
    said: str = ""
    types: frozenset[str] = frozenset()
    metadata: Mapping[str, object] = field(default_factory=dict)
    availability: Mapping[str, object] = field(default_factory=dict)
    wait: float | None = None
    foreign: bool = False

    @property
    def source(self) -> str:
        """Which limit was met (`limit_source`), or nothing."""
        source = self.metadata.get("limit_source")
        if self.metadata.get("reason") == "in_flight_budget_exhausted":
            return _IN_FLIGHT
        return source if isinstance(source, str) else ""


def of_response(
    status: int, headers: Mapping[str, str], body: bytes, *, model: str, clean: Cleaner
) -> AttemptFailed:
    """What an answer of *status* other than 2xx says; *body* is at most its first 64 KiB."""
    if 300 <= status < 400:
        return _redirected(status, headers, clean)
    try:
        data = json.loads(body.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        # Not shown: a page of HTML says nothing to a person at a terminal.
        wait = seconds_to_wait(headers)
        return _failure(Refusal(status, clean(model, 100), wait=wait, foreign=bool(body.strip())), clean)
    return _failure(_read(data, status, headers, model, clean), clean)


def of_object(data: Mapping[str, object], *, model: str, clean: Cleaner) -> AttemptFailed:
    """What an error says that came with status 200: in mid-stream, or as a JSON answer."""
    return _failure(_read(data, None, {}, model, clean), clean)


def _read(data: object, status: int | None, headers: Mapping[str, str], model: str, clean: Cleaner) -> Refusal:
    outer = data if isinstance(data, dict) else {}
    error = outer.get("error", outer)
    if isinstance(error, str):
        error = {"message": error}
    elif not isinstance(error, dict):
        error = {}
    metadata, availability = _mapping(error.get("metadata")), _mapping(error.get("availability"))
    types = frozenset(
        value
        for value in (
            metadata.get("error_type"),
            error.get("error_type"),
            error.get("type"),
            error.get("code"),
            availability.get("code"),
        )
        if isinstance(value, str)
    )
    return Refusal(
        _status(status, error, types),
        clean(model, 100),
        clean(error.get("message") or _detail(outer)),
        types,
        metadata,
        availability,
        seconds_to_wait(headers, availability, metadata),
    )


def _detail(outer: Mapping[str, object]) -> object:
    detail = outer.get("detail")
    if isinstance(detail, list):
        return "; ".join(str(_mapping(entry).get("msg", "")) for entry in detail[:5])
    return detail


def _status(status: int | None, error: Mapping[str, object], types: frozenset[str]) -> int:
    inner = _number(error.get("code")) or _number(error.get("http_status"))
    if status is not None:
        return inner if status == 400 and inner in _WRAPPED_IN_400 else status
    named = next((_STATUS_OF_TYPE[kind] for kind in sorted(types) if kind in _STATUS_OF_TYPE), None)
    return inner or named or 502


def _number(value: object) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) == 3:
        value = int(value)
    return value if isinstance(value, int) and 400 <= value < 600 else None


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _redirected(status: int, headers: Mapping[str, str], clean: Cleaner) -> AttemptFailed:
    try:
        host = urlsplit(headers.get("location", "")).hostname
    except ValueError:
        host = None
    target = f"`{clean(host, 100)}`" if host else "another address"
    error = InvalidResponseError(
        f"the gateway sends the request on to {target} ({status}); the key was not sent there",
        hint="if that is the gateway's new address, set `AI_GATEWAY_URL` to it",
    )
    return AttemptFailed(error, Repeat.NEVER)


def _failure(refusal: Refusal, clean: Cleaner) -> AttemptFailed:
    error = _error(refusal, clean)
    repeat = _repeat(refusal)
    if refusal.wait is not None:
        error.fields["retryAfter"] = ceil(refusal.wait)
        if refusal.wait > MAX_WAIT_SECONDS or not error.hint:
            error.hint = _when(refusal.wait)
    if repeat is not Repeat.NEVER and not error.hint:
        error.hint = "try again later, or choose another model"
    return AttemptFailed(error, repeat, refusal.wait)


def _repeat(refusal: Refusal) -> Repeat:
    retryable = refusal.availability.get("retryable")
    if retryable is False or refusal.source == _FREE_DAILY:
        return Repeat.NEVER
    if refusal.status == 500:
        return Repeat.ONCE
    if retryable is True or refusal.status in _REPEATED or refusal.source == _IN_FLIGHT:
        return Repeat.YES
    return Repeat.NEVER


def _when(seconds: float) -> str:
    if seconds <= 120:
        return f"try again in {max(1, ceil(seconds))} s"
    then = datetime.now(UTC) + timedelta(seconds=seconds)
    return f"try again after {then.astimezone():%Y-%m-%d %H:%M}"


def _error(refusal: Refusal, clean: Cleaner) -> RaptchatError:
    if tell := _BY_STATUS.get(refusal.status):
        return tell(refusal, clean)
    if refusal.status >= 500:
        return GatewayError(_message("the gateway or the model's host failed", refusal))
    return _bad_request(refusal, clean)


def _message(fact: str, refusal: Refusal) -> str:
    said = f": {refusal.said}" if refusal.said else ""
    return f"{fact} ({refusal.status}){said}"


def _unauthorised(refusal: Refusal, clean: Cleaner) -> RaptchatError:
    if host := clean(refusal.metadata.get("provider_name"), 100):
        return GatewayError(
            _message(f"`{host}` refused the credential that the gateway has for it", refusal),
            hint="choose another model: the key itself was not refused",
        )
    return AuthenticationFailedError(
        _message("the gateway refused the key", refusal), hint="check that the key is whole and still valid"
    )


def _unpaid(refusal: Refusal, clean: Cleaner) -> RaptchatError:
    remedy = clean(refusal.metadata.get("remedy_hint"))
    fact = _PURSES.get(refusal.source, "the gateway asks for credit")
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
    if refusal.foreign:
        return GatewayError(
            _message("there is no gateway at this address", refusal), hint="check `AI_GATEWAY_URL`"
        )
    fact = f"the model `{refusal.model}` is not available"
    if excluded := clean.names(refusal.availability.get("excluded_by")):
        fact += f" under {excluded}"
    others = clean.names(refusal.availability.get("fallback_models"))
    hint = f"instead: {others}" if others else "choose another model with -m"
    return ModelNotAvailableError(_message(fact, refusal), hint=hint)


def _limited(refusal: Refusal, clean: Cleaner) -> RaptchatError:
    fact = "too many requests"
    if refusal.source == _FREE_DAILY:
        fact = "the account's free requests of today (UTC) are used up"
    remedy = clean(refusal.metadata.get("remedy_hint"))
    return RateLimitedError(_message(fact, refusal), hint=remedy)


def _bad_request(refusal: Refusal, clean: Cleaner) -> RaptchatError:
    said = refusal.said.lower()
    if "model_not_found" in refusal.types or "not a valid model" in said:
        return _not_found(refusal, clean)
    if refusal.types & {"content_policy_violation", "refusal"}:
        return ContentRefusedError(_message("moderation refused the text", refusal))
    if refusal.status == 413:
        return GatewayError(_message("the request is too large", refusal), hint="send less text")
    if refusal.types & _TOO_LONG or "context length" in said:
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
