"""`raptchat chat`: one question answered, or a conversation."""

import json
from typing import Annotated, Any

import typer
from typer.core import TyperOption

from raptchat.cli.ask import Ask, run_chat, run_dry
from raptchat.cli.invocation import Command, Invocation, invocation
from raptchat.cli.options import GroupOption, choose_group
from raptchat.cli.piped import read_piped
from raptchat.config import check_model
from raptchat.errors import UsageError
from raptchat.outside import safe_line
from raptchat.render.reply import ReplyFormat

# What the command decides itself; everything else of a request can be set with -o.
_OWN_FIELDS = {"messages", "model", "stream"}


class ChatCommand(Command):
    """`chat` has one option with two values, which typer's annotations cannot say."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        option = TyperOption(
            param_decls=["-o", "--option"],
            nargs=2,
            multiple=True,
            type=str,
            metavar="KEY VALUE",
            help="Any other field of the request; VALUE is JSON, or else a text.",
            expose_value=False,
            callback=_keep_options,
        )
        self.params.insert(-2, option)


def _keep_options(ctx: typer.Context, param: object, value: tuple[tuple[str, str], ...] | None) -> None:
    del param
    ctx.meta["raptchat.options"] = value or ()


def chat(
    ctx: typer.Context,
    prompt: Annotated[list[str] | None, typer.Argument(metavar="[PROMPT]...", help="The question.")] = None,
    group: GroupOption = None,
    model: Annotated[str | None, typer.Option("--model", "-m", metavar="MODEL", help="The model.")] = None,
    system: Annotated[
        str | None, typer.Option("--system", "-s", metavar="TEXT", help="The system prompt.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--continue", "-c", help="Go on with the session last used in the group.")
    ] = False,
    session: Annotated[str | None, typer.Option("--session", metavar="ID", help="Go on with this one.")] = None,
    no_stream: Annotated[bool, typer.Option("--no-stream", help="Show the reply when it is whole.")] = False,
    plain: Annotated[bool, typer.Option("--plain", help="Show the text without styles.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Lay out Markdown, also into a pipe.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="Show exactly what the model wrote.")] = False,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="A line of JSON for each event.")] = False,
    private: Annotated[bool, typer.Option("--private", help="Store the usage only, not the words.")] = False,
    no_stdin: Annotated[bool, typer.Option("--no-stdin", help="Do not read standard input.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be sent, and by whom.")] = False,
    temperature: Annotated[float | None, typer.Option(min=0, max=2, metavar="T", help="0 to 2.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, metavar="N", help="The reply's limit.")] = None,
    top_p: Annotated[float | None, typer.Option(min=0, max=1, metavar="P", help="0 to 1.")] = None,
    timeout: Annotated[
        float | None, typer.Option(min=0.001, max=86_400, metavar="SECONDS", help="The longest silence.")
    ] = None,
    show_usage: Annotated[bool, typer.Option("--usage", "-u", help="Say at the end what it took.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No notes on standard error but warnings.")] = False,
) -> None:
    """Ask a question, or hold a conversation; what is piped in comes before the question.

    With neither a question nor a pipe, at a terminal, it is a conversation. What is said belongs to the group, is
    sent with its key and paid by it, or is not sent.
    """
    run = invocation(ctx)
    formats = {
        ReplyFormat.PLAIN: plain,
        ReplyFormat.MARKDOWN: markdown,
        ReplyFormat.RAW: raw,
        ReplyFormat.JSON: run.json,
        ReplyFormat.JSONL: jsonl,
    }
    how = _format(run, [name for name, wanted in formats.items() if wanted])
    options = _options(ctx.meta["raptchat.options"])
    named = {"temperature": temperature, "max_tokens": max_tokens, "top_p": top_p}
    options.update({name: value for name, value in named.items() if value is not None})
    _check_json(options)
    if private and (resume or session):
        raise UsageError("--private begins a conversation that is not stored", hint="leave out -c or --session")
    if resume and session:
        raise UsageError("-c and --session exclude each other")
    chosen = choose_group(run, group)
    text = _prompt(run, prompt, no_stdin=no_stdin)
    ask = Ask(
        prompt=text or "",
        group=chosen.group,
        reason=chosen.reason,
        model=check_model(model) if model is not None else None,
        system=system,
        resume=resume,
        session=session,
        how=how,
        stream=not no_stream,
        private=private,
        timeout=timeout,
        show_usage=show_usage,
        quiet=quiet,
        options=options,
    )
    if text is None and dry_run:
        raise UsageError("--dry-run needs a prompt", hint='raptchat chat --dry-run "your question"')
    if text is None:
        from raptchat.cli.conversation import converse

        converse(ask, run)
    elif dry_run:
        run_dry(ask, run)
    else:
        run_chat(ask, run)


def _format(run: Invocation, wanted: list[ReplyFormat]) -> ReplyFormat:
    if len(wanted) > 1:
        flags = ", ".join(f"--{one.value}" for one in wanted)
        raise UsageError(f"{flags} exclude each other")
    if wanted:
        return wanted[0]
    return ReplyFormat.MARKDOWN if run.terminal.out_is_tty else ReplyFormat.PLAIN


def _prompt(run: Invocation, words: list[str] | None, *, no_stdin: bool) -> str | None:
    """The question, `None` for a conversation; what was piped comes first, then an empty line."""
    typed = " ".join(words) if words else None
    terminal = run.terminal
    if typed is None and terminal.in_is_tty and terminal.out_is_tty and not no_stdin:
        return None
    piped = None if no_stdin or (terminal.in_is_tty and typed is not None) else read_piped(terminal)
    if typed is None:
        return piped or ""
    return f"{piped.rstrip()}\n\n{typed}" if piped and piped.strip() else typed


def _options(pairs: tuple[tuple[str, str], ...]) -> dict[str, object]:
    options: dict[str, object] = {}
    for key, text in pairs:
        if key in _OWN_FIELDS:
            raise UsageError(f"`-o {key}` cannot be set: the command decides it", hint="see raptchat chat --help")
        try:
            options[key] = json.loads(text)
        except ValueError:
            options[key] = text
        except RecursionError:
            raise UsageError(f"the value of `-o {safe_line(key)}` is nested too deeply") from None
    return options


def _check_json(options: dict[str, object]) -> None:
    for name, value in options.items():
        try:
            # Python reads NaN, and takes 1e999 for infinity; JSON has neither.
            json.dumps(value, allow_nan=False)
        except (ValueError, RecursionError):
            raise UsageError(
                f"the value of `{safe_line(name)}` has no form in JSON",
                hint="NaN and infinity are no numbers there",
            ) from None
