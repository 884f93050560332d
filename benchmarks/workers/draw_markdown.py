"""Draws the Markdown of a file at a terminal that keeps nothing, and prints what that takes: HOW FILE CHARACTERS.

HOW is `raptchat`, which gets it in pieces of so many CHARACTERS as fast as it takes them; `rich`, which draws the
whole once; or `rich.live`, which draws all that came with each piece. Prints wall and CPU seconds, and the bytes
for the terminal; what is loaded and compiled once is not in them.
"""

import io
import sys
import time
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.markdown import Markdown

from raptchat.render import Terminal
from raptchat.render.markdown.live import LiveMarkdownWriter

COLUMNS, LINES = 120, 40
_WARM_UP = 2_000


class Counter(io.StringIO):
    """A terminal that counts the bytes it gets and keeps none."""

    bytes = 0

    def write(self, text: str) -> int:
        """Count *text*."""
        self.bytes += len(text.encode())
        return len(text)

    def isatty(self) -> bool:
        """For `rich`."""
        return True


def main() -> None:
    """Draw and print."""
    how, file, characters = sys.argv[1:]
    text = Path(file).read_text(encoding="utf-8")
    draw = {"raptchat": streamed, "rich": once, "rich.live": live}[how]
    draw(Counter(), text[:_WARM_UP], int(characters))
    counter = Counter()
    wall, cpu = time.perf_counter(), time.process_time()
    draw(counter, text, int(characters))
    print(time.perf_counter() - wall, time.process_time() - cpu, counter.bytes)  # noqa: T201


def pieces(text: str, characters: int) -> list[str]:
    """*text* as it arrives."""
    return [text[at : at + characters] for at in range(0, len(text), characters)]


def streamed(counter: Counter, text: str, characters: int) -> None:
    """What `raptchat chat` does with a reply."""
    terminal = Terminal.recorded(is_tty=True, width=COLUMNS, height=LINES)
    writer = LiveMarkdownWriter(replace(terminal, out=counter))
    for piece in pieces(text, characters):
        writer.text(piece)
    writer.end()


def console(counter: Counter) -> Console:
    """A console of `rich` that is no other terminal than ours."""
    return Console(file=counter, width=COLUMNS, height=LINES, force_terminal=True, color_system="truecolor")


def once(counter: Counter, text: str, characters: int) -> None:  # noqa: ARG001 - all of it is there
    """What is the least that `rich` can do."""
    console(counter).print(Markdown(text))


def live(counter: Counter, text: str, characters: int) -> None:
    """What is done where nobody thought about it."""
    so_far = ""
    with Live(console=console(counter), auto_refresh=False, vertical_overflow="visible") as region:
        for piece in pieces(text, characters):
            so_far += piece
            region.update(Markdown(so_far), refresh=True)


if __name__ == "__main__":
    main()
