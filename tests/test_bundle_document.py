"""What is in a bundle: written, read back, and refused where it is anything else."""

import base64
import copy
import hashlib
import json
import random
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from bundles import ELSEWHERE, KEY, OTHER, add, exported, store_in, talk
from proof import Trials, tried

from raptchat import CredentialService, Factory, UsageError
from raptchat.bundle import Bundle, document
from raptchat.bundle.taking_in import Choice, TakingIn, conflicts

ID = "7b6e4a60-94b4-4f4c-9f3c-6f2d5d1c0a11"
TIME = "2026-11-22T09:30:00.000000Z"
PICTURE = base64.b64decode("R0lGODlhAQABAAAAACw=")
HASH = hashlib.sha256(PICTURE).hexdigest()
JUNK: list[Any] = [
    *(None, True, False, 0, 1, -1, 2**70, "", "x", "\x1b[2J", "\ud800", "\0", "../../x", "é" * 5000, ID, TIME),
    *([], {}, [[]], [{}], {"id": ID}, "null", "https://evil.example:443", "http://evil.example", KEY, HASH),
]


def a_document() -> dict[str, Any]:
    """A bundle with something of everything."""
    key = {
        "id": "00000000-0000-4000-8000-000000000001",
        "provider": "openrouter",
        "apiKey": KEY,
        "label": "spring",
        "baseUrl": ELSEWHERE,
        "endpoint": "https://gateway.example:443",
        "isActive": True,
        "createdAt": TIME,
        "createdBy": "ada",
        "lastUsedAt": TIME,
    }
    message = {
        "role": "user",
        "content": "What is this?",
        "state": "complete",
        "model": None,
        "reasoning": None,
        "reasoningDetails": None,
        "createdAt": TIME,
        "attachments": [{"name": "dot.gif", "mediaType": "image/gif", "hash": HASH}],
    }
    group = {
        "id": ID,
        "name": "biology",
        "description": "of cells",
        "model": "demo/echo",
        "system": "Be brief.",
        "provider": "openrouter",
        "createdAt": TIME,
        "updatedAt": TIME,
        "credentials": [
            key,
            {**key, "id": "00000000-0000-4000-8000-000000000002", "isActive": False, "baseUrl": None},
        ],
        "sessions": [
            {
                "id": "00000000-0000-4000-8000-000000000003",
                "title": "Dots",
                "model": None,
                "system": None,
                "createdAt": TIME,
                "lastUsedAt": TIME,
                "messages": [message, {**message, "role": "assistant", "attachments": []}],
            }
        ],
    }
    return {
        "format": "raptchat bundle",
        "version": 1,
        "createdAt": TIME,
        "groups": [group],
        "files": {HASH: base64.b64encode(PICTURE).decode()},
    }


def read(wanted: object) -> Bundle:
    return document.read(json.dumps(wanted).encode())


def changed(path: str, value: object) -> dict[str, Any]:
    """The document with *value* at *path*; nothing there for `...`."""
    whole = a_document()
    *way, last = [int(word) if word.isdigit() else word for word in path.split(".")]
    place: Any = whole
    for word in way:
        place = place[word]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return whole


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    with store_in(tmp_path) as factory:
        biology = add(factory, "biology", KEY, OTHER, model="demo/echo", system_prompt="Be brief.\n\x1b[2J\u202e")
        CredentialService(factory).create(biology.id, KEY, replace=True, label="autumn", base_url=ELSEWHERE)
        add(factory, "Ελληνικά 👩‍🔬")
        talk(factory, biology, "What is osmosis?\0\x9b", "\u2028 and in plants? 🌱", title="Cells\x07")
        wanted = exported(factory)

    text = json.dumps(wanted)
    assert json.loads(document.write(read(wanted))) == wanted
    assert text.isascii()
    assert [key["isActive"] for key in wanted["groups"][0]["credentials"]] == [False, False, True]
    # Once, however often it was asked about.
    assert len(wanted["files"]) == 1
    assert json.loads(document.write(read(a_document()))) == a_document()


