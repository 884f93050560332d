"""Groups, and the folders that are bound to them."""

import unicodedata
import uuid
from pathlib import Path
from typing import Any, TypedDict

from raptchat.clock import utc_now
from raptchat.errors import GroupNotFoundError, StoreError, WrongGroupError
from raptchat.outside import is_utf8, safe_line
from raptchat.records import Budget, Group, Policy
from raptchat.store.connection import Connection
from raptchat.store.money import dollars, nano_dollars
from raptchat.store.rows import as_asked, record
from raptchat.store.word_index import WordIndex

# A field of `Group` each; what else there is makes its rules and its budget.
_PLAIN = (
    *("id", "name", "description", "model", "system_prompt", "provider", "created_at", "updated_at"),
    "suspended_at",
)
COLUMNS = (
    f"{', '.join(_PLAIN)}, allowed_models, zdr, deny_training, max_cost_nano_usd, no_history,"
    " budget_nano_usd, budget_period, budget_warn_percent"
)


class _Rules(TypedDict, total=False):
    allowed_models: str
    zdr: int
    deny_training: int
    max_cost_nano_usd: int
    no_history: int


def name_key(name: str) -> str:
    """*name* as names are compared: NFC, without regard to case (Unicode 15, section 3.13)."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


class Groups:
    """Who pays.

    A group that was read keeps its name for as long as this is open: which group a person meant by a name must not
    change between the questions of one command. When it was given another one meanwhile, looking it up is a
    `WrongGroupError`; `again` and `all` tell the new one.
    """

    def __init__(self, db: Connection, index: WordIndex) -> None:
        self._db = db
        self._index = index
        self._known: dict[str, str] = {}

    def add(
        self,
        name: str,
        *,
        description: str | None = None,
        model: str | None = None,
        system_prompt: str | None = None,
        provider: str | None = None,
    ) -> Group:
        """A new group called *name*, which no other group is."""
        now = utc_now()
        group = Group(str(uuid.uuid4()), name, description, model, system_prompt, provider, now, now)
        self.put(group)
        return group

    def put(self, group: Group) -> None:
        """Keep a group as it is, such as one of another store; no other has its id or its name."""
        row = columns(group)
        self._db.execute(
            f"INSERT INTO groups ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", tuple(row.values())
        )

    def get(self, group_id: str) -> Group | None:
        """The group with this id."""
        group = self._one("id = ?", group_id)
        return as_asked(group, id=group_id) if group else None

    def again(self, group_id: str) -> Group | None:
        """The group with this id, whatever it is called by now."""
        self._known.pop(group_id, None)
        return self.get(group_id)

    def require(self, group_id: str) -> Group:
        """The group with this id; `GroupNotFoundError` when it is not there, or not any more."""
        group = self.get(group_id)
        if group is None:
            raise GroupNotFoundError(
                f"there is no group with the id `{safe_line(group_id)[:80]}`", hint="raptchat group list"
            )
        return group

    def named(self, name: str) -> Group | None:
        """The group with this name, in any case."""
        group = self._one("name_key = ?", name_key(name))
        if group is not None and name_key(group.name) != name_key(name):
            raise _misfiled()
        return group

    def with_prefix(self, prefix: str) -> list[Group]:
        """The groups whose id begins with *prefix*."""
        rows = self._db.rows(
            f"SELECT name_key, {COLUMNS} FROM groups WHERE id >= ? AND id < ? ORDER BY name_key LIMIT 10",
            (prefix, prefix + "\U0010ffff"),
        )
        return [self._same(group) for group in map(self._group, rows) if group.id.startswith(prefix)]

    def all(self) -> list[Group]:
        """Every group, by name."""
        rows = self._db.rows(f"SELECT name_key, {COLUMNS} FROM groups ORDER BY name_key")
        return [self._group(row) for row in rows]

    def beginning(self, name: str, limit: int) -> list[Group]:
        """The first groups, by name, whose name begins with *name*, in any case; *limit* at most."""
        key = name_key(name)
        rows = self._db.rows(
            f"SELECT name_key, {COLUMNS} FROM groups WHERE name_key >= ? AND name_key < ?"
            " ORDER BY name_key LIMIT ?",
            (key, key + "\U0010ffff", limit),
        )
        return [self._group(row) for row in rows]

    def set(self, group_id: str, **values: str | int | None) -> None:
        """Change columns of a group; a new name comes with its key."""
        changes: dict[str, Any] = {**values, "updated_at": utc_now()}
        if name := changes.get("name"):
            changes["name_key"] = name_key(name)
            self._known.pop(group_id, None)
        assignments = ", ".join(f"{column} = :{column}" for column in changes)
        self._db.execute(f"UPDATE groups SET {assignments} WHERE id = :id", {**changes, "id": group_id})

    def remove(self, group_id: str) -> None:
        """Take a group away with its credentials and sessions; its usage stays in the ledger.

        A folder that was tied to it stays tied, to nobody: another group must not pay there unasked.
        """
        self._index.forget("session_id IN (SELECT id FROM sessions WHERE group_id = ?)", (group_id,))
        self._db.execute("DELETE FROM groups WHERE id = ?", (group_id,))

    def bind(self, folder: Path, group_id: str) -> None:
        """Tie *folder*, and all below it, to a group."""
        self._db.execute(
            "INSERT INTO bindings (folder, group_id, created_at) VALUES (?, ?, ?)"
            " ON CONFLICT (folder) DO UPDATE SET group_id = excluded.group_id, created_at = excluded.created_at",
            (str(folder), group_id, utc_now()),
        )

    def unbind(self, folder: Path) -> bool:
        """Untie *folder*; whether it was tied."""
        return self._db.execute("DELETE FROM bindings WHERE folder = ?", (str(folder),)).rowcount > 0

    def bound_to(self, folder: Path) -> tuple[Path, Group | None] | None:
        """The nearest folder at or above *folder* that is tied, and its group: `None` once that is removed."""
        for candidate in (folder, *folder.parents):
            if not is_utf8(str(candidate)):
                continue  # SQLite cannot hold its name, so it was never tied
            row = self._db.row("SELECT group_id FROM bindings WHERE folder = ?", (str(candidate),))
            if row is not None:
                return candidate, self.get(row["group_id"]) if row["group_id"] else None
        return None

    def _one(self, where: str, value: str) -> Group | None:
        row = self._db.row(f"SELECT name_key, {COLUMNS} FROM groups WHERE {where}", (value,))
        return self._same(self._group(row)) if row else None

    def _group(self, row: dict[str, Any]) -> Group:
        # Groups are found by this key, and what is sealed for a group is sealed for its name: a file in which the
        # two differ would let one group pay for another.
        policy, budget = _policy(row), _budget(row)
        group = record(Group, {**{name: row[name] for name in _PLAIN}, "policy": policy, "budget": budget})
        if row["name_key"] != name_key(group.name):
            raise _misfiled()
        self._known.setdefault(group.id, group.name)
        return group

    def _same(self, group: Group) -> Group:
        known = self._known[group.id]
        if known != group.name:
            raise WrongGroupError(
                f"the group `{safe_line(known)}` is called `{safe_line(group.name)}` now",
                hint="say again which group is meant",
                group=known,
            )
        return group


def columns(group: Group) -> dict[str, str | int | None]:
    """*group* as its row."""
    return {
        "name_key": name_key(group.name),
        **{name: getattr(group, name) for name in _PLAIN},
        **policy_columns(group.policy),
        **budget_columns(group.budget),
    }


def policy_columns(policy: Policy) -> dict[str, str | int | None]:
    """*policy* as the columns of a group: NULL for each rule that is not set."""
    return {
        "allowed_models": ",".join(policy.models) or None,
        "zdr": int(policy.zdr) or None,
        "deny_training": int(policy.deny_training) or None,
        "max_cost_nano_usd": nano_dollars(policy.max_cost),
        "no_history": int(policy.no_history) or None,
    }


def budget_columns(budget: Budget | None) -> dict[str, str | int | None]:
    """*budget* as the columns of a group."""
    return {
        "budget_nano_usd": nano_dollars(budget.amount) if budget else None,
        "budget_period": budget.period if budget else None,
        "budget_warn_percent": budget.warn_percent if budget else None,
    }


def _policy(row: dict[str, Any]) -> Policy:
    set_ = {name: row[name] for name in _Rules.__annotations__ if row[name] is not None}
    if not set_:
        return Policy()
    rules = record(_Rules, set_)
    models = rules.get("allowed_models")
    return Policy(
        models=tuple(models.split(",")) if models else (),
        zdr=bool(rules.get("zdr")),
        deny_training=bool(rules.get("deny_training")),
        max_cost=dollars(rules.get("max_cost_nano_usd")),
        no_history=bool(rules.get("no_history")),
    )


def _budget(row: dict[str, Any]) -> Budget | None:
    amount = dollars(row["budget_nano_usd"])
    if amount is None:
        return None
    return record(
        Budget,
        {"amount": amount, "period": row["budget_period"], "warn_percent": row["budget_warn_percent"]},
    )


def _misfiled() -> StoreError:
    return StoreError("the store is damaged: a group is filed under another name", hint="restore a backup")
