"""The chart in the README: how long raptchat and its peers take, as one small SVG.

It has no background, and its colours follow the reader's scheme, so that it is readable on light and dark pages.
"""

from collections.abc import Sequence
from html import escape

from measuring import Row

# What is shown, and what it is called.
PANELS = {
    ("startup", "--version"): "--version",
    ("oneshot", "file vault"): "a question and its answer, into a pipe",
}
NAMES = {
    "python -c pass": "python -c pass",
    "raptchat": "raptchat",
    "httpx": "bare httpx script",
    "llm": "llm",
    "shell-gpt": "shell-gpt",
}

_WIDTH, _LABELS, _VALUES = 720, 150, 70
_LINE, _BAR, _GAP = 22, 14, 34

_STYLE = """\
text { font: 13px system-ui, sans-serif; fill: #1f2328; }
.title { font-weight: 600; }
.figure { fill: #59636e; }
rect { fill: #afb8c1; }
.ours { fill: #0969da; }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc; }
  .figure { fill: #9198a1; }
  rect { fill: #656c76; }
  .ours { fill: #4493f8; }
}"""


def svg(rows: Sequence[Row]) -> str:
    """Bars of wall time, a panel for each task that was measured; all at one scale."""
    panels = {
        title: [row for row in rows if (row.section, row.name) == task and row.program in NAMES]
        for task, title in PANELS.items()
    }
    longest = max((row.wall_ms for its in panels.values() for row in its), default=1.0)
    scale = (_WIDTH - _LABELS - _VALUES) / longest
    shapes, at = list[str](), 0
    for title, its in panels.items():
        if not its:
            continue
        at += 18
        shapes.append(f'<text class="title" x="0" y="{at}">{escape(title)}</text>')
        at += 8
        for row in sorted(its, key=lambda row: row.wall_ms):
            bar = max(1.0, row.wall_ms * scale)
            ours = ' class="ours"' if row.program == "raptchat" else ""
            text = at + _BAR - 2
            shapes += [
                f'<text x="{_LABELS - 8}" y="{text}" text-anchor="end">{escape(NAMES[row.program])}</text>',
                f'<rect{ours} x="{_LABELS}" y="{at}" width="{bar:.1f}" height="{_BAR}" rx="2"/>',
                f'<text class="figure" x="{_LABELS + bar + 6:.1f}" y="{text}">{row.wall_ms:,.0f} ms</text>',
            ]
            at += _LINE
        at += _GAP - _LINE
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{at}" viewBox="0 0 {_WIDTH} {at}"'
    title = "Milliseconds from the start of a program to its end; less is better"
    return "\n".join(
        [f'{head} role="img">', f"<title>{title}</title>", f"<style>\n{_STYLE}\n</style>", *shapes, "</svg>", ""]
    )
