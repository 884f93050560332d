"""`raptchat vault export`: groups with their keys as an encrypted file, which `vault import` or `age` opens."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raptchat import naming, private_file
from raptchat.cli import output_file
from raptchat.cli.invocation import Invocation, ask_hidden, invocation
from raptchat.cli.options import YesOption
from raptchat.errors import NoGroupError, StoreBusyError, StoreError, UsageError
from raptchat.outside import safe_line
from raptchat.records import Group
from raptchat.render import tables
from raptchat.secret import Secret

if TYPE_CHECKING:
    from raptchat.bundle import Bundle

PassphraseFileOption = Annotated[
    Path | None,
    typer.Option("--passphrase-file", metavar="PATH", help="A private file with the bundle's passphrase."),
]


def export(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The bundle to write.", show_default=False)],
    group: Annotated[
        list[str] | None, typer.Option("--group", "-g", metavar="G", help="Only this group; may be repeated.")
    ] = None,
    with_sessions: Annotated[bool, typer.Option("--with-sessions", help="With the conversations.")] = False,
    recipient: Annotated[
        list[str] | None,
        typer.Option(
            "--recipient", metavar="AGE1...", help="Encrypt for this public key of age-keygen; may be repeated."
        ),
    ] = None,
    passphrase_file: PassphraseFileOption = None,
    yes: YesOption = False,
) -> None:
    """Write groups with their settings and readable keys into a file that is encrypted with a passphrase.

    The file is in the age format: the stock `age` opens it too.
    """
    from raptchat.bundle import age, document, taking_out
    from raptchat.vault.hardening import harden

    run = invocation(ctx)
    recipients = recipient or []
    if recipients and passphrase_file is not None:
        raise UsageError("--recipient and --passphrase-file exclude each other: a bundle opens one way")
    for word in recipients:
        age.check_recipient(word)
    groups = _groups(run, group)
    # Before anything is typed: a person should not choose a passphrase for nothing.
    agreed = _agreed(run, file, yes=yes)
    harden()
    passphrase = None if recipients else _new_passphrase(run, passphrase_file)
    bundle = taking_out.take_out(run.factory, groups, with_sessions=with_sessions)
    content = document.write(bundle)
    # What would not come in again is said here, and not on the machine that it was moved to.
    document.read(content)
    data = age.encrypt(content, passphrase=passphrase, recipients=recipients)
    if len(data) > age.MOST_BYTES:
        raise taking_out.too_large()
    _note(run, bundle)
    output_file.write(file, data, agreed=lambda: agreed or _agreed(run, file, yes=yes))
    _say(run, file, bundle, by_passphrase=passphrase is not None)


def read_passphrase(path: Path) -> Secret:
    """The passphrase in the private file at *path*; `UsageError` for an empty one."""
    return _checked(private_file.read_line(path, "passphrase file"))


def typed_passphrase(prompt: str) -> Secret:
    """The passphrase that is typed after *prompt*; `UsageError` for an empty one."""
    return _checked(ask_hidden(prompt))


def _groups(run: Invocation, words: list[str] | None) -> list[Group] | None:
    store = run.factory.store
    if words:
        return [naming.find_group(store, word) for word in words]
    if not store.groups.all():
        raise NoGroupError(
            "there is no group to export", hint="raptchat group add-key NAME makes one with its key"
        )
    return None


def _agreed(run: Invocation, file: Path, *, yes: bool) -> bool:
    if not output_file.would_replace(file):
        return False
    if file.samefile(run.factory.settings.paths.store):
        raise UsageError(f"`{safe_line(str(file))}` is the store itself", hint="name another file")
    run.confirm(f"writing over `{safe_line(str(file))}`", yes=yes)
    return True


def _new_passphrase(run: Invocation, path: Path | None) -> Secret:
    if path is not None:
        return read_passphrase(path)
    if not run.person_present:
        raise UsageError(
            "a bundle needs a passphrase, and there is no terminal to ask for it",
            hint="--passphrase-file PATH, or --recipient AGE1...",
        )
    passphrase = typed_passphrase("Choose a passphrase for the bundle: ")
    if typed_passphrase("The same again: ") != passphrase:
        raise UsageError("the two passphrases differ")
    return passphrase


def _checked(text: str) -> Secret:
    if not text:
        raise UsageError("the passphrase is empty")
    return Secret(text)


def _note(run: Invocation, bundle: "Bundle") -> None:
    """Write down which keys go out, before they do; a store that can only be read is exported all the same."""
    from raptchat.bundle import taking_out

    try:
        taking_out.note(run.factory, bundle)
    except StoreBusyError:
        raise
    except StoreError as error:
        run.terminal.say(f"warning: the events do not say that this was exported: {error}")


def _say(run: Invocation, file: Path, bundle: "Bundle", *, by_passphrase: bool) -> None:
    keys = sum(len(one.keys) for one in bundle.groups)
    sessions = sum(len(one.sessions) for one in bundle.groups)
    if run.json:
        return tables.document(
            run.terminal,
            {
                "path": str(file),
                "groups": len(bundle.groups),
                "credentials": keys,
                "sessions": sessions,
                "opensWith": "passphrase" if by_passphrase else "identity",
            },
        )
    opener = "the passphrase" if by_passphrase else "a recipient's identity"
    return run.terminal.say(
        f"wrote {safe_line(str(file))}: {counted(keys, 'key')} of {counted(len(bundle.groups), 'group')}"
        + (f", {counted(sessions, 'conversation')}" if sessions else ""),
        f"whoever has this file and {opener} can read the keys",
    )


def counted(number: int, noun: str) -> str:
    """*number* of things, in words."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
