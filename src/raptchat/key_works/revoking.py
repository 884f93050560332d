"""A group goes, and its keys with it, at the gateway too."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from raptchat.credentials import CredentialService
from raptchat.errors import RaptchatError
from raptchat.factory import Factory
from raptchat.key_works import FINISHES, KeyWorks, at_the_gateway
from raptchat.key_works.held import held_keys
from raptchat.records import Credential, Group


@contextmanager
def revoking(factory: Factory, group: Group, *, tell: Callable[[str], None]) -> Iterator[None]:
    """Remove *group* here, and at the end delete its keys at the gateway.

    *tell* is told which keys are not deleted there: those of other accounts, other places and other groups. Raises
    what `at_the_gateway` does, before anything is removed, and the gateway's errors when it is done here.
    """
    with at_the_gateway(factory, tell=tell) as works:
        ending = _to_be_ended(works, factory, group, tell=tell)
        with factory.store.write():
            for credential, hash_ in ending:
                works.begin(group, old_hash=hash_)
                works.note("revoke", group, credential.id)
            CredentialService(factory).remove_group(group)
        yield
        try:
            works.finish_pending(is_late=False)
        except RaptchatError as error:
            raise type(error)(
                f"group `{group.name}` is removed; its keys may not all be deleted at the gateway: {error}",
                hint=f"{FINISHES}, which goes on with it",
                **error.fields,
            ) from None


def _to_be_ended(
    works: KeyWorks, factory: Factory, group: Group, *, tell: Callable[[str], None]
) -> list[tuple[Credential, str]]:
    mine = {held.credential.id: held for held in held_keys(factory, works.endpoint, group_id=group.id)}
    ending = []
    for credential in CredentialService(factory).list_for_group(group.id):
        if credential.kind == "none":
            continue
        held = mine.get(credential.id)
        if held is None:
            why = f"it is not one of {works.endpoint}" if credential.kind == "key" else "it is kept elsewhere"
        elif held.hash is None:
            why = held.problem or ""
        elif works.gateway.key(held.hash) is None:
            why = "the account does not have it"
        elif sharing := works.sharing(group, credential):
            why = f"it serves group `{sharing.name}` too"
        else:
            ending.append((credential, held.hash))
            continue
        tell(f"the key {credential.key_hint} is not deleted at the gateway: {why}")
    return ending
