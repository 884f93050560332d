"""What a long reply costs into a file, where every program does no more than pass it on."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from measuring import Bench, Program, Row
from peers import PROMPT, STREAMS, asking, chat
from texts import CHARACTERS_PER_TOKEN

SECTION = "streaming"

# With --quick: the peers take seconds for 20,000, and half a minute for the longest.
_PEERS_UP_TO = 2_000
# A proxy passes on what has piled up, and a client takes it in one piece.
_PACKED = 16


def measure(bench: Bench) -> Iterator[Row]:
    """Replies of 2,000 to 100,000 tokens, stored and with `--private`, and what further tokens take.

    Each event is an HTTP chunk of its own, then `_PACKED` of them are one.
    """
    single = {tokens: _all(bench, tokens, model) for tokens, model in STREAMS.items()}
    yield from _growing(bench, "tokens", single)
    packed = {tokens: _two(bench, f"{model}x{_PACKED}") for tokens, model in STREAMS.items()}
    yield from _growing(bench, f"tokens, {_PACKED} a chunk", packed)


def _all(bench: Bench, tokens: int, model: str) -> list[Program | None]:
    programs = [bench.raptchat(*chat(model, "--private")).named("raptchat --private"), *asking(bench, model)]
    if bench.quick and tokens > _PEERS_UP_TO:
        return [one for one in programs if one and one.name not in {"llm", "shell-gpt"}]
    return programs


def _two(bench: Bench, model: str) -> list[Program | None]:
    return [bench.raptchat(*chat(model)), bench.httpx(model, PROMPT)]


def _growing(bench: Bench, name: str, programs: Mapping[int, Sequence[Program | None]]) -> Iterator[Row]:
    """The rows of each length, with what went beyond the shorter ones."""
    seen: dict[str, list[tuple[int, Row]]] = {}
    for tokens, its in programs.items():
        for row in bench.compare(SECTION, f"{tokens} {name}", its, to="file"):
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
