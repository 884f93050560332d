"""`raptchat doctor`: what is right with this installation, what is not, and how it is mended."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from raptchat.cli.documents import Document
from raptchat.cli.invocation import invocation
from raptchat.render import Terminal, encoding_of, tables

if TYPE_CHECKING:
    from raptchat.doctor import Finding

# In fewer cells the columns would be towers of letters.
_LEAST_WIDTH = 72
_LEVEL_WIDTH = len("problem")


def doctor(
    ctx: typer.Context,
    offline: Annotated[bool, typer.Option("--offline", help="Ask no gateway.")] = False,
) -> None:
    """Check store, vault, gateway and environment, and say how to mend what is wrong.

    Nothing is made, changed or repaired.
    """
    from raptchat.doctor import Subject, examine
    from raptchat.render.waiting import Waiting

    run = invocation(ctx)
    with Waiting(run.terminal, model="the store, the keyring and the gateway") as waiting:
        waiting.note("waiting")
        subject = Subject.found(
            os.environ,
            store=run.store,
            encoding=encoding_of(run.terminal.out),
            offline=offline,
            tell=waiting.say,
        )
        found = examine(subject)
    problems = sum(finding.level == "problem" for finding in found)
    if run.json:
        tables.document(run.terminal, {"ok": not problems, "findings": [_document(one) for one in found]})
    else:
        _show(run.terminal, found)
        warnings = sum(finding.level == "warning" for finding in found)
        run.terminal.say(f"{_counted(problems, 'problem')}, {_counted(warnings, 'warning')}")
    if problems:
        raise typer.Exit(1)


def _show(terminal: Terminal, found: "Sequence[Finding]") -> None:
    if terminal.out_is_tty and terminal.width < _LEAST_WIDTH:
        for finding in found:
            pairs = [(finding.level.ljust(_LEVEL_WIDTH), f"{finding.area}: {finding.name}"), ("", finding.text)]
            tables.fields(terminal, [*pairs, *([("fix", finding.fix)] if finding.fix else [])])
        return
    rows: list[tables.Row] = []
    for finding in found:
        row = [finding.area, finding.name, finding.level, finding.text]
        if not terminal.out_is_tty:
            rows.append([*row, finding.fix or None])
            continue
        rows.append(row)
        if finding.fix:
            rows.append(["", "", "", f"fix: {finding.fix}"])
    tables.table(terminal, ["area", "check", "state", "found"], rows, empty="")


def _document(finding: "Finding") -> Document:
    return {
        "area": finding.area,
        "name": finding.name,
        "level": finding.level,
        "text": finding.text,
        "fix": finding.fix or None,
    }


def _counted(count: int, what: str) -> str:
    return f"{count or 'no'} {what}{'' if count == 1 else 's'}"
