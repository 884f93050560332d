"""What stands in a file of another client's: its keys, and where in its text they are."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from raptchat.secret import Secret


class Entry(NamedTuple):
    """One key in a file's text: *name* is what the file calls it, *service* whose key it is by that.

    *base_url* is what stands beside it, or `None`. *span* is the part of the text, in characters, that *instead*
    takes the place of where the key is removed; `None` where there is nothing to edit.
    """

    name: str
    service: str
    key: Secret
    base_url: str | None = None
    span: tuple[int, int] | None = None
    instead: str = ""


Reader = Callable[[str], list[Entry]]


class Source(NamedTuple):
    """A file of a client's, and what reads it: `ValueError` says why a text has another form."""

    path: Path
    reader: Reader
