"""`raptchat credentials check`: what the gateways say of the keys."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

import typer

from raptchat import naming
from raptchat.cli.documents import Document, money
from raptchat.cli.invocation import Invocation, invocation
from raptchat.errors import (
    AiNotConfiguredError,
    AuthenticationFailedError,
    GroupNotFoundError,
    RaptchatError,
)
from raptchat.outside import safe_line
from raptchat.records import Credential, Group
from raptchat.render import Terminal, tables
from raptchat.render.errors import as_fields
from raptchat.render.formats import when

if TYPE_CHECKING:
    from raptchat.key_checks import KeyCheck
    from raptchat.providers.key_info import KeyInfo
    from raptchat.store import Store

_SOON = timedelta(days=7)
# At a terminal with fewer cells these would fold the others.
_LEAST_WIDTH = {"resets": 90, "free tier": 100, "expires": 110}
_MOST_NAMED = 5


def check(
    ctx: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[G|ID]...", help="Only the active keys of this group, or this credential."),
    ] = None,
) -> None:
    """Ask the gateways about the active keys: are they valid, until when, and what is left.

    Exit 77 when a key is refused, expired, disabled, or no key to chat with.
    """
    from raptchat.key_checks import check_all

    run = invocation(ctx)
    found = _wanted(run, words or [])
    progress = _progress(run)
    try:
        checks = check_all(run.factory, found, progress=progress)
    finally:
        progress(0, 0)
    if run.json:
        tables.document(run.terminal, [_document(one) for one in checks])
    else:
        show_checks(run.terminal, checks)
    if problem := failure(checks):
        raise problem


def _wanted(run: Invocation, words: Sequence[str]) -> list[Credential]:
    store = run.factory.store
    with store.snapshot():
        if words:
            named = [credential for word in words for credential in _named(store, word)]
            return list({credential.id: credential for credential in named}.values())
        names = {group.id: group.name.casefold() for group in store.groups.all()}
        active = [credential for credential in store.credentials.all() if credential.is_active]
        return sorted(active, key=lambda one: (names[one.group_id], one.created_at))


def _named(store: "Store", word: str) -> list[Credential]:
    """The active credentials of the group that *word* means, or the one credential, active or not."""
    prefix = word.strip().lower()
    credentials = store.credentials.with_prefix(prefix) if len(prefix) >= naming.MIN_PREFIX_LENGTH else []
    try:
        group = naming.find_group(store, word)
    except GroupNotFoundError:
        if not credentials:
            raise
        return [naming.find_credential(store, word)]
    if credentials and naming.spelled_out(store, word) is None:
        listed = ", ".join(id_[:13] for id_ in [group.id, *(one.id for one in credentials)])
        raise GroupNotFoundError(
            f"a group and a credential begin with `{safe_line(word)}`", hint=f"name one of: {listed}"
        )
    active = [credential for credential in store.credentials.of_group(group.id) if credential.is_active]
    if not active:
        raise _not_configured(group)
    return active


def _not_configured(group: Group) -> AiNotConfiguredError:
    command = naming.add_key_command(group.name)
    return AiNotConfiguredError(
        f"group `{group.name}` has no active key. Please add one: {command}", hint=command, group=group.name
    )


def _progress(run: Invocation) -> Callable[[int, int], None]:
    """Says how far it is where a person is looking; nothing is left of it at 0 of 0."""
    from raptchat.render.passing_line import PassingLine

    line = PassingLine(run.terminal)

    def show(done: int, total: int) -> None:
        if run.terminal.err_repaints:
            line.show(f"{done} of {total} keys are checked" if total else "")

    return show


def _document(check: "KeyCheck") -> Document:
    from raptchat.providers.key_info import KeyInfo

    info = check.info or KeyInfo()
    return {
        "id": check.credential.id,
        "groupId": check.group.id,
        "group": check.group.name,
        "provider": check.credential.provider,
        "keyHint": check.credential.key_hint,
        "isActive": check.credential.is_active,
        "verdict": check.verdict,
        "limit": money(info.limit),
        "used": money(_used(info)),
        "left": money(info.limit_remaining),
        "limitReset": info.limit_reset,
        "expiresAt": info.expires_at,
        "isFreeTier": info.is_free_tier,
        "problem": reason(check.problem),
    }


def show_checks(terminal: Terminal, checks: Sequence["KeyCheck"]) -> None:
    """Write *checks* as a table; at a terminal what is wrong with a key stands on a line below it."""
    from raptchat.providers.key_info import KeyInfo

    columns: dict[str, Callable[[KeyCheck, KeyInfo], str | None]] = {
        "group": lambda check, _: check.group.name,
        "key": lambda check, _: check.credential.key_hint,
        "verdict": lambda check, _: _verdict(check),
        "cap": lambda _, info: _dollars(info.limit),
        "used": lambda _, info: _dollars(_used(info)),
        "left": lambda _, info: _dollars(info.limit_remaining),
        "resets": lambda _, info: info.limit_reset,
        "expires": lambda _, info: when(info.expires_at) if info.expires_at else None,
        "free tier": lambda _, info: {True: "yes", False: "no", None: None}[info.is_free_tier],
        "problem": lambda check, _: reason(check.problem),
    }
    found = [(check, check.info or KeyInfo()) for check in checks]
    if terminal.out_is_tty:
        # What says nothing has no room; into a pipe the columns are always the same.
        del columns["problem"]
        columns = {
            name: cell
            for name, cell in columns.items()
            if any(cell(*each) for each in found) and terminal.width >= _LEAST_WIDTH.get(name, 0)
        }
    rows = [[cell(*each) for cell in columns.values()] for each in found]
    empty = "there is no key yet: raptchat group add-key NAME"
    tables.table(terminal, list(columns), rows, numeric=("cap", "used", "left"), empty=empty)
    if terminal.out_is_tty:
        for check in checks:
            if check.problem is not None:
                terminal.say(f"{_name(check)}: {reason(check.problem)}")


def _verdict(check: "KeyCheck") -> str:
    from raptchat.key_checks import expiry

    if check.verdict == "management":
        return "not a chat key"
    ends = expiry(check.info) if check.info else None
    if ends is not None and check.verdict == "expired":
        return f"expired on {ends.astimezone().date().isoformat()}"
    if ends is not None and check.verdict == "valid" and ends - datetime.now(UTC) < _SOON:
        return f"expires on {ends.astimezone().date().isoformat()}"
    return check.verdict


def _used(info: "KeyInfo") -> Decimal | None:
    """What was used of the cap, or ever where there is none that begins anew."""
    since = {"daily": info.usage_daily, "weekly": info.usage_weekly, "monthly": info.usage_monthly}
    return info.usage if info.limit_reset is None else since.get(info.limit_reset)


def _dollars(amount: Decimal | None) -> str | None:
    from raptchat.store.money import in_words

    return None if amount is None else in_words(amount)


def reason(problem: RaptchatError | None) -> str | None:
    """What is wrong with a key, without any key that the gateway said again."""
    return None if problem is None else str(as_fields(problem)["error"])


def failure(checks: Sequence["KeyCheck"]) -> RaptchatError | None:
    """The error to end with: of the keys that cannot be used, or else of those that could not be asked for."""
    unusable = [check for check in checks if check.verdict not in {"valid", "unknown"}]
    if unusable:
        return AuthenticationFailedError(
            f"{len(unusable)} of {len(checks)} keys cannot be used: {_listed(unusable)}",
            hint=naming.refused_key_command(unusable[0].group, unusable[0].credential),
        )
    unknown = [check for check in checks if check.problem is not None]
    if not unknown:
        return None
    problem = unknown[0].problem
    assert problem is not None
    return type(problem)(
        f"{len(unknown)} of {len(checks)} keys could not be checked: {_listed(unknown)}",
        hint=problem.hint,
        **problem.fields,
    )


def _listed(checks: Sequence["KeyCheck"]) -> str:
    more = f" and {len(checks) - _MOST_NAMED} more" if len(checks) > _MOST_NAMED else ""
    return ", ".join(map(_name, checks[:_MOST_NAMED])) + more


def _name(check: "KeyCheck") -> str:
    group = f"group `{check.group.name}`"
    return group if check.credential.kind == "none" else f"{check.credential.key_hint} of {group}"
