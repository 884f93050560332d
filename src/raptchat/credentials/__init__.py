"""`CredentialService`: the only place where a key is readable."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from raptchat.api_key import check_api_key
from raptchat.clock import utc_now
from raptchat.credentials import key_reference
from raptchat.credentials.sealed_row import altered, open_row, seal_row
from raptchat.errors import (
    AiNotConfiguredError,
    CredentialNotFoundError,
    DecryptionFailedError,
    DuplicateCredentialError,
    SharedKeyError,
    StoreBusyError,
    UsageError,
)
from raptchat.factory import Factory
from raptchat.gateway_url import check_gateway_url, origin, without_user_info
from raptchat.naming import add_key_command, as_argument
from raptchat.outside import safe_line
from raptchat.providers import DEFAULT_PROVIDER, check_base_url, check_known
from raptchat.records import Credential, Group, KeyKind
from raptchat.secret import Secret

if TYPE_CHECKING:
    from raptchat.credentials.seal_report import SealReport
    from raptchat.vault.rotation import Rotation
    from raptchat.vault.sealing import DataKey

T = TypeVar("T")

# Each time, another process changed the vault's key meanwhile.
_ATTEMPTS = 10


class CredentialService:
    """Keeps the API keys of groups: sealed in the store, opened for the request that they pay.

    It opens the default store, or works with what *factory* opens.
    """

    def __init__(self, factory: Factory | None = None) -> None:
        self._factory = factory or Factory()
        self._rows = self._factory.store.credentials
        self._groups = self._factory.store.groups

    @staticmethod
    def validate_key(api_key: str) -> str:
        """*api_key* without surrounding white space; `UsageError` when it cannot be one, never repeating it."""
        return check_api_key(api_key)

    def create(
        self,
        group_id: str,
        api_key: str | Secret,
        *,
        provider: str = DEFAULT_PROVIDER,
        label: str | None = None,
        base_url: str | None = None,
        replace: bool = False,
        allow_shared: bool = False,
        kind: KeyKind = "key",
        resolved: Secret | None = None,
        activate: bool = True,
    ) -> Credential:
        """Seal *api_key* for the group and put it in use.

        With *replace* the credential in use before is put out of use in the same transaction; without it there
        must be none (`DuplicateCredentialError`). A key that another group has is a `SharedKeyError` unless
        *allow_shared*. *base_url* is where the key may be sent, instead of the provider's gateway. Raises
        `UsageError` for a key, provider or URL that cannot be right, `GroupNotFoundError`, and what making or
        opening the vault does.

        Of another *kind* *api_key* is the command that prints the key, the whole path of the file that holds it,
        or empty; *resolved* is the key that it gave now, which is compared with those of other groups and not
        kept. Without *activate* the credential is only kept, and none is put out of use.
        """
        import uuid

        text = api_key.reveal() if isinstance(api_key, Secret) else api_key
        secret = Secret(key_reference.check_reference(kind, text))
        check_known(provider)
        if kind == "none" and provider == DEFAULT_PROVIDER:
            raise UsageError(f"the provider `{provider}` asks for a key")
        url = checked_url(base_url) if base_url is not None else None
        check_base_url(provider, url)
        endpoint = origin(url or self._factory.settings.gateway_url)
        self.check_free(self._groups.require(group_id), provider, replace=replace or not activate)

        def add(data_key: "DataKey") -> Credential:
            group = self._groups.require(group_id)
            active = self.check_free(group, provider, replace=replace or not activate)
            if active is not None and activate:
                self._rows.set_active(active.id, active=False)
                self._note("deactivate", group, active.id)
            if not allow_shared and kind != "none":
                for each in {secret, resolved or secret}:
                    self._refuse_shared(group, data_key.fingerprint(each))
            now = utc_now()
            credential = Credential(
                id=str(uuid.uuid4()),
                group_id=group.id,
                provider=provider,
                encrypted_key=b"",
                nonce=b"",
                key_id="",
                key_hint=key_reference.hint_of(kind, secret),
                key_fingerprint="",
                label=label,
                base_url=url,
                endpoint=endpoint,
                is_active=activate,
                created_at=now,
                updated_at=now,
                last_used_at=None,
                created_by=self._factory.caller.os_user,
                kind=kind,
            )
            credential = seal_row(data_key, credential, secret, group)
            self._rows.add(credential)
            self._note("create", group, credential.id)
            return credential

        return self._with_data_key(add)

    def atomically(self, change: Callable[[], T]) -> T:
        """What *change* returns, which may `create` and do more in one transaction.

        The vault is made or opened before, since nobody may be waited for in a transaction; *change* begins again
        when another process changed the vault's key in between. Raises what making or opening the vault does.
        """
        return self._with_data_key(lambda _: change())

    def check_free(self, group: Group, provider: str, *, replace: bool) -> Credential | None:
        """The credential that a new one would *replace*; `DuplicateCredentialError` when it may not."""
        active = self._rows.active(group.id, provider)
        if active is not None and not replace:
            raise DuplicateCredentialError(
                f"group `{group.name}` has an active key for `{provider}` already: `{active.key_hint}`",
                hint=add_key_command(group.name, replace=True, like=active),
                group=group.name,
            )
        return active

    def get_active_for_group(self, group_id: str, provider: str = DEFAULT_PROVIDER) -> Credential | None:
        """The group's credential in use for *provider*; its key stays sealed."""
        check_known(provider)
        return self._rows.active(group_id, provider)

    def provider_of(self, group: Group) -> str:
        """The provider of the group's one active credential; of several the one that the group is set to."""
        active = [credential.provider for credential in self._rows.of_group(group.id) if credential.is_active]
        return active[0] if len(active) == 1 else group.provider or DEFAULT_PROVIDER

    def require_active(self, group: Group, provider: str | None = None) -> Credential:
        """The credential that pays for the group; `AiNotConfiguredError` for none, or a suspended group."""
        provider = provider or self.provider_of(group)
        if group.suspended_at is not None:
            raise AiNotConfiguredError(
                f"group `{group.name}` is suspended: nothing is sent with its key",
                hint=f"raptchat group resume {as_argument(group.name)}",
                group=group.name,
                provider=provider,
            )
        credential = self.get_active_for_group(group.id, provider)
        if credential is None:
            command = add_key_command(group.name)
            raise AiNotConfiguredError(
                f"AI is not configured for this group. Please add an API key: {command}",
                hint=command,
                group=group.name,
                provider=provider,
            )
        return credential

    def list_for_group(self, group_id: str) -> Sequence[Credential]:
        """The group's credentials, the oldest first; of each key only its hint can be read."""
        return self._rows.of_group(self._groups.require(group_id).id)

    def url_of(self, credential: Credential) -> str:
        """Where the key may be sent: its own place, or the provider's gateway."""
        return credential.base_url or self._factory.settings.gateway_url

    def check_endpoint(self, credential: Credential) -> None:
        """`DecryptionFailedError` when the key is sealed for another origin than the one it would be sent to."""
        try:
            endpoint = origin(check_gateway_url(self.url_of(credential)))
        except ValueError:
            raise altered(credential, self._groups.require(credential.group_id)) from None
        if endpoint != credential.endpoint:
            group = self._groups.require(credential.group_id)
            raise DecryptionFailedError(
                f"the key `{credential.key_hint}` of group `{group.name}` is for {credential.endpoint},"
                f" and the gateway is now {endpoint}",
                hint=f"{add_key_command(group.name, replace=True)}, or set AI_GATEWAY_URL back",
                group=group.name,
            )

    def open_key(self, credential: Credential) -> Secret:
        """The key, for the request's header; `DecryptionFailedError` when row, group or gateway is another.

        A reference is followed once in a process, and `VaultUnavailableError` says why it gave no key; where the
        gateway asks for none it is empty. Also raises what opening the vault does.
        """
        self.check_endpoint(credential)
        sealed = self._open(credential)
        if credential.kind == "key":
            return sealed
        known = self._factory.resolved_keys
        if credential.id not in known:
            # Not as a secret: what is said of the command's program would be cut out as a part of one.
            text = sealed.reveal()
            del sealed
            group = self._groups.require(credential.group_id)
            known[credential.id] = key_reference.resolve(credential.kind, text, group=group.name)
        return known[credential.id]

    def _open(self, credential: Credential) -> Secret:
        """What is sealed: no transaction is held when it is handed over, since a command may take its time."""
        for _ in range(_ATTEMPTS):
            data_key = self._factory.vault.data_key()
            with self._factory.store.snapshot():
                group, now = self._groups.require(credential.group_id), self._rows.get(credential.id)
                if self._is_in_use(data_key):
                    return open_row(data_key, _as_sealed_now(credential, now, data_key), group)
        raise _busy()

    def activate(self, credential_id: str) -> Credential:
        """Put a credential in use, and the one that was before out of it; `CredentialNotFoundError`."""
        with self._factory.store.write():
            credential = self._get(credential_id)
            group = self._groups.require(credential.group_id)
            active = self._rows.active(group.id, credential.provider)
            if active is not None and active.id != credential_id:
                self._rows.set_active(active.id, active=False)
                self._note("deactivate", group, active.id)
            self._rows.set_active(credential_id, active=True)
            self._note("activate", group, credential_id)
            return self._get(credential_id)

    def deactivate(self, credential_id: str) -> Credential:
        """Put a credential out of use; it stays in the store. `CredentialNotFoundError` when there is none."""
        with self._factory.store.write():
            credential = self._get(credential_id)
            self._rows.set_active(credential_id, active=False)
            self._note("deactivate", self._groups.require(credential.group_id), credential_id)
            return self._get(credential_id)

    def delete(self, credential_id: str) -> None:
        """Remove a credential for good; `CredentialNotFoundError` when there is none."""
        with self._factory.store.write():
            credential = self._get(credential_id)
            self._rows.remove(credential_id)
            self._note("delete", self._groups.require(credential.group_id), credential_id)

    def remove_group(self, group: Group) -> None:
        """Remove a group with its credentials, sessions and bindings; its usage stays in the ledger."""
        with self._factory.store.write():
            for credential in self._rows.of_group(group.id):
                self._note("delete", group, credential.id)
            self._groups.remove(group.id)
            self._factory.store.ledger.note("group.remove", caller=self._factory.caller, group=group)

    def update_last_used(self, credential_id: str) -> None:
        """Note that a reply that this credential paid ended well; `CredentialNotFoundError`."""
        with self._factory.store.write():
            self._get(credential_id)
            self._rows.touch(credential_id)

    def rename_group(self, group: Group, name: str) -> None:
        """Give a group a new name; its keys, which are sealed for its name, are sealed anew in one transaction.

        Raises `DuplicateGroupError`, and what opening the vault and the keys does.
        """
        from raptchat.credentials.resealing import rename_group

        def rename(data_key: "DataKey | None") -> bool:
            return rename_group(self._factory.store, group, name, data_key, self._factory.caller)

        if not self._rows.of_group(group.id):
            with self._factory.store.write():
                done = rename(None)
            if done:
                return
        # A group without keys is renamed without the vault; one that has any, or was given one just now, with it.
        self._with_data_key(rename)

    def rotate_vault(self) -> "Rotation":
        """Put a new data key in use, and seal every credential anew with it, in one commit.

        Raises `DecryptionFailedError` for a credential that does not open, which stands in the way, and what
        `Vault.rotate` does.
        """
        from raptchat.credentials import management_key
        from raptchat.credentials.resealing import reseal

        store = self._factory.store
        return self._factory.vault.rotate(
            {
                "ai_credentials": partial(reseal, store),
                "management_keys": partial(management_key.reseal, store.management),
            }
        )

    def check_seals(self, *, ask: bool = False) -> "SealReport":
        """Open every slot that is at hand, and every credential with each; a person is only asked with *ask*."""
        from raptchat.credentials.seal_report import check_seals

        return check_seals(self._factory.store, self._factory.vault, ask=ask)

    def _with_data_key(self, change: "Callable[[DataKey], T]") -> T:
        """What *change* returns, in a transaction in which the data key that it gets is the one in use."""
        for _ in range(_ATTEMPTS):
            data_key = self._factory.vault.ensure()
            with self._factory.store.write():
                if self._is_in_use(data_key):
                    return change(data_key)
        raise _busy()

    def _refuse_shared(self, group: Group, fingerprint: str) -> None:
        for other in self._rows.with_fingerprint(fingerprint):
            if other.group_id != group.id:
                sharing = self._groups.require(other.group_id)
                raise SharedKeyError(
                    f"this very key serves group `{sharing.name}` already (`{other.key_hint}`)",
                    hint="make a key of its own for each group, or add --allow-shared",
                    group=group.name,
                )

    def _is_in_use(self, data_key: "DataKey") -> bool:
        current = self._factory.store.vault.key()
        return current is not None and current.id == data_key.id

    def _get(self, credential_id: str) -> Credential:
        credential = self._rows.get(credential_id)
        if credential is None:
            raise CredentialNotFoundError(
                f"there is no credential `{credential_id[:80]}`", hint="raptchat credentials list"
            )
        return credential

    def _note(self, action: str, group: Group, credential_id: str) -> None:
        self._factory.store.ledger.note(
            f"credential.{action}", caller=self._factory.caller, group=group, credential_id=credential_id
        )


def _as_sealed_now(credential: Credential, now: Credential | None, data_key: "DataKey") -> Credential:
    """*credential*, which was read before; where the vault's key was changed since, with what is sealed now."""
    if credential.key_id == data_key.id or now is None:
        return credential
    return credential._replace(encrypted_key=now.encrypted_key, nonce=now.nonce, key_id=now.key_id)


def _busy() -> StoreBusyError:
    return StoreBusyError("the vault's key is being changed again and again", hint="try again")


def checked_url(base_url: str) -> str:
    """*base_url* in its one spelling; `UsageError` for one that no key may be sent to."""
    try:
        return check_gateway_url(base_url)
    except ValueError as error:
        raise UsageError(f"`--base-url` {error}: `{safe_line(without_user_info(base_url))}`") from None
