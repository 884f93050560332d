"""`raptchat restore`: the whole store from a copy."""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raptchat.cli.backup import in_words
from raptchat.cli.invocation import Invocation, invocation
from raptchat.cli.options import YesOption
from raptchat.outside import safe_line
from raptchat.render import tables

if TYPE_CHECKING:
    from raptchat.vault import SlotStatus


def restore(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What raptchat backup made, or an older copy.")],
    yes: YesOption = False,
) -> None:
    """Put the whole store back from a copy; the store of before is kept beside it.

    Other commands may go on meanwhile: they see the old store or the new one. Afterwards it says what is in it,
    and which slots of its vault open.
    """
    from raptchat.store.restore import restore as put_back
    from raptchat.vault.lock import vault_lock

    run = invocation(ctx)
    path = run.factory.settings.paths.store
    with ExitStack() as held:

        def confirm() -> None:
            run.confirm(f"replacing the store `{safe_line(str(path))}`", yes=yes)
            # A rotation that is under way would leave an entry in the keyring that no slot names.
            held.enter_context(vault_lock(path))

        previous = put_back(path, file, caller=run.factory.caller, confirm=confirm)
    counts, slots = run.factory.store.counts(), run.factory.vault.status()
    if run.json:
        return tables.document(
            run.terminal,
            {
                "file": str(file.absolute()),
                "previous": str(previous) if previous else None,
                **counts,
                "slots": [
                    {"id": one.slot.id, "kind": one.slot.kind, "opens": one.opens, "problem": one.problem}
                    for one in slots
                ],
            },
        )
    run.terminal.say(f"restored `{file}`: {in_words(counts)}")
    if previous:
        run.terminal.say(f"the store of before is kept as `{previous}`")
    return _tell_slots(run, slots)


def _tell_slots(run: Invocation, slots: "list[SlotStatus]") -> None:
    said = {True: "opens", False: "does not open", None: "was not tried"}
    for one in slots:
        problem = f": {one.problem}" if one.problem else ""
        run.terminal.say(f"its {one.slot.kind} slot {one.slot.id[:8]} {said[one.opens]}{problem}")
    if slots and not any(one.opens for one in slots):
        # Rotation gives the keyring a new entry, which an older copy does not name.
        ways = [one.slot.kind for one in slots if one.opens is None]
        run.terminal.say(
            f"it opens with its {' or its '.join(ways)} only"
            if ways
            else "none of its slots opens here: it was made on another machine, or before a rotation of the vault"
        )
