"""A result that may be longer than the screen, shown in the person's pager, as `git` and `gh` do."""

import os
import shlex
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from raptchat.config import child_environment
from raptchat.interruptions import handled_by
from raptchat.render import Page, Terminal, encoding_of

# less: end at once when all fits on the screen, let colours through, leave the text on the screen at the end.
# lv: let colours through.
_DEFAULTS = {"LESS": "FRX", "LV": "-c"}


@contextmanager
def paged(terminal: Terminal, environ: Mapping[str, str] = os.environ) -> Iterator[Terminal]:
    """A terminal whose output goes through `PAGER` (default `less`) once the block is left.

    Where nobody can turn a page it is *terminal* itself: in a pipe, without a keyboard, at `TERM=dumb`, or with an
    empty `PAGER` or `cat`. A pager that does not start is done without; one that is quit early ends quietly.
    """
    command = _command(environ) if terminal.in_is_tty and terminal.repaints else []
    if not command:
        yield terminal
        return
    page = Page(encoding_of(terminal.out))
    yield replace(terminal, out=page, repaints=False)
    text = page.getvalue()
    if text and not _show(command, text, terminal, environ):
        terminal.write(text)


def _command(environ: Mapping[str, str]) -> list[str]:
    try:
        command = shlex.split(environ.get("PAGER", "less"))
    except ValueError:  # a quotation that does not end
        return []
    return [] if command == ["cat"] else command


def _show(command: list[str], text: str, terminal: Terminal, environ: Mapping[str, str]) -> bool:
    """Show *text* with *command* and wait until the person has read it; whether the pager could be started."""
    from subprocess import PIPE, Popen

    child = {**_DEFAULTS, **child_environment(environ)}
    try:
        # Ctrl-C is the pager's: in `less` it ends a search. The terminal may be another one than this process's.
        with (
            handled_by(lambda *_: None, [signal.SIGINT]),
            Popen(command, stdin=PIPE, stdout=terminal.out, env=child) as pager,
        ):
            try:
                pager.communicate(text.encode(encoding_of(terminal.out), "replace"))
            except BaseException:  # SIGTERM: without us nobody takes the terminal back from it
                pager.terminate()
                raise
    except (OSError, ValueError):  # it is not there; or the terminal is none, and PAGER no name of a file
        return False
    return True
