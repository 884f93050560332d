"""`fabric`: `~/.config/fabric/.env` (danielmiessler/fabric, `internal/plugins/db/fsdb/db.go`)."""

from collections.abc import Iterator, Mapping

from raptchat.foreign_keys import folders
from raptchat.foreign_keys.entries import Source
from raptchat.foreign_keys.variables import read_variables


def sources(environ: Mapping[str, str]) -> Iterator[Source]:
    """The files with its keys."""
    yield Source(folders.home(environ) / ".config" / "fabric" / ".env", read_variables)
