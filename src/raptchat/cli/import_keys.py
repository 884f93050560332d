"""`raptchat import-keys`: keys that another chat client keeps in plain text, each for its group, sealed."""

import os
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from raptchat import naming
from raptchat.api_key import hint_of
from raptchat.cli import import_sessions, recovery
from raptchat.cli.invocation import Invocation, invocation
from raptchat.cli.options import AllowSharedOption, NoRecoveryOption, YesOption
from raptchat.cli.taking_over_keys import Named, Step, TakingOver
from raptchat.errors import NoGroupError, RaptchatError, UsageError
from raptchat.gateway_url import origin
from raptchat.outside import safe_line, without_keys
from raptchat.providers import DEFAULT_PROVIDER, check_known
from raptchat.render import tables

if TYPE_CHECKING:
    from raptchat.foreign_keys import FoundKey, KeyFile

_MOST_LISTED = 10


class Client(StrEnum):
    """Whose keys they are; `env` are the variables of this process."""

    LLM = "llm"
    AICHAT = "aichat"
    SHELL_GPT = "shell_gpt"
    FABRIC = "fabric"
    ENV = "env"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What `import-keys` was asked for; *groups* are those of `--map`, by the entry."""

    client: Client
    group: str | None
    groups: Mapping[str, str]
    provider: str | None
    dry_run: bool
    sessions: bool
    yes: bool


def import_keys(
    ctx: typer.Context,
    client: Annotated[
        Client,
        typer.Argument(metavar="CLIENT", help="llm, aichat, shell_gpt or fabric; or env, this environment."),
    ],
    group: Annotated[
        str | None, typer.Option("--group", "-g", metavar="NAME", help="The group of the one key that is found.")
    ] = None,
    map_: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="ENTRY=NAME", help="The group of one of several keys; repeatable."),
    ] = None,
    provider: Annotated[str | None, typer.Option(metavar="P", help="Only keys for this provider.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what is found.")] = False,
    sessions: Annotated[
        bool, typer.Option("--sessions", help="Take over the conversations too; of llm only.")
    ] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Retire a group's active key.")] = False,
    allow_shared: AllowSharedOption = False,
    remove: Annotated[
        bool, typer.Option("--remove", help="Remove what was taken over from the client's file.")
    ] = False,
    verify: Annotated[
        bool | None,
        typer.Option(
            "--verify/--no-verify",
            help="Ask the gateway about each key; without either, as far as it answers.",
            show_default=False,
        ),
    ] = None,
    yes: YesOption = False,
    no_recovery: NoRecoveryOption = False,
) -> None:
    """Take over the API keys that another chat client keeps in plain text.

    Each is sealed for the group that you name, and then taken out of the client's file if you say so.
    """
    from raptchat.vault.hardening import harden

    run = invocation(ctx)
    if sessions and client is not Client.LLM:
        raise UsageError("--sessions is for llm only", hint="raptchat import-keys llm --sessions")
    wanted = Wanted(client, group, _mapped(map_ or []), provider, dry_run, sessions, yes)
    if provider is not None:
        check_known(provider)
    # Before the first key is sealed: the second may not fail for a word.
    for word in [*filter(None, wanted.groups.values()), *([] if group is None else [group])]:
        naming.check_name(word)
    harden()
    files, steps = _found(run, wanted)
    may_ask = _may_ask(run, wanted)
    taking_over = TakingOver(run, replace=replace, allow_shared=allow_shared, verify=verify, may_ask=may_ask)
    taken, of_sessions, problem = None, None, None
    with closing(import_sessions.open_log()) if sessions else nullcontext() as log:
        if not dry_run:
            chosen = _chosen(run, wanted, steps)
            of_sessions = _group_of_sessions(run, wanted, set(chosen.values())) if sessions else None
            steps = [taking_over.take(step, chosen[step.named.name]) for step in steps]
            steps = taking_over.remove(steps, files, anyway=remove)
        if log is not None:
            try:
                taken = import_sessions.take_over(run, log, of_sessions)
            except RaptchatError as error:  # what became of the keys is shown all the same
                problem = error
    _show(run, wanted, files, steps, taken)
    if taking_over.vault_made and not no_recovery:
        recovery.offer(run)
    if problem := next((step.error for step in steps if step.error is not None), problem):
        raise problem


def _found(run: Invocation, wanted: Wanted) -> "tuple[list[KeyFile], list[Step]]":
    """The files that are there, and all keys in them; `UsageError` where there is neither key nor `--sessions`."""
    from raptchat import foreign_keys

    files: list[KeyFile] = []
    if wanted.client is Client.ENV:
        keys = foreign_keys.keys_of_environment(os.environ)
        looked = "of language models in the environment"
    else:
        files = foreign_keys.key_files(wanted.client, os.environ)
        keys = [key for file in files for key in file.keys]
        places = ", ".join(f"`{source.path}`" for source in foreign_keys.sources(wanted.client, os.environ))
        looked = f"of {wanted.client.value} in {safe_line(places)}"
    for file in files:
        if file.problem is not None:
            run.terminal.say(f"`{file.path}` {file.problem}")
        elif file.keys and file.others_read:
            run.terminal.say(f"others can read the keys in `{file.path}`")
    keys = [key for key in keys if wanted.provider in {None, key.provider}]
    if not keys and not wanted.sessions:
        raise UsageError(
            f"there are no keys {looked}",
            hint="raptchat doctor looks for keys of every client",
        )
    return files, [Step(named) for named in _named(run, keys)]


def _named(run: Invocation, keys: "Sequence[FoundKey]") -> list[Named]:
    """Each key with a name of its own: of several with one name the second is `NAME.2`."""
    entries = [safe_line(without_keys(key.entry)) for key in keys]
    taken, met = set(entries), Counter[str]()
    named = []
    for key, entry in zip(keys, entries, strict=True):
        name = entry
        met[entry] += 1
        while met[entry] > 1 and (name := f"{entry}.{met[entry]}") in taken:
            met[entry] += 1
        gateway_url = run.factory.settings.gateway_url
        # As `add-key` has it: what is for the gateway in use is not tied to one.
        is_its_own = key.provider == DEFAULT_PROVIDER and (
            key.base_url is None or origin(key.base_url) == origin(gateway_url)
        )
        base_url = None if is_its_own else key.base_url
        named.append(Named(name, key, base_url, origin(base_url or gateway_url)))
    return named


def _mapped(words: Sequence[str]) -> dict[str, str]:
    groups: dict[str, str] = {}
    for word in words:
        entry, equals, group = word.rpartition("=")
        if not equals or not entry:
            raise UsageError(
                "`--map` takes ENTRY=NAME", hint="such as --map openrouter=biology; ENTRY= leaves one out"
            )
        if groups.setdefault(entry, group) != group:
            raise UsageError(f"`--map` names two groups for `{safe_line(without_keys(entry))}`", hint="name one")
    return groups


def _may_ask(run: Invocation, wanted: Wanted) -> bool:
    return not wanted.yes and run.person_present and run.terminal.in_is_tty


def _chosen(run: Invocation, wanted: Wanted, steps: Sequence[Step]) -> dict[str, str]:
    """The group of each key, by its name; empty for one that is left alone."""
    usable = [step.named for step in steps if step.named.key.problem is None]
    if unknown := set(wanted.groups) - {one.name for one in usable}:
        raise UsageError(
            f"there is no usable key called `{safe_line(min(unknown))}`", hint=_listed(usable) or "--dry-run"
        )
    chosen = {step.named.name: "" for step in steps} | dict(wanted.groups)
    left = [one for one in usable if one.name not in wanted.groups]
    if wanted.group is not None:
        if len(left) > 1:
            raise UsageError(f"--group is for one key, and there are {len(left)}", hint=_listed(left))
        return chosen | {one.name: wanted.group for one in left}
    if not left or (wanted.groups and not _may_ask(run, wanted)):
        return chosen
    if not _may_ask(run, wanted):
        names = ", ".join(f"`{one.name}`" for one in left[:_MOST_LISTED])
        raise UsageError(
            f"it is not said which group pays with {names}",
            hint="--group NAME" if len(left) == 1 else _listed(left),
        )
    for one in left:
        try:
            place = one.key.path or "the environment"
            run.terminal.say(f"`{one.name}` in {place}: {hint_of(one.key.key)}, for {one.endpoint}")
            chosen[one.name] = _asked(run, "Which group pays with it? [Enter: none] ")
        except EOFError:
            break
    return chosen


def _listed(keys: Sequence[Named]) -> str:
    return " ".join(f"--map {shlex.quote(one.name)}=NAME" for one in keys[:_MOST_LISTED])


def _asked(run: Invocation, question: str) -> str:
    """A group that is there or can be made, or nothing."""
    while word := run.typed(question):
        try:
            if naming.spelled_out(run.factory.store, word) is None:
                naming.new_name(run.factory.store, word)
        except RaptchatError as error:
            run.terminal.say(str(error))
        else:
            break
    return word


def _group_of_sessions(run: Invocation, wanted: Wanted, of_keys: set[str]) -> str | None:
    """The group that conversations go to: `--group`, or the one that all keys go to, or the one that is typed."""
    if wanted.group is not None:
        return wanted.group
    if len(words := of_keys - {""}) == 1:
        return words.pop()
    if not _may_ask(run, wanted):
        raise NoGroupError("no group is chosen for the conversations", hint="--group NAME")
    try:
        return _asked(run, "Which group do the conversations belong to? [Enter: none] ") or None
    except EOFError:
        return None


def _show(
    run: Invocation,
    wanted: Wanted,
    files: "Sequence[KeyFile]",
    steps: Sequence[Step],
    taken: "import_sessions.Result | None",
) -> None:
    if run.json:
        return tables.document(
            run.terminal,
            {
                "client": wanted.client.value,
                "dryRun": wanted.dry_run,
                "files": [
                    {"path": str(file.path), "othersRead": file.others_read, "problem": file.problem}
                    for file in files
                ],
                "keys": [_document(step) for step in steps],
                "sessions": taken and taken.document(),
            },
        )
    if steps:
        tables.table(
            run.terminal,
            ["entry", "key", "for", "group", "what", "plain text"],
            [_row(step) for step in steps],
            empty="",
        )
    if taken is not None:
        taken.say(run.terminal)
    if wanted.dry_run:
        return run.terminal.say("nothing was changed")
    return None


def _row(step: Step) -> list[str | None]:
    named, key = step.named, step.named.key
    where = None if key.problem else named.endpoint
    return [
        named.name,
        hint_of(key.key),
        where,
        step.group.name if step.group else None,
        f"not usable: {key.problem}" if key.problem else step.action,
        "removed" if step.removed else str(key.path or "the environment"),
    ]


def _document(step: Step) -> dict[str, object]:
    key = step.named.key
    return {
        "entry": step.named.name,
        "file": str(key.path) if key.path else None,
        "keyHint": hint_of(key.key),
        "provider": key.provider,
        "endpoint": step.named.endpoint if key.problem is None else None,
        "problem": key.problem or (str(step.error) if step.error else None),
        "action": step.action if key.problem is None else "unusable",
        "group": step.group.name if step.group else None,
        "credentialId": step.credential_id,
        "removed": step.removed,
    }
