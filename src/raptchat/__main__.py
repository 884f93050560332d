"""`raptchat` and `python -m raptchat`: what runs before anything else is imported, and after all is done."""

import atexit
import gc
import io
import os
import sys

from raptchat import __version__

# A short command makes half as many and drops none: to look for garbage after every 700, as Python does, would be
# a fourteenth of its time, for nothing. What goes on for longer collects all the same.
_OBJECTS_BEFORE_COLLECTION = 100_000


def main() -> None:
    """Run the command line, and end the process."""
    try:
        if sys.argv[1:] == ["--version"] and "_RAPTCHAT_COMPLETE" not in os.environ:
            _write_version()
        _buffer_output()
        gc.set_threshold(_OBJECTS_BEFORE_COLLECTION)
        try:
            from raptchat.cli import app

            app(prog_name="raptchat")
        except SystemExit as ended:
            if not isinstance(ended.code, int):
                raise
            _leave(ended.code)
    except KeyboardInterrupt:  # before the command began, or after it ended
        _leave(130)


def _write_version() -> None:
    """Write the version and end the process; what cannot be written so goes the usual way, which says why."""
    line = f"raptchat {__version__}\n".encode()
    try:
        written = os.write(sys.stdout.fileno(), line)
    except (AttributeError, OSError, ValueError):  # there is no standard output, or it takes nothing
        return
    if written == len(line):
        _leave(0)


def _buffer_output() -> None:
    """Undo `PYTHONUNBUFFERED`: with it Python drops, without a word, what a full disk did not take of a write."""
    out = sys.stdout
    if out is not None and isinstance(out.buffer, io.RawIOBase):
        sys.stdout = os.fdopen(out.fileno(), "w", encoding=out.encoding, errors=out.errors, closefd=False)


def _leave(code: int) -> None:
    """End the process as Python does, but for tearing the interpreter down, a fifth of the time of a chat.

    The command has written, stored and closed everything, and no thread that is left is waited for. What is
    registered to run at the end does run.
    """
    if _is_profiled():
        sys.exit(code)
    atexit._run_exitfuncs()  # noqa: SLF001 - public under no other name
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()  # what such a function left in it
        except (AttributeError, OSError, ValueError):  # the exit code is still the command's own
            continue
    os._exit(code)


def _is_profiled() -> bool:
    """Whether a profiler runs this, which says only afterwards what it saw."""
    if sys.version_info >= (3, 12) and sys.monitoring.get_tool(sys.monitoring.PROFILER_ID):
        return True
    return sys.getprofile() is not None


if __name__ == "__main__":
    main()
