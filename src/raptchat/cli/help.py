"""What `--help` and the manual pages say of a command: its arguments, and its options under headings."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typer import Context
    from typer._click import Command as AnyCommand
    from typer._click.formatting import HelpFormatter

Rows = list[tuple[str, str]]

# Longer lines are hard to read; below the other a description beside its option is a tower of words.
WIDEST = 100
_NARROWEST_COLUMNS = 60
_WIDEST_TERM = 28

ARGUMENTS = "Arguments"
OTHERS = "Options"
_ORDER = (ARGUMENTS, "Conversation", "Request", "Answer", "Attachments", "Output")


def panels(command: "AnyCommand", ctx: "Context") -> dict[str, Rows]:
    """The parameters under their headings, each as how it is written and what it does."""
    parameters = command.get_params(ctx)
    # One heading sorts nothing.
    sorts = len({_heading(each) for each in parameters} - {ARGUMENTS, OTHERS}) > 1
    found: dict[str, Rows] = {}
    for parameter in parameters:
        row = parameter.get_help_record(ctx)
        if row is not None:
            heading = _heading(parameter)
            found.setdefault(heading if sorts or heading == ARGUMENTS else OTHERS, []).append(row)
    order = [*_ORDER, *(heading for heading in found if heading not in _ORDER and heading != OTHERS), OTHERS]
    return {heading: found[heading] for heading in order if heading in found}


def _heading(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return ARGUMENTS
    return getattr(parameter, "rich_help_panel", None) or OTHERS


def command_panels(command: Any) -> dict[str, Rows]:
    """The commands below *command* under their headings, each with one sentence; empty for what has none."""
    entries = getattr(command, "entries", {})
    found: dict[str, Rows] = {}
    for name in getattr(command, "commands", {}):
        if name in entries:
            found.setdefault(entries[name].panel, []).append((name, entries[name].help))
        elif not (below := command.commands[name]).hidden:
            found.setdefault("Commands", []).append((name, first_sentence(below.help or "")))
    return found


def first_sentence(text: str) -> str:
    """The first paragraph of a help text, on one line."""
    return " ".join(text.partition("\n\n")[0].split())


def write_sections(command: "AnyCommand", ctx: "Context", formatter: "HelpFormatter") -> None:
    """Everything below the description."""
    for heading, rows in {**command_panels(command), **panels(command, ctx)}.items():
        with formatter.section(heading):
            _write_rows(formatter, rows)
    _write_examples(formatter, words(ctx))


def words(ctx: "Context") -> tuple[str, ...]:
    """The words that lead to a command, without the program's name."""
    path: list[str] = []
    each: Any = ctx
    while each.parent is not None:
        path.insert(0, each.info_name)
        each = each.parent
    return tuple(path)


def _write_examples(formatter: "HelpFormatter", path: tuple[str, ...]) -> None:
    from raptchat.cli.examples import EXAMPLES

    examples = EXAMPLES.get(path, ())
    if not examples:
        return
    with formatter.section("Examples"):
        indent = " " * formatter.current_indent
        for example in examples:
            formatter.write_text(example.heading)
            # Never wrapped: it is there to be copied.
            formatter.write(f"{indent}  $ {example.line}\n")


def _write_rows(formatter: "HelpFormatter", rows: Sequence[tuple[str, str]]) -> None:
    if formatter.width >= _NARROWEST_COLUMNS:
        formatter.write_dl(_at_one_column(rows), col_max=_WIDEST_TERM)
        return
    indent = " " * formatter.current_indent
    for term, text in rows:
        formatter.write(f"{indent}{term}\n")
        if text:
            with formatter.indentation(), formatter.indentation():
                formatter.write_text(text)


def _at_one_column(rows: Iterable[tuple[str, str]]) -> Rows:
    # A long form stands under the other long forms, whether it has a short one or not.
    rows = list(rows)
    if not any(term.startswith("-") and not term.startswith("--") for term, _ in rows):
        return rows
    return [(f"    {term}" if term.startswith("--") else term, text) for term, text in rows]
