"""A bundle into a store: first the plan, then all of it in one transaction."""

import uuid
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from raptchat import naming
from raptchat.bundle import Bundle, BundledGroup, BundledKey, BundledSession
from raptchat.clock import utc_now
from raptchat.credentials import CredentialService
from raptchat.credentials.key_reference import hint_of
from raptchat.credentials.sealed_row import seal_row
from raptchat.errors import SharedKeyError, StoreBusyError, UsageError
from raptchat.factory import Factory
from raptchat.records import Credential, Group, KeyKind, Policy, Session
from raptchat.secret import Secret
from raptchat.store.groups import budget_columns, name_key, policy_columns

if TYPE_CHECKING:
    from raptchat.store import Store
    from raptchat.vault.sealing import DataKey

Choice = Literal["skip", "replace", "rename"]
_UNTOUCHED = ("skip", "conflict")


@dataclass(frozen=True, slots=True)
class Conflict:
    """A group of the bundle with its keys, and the one here that has its id or its name."""

    group: Group
    keys: tuple[BundledKey, ...]
    present: Group


@dataclass(frozen=True, slots=True)
class KeyPlan:
    """What becomes of one key: it is added, it is there already, or it is there and is put in use again.

    *reference* is the command line or the path that comes in with it, and is not here yet.
    """

    hint: str
    provider: str
    endpoint: str
    is_active: bool
    action: Literal["new", "present", "activate"]
    kind: KeyKind = "key"
    reference: Secret | None = None


@dataclass(frozen=True, slots=True)
class GroupPlan:
    """What becomes of one group: it is called *name* here; *sessions* counts the conversations that are added.

    *present* is the group here that it is in conflict with; without a choice the action is `conflict`.
    """

    group: Group
    action: Literal["new", "skip", "replace", "rename", "conflict"]
    name: str
    present: Group | None
    keys: tuple[KeyPlan, ...] = ()
    sessions: int = 0


def conflicts(store: "Store", bundle: Bundle) -> list[Conflict]:
    """The groups of *bundle* of which one is here already, by its id or else by its name."""
    found = [(one, _present(store, one.group)) for one in bundle.groups]
    return [Conflict(one.group, one.keys, present) for one, present in found if present is not None]


