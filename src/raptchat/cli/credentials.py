"""`raptchat credentials`: the sealed keys, of which only a hint is ever shown."""

from collections.abc import Sequence

import typer

from raptchat import naming
from raptchat.cli import documents
from raptchat.cli.command import Command, noun
from raptchat.cli.credentials_check import check
from raptchat.cli.invocation import Invocation, invocation
from raptchat.cli.options import CredentialArgument, OnlyGroupArgument, OnlyGroupOption, YesOption, only_group
from raptchat.records import Credential
from raptchat.render import tables
from raptchat.render.formats import when

app = noun("Credentials: one encrypted API key of one group each.")


@app.command("list", cls=Command)
def list_(
    ctx: typer.Context,
    group: OnlyGroupArgument = None,
    of_group: OnlyGroupOption = None,
) -> None:
    """List the keys, masked, with when they were last used."""
    run_list(only_group(group, of_group), invocation(ctx))


def run_list(group: str | None, run: Invocation) -> None:
    """Of one group, or of all."""
    from raptchat.store.sharing import shared_with

    store = run.factory.store
    add_key = "raptchat group add-key NAME"
    with store.snapshot():
        if group is None:
            found: Sequence[Credential] = store.credentials.all()
            names = {each.id: each.name for each in store.groups.all()}
        else:
            owner = naming.find_group(store, group)
            found, add_key = store.credentials.of_group(owner.id), naming.add_key_command(owner.name)
            names = {owner.id: owner.name}
        shared = shared_with(store, found, all_there_are=group is None)
    ordered = sorted(found, key=lambda one: (names[one.group_id].casefold(), one.created_at))
    if run.json:
        return tables.document(
            run.terminal,
            [documents.credential(one, names[one.group_id], shared.get(one.id, ())) for one in ordered],
        )
    rows = [
        [
            tables.id_cell(run.terminal, one.id),
            names[one.group_id],
            one.provider,
            one.key_hint,
            one.label,
            "active" if one.is_active else "inactive",
            when(one.created_at),
            when(one.last_used_at) if one.last_used_at else "never",
        ]
        for one in ordered
    ]
    tables.table(
        run.terminal,
        ["id", "group", "provider", "key", "label", "state", "created", "last used"],
        rows,
        empty=f"there is no key yet: {add_key}",
    )
    for one in ordered:
        if one.id in shared:
            others = ", ".join(f"`{name}`" for name in shared[one.id])
            run.terminal.say(f"the key {one.key_hint} of group `{names[one.group_id]}` is also that of {others}")
    return None


@app.command(cls=Command)
def show(ctx: typer.Context, credential: CredentialArgument) -> None:
    """Show a credential, its key masked."""
    run = invocation(ctx)
    _show(run, naming.find_credential(run.factory.store, credential))


app.command("check", cls=Command)(check)


@app.command(cls=Command)
def activate(ctx: typer.Context, credential: CredentialArgument) -> None:
    """Put a key in use; the group's active key for the same provider is retired."""
    from raptchat.credentials import CredentialService

    run = invocation(ctx)
    found = naming.find_credential(run.factory.store, credential)
    _show(run, CredentialService(run.factory).activate(found.id))


@app.command(cls=Command)
def deactivate(ctx: typer.Context, credential: CredentialArgument) -> None:
    """Put a key out of use; it stays in the store."""
    from raptchat.credentials import CredentialService

    run = invocation(ctx)
    found = naming.find_credential(run.factory.store, credential)
    _show(run, CredentialService(run.factory).deactivate(found.id))


@app.command(cls=Command)
def delete(ctx: typer.Context, credential: CredentialArgument, yes: YesOption = False) -> None:
    """Remove a key from the store for good; at the gateway it goes on existing."""
    from raptchat.credentials import CredentialService

    run = invocation(ctx)
    found = naming.find_credential(run.factory.store, credential)
    name = run.factory.store.groups.require(found.group_id).name
    run.confirm(f"deleting the key {found.key_hint} of group `{name}`", yes=yes)
    CredentialService(run.factory).delete(found.id)
    if run.json:
        return tables.document(run.terminal, documents.credential(found, name))
    return run.terminal.say(f"deleted the key {found.key_hint} of group `{name}`")


def _show(run: Invocation, found: Credential) -> None:
    from raptchat.store.sharing import shared_with

    store = run.factory.store
    name = store.groups.require(found.group_id).name
    shared = shared_with(store, [found], all_there_are=False).get(found.id, [])
    if run.json:
        return tables.document(run.terminal, documents.credential(found, name, shared))
    return tables.fields(
        run.terminal,
        [
            ("id", found.id),
            ("group", name),
            ("provider", found.provider),
            ("key", found.key_hint),
            ("label", found.label),
            ("for", found.base_url or found.endpoint),
            ("state", "active" if found.is_active else "inactive"),
            ("created", f"{when(found.created_at)} by {found.created_by}"),
            ("last used", when(found.last_used_at) if found.last_used_at else "never"),
            *([("shared with", ", ".join(shared))] if shared else []),
        ],
    )
