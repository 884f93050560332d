"""The gateway's keys beside the store's: what is only here, what is only there."""

from typing import Literal, NamedTuple

from raptchat.factory import Factory
from raptchat.key_works import KeyWorks
from raptchat.key_works.held import HeldKey, held_keys
from raptchat.providers.key_info import KeyInfo

KeyState = Literal["in use", "retired here", "only at the gateway", "only here", "does not open"]


class ComparedKey(NamedTuple):
    """A key: what the gateway says of it, and which credential holds it; one of them at least."""

    state: KeyState
    info: KeyInfo | None
    held: HeldKey | None


def compare(works: KeyWorks, factory: Factory) -> list[ComparedKey]:
    """Every key of the account, and every credential for its gateway, by group and name; strangers last.

    What is out of use here and unknown there is left out. Keys that are kept elsewhere are fetched for it. Raises
    the gateway's errors and what opening the vault does.
    """
    there = works.gateway.keys()
    by_hash = {info.hash: info for info in there if info.hash is not None}
    held = held_keys(factory, works.endpoint, references=True)
    # The list is that of one workspace; one by one, the gateway knows those of others too.
    for hash_ in [one.hash for one in held if one.hash and one.hash not in by_hash and one.credential.is_active]:
        if info := works.gateway.key(hash_):
            by_hash[hash_] = info
    here = [
        ComparedKey(_state(one, by_hash), by_hash.get(one.hash or ""), one)
        for one in held
        if one.credential.is_active or one.hash is None or one.hash in by_hash
    ]
    known = {one.hash for one in held}
    strangers = [ComparedKey("only at the gateway", info, None) for info in there if info.hash not in known]
    here.sort(
        key=lambda one: (
            (one.held.group.name.casefold(), not one.held.credential.is_active) if one.held else ("", False)
        )
    )
    return here + sorted(strangers, key=lambda one: (one.info.name or "").casefold() if one.info else "")


def _state(held: HeldKey, there: dict[str, KeyInfo]) -> KeyState:
    if held.hash is None:
        return "does not open"
    if held.hash not in there:
        return "only here"
    return "in use" if held.credential.is_active else "retired here"
