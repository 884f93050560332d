"""The search: what a person types finds what a person means, and nothing of it is syntax by accident."""

import io
import random
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from screen import shown
from test_terminal_safety import PAYLOADS, acting, hostile

from raptchat.errors import StoreError
from raptchat.records import FoundMessage, Session, State
from raptchat.render import Terminal, search_results
from raptchat.store import Store, search
from raptchat.store.search import Query


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    with closing(Store.open(home / "raptchat.db")) as opened:
        yield opened


@pytest.fixture
def session(store: Store) -> Session:
    with store.write():
        return store.sessions.add(store.groups.add("biology").id, title="Cells")


def says(store: Store, session: Session, *texts: str) -> None:
    with store.write():
        for text in texts:
            store.sessions.add_message(session.id, "user", text)


def find(store: Store, text: str, *, limit: int = -1, group_ids: list[str] | None = None) -> list[FoundMessage]:
    return store.sessions.search(Query.read(text), group_ids=group_ids, limit=limit).messages


def numbers(store: Store, text: str) -> list[int]:
    """The `seq` of what is found."""
    return [one.seq for one in find(store, text)]


def marked(found: FoundMessage) -> str:
    """The excerpt with its hits in brackets."""
    return "".join(f"[{piece}]" if number % 2 else piece for number, piece in enumerate(found.excerpt))


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("osmosis", [3, 1]),
        ("OSMOSIS", [3, 1]),
        ("osmosis water", [1]),
        ("water osmosis", [1]),
        ('"osmosis moves"', [1]),
        ('"moves osmosis"', []),
        ("osm", []),
        ("osm*", [3, 1]),
        ('"osmosis mov"*', [1]),
        ('"osmosis moves', [1]),
        ("cafe", [2]),
        ("CAFÉ", [2]),
        ("cafe\u0301", [2]),
        ("strasse", []),
        ("don't", [4]),
        ("don\u2019t", [4]),
        ("osmosis OR café", []),
        ("C++", [5]),
        ("ostrogoths", []),
    ],
)
def test_words_phrases_and_prefixes_are_found(
    store: Store, session: Session, wanted: str, found: list[int]
) -> None:
    says(
        store,
        session,
        "Osmosis moves water.",
        "Un café à Straße",
        "What is osmosis?",
        "I don't know",
        "In C++ or C",
    )

    assert numbers(store, wanted) == found


@pytest.mark.parametrize(
    ("wanted", "excerpt"),
    [
        ("浸透", "水の動きは[浸透]と呼ばれる"),
        ("動き", "水の[動き]は浸透と呼ばれる"),
        ("動き*", "水の[動き]は浸透と呼ばれる"),
        ("학교", "나는 [학교]에서 배웠다"),
        ("ไทย", "ภาษา[ไทย]ไม่เว้นวรรค"),
        ("🧬", "the [🧬] of life"),
        ("👩‍🔬", "a [👩‍🔬] at work"),
        ("???", "what[???]"),
        ("***", "a [***] b"),
        ("life 🧬", "the [🧬] of [life]"),
        ("rna価格", "the [RNA価格] list"),
    ],
)
def test_what_has_no_words_is_found_as_it_stands(
    store: Store, session: Session, wanted: str, excerpt: str
) -> None:
    says(
        store,
        session,
        "水の動きは浸透と呼ばれる",
        "나는 학교에서 배웠다",
        "ภาษาไทยไม่เว้นวรรค",
        "the 🧬 of life",
        "a 👩‍🔬 at work",
        "what???",
        "a *** b",
        "the RNA価格 list",
    )

    assert [marked(one) for one in find(store, wanted)] == [excerpt]


