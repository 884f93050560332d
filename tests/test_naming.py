"""What a group may be called, and what a word means."""

import shlex
import unicodedata
from pathlib import Path

import pytest
from conftest import Run, rows
from hypothesis import given
from hypothesis import strategies as st

from raptchat import Factory
from raptchat.config import Settings
from raptchat.credentials import CredentialService
from raptchat.demo import DEMO_KEY
from raptchat.errors import CredentialNotFoundError, GroupNotFoundError, SessionNotFoundError, UsageError
from raptchat.naming import add_key_command, as_argument, check_name, find_credential, find_group, find_session
from raptchat.records import Group
from raptchat.store import Store
from raptchat.store.groups import name_key


@pytest.fixture
def store(factory: Factory) -> Store:
    return factory.store


def add(store: Store, *names: str) -> list[Group]:
    with store.write():
        return [store.groups.add(name) for name in names]


def change_id(store: Store, table: str, old: str, new: str) -> None:
    """Give a row an id that a test can count on."""
    store._connection.execute(f"UPDATE {table} SET id = ? WHERE id = ?", (new, old))  # noqa: S608


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("biology", "biology"),
        ("  two words\n", "two words"),
        ("cafe\u0301", "caf\u00e9"),
        ("x" * 64, "x" * 64),
        ("e\u0301" * 64, "\u00e9" * 64),
        ("\U0001f469\u200d\U0001f52c lab", "\U0001f469\u200d\U0001f52c lab"),
    ],
)
def test_a_name_is_trimmed_and_composed(text: str, name: str) -> None:
    assert check_name(text) == name


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is empty"),
        (" \n ", "is empty"),
        ("x" * 65, "has 65 characters; 64 is the most"),
        ("a\nb", r"U\+000A"),
        ("a\x1b[2Jb", r"U\+001B"),
        ("a\u202eb", r"U\+202E RIGHT-TO-LEFT OVERRIDE"),
        ("bio\u200blogy", r"U\+200B ZERO WIDTH SPACE"),
        ("a\udcffb", "not valid UTF-8"),
        ("sk-or-v1-0123456789abcdef", "looks like an API key"),
    ],
)
def test_a_name_that_cannot_be_one_says_why(text: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem) as refused:
        check_name(text)
    assert "0123456789abcdef" not in str(refused.value) + refused.value.hint
    assert str(refused.value).isprintable()


@given(st.text(st.characters(codec=None)))
def test_a_checked_name_is_its_own_name(text: str) -> None:
    try:
        name = check_name(text)
    except UsageError:
        return
    assert check_name(name) == name == unicodedata.normalize("NFC", text.strip())
    assert 1 <= len(name) <= 64
    assert name_key(name) == name_key(name.upper().lower()) or name.upper().lower() != name


def test_names_compare_without_regard_to_case_and_form(store: Store) -> None:
    [biology, street, cafe] = add(store, "Biology", "Stra\u00dfe", "Caf\u00e9")

    assert find_group(store, "  bIOLOGY ") == biology
    assert find_group(store, "STRASSE") == street
    assert find_group(store, "cafe\u0301") == cafe


def test_a_group_is_found_by_its_id_and_by_four_characters_of_it(store: Store) -> None:
    [biology] = add(store, "biology")

    for word in (biology.id, biology.id.upper(), biology.id[:4], biology.id[:20]):
        assert find_group(store, word) == biology
    with pytest.raises(GroupNotFoundError):
        find_group(store, biology.id[:3])


def test_an_exact_name_wins_over_anothers_id(store: Store) -> None:
    [biology] = add(store, "biology")
    [named] = add(store, biology.id[:6])

    assert find_group(store, biology.id[:6]) == named
    assert find_group(store, biology.id[:7]) == biology


