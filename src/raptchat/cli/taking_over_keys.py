"""Keys that were found elsewhere, into the store and then out of the files that they were in."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple

from raptchat import naming
from raptchat.cli.first_vault import ensure_vault
from raptchat.cli.invocation import Invocation
from raptchat.errors import (
    AuthenticationFailedError,
    DecryptionFailedError,
    DuplicateCredentialError,
    GatewayError,
    RaptchatError,
    SharedKeyError,
    UsageError,
)
from raptchat.records import Credential, Group

if TYPE_CHECKING:
    from raptchat.credentials import CredentialService
    from raptchat.foreign_keys import FoundKey, KeyFile

Action = Literal["found", "skipped", "imported", "present", "refused"]


class Named(NamedTuple):
    """A found key by a *name* that no other has; it goes to *base_url*, or to the gateway, which is *endpoint*."""

    name: str
    key: "FoundKey"
    base_url: str | None
    endpoint: str


@dataclass(frozen=True, slots=True)
class Step:
    """How far one key came: *present* says that its group had it already; of *refused* ones *error* says why."""

    named: Named
    action: Action = "found"
    group: Group | None = None
    credential_id: str | None = None
    removed: bool = False
    error: RaptchatError | None = None


class TakingOver:
    """One import: what to do with a group that has a key, and whether to ask gateways and persons."""

    def __init__(
        self, run: Invocation, *, replace: bool, allow_shared: bool, verify: bool | None, may_ask: bool
    ) -> None:
        self._run = run
        self._replace = replace
        self._allow_shared = allow_shared
        self._verify = verify
        self._may_ask = may_ask
        self._served: set[tuple[str, str]] = set()
        self.vault_made = False

    @cached_property
    def _service(self) -> "CredentialService":
        from raptchat.credentials import CredentialService

        return CredentialService(self._run.factory)

    def take(self, step: Step, word: str) -> Step:
        """Seal a key for the group that *word* names, which is made when it is not there; none for an empty one.

        What is wrong with this one key is its step's error; the next one may still be taken. Raises what opening
        or making the vault does.
        """
        if step.named.key.problem is not None:
            return step
        if not word:
            return replace(step, action="skipped")
        try:
            return self._taken(step, word)
        except (GatewayError, UsageError, DuplicateCredentialError, SharedKeyError) as error:
            group = naming.spelled_out(self._run.factory.store, word)
            return replace(step, action="refused", error=error, group=group)

    def remove(self, steps: Sequence[Step], files: "Sequence[KeyFile]", *, anyway: bool) -> list[Step]:
        """Take what is sealed out of the files, *anyway* or where the person says so; what stays is said."""
        from raptchat.foreign_keys.removing import remove

        done = list(steps)
        for file in files:
            here = [at for at, step in enumerate(done) if _is_sealed(step) and step.named.key.path == file.path]
            if not here:
                continue
            names = ", ".join(f"`{done[at].named.name}`" for at in here)
            if not (anyway or (self._may_ask and self._run.agreed(f"Remove {names} from `{file.path}`"))):
                self._run.terminal.say(f"still in plain text: {names} in `{file.path}`")
                continue
            try:
                remove(file, [done[at].named.key for at in here])
            except UsageError as error:
                for at in here:
                    done[at] = replace(done[at], error=error)
            else:
                for at in here:
                    done[at] = replace(done[at], removed=True)
        for step in done:
            if _is_sealed(step) and step.named.key.path is None:
                self._run.terminal.say(
                    f"`{step.named.key.entry}` is still set: delete the line that sets it where your shell starts"
                )
        return done

    def _taken(self, step: Step, word: str) -> Step:
        run, named, provider = self._run, step.named, step.named.key.provider
        assert provider is not None  # a key without one has a problem
        store, key = run.factory.store, named.key.key
        group = naming.spelled_out(store, word)
        name = group.name if group else naming.new_name(store, word)
        if group is not None and (there := self._present(group, named)) is not None:
            return self._proven(replace(step, action="present", group=group), there)
        retire = group is not None and self._may_retire(group, provider)
        self._check(named, provider)
        self.vault_made = ensure_vault(run) or self.vault_made

        def add() -> tuple[Group, Credential]:
            group = naming.spelled_out(store, name) or store.groups.add(name)
            return group, self._service.create(
                group.id,
                key,
                provider=provider,
                base_url=named.base_url,
                replace=retire,
                allow_shared=self._allow_shared,
            )

        group, credential = self._service.atomically(add)
        run.terminal.say(f"group `{group.name}` now pays with the key {credential.key_hint}")
        return self._proven(replace(step, action="imported", group=group), credential)

    def _proven(self, step: Step, credential: Credential) -> Step:
        """*step* done: only a key that comes out of the store again may go from where it was."""
        kept = self._run.factory.store.credentials.get(credential.id)
        if kept is None or self._service.open_key(kept) != step.named.key.key:
            raise DecryptionFailedError(
                f"the key `{credential.key_hint}` does not come out of the store as it went in",
                hint="raptchat doctor",
            )
        self._served.add((kept.group_id, kept.provider))
        return replace(step, credential_id=credential.id)

    def _present(self, group: Group, named: Named) -> Credential | None:
        """The group's credential that is this very key for the same place, such as after a run that was killed."""
        vault, rows = self._run.factory.vault, self._run.factory.store.credentials
        if not vault.exists():
            return None
        same = rows.with_fingerprint(vault.data_key().fingerprint(named.key.key))
        place = (group.id, named.key.provider, named.endpoint)
        return next(
            (one for one in same if one.is_active and (one.group_id, one.provider, one.endpoint) == place), None
        )

    def _may_retire(self, group: Group, provider: str) -> bool:
        if (group.id, provider) in self._served:
            raise DuplicateCredentialError(
                f"another of these keys is for group `{group.name}` and `{provider}` too",
                hint="--map ENTRY= leaves one out",
                group=group.name,
            )
        if self._replace or (active := self._service.get_active_for_group(group.id, provider)) is None:
            return self._replace
        question = f"group `{group.name}` has the key {active.key_hint} for `{provider}`. Retire it"
        if self._may_ask and self._run.agreed(question):
            return True
        raise DuplicateCredentialError(
            f"group `{group.name}` has an active key for `{provider}` already: `{active.key_hint}`",
            hint="add --replace to retire it",
            group=group.name,
        )

    def _check(self, named: Named, provider: str) -> None:
        if self._verify is False:
            return
        from raptchat.key_checks import check_key

        try:
            check_key(self._run.factory, provider=provider, base_url=named.base_url, key=named.key.key)
        except AuthenticationFailedError:
            raise
        except GatewayError as error:
            if self._verify:
                raise
            self._run.terminal.say(f"`{named.name}` was not checked: {error}")


def _is_sealed(step: Step) -> bool:
    return step.action in {"imported", "present"}
