"""The stream parser: the standard's rules, any cut into pieces, junk, and limits."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raptchat.errors import InvalidResponseError
from raptchat.providers.sse import Comment, Decoder, Event


def decode(*pieces: bytes, max_event_bytes: int = 1 << 20) -> list[Event | Comment]:
    decoder = Decoder(max_event_bytes=max_event_bytes)
    found = [event for piece in pieces for event in decoder.feed(piece)]
    return found + decoder.close()


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: a\n\n", [Event("a")]),
        (b"data:a\n\n", [Event("a")]),
        (b"data:  a\n\n", [Event(" a")]),
        (b"data: a\r\n\r\n", [Event("a")]),
        (b"data: a\r\r", [Event("a")]),
        (b"data: a\n\r\n", [Event("a")]),
        (b"data: a\rdata: b\n\r\n", [Event("a\nb")]),
        (b"data: a\ndata: b\n\n", [Event("a\nb")]),
        (b"data\n\n", [Event("")]),
        (b"data:\n\ndata\ndata\n\ndata:", [Event(""), Event("\n")]),
        (b"event: ping\n\ndata: a\n\n", [Event("a")]),
        (b"event: error\ndata: a\n\ndata: b\n\n", [Event("a", "error"), Event("b")]),
        (b"event: one\nevent: two\ndata: a\n\n", [Event("a", "two")]),
        (b"id: 1\nretry: 10\nunknown: x\nnothing\ndata: a\n\n", [Event("a")]),
        (b": hello\n\ndata: a\n\n", [Comment("hello"), Event("a")]),
        (b":\ndata: a\n\n", [Comment(""), Event("a")]),
        (b"data: a\n: between\ndata: b\n\n", [Comment("between"), Event("a\nb")]),
        (b"data: a: b\n\n", [Event("a: b")]),
        (b"\xef\xbb\xbfdata: a\n\n", [Event("a")]),
        (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\ndata: b\n\n", [Event("b")]),
        (b"data: \xff\xfe\n\n", [Event("\ufffd\ufffd")]),
        (b"data: \xe2\x82\n\n", [Event("\ufffd")]),
        ("data: a\u2028b\u2029c\u0085d\x0b\x0c\x1c\n\n".encode(), [Event("a\u2028b\u2029c\u0085d\x0b\x0c\x1c")]),
        (b"\n\n\n\ndata: a\n\n\n\n", [Event("a")]),
        (b"Data: a\n\n data: b\n\n", []),
        (b"", []),
        (b"\xef\xbb", []),
    ],
)
def test_a_stream_is_read_by_the_standard(stream: bytes, events: list[Event | Comment]) -> None:
    assert decode(stream) == events
    assert decode(*(stream[at : at + 1] for at in range(len(stream)))) == events


@pytest.mark.parametrize(
    ("end", "events"),
    [
        (b'data: {"a": 1}\n', [Event('{"a": 1}')]),
        (b'data: {"a": 1}', [Event('{"a": 1}')]),
        (b"data: [DONE]", [Event("[DONE]")]),
        (b"data: [DONE] \n", [Event("[DONE] ")]),
        (b'data: {"a": \ndata: 1}', [Event('{"a": \n1}')]),
        (b'event: error\ndata: {"a": 1}', [Event('{"a": 1}', "error")]),
        (b'data: {"a": 1', []),
        (b"data: 1", []),
        (b"data: text", []),
        (b"data: " + b"[" * 100_000, []),
        (b": bye", [Comment("bye")]),
    ],
)
def test_the_end_completes_only_what_is_whole_by_itself(end: bytes, events: list[Event | Comment]) -> None:
    assert decode(b"data: first\n\n" + end) == [Event("first"), *events]


LINES = st.sampled_from(
    [
        b"data: a",
        b"data:",
        b"data",
        b'data: {"x": "\xe2\x80\xa8"}',
        b": c",
        b"event: error",
        b"id: 1",
        b"",
        b"\xff",
    ]
)
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r", b"\n\n", b"\r\n\r\n", b"\r\r"])
TRANSCRIPTS = st.one_of(
    st.lists(st.tuples(LINES, ENDS)).map(lambda lines: b"".join(line + end for line, end in lines)),
    st.lists(st.sampled_from([b"data", b":", b" ", b"\r", b"\n", b"\xef", b"\xbb", b"\xbf", b"\xe2", b"{}"])).map(
        b"".join
    ),
    st.binary(max_size=200),
)


@settings(max_examples=1000, deadline=None)
@given(stream=TRANSCRIPTS, data=st.data())
def test_the_events_are_the_same_however_the_stream_is_cut(stream: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]

    assert decode(*pieces) == decode(stream)


@settings(max_examples=600, deadline=None)
@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=40), max_size=8),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.integers(1, 7),
)
def test_what_was_written_as_events_is_read_back(texts: list[str], end: str, size: int) -> None:
    lines = [[f"data: {line}" for line in text.split("\n")] for text in texts]
    stream = "".join(end.join(event) + end + end for event in lines).encode()
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]

    assert decode(*pieces) == [Event(text) for text in texts]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.binary(max_size=60)), st.integers(1, 50))
def test_junk_is_read_or_refused_as_too_large(pieces: list[bytes], limit: int) -> None:
    try:
        events = decode(*pieces, max_event_bytes=limit)
    except InvalidResponseError:
        assert sum(map(len, pieces)) > limit
    else:
        assert all(len(event[0].encode()) <= 3 * limit for event in events)


def test_a_long_line_in_small_pieces_takes_time_in_proportion() -> None:
    line = b"data: " + json.dumps({"image": "x" * (1 << 20)}).encode() + b"\n\n"
    began = time.process_time()

    events = decode(*(line[at : at + 10] for at in range(0, len(line), 10)), max_event_bytes=1 << 22)

    assert [len(event[0]) for event in events] == [len(line) - 8]
    # The square of it would be 50 GB copied.
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    "stream",
    [
        b"data: " + b"x" * 1100 + b"\n\n",
        b"data: " + b"x" * 1100,
        b"data: xxxxxxxxx\n" * 70,
        b"data\n" * 300,
        b": " + b"x" * 1100 + b"\n",
        b"x" * 1100,
    ],
)
@pytest.mark.parametrize("size", [1, 10, 2000])
def test_an_event_beyond_the_limit_is_refused(stream: bytes, size: int) -> None:
    with pytest.raises(InvalidResponseError, match="larger than 1 KiB"):
        decode(*(stream[at : at + size] for at in range(0, len(stream), size)), max_event_bytes=1024)


def test_many_events_together_may_be_larger_than_the_limit_of_one() -> None:
    assert decode(b"data: xxxxx\n\n: c\n" * 1000, max_event_bytes=12).count(Event("xxxxx")) == 1000
