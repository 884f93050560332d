"""Write the manual pages anew: `python man/generate.py`. A test fails when they are stale.

One page for each command, from the same help as `--help`, in the macros of man(7); what stands in them is escaped
as groff_char(7) asks, so that a command copied out of a page is the command that was meant.
"""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from raptchat import __version__, errors
from raptchat.cli import app
from raptchat.cli.examples import EXAMPLES
from raptchat.cli.help import command_panels, first_sentence, panels, words

ENVIRONMENT = {
    "AI_GATEWAY_URL": "Where requests go: https, or http to a loopback address.",
    "AI_DEFAULT_MODEL": "The model where neither a flag, the session nor the group names one.",
    "AI_REQUEST_TIMEOUT_MS": "The longest silence of the gateway, in milliseconds.",
    "AI_MAX_RETRIES": "How often a request is sent again before any content came: 0 to 5.",
    "RAPTCHAT_GROUP": "The group that pays, where --group does not say it.",
    "RAPTCHAT_HOME": "One folder for the store, the settings, the state and the cache.",
    "RAPTCHAT_MASTER_KEY_FILE": "The key file that opens the vault.",
    "RAPTCHAT_PASSPHRASE_FILE": "A file with the passphrase that opens the vault.",
    "RAPTCHAT_DEBUG": "Show the traceback of a bug.",
    "NO_COLOR": "Write no colours.",
    "FORCE_COLOR": "Write colours where there is no terminal, too; NO_COLOR wins.",
    "PAGER": "What long lists are shown with at a terminal.",
    "VISUAL, EDITOR": "What /edit opens in a conversation.",
    "HTTPS_PROXY, NO_PROXY": "The proxy to the gateway, and the hosts that are reached without it.",
    "SSL_CERT_FILE": "The certificates to trust.",
}

_CHARACTERS = str.maketrans(
    {
        "\\": "\\e",
        "-": "\\-",
        "'": "\\(aq",
        "`": "\\(ga",
        "^": "\\(ha",
        "~": "\\(ti",
        '"': "\\(dq",
        "\u2026": "...",
    }
)


def pages() -> dict[str, str]:
    """The text of each page, by its file's name."""
    top = typer.main.get_command(app)
    return {f"{'-'.join(('raptchat', *words(ctx)))}.1": _page(ctx) for ctx in _contexts(top, "raptchat", None)}


def _contexts(command: Any, name: str, parent: typer.Context | None) -> Iterator[typer.Context]:
    ctx = typer.Context(command, info_name=name, parent=parent, help_option_names=["-h", "--help"])
    yield ctx
    for below in getattr(command, "commands", {}):
        yield from _contexts(command.commands[below], below, ctx)


def _page(ctx: typer.Context) -> str:
    path = words(ctx)
    help_text = inspect.cleandoc(ctx.command.help or "")
    name = "-".join(("raptchat", *path))
    lines = [
        f'.TH "{_text(name.upper())}" "1" "" "raptchat {__version__}" "raptchat manual"',
        # Neither a word nor a flag is cut in two at a line's end.
        ".nh",
        ".ad l",
        ".SH NAME",
        f"{_text(name)} \\- {_text(first_sentence(help_text).removesuffix('.'))}",
        ".SH SYNOPSIS",
        f".B {_text(ctx.command_path)}",
        _line(" ".join(ctx.command.collect_usage_pieces(ctx))),
        ".SH DESCRIPTION",
    ]
    for number, paragraph in enumerate(re.split(r"\n\n+", help_text)):
        lines += [".PP"] * (number > 0) + [_line(" ".join(paragraph.split()))]
    for heading, rows in {**command_panels(ctx.command), **panels(ctx.command, ctx)}.items():
        lines.append(f".SH {_text(heading.upper())}")
        for term, text in rows:
            lines += [".TP", f".B {_text(term)}", _line(text)]
    lines += _examples(path)
    lines += [] if path else _environment_and_exits()
    return "\n".join([*lines, *_see_also(ctx)]) + "\n"


def _examples(path: tuple[str, ...]) -> list[str]:
    lines = [".SH EXAMPLES"] if path in EXAMPLES else []
    for example in EXAMPLES.get(path, ()):
        lines += [
            ".PP",
            _line(example.heading),
            ".PP",
            ".RS 4",
            ".EX",
            _line(example.line),
            ".EE",
            ".RE",
        ]
    return lines


def _environment_and_exits() -> list[str]:
    lines = [".SH ENVIRONMENT"]
    for name, text in ENVIRONMENT.items():
        lines += [".TP", f".B {_text(name)}", _line(text)]
    exits: dict[int, list[str]] = {}
    for _, kind in inspect.getmembers(errors, inspect.isclass):
        if issubclass(kind, errors.RaptchatError):
            exits.setdefault(kind.exit_code, []).append(kind.code)
    lines += [".SH EXIT STATUS", ".TP", ".B 0", "Done."]
    for code, names in sorted(exits.items()):
        lines += [".TP", f".B {code}", _line(", ".join(dict.fromkeys(names)))]
    return lines


def _see_also(ctx: typer.Context) -> list[str]:
    path = words(ctx)
    near = ["-".join(("raptchat", *path[:-1]))] if path else []
    near += ["-".join(("raptchat", *path, below)) for below in getattr(ctx.command, "commands", {})]
    listed = [f".BR {_text(name)} (1)" + ("," if name != near[-1] else "") for name in near]
    return [".SH SEE ALSO", *listed] if near else []


def _text(text: str) -> str:
    return text.translate(_CHARACTERS)


def _line(text: str) -> str:
    """*text* as a line of its own, which is no request even if it begins like one."""
    escaped = _text(text)
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


if __name__ == "__main__":
    # As `man -M man raptchat` finds them.
    folder = Path(__file__).parent / "man1"
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.1"):
        old.unlink()
    for file, page in pages().items():
        (folder / file).write_text(page, encoding="utf-8")
