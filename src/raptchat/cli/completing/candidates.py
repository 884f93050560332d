"""What may stand where a word is being completed, found by the name of the parameter that it is for.

Neither the vault nor the network is asked, and nothing is made or written: what cannot be read at once offers
nothing.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raptchat.cli.help import first_sentence, words
from raptchat.errors import NoGroupError

if TYPE_CHECKING:
    from raptchat.cli.invocation import Invocation
    from raptchat.config import Settings
    from raptchat.records import Group
    from raptchat.store import Store

Named = tuple[str, str | None]

# Nobody reads more of them; the next letter makes them fewer.
_MOST = 200
_MOST_GROUPS_LISTS = 20


@dataclass(frozen=True, slots=True)
class Asked:
    """What is being completed: the *word* as far as it is typed, the *args* before it, and whose it is."""

    ctx: Any
    parameter: Any
    args: Sequence[str]
    word: str

    @property
    def settings(self) -> "Settings":
        """The settings, for which no store is looked at."""
        found: Settings = self.ctx.find_root().obj.factory.settings
        return found

    @property
    def run(self) -> "Invocation":
        """The run that completes, with a store that is only looked at; `StoreError` where there is none."""
        run: Invocation = self.ctx.find_root().obj
        if "store" not in run.factory.__dict__:
            from raptchat.config import Paths
            from raptchat.store.peek import peek

            run.factory.store = peek(Paths.find(store=run.store).store)
        return run

    @property
    def store(self) -> "Store":
        """The run's store."""
        return self.run.factory.store


@dataclass(frozen=True, slots=True)
class Candidates:
    """What is offered, each with what it is; *files* says that the shell completes names of files itself."""

    named: Sequence[Named] = ()
    files: bool = False


def candidates(asked: Asked) -> Candidates:
    """For the parameter's name, or else for its type."""
    name = asked.parameter.name
    if asked.parameter.nargs == 2 and asked.args[-1] not in asked.parameter.opts:
        name += " value"
    path = " ".join((*words(asked.ctx), name))
    if name in _FILES or path in _FILES:
        return Candidates(files=True)
    source = _SOURCES.get(path) or _SOURCES.get(name)
    if source is not None:
        # As names compare: without regard to case.
        begun = asked.word.casefold()
        fitting = (each for each in source(asked) if each[0].casefold().startswith(begun))
        return Candidates(list(islice(fitting, _MOST)))
    found = asked.parameter.shell_complete(asked.ctx, asked.word)
    if any(item.type in {"file", "dir"} for item in found):
        return Candidates(files=True)
    return Candidates([(str(item.value), item.help) for item in found])


def _groups(asked: Asked) -> list[Named]:
    return [(group.name, group.description) for group in asked.store.groups.beginning(asked.word, _MOST)]


def _others_or_groups(asked: Asked) -> list[Named]:
    """The commands under this one, where its name is the last word so far, and the groups."""
    first = asked.args[-1] == asked.ctx.info_name
    others = {name: command.help for name, command in asked.ctx.command.commands.items()} if first else {}
    groups = _groups(asked)
    return [
        *((name, first_sentence(help_ or "")) for name, help_ in others.items()),
        *((name, about) for name, about in groups if name not in others),
    ]


def _sessions(asked: Asked, group_id: str | None = None) -> list[Named]:
    sessions = asked.store.sessions
    if asked.word:
        found = sessions.with_prefix(asked.word.lower())
    else:
        found = [one.session for one in sessions.listed(group_id, limit=_MOST)]
    return [(one.id, one.title) for one in found if group_id in {None, one.group_id}]


def _sessions_to_go_on_with(asked: Asked) -> list[Named]:
    chosen = _chosen_groups(asked)
    return _sessions(asked, chosen[0].id if len(chosen) == 1 else None)


def _credentials(asked: Asked) -> list[Named]:
    store = asked.store
    found = store.credentials.with_prefix(asked.word.lower())[:_MOST]
    return [
        (one.id, " ".join(filter(None, (store.groups.require(one.group_id).name, one.key_hint, one.label))))
        for one in found
    ]


