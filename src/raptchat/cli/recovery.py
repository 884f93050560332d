"""The recovery key as a person meets it: offered, shown once, asked back in part; or handed to a script."""

import random
from typing import TYPE_CHECKING

from raptchat.errors import OutputError, RaptchatError, UsageError
from raptchat.render.private_page import private_page
from raptchat.secret import Secret

if TYPE_CHECKING:
    from raptchat.cli.invocation import Invocation

_LATER = "raptchat vault add recovery"
_ANOTHER = "raptchat vault rotate --slot recovery"
_ATTEMPTS = 3
_ASKED_BACK = 2

_PLACES = {"file": "the key file", "keyring": "the keyring", "passphrase": "the passphrase"}

_ABOUT = (
    "Recovery key",
    "",
    "It opens this vault when nothing else does. Whoever has it and the store has all of its API keys: write it "
    "on paper and keep that away from this machine. It is not shown again.",
    "",
)
_WRITTEN_DOWN = "Enter when it is written down (Ctrl-C makes none): "


def offer(run: "Invocation") -> None:
    """Ask the person at the terminal whether to make a recovery key, and make it; nobody there is nobody asked.

    It comes after what the command was called for is done: no answer and no failure here undoes that. What became
    of it is said.
    """
    if not _can_be_shown(run):
        return
    opens = ", ".join(_PLACES.get(slot.kind, slot.kind) for slot in run.factory.store.vault.slots())
    run.terminal.say(f"Only {opens} opens this vault: when that is lost, so is every key in it.")
    try:
        wanted = run.answer("Make a recovery key, to keep on paper? [Y/n] ") in {"", "y", "yes"}
    except EOFError:
        wanted = False
    if wanted:
        try:
            run.factory.vault.add("recovery")
        except RaptchatError as error:
            run.terminal.say(str(error))
        else:
            run.terminal.say("the vault opens with the recovery key, too")
            return
    run.terminal.say(f"there is no recovery key; to make one later: {_LATER}")


def keep(run: "Invocation", text: str) -> None:
    """Hand over the new recovery key *text*; raises when it did not get to whoever is to keep it.

    A person at the terminal writes it down and types part of it back, else `UsageError`. Into a pipe or a file it
    is written as one line (`OutputError` when that takes none of it); with `--json` it is kept for the document.
    """
    if run.json:
        run.recovery_key = Secret(text)
    elif _can_be_shown(run):
        _have_it_written_down(run, text)
    else:
        try:
            run.terminal.write(f"{text}\n")
        except BrokenPipeError:
            raise OutputError("standard output was closed before the recovery key was written") from None


def _can_be_shown(run: "Invocation") -> bool:
    # With standard output elsewhere, the key would go there.
    return not run.json and run.terminal.out_is_tty and run.terminal.in_is_tty and run.person_present


def _have_it_written_down(run: "Invocation", text: str) -> None:
    from raptchat.vault import recovery_key
    from raptchat.vault.opening import in_use

    groups = text.split("-")
    note: tuple[str, ...] = ()
    attempts = _ATTEMPTS
    try:
        with private_page(run.terminal) as show:
            while attempts:
                show([*note, *_ABOUT, *_laid_out(groups, run.terminal.size_now().columns), ""])
                run.answer(_WRITTEN_DOWN)
                show(["Type two of its groups from the paper (Enter shows them again).", ""])
                for number in sorted(random.sample(range(len(groups)), _ASKED_BACK)):
                    typed = recovery_key.spelled(run.answer(f"Group {number + 1}: "))
                    if typed != groups[number]:
                        break
                else:
                    return
                attempts -= bool(typed)
                note = (f"That was not group {number + 1}.", "") if typed else ()
    except EOFError:
        pass
    void = "the new recovery key was not confirmed, and is void"
    if any(slot.kind == "recovery" for slot in in_use(run.factory.store.vault.slots())):
        raise UsageError(f"{void}; that of before still opens the vault", hint=_ANOTHER)
    raise UsageError(void, hint=_LATER)


def _laid_out(groups: list[str], columns: int) -> list[str]:
    """The groups, each with its number, in as many columns as there is room for."""
    cells = [f"{number:3} {group}" for number, group in enumerate(groups, start=1)]
    gap = "   " if columns >= 40 else " "
    in_a_row = max(1, min(5, (columns - 1) // (len(cells[0]) + len(gap))))
    rows = [cells[at : at + in_a_row] for at in range(0, len(cells), in_a_row)]
    return [f" {gap.join(row)}" for row in rows]
