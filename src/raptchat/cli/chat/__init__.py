"""`raptchat chat`: one question answered, or a conversation."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperOption

from raptchat.cli.chat.ask import Ask, run_chat
from raptchat.cli.command import Command
from raptchat.cli.invocation import Invocation, invocation
from raptchat.cli.options import GroupOption, amount, choose_group
from raptchat.cli.piped import read_piped
from raptchat.config import check_model
from raptchat.errors import UsageError
from raptchat.providers.request import Effort, PdfEngine
from raptchat.records import Attachment
from raptchat.render.reply import ReasoningView, ReplyFormat

if TYPE_CHECKING:
    from raptchat.schema import Schema

Pairs = tuple[tuple[str, str], ...]

_STDIN = "-"

# An option under a heading of the help.
_conversation = partial(typer.Option, rich_help_panel="Conversation")
_request = partial(typer.Option, rich_help_panel="Request")
_attachments = partial(typer.Option, rich_help_panel="Attachments")
_answer = partial(typer.Option, rich_help_panel="Answer")
_output = partial(typer.Option, rich_help_panel="Output")


class ChatCommand(Command):
    """`chat` has options with two values, which typer's annotations cannot say."""

    def __init__(self, *args: Any, params: list[Any], **kwargs: Any) -> None:
        field = _option_of_pairs(
            "-o",
            "--option",
            metavar="KEY VALUE",
            rich_help_panel="Request",
            help="Any other field of the request; VALUE is JSON, or else a text.",
        )
        file = _option_of_pairs(
            "--at",
            metavar="FILE TYPE",
            rich_help_panel="Attachments",
            help="Attach FILE as what TYPE says, such as audio/wav.",
        )
        super().__init__(*args, params=[*params, field, file], **kwargs)


def _option_of_pairs(*names: str, **more: Any) -> TyperOption:
    """An option with two values that may be repeated; `_pairs` has what came."""

    def keep(ctx: typer.Context, param: object, value: Pairs | None) -> None:
        del param
        ctx.meta[f"raptchat.{names[0]}"] = value or ()

    return TyperOption(
        param_decls=[*names], nargs=2, multiple=True, type=str, expose_value=False, callback=keep, **more
    )


def _pairs(ctx: typer.Context, name: str) -> Pairs:
    pairs: Pairs = ctx.meta[f"raptchat.{name}"]
    return pairs


