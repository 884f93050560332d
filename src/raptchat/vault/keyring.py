"""The operating system's keyring, kept at arm's length.

Only the operating system's own backends are accepted, whatever a variable, a file or a changed store names; a
class that is not on the list is refused before it is imported. A keyring may wait for a password that nobody
types, so every call has a deadline. Here alone what `keyring` and the libraries below it raise becomes ours.
"""

import hmac
import importlib
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from raptchat.errors import RaptchatError, VaultLockedError, VaultUnavailableError
from raptchat.outside import safe_line, without_keys
from raptchat.vault.patience import Patience

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

    from raptchat.vault.secret_service import SecretService

T = TypeVar("T")

# An entry that another process replaces at this moment is not found for an instant.
RETRY_PAUSES_SECONDS = (0.02, 0.05, 0.1)
REASON_LENGTH = 200

USER_NAME = "raptchat"

_SECRET_SERVICE = "keyring.backends.SecretService.Keyring"  # noqa: S105 - a class
_FREE_DESKTOP = (
    _SECRET_SERVICE,
    "keyring.backends.libsecret.Keyring",
    "keyring.backends.kwallet.DBusKeyring",
    "keyring.backends.kwallet.DBusKeyringKWallet4",
)
_BY_PLATFORM = {
    "darwin": ("keyring.backends.macOS.Keyring",),
    "win32": ("keyring.backends.Windows.WinVaultKeyring",),
}
ALLOWED = frozenset({*_FREE_DESKTOP, *_BY_PLATFORM["darwin"], *_BY_PLATFORM["win32"]})

# Reads what that class keeps.
_READER = "raptchat.vault.secret_service.SecretService"

_CHAINER = "keyring.backends.chainer.ChainerBackend"
_REFUSALS = {
    "keyring.backends.null.Keyring": "it keeps nothing",
    "keyring.backends.fail.Keyring": "it stands for no keyring at all",
}

# By name, because `secretstorage` is there on Linux only.
_LOCKED = {"KeyringLocked", "LockedException", "PromptDismissedException"}
_VANISHED = "ItemNotFoundException"

OTHER_SLOTS_HINT = "raptchat vault init --file PATH, or raptchat vault init --passphrase"
UNLOCK_HINT = (
    "security unlock-keychain"
    if sys.platform == "darwin"
    else "unlock the login keyring in the desktop's password manager, then try again"
)


class OsKeyring:
    """One backend of the operating system's keyring; every call ends when *patience* does.

    Who makes several in one process hands them the same *patience*. Every method raises `VaultLockedError` when
    the keyring is there and does not open, and `VaultUnavailableError` for all else.
    """

    def __init__(
        self, keyring: "KeyringBackend | SecretService", patience: Patience, backend: str | None = None
    ) -> None:
        kind = type(keyring)
        self.backend = backend or f"{kind.__module__}.{kind.__qualname__}"
        self._keyring = keyring
        self._patience = patience

    @classmethod
    def choose(cls, environ: Mapping[str, str] = os.environ, *, patience: Patience) -> "OsKeyring":
        """The backend that `PYTHON_KEYRING_BACKEND` or `keyringrc.cfg` names, or else the best that answers.

        A chainer stands for its first member on the allow-list, which is the best that answers. `keyring`'s own
        detection is not asked: it loads every plugin, and takes a plaintext file where nothing better is there.
        """

        def load() -> "KeyringBackend":
            kind = _class(_named_by_variable(environ) or _named_by_settings_file() or _best())
            kind.priority  # noqa: B018 - raises, with the reason, when the backend cannot work here
            return kind()

        _import(*_of_platform())
        return cls(_ask(load, patience), patience)

    @classmethod
    def remembered(
        cls,
        backend: str,
        environ: Mapping[str, str] = os.environ,
        *,
        patience: Patience,
    ) -> "OsKeyring":
        """The backend whose class path the store remembers, without looking for others.

        `PYTHON_KEYRING_BACKEND` wins where it is set.
        """
        name = _named_by_variable(environ) or _accepted(backend, "the store")
        path = _READER if name == _SECRET_SERVICE and not _has_properties(environ) else name
        _import(path)
        return cls(_ask(lambda: _class(path)(), patience), patience, name)  # noqa: PLW0108 - what it raises is ours only in there

    def get(self, service: str) -> str | None:
        """The secret kept for *service*, or None when this keyring has none."""
        return self._ask(lambda: self._read(service))

    def put(self, service: str, secret: str) -> None:
        """Keep *secret* for *service*, and make sure that it is kept; an entry is never overwritten."""

        def write() -> None:
            if self._read(service) is not None:
                raise VaultUnavailableError(
                    f"the keyring has an entry `{service}` already, which is left as it is",
                    hint="raptchat vault status",
                )
            _settled(lambda: self._keyring.set_password(service, USER_NAME, secret))
            kept = self._read(service)
            # Some backends take a secret and keep nothing, or something else.
            if kept is None or not hmac.compare_digest(kept.encode(), secret.encode()):
                raise VaultUnavailableError(
                    f"the keyring backend `{self.backend}` did not keep what it was given", hint=OTHER_SLOTS_HINT
                )

        self._ask(write, secret=secret)

    def delete(self, service: str) -> None:
        """Remove the entry of *service*; one that was never there is fine."""
        from keyring.errors import PasswordDeleteError

        def remove() -> None:
            if self._read(service) is None:
                return  # backends would make a keyring, where there is none, to look into it
            try:
                _settled(lambda: self._keyring.delete_password(service, USER_NAME))
            except PasswordDeleteError as error:
                # Backends raise it also for an entry that another process removed.
                reason = f": {_reason(error)}"
            else:
                reason = ""
            if self._read(service) is not None:
                raise VaultUnavailableError(
                    f"the keyring did not remove its entry `{service}`{reason}", hint="raptchat vault status"
                )

        self._ask(remove)

    def _read(self, service: str) -> str | None:
        return _settled(lambda: self._keyring.get_password(service, USER_NAME))

    def _ask(self, call: Callable[[], T], *, secret: str = "") -> T:
        return _ask(call, self._patience, secret=secret)


