"""The first words of the command line, and the file that is imported when one of them is called.

`raptchat --help`, `--version` and a Tab import none of the others.
"""

import importlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

import typer
import typer.main

from raptchat.cli.command import Command

if TYPE_CHECKING:
    from typer._click import Command as AnyCommand


class Entry(NamedTuple):
    """One word of `raptchat WORD`.

    *panel* is the heading that it stands under in the help, *help* the first sentence of its own. *cls* names its
    class in its file, where it is not the usual one.
    """

    panel: str
    help: str
    cls: str | None = None


COMMANDS = {
    "chat": Entry(
        "Conversations",
        "Ask a question, or hold a conversation; what is piped in comes before the question.",
        cls="ChatCommand",
    ),
    "sessions": Entry("Conversations", "Conversations that are stored."),
    "models": Entry("Conversations", "List the models that a group can use, with what they cost."),
    "group": Entry("Groups and keys", "Groups: who pays, and who owns the conversations."),
    "credentials": Entry("Groups and keys", "Credentials: one encrypted API key of one group each."),
    "whoami": Entry(
        "Groups and keys", "Say which group would pay and why, with its key's hint, the model and the vault."
    ),
    "vault": Entry(
        "Groups and keys", "The vault: what opens the credentials. Each of its slots opens all of them."
    ),
    "events": Entry(
        "Groups and keys", "List what was done to which key, when, by which command and by whom, the last first."
    ),
    "usage": Entry("Costs", "Sum up tokens and cost; what the gateway did not name is unknown, never zero."),
    "config": Entry("Setup", "Settings: in config.toml, or in the environment, which wins."),
    "doctor": Entry("Setup", "Check store, vault, gateway and environment, and say how to mend what is wrong."),
    "backup": Entry("Setup", "Copy the whole store to a file, while other commands go on using it."),
    "restore": Entry("Setup", "Put the whole store back from a copy; the store of before is kept beside it."),
    "completion": Entry("Setup", "Print the script that lets a shell complete raptchat's words."),
    "demo": Entry(
        "Setup", "Run the main job on a small gateway of its own: no key, no network, nothing left behind."
    ),
}


class Commands(Mapping[str, "AnyCommand"]):
    """The commands by their names; looking one up imports its file, listing them does not."""

    def __init__(self, given: Mapping[str, "AnyCommand"]) -> None:
        self._built = dict(given)

    def __getitem__(self, name: str) -> "AnyCommand":
        if name not in self._built:
            self._built[name] = _build(name, COMMANDS[name])
        return self._built[name]

    def __iter__(self) -> Iterator[str]:
        return iter({**COMMANDS, **self._built})

    def __len__(self) -> int:
        return len({**COMMANDS, **self._built})

    def __contains__(self, name: object) -> bool:
        return name in COMMANDS or name in self._built


def _build(name: str, entry: Entry) -> "AnyCommand":
    module = importlib.import_module(f"raptchat.cli.{name}")
    app = getattr(module, "app", None)
    if app is None:
        app = typer.Typer(rich_markup_mode=None, add_completion=False)
        app.command(name, cls=getattr(module, entry.cls) if entry.cls else Command)(getattr(module, name))
    command = typer.main.get_command(app)
    command.name = name
    return command
