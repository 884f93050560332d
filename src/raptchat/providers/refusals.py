"""What the gateway said instead of a reply: read, and whether it may be asked again.

Statuses, body shapes and limits are those of the OpenRouter errors page, of the gateways that copy it, and of
LiteLLM, vLLM, llama.cpp and Ollama; every field is optional and every list of values open. All texts come from
outside: they are cleaned, cut, and rid of the key before they stand in a message. `user_id`, `flagged_input`,
`raw` and `patterns` hold account ids or prompts and are never shown.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import ceil
from urllib.parse import urlsplit

from raptchat.errors import InvalidResponseError
from raptchat.providers.cleaning import Cleaner
from raptchat.providers.refusal_errors import FREE_DAILY, IN_FLIGHT, Refusal, error_of
from raptchat.providers.retries import MAX_WAIT_SECONDS, AttemptFailed, Repeat
from raptchat.providers.waits import seconds_to_wait

MAX_BODY_BYTES = 64 * 1024

_REPEATED = {408, 429, 502, 503, 504, 520, 521, 522, 523, 524, 529}
# An HTTP 400 with one of these in its body is another host's failure, passed on.
_WRAPPED_IN_400 = {408, 429, 500, 502, 503, 504, 524, 529}
_STATUS_OF_TYPE = {
    "authentication": 401,
    "authentication_error": 401,
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
# LiteLLM says so with 400, 422 or 429: of a key's budget by a type, of a model's in words.
_SPENT_TYPE = "budget_exceeded"
_SPENT = ("crossed budget", "budget has been exceeded")


def of_response(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    model: str,
    clean: Cleaner,
    address_hint: str,
) -> AttemptFailed:
    """What an answer of *status* other than 2xx says; *body* is at most its first 64 KiB.

    *address_hint* is what to do when something else than a gateway seems to have answered.
    """
    if 300 <= status < 400:
        return _redirected(status, headers, clean, address_hint)
    try:
        data = json.loads(body.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        # Not shown: a page of HTML says nothing to a person at a terminal.
        wait = seconds_to_wait(headers)
        foreign = bool(body.strip())
        refusal = Refusal(status, clean(model, 100), wait=wait, foreign=foreign, address_hint=address_hint)
        return _failure(refusal, clean)
    return _failure(replace(_read(data, status, headers, model, clean), address_hint=address_hint), clean)


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
    said = clean(error.get("message") or _detail(outer))
    spent = _SPENT_TYPE in types or any(words in said.lower() for words in _SPENT)
    return Refusal(
        402 if spent else _status(status, error, types),
        clean(model, 100),
        said,
        types,
        metadata,
        availability,
        seconds_to_wait(headers, availability, metadata),
        spent,
    )


def _detail(outer: Mapping[str, object]) -> object:
    detail = outer.get("detail")
    if isinstance(detail, list):
        return "; ".join(_complaint(_mapping(entry)) for entry in detail[:5])
    return detail


def _complaint(entry: Mapping[str, object]) -> str:
    """One fault that FastAPI found in a request: in which field, and what."""
    place, said = entry.get("loc"), str(entry.get("msg", ""))
    return f"{place[-1]}: {said}" if isinstance(place, list) and place else said


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


def _redirected(status: int, headers: Mapping[str, str], clean: Cleaner, address_hint: str) -> AttemptFailed:
    try:
        host = urlsplit(headers.get("location", "")).hostname
    except ValueError:
        host = None
    target = f"`{clean(host, 100)}`" if host else "another address"
    error = InvalidResponseError(
        f"the gateway sends the request on to {target} ({status}); the key was not sent there",
        hint=f"{address_hint}: that may be its new address",
    )
    return AttemptFailed(error, Repeat.NEVER, status=status)


def _failure(refusal: Refusal, clean: Cleaner) -> AttemptFailed:
    error = error_of(refusal, clean)
    repeat = _repeat(refusal)
    if refusal.wait is not None:
        error.fields["retryAfter"] = ceil(refusal.wait)
        if refusal.wait > MAX_WAIT_SECONDS or not error.hint:
            error.hint = _when(refusal.wait)
    if repeat is not Repeat.NEVER and not error.hint:
        error.hint = f"try again later{', or choose another model' if refusal.model else ''}"
    return AttemptFailed(error, repeat, refusal.wait, status=refusal.status)


def _repeat(refusal: Refusal) -> Repeat:
    retryable = refusal.availability.get("retryable")
    if retryable is False or refusal.source == FREE_DAILY:
        return Repeat.NEVER
    if refusal.status == 500:
        return Repeat.ONCE
    if retryable is True or refusal.status in _REPEATED or refusal.source == IN_FLIGHT:
        return Repeat.YES
    return Repeat.NEVER


def _when(seconds: float) -> str:
    if seconds <= 120:
        return f"try again in {max(1, ceil(seconds))} s"
    then = datetime.now(UTC) + timedelta(seconds=seconds)
    return f"try again after {then.astimezone():%Y-%m-%d %H:%M}"
