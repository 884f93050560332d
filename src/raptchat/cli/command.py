"""The kinds of command: how each reads its words, shows its help, and takes the flags that all of them share."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from raptchat.cli.invocation import Invocation, invocation
from raptchat.errors import UsageError

if TYPE_CHECKING:
    from typer._click import Command as AnyCommand
else:
    AnyCommand = object


class HelpToTerminal(AnyCommand):
    """Writes `--help` as any other result is written: a full disk or a closed pipe ends it the same way.

    Its options stand under headings, then come the examples. Every error about words and flags knows whose help
    tells more.
    """

    def get_help(self, ctx: Any) -> str:  # noqa: D102
        from raptchat.cli import help as help_page

        formatter = ctx.make_formatter()
        formatter.width = min(invocation(ctx).terminal.width, help_page.WIDEST)
        self.format_help(ctx, formatter)
        return str(formatter.getvalue()).rstrip("\n")

    def format_options(self, ctx: Any, formatter: Any) -> None:  # noqa: D102
        from raptchat.cli import help as help_page

        help_page.write_sections(self, ctx, formatter)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:  # noqa: D102
        # What must be there stands alone (POSIX, Utility Conventions): braces would be a choice.
        return [piece.strip("{}") for piece in super().collect_usage_pieces(ctx)]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: D102
        try:
            return super().parse_args(ctx, args)
        except typer.TyperException as error:
            # What is wrong with a flag that lacks its value does not say whose flag it is.
            if getattr(error, "ctx", None) is None:
                error.ctx = ctx  # type: ignore[attr-defined]
            raise

    def get_help_option(self, ctx: Any) -> Any:  # noqa: D102
        option = super().get_help_option(ctx)
        assert option is not None  # the app names `-h` and `--help`
        option.callback = _show_help
        return option


def _show_help(ctx: Any, param: object, value: bool) -> None:
    del param
    if value and not ctx.resilient_parsing:
        invocation(ctx).terminal.write(ctx.get_help() + "\n")
        raise typer.Exit(0)


class Command(HelpToTerminal, TyperCommand):
    """A command; `--store` and `--json` may stand behind each of them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Where a command says in which form it answers, JSON is one of them.
        shapes = {getattr(each, "rich_help_panel", None) for each in self.params} & {"Output"}
        self.params += [json_option(*shapes), store_option()]

    def invoke(self, ctx: Any) -> Any:  # noqa: D102
        run = invocation(ctx)
        # For the ledger's events: the words, without any argument.
        run.command = ctx.command_path.removeprefix(f"{ctx.find_root().command_path} ")
        return super().invoke(ctx)


def json_option(panel: str | None = None) -> TyperOption:
    """`--json`, which every command takes; it stands under the heading *panel* of the help."""
    return TyperOption(
        param_decls=["--json"],
        is_flag=True,
        default=False,
        help="Write one JSON document; errors as JSON on standard error.",
        rich_help_panel=panel,
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
        at = _first_word(args)
        first = None if at is None else args[at]
        bare = first is None or (first.startswith("-") and first not in {"--help", "-h"})
        # While a word is being completed it is not there yet, and may still become a command.
        if bare and not (first is None and ctx.resilient_parsing):
            args = [next(iter(self.commands)), *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """Its commands and flags, and the flags of its first command."""
        found = super().shell_complete(ctx, incomplete)
        first = next(iter(self.commands.values()))
        names = {item.value for item in found}
        return [*found, *(item for item in first.shell_complete(ctx, incomplete) if item.value not in names)]


class CommandWithOthers(HelpToTerminal, TyperGroup):
    """A command that has others under it: one of them where its name is the first word, and else itself.

    It has words of its own, so a thing called as one of them is named by a flag, or behind `--`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.subcommand_metavar = "| COMMAND ..."
        self.params += [json_option(), store_option()]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: D102
        at = _first_word(args)
        if at is not None and args[at] in self.commands:
            super().parse_args(ctx, args[:at])
            ctx._protected_args, ctx.args = [args[at]], args[at + 1 :]  # noqa: SLF001 - as typer's own group
        else:
            ctx.allow_interspersed_args, ctx.allow_extra_args = True, False
            super().parse_args(ctx, args)
        return list(ctx.args)

    def get_params(self, ctx: Any) -> list[Any]:
        """Its parameters; asked for the path to a command under it, none: its argument is no word of that."""
        return super().get_params(ctx) if ctx.command is self else []

    def invoke(self, ctx: Any) -> Any:  # noqa: D102
        invocation(ctx).command = ctx.info_name
        return super().invoke(ctx)


def _first_word(args: list[str]) -> int | None:
    """Where the first word stands behind the flags that stand with a noun."""
    at = 0
    while at < len(args):
        if args[at] == "--store":
            at += 1
        elif args[at] != "--json" and not args[at].startswith("--store="):
            return at
        at += 1
    return None


def noun(text: str) -> typer.Typer:
    """A new `raptchat WORD`, described by *text*; the first command that it gets is what the bare word does."""
    return typer.Typer(cls=Noun, help=text, rich_markup_mode=None, no_args_is_help=False, add_completion=False)
