"""The Secret Service of free desktops, read without importing `keyring`.

That package takes a tenth of a chat to load, for what looks for backends and is not used here. So an entry is read
with SecretStorage, the library below it, in the steps of `keyring.backends.SecretService.Keyring`; what is seldom
done, to keep an entry and to delete one, that class does.
"""

from contextlib import closing
from typing import TYPE_CHECKING

import secretstorage

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend


class SecretService:
    """What `OsKeyring` calls of `keyring`'s class; each call opens a connection of its own, and may wait for ever.

    The secret crosses the session bus encrypted, unless the service cannot (Secret Service API draft, chapter 7).
    """

    def get_password(self, service: str, username: str) -> str | None:
        """The secret of an entry in the default collection, which is unlocked for it; None when there is none.

        Raises `LockedException` when the person refuses that, and what else SecretStorage and the bus do.
        """
        with closing(secretstorage.dbus_init()) as bus:
            try:
                collection = secretstorage.Collection(bus)
            except secretstorage.ItemNotFoundException:
                return None  # nobody ever made one, and to read is no reason to ask for one
            _unlock(collection)
            for item in collection.search_items({"service": service, "username": username}):
                _unlock(item)
                return item.get_secret().decode()
        return None

    def set_password(self, service: str, username: str, password: str) -> None:
        """Keep an entry; raises what `keyring` does."""
        _whole().set_password(service, username, password)

    def delete_password(self, service: str, username: str) -> None:
        """Remove an entry; raises what `keyring` does, `PasswordDeleteError` when there is none."""
        _whole().delete_password(service, username)


def _unlock(what: secretstorage.Collection | secretstorage.Item) -> None:
    if what.is_locked():
        what.unlock()
        if what.is_locked():
            raise secretstorage.LockedException("it was not unlocked")


def _whole() -> "KeyringBackend":
    from keyring.backends.SecretService import Keyring

    backend: KeyringBackend = Keyring()  # type: ignore[no-untyped-call]
    return backend
