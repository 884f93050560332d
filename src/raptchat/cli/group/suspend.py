"""`raptchat group suspend` and `resume`: a group's keys out of use, here and at the gateway, and back."""

import typer

from raptchat import naming
from raptchat.cli import documents
from raptchat.cli.invocation import Invocation, invocation
from raptchat.cli.options import GroupArgument
from raptchat.records import Group
from raptchat.render import tables


def suspend(ctx: typer.Context, group: GroupArgument) -> None:
    """Let nobody ask with a group's keys: here, and at the gateway where there is a management key for it."""
    from raptchat.key_works import switches

    run = invocation(ctx)
    found = naming.find_group(run.factory.store, group)
    switches.suspend(run.factory, found, tell=run.terminal.say)
    _shown(
        run, found, f"group `{found.name}` is suspended; raptchat group resume {naming.as_argument(found.name)}"
    )


def resume(ctx: typer.Context, group: GroupArgument) -> None:
    """Let a suspended group ask again: at the gateway, then here."""
    from raptchat.key_works import switches

    run = invocation(ctx)
    found = naming.find_group(run.factory.store, group)
    switches.resume(run.factory, found, tell=run.terminal.say)
    _shown(run, found, f"group `{found.name}` may ask again")


def _shown(run: Invocation, group: Group, text: str) -> None:
    if not run.json:
        return run.terminal.say(text)
    changed = naming.find_group(run.factory.store, group.id)
    keys = run.factory.store.credentials.of_group(group.id)
    active = next((key for key in keys if key.is_active), None)
    return tables.document(run.terminal, {**documents.group(changed, active), "suspendedAt": changed.suspended_at})
