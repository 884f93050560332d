"""What the row of a credential is sealed for: its group and that one's name, its provider, its endpoint."""

from typing import TYPE_CHECKING

from raptchat.errors import DecryptionFailedError
from raptchat.naming import add_key_command
from raptchat.records import Credential, Group, KeyKind
from raptchat.secret import Secret

if TYPE_CHECKING:
    from raptchat.vault.sealing import DataKey


# What is sealed as one of them does not open as another: a key that is run as a command would be seen by all.
_PURPOSES: dict[KeyKind, str] = {
    "key": "api key",
    "command": "key command",
    "file": "key file",
    "none": "no key",
}


def seal_row(data_key: "DataKey", credential: Credential, secret: Secret, group: Group) -> Credential:
    """*credential* with *secret* sealed by *data_key*, for the place where it is and for *group*."""
    sealed = data_key.seal(secret, *_context(credential, group))
    return credential._replace(
        encrypted_key=sealed.ciphertext,
        nonce=sealed.nonce,
        key_id=data_key.id,
        # No key at all is nobody else's.
        key_fingerprint=data_key.fingerprint(secret if credential.kind != "none" else Secret(credential.id)),
    )


def open_row(data_key: "DataKey", credential: Credential, group: Group) -> Secret:
    """The key in *credential*; `DecryptionFailedError` when row, group or data key is another one."""
    from raptchat.crypto import Sealed

    if credential.key_id != data_key.id:
        raise altered(credential, group)
    try:
        return data_key.open(Sealed(credential.nonce, credential.encrypted_key), *_context(credential, group))
    except DecryptionFailedError:
        raise altered(credential, group) from None


def altered(credential: Credential, group: Group) -> DecryptionFailedError:
    """The error of a row that does not open."""
    return DecryptionFailedError(
        f"the key `{credential.key_hint}` of group `{group.name}` does not open:"
        " its row in the store was altered, moved or damaged",
        hint=add_key_command(group.name, replace=True, like=credential),
        group=group.name,
    )


def _context(credential: Credential, group: Group) -> tuple[str, ...]:
    purpose = _PURPOSES[credential.kind]
    return (purpose, credential.id, group.id, group.name, credential.provider, credential.endpoint)
