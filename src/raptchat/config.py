"""Paths and settings, read and checked once.

The environment wins over `config.toml`, a flag over both. A value that cannot be right is an error that
names it and where it came from; no API key is ever read from the environment.
"""

import os
import re
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from raptchat.errors import UsageError
from raptchat.gateway_url import check_gateway_url, without_user_info
from raptchat.outside import safe_line, without_keys

DEFAULT_GATEWAY_URL = "https://openrouter.ai/api/v1"
# The gateway's standing alias of the small Claude; dated slugs of it are retired one after another.
DEFAULT_MODEL = "~anthropic/claude-haiku-latest"
DEFAULT_TIMEOUT_SECONDS = 120.0
DEFAULT_MAX_RETRIES = 2

_SECRET_VARIABLES = ("RAPTCHAT_MASTER_KEY_FILE", "RAPTCHAT_PASSPHRASE_FILE")

# `fast = "anthropic/..."` in the table `[aliases]` is the setting `alias.fast`.
ALIAS = "alias."
_ALIASES_TABLE = "aliases"
# Without what stands in models' ids: `/`, `:`, `.`, `@` and `~`.
_ALIAS_NAME = r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}"

_LONGEST_MODEL = 200
_MOST_DIGITS = 12

IGNORED_KEY_VARIABLES = ("OPENROUTER_API_KEY", "OPENAI_API_KEY")


def _whole_number(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS and low <= int(text) <= high):
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(text)

    return parse


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(f"must be {' or '.join(words)}")
        return text.lower()

    return parse


def is_model_id(text: str) -> bool:
    """Whether *text* can be a model's id: short, printable, without white space."""
    return 0 < len(text) <= _LONGEST_MODEL and text.isprintable() and " " not in text


def _model(text: str) -> str:
    if not is_model_id(text):
        raise ValueError("must be a model's name, without white space")
    return text


def check_model(text: str) -> str:
    """*text* if it can be a model's name; `UsageError` otherwise."""
    try:
        return _model(text)
    except ValueError as error:
        raise UsageError(f"the model {error}: `{safe_line(text)[:80]}`") from None


class Setting(NamedTuple):
    """One setting: its name in `config.toml` and in the environment, and what it may be."""

    name: str
    default: str
    parse: Callable[[str], object]
    in_environment: bool = True

    @property
    def place(self) -> tuple[str | None, str]:
        """The table of `config.toml` that it stands in, if any, and its name there."""
        return (
            (_ALIASES_TABLE, self.name.removeprefix(ALIAS)) if self.name.startswith(ALIAS) else (None, self.name)
        )


SETTINGS = [
    Setting("AI_GATEWAY_URL", DEFAULT_GATEWAY_URL, check_gateway_url),
    Setting("AI_DEFAULT_MODEL", DEFAULT_MODEL, _model),
    Setting("AI_REQUEST_TIMEOUT_MS", "120000", _whole_number(1, 86_400_000)),
    Setting("AI_MAX_RETRIES", str(DEFAULT_MAX_RETRIES), _whole_number(0, 5)),
    Setting("history_messages", "20", _whole_number(0, 10_000), in_environment=False),
    Setting("editing_mode", "emacs", _one_of("emacs", "vi"), in_environment=False),
    Setting("max_attachment_mb", "20", _whole_number(1, 64), in_environment=False),
]


def setting_named(name: str) -> Setting | None:
    """The setting called *name*, in any case, with or without `AI_`; each `alias.NAME` is one."""
    wanted = _spelling(name)
    if wanted.startswith(ALIAS) and re.fullmatch(_ALIAS_NAME, wanted.removeprefix(ALIAS)):
        return Setting(wanted, DEFAULT_MODEL, _model, in_environment=False)
    return next((setting for setting in SETTINGS if _spelling(setting.name) == wanted), None)


