"""`CredentialService`: the only file where a key is readable."""

import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING

from raptchat.api_key import check_api_key
from raptchat.clock import utc_now
from raptchat.config import check_gateway_url, origin, without_user_info
from raptchat.errors import (
    AiNotConfiguredError,
    CredentialNotFoundError,
    DecryptionFailedError,
    DuplicateCredentialError,
    DuplicateGroupError,
    GroupNotFoundError,
    SharedKeyError,
    StoreBusyError,
    UsageError,
)
from raptchat.factory import Factory
from raptchat.naming import as_argument
from raptchat.outside import safe_line
from raptchat.providers import DEFAULT_PROVIDER, check_known
from raptchat.records import Credential, Group
from raptchat.secret import Secret

if TYPE_CHECKING:
    from raptchat.vault import DataKey

_SHORTEST_HINTED = 21


class CredentialService:
    """Keeps the API keys of groups: sealed in the store, opened for the request that they pay.

    It opens the default store, or works with what *factory* opens.
    """

    def __init__(self, factory: Factory | None = None) -> None:
        self._factory = factory or Factory()
        self._rows = self._factory.store.credentials

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
    ) -> Credential:
        """Seal *api_key* for the group and put it in use.

        With *replace* the credential in use before is put out of use in the same transaction; without it there
        must be none (`DuplicateCredentialError`). A key that another group has is a `SharedKeyError` unless
        *allow_shared*. *base_url* is where the key may be sent, instead of the provider's gateway.
        """
        text = api_key.reveal() if isinstance(api_key, Secret) else api_key
        secret = Secret(self.validate_key(text))
        check_known(provider)
        url = _checked_url(base_url) if base_url is not None else None
        endpoint = origin(url or self._factory.settings.gateway_url)
        self.check_free(self._group(group_id), provider, replace=replace)
        data_key = self._factory.vault.ensure()
        with self._factory.store.write():
            group = self._group(group_id)
            self._check_current(data_key)
            if active := self.check_free(group, provider, replace=replace):
                self._rows.set_active(active.id, active=False)
                self._note("deactivate", group, active.id)
            fingerprint = data_key.fingerprint(secret)
            if not allow_shared:
                self._refuse_shared(group, fingerprint)
            credential_id, now = str(uuid.uuid4()), utc_now()
            sealed = data_key.seal(secret, *_context(credential_id, group.id, group.name, provider, endpoint))
            credential = Credential(
                id=credential_id,
                group_id=group.id,
                provider=provider,
                encrypted_key=sealed.ciphertext,
                nonce=sealed.nonce,
                key_id=data_key.id,
                key_hint=_hint(secret),
                key_fingerprint=fingerprint,
                label=label,
                base_url=url,
                endpoint=endpoint,
                is_active=True,
                created_at=now,
                updated_at=now,
                last_used_at=None,
                created_by=self._factory.caller.os_user,
            )
            self._rows.add(credential)
            self._note("create", group, credential_id)
        return credential

    def check_free(self, group: Group, provider: str, *, replace: bool) -> Credential | None:
        """The credential that a new one would *replace*; `DuplicateCredentialError` when it may not."""
        active = self._rows.active(group.id, provider)
        if active is not None and not replace:
            raise DuplicateCredentialError(
                f"group `{group.name}` has an active key for `{provider}` already: `{active.key_hint}`",
                hint=f"raptchat group add-key {as_argument(group.name)} --replace",
                group=group.name,
            )
        return active

    def get_active_for_group(self, group_id: str, provider: str = DEFAULT_PROVIDER) -> Credential | None:
        """The group's credential in use for *provider*; its key stays sealed."""
        check_known(provider)
        return self._rows.active(group_id, provider)

    def require_active(self, group: Group, provider: str = DEFAULT_PROVIDER) -> Credential:
        """As `get_active_for_group`; `AiNotConfiguredError` when there is none."""
        credential = self.get_active_for_group(group.id, provider)
        if credential is None:
            command = f"raptchat group add-key {as_argument(group.name)}"
            raise AiNotConfiguredError(
                f"AI is not configured for this group. Please add an API key: {command}",
                hint=command,
                group=group.name,
                provider=provider,
            )
        return credential

    def list_for_group(self, group_id: str) -> Sequence[Credential]:
        """The group's credentials, the oldest first; of each key only its hint can be read."""
        return self._rows.of_group(self._group(group_id).id)

    def open_key(self, credential: Credential) -> Secret:
        """The key, for the request's header; `DecryptionFailedError` when row, group or gateway is another."""
        group = self._group(credential.group_id)
        try:
            endpoint = origin(check_gateway_url(credential.base_url or self._factory.settings.gateway_url))
        except ValueError:
            raise _altered(credential, group) from None
        if endpoint != credential.endpoint:
            raise DecryptionFailedError(
                f"the key `{credential.key_hint}` of group `{group.name}` is for {credential.endpoint},"
                f" and the gateway is now {endpoint}",
                hint=f"raptchat group add-key {as_argument(group.name)} --replace, or set AI_GATEWAY_URL back",
                group=group.name,
            )
        return self._open(self._factory.vault.data_key(), credential, group)

    def activate(self, credential_id: str) -> Credential:
        """Put a credential in use, and the one that was in use before out of it, in one transaction."""
        with self._factory.store.write():
            credential = self._get(credential_id)
            group = self._group(credential.group_id)
            active = self._rows.active(group.id, credential.provider)
            if active is not None and active.id != credential_id:
                self._rows.set_active(active.id, active=False)
                self._note("deactivate", group, active.id)
            self._rows.set_active(credential_id, active=True)
            self._note("activate", group, credential_id)
            return self._get(credential_id)

    def deactivate(self, credential_id: str) -> Credential:
        """Put a credential out of use; it stays in the store."""
        with self._factory.store.write():
            credential = self._get(credential_id)
            self._rows.set_active(credential_id, active=False)
            self._note("deactivate", self._group(credential.group_id), credential_id)
            return self._get(credential_id)

    def delete(self, credential_id: str) -> None:
        """Remove a credential for good."""
        with self._factory.store.write():
            credential = self._get(credential_id)
            self._rows.remove(credential_id)
            self._note("delete", self._group(credential.group_id), credential_id)

    def update_last_used(self, credential_id: str) -> None:
        """Note that a reply that this credential paid ended well."""
        with self._factory.store.write():
            self._get(credential_id)
            self._rows.touch(credential_id)

    def rename_group(self, group: Group, name: str) -> None:
        """Give a group a new name: its keys are sealed for its name, so all are sealed anew in one transaction."""
        data_key = self._factory.vault.data_key() if self._rows.of_group(group.id) else None
        with self._factory.store.write():
            current = self._group(group.id)
            other = self._factory.store.groups.named(name)
            if other is not None and other.id != group.id:
                raise DuplicateGroupError(f"there is a group `{other.name}` already", group=other.name)
            credentials = self._rows.of_group(group.id)
            if credentials and data_key is None:
                raise StoreBusyError("a key was added to the group meanwhile", hint="try again")
            sealed = []
            for credential in credentials:
                assert data_key is not None
                self._check_current(data_key)
                secret = self._open(data_key, credential, current)
                renamed = data_key.seal(
                    secret,
                    *_context(credential.id, group.id, name, credential.provider, credential.endpoint),
                )
                sealed.append((credential.id, renamed.ciphertext, renamed.nonce))
            self._rows.reseal(sealed)
            self._factory.store.groups.set(group.id, name=name)

    def _open(self, data_key: "DataKey", credential: Credential, group: Group) -> Secret:
        from raptchat.crypto import Sealed

        if credential.key_id != data_key.id:
            raise _altered(credential, group)
        try:
            return data_key.open(
                Sealed(credential.nonce, credential.encrypted_key),
                *_context(credential.id, group.id, group.name, credential.provider, credential.endpoint),
            )
        except DecryptionFailedError:
            raise _altered(credential, group) from None

    def _refuse_shared(self, group: Group, fingerprint: str) -> None:
        for other in self._rows.with_fingerprint(fingerprint):
            if other.group_id != group.id:
                sharing = self._group(other.group_id)
                raise SharedKeyError(
                    f"this very key serves group `{sharing.name}` already (`{other.key_hint}`)",
                    hint="make a key of its own for each group, or add --allow-shared",
                    group=group.name,
                )

    def _check_current(self, data_key: "DataKey") -> None:
        current = self._factory.store.vault.key()
        if current is None or current.id != data_key.id:
            raise StoreBusyError("the vault's key was changed meanwhile", hint="try again")

    def _get(self, credential_id: str) -> Credential:
        credential = self._rows.get(credential_id)
        if credential is None:
            raise CredentialNotFoundError(
                f"there is no credential `{credential_id[:80]}`", hint="raptchat credentials list"
            )
        return credential

    def _group(self, group_id: str) -> Group:
        group = self._factory.store.groups.get(group_id)
        if group is None:
            raise GroupNotFoundError(
                f"there is no group with the id `{group_id[:80]}`", hint="raptchat group list"
            )
        return group

    def _note(self, action: str, group: Group, credential_id: str) -> None:
        caller = self._factory.caller
        self._factory.store.ledger.note(
            f"credential.{action}",
            command=caller.command,
            os_user=caller.os_user,
            host=caller.host,
            group_id=group.id,
            group_name=group.name,
            credential_id=credential_id,
        )


def _context(credential_id: str, group_id: str, group_name: str, provider: str, endpoint: str) -> tuple[str, ...]:
    return ("api key", credential_id, group_id, group_name, provider, endpoint)


def _altered(credential: Credential, group: Group) -> DecryptionFailedError:
    return DecryptionFailedError(
        f"the key `{credential.key_hint}` of group `{group.name}` does not open:"
        " its row in the store was altered, moved or damaged",
        hint=f"raptchat group add-key {as_argument(group.name)} --replace",
        group=group.name,
    )


def _hint(secret: Secret) -> str:
    text = secret.reveal()
    return f"{text[:8]}...{text[-4:]}" if len(text) >= _SHORTEST_HINTED else "***"


def _checked_url(base_url: str) -> str:
    try:
        return check_gateway_url(base_url)
    except ValueError as error:
        raise UsageError(f"`--base-url` {error}: `{safe_line(without_user_info(base_url))}`") from None
