"""`raptchat whoami`: which group would pay, and why."""

import typer

from raptchat.cli.budget_left import left_in_words, standing_of
from raptchat.cli.invocation import Invocation, invocation
from raptchat.cli.options import GroupOption, choose_group
from raptchat.errors import DecryptionFailedError
from raptchat.naming import add_key_command
from raptchat.records import Credential, Group
from raptchat.render import tables


def whoami(ctx: typer.Context, group: GroupOption = None) -> None:
    """Say which group would pay and why, with its key's hint, the model and the vault."""
    from raptchat.credentials import CredentialService

    run = invocation(ctx)
    settings, store = run.factory.settings, run.factory.store
    if not run.json:
        for name in settings.ignored_key_variables:
            run.terminal.say(f"note: {name} is set, and ignored: each group pays with its own key")
    chosen = choose_group(run, group)
    credentials = CredentialService(run.factory)
    provider = credentials.provider_of(chosen.group)
    credential = credentials.get_active_for_group(chosen.group.id, provider)
    model = settings.model_named(chosen.group.model or settings.default_model)
    slots = store.vault.kinds()
    standing = standing_of(run, chosen.group)
    gateway = credentials.url_of(credential) if credential else settings.gateway_url
    if run.json:
        from raptchat.cli import documents

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
                "budget": documents.standing(standing) if standing else None,
                "vault": slots,
                "store": str(settings.paths.store),
                "ignoredVariables": list(settings.ignored_key_variables),
            },
        )
    tables.fields(
        run.terminal,
        [
            ("group", f"{chosen.group.name} (chosen by {chosen.reason})"),
            ("key", _key(run, chosen.group, credential)),
            ("model", model),
            ("gateway", gateway),
            *([("budget", left_in_words(standing))] if standing else []),
            ("vault", ", ".join(slots) or "none yet"),
            ("store", str(settings.paths.store)),
        ],
    )
    return None


def _key(run: Invocation, group: Group, credential: Credential | None) -> str:
    from raptchat.credentials import CredentialService

    if credential is None:
        return f"none: {add_key_command(group.name)}"
    try:
        CredentialService(run.factory).check_endpoint(credential)
    except DecryptionFailedError as error:
        return f"{credential.key_hint}, refused: {error}"
    return credential.key_hint
