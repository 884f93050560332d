"""Whether everything that is sealed opens."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from raptchat.credentials import key_reference, management_key
from raptchat.credentials.sealed_row import altered, open_row
from raptchat.errors import DecryptionFailedError, RaptchatError, StoreBusyError
from raptchat.gateway_url import check_gateway_url, origin
from raptchat.records import Credential, Group, ManagementKey, Slot
from raptchat.secret import Secret

if TYPE_CHECKING:
    from raptchat.store import Store
    from raptchat.vault import Vault
    from raptchat.vault.sealing import DataKey

# Each time, another process changed the vault's key meanwhile.
_ATTEMPTS = 10


class SlotCheck(NamedTuple):
    """Whether a slot of the vault opens, and why not; `None` where it was not tried: a person would be asked."""

    slot: Slot
    opens: bool | None
    problem: str | None


class RowCheck(NamedTuple):
    """A credential, its group where there is one, and why its key does not open.

    *absence* is why a reference that opens would give no key, as far as that is seen without following it.
    """

    credential: Credential
    group: Group | None
    problem: str | None
    absence: str | None = None


class SealReport(NamedTuple):
    """Every slot, and every credential as the slots that open open it; no *rows* where no slot does.

    *management* has the account's keys in the same way.
    """

    slots: list[SlotCheck]
    rows: list[RowCheck]
    management: list[tuple[ManagementKey, str | None]]


def check_seals(store: "Store", vault: "Vault", *, ask: bool) -> SealReport:
    """Open every slot that is at hand, and every credential with each of them; a person is asked with *ask*."""
    for _ in range(_ATTEMPTS):
        before, slots, keys = store.vault.key(), [], []
        for slot, found in vault.each_slot(ask=ask):
            problem = str(found) if isinstance(found, RaptchatError) else None
            slots.append(SlotCheck(slot, None if found is None else problem is None, problem))
            if found is not None and not isinstance(found, RaptchatError):
                keys.append(found)
        with store.snapshot():
            if store.vault.key() != before:
                continue
            rows = _row_checks(store, keys) if keys else []
            accounts = store.management.keys()
            management = [(one, management_key.problem(one, keys)) for one in accounts]
        return SealReport(slots, [_followed(*row) for row in rows], management if keys else [])
    raise StoreBusyError("the vault's key is being changed again and again", hint="try again")


def _row_checks(store: "Store", keys: "Sequence[DataKey]") -> list[tuple[RowCheck, Secret | None]]:
    """Each credential, a reference with what is sealed in it."""
    groups = {group.id: group for group in store.groups.all()}
    checks = []
    for credential in store.credentials.all():
        group = groups.get(credential.group_id)
        found = _opened(credential, group, keys) if group else "its group is not in the store any more"
        problem = found if isinstance(found, str) else None
        # No more keys than one are readable at a time.
        reference = found if isinstance(found, Secret) and credential.kind in {"command", "file"} else None
        checks.append((RowCheck(credential, group, problem), reference))
    return checks


def _followed(row: RowCheck, reference: Secret | None) -> RowCheck:
    """*row* with why its reference leads nowhere; files are looked at, so no transaction is held."""
    if reference is None:
        return row
    return row._replace(absence=key_reference.absence(row.credential.kind, reference.reveal()))


def _opened(credential: Credential, group: Group, keys: "Sequence[DataKey]") -> Secret | str:
    """What is sealed, or why it does not open with each of *keys*."""
    if credential.base_url is not None and _origin(credential.base_url) != credential.endpoint:
        return str(altered(credential, group))
    try:
        opened = [open_row(key, credential, group) for key in keys]
    except DecryptionFailedError as error:
        return str(error)
    return opened[0]


def _origin(url: str) -> str | None:
    try:
        return origin(check_gateway_url(url))
    except ValueError:
        return None
