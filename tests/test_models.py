"""`Models`: what is remembered of a group's models, for whom it counts, and what it is good for."""

import json
import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from mocked_gateway import naps_fixture  # noqa: F401 - pytest finds fixtures by import

from raptchat import model_cache
from raptchat.config import Settings
from raptchat.credentials import CredentialService
from raptchat.demo import DEMO_KEY, Answer, DemoGateway
from raptchat.errors import (
    AiNotConfiguredError,
    AuthenticationFailedError,
    GatewayError,
    UsageError,
)
from raptchat.factory import Factory
from raptchat.model_cache import Remembered
from raptchat.models import Models, nearest
from raptchat.records import Attachment, Group, Model

PHOTO = Attachment("photo.png", "image/png", "0" * 64, 10)
SOUND = Attachment("sound.wav", "audio/wav", "1" * 64, 10)
PAPER = Attachment("paper.pdf", "application/pdf", "2" * 64, 10)
NOTES = Attachment("notes.txt", "text/plain", "3" * 64, 10)

LISTED = [
    Model("openai/eye", "Eye", input_modalities=("text", "image")),
    Model("demo/blind", "Blind", input_modalities=("text",)),
    Model("demo/blind:free", "Blind, free", input_modalities=("text", "image")),
    Model("demo/eye", "Eye", input_modalities=("text", "image")),
    Model("demo/mute", "Mute"),
    Model("openrouter/auto", "Auto", input_modalities=("text",)),
    Model("~demo/latest", "Latest", input_modalities=("text",)),
]


@pytest.fixture(name="opened")
def opened_fixture(gateway: DemoGateway, home: Path) -> Iterator[Factory]:
    """A store whose group pays with a key that the demo gateway takes."""
    with Factory(Settings.load()) as opened:
        opened.vault.init("file", path=home / "master.key")
        CredentialService(opened).create(opened.store.groups.add("biology").id, DEMO_KEY)
        yield opened


@pytest.fixture(name="group")
def group_fixture(opened: Factory) -> Group:
    [group] = opened.store.groups.all()
    return group


def remember(factory: Factory, group: Group, models: list[Model], *, age: timedelta = timedelta(hours=1)) -> Path:
    """A list that the group's gateway gave that long ago."""
    credential = CredentialService(factory).require_active(group)
    path = factory.settings.paths.models_file(group.id)
    model_cache.write(path, Remembered(credential.id, (datetime.now(UTC) - age).isoformat(), models))
    return path


def asked(gateway: DemoGateway) -> list[str]:
    return [request.path for request in gateway.requests]


def test_a_list_is_fetched_once_a_day_and_remembered_in_a_private_file(
    opened: Factory, group: Group, gateway: DemoGateway
) -> None:
    models = Models(opened)
    assert models.cached(group.id) == []

    listing = models.listing(group)

    assert "demo/echo" in [model.id for model in listing.models]
    assert models.listing(group).models == listing.models == models.cached(group.id)
    assert asked(gateway) == ["/api/v1/models/user"]
    path = opened.settings.paths.models_file(group.id)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert list(path.parent.iterdir()) == [path]
    assert DEMO_KEY not in path.read_text()


def test_who_asks_for_now_asks_the_gateway(opened: Factory, group: Group, gateway: DemoGateway) -> None:
    remember(opened, group, LISTED)

    assert Models(opened).listing(group).models == LISTED
    assert Models(opened).listing(group, refresh=True).models != LISTED
    assert len(asked(gateway)) == 1


@pytest.mark.parametrize("age", [timedelta(hours=25), timedelta(days=-400)], ids=["old", "of the future"])
def test_a_stale_list_is_asked_for_anew(
    opened: Factory, group: Group, gateway: DemoGateway, age: timedelta
) -> None:
    remember(opened, group, LISTED, age=age)

    assert Models(opened).listing(group).models != LISTED
    assert len(asked(gateway)) == 1


def test_a_stale_list_is_better_than_none_and_says_why_it_is_stale(
    opened: Factory, group: Group, gateway: DemoGateway, naps: list[float]
) -> None:
    remember(opened, group, LISTED, age=timedelta(days=3))
    gateway.stop()

    listing = Models(opened).listing(group)

    assert listing.models == LISTED
    assert isinstance(listing.problem, GatewayError)
    with pytest.raises(GatewayError, match="it was refused"):
        Models(opened).listing(group, refresh=True)


