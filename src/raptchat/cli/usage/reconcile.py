"""`raptchat usage reconcile`: the ledger beside what the gateway counted for each key."""

from decimal import Decimal
from typing import TYPE_CHECKING

import typer

from raptchat.cli.credentials_check import failure, reason
from raptchat.cli.documents import Document, money
from raptchat.cli.invocation import Invocation, invocation
from raptchat.cli.options import OnlyGroupArgument, OnlyGroupOption, only_group
from raptchat.cli.usage.report import dollars, requests
from raptchat.errors import AiNotConfiguredError
from raptchat.naming import add_key_command, find_group
from raptchat.providers import DEFAULT_PROVIDER
from raptchat.records import Credential
from raptchat.render import tables

if TYPE_CHECKING:
    from raptchat.reconciling import Reconciled, Window


def reconcile(ctx: typer.Context, group: OnlyGroupArgument = None, of_group: OnlyGroupOption = None) -> None:
    """Compare the ledger with what OpenRouter counted for each active key: this day, week and month (UTC).

    Exit 77 when a key is refused; a difference is no failure. The gateway may count late.
    """
    from raptchat.reconciling import reconcile as compare
    from raptchat.render.passing_line import PassingLine

    run = invocation(ctx)
    credentials = _wanted(run, only_group(group, of_group))
    line = PassingLine(run.terminal)

    def show(done: int, total: int) -> None:
        if run.terminal.err_repaints:
            line.show(f"{done:,} of {total:,} keys have answered")

    try:
        found = compare(run.factory, credentials, progress=show)
    finally:
        line.show("")
    if run.json:
        tables.document(run.terminal, [_document(one) for one in found])
    else:
        tables.table(
            run.terminal,
            ["group", "key", "since", "at the gateway", "here", "result"],
            [row for one in found for row in _rows(one)],
            empty=f"there is no key for {DEFAULT_PROVIDER} yet: raptchat group add-key NAME",
            numeric=["at the gateway", "here"],
        )
    if problem := failure([one.check for one in found]):
        raise problem


def _wanted(run: Invocation, word: str | None) -> list[Credential]:
    store = run.factory.store
    with store.snapshot():
        owner = find_group(store, word) if word is not None else None
        among = store.credentials.all() if owner is None else store.credentials.of_group(owner.id)
        names = {group.id: group.name.casefold() for group in store.groups.all()}
    found = [one for one in among if one.is_active and one.provider == DEFAULT_PROVIDER]
    if owner is not None and not found:
        command = add_key_command(owner.name)
        raise AiNotConfiguredError(
            f"group `{owner.name}` has no active key for {DEFAULT_PROVIDER}. Please add one: {command}",
            hint=command,
            group=owner.name,
            provider=DEFAULT_PROVIDER,
        )
    return sorted(found, key=lambda one: (names[one.group_id], one.created_at))


def _rows(found: "Reconciled") -> list[list[str | None]]:
    check = found.check
    whose = [check.group.name, check.credential.key_hint]
    if not found.windows:
        return [[*whose, None, None, None, reason(check.problem)]]
    rows: list[list[str | None]] = []
    for window in found.windows:
        words = _in_words(window, found)
        if found.sharing:
            words = f"{words}; it is also the key of {', '.join(f'`{name}`' for name in found.sharing)}"
        if check.problem is not None:
            words = f"{words} ({reason(check.problem)})"
        gateway = None if window.gateway is None else f"${dollars(window.gateway)}"
        rows.append([*whose, f"{window.period} {window.since}", gateway, f"${dollars(window.here)}", words])
    return rows


def _in_words(window: "Window", found: "Reconciled") -> str:
    difference, unknown = window.difference, window.unknown_costs
    if difference is None:
        return "the gateway does not say"
    of_unknown = f"the cost of {requests(unknown)} is not known here"
    if difference == 0:
        return f"agrees, though {of_unknown}" if unknown else "agrees"
    amount = f"{dollars(abs(difference))} USD more"
    if difference < 0:
        reasons = ["the gateway counts late", "not what a provider is paid directly (BYOK)"]
        if found.check.credential.kind != "key":
            reasons.append("not what the key before this one has paid")
        return f"{amount} here: {', or '.join(reasons)}"
    reasons = ["the key was used elsewhere"]
    added_on = found.added_at[:10]
    if added_on >= window.since.isoformat():
        reasons.append(f"before it came here on {added_on}")
    if unknown:
        reasons.append(of_unknown)
    return f"{amount} at the gateway: {', or '.join(reasons)}"


def _document(found: "Reconciled") -> Document:
    check = found.check
    return {
        "credentialId": check.credential.id,
        "groupId": check.group.id,
        "group": check.group.name,
        "keyHint": check.credential.key_hint,
        "verdict": check.verdict,
        "problem": reason(check.problem),
        "sharedWith": list(found.sharing),
        "windows": [
            {
                "period": window.period,
                "since": window.since.isoformat(),
                "gateway": money(window.gateway),
                "ledger": money(window.here),
                "difference": money(window.difference),
                "unknownCosts": window.unknown_costs,
                "result": _result(window.difference),
            }
            for window in found.windows
        ],
    }


def _result(difference: Decimal | None) -> str | None:
    if difference is None:
        return None
    return "agrees" if difference == 0 else "more-at-gateway" if difference > 0 else "more-here"
