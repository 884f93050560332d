"""`raptchat group rotate-key`: another key with the same caps, and the old one ended."""

import typer

from raptchat import naming
from raptchat.cli import documents
from raptchat.cli.invocation import invocation
from raptchat.cli.key_caps import document, in_short
from raptchat.cli.options import GroupArgument
from raptchat.render import tables


def rotate_key(ctx: typer.Context, group: GroupArgument) -> None:
    """Make a new key with the same caps at the gateway, put it in use, and delete the old one there.

    What was used of the cap counts from 0 again.
    """
    from raptchat.key_works import at_the_gateway

    run = invocation(ctx)
    found = naming.find_group(run.factory.store, group)
    with at_the_gateway(run.factory, tell=run.terminal.say) as works:
        rotated = works.rotate(found)
    if run.json:
        return tables.document(
            run.terminal, {**documents.credential(rotated.new, found.name), **document(rotated.caps)}
        )
    return run.terminal.say(
        f"group `{found.name}` now pays with the key {rotated.new.key_hint}: {in_short(rotated.caps)};"
        f" the old one, {rotated.old.key_hint}, is deleted at the gateway"
    )
