"""`--schema`: which shape a reply must have, as JSON Schema, and whether it has it.

JSON Schema is checked by `jsonschema_rs`, in the draft that the schema names, or else 2020-12
(https://json-schema.org/draft/2020-12/json-schema-core). Neither a file nor the network is read for a `$ref`.
"""

import json
import math
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raptchat.errors import SchemaMismatchError, UsageError
from raptchat.outside import safe_line, shortened

if TYPE_CHECKING:
    from jsonschema_rs import ValidationError

_MOST_BYTES = 1024 * 1024
# The checker refuses 255 levels, and a recursive schema walks down a reply on the process's stack.
_MOST_LEVELS = 200
# Python's own limit, which may be set to another one.
_MOST_DIGITS = 4300
_MOST_SHOWN = 200

_TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}
_NAME = re.compile(r"\w[\w-]{0,63}")
# The whole reply in one fence, as models write it though they were asked not to.
_FENCED = re.compile(r"\s*(`{3,}+|~{3,}+)[^\n`]*\n(.*)\n[ ]{0,3}\1\s*", re.DOTALL)


class Schema:
    """The shape that a reply must have; *document* is its JSON Schema."""

    def __init__(self, document: dict[str, Any]) -> None:
        """`UsageError` for what is no JSON Schema, and for a `$ref` that leads out of it."""
        from jsonschema_rs import ValidationError, validator_for

        self.document = document
        try:
            validator_for(document, offline=True)
        except ValidationError as error:
            raise UsageError(f"the schema is no JSON Schema{_where_and_why(error)}") from None
        except ValueError:
            raise UsageError("the schema holds text that is not Unicode") from None

    @classmethod
    def read(cls, text: str) -> "Schema":
        """The schema that *text* is, or that is in the file it names: JSON, or the short form.

        The short form is that of `llm` (https://llm.datasette.io/en/stable/schemas.html#concise-llm-schema-syntax):
        `name, age int, bio: a short bio`, with `str` (the default), `int`, `float` and `bool`. Where there is
        more than one line, each field has one of its own, and descriptions may hold commas. All fields are
        required and no others are allowed. Raises `UsageError`.
        """
        content = text if text.lstrip().startswith(("{", "[")) else _file(text)
        if content is None:
            return cls(_short_form(text))
        try:
            document = _json(content)
        except ValueError as error:
            raise UsageError(f"the schema is not JSON: {error}", hint="raptchat chat --help") from None
        if not isinstance(document, dict):
            raise UsageError("the schema is no JSON object", hint='such as {"type": "object"}')
        return cls(document)

    def response_format(self) -> dict[str, object]:
        """The field of a request that asks a model to keep to it.

        `strict` only where the strictest gateways would take it: they want every field required and no others.
        """
        strict = all(_is_closed(part) for part in _objects(self.document))
        return {
            "type": "json_schema",
            "json_schema": {"name": "reply", "strict": strict, "schema": self.document},
        }

    def check(self, reply: str) -> None:
        """`SchemaMismatchError` says where and why *reply* is no JSON of this shape; it may stand in a fence."""
        from jsonschema_rs import ValidationError, validator_for

        fenced = _FENCED.fullmatch(reply)
        try:
            value = _json(fenced[2] if fenced else reply)
        except ValueError as error:
            raise _mismatch(f"the reply is not JSON: {error}") from None
        # Unmasked, a message begins with the value, however long it is, and ends with what is wrong.
        validator = validator_for(self.document, offline=True, mask="the value")
        try:
            validator.validate(value)
        except ValidationError as error:
            raise _mismatch(f"the reply does not fit the schema{_where_and_why(error)}") from None
        except ValueError:
            raise _mismatch("the reply holds text that is not Unicode") from None


def _mismatch(message: str) -> SchemaMismatchError:
    return SchemaMismatchError(message, hint="ask again, or name a model that supports structured outputs")


def _where_and_why(error: "ValidationError") -> str:
    steps = (str(step).replace("~", "~0").replace("/", "~1") for step in error.instance_path)
    pointer = "".join(f"/{step}" for step in steps)
    place = f" at `{_short(pointer)}`" if pointer else ""
    return f"{place}: {_short(error.message)}"