def find_setting(name: str) -> Setting:
    """As `setting_named`; `UsageError` lists the known ones."""
    setting = setting_named(name)
    if setting is None and name.lower().startswith(ALIAS):
        raise UsageError(
            f"`{safe_line(without_keys(name))}` cannot be an alias",
            hint="its name is made of 1 to 64 letters, digits, `-` and `_`",
        )
    if setting is None:
        known = ", ".join(setting.name for setting in SETTINGS)
        raise UsageError(
            f"there is no setting `{safe_line(without_keys(name))}`", hint=f"settings: {known}, {ALIAS}NAME"
        )
    return setting


def _spelling(name: str) -> str:
    name = name.lower()
    return name if name.startswith(ALIAS) else name.replace("-", "_").removeprefix("ai_")


class Paths(NamedTuple):
    """Where everything is kept."""

    store: Path
    config_file: Path
    state_folder: Path
    cache_folder: Path

    @classmethod
    def find(cls, environ: Mapping[str, str] = os.environ, *, store: Path | None = None) -> "Paths":
        """All in `RAPTCHAT_HOME`, or where the platform keeps such files; *store* wins over both."""
        if home := environ.get("RAPTCHAT_HOME"):
            folder = _absolute(Path(home))
            data = config = state = cache = folder
        else:
            from platformdirs import PlatformDirs

            folders = PlatformDirs("raptchat", appauthor=False)
            try:
                data = folders.user_data_path
                config = folders.user_config_path
                state = folders.user_state_path
                cache = folders.user_cache_path
            except RuntimeError:  # in a container whose user is in no list, and HOME not set
                raise UsageError("this user has no home folder", hint="set HOME, or RAPTCHAT_HOME") from None
        return cls(_absolute(store or data / "raptchat.db"), config / "config.toml", state, cache)

    def history_file(self, group_id: str) -> Path:
        """Where the lines are remembered that were typed in a group's conversations."""
        return self.state_folder / "history" / group_id

    def models_file(self, group_id: str) -> Path:
        """Where the list of the models is remembered that a group can use."""
        return self.cache_folder / "models" / f"{group_id}.json"


class Value(NamedTuple):
    """A setting's text, what it means, and where it came from."""

    text: str
    parsed: object
    source: str


class Settings(NamedTuple):
    """What the environment and `config.toml` say, checked."""

    paths: Paths
    values: Mapping[str, Value]
    group: str | None
    master_key_file: Path | None
    passphrase_file: Path | None
    ignored_key_variables: tuple[str, ...]

    @classmethod
    def load(cls, environ: Mapping[str, str] = os.environ, *, store: Path | None = None) -> "Settings":
        """Read and check them all; `UsageError` names the first that cannot be right, and its place."""
        paths = Paths.find(environ, store=store)
        known, _ = read_settings(paths.config_file)
        settings = [*SETTINGS, *(find_setting(name) for name in known if name.startswith(ALIAS))]
        values = {setting.name: _value(setting, environ, known.get(setting.name), paths) for setting in settings}
        check_aliases(known, str(paths.config_file))
        return cls(
            paths=paths,
            values=values,
            group=environ.get("RAPTCHAT_GROUP") or None,
            master_key_file=_path(environ.get("RAPTCHAT_MASTER_KEY_FILE")),
            passphrase_file=_path(environ.get("RAPTCHAT_PASSPHRASE_FILE")),
            ignored_key_variables=tuple(name for name in IGNORED_KEY_VARIABLES if environ.get(name)),
        )

    @property
    def gateway_url(self) -> str:
        """Where requests go unless a credential names its own place; no trailing slash."""
        return str(self.values["AI_GATEWAY_URL"].parsed)

    @property
    def default_model(self) -> str:
        """The model when neither a flag, the session nor the group names one."""
        return self.values["AI_DEFAULT_MODEL"].text

    @property
    def aliases(self) -> Mapping[str, str]:
        """The user's own names of models, in small letters, and what each stands for."""
        return {
            name.removeprefix(ALIAS): value.text for name, value in self.values.items() if name.startswith(ALIAS)
        }

    def model_named(self, text: str) -> str:
        """The model that *text* means: what the alias of this name stands for, or *text* itself."""
        while (alias := self.values.get(f"{ALIAS}{text.lower()}")) is not None:
            text = alias.text
        return text

    @property
    def timeout_seconds(self) -> float:
        """The longest wait between two bytes of an answer."""
        return self._number("AI_REQUEST_TIMEOUT_MS") / 1000

    @property
    def max_retries(self) -> int:
        """How often a request is sent again before any content came."""
        return self._number("AI_MAX_RETRIES")

    @property
    def editing_mode(self) -> str:
        """Whose keys edit a line of a conversation: `emacs` or `vi`."""
        return str(self.values["editing_mode"].parsed)

    @property
    def max_attachment_bytes(self) -> int:
        """How large a file may be that goes with a message."""
        return self._number("max_attachment_mb") * 1024 * 1024

    @property
    def history_messages(self) -> int:
        """How many earlier messages go with a new one."""
        return self._number("history_messages")

    def _number(self, name: str) -> int:
        number = self.values[name].parsed
        assert isinstance(number, int)
        return number


