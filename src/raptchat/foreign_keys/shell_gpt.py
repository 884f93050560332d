"""`shell_gpt`: `~/.config/shell_gpt/.sgptrc`, a `NAME=value` a line (TheR1D/shell_gpt, `sgpt/config.py`)."""

from collections.abc import Iterator, Mapping

from raptchat.foreign_keys import folders
from raptchat.foreign_keys.entries import Source
from raptchat.foreign_keys.variables import read_variables


def sources(environ: Mapping[str, str]) -> Iterator[Source]:
    """The files with its keys."""
    yield Source(folders.home(environ) / ".config" / "shell_gpt" / ".sgptrc", read_variables)
