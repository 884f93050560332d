"""Messages that were searched for: where each is, and the words around what was found."""

from collections.abc import Sequence

from raptchat.outside import safe_line
from raptchat.records import FoundMessage
from raptchat.render import Terminal, tables
from raptchat.render.formats import when

# From here on there is room beside the title, which is cut at the end of the line.
_WIDE = 60


def show(terminal: Terminal, found: Sequence[FoundMessage]) -> None:
    """Write a heading and an excerpt for each of *found*, its hits in bold; a tab-separated line into a pipe."""
    if not terminal.out_is_tty:
        tables.table(terminal, [], [_row(one) for one in found], empty="")
        return
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    from raptchat.render.drawing import drawn

    parts: list[Text | Padding] = []
    for one in found:
        heading = Text.assemble(
            (safe_line(one.session_id[:8]), "bold cyan"),
            f"  {safe_line(one.group_name)}  {one.seq}. {one.role}  {safe_line(when(one.created_at))}  ",
            (safe_line(one.title or ""), "italic"),
        )
        if terminal.width >= _WIDE:
            heading.truncate(terminal.width, overflow="ellipsis")
        parts.append(heading)
        excerpt = Text()
        for number, piece in enumerate(one.excerpt):
            excerpt.append(safe_line(piece), style="bold yellow" if number % 2 else "")
        parts.append(Padding(excerpt, (0, 0, 1, 4)))
    page = drawn(Group(*parts), width=terminal.width, colors=terminal.out_colors, stream=terminal.out)
    terminal.write(page.rstrip("\n") + "\n")


def _row(found: FoundMessage) -> tables.Row:
    place = [found.session_id, found.group_name, found.title, str(found.seq), found.role, when(found.created_at)]
    return [*place, "".join(found.excerpt)]