def test_without_a_list_and_without_a_network_there_is_an_error(
    opened: Factory, group: Group, gateway: DemoGateway, naps: list[float]
) -> None:
    gateway.stop()

    with pytest.raises(GatewayError, match="no connection to"):
        Models(opened).listing(group)
    assert Models(opened).cached(group.id) == []


def test_a_key_that_is_refused_is_said_also_where_there_is_a_stale_list(
    opened: Factory, group: Group, gateway: DemoGateway
) -> None:
    remember(opened, group, LISTED, age=timedelta(days=3))
    no = json.dumps({"error": {"message": "User not found.", "code": 401}}).encode()
    gateway.answer(Answer(404, {}, []), Answer(401, {"Content-Type": "application/json"}, [no]))

    with pytest.raises(AuthenticationFailedError) as refused:
        Models(opened).listing(group)
    assert refused.value.hint == "raptchat group add-key biology --replace"
    assert refused.value.fields["group"] == "biology"


def test_a_group_without_a_key_has_no_list(factory: Factory) -> None:
    group = factory.store.groups.add("history")

    with pytest.raises(AiNotConfiguredError):
        Models(factory).listing(group)
    assert Models(factory).cached(group.id) == []
    assert Models(factory).cached("no such group") == []


def test_a_list_counts_for_no_other_credential_and_no_removed_group(opened: Factory, group: Group) -> None:
    remember(opened, group, LISTED)
    assert Models(opened).cached(group.id) == LISTED

    CredentialService(opened).create(group.id, f"{DEMO_KEY}-2", replace=True)
    assert Models(opened).cached(group.id) == []

    remember(opened, group, LISTED)
    CredentialService(opened).remove_group(group)
    assert Models(opened).cached(group.id) == []


def test_a_list_that_cannot_be_put_in_its_place_leaves_nothing_beside_it(opened: Factory, group: Group) -> None:
    place = opened.settings.paths.models_file(group.id)
    place.mkdir(parents=True)

    assert Models(opened).listing(group).models
    assert list(place.parent.iterdir()) == [place]


def test_where_the_disk_takes_no_list_it_is_shown_all_the_same(opened: Factory, group: Group) -> None:
    opened.settings.paths.models_file(group.id).parent.write_text("a file in the folder's place")

    assert Models(opened).listing(group).models
    assert Models(opened).cached(group.id) == []


def changed(path: Path, **fields: Any) -> str:
    return json.dumps({**json.loads(path.read_text()), **fields})


def test_a_file_that_cannot_be_relied_on_is_no_list(opened: Factory, group: Group) -> None:
    path = remember(opened, group, LISTED)
    whole = path.read_bytes()
    texts = [
        b"",
        b"\xff\xfe",
        whole[:-1],
        b"[" * 100_000,
        b"9" * 5000,
        b"[]",
        b"null",
        changed(path, version=2).encode(),
        changed(path, credential_id=None).encode(),
        changed(path, credential_id="another").encode(),
        changed(path, fetched_at=None).encode(),
        changed(path, fetched_at="yesterday").encode(),
        changed(path, fetched_at="2026-11-22T10:00:00").encode(),
        changed(path, models={"id": "a"}).encode(),
        changed(path, models=[3, {"id": "\x1b[2J"}]).encode(),
        whole + b" " * (8 * 1024 * 1024),
    ]
    for text in texts:
        path.write_bytes(text)
        assert Models(opened).cached(group.id) == [], text[:50]

    path.write_bytes(whole)
    assert Models(opened).cached(group.id) == LISTED


def test_a_pipe_or_a_folder_in_the_place_of_the_list_is_not_waited_for(opened: Factory, group: Group) -> None:
    path = remember(opened, group, LISTED)
    path.unlink()
    os.mkfifo(path)
    assert Models(opened).cached(group.id) == []

    path.unlink()
    path.mkdir()
    assert Models(opened).cached(group.id) == []


