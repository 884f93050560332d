"""`raptchat group list`, `create`, `show` and what else is done with a group itself."""

from pathlib import Path
from typing import Annotated

import typer

from raptchat import naming
from raptchat.cli import documents
from raptchat.cli.group.rules import (
    DenyTrainingOption,
    MaxCostOption,
    ModelsOption,
    NoHistoryOption,
    ZdrOption,
    columns,
    rules,
    shown,
    shown_budget,
)
from raptchat.cli.invocation import Invocation, invocation
from raptchat.cli.options import GroupArgument, YesOption, working_folder
from raptchat.config import check_model
from raptchat.errors import DuplicateGroupError, UsageError
from raptchat.outside import is_utf8
from raptchat.providers import check_known
from raptchat.records import Credential, Group, Policy
from raptchat.render import tables
from raptchat.render.formats import when

ModelOption = Annotated[str | None, typer.Option(metavar="M", help="The group's model.")]
SystemOption = Annotated[str | None, typer.Option(metavar="TEXT", help="The group's system prompt.")]
DescriptionOption = Annotated[str | None, typer.Option(metavar="TEXT", help="A line about the group.")]
GroupProviderOption = Annotated[
    str | None, typer.Option(metavar="P", help="Where its requests go, with active keys for several providers.")
]


def list_(ctx: typer.Context) -> None:
    """List the groups."""
    run = invocation(ctx)
    with run.factory.store.snapshot():
        groups = run.factory.store.groups.all()
        keys = {one.group_id: one for one in run.factory.store.credentials.all() if one.is_active}
    if run.json:
        return tables.document(run.terminal, [documents.group(group, keys.get(group.id)) for group in groups])
    rows = [[group.name, *_hint_and_use(keys.get(group.id)), group.model, group.description] for group in groups]
    return tables.table(
        run.terminal,
        ["group", "key", "last used", "model", "description"],
        rows,
        empty="there is no group yet: raptchat group add-key NAME makes one with its key",
    )


def create(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="1 to 64 characters.")],
    model: ModelOption = None,
    system: SystemOption = None,
    description: DescriptionOption = None,
    provider: GroupProviderOption = None,
    models: ModelsOption = None,
    zdr: ZdrOption = None,
    deny_training: DenyTrainingOption = None,
    max_cost: MaxCostOption = None,
    no_history: NoHistoryOption = None,
) -> None:
    """Make a group; its key is added with `group add-key`."""
    run = invocation(ctx)
    checked = naming.check_name(name)
    changed = rules(models, zdr, deny_training, max_cost, no_history)
    values = {**_values(model, system, description, provider), **columns(Policy(), changed)}
    with run.factory.store.write():
        _refuse_taken(run, checked)
        made = run.factory.store.groups.add(checked)
        if values:
            run.factory.store.groups.set(made.id, **values)
        group = naming.find_group(run.factory.store, made.id)
    _shown(run, group, f"made group `{group.name}`; its key: {naming.add_key_command(group.name)}")


def show(ctx: typer.Context, group: GroupArgument) -> None:
    """Show a group."""
    run = invocation(ctx)
    found = naming.find_group(run.factory.store, group)
    key = _active_key(run, found)
    if run.json:
        return tables.document(run.terminal, documents.group(found, key))
    hint, used = _hint_and_use(key)
    return tables.fields(
        run.terminal,
        [
            ("name", found.name),
            ("id", found.id),
            ("description", found.description),
            ("model", found.model),
            ("system", found.system_prompt),
            ("provider", found.provider),
            ("rules", shown(found.policy)),
            ("budget", shown_budget(found.budget) if found.budget else None),
            ("suspended", when(found.suspended_at) if found.suspended_at else None),
            ("key", hint),
            ("last used", used),
            ("created", when(found.created_at)),
        ],
    )


def set_(
    ctx: typer.Context,
    group: GroupArgument,
    model: ModelOption = None,
    system: SystemOption = None,
    description: DescriptionOption = None,
    provider: GroupProviderOption = None,
    models: ModelsOption = None,
    zdr: ZdrOption = None,
    deny_training: DenyTrainingOption = None,
    max_cost: MaxCostOption = None,
    no_history: NoHistoryOption = None,
) -> None:
    """Change what belongs to a group; an empty text takes a setting away."""
    run = invocation(ctx)
    values = _values(model, system, description, provider)
    changed = rules(models, zdr, deny_training, max_cost, no_history)
    if not values and not changed:
        raise UsageError("nothing to set", hint="raptchat group set --help lists what can be")
    with run.factory.store.write():
        found = naming.find_group(run.factory.store, group)
        run.factory.store.groups.set(found.id, **values, **columns(found.policy, changed))
        found = naming.find_group(run.factory.store, found.id)
    _shown(run, found, f"changed group `{found.name}`")


