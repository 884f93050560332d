"""Opens settings, store and vault, each once, each on first use."""

from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from raptchat.caller import Caller
from raptchat.config import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from raptchat.secret import Secret
    from raptchat.store import Store
    from raptchat.vault import Vault


class Factory:
    """What everything costly or outside the process is reached through; close it when done.

    *store* is the path that `--store` names. *ask* shows a prompt and returns the hidden text that was typed;
    without it nobody is asked. *tell* shows a line to whoever waits; *show* one in the place of the one before,
    while something takes long, and an empty one at its end. *keep* hands a new recovery key over, and raises when
    it was not written down; without it none is made.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        store: Path | None = None,
        caller: Caller | None = None,
        ask: "Callable[[str], str] | None" = None,
        tell: "Callable[[str], None]" = lambda _: None,
        show: "Callable[[str], None]" = lambda _: None,
        keep: "Callable[[str], None] | None" = None,
    ) -> None:
        self._settings = settings
        self._store_path = store
        self.caller = caller or Caller()
        self._ask = ask
        self._tell = tell
        self._show = show
        self._keep = keep
        # What the references of credentials gave, by the credentials' ids; kept by this process alone.
        self.resolved_keys: dict[str, Secret] = {}

    @cached_property
    def settings(self) -> Settings:
        """The environment and `config.toml`, checked."""
        return self._settings or Settings.load(store=self._store_path)

    @cached_property
    def store(self) -> "Store":
        """The store; opening it runs what migrations are pending."""
        from raptchat.store import Store

        return Store.open(self.settings.paths.store, show=self._show)

    @cached_property
    def vault(self) -> "Vault":
        """The store's vault; nothing is opened yet."""
        from raptchat.vault import Vault
        from raptchat.vault.slots import Person

        return Vault(self.store, self.settings, Person(self._tell, self._ask, self._keep), self.caller)

    def close(self) -> None:
        """Let go of the store, if it was opened."""
        if "store" in self.__dict__:
            self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
