"""How the demo gateway fails, as the real ones do."""

from dataclasses import replace
from decimal import Decimal
from typing import Any, Literal

from raptchat.demo.wire import Answer, Asked, bill_of, event, opening, refusal, words


def broken(asked: Asked, ending: Literal["whole", "cut", "reset", "hang"]) -> Answer:
    """The first words of a reply, and then its *ending*; they are billed."""
    text = "The beginning of a reply"
    return Answer(body=[*opening(asked), *words(asked, text)], ending=ending, bill=bill_of(asked, text))


def error_midstream(asked: Asked) -> Answer:
    """An error after the first words, for which nothing is billed."""
    error = {
        "code": 502,
        "message": "upstream went away",
        "metadata": {"error_type": "provider_unavailable", "provider_code": "x"},
    }
    choice = {"index": 0, "delta": {"content": ""}, "finish_reason": "error"}
    begun = broken(asked, "whole")
    free = None if begun.bill is None else replace(begun.bill, cost=Decimal(0))
    return replace(begun, body=[*begun.body, event(asked, choice, error=error)], bill=free, finish="error")


def unknown_model() -> Answer:
    """The refusal of a model that there is not."""
    return refusal(
        404,
        "No endpoints found for this model.",
        availability={"code": "model_not_found", "retryable": False, "fallback_models": ["demo/reply"]},
    )


def of_status(status: int) -> Answer:
    """The typical answer with this HTTP status."""
    if status in _TYPICAL:
        message, fields = _TYPICAL[status]
        answer = refusal(status, message, **fields)
        return Answer(status, {**answer.headers, **_HEADERS.get(status, {})}, answer.body)
    if 300 <= status < 400:
        return Answer(status, {"Location": "https://elsewhere.example/api/v1/chat/completions"})
    if not 400 <= status < 600:
        return refusal(400, "the demo gateway plays the statuses from 300 to 599")
    if status >= 520:
        page = b"<!DOCTYPE html><html><head><title>error</title></head><body>Ray ID: demo</body></html>"
        return Answer(status, {"Content-Type": "text/html"}, [page])
    return refusal(status, "the demo gateway was asked for this")


# The bodies that the reference shows for these statuses.
_TYPICAL: dict[int, tuple[str, dict[str, Any]]] = {
    400: ("demo/status-400 is malformed", {"metadata": {"error_type": "invalid_request"}}),
    401: ("User not found.", {}),
    402: (
        "This request requires more credits. You requested up to 65536 tokens, but can only afford 40.",
        {"metadata": {"limit_source": "openrouter_credits"}},
    ),
    403: (
        "Your input was flagged.",
        {"metadata": {"reasons": ["harassment"], "flagged_input": "not to be shown", "provider_name": "demo"}},
    ),
    404: (
        "No endpoints found that fit the request.",
        {
            "availability": {
                "code": "constraint_filtered",
                "retryable": False,
                "excluded_by": ["data_policy:zdr", "max_price"],
                "fallback_models": ["demo/reply"],
            }
        },
    ),
    408: ("The request timed out.", {"metadata": {"error_type": "timeout"}}),
    413: ("The request is too large.", {"metadata": {"error_type": "payload_too_large"}}),
    429: ("Rate limit exceeded.", {"metadata": {"limit_source": "openrouter_shared_capacity"}}),
    500: ("Internal Server Error", {"metadata": {"error_type": "server"}}),
    502: ("Provider returned error", {"metadata": {"provider_name": "demo", "raw": "not to be shown"}}),
    503: (
        "There is no available provider.",
        {"availability": {"code": "capacity_exhausted", "retryable": True, "retry_after": 0}},
    ),
    504: ("The provider timed out.", {"metadata": {"error_type": "timeout"}}),
    529: ("The provider is overloaded.", {"metadata": {"error_type": "provider_overloaded"}}),
}
_HEADERS = {429: {"Retry-After": "0"}}
