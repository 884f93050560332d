"""Rows of the vault and bundles in which anything may stand: refused, or taken in whole; never a crash."""

# ruff: noqa: S608 - columns are constants of this file

import copy
import json
import random
import shutil
import sqlite3
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyrage
from proof import Trials, tried
from tampered_store import folder_fixture, make_sample  # noqa: F401 - pytest finds fixtures by import

from raptchat import ChatService, CredentialService, Factory
from raptchat.bundle import age, document
from raptchat.bundle.taking_in import TakingIn
from raptchat.bundle.taking_out import take_out
from raptchat.config import Settings
from raptchat.errors import RaptchatError
from raptchat.records import Attachment
from raptchat.secret import Secret

FIELDS = ["kind", "state", "key_id", "public_key", "wrapped_key", "proof", "params", "params", "trail", "trail"]
WORDS = [
    "",
    "x",
    "\0",
    "\ud800",
    "é",
    "file",
    "keyring",
    "recovery",
    "/",
    "../..",
    "AA==",
    "9" * 5000,
    "\u202e",
    "\x1b[2J",
]
NUMBERS = [0, -1, 1, 8, 1.5, float("nan"), float("inf"), 1 << 31, 1 << 63, 10**40, True]


def anything(dice: random.Random, depth: int = 3) -> Any:
    """Some JSON."""
    match dice.randrange(6 if depth else 4):
        case 0:
            return None
        case 1:
            return dice.choice(NUMBERS)
        case 2 | 3:
            return dice.choice(WORDS) + dice.choice(WORDS)
        case 4:
            return [anything(dice, depth - 1) for _ in range(dice.randrange(4))]
        case _:
            names = ["path", "service", "backend", "salt", dice.choice(WORDS)]
            return {dice.choice(names): anything(dice, depth - 1) for _ in range(dice.randrange(4))}


@tried("fuzz of vault rows", commit=80, deep=20_000)
def test_anything_in_a_row_of_the_vault_is_refused_or_has_no_effect(trials: Trials, folder: Path) -> None:
    sample, home = make_sample(folder / "home"), folder / "home"
    file = home / "raptchat.db"
    for number in trials:
        dice = random.Random(number)
        file.write_bytes(sample.content)
        field = dice.choice(FIELDS)
        value = json.dumps(anything(dice)) if field in {"params", "trail"} else dice.choice(WORDS)
        text = value if dice.random() < 0.9 else "[" * 100_000
        with closing(sqlite3.connect(file)) as db, db:
            db.execute("PRAGMA ignore_check_constraints = ON")
            rowids = [rowid for (rowid,) in db.execute("SELECT rowid FROM vault_slots")]
            stored = text.encode("utf-8", "replace")
            db.execute(
                f"UPDATE vault_slots SET {field} = CAST(? AS {'BLOB' if field[-3:] in {'key', 'oof'} else 'TEXT'})"
                " WHERE rowid = ?",
                [stored, dice.choice(rowids)],
            )
        opener = dice.choice(sample.openers[:-1])
        keys, refused = sample.check(home, opener)
        with Factory(Settings.load({"RAPTCHAT_HOME": str(home), **opener})) as factory:
            for look in (factory.vault.status, factory.vault.leftovers, CredentialService(factory).check_seals):
                try:
                    look()
                except RaptchatError:
                    refused += 1
        trials.count(rows=1, keys=keys, refused=refused)


def base_document(home: Path) -> Any:
    """A bundle's document with everything in it."""
    with Factory(Settings.load({"RAPTCHAT_HOME": str(home)})) as factory:
        factory.vault.init("file", path=home / "master.key")
        for name, place in [("biology", None), ("Übung", "https://a.example/v1")]:
            with factory.store.write():
                group = factory.store.groups.add(
                    name, model="a/b", system_prompt="Be brief.", description="A class"
                )
            for key in (
                f"sk-or-v1-{name.encode().hex()}-old-0000000",
                f"sk-or-v1-{name.encode().hex()}-new-0000000",
            ):
                CredentialService(factory).create(group.id, key, base_url=place, replace=True, label="mine")
            session = ChatService(factory).create_session(group.id, title="One")
            with factory.store.write():
                asked = factory.store.sessions.add_message(session.id, "user", "What is in it?")
                content = name.encode()
                file = Attachment("a.txt", "text/plain", sha256(content).hexdigest(), len(content), content)
                factory.store.attachments.add(asked, [file])
                factory.store.sessions.add_message(
                    session.id, "assistant", "Words.", model="a/b", reasoning="Hm.", reasoning_details="[]"
                )
        return json.loads(document.write(take_out(factory, with_sessions=True)))


def change(whole: Any, dice: random.Random) -> Any:
    """The document with something else in one place, or with a thing left out or there twice."""
    changed = copy.deepcopy(whole)
    place = changed
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = dice.choice(keys)
        if not isinstance(place[key], dict | list) or not place[key] or dice.random() < 0.15:
            break
        place = place[key]
    match dice.randrange(5):
        case 0:
            del place[key]
        case 1 if isinstance(place, list):
            place.append(copy.deepcopy(place[key]))
        case 1:
            place[dice.choice(WORDS)] = anything(dice)
        case 2 if isinstance(place[key], str):
            place[key] += dice.choice(WORDS)
        case _:
            place[key] = anything(dice)
    return changed


@tried("fuzz of bundles", commit=200, deep=50_000)
def test_any_bundle_is_taken_in_whole_or_refused_without_a_trace(trials: Trials, folder: Path) -> None:
    whole = base_document(folder / "source")
    identity = pyrage.x25519.Identity.generate()
    with Factory(Settings.load({"RAPTCHAT_HOME": str(folder / "empty")})) as factory:
        factory.vault.init("file", path=folder / "master.key")
    for number in trials:
        dice = random.Random(number)
        home = folder / "home"
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(folder / "empty", home)
        changed = whole
        for _ in range(dice.choice([0, 1, 1, 1, 2, 3])):
            changed = change(changed, dice)
        data = age.encrypt(json.dumps(changed).encode(), recipients=[str(identity.to_public())])
        with Factory(Settings.load({"RAPTCHAT_HOME": str(home)})) as factory:
            try:
                bundle = document.read(age.decrypt(data, identities=[Secret(str(identity))]))
                taking_in = TakingIn(factory, bundle, {}, factory.vault.ensure())
                taking_in.carry_out(taking_in.plan())
            except RaptchatError:
                taken = 0
            else:
                taken = len(bundle.groups)
            groups = factory.store.groups.all()
            assert len(groups) == taken
            service = CredentialService(factory)
            keys = [one for group in groups for one in service.list_for_group(group.id)]
            for one in keys:
                service.open_key(one)
            assert factory.store.checks.problems() == []
        trials.count(bundles=1, taken=bool(taken), refused=not taken, keys=len(keys))
    assert trials.counts["taken"] > 0 < trials.counts["refused"]
