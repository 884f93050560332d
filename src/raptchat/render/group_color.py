"""A group's own colour: the same in every terminal and on every day, so that a payer is known at a glance."""

import zlib

# Twelve hues, each of the relative luminance 0.18, whose contrast to black and to white is the same 4.5
# (WCAG 2.2, 1.4.3): they are read on a dark background as on a light one.
COLORS = (
    "#e62020",
    "#b16214",
    "#7a7a0e",
    "#4a850f",
    "#0f8a0f",
    "#0f874b",
    "#0f8383",
    "#1877d5",
    "#6363ee",
    "#9c4ceb",
    "#cc17cc",
    "#e1197d",
)


def color_of(group_id: str) -> str:
    """The colour of a group, as `#rrggbb`, from its id: a group that is renamed keeps it."""
    return COLORS[zlib.crc32(group_id.encode()) % len(COLORS)]
