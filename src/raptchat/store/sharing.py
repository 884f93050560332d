"""The same key in several groups: what one of them spends, the others pay.

It is found by the fingerprints: no key is opened.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from raptchat.records import Credential

if TYPE_CHECKING:
    from raptchat.store import Store


def groups_by_fingerprint(credentials: Sequence[Credential]) -> dict[str, set[str]]:
    """The ids of the groups that have each key in use, by its fingerprint; only where these are several."""
    groups: dict[str, set[str]] = defaultdict(set)
    for one in credentials:
        if one.is_active:  # by one that is retired nobody pays
            groups[one.key_fingerprint].add(one.group_id)
    return {fingerprint: ids for fingerprint, ids in groups.items() if len(ids) > 1}


def shared_with(store: "Store", found: Sequence[Credential], *, all_there_are: bool) -> dict[str, list[str]]:
    """The names of the other groups that have the key of each of *found* in use, by the credential's id.

    Those that nobody else has are left out. Where *found* is not *all_there_are*, the store is asked for others.
    """
    among = found
    if not all_there_are:
        among = [one for each in found for one in store.credentials.with_fingerprint(each.key_fingerprint)]
    groups = groups_by_fingerprint(among)
    names = {group_id: store.groups.require(group_id).name for group_id in set().union(*groups.values())}
    return {
        one.id: sorted(names[group_id] for group_id in groups[one.key_fingerprint] - {one.group_id})
        for one in found
        if one.key_fingerprint in groups
    }
