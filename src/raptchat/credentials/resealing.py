"""Credentials sealed anew: for another data key, or for another name of their group."""

from typing import TYPE_CHECKING

from raptchat.credentials.sealed_row import open_row, seal_row
from raptchat.errors import DecryptionFailedError, DuplicateGroupError
from raptchat.records import Group

if TYPE_CHECKING:
    from raptchat.caller import Caller
    from raptchat.store import Store
    from raptchat.vault.sealing import DataKey


def reseal(store: "Store", old: "DataKey", new: "DataKey") -> int:
    """Open every credential with *old* and seal it with *new*; how many there were.

    `DecryptionFailedError` for one that does not open, which stands in the way.
    """
    credentials = store.credentials.all()
    for credential in credentials:
        group = store.groups.require(credential.group_id)
        try:
            secret = open_row(old, credential, group)
        except DecryptionFailedError as error:
            command = f"raptchat credentials delete {credential.id}"
            raise DecryptionFailedError(str(error), hint=command, group=group.name) from None
        store.credentials.reseal(seal_row(new, credential, secret, group))
    return len(credentials)


def rename_group(store: "Store", group: Group, name: str, data_key: "DataKey | None", caller: "Caller") -> bool:
    """Give *group* a new name, in the transaction of whoever calls; `False` when it has keys and no *data_key*.

    Raises `DuplicateGroupError`, and what opening the keys does.
    """
    current = store.groups.require(group.id)
    other = store.groups.named(name)
    if other is not None and other.id != group.id:
        raise DuplicateGroupError(f"there is a group `{other.name}` already", group=other.name)
    credentials = store.credentials.of_group(group.id)
    if credentials and data_key is None:
        return False
    for credential in credentials:
        assert data_key is not None
        secret = open_row(data_key, credential, current)
        store.credentials.reseal(seal_row(data_key, credential, secret, current._replace(name=name)))
    store.groups.set(group.id, name=name)
    # Under the name that it had: that of now stands with whatever is done next.
    store.ledger.note("group.rename", caller=caller, group=current)
    return True
