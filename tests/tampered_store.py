"""A store with keys of six groups, and what somebody can do to its file who has none of its secrets."""

import random
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from raptchat import CredentialService, Factory, get_ai_client_for_group
from raptchat.config import Settings
from raptchat.errors import RaptchatError

PLACES = [None, None, None, "https://a.example/v1", "https://b.example/v1", "https://b.example:8443/v1"]

Value = str | int | float | bytes | None


@pytest.fixture(name="folder")
def folder_fixture() -> Iterator[Path]:
    """A folder in memory where there is one: what is written thousands of times need not be kept."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        yield Path(name)


def tamper(file: Path, *statements: tuple[str, Sequence[object]]) -> None:
    """Change the store as somebody does who has no key, and need not heed foreign keys."""
    with closing(sqlite3.connect(file)) as db, db:
        for sql, parameters in statements:
            db.execute(sql, parameters)


def read(file: Path, sql: str, *parameters: object) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(file)) as db:
        return db.execute(sql, parameters).fetchall()


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@pytest.fixture(name="keys")
def keys_fixture(factory: Factory) -> dict[str, str]:
    """Six groups, and the key that each was given."""
    with factory.store.write():
        groups = [factory.store.groups.add(f"group {number}") for number in range(6)]
    made = {}
    for number, (group, place) in enumerate(zip(groups, PLACES, strict=True)):
        made[group.id] = f"sk-or-v1-of-group-{number}-{number:032d}"
        CredentialService(factory).create(group.id, made[group.id], base_url=place)
    factory.close()
    return made


@pytest.fixture(name="file")
def file_fixture(keys: dict[str, str], home: Path) -> Path:
    return home / "raptchat.db"


def open_key(factory: Factory, group_id: str) -> str:
    """The key that a request of the group would be sent with."""
    client, _ = get_ai_client_for_group(group_id, factory=factory)
    with client:
        return client._key.reveal()


def outcomes(keys: Mapping[str, str]) -> dict[str, str | RaptchatError]:
    """What a new process gets for each group: a key, or why not."""
    found: dict[str, str | RaptchatError] = {}
    with Factory(Settings.load()) as factory:
        for group_id in keys:
            try:
                found[group_id] = open_key(factory, group_id)
            except RaptchatError as error:
                found[group_id] = error
    return found


@dataclass(frozen=True, slots=True)
class Sample:
    """The file of a store of six groups with slots of every kind, and what its groups were given.

    *given* has, for a group's id and name, its keys and where each may be sent; *openers* what the environment can
    name that opens the vault, the quick ones first.
    """

    content: bytes
    given: Mapping[tuple[str, str], frozenset[tuple[str, str]]]
    openers: Sequence[Mapping[str, str]]

    def check(self, home: Path, opener: Mapping[str, str]) -> tuple[int, int]:
        """Read every key of the store in *home* as a new process does: each is its group's own, or refused.

        Returns how many opened and how many were refused.
        """
        keys = refused = 0
        with Factory(Settings.load({"RAPTCHAT_HOME": str(home), **opener})) as factory:
            try:
                groups = factory.store.groups.all()
            except RaptchatError:
                return 0, 1
            service = CredentialService(factory)
            for group in groups:
                try:
                    credentials = [*service.list_for_group(group.id), service.require_active(group)]
                except RaptchatError:
                    refused += 1
                    continue
                for credential in credentials:
                    try:
                        key = service.open_key(credential).reveal()
                    except RaptchatError:
                        refused += 1
                    else:
                        given = self.given.get((group.id, group.name), frozenset())
                        assert (key, service.url_of(credential)) in given, (group.name, key)
                        keys += 1
        return keys, refused


def make_sample(home: Path) -> Sample:
    """A store in *home* whose data key was changed twice, the second time without all secrets at hand."""
    recovery: list[str] = []
    passphrase = home / "passphrase"
    home.mkdir(mode=0o700, parents=True)
    _write_private(passphrase, "a passphrase")
    environ = {"RAPTCHAT_HOME": str(home)}
    named = {**environ, "RAPTCHAT_PASSPHRASE_FILE": str(passphrase)}
    with Factory(Settings.load(named), keep=recovery.append) as factory:
        vault, service = factory.vault, CredentialService(factory)
        vault.init("file", path=home / "first.key")
        vault.add("file", path=home / "second.key")
        vault.add("passphrase")
        vault.add("recovery")
        given = {}
        for number, place in enumerate(PLACES):
            with factory.store.write():
                group = factory.store.groups.add(f"group {number}")
            keys = [f"sk-or-v1-of-group-{number}-{age}-{number:032d}" for age in ("old", "new")]
            for key in keys:
                service.create(group.id, key, base_url=place, replace=True)
            given[group.id, group.name] = frozenset((key, place or factory.settings.gateway_url) for key in keys)
        service.rotate_vault()
    aside = home / "aside.key"
    (home / "second.key").rename(aside)
    with Factory(Settings.load(environ)) as factory:
        CredentialService(factory).rotate_vault()
    aside.rename(home / "second.key")
    _write_private(home / "recovery", recovery[0])
    openers = [{"RAPTCHAT_MASTER_KEY_FILE": str(home / name)} for name in ("first.key", "second.key", "recovery")]
    return Sample(
        (home / "raptchat.db").read_bytes(), given, [*openers, {"RAPTCHAT_PASSPHRASE_FILE": str(passphrase)}]
    )


def an_opener(sample: Sample, dice: random.Random) -> Mapping[str, str]:
    """One of the sample's, and the slow one, which derives a secret, seldom."""
    return sample.openers[-1] if dice.random() < 0.002 else dice.choice(sample.openers[:-1])


def _write_private(file: Path, line: str) -> None:
    file.write_text(line, encoding="utf-8")
    file.chmod(0o600)
