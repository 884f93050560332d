"""`raptchat vault import`: the groups of a bundle, each as it is wished where one is here already."""

import os
import shlex
import stat
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raptchat import private_file
from raptchat.cli import recovery
from raptchat.cli.first_vault import ensure_vault
from raptchat.cli.invocation import Invocation, invocation
from raptchat.cli.options import NoRecoveryOption
from raptchat.cli.vault_export import PassphraseFileOption, counted, read_passphrase, typed_passphrase
from raptchat.errors import DecryptionFailedError, UsageError
from raptchat.outside import safe_line
from raptchat.render import tables
from raptchat.secret import Secret

if TYPE_CHECKING:
    from raptchat.bundle import Bundle
    from raptchat.bundle.taking_in import Choice, Conflict, GroupPlan
    from raptchat.vault.sealing import DataKey

_ATTEMPTS = 3
_FROM_NOW_ON = "for a key, each time that one is needed:"
_MOST_LISTED = 10


class OnConflict(StrEnum):
    """What to do with a group that is here already."""

    ASK = "ask"
    SKIP = "skip"
    REPLACE = "replace"
    RENAME = "rename"


def import_(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The bundle to read.", show_default=False)],
    on_conflict: Annotated[
        OnConflict, typer.Option("--on-conflict", help="What to do with a group that is here already.")
    ] = OnConflict.ASK,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")] = False,
    identity: Annotated[
        Path | None, typer.Option("--identity", "-i", metavar="PATH", help="A file that age-keygen made.")
    ] = None,
    passphrase_file: PassphraseFileOption = None,
    allow_shared: Annotated[bool, typer.Option("--allow-shared", help="Let two groups have one key.")] = False,
    allow_references: Annotated[
        bool,
        typer.Option(
            "--allow-references", help="Take in commands that are run, and files that are read, for keys."
        ),
    ] = False,
    no_recovery: NoRecoveryOption = False,
) -> None:
    """Take in what `vault export` wrote: all of it or nothing."""
    from raptchat.bundle import document
    from raptchat.bundle.taking_in import TakingIn, changed_meanwhile, conflicts
    from raptchat.vault.hardening import harden

    run = invocation(ctx)
    harden()
    bundle = document.read(_opened(run, _read(file), identity, passphrase_file))
    met = conflicts(run.factory.store, bundle)
    choices = _choices(run, met, on_conflict, dry_run=dry_run)
    taking_in = TakingIn(run.factory, bundle, choices, _data_key(run, bundle, choices), allow_shared)
    plans = taking_in.plan()
    # A question may have stood there for long.
    if [one.present for one in plans if one.present] != [one.present for one in met]:
        raise changed_meanwhile()
    made = False
    if not dry_run:
        if not allow_references:
            _agree_to_references(run, plans)
        taking_in = replace(taking_in, allow_references=True)
        made = any(one.keys for one in plans) and ensure_vault(run)
        taking_in.carry_out(plans)
    _show(run, plans, dry_run=dry_run)
    if made and not no_recovery:
        recovery.offer(run)


