"""What was measured, as tables in Markdown and as JSON."""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby

from goals import Reached, reached
from measuring import Row

BEGIN, END = "<!-- results: written by run.py -->", "<!-- end of the results -->"


@dataclass(frozen=True)
class Results:
    """All of one run; *about* says when and on what it ran."""

    about: Mapping[str, str]
    rows: Sequence[Row]

    def document(self) -> dict[str, object]:
        """The results as one JSON document."""
        return {
            "about": self.about,
            "rows": [asdict(row) for row in self.rows],
            "goals": [
                {
                    "what": one.goal.what,
                    "limit": one.goal.limit,
                    "raptchat": one.raptchat,
                    "peer": one.goal.peer,
                    "peerFigure": one.peer,
                    "met": one.is_met,
                }
                for one in reached(self.rows)
            ],
        }

    def markdown(self) -> str:
        """The results as Markdown: the goals first, then every row."""
        about = "; ".join(f"{name} {value}" for name, value in self.about.items())
        parts = [
            f"{about}.",
            _table(["goal", "at most", "raptchat", "", "peer"], map(_goal, reached(self.rows)), texts={0, 3, 4}),
        ]
        for section, its in groupby(self.rows, lambda row: row.section):
            parts += [f"### {section}", _section(list(its))]
        return "\n\n".join(parts)


def replaced(text: str, results: str) -> str:
    """*text* with *results* between the two marks that it has; `ValueError` when it has none."""
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the file has no `{BEGIN}` with an `{END}` below it")
    return f"{head}{begin}\n\n{results}\n\n{end}{tail}"


def _goal(one: Reached) -> list[str]:
    goal = one.goal
    unmeasured = f"held by `{goal.held_by}`" if goal.held_by else "not measured"
    verdict = {True: "met", False: "**missed**", None: unmeasured}[one.is_met]
    peer = f"{goal.peer} {_figure(one.peer)}{goal.unit}" if one.peer is not None else ""
    ours = f"{_figure(one.raptchat)}{goal.unit}" if one.raptchat is not None else ""
    return [goal.what, f"{_figure(goal.limit)}{goal.unit}", ours, verdict, peer]


def _section(rows: Sequence[Row]) -> str:
    extras = list(dict.fromkeys(name for row in rows for name in row.extra))
    walls = {row.name: row.wall_ms for row in rows if row.program == "raptchat"}
    lines = [
        [
            row.name,
            row.program,
            _figure(row.wall_ms),
            _figure(row.wall_ms / walls[row.name]) if walls.get(row.name) else "",
            _figure(row.cpu_ms) if row.cpu_ms else "",
            _figure(row.rss_mib) if row.rss_mib else "",
            *(_figure(row.extra[name]) if name in row.extra else "" for name in extras),
            str(row.runs),
        ]
        for row in rows
    ]
    heads = [
        "",
        "program",
        "wall ms",
        "/ raptchat",
        "CPU ms",
        "peak MiB",
        *(name.replace("_", " ") for name in extras),
    ]
    return _table([*heads, "runs"], lines, texts={0, 1})


def _table(heads: Sequence[str], lines: Iterable[Sequence[str]], *, texts: Container[int]) -> str:
    """A table of figures; those columns of it are *texts*."""
    shown = [heads, *lines]
    widths = [max(3, *(len(line[column]) for line in shown)) for column in range(len(heads))]
    rule = ["-" * width if at in texts else "-" * (width - 1) + ":" for at, width in enumerate(widths)]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if at in texts else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    return "\n".join([line(heads), line(rule), *map(line, shown[1:])])


def _figure(value: float) -> str:
    """Three digits that count, and thousands with a comma."""
    digits = sum(abs(value) < bound for bound in (100, 10, 1)) if value else 0
    return f"{value:,.{digits}f}"