def chat(
    ctx: typer.Context,
    prompt: Annotated[list[str] | None, typer.Argument(metavar="[PROMPT]...", help="The question.")] = None,
    group: GroupOption = None,
    resume: Annotated[
        bool, _conversation("--continue", "-c", help="Go on with the session last used in the group.")
    ] = False,
    session: Annotated[str | None, _conversation("--session", metavar="ID", help="Go on with this one.")] = None,
    private: Annotated[bool, _conversation("--private", help="Store the usage only, not the words.")] = False,
    no_stdin: Annotated[bool, _conversation("--no-stdin", help="Do not read standard input.")] = False,
    model: Annotated[str | None, _request("--model", "-m", metavar="MODEL", help="The model.")] = None,
    fallback: Annotated[
        list[str] | None,
        _request("--fallback", metavar="MODEL", help="The model to try when the others fail; may be repeated."),
    ] = None,
    system: Annotated[str | None, _request("--system", "-s", metavar="TEXT", help="The system prompt.")] = None,
    effort: Annotated[Effort | None, _request("--effort", help="How much the model is to think.")] = None,
    web: Annotated[bool, _request("--web", help="Let the model search the web; each search costs extra.")] = False,
    zdr: Annotated[
        bool, _request("--zdr", help="Only hosts that keep nothing of it (zero data retention).")
    ] = False,
    temperature: Annotated[float | None, _request(min=0, max=2, metavar="T", help="0 to 2.")] = None,
    max_tokens: Annotated[int | None, _request(min=1, metavar="N", help="The reply's limit.")] = None,
    top_p: Annotated[float | None, _request(min=0, max=1, metavar="P", help="0 to 1.")] = None,
    max_cost: Annotated[
        str | None,
        _request("--max-cost", metavar="AMOUNT", help="The most that it may cost, in dollars."),
    ] = None,
    timeout: Annotated[
        float | None, _request(min=0.001, max=86_400, metavar="SECONDS", help="The longest silence.")
    ] = None,
    dry_run: Annotated[bool, _request("--dry-run", help="Show what would be sent, and by whom.")] = False,
    attach: Annotated[
        list[str] | None,
        _attachments(
            "--attach",
            "-a",
            metavar="FILE|URL|-",
            help="Attach an image, a PDF, audio or text; - is standard input. May be repeated.",
        ),
    ] = None,
    pdf_engine: Annotated[
        PdfEngine | None, _attachments("--pdf-engine", help="What reads a PDF; only cloudflare-ai is free.")
    ] = None,
    reasoning: Annotated[
        ReasoningView,
        _answer(
            "--reasoning", help="What a terminal shows of the model's thoughts: all, nothing, the last lines."
        ),
    ] = ReasoningView.FOLD,
    schema: Annotated[
        str | None,
        _answer(
            "--schema",
            metavar="FILE|JSON|FIELDS",
            help='The reply must be JSON that fits a JSON Schema, or has fields such as "name, age int".',
        ),
    ] = None,
    extract: Annotated[
        bool, _answer("--extract", "-x", help="Show the first fenced code block of the reply, and nothing else.")
    ] = False,
    no_stream: Annotated[bool, _output("--no-stream", help="Show the reply when it is whole.")] = False,
    plain: Annotated[bool, _output("--plain", help="Show the text without styles.")] = False,
    markdown: Annotated[bool, _output("--markdown", help="Lay out Markdown, also into a pipe.")] = False,
    raw: Annotated[bool, _output("--raw", help="Show exactly what the model wrote.")] = False,
    jsonl: Annotated[bool, _output("--jsonl", help="A line of JSON for each event.")] = False,
    show_usage: Annotated[bool, _output("--usage", "-u", help="Say at the end what it took.")] = False,
    quiet: Annotated[bool, _output("--quiet", "-q", help="No notes on standard error but warnings.")] = False,
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
    if private and (resume or session):
        raise UsageError("--private begins a conversation that is not stored", hint="leave out -c or --session")
    if resume and session:
        raise UsageError("-c and --session exclude each other")
    shape = _schema(schema)
    flags = {
        "--temperature": temperature,
        "--max-tokens": max_tokens,
        "--top-p": top_p,
        "--effort": effort,
        "--web": web,
        "--fallback": [run.factory.settings.model_named(check_model(name)) for name in fallback or ()] or None,
        "--zdr": zdr,
        "--schema": shape,
        "--pdf-engine": pdf_engine,
    }
    options = _options(run, flags, _pairs(ctx, "-o"))
    files = [*((word, None) for word in attach or ()), *_pairs(ctx, "--at")]
    attaches_stdin = _attaches_stdin(files, prompt, no_stdin=no_stdin)
    most = amount(max_cost, "--max-cost") if max_cost is not None else None
    chosen = choose_group(run, group)
    if chosen.group.policy.no_history:
        if resume or session:
            from raptchat.policy import refuse_history

            refuse_history(chosen.group)
        private = True
    text = _prompt(run, prompt, no_stdin=no_stdin or attaches_stdin)
    if text is None and (dry_run or extract):
        flag = "--dry-run" if dry_run else "-x"
        raise UsageError(f"{flag} needs a prompt", hint=f'raptchat chat {flag} "your question"')
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
        max_cost=most,
        show_usage=show_usage,
        quiet=quiet,
        options=options,
        attachments=_load(run, files, quiet=quiet),
        reasoning=reasoning,
        schema=shape,
        extract=extract,
    )
    if text is None:
        from raptchat.cli.chat.conversation import converse

        converse(ask, run)
    elif dry_run:
        from raptchat.cli.chat.dry_run import run_dry

        run_dry(ask, run)
    else:
        run_chat(ask, run)


def _options(run: Invocation, flags: Mapping[str, object], pairs: Pairs) -> dict[str, object]:
    given = {flag: value for flag, value in flags.items() if value is not None and value is not False}
    if not given and not pairs:
        return {}
    from raptchat.cli.chat.request_fields import request_fields

    return request_fields(run, given, pairs)


def _format(run: Invocation, wanted: list[ReplyFormat]) -> ReplyFormat:
    if len(wanted) > 1:
        flags = ", ".join(f"--{one.value}" for one in wanted)
        raise UsageError(f"{flags} exclude each other")
    if wanted:
        return wanted[0]
    return ReplyFormat.MARKDOWN if run.terminal.out_is_tty else ReplyFormat.PLAIN


def _schema(text: str | None) -> "Schema | None":
    if text is None:
        return None
    from raptchat.schema import Schema

    return Schema.read(text)


def _attaches_stdin(files: list[tuple[str, str | None]], prompt: list[str] | None, *, no_stdin: bool) -> bool:
    """Whether standard input is an attachment, and so not a part of the question."""
    times = [word for word, _ in files].count(_STDIN)
    if times > 1:
        raise UsageError("standard input can be attached once", hint="keep one of the `-`")
    if times and no_stdin:
        raise UsageError("`-` attaches standard input, and --no-stdin does not read it")
    if times and not prompt:
        raise UsageError(
            "`-` attaches standard input, and there is no prompt", hint='raptchat chat -a - "your question"'
        )
    return times > 0


def _load(run: Invocation, files: list[tuple[str, str | None]], *, quiet: bool) -> tuple[Attachment, ...]:
    if not files:
        return ()
    from raptchat.cli.chat.attach import load

    return tuple(load(run, word, media_type=media_type, quiet=quiet) for word, media_type in files)


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
