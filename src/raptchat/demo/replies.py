"""What the demo gateway says when all is well."""

import itertools
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from raptchat.demo.wire import Answer, Asked, bill_of, delta, in_json, opening, stream, words
from raptchat.outside import shortened

_LONGEST_QUOTE = 300


def reply(asked: Asked, text: str, pace: float = 0.0) -> Answer:
    """*text*, word by word over *pace* seconds, or whole when no stream was asked for."""
    if not asked.stream:
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        bill = bill_of(asked, text)
        body = {"id": asked.generation_id, "object": "chat.completion", "model": asked.model, "choices": [choice]}
        return replace(in_json({**body, "usage": bill.usage()}), bill=bill, finish="stop")
    streamed = stream(asked, words(asked, text), text)
    return replace(streamed, pause=pace / len(list(streamed.body)))


def markdown(asked: Asked) -> str:
    """A reply with something of everything that Markdown has; it says where it comes from."""
    quoted = "\n".join(f"> {line}" for line in shortened(asked.text, _LONGEST_QUOTE).splitlines() or [""])
    first = (asked.text.split() or ["nothing"])[0][:40].strip("`*")
    return f"""## A reply from the demo gateway

There is **no model** behind this: the gateway on this machine only shows what a reply looks like. It was
sent {asked.messages} message{"s" if asked.messages != 1 else ""}, the last of which reads:

{quoted}

What came in:

- {len(asked.text.split())} words, {len(asked.text)} characters
- for the model `{asked.model}`
- beginning with *{first}*

```python
def count(text: str) -> int:
    return len(text.split())
```

| messages | words in all |
| --- | ---: |
| {asked.messages} | {asked.words} |
"""


def reasoning(asked: Asked) -> Answer:
    """Two words of reasoning, and a reply."""
    thoughts = [delta(asked, reasoning=word, content=None) for word in ("Two ", "and two.")]
    return stream(asked, [*thoughts, *words(asked, "It is 4.")], "It is 4.", thoughts="Two and two.")


def thinking(asked: Asked, lines: int = 40) -> Answer:
    """*lines* of reasoning as a signed block, and a reply."""
    thoughts = "".join(
        f"Step {number}: what does `{asked.text[:40]}` need here?\n" for number in range(1, lines + 1)
    )
    chunks = [
        delta(asked, content="", reasoning=word, reasoning_details=[{**_THOUGHT, "text": word}])
        for word in thoughts.splitlines(keepends=True)
    ]
    signature = delta(asked, content="", reasoning_details=[{**_THOUGHT, "signature": "demo-signature"}])
    text = markdown(asked)
    whole = stream(asked, [*chunks, signature, *words(asked, text)], text, thoughts=thoughts)
    return replace(whole, pause=0.02)


_THOUGHT = {"type": "reasoning.text", "format": "anthropic-claude-v1", "index": 0}


def endless(asked: Asked) -> Answer:
    """Numbers, for ever; however many are read, a hundred are billed."""
    numbers = (delta(asked, content=f"{number} ") for number in itertools.count(1))
    bill = bill_of(asked, "number " * 100)
    return Answer(body=itertools.chain(opening(asked), numbers), pause=0.001, bill=bill)


def long(asked: Asked, sections: int = 100) -> Answer:
    """Many sections of Markdown."""
    text = "\n".join(markdown(replace(asked, text=f"section {number}")) for number in range(1, sections + 1))
    return reply(asked, text, pace=sections / 10)


def in_bytes(asked: Asked) -> Answer:
    """A whole stream, a byte at a time."""
    whole = reply(asked, markdown(asked))
    body = b"".join(whole.body)
    return replace(whole, body=(body[at : at + 1] for at in range(len(body))))


def slow(asked: Asked) -> Answer:
    """Words with pauses between them."""
    return replace(reply(asked, "One word after the other"), pause=0.2)


def cut_by_limit(asked: Asked) -> Answer:
    """A reply that comes to its length limit."""
    text = "As long as"
    return stream(asked, words(asked, text), text, finish="length")


def empty(asked: Asked) -> Answer:
    """A whole stream without a word."""
    return stream(asked, [], "")


def cited(asked: Asked) -> Answer:
    """A reply with the pages that it rests on."""
    text = "Water moves to where more is dissolved."
    pages = [
        {"type": "url_citation", "url_citation": {"url": f"https://example.org/{name}", "title": title}}
        for name, title in (("osmosis", "Osmosis"), ("membrane", "What a membrane lets through"))
    ]
    return stream(asked, [*words(asked, text), delta(asked, annotations=pages)], text)


def as_json(asked: Asked) -> Answer:
    """The smallest document that fits the JSON Schema which was asked for, or one with the last message."""
    wanted = asked.body.get("response_format")
    schema = wanted.get("json_schema", {}).get("schema") if isinstance(wanted, dict) else None
    document = _fitting(schema) if isinstance(schema, dict) else {"text": asked.text}
    return reply(asked, json.dumps(document))


def _fitting(schema: Mapping[str, Any]) -> object:
    if "enum" in schema:
        return schema["enum"][0]
    if schema.get("type") == "object":
        return {name: _fitting(one) for name, one in schema.get("properties", {}).items()}
    if schema.get("type") == "array":
        return [_fitting(schema.get("items", {}))]
    return _SIMPLE.get(str(schema.get("type")), "demo")


_SIMPLE = {"integer": 1, "number": 1.5, "boolean": True, "null": None}


def seen(asked: Asked) -> Answer:
    """What the parts of the last message are."""
    content = asked.body["messages"][-1].get("content")
    lines = (
        [_part(part) for part in content] if isinstance(content, list) else [f"text, {len(asked.text)} characters"]
    )
    plugins = [str(one.get("id")) for one in asked.body.get("plugins", ()) if isinstance(one, dict)]
    return reply(asked, "\n".join(f"- {line}" for line in [*lines, *(f"plugin {name}" for name in plugins)]))


def _part(part: object) -> str:
    match part:
        case {"type": "text", "text": str(text)}:
            return f"text, {len(text)} characters"
        case {"type": "image_url", "image_url": {"url": str(url)}}:
            return f"image, {url.partition(',')[0]}, {len(url)} characters"
        case {"type": "file", "file": {"filename": str(name), "file_data": str(url)}}:
            return f"file `{name}`, {url.partition(',')[0]}"
        case {"type": "input_audio", "input_audio": {"format": str(kind), "data": str(data)}}:
            return f"audio, {kind}, {len(data)} characters"
    return "something else"
