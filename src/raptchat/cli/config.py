"""`raptchat config`: the settings, and where each comes from."""

import os
from typing import Annotated

import typer

from raptchat.cli import config_file
from raptchat.cli.command import Command, noun
from raptchat.cli.invocation import Invocation, invocation
from raptchat.config import (
    ALIAS,
    Paths,
    Setting,
    Value,
    check_aliases,
    find_setting,
    parse_setting,
    read_settings,
)
from raptchat.errors import UsageError
from raptchat.render import tables

app = noun("Settings: in config.toml, or in the environment, which wins.")

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="A setting, or alias.NAME: a name of your own for a model.")
]


@app.command("list", cls=Command)
def list_(ctx: typer.Context) -> None:
    """List the settings, the aliases among them, and where each comes from."""
    run = invocation(ctx)
    settings = run.factory.settings
    if run.json:
        return tables.document(
            run.terminal,
            [
                {"name": name, "value": value.parsed, "source": value.source}
                for name, value in settings.values.items()
            ],
        )
    file = settings.paths.config_file
    for name in read_settings(file)[1]:
        run.terminal.say(f"note: `{name}` in {file} is no setting, and ignored")
    rows = [[name, value.text, value.source] for name, value in settings.values.items()]
    return tables.table(run.terminal, ["setting", "value", "from"], rows, empty="")


@app.command(cls=Command)
def get(ctx: typer.Context, name: NameArgument) -> None:
    """Show one setting's value."""
    run = invocation(ctx)
    setting = find_setting(name)
    value = _value(run, setting)
    if run.json:
        return tables.document(run.terminal, {"name": setting.name, "value": value.parsed, "source": value.source})
    return run.terminal.write_line(value.text)


@app.command("set", cls=Command)
def set_(ctx: typer.Context, name: NameArgument, value: Annotated[str, typer.Argument(metavar="VALUE")]) -> None:
    """Write one setting into config.toml; everything else in the file stays as it is."""
    run = invocation(ctx)
    setting = find_setting(name)
    parsed = parse_setting(setting, value, "the command line")
    path = Paths.find(store=run.store).config_file
    if setting.name.startswith(ALIAS):
        check_aliases({**read_settings(path)[0], setting.name: str(parsed)}, "the command line")
    config_file.change(path, setting, parsed)
    if run.json:
        return tables.document(run.terminal, {"name": setting.name, "value": parsed, "source": str(path)})
    _warn_if_hidden(run, setting)
    return run.terminal.say(f"{setting.name} is now {value}")


@app.command(cls=Command)
def unset(ctx: typer.Context, name: NameArgument) -> None:
    """Take one setting out of config.toml; its default holds again, and an alias is gone."""
    run = invocation(ctx)
    setting = find_setting(name)
    path = Paths.find(store=run.store).config_file
    if was_set := setting.name in read_settings(path)[0]:
        config_file.change(path, setting, None)
    if run.json:
        return tables.document(run.terminal, {"name": setting.name, "wasSet": was_set, "source": str(path)})
    _warn_if_hidden(run, setting)
    return run.terminal.say(f"{setting.name} is {'no longer' if was_set else 'not'} set in {path}")


@app.command(cls=Command)
def path(ctx: typer.Context) -> None:
    """Show where the settings are kept."""
    run = invocation(ctx)
    file = Paths.find(store=run.store).config_file
    if run.json:
        return tables.document(run.terminal, {"path": str(file)})
    return run.terminal.write_line(str(file))


def _value(run: Invocation, setting: Setting) -> Value:
    settings = run.factory.settings
    if setting.name not in settings.values:
        known = ", ".join(settings.aliases) or "none yet"
        raise UsageError(f"there is no `{setting.name}`", hint=f"aliases: {known}")
    return settings.values[setting.name]


def _warn_if_hidden(run: Invocation, setting: Setting) -> None:
    if setting.in_environment and os.environ.get(setting.name):
        run.terminal.say(f"note: the variable {setting.name} is set, and wins")