SYNTAX = [
    "AND",
    "a AND",
    "OR OR",
    "NOT a",
    "NEAR(a b, 3)",
    "content:a",
    "content : a",
    "-a",
    "^a",
    "a ^ b",
    "{a b}: c",
    "(a",
    "a)",
    "+a + b",
    "a, b",
    '"',
    '""',
    '"a',
    'a"b"c',
    '"a""b"',
    '"a"*"b"*',
    "*",
    "**a**",
    "a'; DROP TABLE messages; --",
    "%_",
    "\\",
    "a\0b",
    "\ufdd0a\ufdd1",
    "e\u0301",
    "x" * 10_000,
    "x " * 5_000,
    "é水🧬- " * 2_000,
    " ".join(f"word{number}" for number in range(1_500)),
    " ".join(f"字{number}" for number in range(1_500)),
]


@pytest.mark.parametrize("text", SYNTAX, ids=lambda text: ascii(text[:20]))
def test_nothing_that_is_typed_is_syntax(store: Store, session: Session, text: str) -> None:
    says(store, session, text.replace("\0", " "), "something else")
    query = Query.read(text)

    found = [one.seq for one in store.sessions.search(query).messages] if query else []

    assert found == ([1] if query else [])


@pytest.mark.parametrize("text", ["", " ", "\t\n", '"', '""', '" "', '"" ""', "\0"])
def test_nothing_is_searched_for_where_nothing_is_said(text: str) -> None:
    assert not Query.read(text)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_any_text_can_be_searched_for(store: Store, session: Session, text: str) -> None:
    if query := Query.read(text):
        store.sessions.search(query, limit=1)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=80)
@given(
    words=st.lists(st.text("abcdefXYZ0189äßçñ水字🧬+#", min_size=1, max_size=8), min_size=1, max_size=4),
    around=st.text(max_size=300).filter(lambda text: text.isprintable()),
)
def test_a_message_is_found_by_its_own_words(
    store: Store, session: Session, words: list[str], around: str
) -> None:
    text = f"{around} {' '.join(words)} {around}"
    says(store, session, text)

    [newest] = find(store, " ".join(reversed(words)), limit=1)

    assert newest.seq == store.sessions.messages(session.id)[-1].seq
    assert len("".join(newest.excerpt)) <= 330
    assert len(newest.excerpt) >= 2


def test_the_excerpt_is_around_the_first_hit_on_one_line(store: Store, session: Session) -> None:
    says(store, session, "before " * 100 + "the\n\n\tneedle\r\nin it " + "behind " * 100)

    [found] = find(store, "needle")

    shown = marked(found)
    assert shown.startswith("…")
    assert shown.endswith("…")
    assert "before the [needle] in it behind" in shown
    assert len(shown) < 300
    assert (found.title, found.group_name, found.seq, found.role) == ("Cells", "biology", 1, "user")


@pytest.mark.parametrize("text", ["水" * 5_000, "x" * 5_000, f'"{"long phrase " * 500}"'])
def test_a_hit_that_is_longer_than_an_excerpt_is_cut(store: Store, session: Session, text: str) -> None:
    says(store, session, text.strip('"'))

    [found] = find(store, text)

    assert found.excerpt[0] == ""
    assert found.excerpt[1].endswith("…")
    assert len("".join(found.excerpt)) <= 210


def test_the_newest_come_first_and_no_more_than_asked_for(store: Store, session: Session) -> None:
    with store.write():
        other = store.sessions.add(session.group_id)
    for number in range(5):
        says(store, session if number % 2 else other, f"osmosis {number}")

    assert [one.excerpt[-1] for one in find(store, "osmosis", limit=3)] == [" 4", " 3", " 2"]
    says(store, session, "水 1", "水 2")
    assert [one.excerpt[-1] for one in find(store, "水", limit=1)] == [" 2"]


@pytest.mark.parametrize("wanted", ["osmosis", "水", "osmosis 水"])
def test_only_the_groups_asked_for_are_searched(store: Store, session: Session, wanted: str) -> None:
    with store.write():
        theirs = store.sessions.add(store.groups.add("history").id)
        third = store.sessions.add(store.groups.add("art").id)
    for each in (session, theirs, third):
        says(store, each, "osmosis 水")

    assert {one.group_name for one in find(store, wanted)} == {"biology", "history", "art"}
    assert [one.group_id for one in find(store, wanted, group_ids=[session.group_id])] == [session.group_id]
    both = find(store, wanted, group_ids=[session.group_id, theirs.group_id])
    assert {one.session_id for one in both} == {session.id, theirs.id}
    assert find(store, wanted, group_ids=[]) == []


