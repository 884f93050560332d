"""Flags that several commands share, which group is meant, and which day."""

import os
import re
import shlex
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from raptchat.cli.invocation import Invocation
from raptchat.errors import GroupNotFoundError, NoGroupError, UsageError
from raptchat.naming import as_argument, find_group
from raptchat.outside import safe_line
from raptchat.records import Group

GroupArgument = Annotated[str, typer.Argument(metavar="G", help="A group: its name, id, or the id's beginning.")]
GroupOption = Annotated[
    str | None,
    typer.Option(
        *("--group", "-g"),
        metavar="G",
        help="The group that pays: name, id, or the id's beginning.",
        rich_help_panel="Conversation",
    ),
]
OnlyGroupArgument = Annotated[str | None, typer.Argument(metavar="[G]", help="Only this group's.")]
OnlyGroupOption = Annotated[
    str | None, typer.Option("--group", "-g", metavar="G", help="Only this group's, as G alone says it.")
]
SessionArgument = Annotated[str, typer.Argument(metavar="ID", help="A session: its id, or a beginning of it.")]
CredentialArgument = Annotated[
    str, typer.Argument(metavar="ID", help="A credential: its id, or a beginning of it.")
]
LastOption = Annotated[int | None, typer.Option("--limit", "-n", min=1, metavar="N", help="Only the last N.")]
NoRecoveryOption = Annotated[
    bool, typer.Option("--no-recovery", help="Do not offer a recovery key for a new vault.")
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
ProviderOption = Annotated[str, typer.Option(metavar="P", help="Where requests go.")]

# More than SQLite counts to is asked for as easily as all.
MOST_ROWS = 1_000_000_000

_MOST_LISTED = 10
# Whole nano-dollars are what the store counts in, and a million dollars is the most that it takes for one sum.
StdinOption = Annotated[bool, typer.Option("--stdin", help="Read the key from standard input.")]
FromEnvOption = Annotated[
    str | None, typer.Option(metavar="VAR", help="Read the key from this environment variable.")
]
KeyFileOption = Annotated[
    Path | None, typer.Option(metavar="PATH", help="Read the key from this file, which only you can read.")
]
AllowSharedOption = Annotated[bool, typer.Option("--allow-shared", help="Take a key that another group has.")]

_DOLLARS = r"\$?([0-9]{1,7}(?:\.[0-9]{1,9})?)"
_MOST_DOLLARS = 1_000_000


class Chosen(NamedTuple):
    """A group, and what chose it."""

    group: Group
    reason: str


def choose_group(run: Invocation, word: str | None) -> Chosen:
    """The group of a command: `--group`, `RAPTCHAT_GROUP`, the folder's, the only one; `NoGroupError` else.

    The first that is there decides, and if it is wrong the command fails: nothing else may choose who pays.
    """
    store = run.factory.store
    if word is not None:
        return Chosen(find_group(store, word), "--group")
    if named := run.factory.settings.group:
        return Chosen(find_group(store, named), "RAPTCHAT_GROUP")
    folder = working_folder()
    if folder is not None and (bound := store.groups.bound_to(folder)):
        tied, group = bound
        if group is None:
            raise GroupNotFoundError(
                f"the folder {tied} is tied to a group that was removed",
                hint="raptchat group bind NAME there, or raptchat group unbind",
            )
        return Chosen(group, f"the folder {tied}")
    groups = store.groups.beginning("", _MOST_LISTED + 1)
    if len(groups) == 1:
        return Chosen(groups[0], "the only group")
    if not groups:
        raise NoGroupError("there is no group yet", hint="raptchat group add-key NAME makes one with its key")
    listed = ", ".join(f"`{safe_line(group.name)}`" for group in groups[:_MOST_LISTED])
    more = " and more" if len(groups) > _MOST_LISTED else ""
    name = shlex.quote(groups[0].name)
    bind = f"raptchat group bind {as_argument(groups[0].name)}"
    raise NoGroupError(
        f"no group is chosen; there are {listed}{more}",
        hint=f"--group {name}, or RAPTCHAT_GROUP={name}, or {bind} for this folder",
    )


def only_group(word: str | None, flag: str | None) -> str | None:
    """The group whose things are wanted, by `OnlyGroupArgument` or `OnlyGroupOption`; `None` for all."""
    if word is not None and flag is not None:
        raise UsageError("the group is named twice", hint="leave out --group")
    return flag if word is None else word


def working_folder() -> Path | None:
    """The working folder, links resolved; `None` where it is gone."""
    try:
        return Path(os.getcwd()).resolve()  # noqa: PTH109 - the one call that fails when it is gone
    except OSError:
        return None


def day(text: str, option: str) -> date:
    """The day that *text* names, such as `2026-11-01`; `UsageError` says which *option* is wrong."""
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        raise UsageError(f"`{option}` must be a day such as 2026-11-01: `{safe_line(text)}`") from None


def amount(text: str, option: str, *, zero: bool = False) -> Decimal:
    """The US dollars that *text* names, such as `5`, `0.50` or `$5`; 0 only where *zero* has a meaning.

    `UsageError` says which *option* is wrong.
    """
    found = re.fullmatch(_DOLLARS, text.strip())
    dollars = Decimal(found[1]) if found else None
    if dollars is None or dollars > _MOST_DOLLARS or (not dollars and not zero):
        least = "0" if zero else "more than 0"
        raise UsageError(
            f"`{option}` must be an amount in US dollars such as 5 or 0.50: `{safe_line(text)[:80]}`",
            hint=f"{least}, at most {_MOST_DOLLARS:,}, with a point and at most 9 digits behind it",
        )
    return dollars


def amount_or_none(text: str, option: str, *, zero: bool = False) -> Decimal | None:
    """As `amount`; `None` for the word `none`, which takes away what was set."""
    return None if text.strip().lower() == "none" else amount(text, option, zero=zero)