def test_without_conversations_there_is_nothing_of_them(tmp_path: Path) -> None:
    with store_in(tmp_path) as factory:
        talk(factory, add(factory, "biology"), "What is osmosis?")
        found = exported(factory, with_sessions=False)

    assert found["files"] == {}
    assert found["groups"][0]["sessions"] == []


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("format", "age", "`format` is not `raptchat bundle`"),
        ("version", 2, "of version 2"),
        ("version", True, "no whole number"),
        ("version", "1", "no whole number"),
        ("createdAt", "yesterday", "`createdAt` is no time"),
        ("createdAt", "2026-02-30T09:30:00.000000Z", "no time"),
        ("createdAt", "2026-11-22T09:30:00Z", "no time"),
        ("createdAt", ..., "`createdAt` is not there"),
        ("more", 1, "`more` is not known"),
        ("groups", {}, "`groups` is not an array"),
        ("groups.0", [], "`groups[0]` is not an object"),
        ("groups.0.id", "biology", "`groups[0].id` is no id"),
        ("groups.0.id", ID.upper(), "no id"),
        ("groups.0.id", f"{{{ID}}}", "no id"),
        ("groups.0.name", "", "the group's name is empty"),
        ("groups.0.name", " biology", "not in its one spelling"),
        ("groups.0.name", "bio\x1b[2Jlogy", "U+001B"),
        ("groups.0.name", "bio\u202elogy", "RIGHT-TO-LEFT OVERRIDE"),
        ("groups.0.name", "b" * 65, "64 is the most"),
        ("groups.0.name", "\ud800", "cannot be written in UTF-8"),
        ("groups.0.name", KEY, "looks like an API key"),
        ("groups.0.model", "two words", "model"),
        ("groups.0.provider", "another", "no provider"),
        ("groups.0.\x1b[2J", 1, "`groups[0].␛[2J` is not known"),
        ("groups.0.credentials.0.id", None, "is not a text"),
        ("groups.0.credentials.0.apiKey", "", "`groups[0].credentials[0].apiKey` cannot be what it is"),
        ("groups.0.credentials.0.apiKey", f"{KEY}\nX", "white space"),
        ("groups.0.credentials.0.apiKey", f" {KEY}", "not in its one spelling"),
        ("groups.0.credentials.0.apiKey", "k" * 513, "longer than 512"),
        ("groups.0.credentials.0.provider", "another", "no provider"),
        ("groups.0.credentials.0.baseUrl", "http://gateway.example/v1", "must be https"),
        ("groups.0.credentials.0.baseUrl", "https://evil.example/v1", "is not where `baseUrl` is"),
        ("groups.0.credentials.0.endpoint", "https://evil.example:443", "is not where `baseUrl` is"),
        ("groups.0.credentials.1.endpoint", "https://evil.example", "is no origin"),
        ("groups.0.credentials.1.endpoint", "http://evil.example:80", "must be https"),
        ("groups.0.credentials.0.isActive", 1, "neither true nor false"),
        ("groups.0.credentials.1.isActive", True, "two active keys for one provider"),
        ("groups.0.credentials.1.id", "00000000-0000-4000-8000-000000000001", "two credentials have one id"),
        ("groups.0.credentials.0.lastUsedAt", 0, "is not a text"),
        ("groups.0.sessions.0.messages.0.role", "tool", "is none of system, user, assistant"),
        ("groups.0.sessions.0.messages.0.state", "done", "is none of"),
        ("groups.0.sessions.0.messages.0.content", "\udc80", "cannot be written in UTF-8"),
        ("groups.0.sessions.0.messages.0.attachments.0.hash", "0" * 64, "is of none of the `files`"),
        ("groups.0.sessions.0.messages.0.attachments.0.mediaType", "text/plain", "not text in UTF-8"),
        ("groups.0.sessions.0.messages.0.attachments.0.mediaType", "x\x1b[2J", "`x␛[2J` is no media type"),
        (f"files.{HASH}", "not base64", "`files.0` is not in base64"),
        (f"files.{HASH}", base64.b64encode(b"other").decode(), "has not the content"),
        (f"files.{HASH}", 5, "is not a text"),
        ("files", [], "`files` is not an object"),
    ],
)
def test_what_is_not_right_is_refused_with_its_place(path: str, value: object, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        read(changed(path, value))

    assert said in str(refused.value)
    assert KEY not in "".join(traceback.format_exception(refused.value)) + refused.value.hint


@pytest.mark.parametrize("name", ["Biology", "BIOLOGY"])
def test_two_groups_of_one_name_are_refused(name: str) -> None:
    whole = a_document()
    whole["groups"].append({**whole["groups"][0], "id": HASH[:8] + ID[8:], "name": name, "credentials": []})

    with pytest.raises(UsageError, match="two groups have one name"):
        read(whole)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no JSON document"),
        (b"\x1f\x8b\x08\x00", "no JSON document"),
        (b"[" * 100_000, "no JSON document"),
        (b'{"a":' * 100_000, "no JSON document"),
        (b'{"format": NaN}', "no JSON document"),
        (b'{"format": -Infinity}', "no JSON document"),
        (b'{"format": 1.0}', "no JSON document"),
        (b'{"format": 1e999}', "no JSON document"),
        (b'{"version": ' + b"9" * 5000 + b"}", "no JSON document"),
        (b'{"format": "a", "format": "raptchat bundle"}', "no JSON document"),
        (b'{"format": "\xff"}', "no JSON document"),
        (b'{"format": "raptchat bundle"} {}', "no JSON document"),
        (b"null", "`document` is not an object"),
        (b"[" + b"[]," * 5_000_000, "more values than one has"),
        (b'["\\"' + b"[]," * 5_000_000, "no JSON document"),
        (b'"\\' * 1_000_000, "no JSON document"),
    ],
    ids=lambda each: repr(each[:24]),
)
def test_what_is_no_such_document_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        document.read(data)


