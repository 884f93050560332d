"""What is looked at: the environment, the paths and settings as far as they can be read, and the store."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from raptchat.config import SETTINGS, Paths, Settings, Value
from raptchat.doctor.store_file import StoreFile
from raptchat.errors import RaptchatError


@dataclass(frozen=True, slots=True)
class Subject:
    """One installation, broken or not.

    *settings* is `None` where they cannot be read, and *paths* where not even those are known; *problem* then says
    why. *encoding* is what results are written in; *tell* gets a line about what is waited for.
    """

    environ: Mapping[str, str]
    paths: Paths | None
    settings: Settings | None
    problem: RaptchatError | None
    store: StoreFile | None
    encoding: str
    offline: bool
    tell: Callable[[str], None]

    @classmethod
    def found(
        cls,
        environ: Mapping[str, str] = os.environ,
        *,
        store: Path | None = None,
        encoding: str = "utf-8",
        offline: bool = False,
        tell: Callable[[str], None] = lambda _: None,
    ) -> Self:
        """What *environ* and `--store` lead to; never raises for what is broken there."""
        paths: Paths | None = None
        settings: Settings | None = None
        problem: RaptchatError | None = None
        try:
            paths = Paths.find(environ, store=store)
            settings = Settings.load(environ, store=store)
        except RaptchatError as error:
            problem = error
        file = StoreFile.at(paths.store) if paths else None
        return cls(environ, paths, settings, problem, file, encoding, offline, tell)

    @property
    def working_settings(self) -> Settings | None:
        """The settings, or where they are broken the defaults: the vault is where the environment says it is."""
        if self.settings is not None or self.paths is None:
            return self.settings
        return Settings(
            paths=self.paths,
            values={one.name: Value(one.default, one.parse(one.default), "default") for one in SETTINGS},
            group=None,
            master_key_file=self._path("RAPTCHAT_MASTER_KEY_FILE"),
            passphrase_file=self._path("RAPTCHAT_PASSPHRASE_FILE"),
            ignored_key_variables=(),
        )

    def _path(self, name: str) -> Path | None:
        return Path(text) if (text := self.environ.get(name)) else None
