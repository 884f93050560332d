"""API keys that other chat tools keep in plain text: found, and never shown.

Where they are, as their sources have it:
- `llm`: `keys.json` in `user_dir()`, which is `LLM_USER_PATH`, or click's folder for `io.datasette.llm`
  (simonw/llm, `llm/__init__.py`)
- `aichat`: `config.yaml` and `.env`, at `AICHAT_CONFIG_FILE` and `AICHAT_ENV_FILE`, or in `AICHAT_CONFIG_DIR`, or
  `aichat` in `XDG_CONFIG_HOME` or the system's folder for settings (sigoden/aichat, `src/config/mod.rs`)
- `shell_gpt`: `~/.config/shell_gpt/.sgptrc`, a `KEY=value` a line (TheR1D/shell_gpt, `sgpt/config.py`)
- `fabric`: `~/.config/fabric/.env` (danielmiessler/fabric, `internal/plugins/db/fsdb/db.go`)
"""

import json
import os
import re
import shlex
import stat
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from raptchat.doctor.finding import Finding, ok, warning

_MOST_BYTES = 1_000_000
_SHORTEST_KEY = 16

_VARIABLE = re.compile(r"^\s*(?:export\s+)?(\w*(?:KEY|TOKEN|SECRET))\s*=\s*(.*?)\s*$", re.MULTILINE)
_YAML_KEY = re.compile(r"^[\s-]*['\"]?(\w*api_key)['\"]?\s*:\s*(.*?)\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A file of *tool*'s; *names* are what its keys in plain text are called, of the file's text."""

    tool: str
    path: Path
    names: Callable[[str], list[str]]


def findings(environ: Mapping[str, str]) -> Iterator[Finding]:
    """A warning for each file of another tool with a key in it that anyone who reads it can use."""
    files = list(key_files(environ))
    clean = True
    for file in files:
        read = _read(file.path)
        if read is None:
            continue
        text, mode = read
        if names := file.names(text):
            clean = False
            yield _finding(file, names, mode)
    if clean:
        tools = ", ".join(dict.fromkeys(file.tool for file in files))
        yield ok("environment", "plaintext keys", f"none in the files of {tools}")


def key_files(environ: Mapping[str, str]) -> Iterator[KeyFile]:
    """The files that may be there."""
    home = Path(environ.get("HOME") or os.path.expanduser("~"))  # noqa: PTH111 - Path.home raises without one
    config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    platform = home / "Library" / "Application Support" if sys.platform == "darwin" else config
    llm = Path(environ.get("LLM_USER_PATH") or platform / "io.datasette.llm")
    yield KeyFile("llm", llm / "keys.json", _of_json)
    named = environ.get("AICHAT_CONFIG_DIR")
    aichat = Path(named) if named else (config if environ.get("XDG_CONFIG_HOME") else platform) / "aichat"
    yield KeyFile("aichat", Path(environ.get("AICHAT_CONFIG_FILE") or aichat / "config.yaml"), _of_yaml)
    yield KeyFile("aichat", Path(environ.get("AICHAT_ENV_FILE") or aichat / ".env"), _of_variables)
    yield KeyFile("shell_gpt", home / ".config" / "shell_gpt" / ".sgptrc", _of_variables)
    yield KeyFile("fabric", home / ".config" / "fabric" / ".env", _of_variables)


def _finding(file: KeyFile, names: list[str], mode: int) -> Finding:
    count = "a key" if len(names) == 1 else f"{len(names)} keys"
    text = f"`{file.tool}` keeps {count} in plain text in `{file.path}`"
    if mode & (stat.S_IRGRP | stat.S_IROTH):
        text += f", which others can read (mode {mode:04o})"
    text += "; delete it there once a group has it"
    # Of several the one that most likely is a gateway's.
    name = next((each for each in names if "openrouter" in each.lower()), names[0])
    path = shlex.quote(str(file.path))
    taken = "raptchat group add-key NAME"
    if file.names is _of_variables:
        # With or without `export` and quotes; of the last such line, which is the one that counts.
        value = rf"s/^ *(export +)?{name} *= *[\"']?([^\"' ]+).*/\2/p"
        taken = f'sed -nE "{value}" {path} | tail -n 1 | {taken} --stdin'
    elif file.names is _of_json:
        taken = f"llm keys get {shlex.quote(name)} | {taken} --stdin"
    return warning("environment", "plaintext keys", text, taken)


def _read(path: Path) -> tuple[str, int] | None:
    """The file's text and mode; `None` where there is none that can be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    with os.fdopen(descriptor, "rb") as file:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            return None
        return file.read(_MOST_BYTES).decode(errors="replace"), stat.S_IMODE(mode)


def _of_json(text: str) -> list[str]:
    try:
        keys = json.loads(text)
    except (ValueError, RecursionError):
        return []
    if not isinstance(keys, dict):
        return []
    return [name for name, value in keys.items() if isinstance(value, str) and _is_key(value)]


def _of_yaml(text: str) -> list[str]:
    return [name for name, value in _YAML_KEY.findall(text) if _is_key(_unquoted(value))]


def _of_variables(text: str) -> list[str]:
    return [name for name, value in _VARIABLE.findall(text) if _is_key(_unquoted(value))]


def _unquoted(value: str) -> str:
    if value[:1] in {"'", '"'}:
        return value[1:].partition(value[0])[0]
    return value.partition(" #")[0].strip()


def _is_key(value: str) -> bool:
    """Whether *value* is a key, not a place for one such as `<your key>`, `${KEY}` or `sk-xxxx`."""
    return (
        len(value) >= _SHORTEST_KEY
        and value.isascii()
        and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.:~+/=-]*", value) is not None
        and any(character.isdigit() for character in value)
        and any(character.isalpha() for character in value)
    )
