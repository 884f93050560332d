"""A vault that tests open, change and spoil."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from raptchat import Factory
from raptchat.config import Settings
from raptchat.credentials import CredentialService

KEY = "sk-or-v1-0123456789abcdef0123456789abcdef"
PASSPHRASE = "correct horse battery staple"


def private(path: Path, text: str) -> Path:
    """A file of *text* that only its owner can read."""
    path.touch(mode=0o600)
    path.write_text(text)
    return path


def open_factory(**arguments: object) -> Factory:
    return Factory(Settings.load(), **arguments)  # type: ignore[arg-type]


def change(home: Path, sql: str, *parameters: object) -> None:
    """Change the store as somebody does who has no key."""
    with closing(sqlite3.connect(home / "raptchat.db")) as db, db:
        db.execute(sql, parameters)


def add_key(factory: Factory, name: str = "biology", key: str = KEY) -> str:
    with factory.store.write():
        group = factory.store.groups.add(name)
    CredentialService(factory).create(group.id, key)
    return group.id


def key_of(group_id: str, **arguments: object) -> str:
    """The group's key, as another process opens it."""
    with open_factory(**arguments) as factory:
        credentials = CredentialService(factory)
        [credential] = credentials.list_for_group(group_id)
        return credentials.open_key(credential).reveal()


def typed(*lines: str) -> Callable[[str], str]:
    left = iter(lines)
    return lambda prompt: next(left)