def test_what_changes_or_goes_is_not_found_any_more(store: Store, session: Session) -> None:
    says(store, session, "first", "second", "third")
    with store.write():
        second = store.sessions.message_id(session.id, 2)
        assert second is not None
        store.sessions.update_message(second, content="changed", state="complete", model=None)
        store.sessions.remove_messages(session.id, since=3)

    assert [numbers(store, word) for word in ("first", "second", "changed", "third")] == [[1], [], [2], []]
    with store.write():
        store.sessions.remove(session.id)
    assert [numbers(store, word) for word in ("first", "changed")] == [[], []]


def test_a_group_that_goes_takes_its_words_along(store: Store, session: Session) -> None:
    says(store, session, "osmosis 水")
    with store.write():
        store.groups.remove(session.group_id)

    assert find(store, "osmosis") == find(store, "水") == []


def test_a_search_sorts_nothing_and_reads_no_other_table_through(
    store: Store, session: Session, home: Path
) -> None:
    says(store, session, *["osmosis 水"] * 300)
    for wanted, reads in (("osmosis", "SCAN messages_fts VIRTUAL TABLE INDEX"), ("水", "SCAN messages")):
        statements: list[str] = []
        connection = store.sessions._db.raw
        connection.set_trace_callback(statements.append)
        find(store, wanted, limit=5)
        connection.set_trace_callback(None)
        # FTS5 asks its own tables, in statements that begin with two dashes.
        *_, statement = (one for one in statements if not one.startswith("--"))
        with closing(sqlite3.connect(home / "raptchat.db")) as db:
            plan = [step for *_, step in db.execute(f"EXPLAIN QUERY PLAN {statement}")]

        assert plan[0].startswith(reads)
        assert not [step for step in plan if "B-TREE FOR ORDER BY" in step]
        assert len([step for step in plan if step.startswith("SCAN") and "json_each" not in step]) == 1


def test_the_best_is_what_says_it_most_and_little_else(store: Store, session: Session) -> None:
    long = "about many other things " * 50
    says(store, session, "osmosis osmosis osmosis", f"{long} osmosis", "osmosis and osmosis", f"water {long}")

    best = store.sessions.search(Query.read("osmosis"), best=True)

    assert [one.seq for one in best.messages] == [1, 3, 2]
    assert best.is_all
    assert marked(best.messages[0]) == "[osmosis] [osmosis] [osmosis]"
    assert [one.seq for one in store.sessions.search(Query.read("osmosis"), best=True, limit=1).messages] == [1]
    assert store.sessions.search(Query.read("ostrogoths"), best=True).messages == []


def test_of_what_has_no_words_the_newest_is_the_best(store: Store, session: Session) -> None:
    says(store, session, "水水水", "水")

    assert [one.seq for one in store.sessions.search(Query.read("水"), best=True).messages] == [2, 1]


@pytest.mark.parametrize("text", ["水", "osmosis 水"])
def test_what_has_no_index_is_looked_for_in_the_newest_and_says_so(
    store: Store, session: Session, text: str
) -> None:
    says(store, session, "osmosis 水", *["osmosis"] * 5)
    db = store.sessions._db

    def found(**more: Any) -> tuple[list[int], bool]:
        result = search.find(db, Query.read(text), **more)
        return [one.seq for one in result.messages], result.is_all

    assert found(candidates=5) == ([], False)
    assert found(candidates=6) == ([1], True)
    assert found(candidates=5, everything=True) == ([1], True)
    # A group that has not more is looked through wherever its messages are.
    assert found(candidates=7, group_ids=[session.group_id]) == ([1], True)
    assert found(candidates=5, group_ids=[session.group_id]) == ([], False)


