"""The blocks that hold other blocks: quotes and lists (CommonMark 0.31, section 5)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Quote:
    """A block quote."""

    is_begun: bool = False

    def inside(self, line: str) -> str | None:
        """What of *line* is in the quote; `None` if nothing is."""
        text = line.lstrip(" ")
        if not text.startswith(">") or len(line) - len(text) > 3:
            return None
        return text[1:].removeprefix(" ")


@dataclass(frozen=True, slots=True)
class List:
    """A list whose markers end in *kind*; *number* is that of its last item."""

    kind: str
    number: int
    is_begun: bool = True

    def inside(self, line: str) -> str | None:
        """All of *line*: whether it is in the list its items decide."""
        return line


@dataclass(frozen=True, slots=True)
class Item:
    """An item of a list, shown with *sign*; its text begins in column *indent* of the list's.

    *is_blank* while only its sign has come: then an empty line ends it.
    """

    indent: int
    sign: str
    is_blank: bool
    is_begun: bool = False

    def inside(self, line: str) -> str | None:
        """What of *line* is in the item; `None` if nothing is."""
        if line[: self.indent].strip(" "):
            return None
        if self.is_blank and not line.strip(" "):
            return None
        return line[self.indent :]


Container = Quote | List | Item
