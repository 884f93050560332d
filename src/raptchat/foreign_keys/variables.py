"""Files of `NAME=value`, a line each, and the environment: which of the names are those of keys."""

import re
from collections.abc import Mapping

from raptchat.foreign_keys.entries import Entry
from raptchat.secret import Secret

_LINE = re.compile(
    r"^[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*=([^\r\n]*)(?:\r?\n|\Z)", re.ASCII | re.MULTILINE
)
_KEY_NAME = re.compile(r"(\w+?)_(?:API_)?(?:KEY|TOKEN|SECRET)", re.ASCII)
_BASE_URL_NAMES = ("API_BASE_URL", "BASE_URL", "API_BASE")
# What shell_gpt writes for OpenAI's own.
_NO_URL = {"", "default"}


def read_variables(text: str) -> list[Entry]:
    """The keys in a file of variables; of two with one name the last counts, but both are there."""
    found = [(match[1], _value(match[2]), match.span()) for match in _LINE.finditer(text)]
    values = {name: value for name, value, _ in found}
    return [
        entry._replace(span=span)
        for name, value, span in found
        if (entry := variable_entry(name, value, values)) is not None
    ]


def variable_entry(name: str, value: str, values: Mapping[str, str]) -> Entry | None:
    """The key that the variable *name* is by its name, with the base URL that another of *values* names for it."""
    is_key = _KEY_NAME.fullmatch(name)
    if is_key is None or not value:
        return None
    service = is_key[1]
    named = [f"{service}_{end}" for end in _BASE_URL_NAMES]
    if service == "OPENAI":
        named.append(_BASE_URL_NAMES[0])  # as shell_gpt calls it, which has but one service
    urls = [values[each] for each in named if values.get(each, "") not in _NO_URL]
    return Entry(name, service, Secret(value), urls[0] if urls else None)


def _value(text: str) -> str:
    """What a shell would take it for, with or without quotes and a comment behind."""
    text = text.strip()
    if text[:1] in {"'", '"'}:
        return text[1:].partition(text[0])[0]
    return text.partition(" #")[0].strip()
