"""The fields of a request beside its messages: what `chat`'s flags and `-o KEY VALUE` make of it."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from raptchat.cli.invocation import Invocation
from raptchat.providers import fields

# What each flag adds, given its value.
_OF_FLAGS: dict[str, Callable[[Any], dict[str, object]]] = {
    "--temperature": lambda number: {"temperature": number},
    "--max-tokens": lambda number: {"max_tokens": number},
    "--top-p": lambda number: {"top_p": number},
    "--effort": lambda effort: {"reasoning": {"effort": effort}},
    "--web": lambda _: {"tools": [{"type": "openrouter:web_search"}]},
    "--fallback": lambda models: {"models": models},
    "--zdr": lambda _: {"provider": {"zdr": True}},
    # The same model keeps to a schema with one host and not with another: only those that do may answer.
    "--schema": lambda schema: {
        "response_format": schema.response_format(),
        "provider": {"require_parameters": True},
    },
    "--pdf-engine": lambda engine: {"plugins": [{"id": "file-parser", "pdf": {"engine": engine}}]},
}


def request_fields(
    run: Invocation, flags: Mapping[str, object], pairs: Iterable[tuple[str, str]]
) -> dict[str, object]:
    """The fields that *flags*, those that were given, by name, and the *pairs* of `-o` come to.

    What is odd about them is said on standard error. Raises `UsageError` for a field that cannot be set or has no
    such value, and where two of them say different things.
    """
    found: dict[str, object] = {}
    for name, text in pairs:
        found = fields.combine(found, {name: fields.read(name, text)}, f"-o {name}")
    for flag, value in flags.items():
        found = fields.combine(found, _OF_FLAGS[flag](value), flag)
    for note in fields.check(found):
        run.terminal.say(note)
    return found
