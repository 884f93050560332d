"""Only one process changes the slots of a store at a time."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from raptchat.errors import StoreBusyError, StoreError

# As long as a keyring is waited for without a person: whoever holds the lock may be doing that.
LOCK_SECONDS = 10.0
_PAUSE_SECONDS = 0.05


@contextmanager
def vault_lock(store: Path, *, seconds: float = LOCK_SECONDS) -> Iterator[float]:
    """Hold the lock file beside *store*, and say how many seconds that took; a dead process holds none.

    Raises `StoreBusyError` after *seconds* (10 unless told), `StoreError` when there can be no such file.
    """
    path = store.with_name(f"{store.name}.vault-lock")
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"the vault of `{store}` cannot be changed: {error.strerror}") from None
    try:
        begun = time.monotonic()
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() - begun >= seconds:
                    raise StoreBusyError("another process is changing the vault", hint="try again") from None
                time.sleep(_PAUSE_SECONDS)
            except OSError as error:  # a file system without locks
                raise StoreError(f"the vault of `{store}` cannot be changed: {error.strerror}") from None
        yield time.monotonic() - begun
    finally:
        os.close(descriptor)
