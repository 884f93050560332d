"""API keys that other chat clients keep in plain text: found, told apart, and taken out of their files.

A client has a file here that knows where its keys are and how they are written; `removing.py` edits one.
"""

import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from raptchat.api_key import check_api_key
from raptchat.errors import UsageError
from raptchat.foreign_keys.entries import Entry, Reader, Source
from raptchat.foreign_keys.services import place_of
from raptchat.foreign_keys.variables import variable_entry
from raptchat.secret import Secret

FileClient = Literal["llm", "aichat", "shell_gpt", "fabric"]

# Far more than the settings of any client; YAML takes a second for so much.
_MOST_BYTES = 128 * 1024
_TOO_LARGE = "is larger than any file with keys"
# What stands in examples: `sk-xxx`, `<your key>`, `${KEY}`.
_PLACEHOLDER = re.compile(r"([a-z0-9]+[-_])*x{3,}|<.*>|\$.*|your.*", re.IGNORECASE)
# Of the environment's many keys only those of services that answer questions; their names are told, not all.
_VARIABLES = re.compile(
    r"(OPENROUTER|OPENAI|ANTHROPIC|GEMINI|GROQ|MISTRAL|DEEPSEEK|TOGETHER|FIREWORKS|DEEPINFRA|PERPLEXITY|MOONSHOT"
    r"|XAI|CEREBRAS|COHERE|LITELLM)_(API_)?KEY"
)


class FoundKey(NamedTuple):
    """A key in plain text: in the file *path*, or, of `None`, in this process's environment.

    *entry* is what it is called there, *provider* and *base_url* are where it may be sent (`None`: the provider's
    gateway), *problem* is why it is of no use.
    """

    path: Path | None
    entry: str
    key: Secret
    provider: str | None
    base_url: str | None
    problem: str | None


class KeyFile(NamedTuple):
    """A file of another client's, with its *mode* and *content*; *problem* is why there are no keys to be had."""

    path: Path
    reader: Reader
    mode: int = 0
    content: bytes = b""
    problem: str | None = None
    keys: tuple[FoundKey, ...] = ()

    def __repr__(self) -> str:
        return f"KeyFile({str(self.path)!r}, keys={len(self.keys)})"

    @property
    def others_read(self) -> bool:
        """Whether its mode lets others than its owner read it."""
        return bool(self.mode & (stat.S_IRGRP | stat.S_IROTH))


def clients() -> tuple[str, ...]:
    """The clients whose files are known."""
    return get_args(FileClient)


def sources(client: str, environ: Mapping[str, str]) -> list[Source]:
    """The files that a client may have keys in, of which any may be missing."""
    find: Callable[[Mapping[str, str]], Iterator[Source]] = import_module(
        f"raptchat.foreign_keys.{client}"
    ).sources
    return list(find(environ))


def key_files(client: str, environ: Mapping[str, str]) -> list[KeyFile]:
    """Those of a client's files that are there, with the keys in them."""
    files = [read_file(source) for source in sources(client, environ)]
    return [file for file in files if file is not None]


def keys_of_environment(environ: Mapping[str, str]) -> list[FoundKey]:
    """The keys of services that answer questions among the variables *environ*."""
    entries = [
        entry
        for name, value in environ.items()
        if (_VARIABLES.fullmatch(name) or value.startswith("sk-or-"))
        and (entry := variable_entry(name, value, environ)) is not None
    ]
    return [_found(None, entry) for entry in entries]


def read_file(source: Source) -> KeyFile | None:
    """The file with its keys; `None` where there is none. What cannot be read says why in its `problem`."""
    file = _raw(source)
    if file is None or file.problem is not None:
        return file
    try:
        entries = entries_of(file.reader, file.content)
    except ValueError as error:
        return file._replace(problem=str(error))
    return file._replace(keys=tuple(_found(file.path, entry) for entry in entries))


def _raw(source: Source) -> KeyFile | None:
    file = KeyFile(source.path, source.reader)
    try:
        # Not blocking: it may be a pipe into which nobody writes.
        descriptor = os.open(source.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        try:
            file = file._replace(mode=os.fstat(descriptor).st_mode)
            if not stat.S_ISREG(file.mode):
                return file._replace(problem="is no file")
            with os.fdopen(descriptor, "rb", closefd=False) as opened:
                content = opened.read(_MOST_BYTES + 1)
        finally:
            os.close(descriptor)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return file._replace(problem=f"cannot be read: {error.strerror}")
    except ValueError:
        return file._replace(problem="cannot be read: its path is none")
    return file._replace(content=content, problem=_TOO_LARGE if len(content) > _MOST_BYTES else None)


def entries_of(reader: Reader, content: bytes) -> list[Entry]:
    """The keys in a file's *content*; `ValueError` says why it has another form."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise ValueError("is no text in UTF-8") from None
    return reader(text)


def _found(path: Path | None, entry: Entry) -> FoundKey:
    try:
        key = check_api_key(entry.key.reveal())
    except UsageError as error:
        return FoundKey(path, entry.name, entry.key, None, None, str(error).removeprefix("the API key "))
    if _PLACEHOLDER.fullmatch(key):
        return FoundKey(path, entry.name, entry.key, None, None, "is no key but a place for one")
    place = place_of(entry.service, key, entry.base_url)
    return FoundKey(path, entry.name, Secret(key), place.provider, place.base_url, place.problem)
