"""`raptchat group`: who pays, and the key it pays with."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from raptchat import naming, private_file
from raptchat.api_key import check_api_key
from raptchat.cli import documents
from raptchat.cli.invocation import Command, Invocation, ask_hidden, invocation, noun
from raptchat.cli.options import GroupArgument, ProviderOption, YesOption, is_text, working_folder
from raptchat.config import check_model
from raptchat.errors import DuplicateGroupError, UsageError, VaultUnavailableError
from raptchat.providers import DEFAULT_PROVIDER, check_known
from raptchat.records import Credential, Group
from raptchat.render import tables
from raptchat.render.formats import when
from raptchat.secret import Secret

app = noun("Groups: who pays, and who owns the conversations.")

# Far more than any key; a file piped in by mistake is not read to its end.
_MOST_KEY_BYTES = 64 * 1024

ModelOption = Annotated[str | None, typer.Option(metavar="M", help="The group's model.")]
SystemOption = Annotated[str | None, typer.Option(metavar="TEXT", help="The group's system prompt.")]
DescriptionOption = Annotated[str | None, typer.Option(metavar="TEXT", help="A line about the group.")]
GroupProviderOption = Annotated[
    str | None, typer.Option(metavar="P", help="Where its requests go, with active keys for several providers.")
]


@app.command("list", cls=Command)
def list_(ctx: typer.Context) -> None:
    """List the groups."""
    run = invocation(ctx)
    groups = run.factory.store.groups.all()
    if run.json:
        return tables.document(run.terminal, [documents.group(group) for group in groups])
    keys: dict[str, Credential] = {
        credential.group_id: credential
        for credential in run.factory.store.credentials.all()
        if credential.is_active
    }
    rows = []
    for group in groups:
        key = keys.get(group.id)
        used = when(key.last_used_at) if key and key.last_used_at else None
        rows.append([group.name, key.key_hint if key else None, used, group.model, group.description])
    return tables.table(
        run.terminal,
        ["group", "key", "last used", "model", "description"],
        rows,
        empty="there is no group yet: raptchat group add-key NAME makes one with its key",
    )


@app.command(cls=Command)
def create(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="1 to 64 characters.")],
    model: ModelOption = None,
    system: SystemOption = None,
    description: DescriptionOption = None,
    provider: GroupProviderOption = None,
) -> None:
    """Make a group; its key is added with `group add-key`."""
    run = invocation(ctx)
    checked = naming.check_name(name)
    values = _values(model, system, description, provider)
    with run.factory.store.write():
        _refuse_taken(run, checked)
        made = run.factory.store.groups.add(checked)
        if values:
            run.factory.store.groups.set(made.id, **values)
        group = naming.find_group(run.factory.store, made.id)
    _shown(
        run, group, f"made group `{group.name}`; its key: raptchat group add-key {naming.as_argument(group.name)}"
    )


@app.command(cls=Command)
def show(ctx: typer.Context, group: GroupArgument) -> None:
    """Show a group."""
    run = invocation(ctx)
    found = naming.find_group(run.factory.store, group)
    if run.json:
        return tables.document(run.terminal, documents.group(found))
    return tables.fields(
        run.terminal,
        [
            ("name", found.name),
            ("id", found.id),
            ("description", found.description),
            ("model", found.model),
            ("system", found.system_prompt),
            ("provider", found.provider),
            ("created", when(found.created_at)),
        ],
    )


@app.command("set", cls=Command)
def set_(
    ctx: typer.Context,
    group: GroupArgument,
    model: ModelOption = None,
    system: SystemOption = None,
    description: DescriptionOption = None,
    provider: GroupProviderOption = None,
) -> None:
    """Change what belongs to a group; an empty text takes a setting away."""
    run = invocation(ctx)
    values = _values(model, system, description, provider)
    if not values:
        raise UsageError("nothing to set", hint="--model, --system, --description or --provider")
    with run.factory.store.write():
        found = naming.find_group(run.factory.store, group)
        run.factory.store.groups.set(found.id, **values)
        changed = naming.find_group(run.factory.store, found.id)
    _shown(run, changed, f"changed group `{changed.name}`")


@app.command(cls=Command)
def rename(ctx: typer.Context, group: GroupArgument, name: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """Give a group another name; its keys are sealed anew for it."""
    from raptchat.credentials import CredentialService

    run = invocation(ctx)
    found = naming.find_group(run.factory.store, group)
    checked = naming.check_name(name)
    _refuse_taken(run, checked, but=found)
    CredentialService(run.factory).rename_group(found, checked)
    renamed = naming.find_group(run.factory.store, found.id)
    _shown(run, renamed, f"group `{found.name}` is now `{renamed.name}`")


@app.command(cls=Command)
def bind(ctx: typer.Context, group: GroupArgument) -> None:
    """Tie this folder, and all below it, to a group; the tie is kept in the store."""
    run = invocation(ctx)
    found = naming.find_group(run.factory.store, group)
    folder = _folder()
    with run.factory.store.write():
        run.factory.store.groups.bind(folder, found.id)
    _shown(run, found, f"in {folder} and below, group `{found.name}` pays")


@app.command(cls=Command)
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


@app.command(cls=Command)
def remove(ctx: typer.Context, group: GroupArgument, yes: YesOption = False) -> None:
    """Remove a group with its keys and sessions; its usage stays in the ledger."""
    run = invocation(ctx)
    found = naming.find_group(run.factory.store, group)
    run.confirm(f"removing group `{found.name}` with its keys and sessions", yes=yes)
    with run.factory.store.write():
        run.factory.store.groups.remove(found.id)
        caller = run.factory.caller
        run.factory.store.ledger.note(
            "group.remove",
            command=caller.command,
            os_user=caller.os_user,
            host=caller.host,
            group_id=found.id,
            group_name=found.name,
        )
    _shown(run, found, f"removed group `{found.name}`")


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


@app.command("add-key", cls=Command)
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
    key: Annotated[str | None, typer.Option("--key", "--api-key", hidden=True)] = None,
    words: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
) -> None:
    """Give a group its API key, typed at a hidden prompt; the group is made when it is not there."""
    if key is not None or words:
        raise UsageError(
            "an API key is never an argument: it would stay in the shell's history and in process lists",
            hint="leave it out and type it when asked, or use --stdin, --from-env VAR or --key-file PATH",
        )
    wanted = AddKey(group, provider, label, base_url, replace, allow_shared, stdin, from_env, key_file)
    run_add_key(wanted, invocation(ctx))


def run_add_key(wanted: AddKey, run: Invocation) -> None:
    """Read the key, see to it that there is a vault, then make the group and the credential together."""
    from raptchat.credentials import CredentialService

    store = run.factory.store
    check_known(wanted.provider)
    group = _existing(run, wanted.group)
    name = group.name if group else naming.check_name(wanted.group)
    service = CredentialService(run.factory)
    if group is not None:
        service.check_free(group, wanted.provider, replace=wanted.replace)
    key = Secret(check_api_key(_read_key(wanted, name)))
    _ensure_vault(run)
    with store.write():
        group = _existing(run, wanted.group) or store.groups.add(name)
        credential = service.create(
            group.id,
            key,
            provider=wanted.provider,
            label=wanted.label,
            base_url=wanted.base_url,
            replace=wanted.replace,
            allow_shared=wanted.allow_shared,
        )
    if run.json:
        return tables.document(run.terminal, documents.credential(credential, group.name))
    return run.terminal.say(f"group `{group.name}` now pays with the key {credential.key_hint}")


def _read_key(wanted: AddKey, name: str) -> str:
    sources = [wanted.stdin, wanted.from_env is not None, wanted.key_file is not None]
    if sum(sources) > 1:
        raise UsageError("the key can come from one place only", hint="one of --stdin, --from-env, --key-file")
    if wanted.stdin:
        if sys.stdin is None:
            raise UsageError("standard input is closed: there is no API key to read")
        data = sys.stdin.buffer.read(_MOST_KEY_BYTES)
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise UsageError("the API key on standard input is not text") from None
    if wanted.from_env is not None:
        value = os.environ.get(wanted.from_env)
        if value is None:
            raise UsageError(f"the variable `{wanted.from_env}` is not set")
        return value
    if wanted.key_file is not None:
        return private_file.read_line(wanted.key_file, "file with the key")
    return ask_hidden(f"API key for group {name} (not shown): ")


def _ensure_vault(run: Invocation) -> None:
    vault = run.factory.vault
    try:
        vault.ensure()
    except VaultUnavailableError as error:
        if vault.exists() or not (run.person_present and run.terminal.in_is_tty):
            raise
        run.terminal.say(f"{error}\nThe master key can be kept elsewhere: [f] a key file, [p] a passphrase.")
        run.terminal.write_error("Which? [f/p/N] ")
        match input().strip().lower():
            case "f":
                path = run.factory.settings.paths.config_file.with_name("master.key")
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                vault.init("file", path=path)
                run.terminal.say(f"the master key is in {path}: whoever has it and the store has the keys")
            case "p":
                vault.init("passphrase")
            case _:
                raise


def _existing(run: Invocation, word: str) -> Group | None:
    """The group by name or whole id; a prefix never adds a key to a group that was not spelled out."""
    groups = run.factory.store.groups
    return groups.named(word.strip()) or groups.get(word.strip().lower())


def _refuse_taken(run: Invocation, name: str, *, but: Group | None = None) -> None:
    taken = run.factory.store.groups.named(name)
    if taken is not None and (but is None or taken.id != but.id):
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
    if not is_text(folder):
        raise UsageError("the name of the working folder is not valid UTF-8", hint="bind a folder above it")
    return folder


def _shown(run: Invocation, group: Group, text: str) -> None:
    if run.json:
        tables.document(run.terminal, documents.group(group))
    else:
        run.terminal.say(text)
