"""Keys that are kept elsewhere: the command that prints one, and the file that holds one.

What is sealed is the command line as it was typed, or the path; the key itself is had anew by each process.
"""

import os
import shlex
from pathlib import Path

from raptchat import private_file
from raptchat.api_key import check_api_key
from raptchat.api_key import hint_of as hint_of_key
from raptchat.errors import UsageError, VaultUnavailableError
from raptchat.outside import forbidden_in_name, safe_line, shortened, without_keys
from raptchat.records import KeyKind
from raptchat.secret import Secret

_MOST_CHARACTERS = 4096
_LONGEST_NAME = 32


def check_reference(kind: KeyKind, text: str) -> str:
    """*text* without surrounding white space, if it can be sealed as *kind*; `UsageError` says why not.

    The error repeats nothing of it: what was typed may be a key.
    """
    match kind:
        case "key":
            return check_api_key(text)
        case "none":
            if text:
                raise UsageError("where there is no key, none is given")
            return ""
        case "command":
            return _checked(text, "command")
        case "file":
            path = _checked(text, "path")
            if not os.path.isabs(path):  # noqa: PTH117 - the text is kept as it is
                raise UsageError("the file with the key is not named by its whole path")
            return path


def hint_of(kind: KeyKind, sealed: Secret) -> str:
    """What is shown of a credential without the master key: never an argument of a command, never a folder."""
    match kind:
        case "key":
            return hint_of_key(sealed)
        case "none":
            return "none"
        case "command":
            return f"command:{_name(_words(sealed.reveal())[0])}"
        case "file":
            return f"file:{_name(sealed.reveal())}"


def resolve(kind: KeyKind, text: str, *, group: str) -> Secret:
    """The key that the command prints or the file holds, or none; *group* is whose it is, for errors.

    A command is run without a shell and without standard input, for 30 seconds at most; what it says on standard
    error is seen, and it can ask at the terminal. `VaultUnavailableError` says what was wrong with it, and never
    what it printed.
    """
    match kind:
        case "key":
            return Secret(text)
        case "none":
            return Secret("")
        case "command":
            from raptchat.credentials.key_command import printed_key

            words = _words(text)
            return printed_key(words, f"the command that has the key of group `{group}`, `{_name(words[0])}`,")
        case "file":
            return _key_in_file(text, group)


def absence(kind: KeyKind, text: str) -> str | None:
    """Why the key cannot be had, as far as that is seen without running a command; `None` when nothing is."""
    if kind == "command":
        program = _words(text)[0]
        return None if _found(program) else f"the program `{_name(program)}` is not there, or cannot be run"
    if kind == "file":
        try:
            _key_in_file(text, "")
        except VaultUnavailableError as error:
            return str(error)
    return None


def _checked(text: str, what: str) -> str:
    text = text.strip()
    if len(text) > _MOST_CHARACTERS:
        raise UsageError(f"the {what} is longer than {_MOST_CHARACTERS} characters")
    # It is shown before it is taken in somewhere else: what is run must be what is read.
    if found := forbidden_in_name(text):
        raise UsageError(f"the {what} holds the character {found}")
    if what == "command":
        program = _words(text)[0]
        if "/" in program and not program.startswith("/"):
            raise UsageError(
                "the command's program is named from the working folder, or from `~`",
                hint="name it by its whole path, or alone if it is in the PATH: there is no shell",
            )
    elif not text:
        raise UsageError(f"the {what} is empty")
    return text


def _words(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError:
        raise UsageError("the command has a quotation mark that is not closed") from None
    if not words or not words[0]:
        raise UsageError("the command is empty", hint="such as --key-command 'op read op://team/openrouter/key'")
    return words


def _name(path: str) -> str:
    return shortened(safe_line(without_keys(os.path.basename(path))), _LONGEST_NAME)  # noqa: PTH119 - as it is


def _found(program: str) -> bool:
    import shutil

    return shutil.which(program) is not None


def _key_in_file(path: str, group: str) -> Secret:
    what = f"file with the key of group `{group}`" if group else "file with the key"
    try:
        # Of a pipe there is nothing left the next time.
        line = private_file.read_line(Path(path), what, refusal=VaultUnavailableError, regular=True)
    except UsageError as error:  # it does not hold one line
        raise VaultUnavailableError(str(error), hint=error.hint) from None
    try:
        return Secret(check_api_key(line))
    except UsageError as error:
        raise VaultUnavailableError(f"the {what} `{path}` holds no key: {error}") from None
