"""A page that nobody can scroll back to: what is shown once, and not kept."""

import signal
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from raptchat.interruptions import handled_by
from raptchat.render import Terminal

# xterm's DECSET 1049: the other screen, which has no scrollback, as pagers use it.
_ENTER, _LEAVE = "\x1b[?1049h", "\x1b[?1049l"
# ECMA-48 CUP, EL 2, CUD. Row by row: what ED erases some terminals first move into the scrollback.
_HOME, _ERASE_ROW = "\x1b[H", "\x1b[2K\x1b[B"

Lines = Sequence[str]


@contextmanager
def private_page(terminal: Terminal) -> Iterator[Callable[[Lines], None]]:
    """A function that shows lines in place of those it showed before; afterwards none of them is to be seen.

    The lines are made safe and folded to the width that the terminal has then; one that is indented stays whole.
    The page is on standard error. At a terminal whose cursor may not be moved (`TERM=dumb`) the lines are only
    written, and stay. Ctrl-Z does nothing meanwhile: the shell would write on this page.
    """

    def show(lines: Lines) -> None:
        size = terminal.size_now()
        if terminal.err_repaints:
            terminal.write_error(_HOME + _ERASE_ROW * size.lines + _HOME)
        terminal.say(*(piece for line in lines for piece in _folded(line, size.columns)))

    with handled_by(lambda *_: None, [signal.SIGTSTP]):
        try:
            terminal.write_error(_ENTER if terminal.err_repaints else "")
            yield show
        finally:
            if terminal.err_repaints:
                terminal.write_error(_HOME + _ERASE_ROW * terminal.size_now().lines + _HOME + _LEAVE)


def _folded(line: str, columns: int) -> list[str]:
    # The last column is left free: some terminals wrap when it is written, others before the next character.
    return [line] if line.startswith(" ") else textwrap.wrap(line, max(columns - 1, 1)) or [""]
