"""API keys that other chat clients keep in plain text: found, and never shown."""

import re
import shlex
import stat
from collections.abc import Iterator, Mapping, Sequence

from raptchat import foreign_keys
from raptchat.doctor.finding import Finding, ok, warning
from raptchat.foreign_keys import FoundKey, KeyFile

_SHORTEST_KEY = 16


def findings(environ: Mapping[str, str]) -> Iterator[Finding]:
    """A warning for each file of another client with a key in it that anyone who reads it can use."""
    clean = True
    for client in foreign_keys.clients():
        for file in foreign_keys.key_files(client, environ):
            if file.problem is not None:
                yield ok("environment", "plaintext keys", f"`{file.path}` {file.problem}: not looked at")
            elif keys := [one for one in file.keys if _is_key(one)]:
                clean = False
                yield _finding(client, file, keys)
    if clean:
        yield ok("environment", "plaintext keys", f"none in the files of {', '.join(foreign_keys.clients())}")


def _finding(client: str, file: KeyFile, keys: Sequence[FoundKey]) -> Finding:
    count = "a key" if len(keys) == 1 else f"{len(keys)} keys"
    text = f"`{client}` keeps {count} in plain text in `{file.path}`"
    if file.others_read:
        text += f", which others can read (mode {stat.S_IMODE(file.mode):04o})"
    if any(one.problem is None for one in keys):
        text += "; delete it there once a group has it"
        return warning("environment", "plaintext keys", text, f"raptchat import-keys {client}")
    text += "; no group could use it"
    if file.others_read:
        return warning("environment", "plaintext keys", text, f"chmod 600 {shlex.quote(str(file.path))}")
    return ok("environment", "plaintext keys", text)


def _is_key(found: FoundKey) -> bool:
    """Whether it is a key, not a word that stands for one."""
    value = found.key.reveal()
    return (
        len(value) >= _SHORTEST_KEY
        and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.:~+/=-]*", value) is not None
        and any(character.isdigit() for character in value)
        and any(character.isalpha() for character in value)
    )