def test_the_best_are_the_best_of_the_newest(store: Store, session: Session) -> None:
    says(store, session, "osmosis", *["osmosis, and so on, and so on"] * 3)
    db, query = store.sessions._db, Query.read("osmosis")

    few = search.find(db, query, best=True, candidates=3)

    assert ([one.seq for one in few.messages], few.is_all) == ([4, 3, 2], False)
    everything = search.find(db, query, best=True, candidates=3, everything=True)
    assert (everything.messages[0].seq, everything.is_all) == (1, True)


@pytest.mark.parametrize("candidates", [1, 1_000])
@pytest.mark.parametrize("text", ["common", "水", "common 水"])
@pytest.mark.parametrize("first", ["newest", "best"])
def test_in_one_group_every_hit_is_found_however_many_others_have(
    store: Store, session: Session, text: str, candidates: int, first: str
) -> None:
    with store.write():
        other = store.sessions.add(store.groups.add("history").id)
    says(store, session, "common 水")
    says(store, other, *["common 水"] * 20)

    result = search.find(
        store.sessions._db,
        Query.read(text),
        group_ids=[session.group_id],
        best=first == "best",
        candidates=candidates,
        everything=candidates == 1,
    )

    assert [one.session_id for one in result.messages] == [session.id]
    assert result.is_all


WORDS, SIGNS = ("cell", "cells", "wall", "water", "it"), ("水", "細胞", "++", "&&")
STATES: tuple[State, ...] = get_args(State)


def holds(text: str, term: str) -> bool:
    """Whether *text*, of words and signs with spaces between, has *term*, without an index."""
    if term in SIGNS:
        return term in text
    words = " ".join(word for word in text.split() if word not in {"++", "&&"})  # which separate words, as a space
    wanted = re.escape(term.strip('"')).replace(r"\*", r"\S*")
    return re.search(rf"(?<!\S){wanted}(?!\S)", words) is not None


@pytest.mark.parametrize("seed", range(4))
def test_a_search_finds_what_reading_every_message_finds(store: Store, seed: int) -> None:
    chance = random.Random(seed)

    def text(number: int) -> str:
        return " ".join([*chance.choices([*WORDS, *SIGNS], k=chance.randrange(6)), f"number{number}"])

    said: dict[int, tuple[str, str]] = {}
    with store.write():
        groups = [store.groups.add(name).id for name in ("biology", "history", "art")]
        sessions = [store.sessions.add(chance.choice(groups)) for _ in range(6)]
        for number in range(50):
            session, content = chance.choice(sessions), text(number)
            said[store.sessions.add_message(session.id, "user", content)] = (session.group_id, content)
        for number, message in enumerate(chance.sample(list(said), k=10)):
            said[message] = (said[message][0], text(100 + number))
            store.sessions.update_message(
                message, content=said[message][1], state=chance.choice(STATES), model=None
            )
        store.sessions.remove(sessions[0].id)
    newest = [said[one] for one in sorted(said, reverse=True) if store.sessions.has_message(one)]
    for _ in range(80):
        terms = chance.choices([*WORDS, *SIGNS, "ce*", "wa*", '"cell wall"'], k=chance.randrange(1, 4))
        group_ids = chance.choice([None, chance.sample(groups, k=chance.randrange(3))])
        best, everything = chance.random() < 0.4, chance.random() < 0.3
        candidates, limit = chance.choice([1, 5, 20, 100]), chance.choice([-1, 2, 100])
        signs, words = (set(terms) & set(SIGNS), set(terms) - set(SIGNS))
        few = group_ids is not None and sum(group in group_ids for group, _ in newest) < candidates
        possible = [one for one in newest if all(holds(one[1], word) for word in words)]
        bounded = (signs or (best and words)) and not few and not everything
        expected = [
            said
            for group, said in (possible[:candidates] if bounded else possible)
            if (group_ids is None or group in group_ids) and all(sign in said for sign in signs)
        ]

        result = search.find(
            store.sessions._db,
            Query.read(" ".join(terms)),
            group_ids=group_ids,
            limit=limit,
            best=best,
            everything=everything,
            candidates=candidates,
        )

        found = ["".join(one.excerpt) for one in result.messages]
        assert result.is_all == (not bounded or len(possible) <= candidates)
        if best and words:
            assert set(found) <= set(expected)
            assert len(found) == len(expected[: limit if limit > 0 else None])
        else:
            assert found == expected[: limit if limit > 0 else None]


