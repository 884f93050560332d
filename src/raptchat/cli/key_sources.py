"""Where the key of `group add-key` comes from: typed, read, printed by a command, or made by the gateway."""

import os
from functools import partial
from pathlib import Path
from typing import NamedTuple

from raptchat import private_file
from raptchat.api_key import check_api_key
from raptchat.cli.invocation import Invocation, ask_hidden
from raptchat.cli.piped import read_bytes, say_if_silent
from raptchat.errors import UsageError
from raptchat.providers import DEFAULT_PROVIDER, OPENAI_COMPATIBLE
from raptchat.records import KeyKind
from raptchat.secret import Secret

# Far more than any key; a file piped in by mistake is not read to its end.
_MOST_KEY_BYTES = 64 * 1024
# The gateway hands a key over at once.
_LOGIN_SECONDS = 30.0


class KeySource(NamedTuple):
    """Which flag says where the key is; with none of them it is typed."""

    stdin: bool = False
    from_env: str | None = None
    key_file: Path | None = None
    reference: bool = False
    key_command: str | None = None
    login: bool = False
    browser: bool = True
    no_key: bool = False

    def check(self, provider: str) -> None:
        """`UsageError` when it is more than one place, or none for this *provider*."""
        places = {
            "--stdin": self.stdin,
            "--from-env": self.from_env is not None,
            "--key-file": self.key_file is not None,
            "--key-command": self.key_command is not None,
            "--login": self.login,
            "--no-key": self.no_key,
        }
        named = [flag for flag, given in places.items() if given]
        if len(named) > 1:
            raise UsageError(
                f"the key can come from one place only, not from {' and '.join(named)}",
                hint=f"keep one of {', '.join(places)}",
            )
        if self.reference and self.key_file is None:
            raise UsageError("--reference goes with --key-file", hint="a command is always a reference")
        if not self.browser and not self.login:
            raise UsageError("--no-browser goes with --login")
        if self.login and provider != DEFAULT_PROVIDER:
            raise UsageError(f"--login is for `{DEFAULT_PROVIDER}`: the gateway must make the key")
        if self.no_key and provider != OPENAI_COMPATIBLE:
            raise UsageError(
                f"--no-key is for gateways that ask for none, and `{provider}` asks for one",
                hint=f"--provider {OPENAI_COMPATIBLE} --base-url URL",
            )


TYPED = KeySource()


class GivenKey(NamedTuple):
    """What is to be sealed, and the key that it is or gives; `None` where the gateway asks for none."""

    kind: KeyKind
    sealed: Secret
    key: Secret | None


def read_key(source: KeySource, run: Invocation, *, group: str, provider: str, gateway_url: str) -> GivenKey:
    """The key of the group called *group*, checked; a command is run, a file read, a person asked.

    Raises `UsageError` for what cannot be a key and `VaultUnavailableError` for a reference that gives none.
    """
    if source.key_command is not None:
        return _referred("command", source.key_command, group)
    if source.key_file is not None and source.reference:
        return _referred("file", _whole_path(source.key_file), group)
    if source.no_key:
        return _NO_KEY
    if source.login:
        key = _log_in(run, group, gateway_url, browser=source.browser)
    elif source.stdin or source.from_env is not None or source.key_file is not None:
        key = Secret(check_api_key(_copied(source, run)))
    else:
        typed = ask_hidden(_prompt(group, provider))
        if provider == OPENAI_COMPATIBLE and not typed.strip():
            return _NO_KEY
        key = Secret(check_api_key(typed))
    return GivenKey("key", key, key)


def plain_key(source: KeySource, run: Invocation, *, prompt: str) -> Secret:
    """A key itself, typed at a hidden *prompt* where *source* names no place, checked."""
    copied = source.stdin or source.from_env is not None or source.key_file is not None
    return Secret(check_api_key(_copied(source, run) if copied else ask_hidden(prompt)))


_NO_KEY = GivenKey("none", Secret(""), None)


def _prompt(group: str, provider: str) -> str:
    more = "; Enter alone for none" if provider == OPENAI_COMPATIBLE else ""
    return f"API key for group {group} (not shown{more}): "


def _copied(source: KeySource, run: Invocation) -> str:
    if source.stdin:
        say_if_silent(run.terminal, "--stdin reads the key there")
        try:
            return read_bytes(_MOST_KEY_BYTES).decode()
        except UnicodeDecodeError:
            raise UsageError("the API key on standard input is not text") from None
    if source.from_env is not None:
        value = os.environ.get(source.from_env)
        if value is None:
            raise UsageError("the variable that --from-env names is not set", hint="--from-env takes its name")
        return value
    assert source.key_file is not None
    return private_file.read_line(source.key_file, "file with the key")


def _referred(kind: KeyKind, text: str, group: str) -> GivenKey:
    from raptchat.credentials import key_reference

    checked = key_reference.check_reference(kind, text)
    return GivenKey(kind, Secret(checked), key_reference.resolve(kind, checked, group=group))


def _whole_path(path: Path) -> str:
    try:
        return os.path.abspath(path)  # noqa: PTH100 - `..` goes too: it is shown to whoever takes it in elsewhere
    except FileNotFoundError:
        raise UsageError("the working folder is gone", hint="name the whole path") from None


def _log_in(run: Invocation, group: str, gateway_url: str, *, browser: bool) -> Secret:
    from raptchat import login

    return login.log_in(
        gateway_url,
        label=group,
        browser=browser,
        show=run.terminal.say,
        ask=partial(ask_hidden, otherwise="run it at a terminal, or leave out --no-browser"),
        timeout=_LOGIN_SECONDS,
    )
