"""`raptchat group provision`: keys with caps, made at the gateway and sealed, for one group or a whole roster."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import typer

from raptchat import naming
from raptchat.cli import documents
from raptchat.cli import key_caps as of_key
from raptchat.cli.invocation import Invocation, invocation
from raptchat.cli.key_caps import ExpiresOption, LimitOption, ResetOption
from raptchat.config import check_model
from raptchat.errors import DuplicateCredentialError, RaptchatError, UsageError
from raptchat.providers import DEFAULT_PROVIDER
from raptchat.records import Credential
from raptchat.render import tables

if TYPE_CHECKING:
    from raptchat.cli.group.roster import RosterLine
    from raptchat.providers.key_info import KeyCaps

_Outcome = Literal["made", "would be made", "has a key already", "not reached"]


def provision(
    ctx: typer.Context,
    group: Annotated[str | None, typer.Argument(metavar="[G]", help="Made when it is not there.")] = None,
    limit: LimitOption = None,
    reset: ResetOption = None,
    expires: ExpiresOption = None,
    model: Annotated[str | None, typer.Option(metavar="M", help="The group's model.")] = None,
    from_: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="A CSV file of groups: name, limit, reset, expires, model."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --from: say what would be done, and do nothing.")
    ] = False,
) -> None:
    """Make a key at the gateway, with a cap and an end, and seal it for its group.

    It needs a management key (`raptchat account login`). With --from, groups that have a key are left as they are.
    """
    run = invocation(ctx)
    if from_ is not None:
        from raptchat.cli.group.roster import read_roster

        if group is not None or any(option is not None for option in (limit, reset, expires, model)):
            raise UsageError("with --from, groups and caps stand in the file", hint="leave out G and its options")
        return _provision_all(run, read_roster(from_, run.factory.store, DEFAULT_PROVIDER), dry_run=dry_run)
    if group is None:
        raise UsageError("which group gets a key is not said", hint="name it, or use --from FILE")
    if dry_run:
        raise UsageError("--dry-run goes with --from")
    return _provision_one(
        run, group, of_key.key_caps(limit, reset, expires), check_model(model) if model else None
    )


def _provision_one(run: Invocation, word: str, caps: "KeyCaps", model: str | None) -> None:
    from raptchat.credentials import CredentialService
    from raptchat.key_works import at_the_gateway, new_group, rotate_command

    store = run.factory.store
    found = naming.spelled_out(store, word)
    group = found or new_group(naming.new_name(store, word))
    try:
        if found:
            # Before anything is asked of vault and gateway.
            CredentialService(run.factory).check_free(found, DEFAULT_PROVIDER, replace=False)
        with at_the_gateway(run.factory, tell=run.terminal.say) as works:
            credential = works.provision(group, caps, model=model)
    except DuplicateCredentialError as error:
        error.hint = rotate_command(group.name)
        raise
    if run.json:
        return tables.document(
            run.terminal, {**documents.credential(credential, group.name), **of_key.document(caps)}
        )
    return run.terminal.say(
        f"group `{group.name}` now pays with the key {credential.key_hint}, made just now: {of_key.in_short(caps)}"
    )


class _Done(NamedTuple):
    line: "RosterLine"
    outcome: _Outcome
    credential: Credential | None = None

    @property
    def is_as_the_line_says(self) -> bool:
        """Whether caps and model of the line are those of the group, now or when it is done."""
        return self.outcome != "has a key already"


def _provision_all(run: Invocation, lines: "list[RosterLine]", *, dry_run: bool) -> None:
    from raptchat.key_works import at_the_gateway, new_group
    from raptchat.render.passing_line import PassingLine

    if dry_run:
        planned: list[_Outcome] = ["has a key already" if line.has_key else "would be made" for line in lines]
        return _report(run, [_Done(line, outcome) for line, outcome in zip(lines, planned, strict=True)])
    done: list[_Done] = []
    begun: RosterLine | None = None
    progress = PassingLine(run.terminal)
    try:
        with at_the_gateway(run.factory, tell=run.terminal.say) as works:
            for number, line in enumerate(lines, 1):
                if line.has_key:
                    done.append(_Done(line, "has a key already"))
                    continue
                begun = line
                progress.show(f"{number:,} of {len(lines):,}: making the key of group `{line.name}`")
                try:
                    made = works.provision(line.group or new_group(line.name), line.caps, model=line.model)
                    done.append(_Done(line, "made", made))
                except DuplicateCredentialError:  # given one since the roster was read
                    done.append(_Done(line, "has a key already"))
    except BaseException as error:
        progress.show("")
        if done:
            # Also after Ctrl-C: what was made stays.
            _report(run, done + [_Done(line, "not reached") for line in lines[len(done) :]])
        if begun is not None and isinstance(error, RaptchatError):
            run.terminal.say(f"stopped at line {begun.number}, group `{begun.name}`")
            again = "run it again: groups that have a key are left alone"
            error.hint = f"{error.hint}; then {again}" if error.hint else again
        raise
    progress.show("")
    return _report(run, done)


def _report(run: Invocation, done: list[_Done]) -> None:
    if run.json:
        from raptchat.providers.key_info import KeyCaps

        return tables.document(
            run.terminal,
            [
                {
                    "line": one.line.number,
                    "group": one.line.name,
                    "outcome": one.outcome,
                    "keyHint": one.credential.key_hint if one.credential else None,
                    "credentialId": one.credential.id if one.credential else None,
                    "model": one.line.model if one.is_as_the_line_says else None,
                    **of_key.document(one.line.caps if one.is_as_the_line_says else KeyCaps()),
                }
                for one in done
            ],
        )
    return tables.table(
        run.terminal,
        ["group", "outcome", "key", "cap", "model"],
        [
            [
                one.line.name,
                one.outcome,
                one.credential.key_hint if one.credential else None,
                of_key.in_short(one.line.caps) if one.is_as_the_line_says else None,
                one.line.model if one.is_as_the_line_says else None,
            ]
            for one in done
        ],
        empty="",
    )
