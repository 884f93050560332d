"""The blocks of what a model thought, put together so that the gateway takes them back."""

import itertools
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from raptchat.providers.reasoning import ReasoningDetails


def put_together(*chunks: object) -> list[dict[str, Any]] | None:
    details = ReasoningDetails()
    for chunk in chunks:
        details.add(chunk)
    whole = details.as_json()
    return None if whole is None else json.loads(whole)


def text(piece: str | None, index: int = 0, **fields: object) -> dict[str, object]:
    return {"type": "reasoning.text", "text": piece, "format": "anthropic-claude-v1", "index": index, **fields}


def test_fragments_become_one_block_and_the_signature_comes_with_the_last_of_them() -> None:
    assert put_together(
        [text("Let ", id=None, signature=None)],
        [text("me see", id="rs_1")],
        [{"type": "reasoning.text", "signature": "abc", "format": None, "index": 0}],
    ) == [
        {
            "type": "reasoning.text",
            "text": "Let me see",
            "format": "anthropic-claude-v1",
            "index": 0,
            "id": "rs_1",
            "signature": "abc",
        }
    ]


def test_blocks_stay_apart_by_index_and_type_in_the_order_of_their_beginnings() -> None:
    blocks = put_together(
        [text("b", 1), {"type": "reasoning.encrypted", "data": "AA", "index": 1}],
        [text("a", 0), {"type": "reasoning.encrypted", "data": "BB", "index": 1}],
        [text("c", 1)],
    )

    assert blocks is not None
    assert [(one["type"], one["index"], one.get("text") or one.get("data")) for one in blocks] == [
        ("reasoning.text", 1, "bc"),
        ("reasoning.encrypted", 1, "AABB"),
        ("reasoning.text", 0, "a"),
    ]


def test_what_is_not_understood_stays_as_it_came() -> None:
    odd: list[object] = [{"type": "reasoning.future", "payload": {"a": [1, None]}}, {"type": 7}, {"text": "loose"}]

    assert put_together(odd) == odd
    assert put_together(None, "text", 7, {"a": 1}, [None, "x", []]) is None


def test_a_block_whose_text_is_none_at_first_takes_the_text_that_comes() -> None:
    assert put_together([text(None)], [text("now")]) == [text("now")]


def test_a_person_reads_texts_and_summaries_and_never_data_or_signatures() -> None:
    details = ReasoningDetails()
    read = details.add(
        [
            text("one "),
            {"type": "reasoning.summary", "summary": "two", "index": 1},
            {"type": "reasoning.encrypted", "data": "SECRET", "index": 2, "signature": "no"},
        ]
    )

    assert read == "one two"


@given(st.text(), st.lists(st.integers(0, 50), max_size=5))
def test_however_a_text_is_cut_into_fragments_the_block_is_the_same(words: str, cuts: list[int]) -> None:
    marks = [0, *sorted(cuts), len(words)]
    pieces = [words[start:end] for start, end in itertools.pairwise(marks)]

    assert put_together(*([text(piece)] for piece in pieces)) == [text(words)]