@dataclass(frozen=True, slots=True)
class TakingIn:
    """The import of *bundle*, with a choice for each conflict by the id of the bundle's group; others stay out.

    *data_key* seals the keys; where nothing is to be stored any one will do. A reference is somebody else's word
    for what is run and read here from then on: it comes in with *allow_references* alone.
    """

    factory: Factory
    bundle: Bundle
    choices: Mapping[str, Choice]
    data_key: "DataKey"
    allow_shared: bool = False
    allow_references: bool = False

    def plan(self) -> list[GroupPlan]:
        """What would be done; nothing is changed.

        Raises `UsageError` for a name that means another group already, and where two groups would replace one;
        `SharedKeyError` for a key that serves another group, here or in the bundle,
        unless *allow_shared*.
        """
        store = self.factory.store
        taken = {name_key(one.group.name) for one in self.bundle.groups}
        ids = sorted(one.group.id for one in self.bundle.groups)
        owners: dict[str, Group] = {}
        replaced: set[str] = set()
        plans = []
        with store.snapshot():
            taken |= {name_key(group.name) for group in store.groups.all()}
            for bundled in self.bundle.groups:
                plan = self._plan_group(bundled, taken, ids)
                if plan.action == "replace" and plan.present is not None:
                    if plan.present.id in replaced:
                        raise UsageError(
                            f"two groups of the bundle would replace `{plan.present.name}`",
                            hint="raptchat vault import --on-conflict rename",
                        )
                    replaced.add(plan.present.id)
                if plan.action not in _UNTOUCHED:
                    plan = self._with_keys(plan, bundled, owners)
                plans.append(plan)
        return plans

    def carry_out(self, plans: list[GroupPlan]) -> None:
        """Do what *plans* says, all of it or nothing; `StoreBusyError` when that is not the plan any more.

        `UsageError` for a reference, unless they are allowed.
        """
        if references(plans) and not self.allow_references:
            raise references_refused()
        if any(plan.keys for plan in plans):
            vault = self.factory.vault
            CredentialService(self.factory).atomically(
                lambda: replace(self, data_key=vault.data_key()).apply(plans)
            )
        else:
            with self.factory.store.write():
                self.apply(plans)

    def apply(self, plans: list[GroupPlan]) -> None:
        """As `carry_out`, in a transaction in which *data_key* is the one in use."""
        if self.plan() != plans:
            raise changed_meanwhile()
        for bundled, plan in zip(self.bundle.groups, plans, strict=True):
            if plan.action not in _UNTOUCHED:
                self._take_in(bundled, plan)

    def _plan_group(self, bundled: BundledGroup, taken: set[str], ids: list[str]) -> GroupPlan:
        store, group = self.factory.store, bundled.group
        present = _present(store, group)
        if present is None:
            self._refuse_id(group, ids)
            return GroupPlan(group, "new", group.name, None)
        choice = self.choices.get(group.id)
        if choice is None:
            return GroupPlan(group, "conflict", group.name, present)
        name = _free_name(group.name, taken) if choice == "rename" else present.name
        taken.add(name_key(name))
        return GroupPlan(group, choice, name, present)

    def _refuse_id(self, group: Group, ids: list[str]) -> None:
        """A name that begins another group's id, here or of the bundle's *ids*, would be taken for that."""
        if len(group.name) < naming.MIN_PREFIX_LENGTH:
            return
        word = group.name.lower()
        at = bisect_left(ids, word)
        # Of the bundle the first two: one may be its own.
        others = [one.id for one in self.factory.store.groups.with_prefix(word)] + ids[at : at + 2]
        for other in others:
            if other.startswith(word) and other != group.id:
                raise UsageError(
                    f"the bundle's group `{group.name}` is called as the id of another group begins: `{other}`",
                    hint="give it another name where the bundle was made, with raptchat group rename",
                )

    def _with_keys(self, plan: GroupPlan, bundled: BundledGroup, owners: dict[str, Group]) -> GroupPlan:
        store, group = self.factory.store, bundled.group
        target = plan.present.id if plan.action == "replace" and plan.present is not None else None
        keys = []
        for key in bundled.keys:
            there = self._there(key, target)
            action: Literal["new", "present", "activate"] = "new"
            if there:
                action = "activate" if key.is_active and not any(there.values()) else "present"
            elif not self.allow_shared and key.kind != "none":
                self._refuse_shared(key, plan, target, owners)
            owners.setdefault(self.data_key.fingerprint(key.api_key), group)
            hint = hint_of(key.kind, key.api_key)
            reference = key.api_key if action == "new" and key.kind in {"command", "file"} else None
            keys.append(KeyPlan(hint, key.provider, key.endpoint, key.is_active, action, key.kind, reference))
        sessions = [one for one in bundled.sessions if not _is_there(store, one.session, target)]
        return replace(plan, keys=tuple(keys), sessions=len(sessions))

    def _there(self, key: BundledKey, group_id: str | None) -> dict[str, bool]:
        """The credentials of a group here that hold this very key for the same place, and which are in use."""
        rows, fingerprint = self.factory.store.credentials, self.data_key.fingerprint(key.api_key)
        # Where there is no key, no two fingerprints are the same.
        if key.kind == "none":
            found = rows.of_group(group_id) if group_id else []
        else:
            found = rows.with_fingerprint(fingerprint)
        what = (key.kind, key.provider, key.endpoint, key.base_url)
        return {
            one.id: one.is_active
            for one in found
            if one.group_id == group_id and (one.kind, one.provider, one.endpoint, one.base_url) == what
        }

    def _refuse_shared(
        self, key: BundledKey, plan: GroupPlan, target: str | None, owners: dict[str, Group]
    ) -> None:
        store, fingerprint = self.factory.store, self.data_key.fingerprint(key.api_key)
        sharing = [
            one.group_id for one in store.credentials.with_fingerprint(fingerprint) if one.group_id != target
        ]
        names = [store.groups.require(group_id).name for group_id in sharing]
        owner = owners.get(fingerprint, plan.group)
        names += [owner.name] if owner.id != plan.group.id else []
        if names:
            raise SharedKeyError(
                f"the key `{hint_of(key.kind, key.api_key)}` of the bundle's group `{plan.group.name}` serves"
                f" group `{names[0]}` already",
                hint="leave that group out, or add --allow-shared",
                group=plan.name,
            )

    def _take_in(self, bundled: BundledGroup, plan: GroupPlan) -> None:
        store, given = self.factory.store, bundled.group
        if plan.action == "replace" and plan.present is not None:
            store.groups.set(
                plan.present.id,
                description=given.description,
                model=given.model,
                system_prompt=given.system_prompt,
                provider=given.provider,
                **_rules(given, plan.present),
            )
            group = store.groups.require(plan.present.id)
        else:
            group_id = given.id if plan.action == "new" else str(uuid.uuid4())
            group = given._replace(id=group_id, name=plan.name)
            store.groups.put(group)
        for key, key_plan in zip(bundled.keys, plan.keys, strict=True):
            self._take_in_key(key, key_plan, group, keeps_id=plan.action != "rename")
        for session in bundled.sessions:
            self._take_in_session(session, group, keeps_id=plan.action != "rename")

    def _take_in_key(self, key: BundledKey, plan: KeyPlan, group: Group, *, keeps_id: bool) -> None:
        store = self.factory.store
        if plan.action == "present":
            return
        if plan.action == "activate":
            credential_id, action = next(iter(self._there(key, group.id))), "activate"
        else:
            is_free = keeps_id and store.credentials.get(key.id) is None
            credential_id, action = (key.id if is_free else str(uuid.uuid4())), "import"
            credential = _out_of_use(key, credential_id, group)
            store.credentials.add(seal_row(self.data_key, credential, key.api_key, group))
        if key.is_active:
            active = store.credentials.active(group.id, key.provider)
            if active is not None:
                store.credentials.set_active(active.id, active=False)
                self._note("deactivate", group, active.id)
            store.credentials.set_active(credential_id, active=True)
        self._note(action, group, credential_id)

    def _take_in_session(self, bundled: BundledSession, group: Group, *, keeps_id: bool) -> None:
        store, session = self.factory.store, bundled.session
        if _is_there(store, session, group.id):
            return
        is_free = keeps_id and store.sessions.get(session.id) is None
        session = session._replace(id=session.id if is_free else str(uuid.uuid4()), group_id=group.id)
        store.sessions.put(session)
        for message in bundled.messages:
            store.attachments.add(store.sessions.put_message(session.id, message), message.attachments)

    def _note(self, action: str, group: Group, credential_id: str) -> None:
        self.factory.store.ledger.note(
            f"credential.{action}", caller=self.factory.caller, group=group, credential_id=credential_id
        )