NAMES = ["fast", "anthropic/claude-haiku-4.5", "anthropic/claude-sonnet-5", "openai/gpt-5", "openai/gpt-5-mini"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("anthropic/claude-hiaku-4.5", ["anthropic/claude-haiku-4.5"]),
        ("claude-haiku-4.5", ["anthropic/claude-haiku-4.5"]),
        ("Haiku", ["anthropic/claude-haiku-4.5"]),
        ("anthropc/claude-sonet-5", ["anthropic/claude-sonnet-5"]),
        ("gpt5", ["openai/gpt-5"]),
        ("gpt-5", ["openai/gpt-5", "openai/gpt-5-mini"]),
        ("fsat", ["fast"]),
        ("zzzz", []),
        ("", []),
    ],
)
def test_a_misspelt_model_suggests_the_nearest(text: str, found: list[str]) -> None:
    assert nearest(NAMES, text)[: len(found)] == found
    assert bool(nearest(NAMES, text)) == bool(found)
    assert len(nearest([f"{text}{number}" for number in range(9)], text)) <= 3


def test_names_that_no_model_has_take_no_time_to_compare() -> None:
    odd = [f"author{number}/{f'm{number}' * 60}"[:200] for number in range(10_000)]

    assert nearest([*odd, "openai/gpt-5"], "openai/gtp-5" + "m5" * 90) == []
    assert nearest([*odd, "openai/gpt-5"], "openai/gtp-5") == ["openai/gpt-5"]


def test_the_nearest_are_of_the_groups_own_list_and_the_aliases(opened: Factory, group: Group, home: Path) -> None:
    (home / "config.toml").write_text('[aliases]\nblank = "demo/eye"\n')
    with Factory(Settings.load()) as reread:
        remember(reread, group, LISTED)

        assert Models(reread).nearest(group.id, "demo/blnd") == ["demo/blind", "demo/blind:free"]
        assert Models(reread).nearest(group.id, "blnak") == ["blank", "demo/blind"]
        assert Models(reread).nearest("another group", "demo/blind") == []


def test_what_a_model_is_known_not_to_take_is_refused(opened: Factory, group: Group) -> None:
    remember(opened, group, LISTED)
    models = Models(opened)

    with pytest.raises(UsageError, match="`demo/blind` takes no image files: `photo") as refused:
        models.check_attachments(group.id, "demo/blind", [NOTES, PAPER, PHOTO])
    assert refused.value.hint == "choose one that does: demo/blind:free, demo/eye, openai/eye"
    with pytest.raises(UsageError, match="`demo/eye:nitro` takes no audio files: `sound") as refused:
        models.check_attachments(group.id, "demo/eye:nitro", [PHOTO, SOUND])
    assert refused.value.hint == ""


def test_a_name_of_a_file_cannot_act_on_the_terminal(opened: Factory, group: Group) -> None:
    remember(opened, group, LISTED)
    with pytest.raises(UsageError) as refused:
        Models(opened).check_attachments(group.id, "demo/blind", [Attachment("\x1b[2J", "image/png", "0", 1)])
    assert "\x1b" not in str(refused.value)


@pytest.mark.parametrize(
    "model",
    [
        "demo/eye",
        "demo/eye:nitro",
        "demo/blind:free",
        "demo/mute",
        "demo/unheard-of",
        "openrouter/auto",
        "~demo/latest",
        "@preset/mine",
        "demo/blind@preset/mine",
    ],
)
def test_what_a_model_may_take_passes(opened: Factory, group: Group, model: str) -> None:
    remember(opened, group, LISTED)

    Models(opened).check_attachments(group.id, model, [PHOTO, PAPER, NOTES])


def test_text_and_pdf_pass_for_every_model(opened: Factory, group: Group) -> None:
    remember(opened, group, LISTED)

    Models(opened).check_attachments(group.id, "demo/blind", [PAPER, NOTES])


def test_a_stale_or_missing_list_checks_nothing(opened: Factory, group: Group, gateway: DemoGateway) -> None:
    Models(opened).check_attachments(group.id, "demo/blind", [PHOTO])
    remember(opened, group, LISTED, age=timedelta(hours=24))
    Models(opened).check_attachments(group.id, "demo/blind", [PHOTO])

    assert asked(gateway) == []


def test_an_alias_is_checked_as_what_it_stands_for(opened: Factory, group: Group, home: Path) -> None:
    (home / "config.toml").write_text('[aliases]\nmine = "demo/blind"\n')
    with Factory(Settings.load()) as reread:
        remember(reread, group, LISTED)
        with pytest.raises(UsageError, match="`mine` takes no image files"):
            Models(reread).check_attachments(group.id, "mine", [PHOTO])