def test_an_ambiguous_prefix_lists_what_it_could_mean(store: Store) -> None:
    groups = add(store, "one", "two")
    with store.write():
        for number, group in enumerate(groups):
            change_id(store, "groups", group.id, f"abcdef0{number}-0000-0000-0000-000000000000")

    with pytest.raises(GroupNotFoundError, match="more than one group begins with `ABCDEF`") as refused:
        find_group(store, "ABCDEF")
    assert "abcdef00-0000 (one)" in refused.value.hint
    assert "abcdef01-0000 (two)" in refused.value.hint


def test_an_unknown_group_suggests_the_nearest_names(store: Store) -> None:
    add(store, "Biology", "history")

    with pytest.raises(GroupNotFoundError, match="there is no group `biolgy`") as refused:
        find_group(store, "biolgy")
    assert refused.value.hint == "did you mean `Biology`?"
    with pytest.raises(GroupNotFoundError) as refused:
        find_group(store, "zzz")
    assert "raptchat group list" in refused.value.hint


@pytest.mark.parametrize("word", ["", "\0", "a\udcffb", "\ud800", "%", "*", "' OR 1 --", "x" * 10_000, "\x1b[2J"])
def test_an_oddly_written_word_finds_nothing_and_shows_nothing_that_acts(store: Store, word: str) -> None:
    add(store, "biology")

    for find, error in (
        (find_group, GroupNotFoundError),
        (find_credential, CredentialNotFoundError),
        (find_session, SessionNotFoundError),
    ):
        with pytest.raises(error) as refused:
            find(store, word)
        assert str(refused.value).isprintable()
        assert len(str(refused.value)) < 200


def test_a_key_in_place_of_a_group_is_not_repeated(store: Store) -> None:
    with pytest.raises(GroupNotFoundError) as refused:
        find_group(store, "sk-or-v1-0123456789abcdef")

    assert "0123456789" not in str(refused.value) + repr(refused.value.fields)


def test_credentials_and_sessions_are_found_by_the_beginning_of_their_id(factory: Factory) -> None:
    store = factory.store
    [group] = add(store, "biology")
    credential = CredentialService(factory).create(group.id, "sk-or-v1-0123456789abcdef0123")
    with store.write():
        sessions = [store.sessions.add(group.id) for _ in range(2)]
        for number, session in enumerate(sessions):
            change_id(store, "sessions", session.id, f"abcdef0{number}")

    assert find_credential(store, credential.id[:8].upper()) == credential
    assert find_session(store, "abcdef00").id == "abcdef00"
    with pytest.raises(SessionNotFoundError, match="more than one session begins with `abcde`") as refused:
        find_session(store, "abcde")
    assert "abcdef01, abcdef00" in refused.value.hint
    with pytest.raises(CredentialNotFoundError, match="there is no credential `ffff`"):
        find_credential(store, "ffff" if not credential.id.startswith("ffff") else "0000")


def test_a_name_becomes_one_word_of_a_command() -> None:
    assert as_argument("biology") == "biology"
    assert as_argument("Mary's class; rm -rf") == "'Mary'\"'\"'s class; rm -rf'"
    assert as_argument("-x y") == "-- '-x y'"


@pytest.mark.parametrize("name", ["history", "-x", "--json", "-x y", "Mary's class; rm -rf", "--replace"])
def test_the_command_that_adds_a_key_can_be_pasted_whatever_the_group_is_called(
    biology: Run, home: Path, name: str
) -> None:
    for replace in (False, True):
        _, group, add_key, *words = shlex.split(add_key_command(name, replace=replace))
        biology([group, add_key, "--stdin", *words], stdin=f"{DEMO_KEY}-{replace}")

    assert rows(
        home,
        "SELECT is_active FROM ai_credentials JOIN groups ON groups.id = group_id WHERE name = ?"
        " ORDER BY is_active",
        name,
    ) == [(0,), (1,)]


def test_settings_are_not_needed_to_find_a_group(factory: Factory) -> None:
    add(factory.store, "biology")
    with Factory(Settings.load()) as other:
        assert find_group(other.store, "biology").name == "biology"
