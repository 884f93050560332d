"""`raptchat group add-key`: read a key, see to it that there is a vault, seal the key for its group."""

from dataclasses import dataclass
from enum import Enum
from typing import Annotated

import typer

from raptchat import naming
from raptchat.cli import documents, recovery
from raptchat.cli.first_vault import ensure_vault
from raptchat.cli.invocation import Invocation, invocation
from raptchat.cli.key_sources import TYPED, GivenKey, KeySource, read_key
from raptchat.cli.options import (
    AllowSharedOption,
    FromEnvOption,
    KeyFileOption,
    NoRecoveryOption,
    ProviderOption,
    StdinOption,
)
from raptchat.errors import AuthenticationFailedError, GatewayError, RaptchatError, UsageError
from raptchat.providers import DEFAULT_PROVIDER, check_base_url, check_known
from raptchat.records import Credential, Group
from raptchat.render import tables

# A person waits for it, who may have no network.
_VERIFY_SECONDS = 10.0


class Verify(Enum):
    """Whether the gateway is asked about the key first, and whether it must answer."""

    NO = "no"
    IF_REACHABLE = "if it can be reached"
    YES = "yes"


@dataclass(frozen=True, slots=True)
class AddKey:
    """What `group add-key` was asked for."""

    group: str
    provider: str = DEFAULT_PROVIDER
    label: str | None = None
    base_url: str | None = None
    replace: bool = False
    allow_shared: bool = False
    source: KeySource = TYPED
    verify: Verify = Verify.NO
    recovery: bool = True


def add_key(
    ctx: typer.Context,
    group: Annotated[str, typer.Argument(metavar="G", help="Made when it is not there.")],
    provider: ProviderOption = DEFAULT_PROVIDER,
    label: Annotated[str | None, typer.Option(metavar="L", help="A word to tell keys apart.")] = None,
    base_url: Annotated[
        str | None, typer.Option(metavar="URL", help="Where this key may be sent, instead of the gateway.")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Retire the active key.")] = False,
    allow_shared: AllowSharedOption = False,
    stdin: StdinOption = False,
    from_env: FromEnvOption = None,
    key_file: KeyFileOption = None,
    reference: Annotated[
        bool, typer.Option("--reference", help="Keep the path alone; the file is read whenever the key is needed.")
    ] = False,
    key_command: Annotated[
        str | None,
        typer.Option(metavar="CMD", help="Keep this command, which prints the key, and run it when it is needed."),
    ] = None,
    login: Annotated[bool, typer.Option("--login", help="Have the gateway make a key, in the browser.")] = False,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="With --login: show the address, and ask for the code.")
    ] = False,
    no_key: Annotated[
        bool, typer.Option("--no-key", help="The gateway asks for none; with --provider openai-compatible.")
    ] = False,
    verify: Annotated[
        bool | None,
        typer.Option(
            "--verify/--no-verify",
            help="Ask the gateway about the key before it is stored; at a terminal this is done if it answers.",
            show_default=False,
        ),
    ] = None,
    no_recovery: NoRecoveryOption = False,
    key: Annotated[str | None, typer.Option("--key", "--api-key", hidden=True)] = None,
) -> None:
    """Give a group its API key, typed at a hidden prompt; the group is made when it is not there.

    CMD is run without a shell, for 30 seconds at most, and must print the key alone on one line.
    """
    if key is not None or ctx.args:
        raise UsageError(
            "an API key is never an argument: it would stay in the shell's history and in process lists",
            hint="leave it out and type it when asked, or use --stdin, --from-env VAR or --key-file PATH",
        )
    run = invocation(ctx)
    if verify is None:
        # A key that the gateway makes just now is good.
        asked = Verify.IF_REACHABLE if run.terminal.err_is_tty and not login else Verify.NO
    else:
        asked = Verify.YES if verify else Verify.NO
    source = KeySource(stdin, from_env, key_file, reference, key_command, login, not no_browser, no_key)
    wanted = AddKey(group, provider, label, base_url, replace, allow_shared, source, asked, not no_recovery)
    run_add_key(wanted, run)


def run_add_key(wanted: AddKey, run: Invocation) -> None:
    """Read the key, have it checked, see to it that there is a vault, then make group and credential together.

    Only then is a person asked about a recovery key: the API key, which is often shown once only, is safe by then.
    """
    from raptchat.credentials import CredentialService, checked_url
    from raptchat.vault.hardening import harden

    store = run.factory.store
    check_known(wanted.provider)
    wanted.source.check(wanted.provider)
    own_url = checked_url(wanted.base_url) if wanted.base_url is not None else None
    check_base_url(wanted.provider, own_url)
    gateway_url = own_url or run.factory.settings.gateway_url
    group = naming.spelled_out(store, wanted.group)
    name = group.name if group else naming.new_name(store, wanted.group)
    service = CredentialService(run.factory)
    if group is not None:
        service.check_free(group, wanted.provider, replace=wanted.replace)
    harden()
    # A key that the gateway makes here is shown to nobody: it must have its place before.
    vault_made = wanted.source.login and ensure_vault(run)
    given = read_key(wanted.source, run, group=name, provider=wanted.provider, gateway_url=gateway_url)

    def add() -> tuple[Group, Credential]:
        group = naming.spelled_out(store, wanted.group) or store.groups.add(name)
        return group, service.create(
            group.id,
            given.sealed,
            provider=wanted.provider,
            label=wanted.label or (name if wanted.source.login else None),
            base_url=wanted.base_url,
            replace=wanted.replace,
            allow_shared=wanted.allow_shared,
            kind=given.kind,
            resolved=given.key,
        )

    try:
        _verify(wanted, given, run)
        vault_made = ensure_vault(run) or vault_made
        group, credential = service.atomically(add)
    except RaptchatError as error:
        if wanted.source.login:
            error.hint = _where_it_was_made(name)
        raise
    if run.json:
        return tables.document(run.terminal, documents.credential(credential, group.name))
    run.terminal.say(_done(group, credential))
    if vault_made and wanted.recovery:
        recovery.offer(run)
    return None


def _verify(wanted: AddKey, given: GivenKey, run: Invocation) -> None:
    """Ask the gateway about the key; nothing is stored when it refuses it, or does not answer and must."""
    if wanted.verify is Verify.NO:
        return
    from raptchat.key_checks import check_key

    try:
        check_key(
            run.factory,
            provider=wanted.provider,
            base_url=wanted.base_url,
            key=given.key,
            timeout=_VERIFY_SECONDS,
        )
    except AuthenticationFailedError:
        raise
    except GatewayError as error:
        if wanted.verify is Verify.YES:
            raise
        run.terminal.say(f"the key was not checked: {error}")


def _where_it_was_made(name: str) -> str:
    from raptchat.login import key_name

    return f"delete the key `{key_name(name)}` at the gateway, which is stored nowhere, and try again"


def _done(group: Group, credential: Credential) -> str:
    match credential.kind:
        case "key":
            return f"group `{group.name}` now pays with the key {credential.key_hint}"
        case "none":
            return f"group `{group.name}` now asks {credential.endpoint}, without a key"
        case _:
            return (
                f"group `{group.name}` now pays with the key that {credential.key_hint} gives, when it is needed"
            )