def _named_by_variable(environ: Mapping[str, str]) -> str | None:
    name = environ.get("PYTHON_KEYRING_BACKEND")
    return _accepted(name, "PYTHON_KEYRING_BACKEND") if name and name != _CHAINER else None


def _named_by_settings_file() -> str | None:
    """What `default-keyring` says in `keyring`'s own settings file; its `keyring-path` is left alone."""
    from configparser import RawConfigParser

    from keyring.util import platform_

    path = platform_.config_root() / "keyringrc.cfg"
    settings = RawConfigParser()
    settings.read(path, encoding="utf-8")
    name = settings.get("backend", "default-keyring", fallback="").strip()
    return _accepted(name, str(path)) if name and name != _CHAINER else None


def _has_properties(environ: Mapping[str, str]) -> bool:
    """Whether the variables tell `keyring`'s classes of another collection or scheme; only they read them."""
    return any(name.startswith("KEYRING_PROPERTY_") for name in environ)


def _accepted(name: str, source: str) -> str:
    if name in ALLOWED:
        return name
    why = _REFUSALS.get(name, "it is none of the operating system's and may keep secrets in a plain file")
    raise VaultUnavailableError(
        f"the keyring backend `{_shown(name)}`, named by {_shown(source)}, is refused: {why}",
        hint=OTHER_SLOTS_HINT,
    )


def _class(name: str) -> "type[KeyringBackend]":
    # `keyring.core.load_keyring` would do, and scans no entry points either, but asks the backend twice.
    module, _, attribute = name.rpartition(".")
    kind: type[KeyringBackend] = getattr(importlib.import_module(module), attribute)
    return kind


def _import(*names: str) -> None:
    # Beforehand: among many processes it takes as long as all else, and no keyring is waited for.
    for name in names:
        with suppress(Exception):  # it is raised again where it can be told
            _class(name)


def _of_platform() -> tuple[str, ...]:
    return _BY_PLATFORM.get(sys.platform, _FREE_DESKTOP)


def _best() -> str:
    """The backend with the highest priority of those that can work here, or else the platform's usual one."""
    return max(_of_platform(), key=_priority)


def _priority(name: str) -> float:
    try:
        return _class(name).priority
    except Exception as error:  # noqa: BLE001 - a backend that cannot work here says so with whatever it likes
        _close_connections(error)
        return -1


def _settled(call: Callable[[], T]) -> T:
    for pause in RETRY_PAUSES_SECONDS:
        try:
            return call()
        except Exception as error:
            if type(error).__name__ != _VANISHED:
                raise
        time.sleep(pause)
    return call()


def _ask(call: Callable[[], T], patience: Patience, *, secret: str = "") -> T:
    """What *call* returns, if it does so before the patience ends.

    It runs in a thread of its own, because a keyring that waits for a password cannot be interrupted: so the main
    thread can give up, and answer Ctrl-C. A thread that was given up ends with the process.
    """
    if patience.left <= 0:
        raise _given_up(patience)
    results: list[T] = []
    failures: list[BaseException] = []
    done = threading.Event()

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:  # noqa: BLE001 - anything may come: OSError over SSH, ValueError, a Rust panic
            _close_connections(error)
            failures.append(error)
        finally:
            done.set()

    thread = threading.Thread(target=run, name="raptchat-keyring", daemon=True)
    begun = time.monotonic()
    thread.start()
    if not patience.wait(done, since=begun):
        raise _given_up(patience)
    thread.join()
    if failures:
        raise _ours(failures[0], secret) from None
    return results[0]


def _given_up(patience: Patience) -> VaultUnavailableError:
    return VaultUnavailableError(
        f"the operating system's keyring did not answer within {patience.deadline:g} seconds; it may be locked",
        hint=f"unlock the keyring and try again, or do without it: {OTHER_SLOTS_HINT}",
    )


def _ours(error: BaseException, secret: str) -> RaptchatError:
    if isinstance(error, RaptchatError):
        return error
    reason = _reason(error, secret)
    if type(error).__name__ in _LOCKED:
        return VaultLockedError(f"the operating system's keyring is locked: {reason}", hint=UNLOCK_HINT)
    return VaultUnavailableError(
        f"the operating system's keyring is not available: {reason}", hint=OTHER_SLOTS_HINT
    )


def _reason(error: BaseException, secret: str = "") -> str:
    text = str(error) or type(error).__name__
    return _shown(text.replace(secret, "***") if secret else text)


def _shown(text: str) -> str:
    return safe_line(without_keys(text))[:REASON_LENGTH]


def _close_connections(error: BaseException | None) -> None:
    # SecretStorage's backend leaves its D-Bus connection open when a call fails, and only a frame knows it.
    while error:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            for value in frame.f_locals.values():
                if type(value).__name__ == "DBusConnection":
                    value.close()
        error = error.__context__
