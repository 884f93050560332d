"""Lines on standard error that are painted over and over, and go without a trace."""

from collections.abc import Sequence

from raptchat.render import Terminal
from raptchat.render.terminal_modes import in_foreground

# ECMA-48 ED, CUU and SGR 2 and 22, DEC DECAWM. Where terminal and program disagree about the width of a
# character a line that does not wrap stays one line.
_ERASE = "\r\x1b[J"
_UNWRAPPED = "\x1b[?7l{}\x1b[?7h\r"
_UP = "\x1b[{}A"
_DIM = "\x1b[2m{}\x1b[22m"


class Region:
    """The lines below what standard error said last.

    Between two paintings the cursor rests on the first of them, in its first column: from there they can be
    erased also when a resized window has folded them, in a terminal that does that and in one that does not.
    """

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._painted = False

    def paint(self, lines: Sequence[str]) -> None:
        """Show *lines*, which are safe, in place of those before; cut to the terminal's size as it is now."""
        if not in_foreground(self._terminal.err):
            return
        size = self._terminal.size_now()
        shown = [
            dimmed(self._terminal, cut(line, max(size.columns - 1, 1))) for line in lines[: max(size.lines - 1, 1)]
        ]
        up = _UP.format(len(shown) - 1) if len(shown) > 1 else ""
        erase = _ERASE if self._painted else ""
        # Before it is written: a signal in between must not leave what nobody erases.
        self._painted = True
        self._terminal.write_error(erase + _UNWRAPPED.format("\n".join(shown)) + up)

    def erase(self) -> None:
        """Leave nothing of them, and the cursor where the first one began."""
        if self._painted and in_foreground(self._terminal.err):
            self._terminal.write_error(_ERASE)
        self._painted = False


def dimmed(terminal: Terminal, text: str) -> str:
    """*text* in a weaker colour, where standard error may have one."""
    return _DIM.format(text) if text and terminal.err_colors else text


def cut(line: str, width: int) -> str:
    """As much of *line* as fits in *width* cells."""
    if line.isascii():
        return line[:width]
    # No character takes more than two cells: what fits even so is not measured, for which much is to be loaded.
    if len(line) + sum(not character.isascii() for character in line) <= width:
        return line
    from rich.cells import split_graphemes

    used = 0
    for start, _, cells in split_graphemes(line)[0]:
        used += cells
        if used > width:
            return line[:start]
    return line
