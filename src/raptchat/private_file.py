"""Read and make files that hold one line of secret: key files, passphrase files.

Such a file is refused when its group or others can read it, or when it belongs to someone else, as `ssh` does.
"""

import errno
import os
import select
import stat
import time
from pathlib import Path

from raptchat.errors import RaptchatError, UsageError

# Far more than any key or passphrase; a file of another kind named by mistake ends here.
_MOST_BYTES = 4096
# Behind a pipe there may be a person who types a PIN; a script must not hang for ever all the same.
PIPE_SECONDS = 120.0


def read_line(path: Path, what: str, *, refusal: type[RaptchatError] = UsageError, regular: bool = False) -> str:
    """The one line in the file at *path*, without its line end; *what* names the file in errors.

    Raises *refusal* when it cannot be read, or others could have read it, or when it is a pipe and must be
    *regular*, and `UsageError` when it does not hold exactly one line of UTF-8 text.
    """
    lines = read_lines(path, what, refusal=refusal, regular=regular)
    if len(lines) != 1:
        raise UsageError(f"the {what} `{path}` must hold exactly one line of text", hint="is it the right file?")
    return lines[0]


def read_lines(
    path: Path, what: str, *, refusal: type[RaptchatError] = UsageError, regular: bool = False
) -> list[str]:
    """All lines of such a file; none for one that is too large, or not UTF-8. Raises *refusal* as `read_line`."""
    try:
        # Not O_NOFOLLOW: secrets are mounted as links in containers; what counts is the file behind it.
        # Not blocking either: a pipe into which nobody writes must not hang a script.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            status = os.fstat(descriptor)
            if regular and not stat.S_ISREG(status.st_mode):
                raise refusal(f"the {what} `{path}` is no regular file", hint="put it back, or name another")
            _check_private(status, path, what, refusal)
            data = _read(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise refusal(
            f"the {what} `{path}` cannot be read: {error.strerror}", hint="put it back, or name another"
        ) from None
    except ValueError:  # the store can hold a path with a NUL, or one that no file system can write
        raise refusal(f"the {what} cannot be read: its path is none") from None
    try:
        return data.decode().splitlines() if len(data) <= _MOST_BYTES else []
    except UnicodeDecodeError:
        return []


def make(path: Path, line: str, what: str) -> None:
    """Write *line* into a new file at *path* that only its owner can read; never over another file."""
    from raptchat import whole_file

    try:
        whole_file.write(path, f"{line}\n", replace=False)
    except OSError as error:
        raise UsageError(f"the {what} `{path}` cannot be made: {error.strerror}") from None


def _read(descriptor: int) -> bytes:
    data, end = b"", time.monotonic() + PIPE_SECONDS
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    while len(data) <= _MOST_BYTES:
        if not poll.poll(max(0.0, end - time.monotonic()) * 1000):
            raise TimeoutError(errno.ETIMEDOUT, f"nothing came for {PIPE_SECONDS:g} s")
        piece = os.read(descriptor, _MOST_BYTES)
        if not piece:
            break
        data += piece
    return data


def _check_private(status: os.stat_result, path: Path, what: str, refusal: type[RaptchatError]) -> None:
    if not stat.S_ISREG(status.st_mode):
        return  # a pipe, such as a shell's <(command), is the process's own
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise refusal(f"others can read the {what} `{path}`", hint=f"chmod 600 '{path}'")
    if status.st_uid not in {os.geteuid(), 0}:
        raise refusal(f"the {what} `{path}` belongs to another user")
