"""`raptchat whoami`: which group would pay, and why."""

import typer

from raptchat.cli.invocation import invocation
from raptchat.cli.options import GroupOption, choose_group
from raptchat.providers import DEFAULT_PROVIDER
from raptchat.render import tables


def whoami(ctx: typer.Context, group: GroupOption = None) -> None:
    """Say which group would pay and why, with its key's hint, the model and the vault."""
    run = invocation(ctx)
    chosen = choose_group(run, group)
    settings, store = run.factory.settings, run.factory.store
    provider = chosen.group.provider or DEFAULT_PROVIDER
    credential = store.credentials.active(chosen.group.id, provider)
    model = chosen.group.model or settings.default_model
    slots = store.vault.kinds()
    gateway = (credential.base_url if credential else None) or settings.gateway_url
    if run.json:
        return tables.document(
            run.terminal,
            {
                "group": chosen.group.name,
                "groupId": chosen.group.id,
                "reason": chosen.reason,
                "provider": provider,
                "credentialId": credential.id if credential else None,
                "keyHint": credential.key_hint if credential else None,
                "model": model,
                "gateway": gateway,
                "vault": slots,
                "store": str(settings.paths.store),
                "ignoredVariables": list(settings.ignored_key_variables),
            },
        )
    tables.fields(
        run.terminal,
        [
            ("group", f"{chosen.group.name} (chosen by {chosen.reason})"),
            ("key", credential.key_hint if credential else "none: raptchat group add-key"),
            ("model", model),
            ("gateway", gateway),
            ("vault", ", ".join(slots) or "none yet"),
            ("store", str(settings.paths.store)),
        ],
    )
    for name in settings.ignored_key_variables:
        run.terminal.say(f"note: {name} is set, and ignored: each group pays with its own key")
    return None
