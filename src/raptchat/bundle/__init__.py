"""Bundles: groups with their readable keys, as one file in the age format that moves them to another store.

`taking_out.py` makes a bundle of a store and `taking_in.py` puts one into a store; between them it is a JSON
document (`document.py`) that is encrypted for whoever may read it (`age.py`).
"""

from dataclasses import dataclass

from raptchat.records import Group, KeyKind, Message, Session
from raptchat.secret import Secret


@dataclass(frozen=True, slots=True)
class BundledKey:
    """One API key of a group, with all that its credential says of it; it may be sent to *endpoint* alone.

    Of another *kind* *api_key* is what is sealed instead: a command, a path, or nothing.
    """

    id: str
    provider: str
    api_key: Secret
    label: str | None
    base_url: str | None
    endpoint: str
    is_active: bool
    created_at: str
    created_by: str
    last_used_at: str | None
    kind: KeyKind = "key"


@dataclass(frozen=True, slots=True)
class BundledSession:
    """One conversation with all of its messages; their attachments have their content."""

    session: Session
    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class BundledGroup:
    """One group with all of its keys, in use and not, and its conversations where they were asked for."""

    group: Group
    keys: tuple[BundledKey, ...]
    sessions: tuple[BundledSession, ...] = ()


@dataclass(frozen=True, slots=True)
class Bundle:
    """What goes from one store to another, made at *created_at*."""

    created_at: str
    groups: tuple[BundledGroup, ...]
