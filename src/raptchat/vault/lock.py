"""Only one process changes the slots of a store at a time, and only one works on its keys at the gateway."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from raptchat.errors import StoreBusyError, StoreError

# As long as a keyring is waited for without a person: whoever holds the lock may be doing that.
LOCK_SECONDS = 10.0
_PAUSE_SECONDS = 0.05


def vault_lock(store: Path, *, seconds: float = LOCK_SECONDS) -> AbstractContextManager[float]:
    """Hold the lock file beside *store*, and say how many seconds that took; a dead process holds none.

    Raises `StoreBusyError` after *seconds* (10 unless told), `StoreError` when there can be no such file.
    """
    return _locked(
        store.with_name(f"{store.name}.vault-lock"),
        seconds,
        busy="another process is changing the vault",
        failed=f"the vault of `{store}` cannot be changed",
    )


def key_lock(store: Path, *, seconds: float = LOCK_SECONDS) -> AbstractContextManager[float]:
    """As `vault_lock`, for the work on the store's keys at the gateway."""
    return _locked(
        store.with_name(f"{store.name}.key-lock"),
        seconds,
        busy="another process is working on the keys at the gateway",
        failed=f"nothing can be done to the keys of `{store}`",
    )


@contextmanager
def _locked(path: Path, seconds: float, *, busy: str, failed: str) -> Iterator[float]:
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"{failed}: {error.strerror}") from None
    try:
        begun = time.monotonic()
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() - begun >= seconds:
                    raise StoreBusyError(busy, hint="try again") from None
                time.sleep(_PAUSE_SECONDS)
            except OSError as error:  # a file system without locks
                raise StoreError(f"{failed}: {error.strerror}") from None
        yield time.monotonic() - begun
    finally:
        os.close(descriptor)