def _short(text: str) -> str:
    return safe_line(shortened(text, _MOST_SHOWN))


def _file(text: str) -> str | None:
    """What is in the file called *text*; `None` when it is no file's name."""
    path = Path(text)
    with suppress(OSError, ValueError):
        if not stat.S_ISDIR(path.stat().st_mode):
            return _content(path)
    if text.endswith(".json") or ("/" in text and not re.search(r"[\s,:]", text)):
        raise UsageError(
            f"there is no file `{_short(text)}` with a schema", hint='or name its fields: --schema "name, age int"'
        )
    return None


def _content(path: Path) -> str:
    shown = _short(str(path))
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise UsageError(f"the schema `{shown}` cannot be read: {error.strerror}") from None
    if len(data) > _MOST_BYTES:
        raise UsageError(f"the schema `{shown}` is larger than 1 MiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"the schema `{shown}` is not UTF-8 text") from None


def _short_form(text: str) -> dict[str, Any]:
    lines = text.strip()
    parts = [part.strip() for part in lines.split("\n" if "\n" in lines else ",")]
    properties: dict[str, dict[str, str]] = {}
    for part in filter(None, parts):
        declared, _, description = part.partition(":")
        name, kind = _declared(declared, part)
        if name in properties:
            raise UsageError(f"the schema names `{_short(name)}` twice")
        properties[name] = {"type": kind, **({"description": it} if (it := description.strip()) else {})}
    if not properties:
        raise UsageError("the schema is empty", hint='such as "name, age int, bio: a short bio"')
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _declared(words: str, part: str) -> tuple[str, str]:
    name, *kinds = words.split() or [""]
    if not _NAME.fullmatch(name) or len(kinds) > 1 or any(kind not in _TYPES for kind in kinds):
        raise UsageError(
            f"`{_short(part)}` is no field of a schema's short form",
            hint="name, name type or name type: description; types are str, int, float, bool; "
            "descriptions with commas need a line for each field",
        )
    return name, _TYPES[kinds[0] if kinds else "str"]


def _objects(document: object) -> Iterator[dict[str, Any]]:
    """Every part of a schema that describes an object."""
    if isinstance(document, dict):
        if document.get("type") == "object" or isinstance(document.get("properties"), dict):
            yield document
        for part in document.values():
            yield from _objects(part)
    elif isinstance(document, list):
        for part in document:
            yield from _objects(part)


def _is_closed(part: dict[str, Any]) -> bool:
    required = part.get("required")
    names = required if isinstance(required, list) else []
    return part.get("additionalProperties") is False and all(name in names for name in part.get("properties", ()))


def _json(text: str) -> object:
    """The value that *text* is in JSON (RFC 8259); `ValueError` says in words why it is none.

    What JSON readers take in different ways is refused: a script that reads the same text must not see
    another value than the one that was checked.
    """
    try:
        value: object = json.loads(
            text,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_whole,
            object_pairs_hook=_without_twins,
        )
    except json.JSONDecodeError as error:
        # The library's own word ends in a count of characters, which no editor shows.
        raise ValueError(f"{error.msg}, line {error.lineno} column {error.colno}") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    level = [value]
    for _ in range(_MOST_LEVELS):
        level = [inner for outer in level for inner in _inside(outer)]
    if level:
        raise ValueError("it is nested too deeply")
    return value


def _inside(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _no_constant(name: str) -> object:
    raise ValueError(f"`{name}` is no JSON")


def _finite(digits: str) -> float:
    if math.isinf(number := float(digits)):
        raise ValueError(f"the number {digits[:20]} is too large")
    return number


def _whole(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"a number of {len(digits)} digits is too large")
    return int(digits)


def _without_twins(pairs: list[tuple[str, object]]) -> dict[str, object]:
    table: dict[str, object] = {}
    for name, value in pairs:
        if name in table:
            raise ValueError(f"an object has `{_short(name)}` twice")
        table[name] = value
    return table