def _read(path: Path) -> bytes:
    from raptchat.bundle.age import MOST_BYTES

    shown = safe_line(str(path))
    try:
        # Not blocking: a pipe into which nobody writes must not hang a script.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise UsageError(f"`{shown}` is not a plain file", hint="write the bundle into one first")
            with open(descriptor, "rb", closefd=False) as file:
                data = file.read(MOST_BYTES + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise UsageError(f"`{shown}` cannot be read: {error.strerror}", hint="check the path") from None
    except ValueError:
        raise UsageError(f"`{shown}` is not a path") from None
    if len(data) > MOST_BYTES:
        raise UsageError(f"`{shown}` is no bundle: it is larger than {MOST_BYTES // 2**20} MiB")
    return data


def _opened(run: Invocation, data: bytes, identity: Path | None, passphrase_file: Path | None) -> bytes:
    from raptchat.bundle import age

    if not age.needs_passphrase(data):
        if identity is None:
            raise UsageError(
                "the bundle opens with an identity, not with a passphrase",
                hint="--identity PATH names the file that age-keygen made",
            )
        return age.decrypt(data, identities=_identities(identity))
    if passphrase_file is not None:
        return age.decrypt(data, passphrase=read_passphrase(passphrase_file))
    if not run.person_present:
        raise UsageError(
            "the bundle opens with a passphrase, and there is no terminal to ask for it",
            hint="--passphrase-file PATH",
        )
    prompt = "The bundle's passphrase: "
    for _ in range(_ATTEMPTS - 1):
        try:
            return age.decrypt(data, passphrase=typed_passphrase(prompt))
        except DecryptionFailedError as error:
            run.terminal.say(str(error))
    return age.decrypt(data, passphrase=typed_passphrase(prompt))


def _identities(path: Path) -> list[Secret]:
    """Those in the file that `age-keygen` made: one on a line, and lines that begin with `#`."""
    lines = [line.strip() for line in private_file.read_lines(path, "file with the identity")]
    found = [Secret(line) for line in lines if line and not line.startswith("#")]
    if not found:
        raise UsageError(
            f"there is no identity in `{safe_line(str(path))}`", hint="age-keygen makes one: AGE-SECRET-KEY-1..."
        )
    return found


def _choices(
    run: Invocation, met: "Sequence[Conflict]", on_conflict: OnConflict, *, dry_run: bool
) -> "dict[str, Choice]":
    if on_conflict is not OnConflict.ASK:
        words: dict[OnConflict, Choice] = {
            OnConflict.SKIP: "skip",
            OnConflict.REPLACE: "replace",
            OnConflict.RENAME: "rename",
        }
        return {one.group.id: words[on_conflict] for one in met}
    if dry_run or not met:
        return {}
    if run.person_present and run.terminal.in_is_tty:
        return {one.group.id: _asked(run, one) for one in met}
    listed = ", ".join(f"`{safe_line(one.present.name)}`" for one in met[:_MOST_LISTED])
    more = f" and {len(met) - _MOST_LISTED} more" if len(met) > _MOST_LISTED else ""
    raise UsageError(
        f"here already: {listed}{more}",
        hint="--on-conflict skip, replace or rename; --dry-run shows what each does",
    )


def _asked(run: Invocation, conflict: "Conflict") -> "Choice":
    answers: dict[str, Choice] = {"s": "skip", "r": "replace", "n": "rename"}
    name, here = conflict.group.name, conflict.present.name
    called = f"group `{name}`" if name == here else f"group `{name}`, here `{here}`,"
    # Who replaces a key should see where its questions go from then on.
    places = ", ".join(sorted({key.endpoint for key in conflict.keys if key.is_active}))
    key = f"key by one for {places}" if places else "key"
    while True:
        answer = run.answer(
            f"{called} is here already: [s]kip it, [r]eplace its settings and {key}, re[n]ame it? "
        )
        if choice := answers.get(answer[:1]):
            return choice


def _agree_to_references(run: Invocation, plans: "list[GroupPlan]") -> None:
    """Have the person read what would be run or read here from then on; without a person it is refused."""
    from raptchat.bundle.taking_in import references_refused

    lines = _said(plans)
    if not lines:
        return
    if not (run.person_present and run.terminal.in_is_tty):
        raise references_refused()
    run.terminal.say(_FROM_NOW_ON, *lines)
    run.confirm("taking in what is run and read on this machine", yes=False)


def _said(plans: "Sequence[GroupPlan]") -> list[str]:
    """What each reference would do, with every word of it."""
    from raptchat.bundle.taking_in import references

    lines = []
    for plan, key in references(list(plans)):
        assert key.reference is not None
        text = key.reference.reveal()
        # As it is taken apart: white space hides nothing.
        does = f"runs {shlex.join(shlex.split(text))}" if key.kind == "command" else f"reads {text}"
        lines.append(f"  group `{plan.name}` {does} and sends the key to {key.endpoint}")
    return lines


def _data_key(run: Invocation, bundle: "Bundle", choices: "dict[str, Choice]") -> "DataKey":
    """What the bundle's keys are compared with those here by: the vault's data key.

    Where there are none, here or to be taken in, nobody is asked to open the vault, and any data key does.
    """
    from raptchat import crypto
    from raptchat.vault.sealing import DataKey

    vault = run.factory.vault
    has_keys = any(one.keys for one in bundle.groups if choices.get(one.group.id) != "skip")
    return vault.data_key() if has_keys and vault.exists() else DataKey("", "", crypto.new_key())


def _show(run: Invocation, plans: "Sequence[GroupPlan]", *, dry_run: bool) -> None:
    if run.json:
        return tables.document(run.terminal, {"dryRun": dry_run, "groups": [_document(one) for one in plans]})
    rows = [[one.group.name, _action(one), _keys(one), str(one.sessions)] for one in plans]
    tables.table(
        run.terminal,
        ["group", "what", "keys", "conversations"],
        rows,
        empty="the bundle is empty",
        numeric=["conversations"],
    )
    if dry_run:
        met = any(one.action == "conflict" for one in plans)
        hint = ("--on-conflict skip, replace or rename says what to do with a conflict",) if met else ()
        if lines := _said(plans):
            run.terminal.say(_FROM_NOW_ON, *lines)
        return run.terminal.say("nothing was changed", *hint)
    taken = [one for one in plans if one.action != "skip"]
    keys = sum(each.action == "new" for one in taken for each in one.keys)
    return run.terminal.say(f"imported {counted(len(taken), 'group')} with {counted(keys, 'new key')}")


def _document(plan: "GroupPlan") -> dict[str, object]:
    return {
        "name": plan.group.name,
        "action": plan.action,
        "as": plan.name,
        "conflictsWith": plan.present.id if plan.present else None,
        "credentials": [
            {
                "keyHint": key.hint,
                "kind": key.kind,
                "reference": key.reference.reveal() if key.reference else None,
                "provider": key.provider,
                "endpoint": key.endpoint,
                "isActive": key.is_active,
                "action": key.action,
            }
            for key in plan.keys
        ],
        "sessions": plan.sessions,
    }


def _action(plan: "GroupPlan") -> str:
    return plan.action if plan.name == plan.group.name else f"{plan.action}: `{plan.name}`"


def _keys(plan: "GroupPlan") -> str | None:
    states = {"new": "", "present": ", is here already", "activate": ", is here and put in use"}
    return (
        "; ".join(
            f"{key.hint} for {key.endpoint}{'' if key.is_active else ', inactive'}{states[key.action]}"
            for key in plan.keys
        )
        or None
    )
