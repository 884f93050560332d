"""The body of a chat request: messages with what is attached to them, model and options, as JSON.

The parts of a message are those of the OpenRouter API reference (Chat Completion, "Multimodal Capabilities"): the
text first, then the files. Text files are part of the text.
"""

import binascii
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from raptchat.errors import UsageError
from raptchat.media_types import AUDIO_FORMATS
from raptchat.outside import safe_line
from raptchat.providers.reply import well_formed
from raptchat.records import Attachment, Message

# What the attachments of one request may take on its wire; gateways refuse more, some of them far less.
MOST_ATTACHED_BYTES = 64 * 1024 * 1024

# What is decided here, and by no option.
OWN_FIELDS = ("messages", "model", "stream")

Effort = Literal["max", "xhigh", "high", "medium", "low", "minimal", "none"]
PdfEngine = Literal["cloudflare-ai", "mistral-ocr", "native"]

_PDF_PLUGIN = "file-parser"
# Where nothing is said the gateway reads a PDF with an engine that costs money, unless the model reads PDF itself.
_FREE_PDF_ENGINE = "cloudflare-ai"

# `iterencode` writes text by text: no copy of the whole request is made in characters of four bytes.
_JSON = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def encoded(form: Mapping[str, object]) -> bytes:
    """A request in UTF-8; `UsageError` for what is not JSON."""
    try:
        return b"".join(map(_utf8, _JSON.iterencode(form)))
    except (TypeError, ValueError, RecursionError):
        raise UsageError("a message or an option cannot be written as JSON") from None


def request_form(
    messages: Sequence[Message | Mapping[str, object]],
    model: str,
    options: Mapping[str, object],
    *,
    short: bool = False,
    openrouter: bool = True,
) -> dict[str, object]:
    """All fields of the request, before they are written as JSON; *options* are those beside the messages.

    For *openrouter* earlier replies go back with the blocks of their reasoning; and with a PDF among the
    *messages*, also one of an earlier turn, the engine that costs nothing reads it, unless *options* choose one.
    *short* is as in `_message_form`. Raises `UsageError` for what cannot be sent.
    """
    if not messages:
        raise UsageError("there is no message to send")
    if taken := [name for name in OWN_FIELDS if name in options]:
        raise UsageError(f"`{taken[0]}` cannot be set as an option")
    check_size(messages)
    forms = [_message_form(message, short=short, openrouter=openrouter) for message in messages]
    if openrouter and any(map(_has_pdf, forms)):
        options = {**options, "plugins": _with_pdf_engine(options.get("plugins") or [])}
    return {**options, "model": model, "messages": forms, "stream": True}


def _message_form(message: Message | Mapping[str, object], *, short: bool, openrouter: bool) -> dict[str, object]:
    """*message* as the gateway takes it; `UsageError` when something of it is missing.

    *short* is for a person: an attachment is shown as `<image/png, 12,345 bytes, name>` in place of its content.
    """
    if isinstance(message, Message):
        form: dict[str, object] = {"role": message.role, "content": _content(message, short=short)}
        state: object = message.state
        details: object = message.reasoning_details
    else:
        missing = [name for name in ("role", "content") if name not in message]
        if missing:
            raise UsageError(f"a message has no `{missing[0]}`")
        # Nothing else of a stored message is the gateway's business.
        form = {"role": message["role"], "content": message["content"]}
        state, details = message.get("state", "complete"), message.get("reasoning_details")
    # The blocks of a reply that was cut are not whole, and their signatures do not fit.
    returned = openrouter and state == "complete" and form["role"] == "assistant"
    if returned and (blocks := _blocks(details)):
        form["reasoning_details"] = blocks
    return form


def check_size(messages: Iterable[Message | Mapping[str, object]]) -> None:
    """`UsageError` when the attachments of all *messages* together are too large for one request."""
    files = [one for message in messages if isinstance(message, Message) for one in message.attachments]
    if sum(one.size if one.kind == "text" else one.size * 4 // 3 for one in files) > MOST_ATTACHED_BYTES:
        raise UsageError(
            f"the conversation's attachments take more than {MOST_ATTACHED_BYTES // 2**20} MiB in one request",
            hint="attach less, or begin a new session",
        )


def _content(message: Message, *, short: bool) -> str | list[object]:
    texts, parts = [message.content], list[object]()
    for one in message.attachments:
        if one.kind == "text":
            texts.append(_shown(one) if short else _fenced(one))
        else:
            parts.append(_part(one, _shown(one) if short else None))
    text = "\n\n".join(texts)
    return [{"type": "text", "text": text}, *parts] if parts else text


def _part(one: Attachment, shown: str | None) -> dict[str, object]:
    if one.kind == "audio":
        data = {"data": shown or _base64(one), "format": AUDIO_FORMATS.get(one.media_type, one.media_type[6:])}
        return {"type": "input_audio", "input_audio": data}
    url = shown or f"data:{one.media_type};base64,{_base64(one)}"
    if one.kind == "pdf":
        return {"type": "file", "file": {"filename": safe_line(one.name), "file_data": url}}
    return {"type": "image_url", "image_url": {"url": url}}


def _fenced(one: Attachment) -> str:
    """A text file between fences that are longer than any in it (CommonMark 0.31, 4.5), below its name."""
    text = _bytes(one).decode("utf-8-sig", "replace")
    longest, at = 2, 0
    while run := re.compile(f"`{{{longest + 1},}}").search(text, at):
        longest, at = len(run[0]), run.end()
    fence = "`" * (longest + 1)
    name = json.dumps(safe_line(one.name), ensure_ascii=False)
    end = "" if text.endswith("\n") else "\n"
    return f"File {name}:\n\n{fence}\n{text}{end}{fence}"


def _shown(one: Attachment) -> str:
    return f"<{one.media_type}, {one.size:,} bytes, {safe_line(one.name)}>"


def _base64(one: Attachment) -> str:
    return binascii.b2a_base64(_bytes(one), newline=False).decode("ascii")


def _bytes(one: Attachment) -> bytes:
    if one.content is None:
        raise UsageError(f"the content of `{safe_line(one.name)}` is not there", hint="attach it again")
    return one.content


def _has_pdf(form: Mapping[str, object]) -> bool:
    parts = form["content"]
    return isinstance(parts, list) and any(isinstance(part, dict) and part.get("type") == "file" for part in parts)


def _with_pdf_engine(plugins: object) -> object:
    """*plugins* with the engine that costs nothing, where they name none."""
    if not isinstance(plugins, list | tuple):
        return plugins
    parsers = [one for one in plugins if isinstance(one, dict) and one.get("id") == _PDF_PLUGIN]
    others = [one for one in plugins if one not in parsers]
    return [*others, *map(_with_engine, parsers or [{"id": _PDF_PLUGIN}])]


def _with_engine(parser: Mapping[str, object]) -> Mapping[str, object]:
    pdf = parser.get("pdf") or {}
    return {**parser, "pdf": {"engine": _FREE_PDF_ENGINE} | pdf} if isinstance(pdf, dict) else parser


def _blocks(details: object) -> object:
    if not isinstance(details, str):
        return details
    try:
        # NaN and infinity, which Python reads and writes, are not JSON.
        return json.loads(details, parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        return None


def _utf8(text: str) -> bytes:
    return text.encode() if text.isascii() else well_formed(text).encode()
