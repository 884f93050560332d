"""`aichat`: `config.yaml` with its list of `clients`, and `.env` with `{CLIENT}_API_KEY` (sigoden/aichat).

They are at `AICHAT_CONFIG_FILE` and `AICHAT_ENV_FILE`, or in `AICHAT_CONFIG_DIR`, or `aichat` in `XDG_CONFIG_HOME`
or the system's folder for settings (`src/config/mod.rs`; the fields of a client: `config.example.yaml`).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from raptchat.foreign_keys import folders
from raptchat.foreign_keys.entries import Entry, Source
from raptchat.foreign_keys.services import COMPATIBLE, OPENROUTER
from raptchat.foreign_keys.variables import read_variables
from raptchat.secret import Secret

if TYPE_CHECKING:
    import yaml

_IN_OPENAI_STYLE = {"openai", COMPATIBLE}


def sources(environ: Mapping[str, str]) -> Iterator[Source]:
    """The files with its keys."""
    named = environ.get("AICHAT_CONFIG_DIR")
    base = folders.config if environ.get("XDG_CONFIG_HOME") else folders.application_data
    folder = Path(named) if named else base(environ) / "aichat"
    yield Source(Path(environ.get("AICHAT_CONFIG_FILE") or folder / "config.yaml"), read_config)
    yield Source(Path(environ.get("AICHAT_ENV_FILE") or folder / ".env"), read_variables)


def read_config(text: str) -> list[Entry]:
    """The keys of the clients in `config.yaml`."""
    import yaml

    try:
        # Nodes and not values: they know where in the text they stand, and an alias is not unfolded.
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError, ValueError):
        raise ValueError("is no YAML") from None
    clients = _members(root).get("clients")
    if not isinstance(clients, yaml.SequenceNode):
        return []
    return [entry for one in clients.value if (entry := _entry(_members(one), text)) is not None]


def _entry(client: "dict[str, yaml.Node]", text: str) -> Entry | None:
    import yaml

    key = client.get("api_key")
    # `null`, and what a plain word without quotes can be, is of another type.
    if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:null" or not key.value:
        return None
    kind = _text(client.get("type")) or ""
    name = _text(client.get("name")) or kind
    in_openai_style = kind in _IN_OPENAI_STYLE
    known_by = name if kind == COMPATIBLE else kind
    start, end = key.start_mark.index, key.end_mark.index
    # On one line, and without an anchor that something else may refer to.
    is_plain = text[start:end].strip("'\"") == key.value
    base_url = _text(client.get("api_base")) if in_openai_style else None
    # A client of another kind may be called as any service: its key is not for that one.
    service = known_by if in_openai_style else f"{kind} client"
    if kind == COMPATIBLE and base_url is not None and name != OPENROUTER:
        service = COMPATIBLE
    return Entry(name, service, Secret(key.value), base_url, (start, end) if is_plain else None, "null")


def _members(node: "yaml.Node | None") -> "dict[str, yaml.Node]":
    import yaml

    if not isinstance(node, yaml.MappingNode):
        return {}
    return {key.value: value for key, value in node.value if isinstance(key, yaml.ScalarNode)}


def _text(node: "yaml.Node | None") -> str | None:
    import yaml

    return node.value or None if isinstance(node, yaml.ScalarNode) else None
