"""What a long reply costs into a file, where every program does no more than pass it on."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from measuring import Bench, Row
from peers import STREAMS, asking, chat
from texts import CHARACTERS_PER_TOKEN

SECTION = "streaming"

# The peers take half a minute for the longest.
_PEERS_UP_TO = 20_000


def measure(bench: Bench) -> Iterator[Row]:
    """Replies of 2,000 to 100,000 tokens, stored and with `--private`, and what further tokens take."""
    seen: dict[str, list[tuple[int, Row]]] = {}
    for tokens, model in STREAMS.items():
        private = bench.raptchat(*chat(model, "--private")).named("raptchat --private")
        programs = [private, *asking(bench, model)]
        if bench.quick and tokens > _PEERS_UP_TO:
            programs = [one for one in programs if one and one.name not in {"llm", "shell-gpt"}]
        for row in bench.compare(SECTION, f"{tokens} tokens", programs, to="file"):
            shorter = seen.setdefault(row.program, [])
            yield replace(row, extra=beyond(shorter, tokens, row))
            shorter.append((tokens, row))


def beyond(shorter: Sequence[tuple[int, Row]], tokens: int, row: Row) -> Mapping[str, float]:
    """What the reply of *tokens* took beyond the *shorter* ones of the same program.

    *us_per_token* is CPU time over the last one's, *memory_per_byte* the peak over the first one's in bytes for
    each byte of text.
    """
    if not shorter:
        return {}
    (least, first), (less, last) = shorter[0], shorter[-1]
    return {
        "us_per_token": (row.cpu_ms - last.cpu_ms) * 1e3 / (tokens - less),
        "memory_per_byte": (row.rss_mib - first.rss_mib) * 2**20 / (tokens - least) / CHARACTERS_PER_TOKEN,
    }
