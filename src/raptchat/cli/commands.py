"""The first words of the command line, and the file that is imported when one of them is called.

`raptchat --help`, `--version` and a Tab import none of the others.
"""

import copy
import importlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
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
    "account": Entry(
        "Groups and keys", "The account's management key, with which raptchat makes, caps and ends keys of groups."
    ),
    "import-keys": Entry(
        "Groups and keys", "Take over the API keys that another chat client keeps in plain text."
    ),
    "exec": Entry("Groups and keys", "Run another program with a group's key in its environment."),
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
    """Commands by their names; one that is not *built* yet is built when it is looked up."""

    def __init__(
        self, build: Mapping[str, Callable[[], "AnyCommand"]], built: Mapping[str, "AnyCommand"] | None = None
    ) -> None:
        self._build = build
        self._built = dict(built or {})

    def __getitem__(self, name: str) -> "AnyCommand":
        if name not in self._built:
            self._built[name] = self._build[name]()
        return self._built[name]

    def __iter__(self) -> Iterator[str]:
        return iter({**self._build, **self._built})

    def __len__(self) -> int:
        return len({**self._build, **self._built})

    def __contains__(self, name: object) -> bool:
        return name in self._build or name in self._built


def all_commands(others: Mapping[str, "AnyCommand"]) -> Commands:
    """Those of `COMMANDS`, whose files are imported when they are looked up, and *others*."""
    return Commands({name: partial(_load, name, entry) for name, entry in COMMANDS.items()}, others)


def _load(name: str, entry: Entry) -> "AnyCommand":
    word = name.replace("-", "_")
    module = importlib.import_module(f"raptchat.cli.{word}")
    app = getattr(module, "app", None)
    if app is None:
        app = typer.Typer(rich_markup_mode=None, add_completion=False)
        app.command(name, cls=getattr(module, entry.cls) if entry.cls else Command)(getattr(module, word))
    several = app.registered_callback is not None or len(app.registered_commands) > 1
    command = _with_others(app) if several else typer.main.get_command(app)
    command.name = name
    return command


def _with_others(app: typer.Typer) -> "AnyCommand":
    # Typer builds all that is below a word, with all of its flags, whichever is called.
    bare = copy.copy(app)
    bare.registered_commands = []
    command = typer.main.get_group(bare)
    build = partial(typer.main.get_command_from_info, pretty_exceptions_short=True, rich_markup_mode=None)
    below = [(info.name or info.callback.__name__, info) for info in app.registered_commands if info.callback]
    command.commands = Commands({name: partial(build, info) for name, info in below})  # type: ignore[assignment]
    return command
