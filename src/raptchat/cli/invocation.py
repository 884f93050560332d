"""What every command is handed: the terminal, the factory, and a way to ask the person there."""

import os
import signal
import warnings
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import typer

from raptchat.errors import UsageError
from raptchat.outside import safe_line
from raptchat.render import Terminal
from raptchat.secret import Secret

if TYPE_CHECKING:
    from raptchat.factory import Factory
    from raptchat.render.passing_line import PassingLine


class Terminated(BaseException):
    """SIGTERM, SIGHUP or SIGQUIT came; rises through everything, so that what arrived is kept on the way."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def raise_terminated(number: int, frame: FrameType | None) -> None:
    """The handler of these signals."""
    del frame
    # A second one, while the first is being dealt with, would lose what the first one saves.
    signal.signal(number, signal.SIG_IGN)
    raise Terminated(number)


class Invocation:
    """One run of the command line."""

    def __init__(self, terminal: Terminal | None = None) -> None:
        self.terminal = terminal or Terminal.of_process()
        self.store: Path | None = None
        self.json = False
        self.command = "raptchat"
        # A new recovery key, on its way into the document that `--json` writes.
        self.recovery_key: Secret | None = None

    @cached_property
    def factory(self) -> "Factory":
        """Settings, store and vault, each opened on first use."""
        from raptchat.caller import Caller
        from raptchat.factory import Factory

        return Factory(
            store=self.store,
            caller=Caller(command=self.command),
            ask=ask_hidden if self.person_present else None,
            tell=self.terminal.say,
            show=self._show,
            keep=self._keep_recovery_key,
        )

    @cached_property
    def _passing_line(self) -> "PassingLine":
        from raptchat.render.passing_line import PassingLine

        return PassingLine(self.terminal)

    @cached_property
    def person_present(self) -> bool:
        """Whether somebody can be asked: standard error is seen, and there is a terminal to type at."""
        return self.terminal.err_is_tty and _has_terminal()

    def confirm(self, question: str, *, yes: bool) -> None:
        """Go on when *yes* or when the person says so; without a person it needs `--yes`."""
        if yes:
            return
        if not (self.terminal.in_is_tty and self.terminal.err_is_tty):
            raise UsageError(f"{question} needs --yes where there is no terminal", hint="add --yes")
        if not self.agreed(question):
            self.terminal.say("nothing was changed")
            raise typer.Exit(1)

    def agreed(self, question: str) -> bool:
        """Whether the person answers *question* with yes; anything else, Ctrl-D too, is a no."""
        try:
            return self.answer(f"{question}? [y/N] ") in {"y", "yes"}
        except EOFError:
            return False

    def answer(self, question: str) -> str:
        """What is typed after *question*, in small letters; as `typed`."""
        return self.typed(question).lower()

    def typed(self, question: str) -> str:
        """What is typed after *question*; nothing for what is no text.

        Ctrl-D is an `EOFError`, and what comes after it or after Ctrl-C begins a line.
        """
        try:
            self.terminal.write_error(safe_line(question))
            return input().strip()
        except UnicodeDecodeError:
            return ""
        except (EOFError, KeyboardInterrupt):
            self.terminal.say("")
            raise

    def _show(self, line: str) -> None:
        self._passing_line.show(line)

    def _keep_recovery_key(self, text: str) -> None:
        from raptchat.cli import recovery

        recovery.keep(self, text)

    def close(self) -> None:
        """Let go of the store, if it was opened."""
        if "factory" in self.__dict__:
            self.factory.close()


def ask_hidden(prompt: str, *, otherwise: str = "give it with --stdin, or in a file") -> str:
    """What is typed at the terminal after *prompt*, without echo; `UsageError` where there is none.

    The terminal is asked, not standard input: that may be a pipe. *otherwise* is the way of whoever has none.
    """
    from getpass import GetPassWarning, getpass

    if not _has_terminal():
        raise UsageError("there is no terminal to ask at", hint=otherwise)
    with warnings.catch_warnings():
        # getpass falls back to a prompt that shows what is typed.
        warnings.simplefilter("error", GetPassWarning)
        try:
            return getpass(safe_line(prompt))
        except GetPassWarning:
            raise UsageError("the terminal cannot hide what is typed", hint=otherwise) from None
        except KeyboardInterrupt:
            Terminal.of_process().say("")
            raise
        except (EOFError, UnicodeDecodeError):
            Terminal.of_process().say("")
            raise UsageError("nothing was typed", hint="type or paste it, then Enter") from None


def _has_terminal() -> bool:
    with suppress(OSError):
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
        return True
    return False


def invocation(ctx: typer.Context) -> Invocation:
    """The run that *ctx* is part of."""
    found = ctx.find_root().obj
    assert isinstance(found, Invocation)
    return found
