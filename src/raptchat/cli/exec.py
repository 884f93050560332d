"""`raptchat exec`: another program, with a group's key in its environment."""

import os
import resource
import shutil
import signal
from typing import Annotated, NoReturn

import typer

from raptchat.cli.command import Command
from raptchat.cli.invocation import Invocation, invocation
from raptchat.cli.options import choose_group
from raptchat.errors import UsageError
from raptchat.outside import safe_line, shortened, without_keys

# As env(1) and every shell have it.
_CANNOT_RUN, _NOT_FOUND = 126, 127
# Python ignores them; the program must meet them as it would without raptchat.
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command("exec", cls=Command, context_settings={"allow_interspersed_args": False})
def exec_(
    ctx: typer.Context,
    command: Annotated[
        list[str], typer.Argument(metavar="COMMAND...", help="The program and its words.", show_default=False)
    ],
    group: Annotated[
        str | None,
        typer.Option("--group", "-g", metavar="G", help="The group that pays: name, id, or the id's beginning."),
    ] = None,
    env: Annotated[
        str, typer.Option("--env", metavar="NAME", help="The variable for the key, such as OPENAI_API_KEY.")
    ] = "OPENROUTER_API_KEY",
    no_rules: Annotated[
        bool, typer.Option("--no-rules", help="Lend it although the group has rules or a budget.")
    ] = False,
) -> None:
    """Run another program with a group's key in its environment.

    The gateway's address goes along where the program has a variable for it, and every other variable that is
    known to hold a key of a language model is taken out. Its words stand behind `--`; its exit code is that of
    raptchat. What it spends is not in raptchat's books, and no rule or budget of the group holds for it.
    """
    run = invocation(ctx)
    if run.json:
        raise UsageError("exec has no JSON form: what is written is the program's own")
    run_exec(command, group, env, run, despite_rules=no_rules)


def run_exec(
    command: list[str], group: str | None, variable: str, run: Invocation, *, despite_rules: bool = False
) -> NoReturn:
    """Become the program, whose signals, exit code and terminal are then its own."""
    from raptchat.lending import book, lend

    program = _path_of(command[0])
    core = resource.getrlimit(resource.RLIMIT_CORE)
    chosen = choose_group(run, group).group
    loan = lend(run.factory, chosen, os.environ, variable=variable, despite_rules=despite_rules)
    book(run.factory, chosen, loan.credential)
    run.close()
    run.terminal.finish()
    _restore(core)
    child = loan.environment
    try:
        os.execve(program, command, env=child)  # noqa: S606 - no shell: the words are those that were typed
    except OSError as error:
        raise _unusable(command[0], f"cannot be run: {error.strerror}", _CANNOT_RUN) from None


def _path_of(program: str) -> str:
    if found := shutil.which(program):
        return found
    there = os.path.exists(program) if "/" in program else shutil.which(program, os.F_OK)  # noqa: PTH110
    if there:
        raise _unusable(program, "cannot be run", _CANNOT_RUN)
    raise _unusable(program, "is not there", _NOT_FOUND)


def _unusable(program: str, why: str, exit_code: int) -> UsageError:
    shown = shortened(safe_line(without_keys(program)), 80)
    error = UsageError(f"the program `{shown}` {why}", hint="check its name, and the PATH")
    error.exit_code = exit_code
    return error


def _restore(core: tuple[int, int]) -> None:
    """Undo what is no concern of the program: signals that Python ignores, and that there is no core file."""
    for number in _IGNORED_BY_PYTHON:
        signal.signal(number, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, core)
