"""What streamed Markdown costs: CPU time and bytes for a reply of so many tokens, as fast as they can come.

    python benchmarks/markdown.py [--quick]

Each kind of text is streamed, a token of four characters at a time, to a terminal of 120 x 40 cells that only
counts its bytes. Beside it `rich` draws the whole once, and `rich.live.Live` draws all that came with every token
that comes, as far as that ends. CPU seconds belong to the machine: compare them within one run.
"""
# ruff: noqa: T201 - its figures are printed

import argparse
import io
import itertools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from rich.console import Console
from rich.live import Live
from rich.markdown import Markdown

from raptchat.render import Terminal
from raptchat.render.markdown import MarkdownWriter
from raptchat.render.markdown.live import LiveMarkdownWriter

SIZES = [2_000, 10_000, 32_000, 100_000]
# The two sizes of the goal: the last costs at most twelve times this one.
COMPARED = 1
LIVE_SIZES = [125, 250, 500, 1_000]
PACED_SIZE, PACES = 4_000, [100, 1_000]
CHARACTERS_PER_TOKEN = 4
WIDTH, HEIGHT = 120, 40

PROSE = (
    "A cell is the *basic* unit of life, and **every** organism has `cells`, as [the atlas](https://example.org/a)"
    " says. It goes on for a while, as prose does, and then it ends."
)
# What a text of each kind begins with, and what it repeats.
KINDS = {
    "prose": ("", f"{PROSE}\n\n"),
    "list": ("", "- an item of **some** words\n  - one in it, with `code`\n"),
    "code": ("```python\n", "    return self.cell(name, 42) + ['a', \"b\"]  # a comment\n"),
    "table": ("| part | size | what for |\n|---|--:|---|\n", "| mitochondrion | 1 µm | makes **energy** |\n"),
    "paragraph": ("", f"{PROSE} "),
}


class Counter(io.StringIO):
    """A terminal that counts the bytes it gets and keeps none."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def write(self, text: str) -> int:
        """Count *text*."""
        self.bytes += len(text.encode())
        return len(text)

    def isatty(self) -> bool:
        """For `rich`."""
        return True


@dataclass(frozen=True)
class Cost:
    """What one reply took."""

    seconds: float
    bytes: int


def cost(work: Callable[[Counter], None]) -> Cost:
    """What *work* takes."""
    counter = Counter()
    begun = time.process_time()
    work(counter)
    return Cost(time.process_time() - begun, counter.bytes)


def text_of(kind: str, tokens: int) -> str:
    """A text of this kind and length."""
    head, unit = KINDS[kind]
    length = tokens * CHARACTERS_PER_TOKEN
    return (head + unit * (length // len(unit) + 1))[:length]


def pieces(text: str) -> list[str]:
    """The tokens of *text*."""
    return [text[at : at + CHARACTERS_PER_TOKEN] for at in range(0, len(text), CHARACTERS_PER_TOKEN)]


def streamed(text: str, clock: Callable[[], float] | None = None) -> Callable[[Counter], None]:
    """Stream *text* as fast as it goes, or as *clock* says, which is read once a token and once a painting."""

    def work(counter: Counter) -> None:
        terminal = replace(Terminal.recorded(is_tty=True, width=WIDTH, height=HEIGHT), out=counter)
        writer = MarkdownWriter(terminal, clock=clock) if clock else LiveMarkdownWriter(terminal)
        for piece in pieces(text):
            writer.text(piece)
        writer.end()

    return work


def clock_of(pace: int) -> Callable[[], float]:
    """A clock that is read *pace* times a second."""
    ticks = itertools.count()
    return lambda: next(ticks) / pace


def console(counter: Counter) -> Console:
    """A console of `rich` that is no other terminal than ours."""
    return Console(file=counter, width=WIDTH, height=HEIGHT, force_terminal=True, color_system="truecolor")


def once(text: str) -> Callable[[Counter], None]:
    """Let `rich` draw *text* once, when all of it is there."""
    return lambda counter: console(counter).print(Markdown(text))


def live(text: str) -> Callable[[Counter], None]:
    """Let `rich` draw all that came with each token that comes."""

    def work(counter: Counter) -> None:
        so_far = ""
        with Live(console=console(counter), auto_refresh=False, vertical_overflow="visible") as region:
            for piece in pieces(text):
                so_far += piece
                region.update(Markdown(so_far), refresh=True)

    return work


def exponent(first: float, last: float, growth: float) -> float:
    """The *e* in cost = size ** e, of two costs whose sizes differ by the factor *growth*."""
    return math.log(last / first) / math.log(growth)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="without the largest sizes: seconds instead of minutes"
    )
    is_quick = parser.parse_args().quick
    for kind in KINDS:  # what is loaded and compiled once
        cost(streamed(text_of(kind, 500)))
        cost(once(text_of(kind, 500)))

    measure_full_speed(SIZES[:3] if is_quick else SIZES)
    measure_real_pace()
    measure_live(LIVE_SIZES[:2] if is_quick else LIVE_SIZES)


def measure_full_speed(sizes: list[int]) -> None:
    """Print what a reply takes that comes as fast as it can be written."""
    print("as fast as possible")
    print("kind        tokens   CPU s  us/token  bytes/char   rich once: CPU s  us/token   streamed / once")
    growths = []
    for kind in KINDS:
        seconds = []
        for size in sizes:
            text = text_of(kind, size)
            ours, theirs = cost(streamed(text)), cost(once(text))
            seconds.append(ours.seconds)
            print(
                f"{kind:10} {size:7}  {ours.seconds:6.2f}  {ours.seconds / size * 1e6:8.1f}  "
                f"{ours.bytes / len(text):10.2f}   {theirs.seconds:16.2f}  {theirs.seconds / size * 1e6:8.1f}  "
                f"{ours.seconds / theirs.seconds:16.2f}"
            )
        growth = exponent(seconds[0], seconds[-1], sizes[-1] / sizes[0])
        last = f"{sizes[-1]} tokens cost {seconds[-1] / seconds[COMPARED]:.1f} times {sizes[COMPARED]}"
        growths.append(f"{kind:10} exponent {growth:.2f}, {last}")
    print("", *growths, sep="\n")


def measure_real_pace() -> None:
    """Print what a reply takes that comes as models write, so that it is painted fifteen times a second."""
    print(f"\n{PACED_SIZE} tokens at a model's pace\nkind       tokens/s   CPU s  us/token  bytes/char")
    for kind in KINDS:
        for pace in PACES:
            text = text_of(kind, PACED_SIZE)
            paced = cost(streamed(text, clock_of(pace)))
            print(
                f"{kind:10} {pace:8}  {paced.seconds:6.2f}  {paced.seconds / PACED_SIZE * 1e6:8.1f}  "
                f"{paced.bytes / len(text):10.2f}"
            )


def measure_live(sizes: list[int]) -> None:
    """Print what the naive way takes."""
    print("\nrich.live.Live, as fast as possible\nkind        tokens   CPU s  us/token  bytes/char")
    for kind in KINDS:
        costs = []
        for size in sizes:
            text = text_of(kind, size)
            costs.append(cost(live(text)))
            print(
                f"{kind:10} {size:7}  {costs[-1].seconds:6.2f}  {costs[-1].seconds / size * 1e6:8.0f}  "
                f"{costs[-1].bytes / len(text):10.0f}"
            )
        growth = exponent(costs[0].seconds, costs[-1].seconds, sizes[-1] / sizes[0])
        print(f"{kind:10} exponent {growth:.2f}")


if __name__ == "__main__":
    main()
