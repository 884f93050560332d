"""An error, as a person or a script reads it on standard error."""

import json

from raptchat.errors import AiNotConfiguredError, RaptchatError
from raptchat.outside import safe_line, without_keys
from raptchat.render import Terminal
from raptchat.secret import without_secrets

OPENROUTER_KEYS_PAGE = "https://openrouter.ai/keys"

# The frame's two sides and the space inside them.
_FRAME = 6


def error(terminal: Terminal, raised: RaptchatError, *, as_json: bool = False) -> None:
    """Say what happened and what to do next, or both as one line of JSON; what looks like a key is `***`."""
    if as_json:
        terminal.write_error(_without_keys(json.dumps(as_fields(raised), default=str)) + "\n")
    elif isinstance(raised, AiNotConfiguredError) and "gateway" not in raised.fields and terminal.err_is_tty:
        not_configured(terminal, raised)
    else:
        _two_lines(terminal, raised)


def as_fields(raised: RaptchatError) -> dict[str, object]:
    """The JSON form: what every error says, then the fields of its own."""
    said: dict[str, object] = {
        "error": _without_keys(str(raised)),
        "code": raised.code,
        "statusCode": raised.status_code,
        "hint": _without_keys(raised.hint),
    }
    return {**said, **raised.fields}


def not_configured(terminal: Terminal, raised: AiNotConfiguredError) -> None:
    """Draw the one error that every newcomer meets: which group, the command, and where to get a key.

    The names are the fields `group` and `provider`, the command is the hint. Without a hint, and where the
    terminal is too narrow for it to stay in one piece, it is said as any other error.
    """
    from rich import box
    from rich.panel import Panel
    from rich.text import Text

    from raptchat.render.drawing import drawn

    group, provider = (_line(str(raised.fields.get(name) or "")) for name in ("group", "provider"))
    text = Text.assemble(
        f"Add an API key{' for ' + provider if provider else ''}:\n\n  ", (_line(raised.hint), "bold")
    )
    if provider in {"", "openrouter"}:
        text.append(f"\n\nGet a key at {OPENROUTER_KEYS_PAGE}")
    title = Text.assemble("AI is not configured for ", (f"group {group}" if group else "this group", "bold"))
    width = max(line.cell_len for line in [title, *text.split("\n")]) + _FRAME
    if not raised.hint or width > terminal.width:
        _two_lines(terminal, raised)
        return
    panel = Panel(text, title=title, title_align="left", box=box.ROUNDED, padding=(1, 2), expand=False)
    terminal.write_error(drawn(panel, width=terminal.width, colors=terminal.err_colors, stream=terminal.err))


def _two_lines(terminal: Terminal, raised: RaptchatError) -> None:
    hint = f"hint: {_line(raised.hint)}\n" if raised.hint else ""
    terminal.write_error(f"raptchat: {_line(str(raised))}\n{hint}")


def _line(text: str) -> str:
    return safe_line(_without_keys(text))


def _without_keys(text: str) -> str:
    return without_secrets(without_keys(text))
