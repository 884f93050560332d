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
    if not terminal.out_is_tty:
        rows: list[tables.Row] = [[*_cells(one), one.fix or None] for one in found]
        return tables.table(terminal, [], rows, empty="")
    if terminal.width < _LEAST_WIDTH:
        for one in found:
            name = f"{one.area}: {one.name}"
            tables.fields(terminal, [(one.level.ljust(_LEVEL_WIDTH), name), ("", one.text)])
    else:
        tables.table(terminal, ["area", "check", "state", "found"], [_cells(one) for one in found], empty="")
    # Each on a line that is not folded, so that it can be pasted; last, where the eye is.
    for one in found:
        if one.fix:
            terminal.write_line(f"fix for {one.area}: {one.name}")
            terminal.write_line(f"  {one.fix}")
    return None


def _cells(finding: "Finding") -> list[str]:
    return [finding.area, finding.name, finding.level, finding.text]


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
