"""Read and make files that hold one line of secret: key files, passphrase files.

Such a file is refused when its group or others can read it, or when it belongs to someone else, as `ssh` does.
"""

import os
import stat
import uuid
from pathlib import Path

from raptchat.errors import RaptchatError, UsageError

# Far more than any key or passphrase; a file of another kind named by mistake ends here.
_MOST_BYTES = 4096


def read_line(path: Path, what: str, *, refusal: type[RaptchatError] = UsageError) -> str:
    """The one line in the file at *path*, without its line end; *what* names the file in errors.

    Raises *refusal* when it cannot be read, or others could have read it, and `UsageError` when it does not hold
    exactly one line of UTF-8 text.
    """
    try:
        # Not O_NOFOLLOW: secrets are mounted as links in containers; what counts is the file behind it.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            _check_private(os.fstat(file.fileno()), path, what, refusal)
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise refusal(f"the {what} `{path}` cannot be read: {error.strerror}") from None
    except ValueError:  # the store can hold a path with a NUL, or one that no file system can write
        raise refusal(f"the {what} cannot be read: its path is none") from None
    try:
        lines = data.decode().splitlines()
    except UnicodeDecodeError:
        lines = []
    if len(data) > _MOST_BYTES or len(lines) != 1:
        raise UsageError(f"the {what} `{path}` must hold exactly one line of text")
    return lines[0]


def make(path: Path, line: str, what: str) -> None:
    """Write *line* into a new file at *path* that only its owner can read; never over another file."""
    # Beside it first: whoever is killed here must not leave a file that is there and empty.
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        try:
            with os.fdopen(os.open(beside, flags, 0o600), "w", encoding="utf-8") as file:
                file.write(f"{line}\n")
                file.flush()
                os.fsync(file.fileno())
            # A link, unlike a renamed file, never takes the place of another.
            path.hardlink_to(beside)
        finally:
            beside.unlink(missing_ok=True)
        folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise UsageError(f"the {what} `{path}` cannot be made: {error.strerror}") from None


def _check_private(status: os.stat_result, path: Path, what: str, refusal: type[RaptchatError]) -> None:
    if not stat.S_ISREG(status.st_mode):
        return  # a pipe, such as a shell's <(command), is the process's own
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise refusal(f"others can read the {what} `{path}`", hint=f"chmod 600 '{path}'")
    if status.st_uid not in {os.geteuid(), 0}:
        raise refusal(f"the {what} `{path}` belongs to another user")
