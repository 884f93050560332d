"""Changes one line of `config.toml`; everything else in the file stays as it is."""

import fcntl
import json
import os
import re
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from raptchat import whole_file
from raptchat.config import Setting, read_settings, setting_named
from raptchat.errors import OutputError, UsageError

_ANY_HEADER = re.compile(r"^[ \t]*\[", re.MULTILINE)


def change(path: Path, setting: Setting, value: object) -> None:
    """Set *setting* in the file at *path*, or take it out when *value* is `None`.

    `UsageError` when the file cannot be read, or sets it in a way that takes more than one line to change.
    `OutputError` when it cannot be written.
    """
    # A link into a folder of settings that are kept elsewhere stays a link.
    place = path.resolve() if path.is_symlink() else path
    try:
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _locked(place.parent):
            read_settings(path)  # what cannot be read is an error that says why
            # Not as text: a line's end stays as it is.
            changed = _changed(place.read_bytes().decode() if place.exists() else "", setting, value)
            if changed is None:
                raise UsageError(
                    f"`{path}` sets {setting.name} in a way that cannot be changed here", hint="edit the file"
                )
            whole_file.write(place, changed)
    except OSError as error:
        raise OutputError(f"the settings in `{path}` cannot be written: {error.strerror}") from None


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Only one process changes the settings at a time; a dead one's lock is gone with it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # NFS locks no folder
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _changed(text: str, setting: Setting, value: object) -> str | None:
    """*text* with one line changed, added or taken out; `None` where that does not do it."""
    wanted = tomllib.loads(text)
    table, name = setting.place
    section: dict[str, Any] = wanted if table is None else wanted.setdefault(table, {})
    name = _name_in_file(section, setting) or name
    section.pop(name, None)
    if value is not None:
        section[name] = value
    if value is not None:
        text += "" if not text or text.endswith("\n") else "\n"
        if table is not None and not _header(table).search(text):
            text += f"[{table}]\n"
    begin, end = _extent(text, table)
    line = f"{name} = {_literal(value)}\n" if value is not None else ""
    changed = text[:begin] + _with_line(text[begin:end], name, line) + text[end:]
    with suppress(tomllib.TOMLDecodeError):
        result = tomllib.loads(changed)
        if table is not None:
            result.setdefault(table, {})
        return changed if result == wanted else None
    return None


def _name_in_file(names: Iterable[str], setting: Setting) -> str | None:
    prefix = setting.name.removesuffix(setting.place[1])
    return next((name for name in names if setting_named(prefix + name) == setting), None)


def _header(table: str) -> re.Pattern[str]:
    return re.compile(rf"^[ \t]*\[[ \t]*{table}[ \t]*\][^\n]*\n?", re.MULTILINE)


def _extent(text: str, table: str | None) -> tuple[int, int]:
    """Where the lines of *table* begin and end in *text*; `None` is what stands above all tables."""
    header = _header(table).search(text) if table is not None else None
    begin = header.end() if header else 0
    following = _ANY_HEADER.search(text, begin)
    return begin, following.start() if following else len(text)


def _with_line(part: str, name: str, line: str) -> str:
    pattern = re.compile(rf"^[ \t]*{re.escape(name)}[ \t]*=[^\n]*\n?", re.MULTILINE)
    if pattern.search(part):
        return pattern.sub(lambda _: line, part, count=1)
    return part + line


def _literal(value: object) -> str:
    # A JSON text is a TOML string too, as long as nothing in it is written as a surrogate pair.
    return str(value) if isinstance(value, int) else json.dumps(value, ensure_ascii=False)
