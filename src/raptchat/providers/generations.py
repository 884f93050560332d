"""What a reply took in the end, asked of the gateway by the reply's generation id."""

from raptchat.errors import GatewayError, InvalidResponseError
from raptchat.providers.json_calls import JsonCalls, is_not_found
from raptchat.providers.reply import read_usage
from raptchat.records import Usage


def ask_generation(calls: JsonCalls, generation_id: str) -> Usage | None:
    """The tokens and the cost of a reply, also of one that was cut; `None` when the gateway has no record of it.

    A record appears some time after the end of its reply. Raises what `JsonCalls.call` does.

    The `usage` of a chat, which the ledger holds, counts the tokens of the model itself (OpenRouter, "Usage
    Accounting"), which are `native_tokens_*` in the record ("Get request & usage metadata for a generation");
    its plain `tokens_*`, counted alike for all models, serve only where those are missing.
    """
    try:
        said = calls.call("GET", "/generation", query={"id": generation_id})
    except GatewayError as error:
        if is_not_found(error):
            return None
        raise
    data = said.get("data")
    if not isinstance(data, dict):
        raise InvalidResponseError("the gateway's answer says nothing of a reply")

    def first(*names: str) -> object:
        return next((data[name] for name in names if data.get(name) is not None), None)

    usage = read_usage(
        {
            "prompt_tokens": first("native_tokens_prompt", "tokens_prompt"),
            "completion_tokens": first("native_tokens_completion", "tokens_completion"),
            "prompt_tokens_details": {"cached_tokens": data.get("native_tokens_cached")},
            "completion_tokens_details": {"reasoning_tokens": data.get("native_tokens_reasoning")},
            "cost": first("total_cost", "usage"),
            "is_byok": data.get("is_byok"),
            "cost_details": {"upstream_inference_cost": data.get("upstream_inference_cost")},
        }
    )
    if usage.input_tokens is not None and usage.output_tokens is not None:
        usage = usage._replace(total_tokens=usage.input_tokens + usage.output_tokens)
    return usage
