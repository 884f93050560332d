"""The clipboard of the terminal, also at the other end of an SSH connection (OSC 52, xterm's ctlseqs)."""

import base64
import os
from collections.abc import Mapping

from raptchat.errors import UsageError
from raptchat.outside import for_pipe
from raptchat.render import Terminal

# xterm and tmux drop a longer sequence without a word.
MOST_ENCODED = 74_994
# What screen takes in one device control string is 768 bytes.
_SCREEN_PIECE = 700


def copy(terminal: Terminal, text: str, environ: Mapping[str, str] = os.environ) -> None:
    """Hand *text* to the terminal's clipboard, without control characters, as into a pipe.

    Whether the terminal takes it cannot be known. `UsageError` when it could not: it moves no cursor, or the text
    is longer than terminals take. Inside tmux and screen the sequence goes to the terminal around them.
    """
    if not terminal.repaints:
        raise UsageError("this terminal has no clipboard to copy to", hint="/save FILE")
    encoded = base64.b64encode(for_pipe(text).encode()).decode()
    if len(encoded) > MOST_ENCODED:
        raise UsageError(
            f"the reply is too long for a terminal's clipboard: {len(encoded):,} bytes of {MOST_ENCODED:,}",
            hint="/save FILE",
        )
    sequence = f"\x1b]52;c;{encoded}\x07"
    if environ.get("TMUX"):
        # It takes the first with `set-clipboard on`, the second with `allow-passthrough on`.
        sequence += "\x1bPtmux;" + sequence.replace("\x1b", "\x1b\x1b") + "\x1b\\"
    elif environ.get("STY"):
        pieces = [sequence[at : at + _SCREEN_PIECE] for at in range(0, len(sequence), _SCREEN_PIECE)]
        sequence = "".join(f"\x1bP{piece}\x1b\\" for piece in pieces)
    terminal.write(sequence)
