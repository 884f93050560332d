"""`raptchat account`: the account's management key, and the keys that the account has."""

from typing import TYPE_CHECKING

import typer

from raptchat.cli import documents
from raptchat.cli.command import Command, noun
from raptchat.cli.first_vault import ensure_vault
from raptchat.cli.invocation import Invocation, invocation
from raptchat.cli.key_caps import document as caps_document
from raptchat.cli.key_sources import KeySource, plain_key
from raptchat.cli.options import FromEnvOption, KeyFileOption, NoRecoveryOption, StdinOption, YesOption
from raptchat.errors import RaptchatError, UsageError
from raptchat.providers.key_info import KeyInfo
from raptchat.records import ManagementKey
from raptchat.render import tables
from raptchat.render.formats import when

if TYPE_CHECKING:
    from decimal import Decimal

    from raptchat.credentials.management_key import ManagementKeys
    from raptchat.key_works.comparing import ComparedKey
    from raptchat.secret import Secret

app = noun("The account's management key, with which raptchat makes, caps and ends keys of groups.")


@app.command(cls=Command)
def status(ctx: typer.Context) -> None:
    """Say which management keys there are, and whether the gateway takes the one for it."""
    from raptchat.credentials.management_key import ManagementKeys

    run = invocation(ctx)
    kept = ManagementKeys(run.factory)
    keys = kept.status()
    problems = {key.id: _problem(run, kept) for key in keys if key.endpoint == kept.endpoint}
    if run.json:
        return tables.document(run.terminal, [_document(key, problems) for key in keys])
    return tables.table(
        run.terminal,
        ["gateway", "key", "since", "by", "works"],
        [
            [key.endpoint, key.key_hint, when(key.created_at), key.created_by, _works(key, problems)]
            for key in keys
        ],
        empty="there is no management key: raptchat account login",
    )


@app.command(cls=Command)
def login(
    ctx: typer.Context,
    stdin: StdinOption = False,
    from_env: FromEnvOption = None,
    key_file: KeyFileOption = None,
    no_recovery: NoRecoveryOption = False,
) -> None:
    """Keep a management key of the account, sealed apart from the keys of groups; no chat is ever paid with it."""
    from raptchat.cli import recovery
    from raptchat.credentials.management_key import ManagementKeys
    from raptchat.providers import DEFAULT_PROVIDER
    from raptchat.vault.hardening import harden

    run = invocation(ctx)
    source = KeySource(stdin, from_env, key_file)
    source.check(DEFAULT_PROVIDER)
    keys = ManagementKeys(run.factory)
    harden()
    key = plain_key(source, run, prompt=f"Management key for {keys.endpoint} (not shown): ")
    _check(run, key)
    vault_made = ensure_vault(run)
    _finish_before(run, keys.endpoint)
    saved = keys.save(key, keys.endpoint)
    if run.json:
        return tables.document(run.terminal, _document(saved, {saved.id: None}))
    run.terminal.say(f"the management key {saved.key_hint} for {saved.endpoint} is kept in the vault")
    if vault_made and not no_recovery:
        recovery.offer(run)
    return None


@app.command(cls=Command)
def logout(ctx: typer.Context, yes: YesOption = False) -> None:
    """Remove the management key from the store; at the gateway it goes on existing."""
    from raptchat.credentials.management_key import ManagementKeys

    run = invocation(ctx)
    keys = ManagementKeys(run.factory)
    found = keys.require(keys.endpoint)
    if run.factory.store.management.works(found.endpoint):
        run.terminal.say("some work at the gateway was cut off; raptchat account keys finishes it with this key")
    run.confirm(f"removing the management key {found.key_hint} for {found.endpoint}", yes=yes)
    keys.remove(keys.endpoint)
    if run.json:
        return tables.document(run.terminal, _document(found, {}))
    return run.terminal.say(f"removed the management key {found.key_hint} for {found.endpoint}")