def rename(ctx: typer.Context, group: GroupArgument, name: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """Give a group another name; its keys are sealed anew for it."""
    from raptchat.credentials import CredentialService

    run = invocation(ctx)
    found = naming.find_group(run.factory.store, group)
    checked = naming.check_name(name)
    CredentialService(run.factory).rename_group(found, checked)
    renamed = naming.find_group(run.factory.store, found.id)
    _shown(run, renamed, f"group `{found.name}` is now `{renamed.name}`")


def bind(ctx: typer.Context, group: GroupArgument) -> None:
    """Tie this folder, and all below it, to a group; the tie is kept in the store."""
    run = invocation(ctx)
    found = naming.find_group(run.factory.store, group)
    folder = _folder()
    with run.factory.store.write():
        run.factory.store.groups.bind(folder, found.id)
    _shown(run, found, f"in {folder} and below, group `{found.name}` pays")


def unbind(ctx: typer.Context) -> None:
    """Untie this folder from its group."""
    run = invocation(ctx)
    folder = _folder()
    with run.factory.store.write():
        untied = run.factory.store.groups.unbind(folder)
    if not untied:
        raise UsageError(f"the folder {folder} is not tied to a group", hint="raptchat whoami")
    if run.json:
        return tables.document(run.terminal, {"unbound": str(folder)})
    return run.terminal.say(f"{folder} is tied to no group any more")


def remove(
    ctx: typer.Context,
    group: GroupArgument,
    revoke: Annotated[
        bool, typer.Option("--revoke", help="Delete its keys at the gateway too, with the management key.")
    ] = False,
    yes: YesOption = False,
) -> None:
    """Remove a group with its keys and sessions; its usage stays in the ledger."""
    from raptchat.credentials import CredentialService

    run = invocation(ctx)
    found = naming.find_group(run.factory.store, group)
    if not revoke:
        there = "; --revoke deletes its keys at the gateway too" if run.factory.store.management.keys() else ""
        run.confirm(f"removing group `{found.name}` with its keys and sessions{there}", yes=yes)
        CredentialService(run.factory).remove_group(found)
        _clear_away(run, found)
    else:
        from raptchat.key_works.revoking import revoking

        run.confirm(f"removing group `{found.name}` with its sessions, and its keys at the gateway too", yes=yes)
        with revoking(run.factory, found, tell=run.terminal.say):
            _clear_away(run, found)
    _shown(run, found, f"removed group `{found.name}`")


def _clear_away(run: Invocation, group: Group) -> None:
    """What the store does not hold of a group that was removed, and what the file still does."""
    from raptchat.cli.scrub import scrub

    paths = run.factory.settings.paths
    for file in (paths.history_file(group.id), paths.models_file(group.id)):
        try:
            file.unlink(missing_ok=True)
        except OSError as error:
            run.terminal.say(f"`{file}` is left behind: {error.strerror}")
    scrub(run)


def _active_key(run: Invocation, group: Group) -> Credential | None:
    return next((one for one in run.factory.store.credentials.of_group(group.id) if one.is_active), None)


def _hint_and_use(key: Credential | None) -> tuple[str | None, str | None]:
    if key is None:
        return None, None
    return key.key_hint, when(key.last_used_at) if key.last_used_at else "never"


def _refuse_taken(run: Invocation, name: str) -> None:
    taken = run.factory.store.groups.named(name)
    if taken is not None:
        raise DuplicateGroupError(f"there is a group `{taken.name}` already", hint="raptchat group list")


def _values(
    model: str | None, system: str | None, description: str | None, provider: str | None
) -> dict[str, str | None]:
    if model:
        check_model(model)
    if provider:
        check_known(provider)
    given = {"model": model, "system_prompt": system, "description": description, "provider": provider}
    return {name: value or None for name, value in given.items() if value is not None}


def _folder() -> Path:
    folder = working_folder()
    if folder is None:
        raise UsageError("the working folder is gone")
    if not is_utf8(str(folder)):
        raise UsageError("the name of the working folder is not valid UTF-8", hint="bind a folder above it")
    return folder


def _shown(run: Invocation, group: Group, text: str) -> None:
    if run.json:
        tables.document(run.terminal, documents.group(group, _active_key(run, group)))
    else:
        run.terminal.say(text)
