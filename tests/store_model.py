"""What a store holds, in plain dicts, and what each change makes of it: what the real one is compared with."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Literal

OnConflict = Literal["skip", "replace", "rename"]


class RefusedError(Exception):
    """The change is one that must be refused, and leaves everything as it was."""


@dataclass
class ModelKey:
    """Where a key may be sent, and whether it is in use."""

    place: str | None
    active: bool


@dataclass
class ModelGroup:
    """A group's id, and its keys."""

    id: str
    keys: dict[str, ModelKey] = field(default_factory=dict)

    def put_in_use(self, key: str) -> None:
        """Put *key* in use, and what was before out of it."""
        for other, one in self.keys.items():
            one.active = other == key


@dataclass
class Model:
    """Groups by their names, and what opens the vault: the names of files that hold a slot's secret."""

    groups: dict[str, ModelGroup] = field(default_factory=dict)
    files: set[str] = field(default_factory=set)
    recovery: str | None = None

    def copy(self) -> "Model":
        """One that changes on its own."""
        return deepcopy(self)

    def openers(self) -> set[str]:
        """The files of which each opens the vault."""
        return self.files | ({self.recovery} if self.recovery else set())

    def is_like(self, other: "Model") -> bool:
        """Whether the same is in both but for the ids of groups, and what the recovery key is called."""
        keys = [{name: group.keys for name, group in one.groups.items()} for one in (self, other)]
        slots = [(one.files, one.recovery is None) for one in (self, other)]
        return keys[0] == keys[1] and slots[0] == slots[1]

    def owners(self, key: str) -> Iterator[str]:
        """The ids of the groups that have *key*."""
        return (group.id for group in self.groups.values() if key in group.keys)

    def named(self, group_id: str) -> str | None:
        """What the group with this id is called."""
        return next((name for name, group in self.groups.items() if group.id == group_id), None)

    def add_key(self, name: str, key: str, place: str | None, *, replace: bool) -> None:
        """Give a group a key; one that it or another has, or a second in use, is refused."""
        group = self.groups[name]
        if any(one.active for one in group.keys.values()) and not replace:
            raise RefusedError
        if any(owner != group.id for owner in self.owners(key)):
            raise RefusedError
        group.keys[key] = ModelKey(place, active=True)
        group.put_in_use(key)

    def rename(self, name: str, new: str) -> None:
        """Give a group another name, which none may have."""
        if new != name and new in self.groups:
            raise RefusedError
        self.groups[new] = self.groups.pop(name)

    def take_in(self, bundle: "Model", on_conflict: OnConflict, *, allow_shared: bool) -> None:
        """Take in the groups of *bundle*, all of them or none."""
        taken = {*self.groups, *bundle.groups}
        plans: list[tuple[ModelGroup, str, str, ModelGroup | None]] = []
        for name, group in sorted(bundle.groups.items()):
            present = self.named(group.id) or (name if name in self.groups else None)
            if present is None:
                plans.append((group, "new", name, None))
            elif on_conflict == "rename":
                free = _free(name, taken)
                taken.add(free)
                plans.append((group, "rename", free, None))
            else:
                plans.append((group, on_conflict, present, self.groups[present]))
        replaced = [plan[2] for plan in plans if plan[1] == "replace"]
        if len(set(replaced)) < len(replaced):
            raise RefusedError
        plans = [plan for plan in plans if plan[1] != "skip"]
        if not allow_shared:
            self._refuse_shared(plans)
        for group, action, name, target in plans:
            into = target or ModelGroup(group.id if action == "new" else "")
            self.groups[name] = into
            for key, one in group.keys.items():
                there = into.keys.get(key)
                if there is None:
                    into.keys[key] = ModelKey(one.place, active=False)
                if one.active and not (there and there.active):
                    into.put_in_use(key)

    def _refuse_shared(self, plans: list[tuple[ModelGroup, str, str, ModelGroup | None]]) -> None:
        seen: dict[str, str] = {}
        for group, _, _, target in plans:
            for key in group.keys:
                there = target is not None and key in target.keys
                if not there and (list(self.owners(key)) or seen.get(key, group.id) != group.id):
                    raise RefusedError
                seen.setdefault(key, group.id)


def _free(name: str, taken: set[str]) -> str:
    number = 2
    while f"{name} {number}" in taken:
        number += 1
    return f"{name} {number}"
