"""What rich lays out, as text; loaded only when a terminal is drawn on."""

import re
from typing import TextIO

from rich.console import Console, RenderableType
from rich.theme import Theme

from raptchat.render import Colors, Page, encoding_of

# No backgrounds: what looks well on black cannot be read on white.
_THEME = Theme({"markdown.code": "bold cyan", "markdown.code_block": "cyan"})

_PADDING = re.compile(r"(?: |\x1b\[[0-9;]*m)+$", re.MULTILINE)
_RESET = "\x1b[0m"


def drawn(renderable: RenderableType, *, width: int, colors: Colors | None, stream: TextIO) -> str:
    """*renderable* as lines of at most *width* cells, for *stream*, each ended by a newline.

    The only escape sequences are those of colours and weights (SGR), and none with *colors* `None`. Text is
    handed over as `rich.text.Text` or parsed Markdown, never as a `str`, so that nothing in it is rich markup.
    """
    page = Page(encoding_of(stream))
    console(page, width=width, colors=colors).print(renderable)
    # Padding to the full width would wrap when the window is made narrower, and is a nuisance when copied.
    return _PADDING.sub(lambda padding: _RESET if "\x1b" in padding[0] else "", page.getvalue())


def console(file: TextIO, *, width: int, colors: Colors | None) -> Console:
    """A console of rich's in our colours, which takes nothing it is given for markup."""
    return Console(
        file=file,
        width=width,
        color_system=colors,
        theme=_THEME,
        force_terminal=colors is not None,
        no_color=colors is None,
        markup=False,
        emoji=False,
        highlight=False,
        legacy_windows=False,
    )
