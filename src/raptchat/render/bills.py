"""A bill in Markdown that can be forwarded: a heading, a table (GitHub Flavored Markdown, 4.10), and notes.

What comes from outside is text in it, whatever it is called: no name ends a cell, makes a link or is HTML.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from raptchat.outside import safe_line
from raptchat.render import Terminal
from raptchat.render.formats import UNKNOWN
from raptchat.render.tables import Row, parts

# The one ends a cell, whatever it stands in; the other ends code.
_NOT_IN_CODE = re.compile("([|`])")
_FIGURE = re.compile("[0-9]+([.][0-9]+)?|unknown")


class Bill:
    """Written as it comes, with any number of lines; the columns named in *numeric* are aligned to the right."""

    def __init__(self, terminal: Terminal, columns: Sequence[str], *, numeric: Collection[str]) -> None:
        self._terminal = terminal
        self._columns = columns
        self._numeric = numeric
        self._begun = False

    def heading(self, title: str, *, group: str | None, made: str) -> None:
        """Write what it is of, whose, and when it was *made* (UTC)."""
        whose = f"Group {literal(group)}" if group is not None else "All groups"
        self._write(f"# {title}", "", f"{whose}. Made on {made}; days and times are UTC.", "")

    def lines(self, rows: Iterable[Row]) -> None:
        """Write a line for each of *rows*: names as they are, and figures."""
        for some in parts(rows):
            if not self._begun:
                self._begun = True
                edges = ["--:" if name in self._numeric else ":--" for name in self._columns]
                self._write(_line(self._columns), _line(edges))
            self._write(*(_line(list(map(_cell, row))) for row in some))

    def total(self, label: str, figures: Mapping[str, str]) -> None:
        """Write the last line: the sums under the names of their columns."""
        sums = {self._columns[0]: label, **figures}
        self._write(_line([f"**{sums[name]}**" if name in sums else "" for name in self._columns]))

    def note(self, sentence: str) -> None:
        """Write a sentence of our own below it."""
        self._write(*([""] if self._begun else []), sentence)

    def _write(self, *lines: str) -> None:
        self._terminal.write("".join(f"{safe_line(line)}\n" for line in lines))


def literal(text: str | None) -> str:
    """*text* as code, in which nothing means anything (CommonMark 0.31, 6.1); `-` where there is none.

    A `|` or a backtick stands between two pieces of code as its number (2.5): programs do not agree on what a
    backslash before either of them says.
    """
    if not text or text.isspace():
        return UNKNOWN
    pieces = _NOT_IN_CODE.split(safe_line(text))
    return "".join(
        f"&#{ord(piece)};" if number % 2 else f"`{piece}`" for number, piece in enumerate(pieces) if piece
    )


def _cell(text: str | None) -> str:
    return text if text is not None and _FIGURE.fullmatch(text) else literal(text)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
