"""What a person sees: the lines that a terminal emulator holds after a text was written to it."""

import pyte


def shown(text: str, *, width: int = 80, height: int = 24) -> list[str]:
    """The lines in the scrollback and on the screen, without the empty ones at the end."""
    screen = pyte.HistoryScreen(width, height, history=10_000, ratio=0.5)
    stream = pyte.Stream(screen)
    # The terminal driver's part (ONLCR): a newline also returns the carriage.
    stream.feed(text.replace("\n", "\r\n"))
    above = ["".join(line[x].data for x in range(width)) for line in screen.history.top]
    lines = [line.rstrip() for line in [*above, *screen.display]]
    while lines and not lines[-1]:
        lines.pop()
    return lines
