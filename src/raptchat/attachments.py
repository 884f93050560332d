"""Files that go with a message: read, from bytes, a file or the web, and checked before anything is sent."""

import codecs
import hashlib
import os
import re
import stat
from pathlib import Path
from urllib.parse import unquote, urlsplit

from raptchat.errors import UsageError
from raptchat.media_types import KINDS, is_html, is_sendable_text, media_type_named, media_type_of
from raptchat.outside import safe_line
from raptchat.providers.request import MOST_ATTACHED_BYTES
from raptchat.records import Attachment

_MOST_NAME = 100
_NAME_END = 10
# Where such a file should be, a page is a sign-in, or an error that calls itself a success.
_NO_PAGES = re.compile(
    r"\.(png|jpe?g|webp|gif|pdf|wav|mp3|aiff?|aac|og[ga]|opus|flac|m4a|csv|json)", re.IGNORECASE
)


def from_bytes(content: bytes, name: str, *, most_bytes: int, media_type: str | None = None) -> Attachment:
    """*content* as an attachment called *name*, of the type *media_type*, or else of the one that it shows itself.

    `UsageError` when it is empty, larger than *most_bytes*, or nothing that a model takes.
    """
    name = _shown_name(name)
    if not content:
        raise UsageError(f"`{name}` is empty", hint="is it the right file?")
    if len(content) > most_bytes:
        raise _too_large(name, most_bytes, None)
    found = check_media_type(media_type) if media_type is not None else media_type_of(content)
    if found is None:
        raise UsageError(f"`{name}` is of no kind that a model takes", hint=_way_out(content))
    attachment = Attachment(name, found, hashlib.sha256(content).hexdigest(), len(content), content)
    if attachment.kind == "text" and not is_sendable_text(content):
        raise UsageError(f"`{name}` is not text in UTF-8", hint=_way_out(content))
    return attachment


def from_file(path: Path, *, most_bytes: int, media_type: str | None = None) -> Attachment:
    """The file at *path*; as `from_bytes`, and `UsageError` when it cannot be read or is no plain file."""
    shown = safe_line(str(path))
    try:
        # Not blocking: a pipe into which nobody writes must not hang a script.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            status = os.fstat(descriptor)
            if stat.S_ISDIR(status.st_mode):
                raise UsageError(f"`{shown}` is a folder", hint="attach its files, each with -a")
            if not stat.S_ISREG(status.st_mode):
                raise UsageError(f"`{shown}` is not a plain file", hint="pipe its content in, with -a -")
            if status.st_size > most_bytes:
                raise _too_large(_shown_name(path.name), most_bytes, status.st_size)
            # The size is no promise: a file can grow, and those of /proc have none.
            with open(descriptor, "rb", closefd=False) as file:
                content = file.read(most_bytes + 1)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise UsageError(f"there is no file `{shown}`", hint="check the path and the working folder") from None
    except OSError as error:
        raise UsageError(f"`{shown}` cannot be read: {error.strerror}", hint="check the file: ls -l") from None
    except ValueError:
        raise UsageError(f"`{shown}` is not a path", hint="check it for characters that no path holds") from None
    return from_bytes(content, path.name, most_bytes=most_bytes, media_type=media_type)


def from_url(url: str, *, most_bytes: int, timeout: float, media_type: str | None = None) -> Attachment:
    """What is at *url*; as `from_bytes` and `providers.download.fetch`."""
    from raptchat.providers import download

    parts = urlsplit(download.check_url(url))
    name = unquote(parts.path).rpartition("/")[2] or parts.netloc
    content = download.fetch(url, most_bytes=most_bytes, timeout=timeout)
    if content is None:
        raise _too_large(_shown_name(name), most_bytes, None)
    if media_type is None and _NO_PAGES.fullmatch(Path(name).suffix) and is_html(content):
        raise UsageError(
            f"a web page came instead of `{_shown_name(name)}`",
            hint="open it in a browser: it may want a sign-in; or attach the file itself",
        )
    return from_bytes(content, name, most_bytes=most_bytes, media_type=media_type)


def check_media_type(word: str) -> str:
    """The media type that *word* means; `UsageError` for one that cannot be sent."""
    try:
        return media_type_named(word)
    except ValueError as error:
        raise UsageError(
            f"`{safe_line(word)[:80]}` {error}", hint="such as image/png, application/pdf, audio/mpeg, text/plain"
        ) from None


def _shown_name(name: str) -> str:
    """The name as it is stored and shown; its end stays, since that is where a name says what it is."""
    line = safe_line(name)
    if len(line) <= _MOST_NAME:
        return line
    return f"{line[: _MOST_NAME - 1 - _NAME_END]}…{line[-_NAME_END:]}"


def _too_large(name: str, most_bytes: int, size: int | None) -> UsageError:
    most = f"{most_bytes // 2**20} MiB"
    needed = 2 * most_bytes if size is None else size
    if needed > MOST_ATTACHED_BYTES:
        hint = f"attach a part of it: one request takes {MOST_ATTACHED_BYTES // 2**20} MiB"
    else:
        hint = f"raptchat config set max_attachment_mb {-(-needed // 2**20)}"
    return UsageError(f"`{name}` is larger than {most}", hint=hint)


def _way_out(content: bytes) -> str:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "if it is text in UTF-16: iconv -f UTF-16 -t UTF-8 FILE | raptchat chat -a -"
    return f"known are {KINDS}; --at FILE TYPE says what it is"
