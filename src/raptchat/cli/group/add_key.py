"""`raptchat group add-key`: read a key, see to it that there is a vault, seal the key for its group."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from raptchat import naming, private_file
from raptchat.api_key import check_api_key
from raptchat.cli import documents, recovery
from raptchat.cli.first_vault import ensure_vault
from raptchat.cli.invocation import Invocation, ask_hidden, invocation
from raptchat.cli.options import NoRecoveryOption, ProviderOption
from raptchat.cli.piped import read_bytes, say_if_silent
from raptchat.errors import UsageError
from raptchat.providers import DEFAULT_PROVIDER, check_known
from raptchat.records import Credential, Group
from raptchat.render import tables
from raptchat.secret import Secret

# Far more than any key; a file piped in by mistake is not read to its end.
_MOST_KEY_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class AddKey:
    """What `group add-key` was asked for."""

    group: str
    provider: str = DEFAULT_PROVIDER
    label: str | None = None
    base_url: str | None = None
    replace: bool = False
    allow_shared: bool = False
    stdin: bool = False
    from_env: str | None = None
    key_file: Path | None = None
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
    allow_shared: Annotated[
        bool, typer.Option("--allow-shared", help="Take a key that another group has.")
    ] = False,
    stdin: Annotated[bool, typer.Option("--stdin", help="Read the key from standard input.")] = False,
    from_env: Annotated[
        str | None, typer.Option(metavar="VAR", help="Read the key from this environment variable.")
    ] = None,
    key_file: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Read the key from this file, which only you can read.")
    ] = None,
    no_recovery: NoRecoveryOption = False,
    key: Annotated[str | None, typer.Option("--key", "--api-key", hidden=True)] = None,
) -> None:
    """Give a group its API key, typed at a hidden prompt; the group is made when it is not there."""
    if key is not None or ctx.args:
        raise UsageError(
            "an API key is never an argument: it would stay in the shell's history and in process lists",
            hint="leave it out and type it when asked, or use --stdin, --from-env VAR or --key-file PATH",
        )
    wanted = AddKey(
        group, provider, label, base_url, replace, allow_shared, stdin, from_env, key_file, not no_recovery
    )
    run_add_key(wanted, invocation(ctx))


def run_add_key(wanted: AddKey, run: Invocation) -> None:
    """Read the key, see to it that there is a vault, then make the group and the credential together.

    Only then is a person asked about a recovery key: the API key, which is often shown once only, is safe by then.
    """
    from raptchat.credentials import CredentialService
    from raptchat.vault.hardening import harden

    store = run.factory.store
    check_known(wanted.provider)
    group = _existing(run, wanted.group)
    name = group.name if group else _new_name(run, wanted.group)
    service = CredentialService(run.factory)
    if group is not None:
        service.check_free(group, wanted.provider, replace=wanted.replace)
    harden()
    key = Secret(check_api_key(_read_key(wanted, name, run)))
    vault_made = ensure_vault(run)

    def add() -> tuple[Group, Credential]:
        group = _existing(run, wanted.group) or store.groups.add(name)
        return group, service.create(
            group.id,
            key,
            provider=wanted.provider,
            label=wanted.label,
            base_url=wanted.base_url,
            replace=wanted.replace,
            allow_shared=wanted.allow_shared,
        )

    group, credential = service.atomically(add)
    if run.json:
        return tables.document(run.terminal, documents.credential(credential, group.name))
    run.terminal.say(f"group `{group.name}` now pays with the key {credential.key_hint}")
    if vault_made and wanted.recovery:
        recovery.offer(run)
    return None


def _read_key(wanted: AddKey, name: str, run: Invocation) -> str:
    sources = [wanted.stdin, wanted.from_env is not None, wanted.key_file is not None]
    if sum(sources) > 1:
        raise UsageError("the key can come from one place only", hint="one of --stdin, --from-env, --key-file")
    if wanted.stdin:
        say_if_silent(run.terminal, "--stdin reads the key there")
        try:
            return read_bytes(_MOST_KEY_BYTES).decode()
        except UnicodeDecodeError:
            raise UsageError("the API key on standard input is not text") from None
    if wanted.from_env is not None:
        value = os.environ.get(wanted.from_env)
        if value is None:
            raise UsageError("the variable that --from-env names is not set", hint="--from-env takes its name")
        return value
    if wanted.key_file is not None:
        return private_file.read_line(wanted.key_file, "file with the key")
    return ask_hidden(f"API key for group {name} (not shown): ")


def _new_name(run: Invocation, word: str) -> str:
    """*word* as a new group's name; one that could mean a group that is there is refused."""
    name = naming.check_name(word)
    groups = run.factory.store.groups.with_prefix(name.lower()) if len(name) >= naming.MIN_PREFIX_LENGTH else []
    if groups:
        raise UsageError(
            f"`{name}` is the beginning of the id of group `{groups[0].name}`",
            hint=naming.add_key_command(groups[0].name),
        )
    return name


def _existing(run: Invocation, word: str) -> Group | None:
    """The group by name or whole id; a prefix never adds a key to a group that was not spelled out."""
    groups = run.factory.store.groups
    return groups.named(word.strip()) or groups.get(word.strip().lower())
