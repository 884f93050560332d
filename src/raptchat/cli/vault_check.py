"""`raptchat vault check`: whether every key opens, with every slot."""

from typing import TYPE_CHECKING

import typer

from raptchat.cli import documents
from raptchat.cli.invocation import Invocation, invocation
from raptchat.render import tables
from raptchat.render.formats import UNKNOWN

if TYPE_CHECKING:
    from raptchat.credentials.seal_report import SealReport

_OPENS = {True: "opens", False: "does not open", None: "not tried"}


def check(ctx: typer.Context) -> None:
    """Open every key with every slot at hand, and say which were not tried; exit 1 when one does not open.

    At a terminal it asks for the passphrase and for the recovery key: so what is on paper is tried before it is
    needed.
    """
    from raptchat.credentials import CredentialService

    run = invocation(ctx)
    ask = run.person_present and not run.json
    if ask and any(slot.kind in {"passphrase", "recovery"} for slot in run.factory.store.vault.slots()):
        run.terminal.say("Enter alone goes on without what is not at hand.")
    report = CredentialService(run.factory).check_seals(ask=ask)
    tried = [one.opens for one in report.slots if one.opens is not None]
    problems = [one.problem for one in report.rows] + [problem for _, problem in report.management]
    ok = all(tried) and not any(problems) and bool(tried or not report.slots)
    if run.json:
        tables.document(run.terminal, _document(report, ok=ok))
    else:
        _show(run, report, ok=ok)
    if not ok:
        raise typer.Exit(1)


def _document(report: "SealReport", *, ok: bool) -> documents.Document:
    return {
        "ok": ok,
        "slots": [
            {"id": one.slot.id, "kind": one.slot.kind, "opens": one.opens, "problem": one.problem}
            for one in report.slots
        ],
        "credentials": [
            {
                "id": one.credential.id,
                "group": one.group.name if one.group else None,
                "keyHint": one.credential.key_hint,
                "opens": one.problem is None,
                "problem": one.problem,
            }
            for one in report.rows
        ],
        "managementKeys": [
            {
                "endpoint": one.endpoint,
                "keyHint": one.key_hint,
                "opens": problem is None,
                "problem": problem,
            }
            for one, problem in report.management
        ],
    }


def _show(run: Invocation, report: "SealReport", *, ok: bool) -> None:
    slots = [
        [tables.id_cell(run.terminal, one.slot.id), f"{one.slot.kind} slot", _OPENS[one.opens], one.problem]
        for one in report.slots
    ]
    keys = [
        [
            tables.id_cell(run.terminal, one.credential.id),
            f"key of {one.group.name if one.group else UNKNOWN}",
            _OPENS[one.problem is None],
            one.problem,
        ]
        for one in report.rows
    ]
    keys += [
        [
            tables.id_cell(run.terminal, one.id),
            f"management key of {one.endpoint}",
            _OPENS[problem is None],
            problem,
        ]
        for one, problem in report.management
    ]
    empty = "there is no vault yet, and no key"
    tables.table(run.terminal, ["id", "what", "state", "problem"], [*slots, *keys], empty=empty)
    if report.slots:
        untried = [one.slot.kind for one in report.slots if one.opens is None]
        found = "every key opens with every slot that was tried" if ok else "not every key opens with every slot"
        if not any(one.opens for one in report.slots):
            found = "no slot opened, so no key was tried"
        run.terminal.say(f"{found}; not tried: {', '.join(untried)}" if untried else found)
