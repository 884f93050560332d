"""What a reply in Markdown costs at a terminal of 120 x 40 cells, and its drawing alone beside that of rich."""

import math
import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from measuring import Bench, Program, Row, Run
from peers import chat
from texts import CHARACTERS_PER_TOKEN, KINDS, text_of

SECTION = "markdown"

SIZES = (2_000, 8_000, 32_000)
PACE, QUICK_PACED = 1_000, 1_000
# A reply that has everything loaded: what a longer one takes beyond it is the text's.
BASE = 100
DRAWN = 32_000
DRAWINGS = 3
LIVE_SIZES = (250, 1_000)

_WORKER = Path(__file__).with_name("workers") / "draw_markdown.py"
# Down, up, or to a place of the screen whatever is there.
_STEP = re.compile(rb"\n|\x1b\[(?P<rows>\d*)[AF]|(?P<jump>\x1b(?:[M8]|\[[\d;]*[Hdf]))")


def measure(bench: Bench) -> Iterator[Row]:
    """Replies of 2,000 to 32,000 tokens of each kind, as fast as they can come and at 1,000 tokens a second.

    Over a reply of 100 tokens: *us_per_token* is CPU time, *bytes_per_character* what the terminal gets, and
    *exponent* the e in CPU time = tokens ** e, from the smallest reply to the largest. *above_the_tail* is how
    often the cursor left what is unfinished. Of the drawing alone, *times_rich* is its CPU time over that of
    `rich`, which draws the whole once; `rich.live` draws all that came with every token.
    """
    sizes = (SIZES[0], SIZES[-1]) if bench.quick else SIZES
    for kind in KINDS:
        base, *longer = bench.in_turn([_asking(bench, kind, tokens) for tokens in (BASE, *sizes)], to="pty")
        yield from _over(kind, base, longer, sizes)
        paced = (QUICK_PACED,) if bench.quick else SIZES
        programs = [_asking(bench, kind, tokens, f"@{PACE}") for tokens in paced]
        runs = bench.in_turn(programs, to="pty", runs=1)  # which take their time
        yield from _over(kind, base, runs, paced, f" at {PACE:,} tokens/s")
    for kind in KINDS:
        yield from drawn(bench, kind)
    if not bench.quick:
        for kind in KINDS:
            yield from live(bench, kind)


def _asking(bench: Bench, kind: str, tokens: int, pace: str = "") -> Program:
    return bench.raptchat(*chat(f"bench/{kind}-{tokens}{pace}"))


def _over(
    kind: str, base: list[Run], runs: list[list[Run]], sizes: Sequence[int], suffix: str = ""
) -> Iterator[Row]:
    """A row for the runs of each size, with what they took beyond *base*."""
    cpu, written = _cpu_ms(base), len(base[0].output)
    smallest = 0.0
    for tokens, its in zip(sizes, runs, strict=True):
        more = _cpu_ms(its) - cpu
        smallest = smallest or more
        extra = {
            "us_per_token": more * 1e3 / (tokens - BASE),
            "bytes_per_character": (len(its[0].output) - written) / (tokens - BASE) / CHARACTERS_PER_TOKEN,
            "above_the_tail": max(rises_above(run.output) for run in its),
        }
        if sizes[0] < tokens == sizes[-1]:
            extra["exponent"] = exponent(smallest, more, (tokens - BASE) / (sizes[0] - BASE))
        yield _with(Row.of(SECTION, f"{kind}, {tokens:,} tokens{suffix}", "raptchat", its), extra)


def rises_above(output: bytes) -> int:
    """How often the cursor went above where it had rested: what is above was finished."""
    row = rest = above = 0
    for step in _STEP.finditer(output):
        if step["jump"]:
            above += 1
        elif step["rows"] is None:
            row += 1
        else:
            row -= int(step["rows"] or 1)
            above += row < rest
            rest = row
    return above


def exponent(first: float, last: float, growth: float) -> float:
    """The *e* in cost = size ** e, of two costs whose sizes differ by the factor *growth*."""
    return math.log(last / first) / math.log(growth)


def drawn(bench: Bench, kind: str, tokens: int = DRAWN) -> Iterator[Row]:
    """What drawing one long reply takes raptchat, piece by piece, and rich, once."""
    found: dict[str, list[Row]] = {"raptchat": [], "rich": []}
    for _ in range(1 if bench.quick else DRAWINGS):
        for how, its in found.items():
            its.append(_drawing(bench, how, kind, tokens))
    ours, theirs = (min(its, key=lambda row: row.cpu_ms) for its in found.values())
    yield _with(ours, {"times_rich": ours.cpu_ms / theirs.cpu_ms}, runs=len(found["raptchat"]))
    yield replace(theirs, runs=len(found["rich"]))


def live(bench: Bench, kind: str, sizes: tuple[int, int] = LIVE_SIZES) -> Iterator[Row]:
    """What drawing everything with every token takes, and how that grows."""
    first, last = (_drawing(bench, "rich.live", kind, tokens) for tokens in sizes)
    yield first
    yield _with(last, {"exponent": exponent(first.cpu_ms, last.cpu_ms, sizes[1] / sizes[0])})


def _drawing(bench: Bench, how: str, kind: str, tokens: int) -> Row:
    file = bench.scratch / f"{kind}-{tokens}.md"
    file.write_text(text_of(kind, tokens), encoding="utf-8")
    run = bench.run(bench.python(str(_WORKER), how, str(file), str(CHARACTERS_PER_TOKEN)).named(how))
    wall, cpu, written = map(float, run.output.split())
    extra = {
        "us_per_token": cpu * 1e6 / tokens,
        "bytes_per_character": written / (tokens * CHARACTERS_PER_TOKEN),
    }
    name = f"{kind}, {tokens:,} tokens, drawing"
    return Row(SECTION, name, how, wall * 1e3, cpu * 1e3, run.rss_mib, extra)


def _cpu_ms(runs: list[Run]) -> float:
    return statistics.median(run.cpu_ms for run in runs)


def _with(row: Row, extra: Mapping[str, float], *, runs: int = 0) -> Row:
    return replace(row, extra={**row.extra, **extra}, runs=runs or row.runs)
