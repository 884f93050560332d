"""The app: knows the command files, turns an error into text and an exit code.

No command prints an error, catches one to print it, or exits: they raise.
"""

import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from raptchat import __version__
from raptchat.cli.command import HelpToTerminal, store_option
from raptchat.cli.commands import COMMANDS, all_commands
from raptchat.cli.invocation import Invocation, Terminated, invocation, raise_terminated
from raptchat.errors import RaptchatError, SignalledError, UsageError
from raptchat.interruptions import TERMINATIONS
from raptchat.outside import without_keys
from raptchat.render.errors import error as show_error
from raptchat.secret import without_secrets

# Set by the completion scripts, to the name of the shell that asks.
COMPLETE_VARIABLE = "_RAPTCHAT_COMPLETE"

_EXTRA_WORDS = r"(?s)Got unexpected extra argument.*"
_LONG_WORD = r"(?s)No such command '[^']{16,}'.*"
_KEY_FLAGS = r"(?s) \(?(Possible options:|Did you mean).*--(api-)?key\b(?!-).*"


class Cli(HelpToTerminal, TyperGroup):
    """The one place where an error becomes text and an exit code."""

    entries = COMMANDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(store_option())
        self.commands = all_commands(self.commands)  # type: ignore[assignment]  # nobody adds to it later

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of the commands, none of which is imported for it."""
        del ctx
        return list(self.commands)

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """The commands that begin so, and the flags; imports none of the commands."""
        from typer._click.shell_completion import CompletionItem

        items = [
            CompletionItem(name, help=entry.help)
            for name, entry in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return [*items, *super(TyperGroup, self).shell_complete(ctx, incomplete)]

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Run the command line and exit."""
        if shell := os.environ.get(COMPLETE_VARIABLE):
            from raptchat.cli.completing.answer import answer

            answer(self, shell)
        words = kwargs["args"] if "args" in kwargs else (args[0] if args else None)
        words = list(sys.argv[1:] if words is None else words)
        run = Invocation()
        handlers = {number: signal.getsignal(number) for number in TERMINATIONS}
        # One that whoever started this ignores (`nohup`) stays ignored.
        before = {number: handler for number, handler in handlers.items() if handler != signal.SIG_IGN}
        try:
            for number in before:
                signal.signal(number, raise_terminated)
            _check_words(words)
            code = super().main(**{**kwargs, "args": words, "standalone_mode": False, "obj": run}) or 0
        except typer.TyperException as error:  # wrong words or flags
            code = _report(run, words, UsageError(_usage_message(error), hint=f"{_command(error)} --help"))
        except typer.Abort:
            code = _report(run, words, SignalledError())
        except RaptchatError as error:
            code = _report(run, words, error)
        except Terminated as signalled:  # before the command began, or after it ended
            code = 128 + signalled.number
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            run.close()
            run.terminal.finish()
        sys.exit(code)

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Read the words before the command; what is no error of ours becomes one."""
        with _border(kwargs["obj"]):
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; what is no error of ours becomes one."""
        with _border(invocation(ctx)):
            return super().invoke(ctx)


@contextmanager
def _border(run: Invocation) -> Iterator[None]:
    try:
        yield
    except (RaptchatError, typer.TyperException, typer.Abort, typer.Exit):
        raise
    except KeyboardInterrupt:
        raise SignalledError from None
    except EOFError:  # Ctrl-D at a question
        raise SignalledError from None
    except Terminated as signalled:
        raise SignalledError("terminated", exit_code=128 + signalled.number) from None
    except BrokenPipeError:
        raise typer.Exit(0) from None  # `| head -1` has what it wanted
    except Exception as error:  # noqa: BLE001 - the border to bugs: they too end in one line
        if os.environ.get("RAPTCHAT_DEBUG"):
            import traceback

            said = without_secrets(without_keys("".join(traceback.format_exception(error))))
            run.terminal.say(*said.splitlines())
        raise RaptchatError(
            f"a bug in raptchat: {type(error).__name__}",
            hint="run it again with RAPTCHAT_DEBUG=1 and report what it says (README, Reporting a bug)",
        ) from None


def _check_words(words: list[str]) -> None:
    # Python hands over bytes that are no UTF-8 as surrogates, which neither the store nor a request takes.
    for number, word in enumerate(words, start=1):
        try:
            word.encode()
        except UnicodeEncodeError as error:
            raise UsageError(
                f"word {number} of the command is not valid UTF-8 at position {error.start}",
                hint="check the terminal's encoding",
            ) from None


def _command(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    return context.command_path if context is not None else "raptchat"


def _usage_message(error: typer.TyperException) -> str:
    format_message = getattr(error, "format_message", None)
    text = str(format_message() if format_message else error)
    # A word in the wrong place may be a key: that there is one is said, and not which.
    text = re.sub(_EXTRA_WORDS, "more words than the command takes", text)
    text = re.sub(_LONG_WORD, "there is no such command", text)
    # Nor are the flags suggested that are only there to refuse a key.
    text = re.sub(_KEY_FLAGS, "", text)
    return text[:1].lower() + text[1:].removesuffix(".") if text else "wrong words or flags"


def _report(run: Invocation, words: list[str], error: RaptchatError) -> int:
    # Also for words that could not be parsed. Behind `--` nothing is a flag.
    flags = words[: words.index("--")] if "--" in words else words
    show_error(run.terminal, error, as_json=run.json or bool({"--json", "--jsonl"} & set(flags)))
    return error.exit_code


app = typer.Typer(
    cls=Cli,
    name="raptchat",
    help="Chat with language models; each group pays with its own, encrypted API key.",
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(ctx: typer.Context, wanted: bool) -> None:
    if wanted:
        invocation(ctx).terminal.write(f"raptchat {__version__}\n")
        raise typer.Exit(0)


@app.callback(invoke_without_command=True)
def raptchat(
    ctx: typer.Context,
    version: bool = typer.Option(False, "--version", is_eager=True, callback=_version, help="Show the version."),
) -> None:
    """Chat with language models; each group pays with its own, encrypted API key."""
    del version
    if ctx.invoked_subcommand is None:
        invocation(ctx).terminal.write(ctx.get_help() + "\n")
