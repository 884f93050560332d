"""`raptchat group cap`: the most that the group's key may cost, kept by the gateway."""

from typing import Annotated

import typer

from raptchat import naming
from raptchat.cli import documents
from raptchat.cli.invocation import invocation
from raptchat.cli.key_caps import document, in_short, reset_word
from raptchat.cli.options import GroupArgument, amount_or_none
from raptchat.errors import UsageError
from raptchat.render import tables

_NEVER = "never"


def cap(
    ctx: typer.Context,
    group: GroupArgument,
    most: Annotated[str, typer.Argument(metavar="AMOUNT|none", help="In US dollars; none takes the cap away.")],
    reset: Annotated[
        str | None,
        typer.Option(metavar="EACH", help="When it counts from 0 again: daily, weekly, monthly (UTC), or never."),
    ] = None,
) -> None:
    """Change what the group's key may cost; the gateway refuses it from there on."""
    from raptchat.key_works import at_the_gateway, switches
    from raptchat.store.money import in_words

    run = invocation(ctx)
    limit = amount_or_none(most, "AMOUNT", zero=True)
    if limit is None and reset is not None:
        raise UsageError("`--reset` goes with an amount: without a cap nothing counts anew")
    changes: dict[str, str | None] = {}
    if reset is not None:
        word = reset_word(reset, "--reset", also=(_NEVER,))
        changes["limit_reset"] = None if word == _NEVER else word
    found = naming.find_group(run.factory.store, group)
    with at_the_gateway(run.factory, tell=run.terminal.say) as works:
        credential, info = switches.cap(works, run.factory, found, limit, **changes)
    if run.json:
        return tables.document(
            run.terminal,
            {
                **documents.credential(credential, found.name),
                **document(info),
                "used": documents.money(info.usage),
                "left": documents.money(info.limit_remaining),
            },
        )
    used = f"; {in_words(info.usage)} used until now" if info.usage is not None else ""
    return run.terminal.say(f"the key {credential.key_hint} of group `{found.name}`: {in_short(info)}{used}")
