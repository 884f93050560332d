"""The stream parser: the standard's rules, any cut into pieces, junk, and limits."""

import json
import random
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from proof import Trials, tried

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


LINES = [
    b"data: a",
    b"data:",
    b"data",
    b"data:  {}",
    b"data: [DONE]",
    b'data: {"x": "\xe2\x80\xa8"}',
    b'data: {"x":',
    b": c",
    b":",
    b"event: error",
    b"event",
    b"id: 1",
    b"",
    b"\xff",
    b"data: \xe2\x82",
]
ENDS = [b"\n", b"\r\n", b"\r", b"\n\n", b"\r\n\r\n", b"\r\r", b"\n\r", b""]
SPLINTERS = [b"data", b":", b" ", b"\r", b"\n", b"\xef", b"\xbb", b"\xbf", b"\xe2", b"{", b"}", b"event", b"\0"]


def by_the_standard(stream: bytes, limit: int) -> tuple[list[Event | Comment], bool]:
    """The events of a whole *stream*, and whether one was too large: as the standard says it, and as slowly."""
    found: list[Event | Comment] = []
    data: list[str] = []
    size, kind = 0, ""
    stream = stream.removeprefix(b"\xef\xbb\xbf")
    lines = re.split("\r\n|\n|\r", stream.decode("utf-8", "replace"))
    sizes = [len(line) for line in re.split(rb"\r\n|\n|\r", stream)]
    for number, line in enumerate(lines):
        if line and size + sizes[number] > limit:
            return found, True
        name, _, value = line.partition(":")
        if not line and number + 1 < len(lines):
            found += [Event("\n".join(data), kind)] if data else []
            data, size, kind = [], 0, ""
        elif name == "data":
            data.append(value.removeprefix(" "))
            size += sizes[number]
        elif name == "event":
            kind = value.removeprefix(" ")
        elif line and not name:
            found.append(Comment(value.removeprefix(" ")))
    whole = "\n".join(data)
    if whole.strip() == "[DONE]" or is_object(whole):
        found.append(Event(whole, kind))
    return found, False


def is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def any_stream(dice: random.Random) -> bytes:
    match dice.randrange(4):
        case 0:
            parts = [dice.choice(SPLINTERS) for _ in range(dice.randrange(40))]
        case 1:
            parts = [dice.randbytes(dice.randrange(60))]
        case _:
            parts = [dice.choice(part) for _ in range(dice.randrange(20)) for part in (LINES, ENDS)]
    stream = bytearray(b"".join([b"\xef\xbb\xbf"[: dice.randrange(4)] if dice.random() < 0.1 else b"", *parts]))
    for _ in range(dice.choice([0, 0, 0, 1, 3]) if stream else 0):
        stream[dice.randrange(len(stream))] = dice.randrange(256)
    return bytes(stream)


def any_cut(stream: bytes, dice: random.Random) -> list[bytes]:
    match dice.randrange(4):
        case 0:
            return [stream[at : at + 1] for at in range(len(stream))]
        case 1:
            cuts = [dice.randrange(len(stream) + 1)]
        case _:
            cuts = sorted(dice.choices(range(len(stream) + 1), k=dice.randrange(8)))
    return [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]


@tried("stream parser under any cut, junk and limit", commit=2_000, deep=1_000_000)
def test_any_stream_is_read_as_by_the_standard_however_it_is_cut(trials: Trials) -> None:
    for first, count in trials.batches(500):
        refusals = 0
        for number in range(first, first + count):
            dice = random.Random(number)
            stream = any_stream(dice)
            limit = dice.choice([1 << 20, 1 << 20, dice.randrange(1, 100)])
            expected, too_large = by_the_standard(stream, limit)
            decoder = Decoder(max_event_bytes=limit)
            found: list[Event | Comment] = []
            try:
                for piece in any_cut(stream, dice):
                    found += decoder.feed(piece)
                found += decoder.close()
            except InvalidResponseError:
                # What stood before it in the same piece is lost with the reply.
                assert too_large, number
                assert found == expected[: len(found)], number
                refusals += 1
            else:
                assert (found, False) == (expected, too_large), number
        trials.count(streams=count, too_large=refusals)


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from([*LINES, *ENDS, *SPLINTERS]) | st.binary(max_size=3)), st.integers(1, 9))
def test_any_junk_is_read_as_by_the_standard(parts: list[bytes], size: int) -> None:
    stream = b"".join(parts)
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]

    assert (decode(*pieces), False) == by_the_standard(stream, 1 << 20)


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
