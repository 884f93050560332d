"""`raptchat sessions export`: one session as a file that stands for itself."""

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raptchat import naming
from raptchat.cli import documents
from raptchat.cli.invocation import invocation
from raptchat.cli.options import SessionArgument, YesOption
from raptchat.errors import UsageError
from raptchat.outside import for_pipe, safe, safe_line

if TYPE_CHECKING:
    from raptchat.store import Store


class Format(StrEnum):
    """What a session is exported as."""

    MD = "md"
    JSON = "json"
    HTML = "html"


def export(
    ctx: typer.Context,
    session: SessionArgument,
    format_: Annotated[
        Format | None, typer.Option("--format", "-f", help="Markdown, JSON, or one web page; default: md.")
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("--output", metavar="FILE", help="Where to; - is standard output."),
    ] = None,
    yes: YesOption = False,
) -> None:
    """Write a session as Markdown, JSON or a web page that needs nothing else."""
    run = invocation(ctx)
    if run.json and format_ not in {None, Format.JSON}:
        raise UsageError(f"--json and --format {format_} exclude each other")
    text = _exported(run.factory.store, session, Format.JSON if run.json else format_ or Format.MD)
    if output is None or output == "-":
        run.terminal.write(safe(text) if run.terminal.out_is_tty else text)
    else:
        from raptchat.cli import output_file

        def agreed() -> bool:
            run.confirm(f"writing over `{safe_line(output)}`", yes=yes)
            return True

        output_file.write(Path(output), text, agreed=agreed)
        run.terminal.say(f"wrote {safe_line(output)}")


def _exported(store: "Store", word: str, wanted: Format) -> str:
    with store.snapshot():
        found = naming.find_session(store, word)
        listed = store.sessions.summary(found)
        group, messages = store.groups.require(found.group_id), store.sessions.messages(found.id)
        if wanted is Format.HTML:
            attachments = store.attachments.of_session(found.id, with_content=True)
            messages = [one._replace(attachments=attachments.get(one.seq, ())) for one in messages]
    match wanted:
        case Format.JSON:
            return json.dumps(documents.transcript(listed, group.name, messages), indent=2) + "\n"
        case Format.HTML:
            from raptchat.render.transcript_html import as_html

            return as_html(found, group.name, messages)
        case Format.MD:
            from raptchat.render.transcript import as_markdown

            return for_pipe(as_markdown(found, group.name, messages))
