"""The chart in the README: how long raptchat and its peers take, as one small SVG.

It has a background of its own and follows the reader's colour scheme: a page need not, and can be white on a
desktop that is dark.
"""

from collections.abc import Sequence
from html import escape

from measuring import Row

# What is shown, and what it is called.
PANELS = {
    ("startup", "--version"): "--version",
    ("oneshot", "file vault"): "A question and its answer, into a pipe",
}
NAMES = {
    "python -c pass": "python -c pass",
    "raptchat": "raptchat",
    "httpx": "bare httpx script",
    "llm": "llm",
    "shell-gpt": "shell-gpt",
}
_CAPTION = "Milliseconds from start to end; shorter is better"

_WIDTH, _MARGIN, _LABELS, _VALUES = 720, 20, 150, 90
_TITLE, _LINE, _BAR, _GAP = 26, 22, 14, 16

_STYLE = """\
text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328; }
.title, .ours { font-weight: 600; }
.quiet { fill: #59636e; }
rect { fill: #afb8c1; }
rect.ours { fill: #0969da; }
rect.page { fill: #ffffff; }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc; }
  .quiet { fill: #9198a1; }
  rect { fill: #656c76; }
  rect.ours { fill: #4493f8; }
  rect.page { fill: #0d1117; }
}"""


def svg(rows: Sequence[Row]) -> str:
    """Bars of wall time, a panel for each task that was measured; all at one scale."""
    panels = {
        title: [row for row in rows if (row.section, row.name) == task and row.program in NAMES]
        for task, title in PANELS.items()
    }
    longest = max((row.wall_ms for its in panels.values() for row in its), default=1.0)
    left = _MARGIN + _LABELS
    scale = (_WIDTH - left - _VALUES - _MARGIN) / longest
    shapes, at = list[str](), _MARGIN
    for title, its in panels.items():
        if not its:
            continue
        shapes.append(f'<text class="title" x="{_MARGIN}" y="{at + 12}">{escape(title)}</text>')
        at += _TITLE
        for row in sorted(its, key=lambda row: row.wall_ms):
            bar = max(1.0, row.wall_ms * scale)
            ours = ' class="ours"' if row.program == "raptchat" else ""
            text = at + _BAR - 2
            shapes += [
                f'<text{ours} x="{left - 8}" y="{text}" text-anchor="end">{escape(NAMES[row.program])}</text>',
                f'<rect{ours} x="{left}" y="{at}" width="{bar:.1f}" height="{_BAR}" rx="2"/>',
                f'<text class="quiet" x="{left + bar + 6:.1f}" y="{text}">{row.wall_ms:,.0f} ms</text>',
            ]
            at += _LINE
        at += _GAP
    shapes.append(f'<text class="quiet" x="{_MARGIN}" y="{at + 12}">{_CAPTION}</text>')
    height = at + 12 + _MARGIN
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}"'
    page = f'<rect class="page" width="{_WIDTH}" height="{height}" rx="6"/>'
    return "\n".join(
        [
            f'{head} viewBox="0 0 {_WIDTH} {height}" role="img">',
            f"<title>{_CAPTION}</title>",
            f"<style>\n{_STYLE}\n</style>",
            page,
            *shapes,
            "</svg>",
            "",
        ]
    )
