"""A roster: the groups of a whole school, one a line, read and checked before anything is done with them."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from raptchat import naming, policy
from raptchat.cli.key_caps import key_caps
from raptchat.config import check_model
from raptchat.errors import PolicyError, UsageError
from raptchat.outside import safe_line
from raptchat.providers.key_info import KeyCaps
from raptchat.records import Group
from raptchat.store import Store
from raptchat.store.groups import name_key

COLUMNS = ("name", "limit", "reset", "expires", "model")
MOST_LINES = 10_000
MOST_BYTES = 1024 * 1024

_MOST_TOLD = 20


class RosterLine(NamedTuple):
    """A line of the file, by its *number* in it: the group, and what its key may cost.

    *group* is the one that is there already, *has_key* whether it has an active key.
    """

    number: int
    name: str
    caps: KeyCaps
    model: str | None
    group: Group | None = None
    has_key: bool = False


class _Problem(NamedTuple):
    number: int
    text: str


def read_roster(path: Path, store: Store, provider: str) -> list[RosterLine]:
    """The lines of the CSV file at *path* (RFC 4180; also with `;` or a tab), with what the store has of them.

    The first line names the columns, of which `name` must be there. `UsageError` tells every line that cannot be
    right; its field `problems` has them all.
    """
    shown = safe_line(str(path))
    lines, problems = _parsed(_text(path, shown), shown)
    checked = []
    first: dict[str, int] = {}
    with store.snapshot():
        groups = {name_key(group.name): group for group in store.groups.all()}
        paying = {one.group_id for one in store.credentials.all() if one.is_active and one.provider == provider}
        for number, cells in lines:
            try:
                line = _checked(number, cells, store, groups, paying)
            except (UsageError, PolicyError) as error:
                problems.append(_Problem(number, str(error)))
                continue
            before = first.setdefault(name_key(line.name), number)
            if before != number:
                problems.append(_Problem(number, f"group `{line.name}` stands on line {before} already"))
            checked.append(line)
    if problems:
        raise _refused(shown, sorted(problems))
    if not checked:
        raise UsageError(f"`{shown}` names no group", hint=f"a line for each, under {','.join(COLUMNS)}")
    return checked


def _text(path: Path, shown: str) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise UsageError(f"`{shown}` cannot be read: {error.strerror}") from None
    if len(data) > MOST_BYTES:
        raise UsageError(f"`{shown}` is larger than 1 MiB", hint="split it: groups that have a key are left alone")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(f"`{shown}` is not UTF-8 text: line {line}", hint="save it as CSV in UTF-8") from None


def _parsed(text: str, shown: str) -> tuple[list[tuple[int, dict[str, str]]], list[_Problem]]:
    """Each line with its cells by their columns, blank ones left out; and those with too many cells or too few."""
    header = text.lstrip("\r\n").partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    columns: Sequence[str] = ()
    found: list[tuple[int, dict[str, str]]] = []
    problems: list[_Problem] = []
    while True:
        # A cell may hold newlines: a line is called by where it begins.
        number = reader.line_num + 1
        try:
            cells = [cell.strip() for cell in next(reader)]
        except StopIteration:
            return found, problems
        except csv.Error as error:
            # What follows is read as who knows what.
            return found, [*problems, _Problem(number, f"it is no CSV: {error}")]
        if not any(cells):
            continue
        if not columns:
            columns = _columns(cells, shown)
        elif len(cells) != len(columns):
            problems.append(_Problem(number, f"it has {len(cells)} cells, and the first line {len(columns)}"))
        else:
            found.append((number, dict(zip(columns, cells, strict=True))))
        if len(found) + len(problems) > MOST_LINES:
            raise UsageError(f"`{shown}` has more than {MOST_LINES:,} groups", hint="split it")


def _columns(cells: Sequence[str], shown: str) -> Sequence[str]:
    columns = [cell.casefold() for cell in cells]
    hint = f"the first line names them: {','.join(COLUMNS)}, in any order, `name` at least"
    for column in columns:
        if column not in COLUMNS:
            raise UsageError(f"`{shown}` has an unknown column: `{safe_line(column)[:80]}`", hint=hint)
    if len(set(columns)) < len(columns):
        raise UsageError(f"`{shown}` has a column twice", hint=hint)
    if "name" not in columns:
        raise UsageError(f"`{shown}` has no column `name`", hint=hint)
    return columns


def _checked(
    number: int, cells: dict[str, str], store: Store, groups: dict[str, Group], paying: set[str]
) -> RosterLine:
    name = naming.check_name(cells["name"])
    group = groups.get(name_key(name))
    limit, reset, expires, model = (cells.get(column) or None for column in COLUMNS[1:])
    caps = key_caps(limit, reset, expires, names="")
    if group and model:
        policy.check_model(group.policy, model, group=group.name)
    return RosterLine(
        number,
        group.name if group else naming.new_name(store, name),
        caps,
        check_model(model) if model else None,
        group,
        group is not None and group.id in paying,
    )


def _refused(shown: str, problems: list[_Problem]) -> UsageError:
    told = "; ".join(f"line {one.number}: {one.text}" for one in problems[:_MOST_TOLD])
    more = f"; and {len(problems) - _MOST_TOLD} more" if len(problems) > _MOST_TOLD else ""
    return UsageError(
        f"`{shown}` cannot be right, and nothing was done: {told}{more}",
        hint="mend these lines and run it again",
        problems=[{"line": one.number, "error": one.text} for one in problems],
    )
