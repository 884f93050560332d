"""What `-a` and `/attach` name: a file, a URL, or `-` for standard input."""

import re
from pathlib import Path

from raptchat import attachments
from raptchat.cli.invocation import Invocation
from raptchat.cli.piped import read_bytes, say_if_silent
from raptchat.errors import UsageError
from raptchat.outside import safe_line
from raptchat.records import Attachment
from raptchat.render.waiting import Waiting

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


def load(run: Invocation, word: str, *, media_type: str | None = None, quiet: bool = False) -> Attachment:
    """The attachment that *word* names, of the type *media_type*, or else of the one its content shows.

    `-` can be read once; a URL is waited for in sight, unless *quiet*. `UsageError` when it cannot be read, is
    larger than the setting `max_attachment_mb`, or is nothing that a model takes.
    """
    if media_type is not None:
        media_type = attachments.check_media_type(media_type)
    settings = run.factory.settings
    most = settings.max_attachment_bytes
    if word == "-":
        say_if_silent(run.terminal, "-a - reads it")
        return attachments.from_bytes(read_bytes(most + 1), "stdin", most_bytes=most, media_type=media_type)
    if scheme := _URL.match(word):
        if scheme[1].lower() not in {"http", "https"}:
            raise UsageError(
                f"`{safe_line(scheme[0])}` cannot be fetched", hint="name a file, or an https:// address"
            )
        with Waiting(run.terminal, model="the attachment", quiet=quiet) as waiting:
            waiting.note("waiting")
            timeout = settings.timeout_seconds
            return attachments.from_url(word, most_bytes=most, timeout=timeout, media_type=media_type)
    return attachments.from_file(_path(word), most_bytes=most, media_type=media_type)


def _path(word: str) -> Path:
    if not word:
        raise UsageError("the name of the attachment is empty", hint="is the variable set that should name it?")
    try:
        # In a conversation there is no shell that does it.
        return Path(word).expanduser()
    except (RuntimeError, ValueError):  # no such user, or a NUL in its name
        raise UsageError(f"there is no home folder for `{safe_line(word)}`", hint="name the whole path") from None
