"""The area `environment`: variables, settings, the terminal, and keys that other tools keep in plain text."""

import os
import shlex
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from raptchat import naming
from raptchat.config import IGNORED_KEY_VARIABLES, read_settings
from raptchat.doctor import plaintext_keys
from raptchat.doctor.finding import Check, Finding, ok, problem, warning
from raptchat.doctor.subject import Subject
from raptchat.errors import GroupNotFoundError

_PREFIX = "RAPTCHAT_"
_KNOWN = {f"{_PREFIX}{name}" for name in ("HOME", "GROUP", "DEBUG", "MASTER_KEY_FILE", "PASSPHRASE_FILE")}


def checks(subject: Subject) -> list[Check]:
    """What there is to look at around raptchat."""
    return [
        Check("environment", "settings", lambda: _settings(subject)),
        Check("environment", "ignored keys", lambda: _ignored_keys(subject)),
        Check("environment", "variables", lambda: _variables(subject)),
        Check("environment", "group", lambda: _group(subject)),
        Check("environment", "plaintext keys", lambda: plaintext_keys.findings(subject.environ)),
        Check("environment", "encoding", lambda: _encoding(subject)),
        Check("environment", "umask", _umask),
        Check("environment", "folder", _folder),
        Check("environment", "home", lambda: _home(subject)),
    ]


def _settings(subject: Subject) -> Iterator[Finding]:
    if subject.problem is not None:
        yield problem("environment", "settings", str(subject.problem), subject.problem.hint)
        return
    assert subject.paths is not None  # or else there is a problem
    path = subject.paths.config_file
    if not path.exists():
        yield ok("environment", "settings", f"there is no `{path}`: the defaults hold")
        return
    known, unknown = read_settings(path)
    for name in unknown:
        text = f"`{path}` sets `{name[:80]}`, which is no setting"
        yield warning("environment", "settings", text, "raptchat config list")
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        text = f"others can write `{path}` (mode {mode:04o})"
        yield warning("environment", "settings", text, f"chmod 600 {shlex.quote(str(path))}")
    yield ok("environment", "settings", f"`{path}` is valid; it sets {len(known)}")


def _ignored_keys(subject: Subject) -> Iterator[Finding]:
    for name in IGNORED_KEY_VARIABLES:
        if subject.environ.get(name):
            text = (
                f"{name} is set, and ignored: each group pays with its own key; every program can read it there,"
                " so take it out of the shell's start-up file once a group has it"
            )
            yield warning("environment", "ignored keys", text, f"raptchat group add-key NAME --from-env {name}")


def _variables(subject: Subject) -> Iterator[Finding]:
    names = sorted(name for name in subject.environ if name.startswith(_PREFIX))
    if known := [name for name in names if name in _KNOWN]:
        yield ok("environment", "variables", f"set: {', '.join(known)}")
    for name in names:
        if name not in _KNOWN:
            text = f"`{name[:80]}` is set, and raptchat knows no such variable"
            yield warning("environment", "variables", text, f"known: {', '.join(sorted(_KNOWN))}")


def _group(subject: Subject) -> Iterator[Finding]:
    word, file = subject.environ.get("RAPTCHAT_GROUP"), subject.store
    if not word or file is None or file.state != "current":
        return
    with file.opened() as store:
        try:
            name = naming.find_group(store, word).name
        except GroupNotFoundError as error:
            yield problem("environment", "group", f"RAPTCHAT_GROUP: {error}", "unset RAPTCHAT_GROUP")
        else:
            yield ok("environment", "group", f"RAPTCHAT_GROUP chooses `{name}`")


def _encoding(subject: Subject) -> Iterator[Finding]:
    if subject.encoding.lower().replace("-", "").replace("_", "") == "utf8":
        yield ok("environment", "encoding", "UTF-8")
    else:
        text = f"output is written in {subject.encoding[:40]}: characters that it lacks become `?`"
        yield warning("environment", "encoding", text, "export PYTHONUTF8=1")


def _umask() -> Iterator[Finding]:
    mask = _read_umask()
    if mask is None:
        return
    if not mask & stat.S_IWOTH:
        text = f"the umask is {mask:04o}: anyone can change what programs write here, but for raptchat's own files"
        yield warning("environment", "umask", text, "umask 077")
    else:
        yield ok("environment", "umask", f"{mask:04o}; raptchat's own files are yours alone whatever it is")


def _read_umask() -> int | None:
    # os.umask would set it for the whole process, in which other threads may be making files.
    if sys.platform != "linux":
        return None
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    return next((int(line.split()[1], 8) for line in status.splitlines() if line.startswith("Umask:")), None)


def _folder() -> Iterator[Finding]:
    try:
        os.getcwd()  # noqa: PTH109 - the one call that fails when it is gone
    except OSError:
        text = "the working folder is gone: no relative path leads anywhere, and no folder's group is found"
        yield warning("environment", "folder", text, "cd")


def _home(subject: Subject) -> Iterator[Finding]:
    # Where not even that list has it there is a problem with the settings.
    if subject.paths is not None and not subject.environ.get("HOME") and not subject.environ.get("RAPTCHAT_HOME"):
        text = "HOME is not set: where store and settings are is taken from the system's list of users"
        yield warning("environment", "home", text, "set HOME, or RAPTCHAT_HOME")
