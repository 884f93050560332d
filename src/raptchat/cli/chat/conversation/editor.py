"""The person's own editor, for a message of many lines."""

import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from raptchat.config import child_environment
from raptchat.errors import UsageError
from raptchat.interruptions import handled_by
from raptchat.outside import safe_line

_FALLBACK = "vi"


def edit(text: str, environ: Mapping[str, str] = os.environ) -> str:
    """*text* as it was left in `$VISUAL`, `$EDITOR` or `vi`, without the newline at its end.

    The file is in a folder that only its owner can enter, and goes with it, backups of the editor included.
    `UsageError` when the editor cannot be started, ends with a failure (as `:cq` does in vim), or leaves no text.
    """
    words = _words(environ)
    shown = safe_line(words[0])
    try:
        with tempfile.TemporaryDirectory(prefix="raptchat-") as folder:
            file = Path(folder) / "message.md"
            file.touch(mode=0o600)
            file.write_text(text, encoding="utf-8")
            # Ctrl-C is the editor's.
            with handled_by(lambda *_: None, [signal.SIGINT]):
                ended = subprocess.run([*words, str(file)], env=child_environment(environ), check=False)
            if ended.returncode:
                raise UsageError(f"the editor `{shown}` failed ({ended.returncode}); the text is as it was")
            return file.read_bytes().decode().rstrip("\r\n")
    except (OSError, ValueError) as error:
        if isinstance(error, UnicodeDecodeError):
            raise UsageError(f"the editor `{shown}` left no UTF-8 text; the text is as it was") from None
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"the editor `{shown}` cannot be used: {safe_line(str(reason))}", hint="export EDITOR=nano"
        ) from None


def _words(environ: Mapping[str, str]) -> list[str]:
    command = environ.get("VISUAL") or environ.get("EDITOR") or _FALLBACK
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UsageError(
            f"the editor `{safe_line(command)}` cannot be read: {str(error).lower()}",
            hint="export EDITOR=nano",
        ) from None
    return words or [_FALLBACK]
