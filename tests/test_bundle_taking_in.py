"""A bundle in a store: the same as where it was made, all of it or nothing, and no group with another's key."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from bundles import ELSEWHERE, KEY, OTHER, THIRD, add, exported, imported, keys_of, store_in, talk
from hypothesis import given, seed, settings
from hypothesis import strategies as st
from proof import Trials, tried

from raptchat import CredentialService, Factory, SharedKeyError, UsageError
from raptchat.bundle import document
from raptchat.bundle.taking_in import Choice, TakingIn, conflicts
from raptchat.errors import DecryptionFailedError, RaptchatError, StoreBusyError
from raptchat.store.search import Query
from raptchat.vault.rotation import Rotation


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Factory]:
    """The store that a bundle is taken into."""
    with store_in(tmp_path / "here") as factory:
        yield factory


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Factory]:
    """The store that it was made of."""
    with store_in(tmp_path / "there") as factory:
        yield factory


def without_time(whole: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in whole.items() if name != "createdAt"}


def actions(factory: Factory) -> list[str]:
    return [event.action for event in reversed(factory.store.ledger.events()) if event.group_id]


def test_a_new_store_has_what_the_old_one_had(here: Factory, there: Factory) -> None:
    biology = add(
        there, "biology", OTHER, KEY, model="demo/echo", system_prompt="Be brief.", description="of cells"
    )
    CredentialService(there).create(biology.id, THIRD, replace=True, label="spring", base_url=ELSEWHERE)
    add(there, "empty")
    session = talk(there, biology, "What is osmosis?", "And in plants?")
    wanted = exported(there)

    plans = imported(here, wanted)

    assert without_time(exported(here)) == without_time(wanted)
    assert [(plan.name, plan.action, len(plan.keys), plan.sessions) for plan in plans] == [
        ("biology", "new", 3, 1),
        ("empty", "new", 0, 0),
    ]
    assert actions(here) == ["credential.import"] * 3
    # It is found by its words, and goes on where it ended.
    found = here.store.sessions.search(Query.read("osmosis")).messages
    assert [one.session_id for one in found] == [session]
    with here.store.write():
        here.store.sessions.add_message(session, "user", "more")
    assert [one.seq for one in here.store.sessions.messages(session)] == [1, 2, 3, 4, 5]
    assert here.store.sessions.messages(session)[2].attachments[0].name == "cell.png"


def test_a_key_goes_nowhere_else_than_before(
    here: Factory, there: Factory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    biology = add(there, "biology", KEY)
    imported(here, exported(there))

    service = CredentialService(here)
    credential = service.require_active(here.store.groups.require(biology.id))
    assert credential.endpoint == "https://openrouter.ai:443"
    assert service.open_key(credential).reveal() == KEY
    monkeypatch.setenv("AI_GATEWAY_URL", ELSEWHERE)
    with (
        store_in(tmp_path / "here") as elsewhere,
        pytest.raises(DecryptionFailedError, match=r"is for https://openr"),
    ):
        CredentialService(elsewhere).open_key(credential)
    # Nor does what is at another place come in as if it were for this one: exporting it opens it all the same.
    assert keys_of(here, "biology") == [(KEY, True)]


def test_a_group_that_is_skipped_stays_as_it_is(here: Factory, there: Factory) -> None:
    add(here, "biology", OTHER, model="demo/echo")
    add(there, "Biology", KEY)
    add(there, "history", THIRD)
    before = exported(here)["groups"][0]

    plans = imported(here, exported(there), Biology="skip")

    assert [(plan.name, plan.action, plan.keys == ()) for plan in plans] == [
        ("biology", "skip", True),
        ("history", "new", False),
    ]
    assert exported(here)["groups"][0] == before
    assert keys_of(here, "history") == [(THIRD, True)]


def test_a_conflict_without_a_choice_stays_out(here: Factory, there: Factory) -> None:
    add(here, "biology", OTHER)
    add(there, "biology", KEY)

    [plan] = imported(here, exported(there))

    assert plan.action == "conflict"
    assert keys_of(here, "biology") == [(OTHER, True)]


def test_a_group_that_is_replaced_loses_nothing(here: Factory, there: Factory) -> None:
    mine = add(here, "biology", OTHER, model="demo/old", description="mine", provider="openrouter")
    kept = talk(here, mine, "mine")
    theirs = add(there, "BIOLOGY", THIRD, KEY, model="demo/new", system_prompt="Be brief.")
    came = talk(there, theirs, "theirs")
    wanted = exported(there)

    [plan] = imported(here, wanted, BIOLOGY="replace")

    assert (plan.name, plan.action, plan.sessions) == ("biology", "replace", 1)
    assert sorted(keys_of(here, "biology")) == sorted([(OTHER, False), (THIRD, False), (KEY, True)])
    group = here.store.groups.require(mine.id)
    assert (group.name, group.model, group.system_prompt) == ("biology", "demo/new", "Be brief.")
    assert (group.description, group.provider) == (None, None)
    assert {one.session.id for one in here.store.sessions.listed(mine.id)} == {kept, came}
    assert actions(here)[-3:] == ["credential.import", "credential.deactivate", "credential.import"]

    # Once more: everything is here by now.
    events, [again] = len(actions(here)), imported(here, wanted, BIOLOGY="replace")
    assert [key.action for key in again.keys] == ["present", "present"]
    assert (again.sessions, len(actions(here))) == (0, events)


def test_a_key_that_is_here_and_out_of_use_is_put_in_use_again(here: Factory, there: Factory) -> None:
    add(here, "biology", KEY, OTHER)
    add(there, "biology", KEY)

    [plan] = imported(here, exported(there), biology="replace")

    assert [key.action for key in plan.keys] == ["activate"]
    assert keys_of(here, "biology") == [(KEY, True), (OTHER, False)]
    assert actions(here)[-2:] == ["credential.deactivate", "credential.activate"]


def test_the_same_key_for_another_place_is_another(here: Factory, there: Factory) -> None:
    add(here, "biology", KEY)
    group = add(there, "biology")
    CredentialService(there).create(group.id, KEY, base_url=ELSEWHERE)

    [plan] = imported(here, exported(there), biology="replace")

    assert [(key.action, key.endpoint) for key in plan.keys] == [("new", "https://gateway.example:443")]
    [credential] = [one for one in here.store.credentials.all() if one.is_active]
    assert credential.base_url == ELSEWHERE


def test_a_group_is_known_by_its_id_when_it_was_renamed(here: Factory, there: Factory) -> None:
    group = add(there, "biology", KEY)
    wanted = exported(there)
    imported(here, wanted)
    with store_in(Path(here.settings.paths.store).parent) as later:
        CredentialService(later).rename_group(later.store.groups.require(group.id), "cells")
        add(later, "biology", OTHER)
    with store_in(Path(here.settings.paths.store).parent) as later:
        bundle = document.read(json.dumps(wanted).encode())
        [conflict] = conflicts(later.store, bundle)
        [plan] = imported(later, wanted, biology="replace")

        assert (conflict.present.name, plan.name) == ("cells", "cells")
        assert keys_of(later, "cells") == [(KEY, True)]
        assert keys_of(later, "biology") == [(OTHER, True)]


def test_a_group_that_is_renamed_is_another(here: Factory, there: Factory) -> None:
    theirs = add(there, "biology", KEY)
    talk(there, theirs, "What is osmosis?")
    wanted = exported(there)
    imported(here, wanted)
    add(here, "Biology 2", OTHER)

    with pytest.raises(SharedKeyError, match="serves group `biology` already"):
        imported(here, wanted, biology="rename")
    [plan] = imported(here, wanted, biology="rename", allow_shared=True)

    assert plan.name == "biology 3"
    assert keys_of(here, "biology") == keys_of(here, "biology 3") == [(KEY, True)]
    groups = {one["name"]: one for one in exported(here)["groups"]}
    assert groups["biology"]["id"] == theirs.id
    for things in ("credentials", "sessions"):
        [first], [second] = groups["biology"][things], groups["biology 3"][things]
        assert first.pop("id") != second.pop("id")
        assert first == second


def test_a_name_stays_within_its_length_when_it_is_changed(here: Factory, there: Factory) -> None:
    add(here, "b" * 64)
    add(there, "b" * 64)

    choices: dict[str, Choice] = {"b" * 64: "rename"}
    [plan] = imported(here, exported(there), allow_shared=False, **choices)

    assert plan.name == "b" * 62 + " 2"


@pytest.mark.parametrize("choice", ["skip", "replace"])
def test_a_key_of_another_group_is_refused(here: Factory, there: Factory, choice: Choice) -> None:
    add(here, "history", KEY)
    add(here, "biology", OTHER)
    add(there, "biology", KEY)
    wanted, before = exported(there), exported(here)["groups"]

    if choice == "skip":
        imported(here, wanted, biology="skip")
        return
    with pytest.raises(SharedKeyError, match="serves group `history` already") as refused:
        imported(here, wanted, biology="replace")
    assert KEY not in f"{refused.value}{refused.value.hint}{refused.value.fields}"
    assert exported(here)["groups"] == before
    imported(here, wanted, biology="replace", allow_shared=True)
    assert keys_of(here, "biology") == [(OTHER, False), (KEY, True)]


def test_one_key_in_two_groups_of_a_bundle_is_refused(here: Factory, there: Factory) -> None:
    add(there, "biology", KEY)
    add(there, "history", KEY)
    wanted = exported(there)

    with pytest.raises(SharedKeyError, match="of the bundle's group `history` serves group `biology` already"):
        imported(here, wanted)
    assert exported(here)["groups"] == []
    imported(here, wanted, allow_shared=True)
    assert keys_of(here, "history") == keys_of(here, "biology")


def test_ids_that_are_taken_are_not_taken_over(here: Factory, there: Factory) -> None:
    mine, theirs = add(here, "biology", KEY), add(there, "history", OTHER)
    session = talk(here, mine, "mine")
    talk(there, theirs, "theirs")
    wanted, before = exported(there), exported(here)["groups"][0]
    wanted["groups"][0]["credentials"][0]["id"] = before["credentials"][0]["id"]
    wanted["groups"][0]["sessions"][0]["id"] = session

    imported(here, wanted)

    assert exported(here)["groups"][0] == before
    assert keys_of(here, "history") == [(OTHER, True)]
    assert len(here.store.sessions.listed()) == 2


def test_a_name_that_begins_the_id_of_another_group_is_refused(here: Factory, there: Factory) -> None:
    mine = add(here, "biology", KEY)
    add(there, "history")
    wanted = exported(there)
    for name in (mine.id[:8], mine.id.upper(), mine.id[:4]):
        wanted["groups"][0]["name"] = name
        with pytest.raises(UsageError, match=f"as the id of another group begins: `{mine.id}`"):
            imported(here, wanted)
    wanted["groups"][0]["name"] = mine.id[:3]
    imported(here, wanted)


def test_a_name_that_begins_an_id_of_the_bundle_is_refused(here: Factory, there: Factory) -> None:
    first = add(there, "biology")
    add(there, first.id[:6])

    with pytest.raises(UsageError, match=f"as the id of another group begins: `{first.id}`"):
        imported(here, exported(there))


def test_two_groups_do_not_replace_one(here: Factory, there: Factory) -> None:
    mine = add(here, "biology", OTHER)
    add(there, "history")
    add(there, "biology")
    wanted = exported(there)
    wanted["groups"][1]["id"] = mine.id

    with pytest.raises(UsageError, match="two groups of the bundle would replace `biology`"):
        imported(here, wanted, biology="replace", history="replace")


def test_what_was_changed_meanwhile_is_not_carried_out(here: Factory, there: Factory, tmp_path: Path) -> None:
    add(there, "biology", KEY)
    bundle = document.read(json.dumps(exported(there)).encode())
    taking = TakingIn(here, bundle, {}, here.vault.data_key())
    plans = taking.plan()
    with store_in(tmp_path / "here") as other:
        add(other, "Biology", OTHER)

    with pytest.raises(StoreBusyError, match="changed meanwhile"):
        taking.carry_out(plans)
    assert keys_of(here, "Biology") == [(OTHER, True)]


def test_a_vault_that_was_rotated_meanwhile_seals_with_its_new_key(
    here: Factory, there: Factory, tmp_path: Path
) -> None:
    add(there, "biology", KEY)
    bundle = document.read(json.dumps(exported(there)).encode())
    taking = TakingIn(here, bundle, {}, here.vault.data_key())
    plans = taking.plan()
    with store_in(tmp_path / "here") as other:
        CredentialService(other).rotate_vault()

    taking.carry_out(plans)

    assert keys_of(here, "biology") == [(KEY, True)]
    with store_in(tmp_path / "there") as other:
        CredentialService(other).rotate_vault()
    assert keys_of(there, "biology") == [(KEY, True)]


@pytest.mark.parametrize(
    ("table", "rows"),
    [
        *(("groups", 0), ("groups", 1), ("ai_credentials", 1), ("sessions", 1)),
        *(("messages", 3), ("message_attachments", 1), ("events", 1), ("events", 2)),
    ],
)
def test_an_import_that_fails_on_the_way_leaves_nothing(
    here: Factory, there: Factory, tmp_path: Path, table: str, rows: int
) -> None:
    for name, key in {"biology": KEY, "history": OTHER}.items():
        talk(there, add(there, name, key), "What is osmosis?")
    wanted, before = exported(there), (tmp_path / "here" / "raptchat.db").read_bytes()
    here.store.ledger._db.execute(
        f"CREATE TEMP TRIGGER refuse BEFORE INSERT ON main.{table} WHEN"  # noqa: S608 - a table of the list
        f" (SELECT count(*) FROM main.{table}) = {rows} BEGIN SELECT RAISE(ABORT, 'no'); END"
    )

    with pytest.raises(RaptchatError):
        imported(here, wanted)
    here.close()

    with closing(sqlite3.connect(tmp_path / "here" / "raptchat.db")) as db:
        assert db.execute("SELECT count(*) FROM groups").fetchone() == (0,)
    assert (tmp_path / "here" / "raptchat.db").read_bytes() == before


NAMES = st.text(
    st.characters(codec="utf-8", categories=["L", "N", "P", "S"], exclude_characters="\u2800"),
    min_size=1,
    max_size=12,
)
TEXTS = st.none() | st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)
KEYS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)
GROUPS = st.lists(
    st.tuples(
        NAMES, st.lists(KEYS, max_size=3), TEXTS, st.lists(st.text(st.characters(codec="utf-8")), max_size=2)
    ),
    max_size=3,
)


@tried("bundles there and back", commit=12, deep=1000)
def test_any_store_comes_back_as_it_was(trials: Trials, tmp_path: Path) -> None:
    for first, count in trials.batches(12):

        @seed(first)
        @settings(max_examples=count, deadline=None, database=None)
        @given(GROUPS)
        def there_and_back(groups: list[tuple[str, list[str], str | None, list[str]]]) -> None:
            with (
                TemporaryDirectory(dir=tmp_path) as folder,
                store_in(Path(folder) / "there") as there,
                store_in(Path(folder) / "here") as here,
            ):
                for name, keys, text, questions in groups:
                    try:
                        group = add(there, name, *keys, **({"system_prompt": text} if text else {}))
                    except RaptchatError:  # a name that is taken
                        continue
                    talk(there, group, *questions, title=text or "Cells")
                try:
                    wanted = exported(there)
                    imported(here, wanted, allow_shared=True)
                except UsageError:  # a name that none can have, or that looks like a key
                    trials.count(refused=1)
                    return
                assert without_time(exported(here)) == without_time(wanted)
                trials.count(came_back=1)

        there_and_back()


@pytest.mark.parametrize("times", [1, 100])
def test_a_vault_that_is_rotated_meanwhile_is_taken_out_whole(there: Factory, tmp_path: Path, times: int) -> None:
    add(there, "biology", KEY)
    add(there, "history", OTHER)
    connection = there.store._connection.raw
    rotated: list[Rotation] = []
    with store_in(tmp_path / "there") as other:

        def rotate(statement: str) -> None:
            if statement == "BEGIN" and len(rotated) < times:
                connection.set_trace_callback(None)
                rotated.append(CredentialService(other).rotate_vault())
                connection.set_trace_callback(rotate)

        connection.set_trace_callback(rotate)
        if times == 1:
            assert [keys_of(there, name) for name in ("biology", "history")] == [[(KEY, True)], [(OTHER, True)]]
            assert len(rotated) == 1
        else:
            with pytest.raises(StoreBusyError, match="again and again"):
                exported(there)
        connection.set_trace_callback(None)


def test_what_a_row_says_is_taken_out_only_as_it_was_sealed(there: Factory) -> None:
    add(there, "biology", KEY)
    add(there, "history", OTHER)
    first, second = there.store.credentials.all()
    there.store.credentials.reseal(first._replace(encrypted_key=second.encrypted_key, nonce=second.nonce))

    with pytest.raises(DecryptionFailedError, match="was altered, moved or damaged"):
        exported(there)
