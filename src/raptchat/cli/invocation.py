"""What every command is handed: the terminal, the factory, and the flags that all of them share."""

import os
import signal
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import FrameType
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from raptchat.caller import Caller
from raptchat.errors import UsageError
from raptchat.factory import Factory
from raptchat.outside import safe_line
from raptchat.render import Terminal


class Terminated(BaseException):
    """SIGTERM or SIGHUP came; rises through everything, so that what arrived is kept on the way."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def raise_terminated(number: int, frame: FrameType | None) -> None:
    """The handler of both signals."""
    del frame
    # A second one, while the first is being dealt with, would lose what the first one saves.
    signal.signal(number, signal.SIG_IGN)
    raise Terminated(number)


@dataclass
class Invocation:
    """One run of the command line."""

    terminal: Terminal = field(default_factory=Terminal.of_process)
    store: Path | None = None
    json: bool = False
    command: str = "raptchat"

    @cached_property
    def factory(self) -> Factory:
        """Settings, store and vault, each opened on first use."""
        return Factory(
            store=self.store,
            caller=Caller(command=self.command),
            ask=ask_hidden if self.person_present else None,
            tell=self.terminal.say,
        )

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
        if self.answer(f"{question}? [y/N] ") not in {"y", "yes"}:
            self.terminal.say("nothing was changed")
            raise typer.Exit(1)

    def answer(self, question: str) -> str:
        """What is typed after *question*, in small letters; nothing for what is no text."""
        self.terminal.write_error(safe_line(question))
        try:
            return input().strip().lower()
        except UnicodeDecodeError:
            return ""

    def close(self) -> None:
        """Let go of the store, if it was opened."""
        if "factory" in self.__dict__:
            self.factory.close()


def ask_hidden(prompt: str) -> str:
    """What is typed at the terminal after *prompt*, without echo; `UsageError` where there is none.

    The terminal is asked, not standard input: that may be a pipe.
    """
    from getpass import GetPassWarning, getpass

    if not _has_terminal():
        raise UsageError("there is no terminal to ask at", hint="give it with --stdin, or in a file")
    with warnings.catch_warnings():
        # getpass falls back to a prompt that shows what is typed.
        warnings.simplefilter("error", GetPassWarning)
        try:
            return getpass(safe_line(prompt))
        except GetPassWarning:
            raise UsageError("the terminal cannot hide what is typed", hint="give it with --stdin") from None
        except (EOFError, UnicodeDecodeError):
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


class HelpToTerminal:
    """Writes `--help` as any other result is written: a full disk or a closed pipe ends it the same way.

    Every error about words and flags knows whose help tells more.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: D102
        try:
            return super().parse_args(ctx, args)  # type: ignore[misc, no-any-return]
        except typer.TyperException as error:
            # What is wrong with a flag that lacks its value does not say whose flag it is.
            if getattr(error, "ctx", None) is None:
                error.ctx = ctx  # type: ignore[attr-defined]
            raise

    def get_help_option(self, ctx: Any) -> Any:  # noqa: D102
        option = super().get_help_option(ctx)  # type: ignore[misc]
        option.callback = _show_help
        return option


def _show_help(ctx: typer.Context, param: object, value: bool) -> None:
    del param
    if value and not ctx.resilient_parsing:
        invocation(ctx).terminal.write(ctx.get_help() + "\n")
        raise typer.Exit(0)


class Command(HelpToTerminal, TyperCommand):
    """A command; `--store` and `--json` may stand behind each of them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += [json_option(), store_option()]

    def invoke(self, ctx: Any) -> Any:  # noqa: D102
        run = invocation(ctx)
        # For the ledger's events: the words, without any argument.
        run.command = ctx.command_path.removeprefix(f"{ctx.find_root().command_path} ")
        return super().invoke(ctx)


def json_option() -> TyperOption:
    """`--json`, which every command takes."""
    return TyperOption(
        param_decls=["--json"],
        is_flag=True,
        default=False,
        help="Write one JSON document; errors as JSON on standard error.",
        expose_value=False,
        callback=_on(lambda run, value: setattr(run, "json", run.json or value)),
    )


def store_option() -> TyperOption:
    """`--store PATH`, which may stand before or after the command."""
    return TyperOption(
        param_decls=["--store"],
        type=str,
        metavar="PATH",
        help="The store to use, instead of the default one.",
        expose_value=False,
        callback=_on(_choose_store),
    )


def _choose_store(run: Invocation, value: str | None) -> None:
    if value == "":
        raise UsageError("`--store` names no file", hint="is the variable set that should name it?")
    run.store = Path(value) if value else run.store


def _on(do: Callable[[Invocation, Any], None]) -> Callable[..., None]:
    def callback(ctx: typer.Context, param: object, value: Any) -> None:
        del param
        do(invocation(ctx), value)

    return callback


class Noun(HelpToTerminal, TyperGroup):
    """A word with commands under it; the bare word, with flags or without, means its first command."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += [json_option(), store_option()]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: D102
        first = _first_word(args)
        bare = first is None or (first.startswith("-") and first not in {"--help", "-h"})
        # While a word is being completed it is not there yet.
        if bare and not ctx.resilient_parsing:
            args = [next(iter(self.commands)), *args]
        return super().parse_args(ctx, args)


def _first_word(args: list[str]) -> str | None:
    """What comes first behind the flags that stand with a noun."""
    words = iter(args)
    for word in words:
        if word == "--store":
            next(words, None)
        elif word != "--json" and not word.startswith("--store="):
            return word
    return None


def noun(text: str) -> typer.Typer:
    """A new `raptchat WORD`, described by *text*; the first command that it gets is what the bare word does."""
    return typer.Typer(cls=Noun, help=text, rich_markup_mode=None, no_args_is_help=False)
