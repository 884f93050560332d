"""A reply, put together from what the gateway streams.

Each field of a chunk is optional and may be null or of another type than expected (openai-compatible gateways
differ): what is not understood is skipped, never a crash.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from raptchat.outside import is_utf8
from raptchat.providers.cleaning import Cleaner
from raptchat.providers.hiding import Hiding
from raptchat.providers.reasoning import ReasoningDetails
from raptchat.records import Chunk, Citation, ContentChunk, DoneChunk, ReasoningChunk, Start, Usage
from raptchat.secret import Secret

# More than any model can count, and well within 64 bits.
_MOST_TOKENS = 10**12
_MOST_DOLLARS = 10**6
_DECIMAL_PLACES = 18
_MAX_NAME = 200
_MAX_URL = 2000
_MOST_CITATIONS = 100


class Text:
    """The pieces of one text, each of them encodable as UTF-8.

    JSON can hold half of a surrogate pair: the halves are joined, also from two pieces, and a lone one becomes
    U+FFFD. The *key* is taken out.
    """

    def __init__(self, key: Secret | None = None) -> None:
        self._hiding = Hiding(key or Secret(""))
        # A list of the pieces would take ten times the memory.
        self._utf8 = bytearray()
        self._half = ""

    def add(self, piece: str) -> str:
        """What *piece* adds to the text; nothing yet of half a character, or of what may become the key."""
        if self._half:
            piece, self._half = self._half + piece, ""
        if not (piece.isascii() or is_utf8(piece)):
            if "\ud800" <= piece[-1] < "\udc00":
                piece, self._half = piece[:-1], piece[-1]
            piece = well_formed(piece)
        return self._take(self._hiding.add(piece))

    def close(self) -> str:
        """What is left to add at the end, with the sign for half a character without its other half."""
        half, self._half = self._half, ""
        rest = self._hiding.add("\ufffd") if half else ""
        return self._take(rest + self._hiding.close())

    def _take(self, text: str) -> str:
        self._utf8 += text.encode()
        return text

    def whole(self) -> str:
        """All of it."""
        return self._utf8.decode()

    def __bool__(self) -> bool:
        return bool(self._utf8 or self._half)


def well_formed(text: str) -> str:
    """*text* with surrogate pairs joined and lone surrogates as U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class Reply:
    """What is known so far of one reply by *model*."""

    def __init__(self, *, model: str, clean: Cleaner, credential_id: str | None = None) -> None:
        self.asked = model
        self._credential_id = credential_id
        self._served: str | None = None
        self._served_raw = ""
        self._generation_id: str | None = None
        self._clean = clean
        self._content = Text(clean.key)
        self._reasoning = Text(clean.key)
        self._details = ReasoningDetails()
        self._citations: dict[str, Citation] = {}
        self._refused = False
        self._chunks: list[Chunk] = []
        # Those of one text that follow each other, until they are asked for.
        self._pieces: list[str] = []
        self._speaking = self._content
        self._usage = Usage()
        self._finish_reason: str | None = None
        self.error: Mapping[str, object] | None = None

    @property
    def begun(self) -> bool:
        """Whether any text came: seen by a person, and paid for."""
        return bool(self._pieces or self._content or self._reasoning)

    @property
    def answered(self) -> bool:
        """Whether any of the text came that is no reasoning."""
        return bool(self._content or (self._pieces and self._speaking is self._content))

    @property
    def complete(self) -> bool:
        """Whether the model came to its end."""
        return self._finish_reason is not None and self.error is None

    def name_generation(self, value: object) -> None:
        """Take *value* as the gateway's name for this reply, if it has none yet."""
        self._generation_id = self._generation_id or self._name(value)

    def start(self, data: Mapping[str, Any]) -> Start:
        """What the first chunk says of the reply as a whole."""
        self._take_names(data)
        return Start(self._served, self._generation_id)

    def add(self, data: Mapping[str, Any]) -> None:
        """Take *data*, one chunk of the stream or a whole completion, whose texts `arrived` hands out.

        Nothing counts that comes after an error.
        """
        if self.error is not None:
            return
        self._take_names(data)
        choices = data.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            # Only the first of several replies (`n`) is shown.
            if isinstance(choice, dict) and choice.get("index") in (None, 0):
                self._add_choice(choice)
        # Some gateways repeat it on every chunk: the last one holds, they never add up.
        if isinstance(usage := data.get("usage"), dict):
            self._usage = read_usage(usage)
        if data.get("error"):
            self.error = data

    def arrived(self) -> list[Chunk]:
        """What was added since it was last asked for: pieces of one text that follow each other are one chunk."""
        self._join()
        chunks, self._chunks = self._chunks, []
        return chunks

    def close(self) -> list[Chunk]:
        """As `arrived`, and what was held back for a next chunk."""
        self._join()
        for text in (self._reasoning, self._content):
            self._tell(text, text.close())
        return self.arrived()

    def done(self) -> DoneChunk:
        """The reply as it ended."""
        return DoneChunk(
            self._content.whole(),
            self._usage,
            self._served or self.asked,
            self._finish_reason,
            self._generation_id,
            self._credential_id,
            self._reasoning.whole(),
            self._without_key(self._details.as_json()),
            tuple(self._citations.values()),
        )

    def cut_short(self) -> DoneChunk:
        """The reply as far as it came: what ended it was not the model."""
        # A block without its end, which a signature may be, is refused when it is sent back.
        return self.done()._replace(finish_reason=None, reasoning_details=None)

    def _take_names(self, data: Mapping[str, Any]) -> None:
        model = data.get("model")
        if model != self._served_raw and isinstance(model, str):
            self._served_raw = model
            self._served = self._name(model) or self._served
        if self._generation_id is None:
            self._generation_id = self._name(data.get("id"))

    def _add_choice(self, choice: Mapping[str, Any]) -> None:
        delta = choice.get("delta") or choice.get("message")
        if isinstance(delta, dict):
            # Usually both say the same.
            fragments = delta.get("reasoning_details")
            details = self._details.add(fragments) if fragments else ""
            if thought := delta.get("reasoning") or delta.get("reasoning_content") or details:
                self._say(self._reasoning, _text(thought))
            if annotations := delta.get("annotations"):
                self._cite(annotations)
            content = delta.get("content")
            if not content and (self._refused or not self.answered):
                content = delta.get("refusal")
                self._refused = self._refused or bool(content)
            # The last chunk, with the finish reason, can carry text too.
            if content:
                self._say(self._content, _text(content))
        if finish_reason := choice.get("finish_reason"):
            self._finish_reason = self._name(finish_reason)
        if choice.get("error") or self._finish_reason == "error":
            self.error = {"error": choice.get("error") or {"message": "the model's host failed"}}

    def _say(self, text: Text, piece: str) -> None:
        if text is not self._speaking:
            self._join()
            self._speaking = text
        if piece:
            self._pieces.append(piece)

    def _join(self) -> None:
        if self._pieces:
            self._tell(self._speaking, self._speaking.add("".join(self._pieces)))
            self._pieces.clear()

    def _tell(self, text: Text, added: str) -> None:
        if added:
            self._chunks.append(ContentChunk(added) if text is self._content else ReasoningChunk(added))

    def _cite(self, annotations: object) -> None:
        for annotation in annotations if isinstance(annotations, list) else ():
            if len(self._citations) >= _MOST_CITATIONS:
                return
            cited = _inside(annotation, "url_citation") if isinstance(annotation, dict) else {}
            url = self._clean(cited.get("url"), _MAX_URL)
            if url.startswith(("https://", "http://")):
                self._citations.setdefault(url, Citation(url, self._name(cited.get("title"))))

    def _without_key(self, text: str | None) -> str | None:
        whole = Text(self._clean.key)
        return None if text is None else whole.add(text) + whole.close()

    def _name(self, value: object) -> str | None:
        return self._clean(value, _MAX_NAME) or None


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    parts = value if isinstance(value, list) else []
    texts = (part.get("text") for part in parts if isinstance(part, dict) and part.get("type", "text") == "text")
    return "".join(text for text in texts if isinstance(text, str))


