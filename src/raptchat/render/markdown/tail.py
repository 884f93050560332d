"""The unfinished end of a reply, painted below what is finished and painted over while it grows.

The cursor rests on the first row of the tail. Nothing but the tail is ever below it, so that nothing that was
finished can be reached, and a terminal that wraps its lines anew when its window changes takes the cursor along:
however many rows the old painting has become, they are all below. (ECMA-48 CUU, ED and EL; DEC DECAWM, DECTCEM.)
"""

from collections.abc import Sequence

from raptchat.render import Terminal
from raptchat.render.terminal_modes import in_foreground

_UP = "\x1b[{}A"
# From the second cell: tmux takes an erase from a screen's first one for `clear`, and keeps what was there in its
# scrollback (`scroll-on-clear`).
_ERASE_BELOW = " \x1b[J\r"
_ERASE_ROW = "\x1b[K"
_HIDE_CURSOR, _SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
# Where terminal and rich disagree about the width of a character, a painted line stays one row.
_WRAP_OFF, _WRAP_ON = "\x1b[?7l", "\x1b[?7h"

# Of fewer rows the tail would have none to itself.
_LOWEST = 4


class Tail:
    """What is painted below the last finished row of *terminal*."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._painted: list[str] = []
        self._size = terminal.size_now()
        self._is_cursor_hidden = False

    def write(self, finished: Sequence[str], tail: Sequence[str] = ()) -> None:
        """Write rows that are *finished* in place of the tail's first ones, and paint *tail* below them.

        Where the cursor may not be moved, in the background, or where there is no room, nothing is painted. Of a
        tail that is higher than the screen the last rows are. Rows that are painted already and stay the same are
        left alone.
        """
        size = self._terminal.size_now()
        if not self._terminal.repaints or size.lines < _LOWEST or not in_foreground(self._terminal.out):
            tail = ()
        # One row less than the screen, so that the first painted one can always be reached again.
        tail = tail[1 - size.lines :]
        output = ""
        if size != self._size and self._painted:
            output, self._painted = _ERASE_BELOW, []
        self._size = size
        output += self._change([*finished, *tail], len(finished))
        if self._is_cursor_hidden != bool(tail):
            self._is_cursor_hidden = not self._is_cursor_hidden
            output = (_HIDE_CURSOR if tail else _SHOW_CURSOR) + output
        self._painted = list(tail)
        if output:
            self._terminal.write(output)

    def _change(self, rows: list[str], finished: int) -> str:
        """What makes the screen show *rows*, and takes the cursor below the first *finished* of them."""
        painted = self._painted
        same = 0
        # Finished rows must wrap if the terminal wants them to; one in ASCII does not.
        while (
            same < min(len(painted), len(rows))
            and painted[same] == rows[same]
            and (same >= finished or rows[same].isascii())
        ):
            same += 1
        if same == len(painted) == len(rows):
            return "\n" * finished
        erase = ""
        if len(painted) > same and not all(row.isascii() for row in rows[same:finished]):
            # It may wrap where rich does not expect it, over what is painted below.
            painted, erase = painted[:same], _ERASE_BELOW
        drawn = [f"{_ERASE_ROW}{row}" if at < len(painted) else row for at, row in enumerate(rows)]
        output = "\n" * same + erase + "".join(f"{row}\n" for row in drawn[same:finished])
        cursor = max(same, finished)
        if tail := drawn[cursor:]:
            output += _WRAP_OFF + "\n".join(tail) + _WRAP_ON + "\r"
            cursor = len(rows) - 1
        if len(painted) > len(rows):
            output += "\n" * (len(rows) - cursor) + _ERASE_BELOW
            cursor = len(rows)
        return output + (_UP.format(cursor - finished) if cursor > finished else "")

    def leave(self) -> None:
        """Leave what is painted as it stands, with the cursor below it."""
        self._let_go("\n" * len(self._painted))

    def erase(self) -> None:
        """Leave nothing of what is painted."""
        self._let_go(_ERASE_BELOW)

    def _let_go(self, output: str) -> None:
        if self._painted:
            self._painted, self._is_cursor_hidden = [], False
            self._terminal.write(_SHOW_CURSOR + output)
