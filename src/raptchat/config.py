"""Paths and settings, read and checked once.

The environment wins over `config.toml`, a flag over both. A value that cannot be right is an error that
names it and where it came from; no API key is ever read from the environment.
"""

import ipaddress
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from raptchat.errors import UsageError
from raptchat.outside import safe_line, without_keys

DEFAULT_GATEWAY_URL = "https://openrouter.ai/api/v1"
# The gateway's standing alias of the small Claude; dated slugs of it are retired one after another.
DEFAULT_MODEL = "~anthropic/claude-haiku-latest"
DEFAULT_TIMEOUT_SECONDS = 120.0
DEFAULT_MAX_RETRIES = 2

IGNORED_KEY_VARIABLES = ("OPENROUTER_API_KEY", "OPENAI_API_KEY")

# The whole of it: urlsplit takes what stands in brackets for the host, whatever stands before them.
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?)(:[0-9]{1,5})?")


def check_gateway_url(url: str) -> str:
    """*url* without trailing slashes, if a key may be sent there; `ValueError` says why not.

    That is `https`, or `http` to `localhost` or a loopback address, and none of the parts of a URL that make
    two programs read it differently (user info, query, fragment, backslash, white space; WHATWG URL against
    RFC 3986).
    """
    if any(character.isspace() or ord(character) < 0x21 or character == "\\" for character in url):
        raise ValueError("holds white space, a control character or a backslash")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("is not a URL") from None
    if "@" in parts.netloc:
        raise ValueError("holds a user name or a password")
    if "?" in url or "#" in url:
        raise ValueError("holds a query or a fragment")
    host = parts.hostname or ""
    if parts.scheme not in {"http", "https"} or not host:
        raise ValueError("is not an https:// URL")
    if port == 0 or not _AUTHORITY.fullmatch(parts.netloc) or (":" in host and not _is_address(host)):
        raise ValueError("has no valid host and port")
    if parts.scheme == "http" and not is_loopback(url):
        raise ValueError("must be https: plain http is for loopback addresses only")
    return url.rstrip("/")


def is_loopback(url: str) -> bool:
    """Whether *url* names `localhost` or a loopback address literal."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    return _is_address(host) and ipaddress.ip_address(host).is_loopback


def origin(url: str) -> str:
    """The scheme, host and port of *url*, in one spelling (RFC 6454, section 4)."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}:{port}"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return "%" not in host


def _whole_number(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,12}", text) or not low <= int(text) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(text)

    return parse


def _model(text: str) -> str:
    if not text or len(text) > 200 or any(c.isspace() or not c.isprintable() for c in text):
        raise ValueError("must be a model's name, without white space")
    return text


def check_model(text: str) -> str:
    """*text* if it can be a model's name; `UsageError` otherwise."""
    try:
        return _model(text)
    except ValueError as error:
        raise UsageError(f"the model {error}: `{safe_line(text)[:80]}`") from None


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: its name in `config.toml` and in the environment, and what it may be."""

    name: str
    default: str
    parse: Callable[[str], object]
    in_environment: bool = True


SETTINGS = [
    Setting("AI_GATEWAY_URL", DEFAULT_GATEWAY_URL, check_gateway_url),
    Setting("AI_DEFAULT_MODEL", DEFAULT_MODEL, _model),
    Setting("AI_REQUEST_TIMEOUT_MS", "120000", _whole_number(1, 86_400_000)),
    Setting("AI_MAX_RETRIES", str(DEFAULT_MAX_RETRIES), _whole_number(0, 5)),
    Setting("history_messages", "20", _whole_number(0, 10_000), in_environment=False),
]


def find_setting(name: str) -> Setting:
    """The setting called *name*, in any case, with or without `AI_`; `UsageError` lists the known ones."""
    wanted = _spelling(name)
    for setting in SETTINGS:
        if _spelling(setting.name) == wanted:
            return setting
    known = ", ".join(setting.name for setting in SETTINGS)
    raise UsageError(f"there is no setting `{safe_line(without_keys(name))}`", hint=f"settings: {known}")


def _spelling(name: str) -> str:
    return name.lower().replace("-", "_").removeprefix("ai_")


@dataclass(frozen=True, slots=True)
class Paths:
    """Where everything is kept."""

    store: Path
    config_file: Path
    state_folder: Path

    @classmethod
    def find(cls, environ: Mapping[str, str] = os.environ, *, store: Path | None = None) -> "Paths":
        """All in `RAPTCHAT_HOME`, or where the platform keeps such files; *store* wins over both."""
        if home := environ.get("RAPTCHAT_HOME"):
            folder = Path(home).absolute()
            data = config = state = folder
        else:
            from platformdirs import PlatformDirs

            folders = PlatformDirs("raptchat", appauthor=False)
            data = folders.user_data_path
            config = folders.user_config_path
            state = folders.user_state_path
        return cls((store or data / "raptchat.db").absolute(), config / "config.toml", state)


@dataclass(frozen=True, slots=True)
class Value:
    """A setting's text, what it means, and where it came from."""

    text: str
    parsed: object
    source: str


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment and `config.toml` say, checked; nothing reads either of them elsewhere."""

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
        stored = read_config(paths.config_file)
        return cls(
            paths=paths,
            values={setting.name: _value(setting, environ, stored, paths) for setting in SETTINGS},
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
    def timeout_seconds(self) -> float:
        """The longest wait between two bytes of an answer."""
        return self._number("AI_REQUEST_TIMEOUT_MS") / 1000

    @property
    def max_retries(self) -> int:
        """How often a request is sent again before any content came."""
        return self._number("AI_MAX_RETRIES")

    @property
    def history_messages(self) -> int:
        """How many earlier messages go with a new one."""
        return self._number("history_messages")

    def _number(self, name: str) -> int:
        number = self.values[name].parsed
        assert isinstance(number, int)
        return number


def read_config(path: Path) -> dict[str, str]:
    """The settings in the file at *path*, as text; unknown names stay in, for `config list` to show."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"the settings in `{path}` cannot be read: {error}", hint="correct the file") from None
    except OSError as error:
        raise UsageError(f"the settings in `{path}` cannot be read: {error.strerror}") from None
    return {name: str(value) for name, value in table.items()}


def _value(setting: Setting, environ: Mapping[str, str], stored: Mapping[str, str], paths: Paths) -> Value:
    text, source = setting.default, "default"
    for name, in_file in stored.items():
        if _spelling(name) == _spelling(setting.name):
            text, source = in_file, str(paths.config_file)
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
            hint=f"raptchat config set {setting.name} {setting.default}",
        ) from None


def without_user_info(text: str) -> str:
    """*text* to be shown: what stands before the `@` of a URL is a secret, as a key is."""
    return without_keys(re.sub(r"(?<=//)[^/]*@", "***@", text))


def _path(text: str | None) -> Path | None:
    return Path(text).absolute() if text else None