def read_usage(usage: Mapping[str, Any]) -> Usage:
    """The tokens and dollars in a `usage` object; what is missing, negative or absurd is `None`."""
    return Usage(
        input_tokens=_count(usage.get("prompt_tokens")),
        output_tokens=_count(usage.get("completion_tokens")),
        total_tokens=_count(usage.get("total_tokens")),
        cached_tokens=_count(_inside(usage, "prompt_tokens_details").get("cached_tokens")),
        reasoning_tokens=_count(_inside(usage, "completion_tokens_details").get("reasoning_tokens")),
        cost=_cost(usage),
    )


def _inside(usage: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = usage.get(name)
    return value if isinstance(value, dict) else {}


def _count(value: object) -> int | None:
    # Compared, since to calculate with 1E+9999999 is an error.
    if isinstance(value, Decimal) and value.is_finite() and 0 <= value <= _MOST_TOKENS and value == int(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST_TOKENS:
        return None
    return value


def _cost(usage: Mapping[str, Any]) -> Decimal | None:
    cost = _dollars(usage.get("cost"))
    if cost is None or usage.get("is_byok") is not True:
        return cost
    # With the account's own key for the model's host, that host sends a bill of its own.
    upstream = _dollars(_inside(usage, "cost_details").get("upstream_inference_cost"))
    return cost + (upstream or 0)


def _dollars(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        return None
    amount = Decimal(value)
    if not amount.is_finite() or not 0 <= amount <= _MOST_DOLLARS:
        return None
    # Printed in full, the number 0E-999999 would be a million characters long.
    exponent = amount.as_tuple().exponent
    assert isinstance(exponent, int)
    return amount if -_DECIMAL_PLACES <= exponent <= 0 else round(amount, _DECIMAL_PLACES)
