"""What is changed of a key that goes on existing: its cap, and whether it works."""

from collections.abc import Callable, Sequence
from decimal import Decimal

from raptchat.clock import utc_now
from raptchat.credentials import CredentialService
from raptchat.credentials.management_key import LOGIN, ManagementKeys
from raptchat.errors import AiNotConfiguredError, InvalidResponseError, RaptchatError
from raptchat.factory import Factory
from raptchat.key_works import FINISHES, KeyWorks, at_the_gateway
from raptchat.naming import add_key_command
from raptchat.providers.key_info import KeyInfo
from raptchat.records import Credential, Group

_Tell = Callable[[str], None]


def cap(
    works: KeyWorks, factory: Factory, group: Group, limit: Decimal | None, **reset: str | None
) -> tuple[Credential, KeyInfo]:
    """Let the group's active key cost *limit* US dollars at most, or without one as much as it likes.

    Returns its credential with what the gateway says then. *reset* is `limit_reset`, where that is to change too.
    Raises `AiNotConfiguredError` for a group without a key, `UsageError` for a key that is not this account's, and
    the gateway's errors.
    """
    credential = _active(factory, group)
    hash_, _ = works.of_this_account(group, credential)
    info = works.gateway.update_key(hash_, limit=limit, **reset)
    if info.limit != limit:
        raise InvalidResponseError("the gateway did not take the cap over", hint=FINISHES)
    with factory.store.write():
        works.note("cap", group, credential.id)
    return credential, info


def suspend(factory: Factory, group: Group, *, tell: _Tell) -> None:
    """Let nobody ask with the group's keys: here, and then at the gateway, where there is a management key for it.

    *tell* is told where the gateway's key goes on working. Raises what
    `at_the_gateway` does once it is done here.
    """
    if group.suspended_at is None:
        with factory.store.write():
            factory.store.groups.set(group.id, suspended_at=utc_now())
            factory.store.ledger.note("suspend", caller=factory.caller, group=group)
    try:
        _switch(factory, group, disabled=True, tell=tell)
    except RaptchatError as error:
        raise type(error)(
            f"group `{group.name}` is suspended here; its key may still work at the gateway: {error}",
            hint=error.hint or "suspend it again",
            **error.fields,
        ) from None


def resume(factory: Factory, group: Group, *, tell: _Tell) -> None:
    """Let the group ask again: first at the gateway, then here.

    Raises the gateway's errors; nothing is changed here then.
    """
    _switch(factory, group, disabled=False, tell=tell)
    if group.suspended_at is not None:
        with factory.store.write():
            factory.store.groups.set(group.id, suspended_at=None)
            factory.store.ledger.note("resume", caller=factory.caller, group=group)


def _switch(factory: Factory, group: Group, *, disabled: bool, tell: _Tell) -> None:
    keys, active = ManagementKeys(factory), _all_active(factory, group)
    if not active:
        return
    where = "suspended here only" if disabled else "resumed here only"
    if factory.store.management.key(keys.endpoint) is None:
        tell(f"{where}: there is no management key for {keys.endpoint} ({LOGIN})")
        return
    with at_the_gateway(factory, tell=tell) as works:
        for credential in active:
            if credential.kind != "key" or credential.endpoint != keys.endpoint:
                tell(f"{where}: the key {credential.key_hint} is not one of the account at {keys.endpoint}")
                continue
            hash_, info = works.known(credential)
            if info is None:
                tell(f"{where}: the account of the management key has no key {credential.key_hint}")
            elif (
                info.disabled != disabled
                and works.gateway.update_key(hash_, disabled=disabled).disabled != disabled
            ):
                raise InvalidResponseError("the gateway left the key as it was", hint=FINISHES)


def _active(factory: Factory, group: Group) -> Credential:
    """The active credential, also of a suspended group."""
    service = CredentialService(factory)
    found = service.get_active_for_group(group.id, service.provider_of(group))
    if found is None:
        command = add_key_command(group.name)
        raise AiNotConfiguredError(f"group `{group.name}` has no active key", hint=command, group=group.name)
    return found


def _all_active(factory: Factory, group: Group) -> Sequence[Credential]:
    found = CredentialService(factory).list_for_group(group.id)
    return [one for one in found if one.is_active and one.kind != "none"]
