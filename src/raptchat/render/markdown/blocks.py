"""Markdown's blocks, line by line (CommonMark 0.31, appendix, "Phase 1: block structure", and GitHub's tables).

A line is looked at once: it goes on in the blocks that are open, ends some of them, and begins others. What it
finishes goes out as rows. So the rows depend on the text alone, however it arrives, and the work on the length of
the text alone.

What a later line could change is decided early instead: a gap in a list stands where the text has one, its
numbers have room for two digits, a paragraph of several hundred characters is no heading, and a line of more than
500 characters is what its beginning says.
"""

import re
from copy import copy
from dataclasses import replace

from rich.text import Text

from raptchat.render.markdown.containers import Container, Item, List, Quote
from raptchat.render.markdown.leaves import Fence, Formula, Heading, IndentedCode, Leaf, Paragraph
from raptchat.render.markdown.page import Column, Page
from raptchat.render.markdown.tables import Table, table

_LONGEST_LINE = 500
# Every level takes some cells from a line, and some time.
_DEEPEST = 16

_BEGINS = frozenset("#>`~=-+*_$\\0123456789")
_HEADING = re.compile(r"(#{1,6})(?= |$)(.*)")
_FENCE = re.compile(r"(`{3,}(?=[^`]*$)|~{3,}) *(.*)")
_FORMULA = re.compile(r"\$\$(?!.*\$\$)|\\\[(?!.*\\\])")
_UNDERLINE = re.compile(r"(=+|-+) *$")
_RULE = re.compile(r"(?:(?:\* *){3,}|(?:- *){3,}|(?:_ *){3,})$")
_ITEM = re.compile(r"(?:[-+*]|(\d{1,9})[.)])(?= |$)")
# The beginning of a line that may become anything: it is not shown before more of it has come.
_UNDECIDED = re.compile(r"[-=*_+>#~`|:$\\ ]*(?:\d+[.)]?)? *")


