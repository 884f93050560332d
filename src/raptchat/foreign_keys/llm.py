"""`llm`: `keys.json` in `user_dir()`, which is `LLM_USER_PATH`, or click's folder for `io.datasette.llm`.

An object of names and keys, as `llm keys set` writes it (simonw/llm, `llm/__init__.py` and `llm/cli.py`).
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from raptchat.foreign_keys import folders
from raptchat.foreign_keys.entries import Entry, Source
from raptchat.secret import Secret

_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


class _Member(NamedTuple):
    name: str
    value: Any
    start: int
    end: int


def sources(environ: Mapping[str, str]) -> Iterator[Source]:
    """The files with its keys."""
    yield Source(folder(environ) / "keys.json", read_keys)


def folder(environ: Mapping[str, str]) -> Path:
    """Where it keeps its files."""
    return Path(environ.get("LLM_USER_PATH") or folders.application_data(environ) / "io.datasette.llm")


def read_keys(text: str) -> list[Entry]:
    """The keys of `keys.json`."""
    members = _members(text)
    entries = []
    for at, one in enumerate(members):
        if not isinstance(one.value, str) or one.name.startswith("//"):
            continue
        # With the comma before it, or, of the first one, the comma and the space behind it.
        if at:
            span = (members[at - 1].end, one.end)
        else:
            span = (one.start, members[1].start if len(members) > 1 else one.end)
        entries.append(Entry(one.name, one.name, Secret(one.value), span=span))
    return entries


def _members(text: str) -> list[_Member]:
    """The members of the one object that *text* is (RFC 8259), with where each stands."""
    try:
        end, members = _object(text)
        if end == len(text):
            return members
    except (ValueError, RecursionError, IndexError):
        pass
    raise ValueError("is no JSON object of names and keys")


def _object(text: str) -> tuple[int, list[_Member]]:
    members: list[_Member] = []
    at = _expect(text, _skip(text, 0), "{")
    if text[at] == "}":
        return _skip(text, at + 1), members
    while True:
        start = at
        name, at = _DECODER.raw_decode(text, at)
        if not isinstance(name, str):
            raise ValueError  # noqa: TRY004 - the text has another form
        at = _expect(text, _skip(text, at), ":")
        value, end = _DECODER.raw_decode(text, at)
        members.append(_Member(name, value, start, end))
        at = _skip(text, end)
        if text[at] == "}":
            return _skip(text, at + 1), members
        at = _expect(text, at, ",")


def _expect(text: str, at: int, character: str) -> int:
    if text[at] != character:
        raise ValueError
    return _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at
