"""The list of a group's models as one file: in the gateway's own form, with only what is shown.

Whatever is wrong with the file, be it damaged, another's or of a newer raptchat: then there is none.
"""

import json
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from raptchat import whole_file
from raptchat.providers import model_list
from raptchat.records import Model

_FRESH_FOR = timedelta(hours=24)
_VERSION = 1
_MAX_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Remembered:
    """The models that the gateway listed for a credential's key, and when."""

    credential_id: str
    fetched_at: str
    models: list[Model]

    @property
    def is_fresh(self) -> bool:
        """Whether it is less than a day old."""
        return timedelta(0) <= datetime.now(UTC) - datetime.fromisoformat(self.fetched_at) < _FRESH_FOR


def write(path: Path, remembered: Remembered) -> None:
    """Put *remembered* at *path*; `OSError` when the disk does not take it."""
    data = {
        "version": _VERSION,
        "credential_id": remembered.credential_id,
        "fetched_at": remembered.fetched_at,
        "models": [model_list.entry(model) for model in remembered.models],
    }
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    whole_file.write(path, json.dumps(data, ensure_ascii=False, separators=(",", ":")))


def read(path: Path) -> Remembered | None:
    """What is remembered at *path*, if that can be relied on."""
    data: object = None
    with suppress(OSError, ValueError, RecursionError), open(path, "rb", opener=_without_waiting) as file:
        status = os.fstat(file.fileno())
        if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and status.st_size <= _MAX_BYTES:
            data = json.loads(file.read())
    if not isinstance(data, dict) or data.get("version") != _VERSION:
        return None
    credential_id, fetched_at = data.get("credential_id"), data.get("fetched_at")
    if not isinstance(credential_id, str) or not isinstance(fetched_at, str) or not _is_time(fetched_at):
        return None
    return Remembered(credential_id, fetched_at, model_list.read(data.get("models")))


def _without_waiting(path: str, flags: int) -> int:
    # A pipe in its place must not be waited for.
    return os.open(path, flags | os.O_NONBLOCK)


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
