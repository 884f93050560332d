"""A bundle out of a store."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from raptchat.bundle import Bundle, BundledGroup, BundledKey, BundledSession
from raptchat.bundle.age import MOST_BYTES
from raptchat.clock import utc_now
from raptchat.credentials.sealed_row import open_row
from raptchat.errors import StoreBusyError, UsageError
from raptchat.factory import Factory
from raptchat.records import Credential, Group

if TYPE_CHECKING:
    from raptchat.store import Store
    from raptchat.vault.sealing import DataKey

# Each time, another process changed the vault's key meanwhile.
_ATTEMPTS = 10


def take_out(factory: Factory, groups: Sequence[Group] | None = None, *, with_sessions: bool = False) -> Bundle:
    """These *groups*, or all, with all of their keys, and with their conversations where these are wanted.

    Raises what opening the vault and its keys does, `StoreBusyError` when the vault changes again and again, and
    `UsageError` when it is more than a bundle holds.
    """
    store = factory.store
    wanted = {group.id for group in (store.groups.all() if groups is None else groups)}
    for _ in range(_ATTEMPTS):
        # The keyring may ask: never in a transaction. Where there is no key nobody is asked.
        has_keys = any(store.credentials.of_group(group_id) for group_id in wanted)
        data_key = factory.vault.data_key() if has_keys else None
        with store.snapshot():
            found = [group for group in store.groups.all() if group.id in wanted]
            credentials = {group.id: store.credentials.of_group(group.id) for group in found}
            in_use = store.vault.key()
            if any(credentials.values()) and (data_key is None or in_use is None or in_use.id != data_key.id):
                continue
            sessions = _sessions(store, found) if with_sessions else {}
        return Bundle(
            utc_now(),
            tuple(
                BundledGroup(
                    group,
                    tuple(_key(data_key, one, group) for one in credentials[group.id]),
                    tuple(sessions.get(group.id, ())),
                )
                for group in found
            ),
        )
    raise StoreBusyError("the vault's key is being changed again and again", hint="try again")


def note(factory: Factory, bundle: Bundle) -> None:
    """Write down that the keys of *bundle* were handed out."""
    with factory.store.write():
        for bundled in bundle.groups:
            for key in bundled.keys:
                factory.store.ledger.note(
                    "credential.export", caller=factory.caller, group=bundled.group, credential_id=key.id
                )


def _key(data_key: "DataKey | None", credential: Credential, group: Group) -> BundledKey:
    assert data_key is not None
    return BundledKey(
        id=credential.id,
        provider=credential.provider,
        api_key=open_row(data_key, credential, group),
        label=credential.label,
        base_url=credential.base_url,
        endpoint=credential.endpoint,
        is_active=credential.is_active,
        created_at=credential.created_at,
        created_by=credential.created_by,
        last_used_at=credential.last_used_at,
        kind=credential.kind,
    )


def _sessions(store: "Store", groups: Sequence[Group]) -> dict[str, list[BundledSession]]:
    """The conversations of each group, the one that was begun first at the beginning."""
    found: dict[str, list[BundledSession]] = {group.id: [] for group in groups}
    size = 0
    for group in groups:
        sessions = [summary.session for summary in store.sessions.listed(group.id)]
        for session in sorted(sessions, key=lambda one: (one.created_at, one.id)):
            contents = store.attachments.of_session(session.id, with_content=True)
            messages = tuple(
                one._replace(attachments=contents.get(one.seq, ())) for one in store.sessions.messages(session.id)
            )
            size += sum(len(one.content) + sum(each.size for each in one.attachments) for one in messages)
            if size > MOST_BYTES:
                raise too_large()
            found[group.id].append(BundledSession(session, messages))
    return found


def too_large() -> UsageError:
    """The error for more than a bundle holds."""
    return UsageError(
        f"this is more than the {MOST_BYTES // 2**20} MiB that a bundle holds",
        hint="export some groups at a time, with -g, or without --with-sessions",
    )