def test_an_index_that_a_flipped_bit_reached_is_a_damaged_store(
    store: Store, session: Session, home: Path
) -> None:
    says(store, session, "osmosis " * 50)
    with closing(sqlite3.connect(home / "raptchat.db")) as db, db:
        db.execute("UPDATE messages_fts_data SET block = x'00ff00ff00ff' WHERE id > 10")

    with pytest.raises(StoreError, match="damaged"):
        find(store, "osmosis")


@pytest.mark.parametrize("seed", range(6))
def test_of_what_is_removed_no_word_stays_in_the_file(
    store: Store, session: Session, home: Path, seed: int
) -> None:
    chance = random.Random(seed)

    def letters(count: int) -> str:
        return "".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=count))

    # How the words of each session end: of a word the index keeps what the one before it has not.
    ends = {}
    with store.write():
        for _ in range(8):
            ends[store.sessions.add(session.group_id).id] = letters(10)
    for session_id in [*ends, *chance.choices(list(ends), k=50)]:
        text = " ".join(letters(6) + ends[session_id] for _ in range(chance.choice([1, 5, 40, 900])))
        with store.write():
            reply = store.sessions.add_message(session_id, "assistant", text[: len(text) // 2], state="incomplete")
        with store.write():  # as a reply that is saved while it arrives
            store.sessions.update_message(reply, content=text, state="complete", model=None)
    gone = []
    for number, session_id in enumerate(list(ends)[:6]):
        with store.write():
            if number % 2:
                store.sessions.remove(session_id)
            else:
                store.sessions.remove_messages(session_id, since=1)
        store.sessions.scrub()
        gone.append(ends.pop(session_id))
        file = (home / "raptchat.db").read_bytes()
        assert [end in file for end in map(str.encode, gone)] == [False] * len(gone)
        assert [end in file for end in map(str.encode, ends.values())] == [True] * len(ends)

    with closing(sqlite3.connect(home / "raptchat.db")) as db:
        db.execute("INSERT INTO messages_fts (messages_fts) VALUES ('integrity-check')")


@pytest.mark.parametrize("is_tty", [True, False])
def test_nothing_of_what_was_found_acts_on_a_terminal(is_tty: bool) -> None:  # noqa: FBT001 - a parameter of pytest
    terminal = Terminal.recorded(is_tty=is_tty)
    texts = [*PAYLOADS, *hostile(300)]
    search_results.show(
        terminal, [FoundMessage(text, "g", text, text, 1, "user", text, (text, text, text)) for text in texts]
    )

    assert isinstance(terminal.out, io.StringIO)
    assert acting(terminal.out.getvalue()) == []


def test_a_search_is_shown_in_lines_that_fit(store: Store, session: Session) -> None:
    with store.write():
        store.sessions.set(session.id, title="A very long title " * 8)
    says(store, session, "osmosis " + "and so on " * 30)
    terminal = Terminal.recorded(is_tty=True, width=70)
    search_results.show(terminal, find(store, "osmosis"))

    assert isinstance(terminal.out, io.StringIO)
    lines = shown(terminal.out.getvalue(), width=70)
    assert re.fullmatch(rf"{session.id[:8]}  biology  1\. user  [-0-9: ]+  A very long title.*…", lines[0])
    assert lines[1].startswith("    osmosis and so on")
    assert all(line.startswith("    ") for line in lines[1:])
    assert "\x1b[1;33mosmosis\x1b[0m" in terminal.out.getvalue()
