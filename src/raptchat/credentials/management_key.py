"""The account's management key: sealed apart from those of the groups, and opened for nothing else than theirs."""

import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING

from raptchat.api_key import hint_of
from raptchat.clock import utc_now
from raptchat.errors import AiNotConfiguredError, DecryptionFailedError, StoreBusyError
from raptchat.gateway_url import origin
from raptchat.records import KeyWork, ManagementKey
from raptchat.secret import Secret

if TYPE_CHECKING:
    from raptchat.factory import Factory
    from raptchat.providers.management import ManagementClient
    from raptchat.store.management import Management
    from raptchat.vault.sealing import DataKey

# No credential is sealed for it, whatever its kind: neither opens in the other's place.
_PURPOSE = "management key"
# Each time, another process changed the vault's key meanwhile.
_ATTEMPTS = 10

LOGIN, LOGOUT = "raptchat account login", "raptchat account logout"


class ManagementKeys:
    """Keeps a management key for each gateway, by the gateway's origin."""

    def __init__(self, factory: "Factory") -> None:
        self._factory = factory
        self._rows = factory.store.management

    @property
    def endpoint(self) -> str:
        """The origin of the gateway that is in use now."""
        return origin(self._factory.settings.gateway_url)

    def save(self, key: Secret, endpoint: str) -> ManagementKey:
        """Seal *key* for the gateway at *endpoint*, in place of the one before.

        Raises what making or opening the vault does.
        """
        from raptchat.credentials import CredentialService

        factory = self._factory
        row = ManagementKey(
            id=str(uuid.uuid4()),
            encrypted_key=b"",
            nonce=b"",
            key_id="",
            key_hint=hint_of(key),
            endpoint=endpoint,
            created_at=utc_now(),
            created_by=factory.caller.os_user,
        )

        def put() -> ManagementKey:
            sealed = _seal(factory.vault.data_key(), row, key)
            self._rows.put_key(sealed)
            factory.store.ledger.note("account.login", caller=factory.caller)
            return sealed

        return CredentialService(factory).atomically(put)

    def open(self, endpoint: str) -> Secret:
        """The key that manages those of the gateway at *endpoint*.

        Raises `AiNotConfiguredError` when there is none, `DecryptionFailedError` for a row that was altered, and
        what opening the vault does.
        """
        self.require(endpoint)
        for _ in range(_ATTEMPTS):
            data_key = self._factory.vault.data_key()
            with self._factory.store.snapshot():
                row, in_use = self.require(endpoint), self._factory.store.vault.key()
                if in_use is not None and in_use.id == data_key.id:
                    return _open(data_key, row)
        raise StoreBusyError("the vault's key is being changed again and again", hint="try again")

    def require(self, endpoint: str) -> ManagementKey:
        """The sealed key of the gateway at *endpoint*; `AiNotConfiguredError` when there is none."""
        row = self._rows.key(endpoint)
        if row is None:
            raise AiNotConfiguredError(f"there is no management key for {endpoint}", hint=LOGIN, gateway=endpoint)
        return row

    def status(self) -> list[ManagementKey]:
        """Every key, the oldest first; they stay sealed."""
        return self._rows.keys()

    def remove(self, endpoint: str) -> None:
        """Delete the key of the gateway at *endpoint* here; `AiNotConfiguredError` when there is none."""
        with self._factory.store.write():
            self.require(endpoint)
            self._rows.remove_key(endpoint)
            self._factory.store.ledger.note("account.logout", caller=self._factory.caller)


def client_with(factory: "Factory", key: Secret) -> "ManagementClient":
    """A client of the gateway that is in use with *key*, which need not be sealed yet."""
    from raptchat.providers.management import ManagementClient

    settings = factory.settings
    return ManagementClient(
        api_key=key,
        base_url=settings.gateway_url,
        timeout=settings.timeout_seconds,
        max_retries=settings.max_retries,
    )


def reseal(rows: "Management", old: "DataKey", new: "DataKey") -> int:
    """Open every management key with *old* and seal it with *new*; how many there were.

    Raises `DecryptionFailedError` for one that does not open, which stands in the way.
    """
    keys = rows.keys()
    for key in keys:
        rows.put_key(_seal(new, key, _open(old, key)))
    return len(keys)


def proved(work: KeyWork, key: Secret, store_id: str) -> KeyWork:
    """*work* with its proof under the management *key*: that it is work of this store, begun with that key."""
    from raptchat import crypto

    parts = [part or "" for part in work._replace(proof=b"")]
    return work._replace(proof=crypto.mac(crypto.subkey(key.reveal().encode(), "key works"), store_id, *parts))


def problem(row: ManagementKey, keys: "Sequence[DataKey]") -> str | None:
    """Why *row* does not open with each of *keys*; `None` when it does."""
    try:
        for key in keys:
            _open(key, row)
    except DecryptionFailedError as error:
        return str(error)
    return None


def _seal(data_key: "DataKey", row: ManagementKey, key: Secret) -> ManagementKey:
    sealed = data_key.seal(key, *_context(row))
    return row._replace(encrypted_key=sealed.ciphertext, nonce=sealed.nonce, key_id=data_key.id)


def _open(data_key: "DataKey", row: ManagementKey) -> Secret:
    from raptchat.crypto import Sealed

    try:
        if row.key_id == data_key.id:
            return data_key.open(Sealed(row.nonce, row.encrypted_key), *_context(row))
    except DecryptionFailedError:
        pass
    raise DecryptionFailedError(
        f"the management key `{row.key_hint}` does not open: its row in the store was altered, moved or damaged",
        hint=f"{LOGOUT}, then {LOGIN}",
    )


def _context(row: ManagementKey) -> tuple[str, ...]:
    return (_PURPOSE, row.id, row.endpoint)