@app.command("keys", cls=Command)
def keys_(ctx: typer.Context) -> None:
    """Compare the account's keys with those in the store, and finish what was cut off."""
    from raptchat.key_works import at_the_gateway
    from raptchat.key_works.comparing import compare

    run = invocation(ctx)
    with at_the_gateway(run.factory, tell=run.terminal.say) as works:
        found = compare(works, run.factory)
    if run.json:
        return tables.document(run.terminal, [_key_document(one) for one in found])
    return tables.table(
        run.terminal,
        ["group", "key", "name", "state", "cap", "used", "resets", "expires", "works"],
        [_row(one) for one in found],
        empty="neither the account nor the store has a key",
        numeric=("cap", "used"),
    )


def _check(run: Invocation, key: "Secret") -> None:
    """`UsageError` for a key that manages none; what the gateway says otherwise. Nothing is stored."""
    from raptchat.credentials.management_key import client_with

    with client_with(run.factory, key) as asked:
        if not asked.key_info().is_management:
            raise UsageError(
                "this key is for chats: it manages no keys",
                hint="raptchat group add-key NAME gives it to a group; management keys are made apart from others",
            )


def _finish_before(run: Invocation, endpoint: str) -> None:
    """Finish what was begun with the key of before, which no other one can."""
    from raptchat.key_works import at_the_gateway

    rows = run.factory.store.management
    if not rows.works(endpoint) or rows.key(endpoint) is None:
        return
    try:
        with at_the_gateway(run.factory, tell=run.terminal.say):
            pass
    except RaptchatError as error:
        run.terminal.say(f"the work that was begun with the management key of before is not finished: {error}")


def _problem(run: Invocation, kept: "ManagementKeys") -> RaptchatError | None:
    try:
        _check(run, kept.open(kept.endpoint))
    except RaptchatError as error:
        return error
    return None


def _works(key: ManagementKey, problems: dict[str, RaptchatError | None]) -> str | None:
    if key.id not in problems:
        return None
    problem = problems[key.id]
    return "yes" if problem is None else str(problem)


def _document(key: ManagementKey, problems: dict[str, RaptchatError | None]) -> documents.Document:
    problem = problems.get(key.id)
    return {
        "gateway": key.endpoint,
        "keyHint": key.key_hint,
        "createdAt": key.created_at,
        "createdBy": key.created_by,
        "works": problem is None if key.id in problems else None,
        "problem": str(problem) if problem else None,
    }


def _row(one: "ComparedKey") -> list[str | None]:
    info, held = one.info, one.held
    problem = held.problem if held else None
    return [
        held.group.name if held else None,
        held.credential.key_hint if held else info.label if info else None,
        info.name if info else None,
        f"{one.state}: {problem}" if problem else one.state,
        _dollars(info.limit) if info else None,
        _dollars(info.usage) if info else None,
        info.limit_reset if info else None,
        when(info.expires_at) if info and info.expires_at else None,
        _working(info) if info else None,
    ]


def _working(info: KeyInfo) -> str:
    from raptchat.key_works import is_expired

    return "no: disabled" if info.disabled else "no: expired" if is_expired(info) else "yes"


def _key_document(one: "ComparedKey") -> documents.Document:
    info, held = one.info, one.held
    about: documents.Document = {
        "group": held.group.name if held else None,
        "credentialId": held.credential.id if held else None,
        "keyHint": held.credential.key_hint if held else None,
        "state": one.state,
        "problem": held.problem if held else None,
        "hash": info.hash if info else held.hash if held else None,
    }
    there = info or KeyInfo()
    return {
        **about,
        "name": there.name,
        "label": there.label,
        **caps_document(there),
        "used": documents.money(there.usage),
        "disabled": info.disabled if info else None,
    }


def _dollars(value: "Decimal | None") -> str | None:
    from raptchat.store.money import in_words

    return None if value is None else in_words(value)