def _chosen_groups(asked: Asked) -> "list[Group]":
    """The group that the command would be paid by; some of them when none is chosen."""
    from raptchat.cli.options import choose_group

    # Of `group set G --model` it is the group that is changed.
    word = asked.ctx.params.get("group")
    try:
        return [choose_group(asked.run, word).group]
    except NoGroupError:
        return asked.store.groups.beginning("", _MOST_GROUPS_LISTS)


def _models(asked: Asked) -> Iterable[Named]:
    from raptchat import model_cache

    settings = asked.settings
    found: dict[str, str | None] = {**settings.aliases}
    for group in _chosen_groups(asked):
        remembered = model_cache.read(settings.paths.models_file(group.id))
        found.update({model.id: model.name for model in remembered.models} if remembered is not None else {})
    return found.items()


def _settings(asked: Asked) -> list[Named]:
    from raptchat.config import ALIAS, SETTINGS

    aliases = {f"{ALIAS}{name}": model for name, model in asked.settings.aliases.items()}
    return [*((setting.name, f"default: {setting.default}") for setting in SETTINGS), *aliases.items()]


def _setting_value(asked: Asked) -> Iterable[Named]:
    from raptchat.config import setting_named

    setting = setting_named(asked.ctx.params.get("name") or "")
    if setting is None:
        return []
    if setting.name == "AI_DEFAULT_MODEL":
        return _models(asked)
    return [("emacs", None), ("vi", None)] if setting.name == "editing_mode" else [(setting.default, None)]


def _by(asked: Asked) -> list[Named]:
    from raptchat.store.ledger import BY

    # Several may be given in one word.
    before, comma, _ = asked.word.rpartition(",")
    return [(f"{before}{comma}{name}", None) for name in BY]


def _fields(asked: Asked) -> list[Named]:
    from raptchat.providers.fields import FIELDS

    del asked
    return [(name, kind.meaning) for name, kind in FIELDS.items()]


def _media_types(asked: Asked) -> list[Named]:
    from raptchat.media_types import AUDIO_FORMATS, IMAGES, PDF, TEXT

    del asked
    return [(name, None) for name in (*IMAGES, PDF, *AUDIO_FORMATS, TEXT)]


def _variables(asked: Asked) -> list[Named]:
    del asked
    return [(name, None) for name in sorted(os.environ)]


def _programs(asked: Asked) -> list[Named]:
    """Those on the `PATH` that begin so; of what they are handed nothing is known."""
    if not asked.word or asked.ctx.params.get("command"):
        return []
    found: set[str] = set()
    for folder in os.get_exec_path():
        with suppress(OSError):
            found.update(one.name for one in Path(folder).iterdir() if one.name.startswith(asked.word))
    return [(name, None) for name in sorted(found)]


def _providers(asked: Asked) -> list[Named]:
    from raptchat.providers import KNOWN

    del asked
    return [(name, None) for name in KNOWN]


def _these(*names: str) -> Callable[[Asked], list[Named]]:
    return lambda _: [(name, None) for name in names]


# By the parameter's name; where one name means several things, by the command and the name.
_SOURCES: dict[str, Callable[[Asked], Iterable[Named]]] = {
    "group": _groups,
    "usage group": _others_or_groups,
    "of_group": _groups,
    "session": _sessions,
    "chat session": _sessions_to_go_on_with,
    "credential": _credentials,
    "credentials check words": lambda asked: [*_groups(asked), *_credentials(asked)],
    "exec command": _programs,
    "exec env": _these("OPENROUTER_API_KEY", "OPENAI_API_KEY"),
    "reset": _these("daily", "weekly", "monthly"),
    "group cap reset": _these("daily", "weekly", "monthly", "never"),
    "model": _models,
    "fallback": _models,
    "provider": _providers,
    "from_env": _variables,
    "option": _fields,
    "by": _by,
    "chat at value": _media_types,
    "option value": lambda _: [],
    "slot": _these("keyring", "file", "passphrase", "recovery"),
    "config get name": _settings,
    "config set name": _settings,
    "config unset name": _settings,
    "config set value": _setting_value,
}
_FILES = {"attach", "chat at", "output", "schema", "store", "file", "key_file"}
