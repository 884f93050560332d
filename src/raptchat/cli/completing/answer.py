"""The answer to a Tab: what a completion script asks with `_RAPTCHAT_COMPLETE=SHELL`, and reads line by line.

The first line says who completes: `files`, the shell itself, or `values`, followed by one candidate a line, with a
tab and what it is. Bash gets no descriptions, but the very text that it puts into the line; only where it lists
several candidates without touching the line do they say what they are. Whatever goes wrong offers nothing: there
is no place to say it.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

from raptchat.cli.completing import shell_words
from raptchat.cli.completing.candidates import Asked, Candidates, Named, candidates
from raptchat.cli.invocation import Invocation
from raptchat.outside import forbidden_in_name, safe_line
from raptchat.render import Terminal

if TYPE_CHECKING:
    from typer.core import TyperGroup

# `COMP_TYPE` of bash: the candidates are listed, and the line stays (Bash Reference Manual, 5.2).
_LISTING = str(ord("?"))
_LONGEST_DESCRIPTION = 100


def answer(app: "TyperGroup", shell: str) -> NoReturn:
    """Write what *shell* reads on standard output, and end the process."""
    terminal = Terminal.of_process()
    with suppress(Exception):
        terminal.write(answered(app, shell, sys.argv[1:], os.environ, encoding=terminal.out.encoding))
    sys.exit(0)


def answered(
    app: "TyperGroup", shell: str, words: Sequence[str], environ: Mapping[str, str], *, encoding: str = "utf-8"
) -> str:
    """What is offered behind *words*, in the form that *shell* reads; bash gives its line in *environ* instead."""
    word = environ.get("_RAPTCHAT_WORD", "")
    line = environ.get("_RAPTCHAT_LINE", "")
    if shell == "bash":
        typed = shell_words.Line(line)
        if typed.redirects:
            return "files\n"
        words, word_typed = typed.words[1:], typed.word
    else:
        word_typed = word
    found = _found(app, words, word_typed)
    if found.files:
        return "files\n"
    named = [each for each in found.named if _can_be_typed(each[0], encoding)]
    if shell == "bash":
        return "\n".join(["values", *_for_bash(named, line, word, environ)]) + "\n"
    return "\n".join(["values", *("\t".join((name, _about(about))) for name, about in named)]) + "\n"


def _found(app: "TyperGroup", words: Sequence[str], word: str) -> Candidates:
    from typer._click.shell_completion import _resolve_context, _resolve_incomplete
    from typer.core import TyperArgument, TyperOption

    args = list(words)
    run = Invocation(terminal=Terminal.recorded())
    try:
        ctx = _resolve_context(app, {"obj": run}, "raptchat", args)
        if run.store is not None:
            # The shell would have done it.
            run.store = run.store.expanduser()
        owner, rest = _resolve_incomplete(ctx, args, word)
        if not isinstance(owner, TyperArgument | TyperOption):
            return Candidates([(str(item.value), item.help) for item in owner.shell_complete(ctx, rest)])
        found = candidates(Asked(ctx, owner, args, rest))
    finally:
        run.close()
    # `--group=bio` is one word of the shell.
    flag = word.removesuffix(rest) if word != rest and word.startswith("--") else ""
    named = [(f"{flag}{name}", about) for name, about in found.named if _is_value(name, args)]
    return Candidates(named, files=found.files)


def _is_value(name: str, args: Sequence[str]) -> bool:
    # What begins so is taken for a flag, unless `--` came before.
    return not name.startswith("-") or "--" in args


def _can_be_typed(name: str, encoding: str) -> bool:
    """Whether the shell can show *name*."""
    if not name or forbidden_in_name(name):
        return False
    try:
        name.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _about(text: str | None) -> str:
    line = safe_line(" ".join((text or "").split()))
    return line if len(line) <= _LONGEST_DESCRIPTION else f"{line[: _LONGEST_DESCRIPTION - 3]}..."


def _for_bash(named: Sequence[Named], line: str, word: str, environ: Mapping[str, str]) -> list[str]:
    if environ.get("_RAPTCHAT_KEY") == _LISTING and len(named) > 1:
        columns = environ.get("_RAPTCHAT_COLUMNS", "")
        room = (int(columns) if columns.isdecimal() else 80) - max(len(name) for name, _ in named) - 5
        width = max(len(name) for name, _ in named)
        return [
            f"{name:{width}}  ({about[:room]})" if room > 8 and (about := _about(text)) else name
            for name, text in named
        ]
    found = (shell_words.replacement(line, word, name) for name, _ in named)
    return [text for text in found if text is not None]
