"""`raptchat vault`: what opens the credentials."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raptchat.cli.command import Command, noun
from raptchat.cli.documents import Document
from raptchat.cli.invocation import Invocation, invocation
from raptchat.cli.options import YesOption
from raptchat.errors import UsageError
from raptchat.outside import safe_line
from raptchat.records import Slot
from raptchat.render import tables
from raptchat.render.formats import when

if TYPE_CHECKING:
    from raptchat.vault import SlotKind

app = noun("The vault: what opens the credentials. Each of its slots opens all of them.")

FileOption = Annotated[
    Path | None, typer.Option("--file", metavar="PATH", help="The key file; made when it is not there.")
]


@app.command(cls=Command)
def status(ctx: typer.Context) -> None:
    """List the slots, and say which open."""
    run = invocation(ctx)
    found = run.factory.vault.status()
    if run.json:
        slots = [{**_document(one.slot), "opens": one.opens, "problem": one.problem} for one in found]
        return tables.document(run.terminal, {"exists": run.factory.vault.exists(), "slots": slots})
    opens = {True: "opens", False: "does not open", None: "not tried"}
    rows = [
        [
            one.slot.id[:8],
            one.slot.kind,
            opens[one.opens],
            one.problem or _place(one.slot),
            when(one.slot.created_at),
        ]
        for one in found
    ]
    return tables.table(
        run.terminal,
        ["id", "slot", "state", "", "made"],
        rows,
        empty="there is no vault yet: raptchat vault init, or the first raptchat group add-key, makes it",
    )


@app.command(cls=Command)
def init(
    ctx: typer.Context,
    keyring: Annotated[bool, typer.Option("--keyring", help="Keep the master key in the keyring.")] = False,
    file: FileOption = None,
    passphrase: Annotated[bool, typer.Option("--passphrase", help="Open with a passphrase.")] = False,
) -> None:
    """Make the vault: its master key goes into the keyring, unless a flag or variable names another way."""
    run = invocation(ctx)
    flags: dict[SlotKind, bool] = {"keyring": keyring, "file": file is not None, "passphrase": passphrase}
    wanted = [kind for kind, given in flags.items() if given]
    if len(wanted) > 1:
        raise UsageError("a vault begins with one slot", hint="raptchat vault add adds others")
    _made(run, run.factory.vault.init(wanted[0] if wanted else None, path=file))


@app.command(cls=Command)
def add(
    ctx: typer.Context,
    slot: Annotated[str, typer.Argument(metavar="SLOT", help="keyring, file or passphrase.")],
    file: FileOption = None,
) -> None:
    """Add one more way to open the vault."""
    from raptchat.vault import KINDS

    run = invocation(ctx)
    kind = next((known for known in KINDS if known == slot), None)
    if kind is None:
        raise UsageError(f"there is no slot `{safe_line(slot)}`", hint=f"slots: {', '.join(KINDS)}")
    if file is not None and kind != "file":
        raise UsageError(f"--file goes with a file slot, not with `{kind}`")
    _made(run, run.factory.vault.add(kind, path=file))


@app.command(cls=Command)
def remove(
    ctx: typer.Context,
    slot: Annotated[str, typer.Argument(metavar="SLOT", help="Its kind, or the beginning of its id.")],
    yes: YesOption = False,
) -> None:
    """Take a way to open the vault away; the last one that opens stays."""
    run = invocation(ctx)
    run.confirm(f"removing the slot `{safe_line(slot)}`", yes=yes)
    removed = run.factory.vault.remove(slot)
    if run.json:
        return tables.document(run.terminal, _document(removed))
    return run.terminal.say(f"removed the {removed.kind} slot {removed.id[:8]}")


def _made(run: Invocation, slot: Slot) -> None:
    if run.json:
        return tables.document(run.terminal, _document(slot))
    return run.terminal.say(f"the vault now opens with {_place(slot)}")


def _document(slot: Slot) -> Document:
    return {"id": slot.id, "kind": slot.kind, "place": _place(slot), "createdAt": slot.created_at}


def _place(slot: Slot) -> str:
    match slot.kind:
        case "keyring":
            return f"the keyring ({slot.params.get('backend')})"
        case "file":
            return f"the key file {slot.params.get('path')}"
        case _:
            return "a passphrase"
