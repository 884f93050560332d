"""`raptchat vault`: what opens the credentials."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raptchat.cli import documents, recovery, vault_check, vault_export, vault_import
from raptchat.cli.command import Command, noun
from raptchat.cli.invocation import Invocation, invocation
from raptchat.cli.options import NoRecoveryOption, YesOption
from raptchat.errors import OutputError, UsageError
from raptchat.outside import safe_line
from raptchat.records import Slot
from raptchat.render import tables
from raptchat.render.formats import when

if TYPE_CHECKING:
    from raptchat.vault import SlotKind

_SLOTS_HINT = "raptchat vault status"

app = noun("The vault: what opens the credentials. Each of its slots opens all of them.")

FileOption = Annotated[
    Path | None, typer.Option("--file", metavar="PATH", help="The key file; made when it is not there.")
]


@app.command(cls=Command)
def status(ctx: typer.Context) -> None:
    """List the slots, and say which open."""
    run = invocation(ctx)
    vault = run.factory.vault
    found, leftovers = vault.status(), vault.leftovers()
    if run.json:
        slots = [{**documents.slot(one.slot), "opens": one.opens, "problem": one.problem} for one in found]
        left = [documents.slot(one) for one in leftovers]
        return tables.document(run.terminal, {"exists": vault.exists(), "slots": slots, "leftovers": left})
    opens = {True: "opens", False: "does not open", None: "not tried"}
    rows = [_row(run, one.slot, opens[one.opens], one.problem or documents.place(one.slot)) for one in found]
    rows += [_row(run, one, "left over", "the next change of the vault removes it") for one in leftovers]
    tables.table(
        run.terminal,
        ["id", "slot", "state", "", "made"],
        rows,
        empty="there is no vault yet: raptchat vault init, or the first raptchat group add-key, makes it",
    )
    if found and run.terminal.out_is_tty and not any(one.slot.kind == "recovery" for one in found):
        run.terminal.say("there is no recovery key: raptchat vault add recovery")
    return None


@app.command(cls=Command)
def init(
    ctx: typer.Context,
    keyring: Annotated[bool, typer.Option("--keyring", help="Keep the master key in the keyring.")] = False,
    file: FileOption = None,
    passphrase: Annotated[bool, typer.Option("--passphrase", help="Open with a passphrase.")] = False,
    no_recovery: NoRecoveryOption = False,
) -> None:
    """Make the vault: its master key goes into the keyring, unless a flag or variable names another way."""
    run = invocation(ctx)
    flags: dict[SlotKind, bool] = {"keyring": keyring, "file": file is not None, "passphrase": passphrase}
    wanted = [kind for kind, given in flags.items() if given]
    if len(wanted) > 1:
        raise UsageError("a vault begins with one slot", hint="raptchat vault add adds others")
    made = run.factory.vault.init(wanted[0] if wanted else None, path=file)
    _show(run, made, f"the vault now opens with {documents.place(made)}")
    if not no_recovery:
        recovery.offer(run)


@app.command(cls=Command)
def add(
    ctx: typer.Context,
    slot: Annotated[str, typer.Argument(metavar="SLOT", help="keyring, file, passphrase or recovery.")],
    file: FileOption = None,
) -> None:
    """Add one more way to open the vault; a recovery key is shown once, and into a pipe written as one line."""
    from raptchat.vault import KINDS
    from raptchat.vault.opening import in_use

    run = invocation(ctx)
    kind = next((known for known in KINDS if known == slot), None)
    if kind is None:
        raise UsageError(f"there is no slot `{safe_line(slot)}`", hint=f"slots: {', '.join(KINDS)}")
    if file is not None and kind != "file":
        raise UsageError(f"--file goes with a file slot, not with `{kind}`")
    if kind == "recovery" and any(one.kind == kind for one in in_use(run.factory.store.vault.slots())):
        # Whoever is asked for it types what is on the one paper.
        raise UsageError(
            "there is a recovery key already", hint="for another one: raptchat vault rotate --slot recovery"
        )
    added = run.factory.vault.add(kind, path=file)
    _show(run, added, f"the vault now opens with {documents.place(added)}, too")


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
        return tables.document(run.terminal, documents.slot(removed))
    return run.terminal.say(
        f"removed the {removed.kind} slot {removed.id[:8]}",
        *_key_file_left(removed),
        "its secret still opens older copies of the store, and with them this vault's data key;",
        "where somebody may have both: raptchat vault rotate",
    )


@app.command(cls=Command)
def rotate(
    ctx: typer.Context,
    slot: Annotated[
        str | None,
        typer.Option(
            "--slot", metavar="SLOT", help="Only give this one a new secret: its kind, or id's beginning."
        ),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", metavar="PATH", help="With --slot file: the new key file.")
    ] = None,
) -> None:
    """Seal every key anew under a new data key; with --slot, only exchange what opens one slot.

    Every slot goes on opening the vault. Killed half-way it is as before, or done.
    """
    run = invocation(ctx)
    if slot is not None:
        before = _file_slot(run, slot)
        if file is not None and before is None and slot != "file":
            raise UsageError(f"--file goes with a file slot, not with `{safe_line(slot)}`", hint=_SLOTS_HINT)
        renewed = run.factory.vault.rotate_slot(slot, path=file)
        _show(run, renewed, f"the {renewed.kind} slot has a new secret: {documents.place(renewed)}")
        named = run.factory.settings.master_key_file
        if renewed.kind == "file" and named is not None and str(named.absolute()) != renewed.params.get("path"):
            run.terminal.say(f"RAPTCHAT_MASTER_KEY_FILE still names {named}")
        if before is not None and before.params.get("path") != renewed.params.get("path"):
            run.terminal.say(*_key_file_left(before))
        return None
    if file is not None:
        raise UsageError("--file goes with --slot file", hint=_SLOTS_HINT)
    from raptchat.credentials import CredentialService

    done = CredentialService(run.factory).rotate_vault()
    if run.json:
        slots = [documents.slot(one) for one in done.slots]
        return tables.document(run.terminal, {"keyId": done.key_id, "slots": slots, "rows": done.rows})
    return run.terminal.say(
        f"the vault has a new data key; sealed anew: {done.rows} {'key' if done.rows == 1 else 'keys'}",
        *_older_copies(done.slots),
    )


app.command(cls=Command)(vault_check.check)
app.command("export", cls=Command)(vault_export.export)
app.command("import", cls=Command)(vault_import.import_)


def _file_slot(run: Invocation, word: str) -> Slot | None:
    slots = run.factory.store.vault.slots()
    return next((one for one in slots if one.kind == "file" and (word == "file" or one.id.startswith(word))), None)


def _older_copies(slots: list[Slot]) -> list[str]:
    said = []
    if kept := ", ".join(dict.fromkeys(slot.kind for slot in slots if slot.kind != "keyring")):
        said.append(f"older copies of the store still open with {kept}: delete those that you do not need")
    if any(slot.kind == "keyring" for slot in slots):
        # Its entry was made anew, and the old one is gone.
        said.append("with the keyring older copies do not open any more; for a new one: raptchat backup FILE")
    return said


def _key_file_left(slot: Slot) -> list[str]:
    path = str(slot.params.get("path"))
    if slot.kind != "file" or not os.path.exists(path):  # noqa: PTH110 - Path.exists raises for some paths
        return []
    return [f"{path} is still there, and opens older copies of the store: delete it, unless another store uses it"]


def _row(run: Invocation, slot: Slot, state: str, about: str) -> list[str | None]:
    return [tables.id_cell(run.terminal, slot.id), slot.kind, state, about, when(slot.created_at)]


def _show(run: Invocation, slot: Slot, said: str) -> None:
    if not run.json:
        return run.terminal.say(said)
    if run.recovery_key is None:
        return tables.document(run.terminal, documents.slot(slot))
    try:
        return tables.document(run.terminal, {**documents.slot(slot), "recoveryKey": run.recovery_key.reveal()})
    except (OutputError, BrokenPipeError):
        raise OutputError(
            "the recovery key could not be written", hint="for another one: raptchat vault rotate --slot recovery"
        ) from None