class Blocks:
    """The blocks that are open; *rows* holds what is finished, one row of *page* each, until it is taken."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self._open: tuple[Container, ...] = ()
        self._leaf: Leaf | None = None
        self._unread = ""
        self._is_continued = False
        self._is_after_blank = False
        self._is_begun = False
        # The empty row that is due before the next one.
        self._gap: str | None = None
        self.rows: list[str] = []

    def read(self, text: str) -> None:
        """Read the next piece of the text; the last line of it waits for its end."""
        *lines, last = (self._unread + text).split("\n")
        for line in lines:
            self._piece(self._long(line))
            self._is_continued = False
        self._unread = self._long(last)

    def end(self) -> None:
        """End all that is open: there is no more text."""
        if self._unread:
            self._piece(self._unread)
            self._unread = ""
        self._close(0)

    def preview(self) -> list[str]:
        """The rows of what is unfinished, as if the text ended here."""
        twin = self.copy()
        if not self._is_continued and _UNDECIDED.fullmatch(self._unread):
            twin._unread = ""  # noqa: SLF001
        twin.end()
        return twin.rows

    def copy(self) -> "Blocks":
        """The same blocks, without the rows; what is read into one of the two is not read into the other."""
        twin = copy(self)
        twin.rows = []
        twin._leaf = copy(self._leaf)  # noqa: SLF001
        return twin

    def _long(self, line: str) -> str:
        """Read *line* except for its last piece."""
        begin = 0
        while len(line) - begin > _LONGEST_LINE:
            self._piece(line[begin : begin + _LONGEST_LINE])
            begin += _LONGEST_LINE
        return line[begin:]

    def _piece(self, text: str) -> None:
        text = text.expandtabs(4)
        if not self._is_continued:
            self._line(text)
        elif self._leaf is not None:
            self._write(self._leaf.extend(text, self._column()))
        elif text.strip(" "):
            self._text(text, len(self._open))
        self._is_continued = True

    @property
    def _paragraph(self) -> Paragraph | None:
        return self._leaf if type(self._leaf) is Paragraph else None

    def _line(self, line: str) -> None:
        depth = 0
        for container in self._open:
            inside = container.inside(line)
            if inside is None:
                break
            line, depth = inside, depth + 1
        above = self._paragraph if depth == len(self._open) else None
        if depth == len(self._open) and self._takes(line):
            return
        if not line.strip(" "):
            self._close(depth)
            self._is_after_blank = True
        elif not (above and self._begin_table(line, above)):
            rest = self._begin(line, depth, above)
            if rest is not None:
                self._text(*rest)

    def _begin(self, line: str, depth: int, above: Paragraph | None) -> tuple[str, int] | None:
        """Begin the blocks that *line* begins, which may follow the paragraph *above*.

        Return what is left of the line, and in how many of the open blocks that is; `None` if nothing is.
        """
        while _indent(line) < 4 and line.lstrip(" ")[0] in _BEGINS:
            if self._begin_leaf(line, depth, above):
                return None
            rest = self._begin_container(line, depth, above)
            if rest is None:
                break
            line, depth, above = rest, len(self._open), None
            if not rest.strip(" "):
                return None
        return line, depth

    def _text(self, line: str, depth: int) -> None:
        """Take *line*, which begins no block and is in the first *depth* of the open ones."""
        if paragraph := self._paragraph:
            # Also from outside of the blocks around it: a lazy continuation line.
            self._write(paragraph.add(line.lstrip(" "), self._column()))
        elif _indent(line) > 3:
            code = IndentedCode()
            self._start(code, depth)
            self._write(code.add(line[4:], self._column()))
        elif isinstance(self._leaf, Table) and depth == len(self._open):
            self._write(self._leaf.add(line, self._column()))
        else:
            self._start(Paragraph(line.lstrip(" ")), depth)

    def _takes(self, line: str) -> bool:
        """Give *line* to the block that is open if that takes whatever comes."""
        is_blank = not line.strip(" ")
        match self._leaf:
            case Fence() as fence:
                if fence.is_closed_by(line):
                    self._close(len(self._open))
                else:
                    self._write(fence.add(line, self._column()))
            case IndentedCode() as code if is_blank:
                code.skip()
                self._is_after_blank = True
            case IndentedCode() as code if _indent(line) > 3:
                self._write(code.add(line[4:], self._column()))
            case Formula() as formula if not is_blank:
                self._write(formula.add(line, self._column()))
                if formula.is_closed_by(line):
                    self._close(len(self._open))
            case _:
                return False
        return True

    def _begin_leaf(self, line: str, depth: int, above: Paragraph | None) -> bool:
        """Begin the block that *line* begins, if any; *above* is the paragraph that it would follow."""
        start = line.lstrip(" ")
        underline = above and _UNDERLINE.match(start)
        heading = above and underline and above.as_heading(1 if start[0] == "=" else 2)
        if heading:
            self._leaf = heading
        elif found := _HEADING.match(start):
            text = re.sub(r"(?:^| )#+$", "", found[2].strip(" ")).strip(" ")
            self._start(Heading(text, len(found[1])), depth)
        elif found := _FENCE.match(start):
            self._start(Fence(found[1], found[2], _indent(line)), depth)
        elif found := _FORMULA.match(start):
            formula = Formula("$$" if found[0] == "$$" else "\\]")
            self._start(formula, depth)
            self._write(formula.add(start, self._column()))
        elif _RULE.match(start):
            self._start(None, depth)
            self._write([Text().append("-" * self._column().width, "markdown.hr")])
        else:
            return False
        return True

    def _begin_container(self, line: str, depth: int, above: Paragraph | None) -> str | None:
        """Begin the block quote or the item that *line* begins, and return the rest of the line, or `None`."""
        indent, start = _indent(line), line.lstrip(" ")
        if depth >= _DEEPEST:
            return None
        if start[0] == ">":
            self._start(None, depth)
            self._open += (Quote(),)
            return start[1:].removeprefix(" ")
        found = _ITEM.match(start)
        if found is None:
            return None
        rest = start[found.end() :]
        is_blank = not rest.strip(" ")
        if above is not None and (is_blank or (found[1] and int(found[1]) != 1)):
            return None
        spaces = 1 if is_blank or _indent(rest) > 4 else _indent(rest)
        kind = found[0][-1]
        parent = self._open[depth - 1] if depth else None
        if isinstance(parent, List) and parent.kind == kind:
            number = parent.number + 1
            self._close(depth)
            self._begin_block(is_gap=self._is_after_blank)
            self._open = self._open[:-1]
        else:
            number = int(found[1] or 0)
            self._start(None, depth)
        sign = f"{number:>2} " if found[1] else f" {self.page.signs.bullet} "
        self._open += (List(kind, number), Item(indent + found.end() + spaces, sign, is_blank))
        return rest[spaces:]

    def _begin_table(self, line: str, paragraph: Paragraph) -> bool:
        """Begin a table if *line* stands below the head of one, which *paragraph* ends with."""
        above, head = paragraph.split_last_line()
        found = table(head, line.strip(" ")) if _indent(line) < 4 else None
        if found is None:
            return False
        if above is None:
            self._leaf = found
        else:
            self._leaf = above
            self._start(found, len(self._open))
        return True

    def _start(self, leaf: Leaf | None, depth: int) -> None:
        """Begin a block inside the first *depth* of the open ones, which ends the others."""
        if depth and isinstance(self._open[depth - 1], List):
            depth -= 1
        self._close(depth)
        is_first = depth and not self._open[-1].is_begun
        self._begin_block(is_gap=self._is_begun and not is_first and (not depth or self._is_after_blank))
        if depth and isinstance(self._open[-1], Item):
            self._open = (*self._open[:-1], replace(self._open[-1], is_blank=False))
        self._leaf = leaf

    def _begin_block(self, *, is_gap: bool) -> None:
        if is_gap and self._gap is None:
            self._gap = self.page.row(self._margin())
        self._is_after_blank = False

    def _close(self, depth: int) -> None:
        """End the block that is open, and all around it but the first *depth*."""
        if self._leaf is not None:
            self._write(self._leaf.end(self._column()))
            self._leaf = None
        while len(self._open) > depth:
            last = self._open[-1]
            if isinstance(last, Item) and not last.is_begun:
                self._write([Text()])
            self._open = self._open[:-1]

    def _write(self, lines: list[Text]) -> None:
        for line in lines:
            if self._gap is not None:
                self.rows.append(self._gap)
                self._gap = None
            if any(isinstance(container, Quote) for container in self._open):
                line.stylize_before("markdown.block_quote")
            self.rows.append(self.page.row(self._margin().append_text(line) if self._open else line))
            if self._open and not self._open[-1].is_begun:
                self._open = tuple(replace(container, is_begun=True) for container in self._open)
            self._is_begun, self._is_after_blank = True, False

    def _margin(self) -> Text:
        """What stands to the left of the next row: the bars and signs of the blocks around it."""
        signs: list[tuple[str, str]] = []
        room = self.page.width // 2
        for container in reversed(self._open):
            match container:
                case Quote():
                    sign, style = f"{self.page.signs.bar} ", "markdown.block_quote"
                case Item(sign=sign, is_begun=False):
                    style = "markdown.item.number" if any(map(str.isdigit, sign)) else "markdown.item.bullet"
                case Item(sign=sign):
                    sign, style = " " * len(sign), ""
                case _:
                    continue
            room -= len(sign)
            if room < 0:
                break
            signs.append((sign, style))
        return Text.assemble(*reversed(signs))

    def _column(self) -> Column:
        return Column(self.page, self.page.width - len(self._margin()))


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))
