"""Which keys the store has for a gateway, by the hash under which the gateway knows them."""

from typing import NamedTuple

from raptchat.credentials import CredentialService
from raptchat.errors import RaptchatError
from raptchat.factory import Factory
from raptchat.providers.management import hash_of
from raptchat.records import Credential, Group


class HeldKey(NamedTuple):
    """A credential of a group, with the SHA-256 of its key, or why that is not known."""

    credential: Credential
    group: Group
    hash: str | None
    problem: str | None = None


def held_keys(
    factory: Factory, endpoint: str, *, group_id: str | None = None, references: bool = False
) -> list[HeldKey]:
    """The keys that the store has for the gateway at *endpoint*, of all groups or of one.

    A key that is kept elsewhere is only fetched with *references*: that runs programs, and may ask somebody.
    Raises what opening the vault does.
    """
    store = factory.store
    factory.vault.data_key()
    with store.snapshot():
        rows = store.credentials.all() if group_id is None else store.credentials.of_group(group_id)
        groups = {row.group_id: store.groups.require(row.group_id) for row in rows}
    service = CredentialService(factory)
    found = []
    for row in rows:
        if row.endpoint != endpoint or row.kind == "none" or (row.kind != "key" and not references):
            continue
        group = groups[row.group_id]
        try:
            found.append(HeldKey(row, group, hash_of(service.open_key(row))))
        except RaptchatError as error:
            found.append(HeldKey(row, group, None, str(error)))
    return found