def test_what_is_said_is_not_taken_for_values() -> None:
    code = 'print(["a", {"b": [1, 2]}])\\ \n' * 800_000

    bundle = read(changed("groups.0.sessions.0.messages.0.content", code))

    assert bundle.groups[0].sessions[0].messages[0].content == code


def test_an_attachment_has_no_path_in_its_name() -> None:
    path = "groups.0.sessions.0.messages.0.attachments.0.name"
    bundle = read(changed(path, "../../.ssh/\x1b[2Jauthorized_keys"))

    [attachment] = bundle.groups[0].sessions[0].messages[0].attachments
    assert attachment.name == "␛[2Jauthorized_keys"


def hostile(dice: random.Random) -> dict[str, Any]:
    """A document in which some places hold what does not belong there."""
    whole = a_document()
    another = {**copy.deepcopy(whole["groups"][0]), "id": HASH[:8] + ID[8:], "name": "history"}
    whole["groups"].append({**another, "credentials": [], "sessions": []})
    for _ in range(dice.randint(1, 3)):
        place: Any = whole
        while True:
            inner = [
                one
                for one in (place.values() if isinstance(place, dict) else place)
                if one and isinstance(one, dict | list)
            ]
            if not inner or dice.random() < 0.2:
                break
            place = dice.choice(inner)
        if isinstance(place, list) and place and dice.random() < 0.5:
            place.pop(dice.randrange(len(place)))
        elif isinstance(place, list):
            place.insert(dice.randint(0, len(place)), copy.deepcopy(dice.choice([*JUNK, *place])))
        else:
            name = dice.choice([*place, "more"])
            # Of the same type it is what it must be, now and then.
            fitting = [one for one in JUNK if type(one) is type(place.get(name))]
            place[name] = copy.deepcopy(dice.choice(fitting or [*JUNK, *place.values()]))
    return whole


@tried("hostile bundles", commit=300, deep=50_000)
def test_a_hostile_bundle_is_refused_or_is_one(trials: Trials, tmp_path: Path) -> None:
    with store_in(tmp_path) as factory:
        add(factory, "biology", OTHER)
        before = exported(factory)["groups"]
    for number in trials:
        dice = random.Random(number)
        with store_in(tmp_path) as factory:
            with undone(factory):
                refusal = refused_because(factory, hostile(dice), dice)
            assert refusal is None or KEY not in f"{refusal}{refusal.hint}", number
            trials.count(taken_in=refusal is None, refused=refusal is not None)
    with store_in(tmp_path) as factory:
        assert exported(factory)["groups"] == before


def refused_because(factory: Factory, wanted: dict[str, Any], dice: random.Random) -> UsageError | None:
    """Take *wanted* in, whatever is in conflict; why that was refused, if it was."""
    choices: list[Choice] = ["skip", "replace", "rename"]
    try:
        bundle = read(wanted)
        met = {one.group.id: dice.choice(choices) for one in conflicts(factory.store, bundle)}
        taking = TakingIn(factory, bundle, met, factory.vault.data_key(), allow_shared=True)
        taking.carry_out(taking.plan())
    except UsageError as error:
        return error
    # What is in the store now can be read, shown and exported again.
    read(exported(factory))
    return None


@contextmanager
def undone(factory: Factory) -> Iterator[None]:
    """A transaction that leaves no trace: each trial begins where the last one did."""
    with suppress(EOFError), factory.store.write():
        yield
        raise EOFError
