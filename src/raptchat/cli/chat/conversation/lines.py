"""Where the lines of a conversation come from, and what a block between `\"\"\"` is."""

from collections.abc import Callable
from typing import Protocol

from raptchat.render import Terminal

_QUOTES = '"""'


class Lines(Protocol):
    """Reads what a person types."""

    def read(self, draft: str) -> str:
        """One message or command, which begins as *draft*.

        Raises `EOFError` for Ctrl-D and a closed terminal, `KeyboardInterrupt` for Ctrl-C at an empty prompt, and
        `UnicodeError` for bytes that are no text.
        """


class PlainLines:
    """Lines as the terminal itself lets them be typed: for one that cannot move its cursor."""

    def __init__(self, terminal: Terminal, prompt: Callable[[], str]) -> None:
        self._terminal = terminal
        self._prompt = prompt

    def read(self, draft: str) -> str:
        """As `Lines.read`; a *draft* cannot be changed here, so it is shown."""
        if draft:
            self._terminal.say(*draft.splitlines())
        try:
            text = input(self._prompt())
            while is_open_block(text):
                text += "\n" + input()
        except (EOFError, KeyboardInterrupt):
            self._terminal.say("")
            raise
        return text


def is_open_block(text: str) -> bool:
    """Whether *text* begins with `\"\"\"` and waits for the other one."""
    return text.lstrip().startswith(_QUOTES) and text.count(_QUOTES) % 2 == 1


def message(text: str) -> str:
    """*text* as it is sent: without white space around it, and without the `\"\"\"` of a block."""
    text = text.strip()
    inside = text.removeprefix(_QUOTES).removesuffix(_QUOTES)
    return inside.strip() if len(inside) == len(text) - 2 * len(_QUOTES) and _QUOTES not in inside else text
