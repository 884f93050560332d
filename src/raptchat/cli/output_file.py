"""What is written to the file that a person named."""

import os
from collections.abc import Callable
from pathlib import Path

from raptchat import whole_file
from raptchat.errors import OutputError
from raptchat.outside import safe_line


def write(path: Path, content: str | bytes, *, agreed: Callable[[], bool]) -> bool:
    """Write *content*, text in UTF-8, to the file at *path*, and over one that is there once that is *agreed*.

    Returns whether it was written. A file is there whole or as it was; a link stays one, and a pipe or a device
    takes the content without a question. `OutputError` when it cannot be written.
    """
    try:
        place = Path(os.path.realpath(path))
        if place.exists() and not place.is_file():  # a folder says so
            place.write_bytes(content.encode() if isinstance(content, str) else content)
            return True
        if place.exists() and not agreed():
            return False
        place.parent.stat()  # one that is not there was mistyped
        whole_file.write(place, content)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or "it is no name of a file"
        raise OutputError(f"`{safe_line(str(path))}` cannot be written: {reason}") from None
    return True


def would_replace(path: Path) -> bool:
    """Whether `write` would ask: there is a file at *path*. A name that is none is for `write` to refuse."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
