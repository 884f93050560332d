"""What a group may be called, and which group, credential or session a word means."""

import re
import shlex
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from raptchat.errors import (
    CredentialNotFoundError,
    GroupNotFoundError,
    RaptchatError,
    SessionNotFoundError,
    UsageError,
)
from raptchat.outside import forbidden_in_name, safe_line, without_keys
from raptchat.providers import DEFAULT_PROVIDER
from raptchat.records import Credential, Group, Session

if TYPE_CHECKING:
    from raptchat.store import Store

_Thing = TypeVar("_Thing", Credential, Session)

MAX_NAME_LENGTH = 64
MIN_PREFIX_LENGTH = 4
# A comparison takes some 20 microseconds.
_MOST_COMPARED = 2_000


def check_name(text: str) -> str:
    """*text* as a group's name: trimmed, in NFC; `UsageError` says which character or length is wrong."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError("the group's name is not valid UTF-8") from None
    if found := forbidden_in_name(text.strip()):
        raise UsageError(f"a group's name cannot hold the character {found}")
    import unicodedata

    name = unicodedata.normalize("NFC", text.strip())
    if not name:
        raise UsageError("the group's name is empty")
    if len(name) > MAX_NAME_LENGTH:
        raise UsageError(f"the group's name has {len(name)} characters; {MAX_NAME_LENGTH} is the most")
    if without_keys(name) != name:
        raise UsageError(
            "this looks like an API key, not like a group's name",
            hint="name the group; the key is asked for, or read with --stdin",
        )
    return name


def find_group(store: "Store", word: str) -> Group:
    """The group that *word* names, or whose id it begins; `GroupNotFoundError` lists what it could mean."""
    wanted = _storable(word.strip())
    if group := store.groups.named(wanted) or store.groups.get(wanted.lower()):
        return group
    candidates = store.groups.with_prefix(wanted.lower()) if len(wanted) >= MIN_PREFIX_LENGTH else []
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        listed = ", ".join(f"{group.id[:13]} ({group.name})" for group in candidates)
        raise _ambiguous(GroupNotFoundError, "group", wanted, listed)
    near = [*store.groups.beginning("", _MOST_COMPARED), *store.groups.beginning(wanted[:1], _MOST_COMPARED)]
    nearest = _nearest(wanted, [group.name for group in near])
    raise GroupNotFoundError(
        f"there is no group `{_shown(wanted)}`",
        hint=f"did you mean {nearest}?" if nearest else "raptchat group list, or raptchat group create",
        group=_shown(wanted),
    )


def spelled_out(store: "Store", word: str) -> Group | None:
    """The group by name or whole id; a prefix never adds a key to a group that was not spelled out."""
    return store.groups.named(word.strip()) or store.groups.get(word.strip().lower())


def new_name(store: "Store", word: str) -> str:
    """*word* as a new group's name; `UsageError` for one that could mean a group that is there."""
    name = check_name(word)
    groups = store.groups.with_prefix(name.lower()) if len(name) >= MIN_PREFIX_LENGTH else []
    if groups:
        raise UsageError(
            f"`{name}` is the beginning of the id of group `{groups[0].name}`",
            hint=add_key_command(groups[0].name),
        )
    return name


def find_credential(store: "Store", word: str) -> Credential:
    """The credential with this id, or a unique beginning of it."""
    return _by_id(
        word, store.credentials.get, store.credentials.with_prefix, CredentialNotFoundError, "credential"
    )


def find_session(store: "Store", word: str) -> Session:
    """The session with this id, or a unique beginning of it."""
    return _by_id(word, store.sessions.get, store.sessions.with_prefix, SessionNotFoundError, "session")


def as_argument(text: str) -> str:
    """*text* as the last word of a command that can be pasted."""
    quoted = shlex.quote(text)
    return f"-- {quoted}" if text.startswith("-") else quoted


def add_key_command(group_name: str, *, replace: bool = False, like: Credential | None = None) -> str:
    """The command that gives a group its key, or another one: for the same gateway, if it is to be *like* one."""
    flags = ["--replace"] if replace else []
    if like is not None and like.provider != DEFAULT_PROVIDER:
        flags += ["--provider", like.provider]
    if like is not None and like.base_url is not None:
        flags += ["--base-url", shlex.quote(like.base_url)]
    name = as_argument(group_name)
    words = [*flags, name] if group_name.startswith("-") else [name, *flags]
    return f"raptchat group add-key {' '.join(words)}"


def refused_key_command(group: Group, credential: Credential) -> str:
    """The command that helps where the gateway refuses a key: a suspended group's may only be disabled there."""
    if group.suspended_at is not None:
        return f"raptchat group resume {as_argument(group.name)}"
    return add_key_command(group.name, replace=True, like=credential)


def _by_id(
    word: str,
    get: Callable[[str], _Thing | None],
    with_prefix: Callable[[str], Sequence[_Thing]],
    error: type[RaptchatError],
    noun: str,
) -> _Thing:
    wanted = _storable(word.strip().lower())
    if found := get(wanted):
        return found
    candidates = with_prefix(wanted) if len(wanted) >= MIN_PREFIX_LENGTH else []
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        raise _ambiguous(error, noun, wanted, ", ".join(one.id[:13] for one in candidates))
    raise error(f"there is no {noun} `{_shown(wanted)}`", hint=f"raptchat {noun}s list")


def _ambiguous(error: type[RaptchatError], noun: str, word: str, listed: str) -> RaptchatError:
    return error(f"more than one {noun} begins with `{_shown(word)}`", hint=f"name one of: {listed}")


def _nearest(word: str, names: Sequence[str]) -> str:
    import difflib

    by_folded = {name.casefold(): name for name in names}
    close = difflib.get_close_matches(word.casefold(), list(by_folded), n=3, cutoff=0.5)
    return ", ".join(f"`{by_folded[name]}`" for name in close)


def _storable(word: str) -> str:
    # Bytes of the command line that are no UTF-8 come as surrogates, which SQLite does not take. No name and no
    # id holds a NUL.
    return re.sub("[\ud800-\udfff]", "\0", word)


def _shown(word: str) -> str:
    return safe_line(without_keys(word))[:80]