def references(plans: list[GroupPlan]) -> list[tuple[GroupPlan, KeyPlan]]:
    """The keys among *plans* that bring a command or a path from elsewhere."""
    return [(plan, key) for plan in plans for key in plan.keys if key.reference is not None]


def references_refused() -> UsageError:
    """The error for a bundle that would have commands run, or files read, and nobody agreed to that."""
    return UsageError(
        "the bundle has references: commands that are run, or files that are read, for a key",
        hint="raptchat vault import --dry-run shows them; --allow-references takes them in",
    )


def _rules(given: Group, present: Group) -> dict[str, str | int | None]:
    """The columns of the rules that *present* has from now on: what has none does not take its own away."""
    return {
        **policy_columns(given.policy if given.policy != Policy() else present.policy),
        **budget_columns(given.budget or present.budget),
    }


def changed_meanwhile() -> StoreBusyError:
    """The error for a store in which the import would not be what was planned or asked about."""
    return StoreBusyError("the store was changed meanwhile", hint="try again")


def _present(store: "Store", group: Group) -> Group | None:
    return store.groups.get(group.id) or store.groups.named(group.name)


def _out_of_use(key: BundledKey, credential_id: str, group: Group) -> Credential:
    """The credential that *key* becomes in *group*, before it is sealed."""
    return Credential(
        id=credential_id,
        group_id=group.id,
        provider=key.provider,
        encrypted_key=b"",
        nonce=b"",
        key_id="",
        key_hint=hint_of(key.kind, key.api_key),
        key_fingerprint="",
        label=key.label,
        base_url=key.base_url,
        endpoint=key.endpoint,
        is_active=False,
        created_at=key.created_at,
        updated_at=utc_now(),
        last_used_at=key.last_used_at,
        created_by=key.created_by,
        kind=key.kind,
    )


def _is_there(store: "Store", session: Session, group_id: str | None) -> bool:
    found = store.sessions.get(session.id)
    return found is not None and found.group_id == group_id


def _free_name(name: str, taken: set[str]) -> str:
    number = 1
    while True:
        number += 1
        end = f" {number}"
        candidate = naming.check_name(name[: naming.MAX_NAME_LENGTH - len(end)].rstrip() + end)
        if name_key(candidate) not in taken:
            return candidate
