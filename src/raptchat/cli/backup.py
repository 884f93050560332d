"""`raptchat backup`: a copy of the whole store."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from raptchat.cli.invocation import invocation
from raptchat.cli.options import YesOption
from raptchat.errors import UsageError
from raptchat.outside import safe_line
from raptchat.render import tables


def backup(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the copy goes; only you can read it.")],
    yes: YesOption = False,
) -> None:
    """Copy the whole store to a file, while other commands go on using it.

    It is a copy of one moment. The keys in it stay sealed: they open with what opens the vault now, which is not
    in it.
    """
    from raptchat.store.backup import back_up

    run = invocation(ctx)
    path = run.factory.settings.paths.store
    if not path.exists():
        raise UsageError(f"there is no store at `{safe_line(str(path))}`", hint="is it the right one?")
    # What a killed command left half done is undone first.
    store = run.factory.store
    back_up(path, file, confirm=lambda: run.confirm(f"writing over `{safe_line(str(file))}`", yes=yes))
    counts = store.counts()
    if run.json:
        return tables.document(run.terminal, {"file": str(file.absolute()), **counts})
    return run.terminal.say(f"backed up to `{file}`: {in_words(counts)}")


def in_words(counts: Mapping[str, int]) -> str:
    """What `Store.counts` found, such as `1 group, 2 credentials, 14 sessions`."""
    return ", ".join(f"{count:,} {noun if count != 1 else noun[:-1]}" for noun, count in counts.items())