def read_settings(path: Path) -> tuple[dict[str, str], list[str]]:
    """The settings in the file at *path*, by their names, as text; and what else stands there.

    Raises `UsageError` for a file that cannot be read, and for one that sets the same thing twice.
    """
    spelled: dict[str, str] = {}
    known: dict[str, str] = {}
    unknown = []
    for name, value in _read_table(path).items():
        if (other := spelled.setdefault(_spelling(name), name)) != name:
            raise UsageError(f"`{path}` sets `{other}` and `{name}`, which are the same", hint="keep one of them")
        if setting := setting_named(name):
            known[setting.name] = str(value)
        else:
            unknown.append(name)
    return known, unknown


def _read_table(path: Path) -> dict[str, object]:
    try:
        if stat.S_ISFIFO(path.stat().st_mode):
            raise UsageError(f"`{path}` is a pipe", hint="settings are kept in a plain file")
        content = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UsageError(f"the settings in `{path}` cannot be read: {error.strerror}") from None
    import tomllib

    try:
        table = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"the settings in `{path}` cannot be read: {error}", hint="correct the file") from None
    aliases = table.pop(_ALIASES_TABLE, {})
    if not isinstance(aliases, dict):
        raise UsageError(f"`aliases` in `{path}` is no table", hint='write [aliases], and below it fast = "MODEL"')
    return table | {f"{ALIAS}{name}": model for name, model in aliases.items()}


def check_aliases(settings: Mapping[str, str], source: str) -> None:
    """`UsageError` for an alias that stands, in the end, for itself; *source* is where it is set."""
    for name in settings:
        at, followed = name, {name}
        while at.startswith(ALIAS) and (at := f"{ALIAS}{settings[at].lower()}") in settings:
            if at in followed:
                raise UsageError(
                    f"`{name}` leads back to itself (from {source})",
                    hint=f"raptchat config set {name} {DEFAULT_MODEL}",
                )
            followed.add(at)


def _value(setting: Setting, environ: Mapping[str, str], in_file: str | None, paths: Paths) -> Value:
    text, source = (setting.default, "default") if in_file is None else (in_file, str(paths.config_file))
    if setting.in_environment and environ.get(setting.name):
        text, source = environ[setting.name], "environment"
    return Value(text, parse_setting(setting, text, source), source)


def parse_setting(setting: Setting, text: str, source: str) -> object:
    """What *text* means for *setting*; `UsageError` names the setting, the text and *source*."""
    try:
        return setting.parse(text)
    except ValueError as error:
        shown = safe_line(without_user_info(text))
        raise UsageError(
            f"`{setting.name}` {error}: `{shown}` (from {source})",
            hint=f"unset {setting.name}, or set it to such as {setting.default}"
            if source == "environment"
            else f"raptchat config set {setting.name} {setting.default}",
        ) from None


def child_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables for a program that raptchat starts: *environ* without what leads to the master key."""
    return {name: value for name, value in environ.items() if name not in _SECRET_VARIABLES}


def _path(text: str | None) -> Path | None:
    return _absolute(Path(text)) if text else None


def _absolute(path: Path) -> Path:
    try:
        return path.absolute()
    except FileNotFoundError:
        raise UsageError(
            f"`{safe_line(str(path))}` cannot be found: the working folder is gone", hint="name the whole path"
        ) from None
