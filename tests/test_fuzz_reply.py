"""The chunks of a reply, whatever is in them and however the stream is cut: one reply comes of them, or none."""

import itertools
import json
import random

from proof import Trials, tried

from raptchat.errors import InvalidResponseError
from raptchat.providers.answer import parse
from raptchat.providers.cleaning import Cleaner
from raptchat.providers.reply import Reply
from raptchat.providers.sse import Decoder, Event
from raptchat.records import Chunk, ContentChunk, DoneChunk, ReasoningChunk
from raptchat.secret import Secret

KEY = "sk-or-v1-of-this-very-request-0000"
NAMES = [
    *("choices", "delta", "message", "content", "reasoning", "reasoning_content", "reasoning_details", "text"),
    *("type", "index", "finish_reason", "error", "usage", "model", "id", "annotations", "url_citation", "url"),
    *("title", "refusal", "cost", "prompt_tokens", "completion_tokens_details", "signature", "summary", "data"),
]
WORDS = [
    "",
    "a",
    "ä\u2028",
    "\ud83d",
    "\ude00",
    "\x1b[31m",
    KEY,
    "stop",
    "error",
    "https://a.example",
    "reasoning.text",
]
NUMBERS = ["0", "-1", "1.5", "1e999", "1E-99999", "NaN", "Infinity", "true", "9" * 400, "null", str(1 << 70)]


def any_value(dice: random.Random, depth: int) -> str:
    """Some JSON, and now and then what is none."""
    match dice.randrange(8 if depth else 5):
        case 0 | 1:
            return json.dumps(dice.choice(WORDS) + dice.choice(WORDS))
        case 2:
            return dice.choice(NUMBERS)
        case 3:
            return json.dumps(dice.choice(WORDS), ensure_ascii=False)
        case 4:
            return dice.choice(["[]", "{}", "", "{", "[" * 2000, "nul"]) if dice.random() < 0.2 else '"x"'
        case 5:
            return f"[{','.join(any_value(dice, depth - 1) for _ in range(dice.randrange(3)))}]"
        case _:
            fields = [
                f"{json.dumps(dice.choice(NAMES))}:{any_value(dice, depth - 1)}" for _ in range(dice.randrange(4))
            ]
            return f"{{{','.join(fields)}}}"


def any_chunk(dice: random.Random) -> str:
    """A chunk as gateways send it, with anything in its fields."""
    value = any_value(dice, 2)
    details = f'[{{"type":"reasoning.text","index":0,"text":{any_value(dice, 0)},"signature":{value}}}]'
    return dice.choice(
        [
            f'{{"choices":[{{"delta":{{"content":{value}}}}}]}}',
            f'{{"choices":[{{"delta":{{"reasoning":{value},"content":"c"}}}}],"id":{any_value(dice, 1)}}}',
            f'{{"choices":[{{"delta":{{"reasoning_details":{details}}}}}]}}',
            f'{{"choices":[{{"delta":{{"annotations":[{{"url_citation":{value}}}]}}}}]}}',
            f'{{"choices":[{{"finish_reason":{value}}}]}}',
            f'{{"usage":{value},"choices":[]}}',
            f'{{"error":{value}}}',
            any_value(dice, 4),
        ]
    )


def read(pieces: list[bytes]) -> tuple[list[Chunk], DoneChunk, DoneChunk]:
    """What comes of a stream, as it is read: its chunks, the reply as if it ended well, and as if it was cut."""
    decoder, reply = Decoder(max_event_bytes=5000), Reply(model="m", clean=Cleaner(Secret(KEY)))
    chunks: list[Chunk] = []
    begun = False
    for events in [*map(decoder.feed, pieces), decoder.close()]:
        for event in events:
            data = parse(event.data) if isinstance(event, Event) else None
            if data is not None:
                if not begun:
                    reply.start(data)
                    begun = True
                reply.add(data)
        chunks += reply.arrived()
    chunks += reply.close()
    return joined(chunks), reply.done(), reply.cut_short()


def joined(chunks: list[Chunk]) -> list[Chunk]:
    """*chunks* with those of one text that follow each other as one: how many it comes in is up to the reads."""
    texts = [one for one in chunks if isinstance(one, (ContentChunk, ReasoningChunk))]
    assert len(texts) == len(chunks)
    return [kind("".join(one.text for one in same)) for kind, same in itertools.groupby(texts, type)]


def no_constant(word: str) -> None:
    raise AssertionError(f"{word} is no JSON")


@tried("replies of any chunks", commit=1_000, deep=500_000)
def test_a_stream_of_any_chunks_is_one_reply_however_it_is_cut(trials: Trials) -> None:
    for first, count in trials.batches(250):
        for number in range(first, first + count):
            dice = random.Random(number)
            lines = [f"data: {any_chunk(dice)}\n\n" for _ in range(dice.randrange(8))]
            stream = "".join(lines).encode("utf-8", "surrogatepass")
            size = dice.choice([1, 2, 7, 100, 10_000])
            try:
                chunks, done, cut = read([stream])
            except InvalidResponseError:
                trials.count(too_large=1)
                continue
            assert read([stream[at : at + size] for at in range(0, len(stream), size)]) == (chunks, done, cut)
            assert "".join(one.text for one in chunks if isinstance(one, ContentChunk)) == done.content
            assert "".join(one.text for one in chunks if isinstance(one, ReasoningChunk)) == done.reasoning
            # What is stored, and what goes back to the gateway with the next question.
            for text in (done.content, done.reasoning, done.model, done.finish_reason or "", cut.content):
                text.encode()
            if done.reasoning_details is not None:
                json.loads(done.reasoning_details, parse_constant=no_constant)
            assert KEY not in f"{done.model} {done.finish_reason} {done.generation_id} {done.citations}"
        trials.count(streams=count)
