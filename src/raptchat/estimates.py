"""What a request may cost, told before it is sent: cautiously, from list prices.

Tokens are counted from what is sent, since no tokenizer of the model is at hand: half as many as bytes of UTF-8,
twice what English text takes. What media take is what the dearer hosts count for them. A list price is that of the
model's first host (OpenRouter API reference, "List available models"); where another one answers, or a reply is
longer than it was taken for, the estimate errs.
"""

import json
from collections.abc import Mapping, Sequence
from decimal import ROUND_FLOOR, Decimal
from typing import NamedTuple

from raptchat import reach
from raptchat.records import Attachment, Message, Model, Usage

# A reply for which no limit is set is taken for no longer.
USUAL_REPLY = 4096
# No model gives more.
_LONGEST_REPLY = 1_000_000
# Hosts refuse a smaller `max_tokens`.
LEAST_REPLY = 16
_LIMITS = ("max_tokens", "max_completion_tokens")
_OF_A_MESSAGE = 16
_OF_AN_IMAGE = 4000
_OF_A_PDF = 1000
# Bytes of a file for one token: PDFs hold compressed text and pictures, audio is 32 tokens a second or fewer.
_BYTES = {"text": 2, "pdf": 8, "audio": 100}
# Five searches, at up to two cents each ("Web Search": five results, 4 US dollars for 1000 of them), and what they
# find goes into the prompt.
_SEARCHING, _FOUND_TOKENS = Decimal("0.10"), 20_000
# Where hosts may serve it before others (`:nitro`, `service_tier`) a token costs more than the list says.
_AT_PRIORITY = 2
# 2 US dollars for 1000 pages, and few pages take less than this.
_PAGE_READ, _BYTES_A_PAGE = Decimal("0.002"), 10_000
_MILLION = Decimal(1_000_000)


class Prices(NamedTuple):
    """What a token of the prompt, one of the reply, and a request cost, in US dollars.

    *context* and *most_output* are the most tokens that the model takes and gives, where they are known.
    """

    input: Decimal
    output: Decimal
    request: Decimal
    context: int | None = None
    most_output: int | None = None

    def of(self, usage: Usage) -> Decimal | None:
        """What *usage* comes to; `None` where its tokens are not known."""
        if usage.input_tokens is None or usage.output_tokens is None:
            return None
        return self.input * usage.input_tokens + self.output * usage.output_tokens + self.request


def dearest(models: Sequence[Model | None]) -> Prices | None:
    """Prices that none of *models* exceeds; `None` where one of them has none."""
    each = [_prices(one) for one in models if one is not None]
    known = [prices for prices in each if prices is not None]
    if not known or len(known) < len(models):
        return None
    return Prices(
        input=max(one.input for one in known),
        output=max(one.output for one in known),
        request=max(one.request for one in known),
        context=_greatest([one.context for one in known]),
        most_output=_greatest([one.most_output for one in known]),
    )


class Estimate:
    """What one request may cost at *prices*, given its *messages* and *options*; amounts in US dollars."""

    def __init__(
        self, prices: Prices, model: str, messages: Sequence[Message], options: Mapping[str, object]
    ) -> None:
        self._most_output = prices.most_output
        dearer = _AT_PRIORITY if _is_hurried(model, options) else 1
        files = [file for message in messages for file in message.attachments]
        searches = reach.searches(model, options)
        tokens = sum(map(_tokens, messages)) + _bytes_of(options) // 2 + searches * _FOUND_TOKENS
        if prices.context is not None:
            tokens = min(tokens, prices.context)
        self._of_reply = prices.output * dearer * (_whole(options.get("n")) or 1)
        beside = prices.request + searches * _SEARCHING + _reading(files, options)
        # What it costs before a token of the reply comes.
        self.input = prices.input * dearer * tokens + beside

    def worst(self, options: Mapping[str, object]) -> Decimal:
        """What it may cost with the reply's limit that *options* set, or with a usual reply."""
        limit = _limit(options)
        if limit is None:
            limit = min(USUAL_REPLY, self._most_output or USUAL_REPLY)
        return self.input + self._of_reply * limit

    def held_to(self, most: Decimal, options: Mapping[str, object]) -> dict[str, object] | None:
        """*options* with a limit of the reply by which the request costs *most* at most; `None` if there is none.

        A limit is set only where one is needed: one above what a host can give would keep that host away.
        """
        left = most - self.input
        if left < 0:
            return None
        if not self._of_reply:
            return dict(options)
        affordable = int((left / self._of_reply).to_integral_value(ROUND_FLOOR))
        longest = _limit(options) or self._most_output or _LONGEST_REPLY
        if longest <= affordable:
            return dict(options)
        if affordable < LEAST_REPLY:
            return None
        named = [name for name in _LIMITS if _whole(options.get(name)) is not None] or [_LIMITS[0]]
        lowered = {name: min(_whole(options.get(name)) or affordable, affordable) for name in named}
        return {**options, **lowered}


def _prices(model: Model) -> Prices | None:
    if model.input_price is None or model.output_price is None:
        return None
    return Prices(
        input=model.input_price / _MILLION,
        output=model.output_price / _MILLION,
        request=model.request_price or Decimal(0),
        context=model.context_length,
        most_output=model.max_output or model.context_length,
    )


def _greatest(numbers: Sequence[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return max(known) if len(known) == len(numbers) else None


def _limit(options: Mapping[str, object]) -> int | None:
    limits = [limit for name in _LIMITS if (limit := _whole(options.get(name))) is not None]
    # Which of the two a host goes by is its own affair.
    return max(limits) if limits else None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _tokens(message: Message) -> int:
    size = sum(len(text.encode(errors="replace")) for text in (message.content, message.reasoning_details or ""))
    return _OF_A_MESSAGE + -(-size // 2) + sum(map(_tokens_of_file, message.attachments))


def _tokens_of_file(file: Attachment) -> int:
    least = _OF_AN_IMAGE if file.kind == "image" else _OF_A_PDF if file.kind == "pdf" else 0
    return least if file.kind == "image" else least + file.size // _BYTES[file.kind]


def _bytes_of(options: Mapping[str, object]) -> int:
    """How long what *options* add to the prompt may be: tools, the shape of the reply."""
    prompt = {name: value for name, value in options.items() if name in {"tools", "response_format", "prediction"}}
    return len(json.dumps(prompt, default=str)) if prompt else 0


def _is_hurried(model: str, options: Mapping[str, object]) -> bool:
    tier = options.get("service_tier")
    return "nitro" in reach.suffixes(model, options) or tier not in (None, "default", "flex")


def _reading(files: Sequence[Attachment], options: Mapping[str, object]) -> Decimal:
    """What reading PDFs costs with an engine that is paid by the page."""
    # Whatever says so: where nothing does, the engine is one that costs nothing (`providers.request`).
    is_paid = "mistral-ocr" in json.dumps(options.get("plugins"), default=str)
    pages = sum(1 + one.size // _BYTES_A_PAGE for one in files if one.kind == "pdf")
    return _PAGE_READ * pages if is_paid else Decimal(0)
