"""`raptchat config`: the settings, and where each comes from."""

import json
import os
import re
import tempfile
import tomllib
from contextlib import suppress
from itertools import filterfalse
from pathlib import Path
from typing import Annotated

import typer

from raptchat.cli.invocation import Command, Invocation, invocation, noun
from raptchat.config import (
    SETTINGS,
    Paths,
    Setting,
    find_setting,
    parse_setting,
    read_config,
    setting_named,
)
from raptchat.errors import OutputError, UsageError
from raptchat.render import tables

app = noun("Settings: in config.toml, or in the environment, which wins.")

NameArgument = Annotated[str, typer.Argument(metavar="NAME")]


@app.command("list", cls=Command)
def list_(ctx: typer.Context) -> None:
    """List the settings, and where each comes from."""
    run = invocation(ctx)
    settings = run.factory.settings
    values = {setting.name: settings.values[setting.name] for setting in SETTINGS}
    if run.json:
        return tables.document(
            run.terminal,
            [{"name": name, "value": value.parsed, "source": value.source} for name, value in values.items()],
        )
    for name in filterfalse(setting_named, read_config(settings.paths.config_file)):
        run.terminal.say(f"note: `{name}` in {settings.paths.config_file} is no setting, and ignored")
    rows = [[name, value.text, value.source] for name, value in values.items()]
    return tables.table(run.terminal, ["setting", "value", "from"], rows, empty="")


@app.command(cls=Command)
def get(ctx: typer.Context, name: NameArgument) -> None:
    """Show one setting's value."""
    run = invocation(ctx)
    setting = find_setting(name)
    value = run.factory.settings.values[setting.name]
    if run.json:
        return tables.document(run.terminal, {"name": setting.name, "value": value.parsed, "source": value.source})
    return run.terminal.write(f"{value.text}\n")


@app.command("set", cls=Command)
def set_(ctx: typer.Context, name: NameArgument, value: Annotated[str, typer.Argument(metavar="VALUE")]) -> None:
    """Write one setting into config.toml; everything else in the file stays as it is."""
    run = invocation(ctx)
    setting = find_setting(name)
    parsed = parse_setting(setting, value, "the command line")
    path = Paths.find(store=run.store).config_file
    _write(path, _with_setting(path, setting, parsed))
    if run.json:
        return tables.document(run.terminal, {"name": setting.name, "value": parsed, "source": str(path)})
    _warn_if_hidden(run, setting)
    return run.terminal.say(f"{setting.name} is now {value}")


@app.command(cls=Command)
def path(ctx: typer.Context) -> None:
    """Show where the settings are kept."""
    run = invocation(ctx)
    file = Paths.find(store=run.store).config_file
    if run.json:
        return tables.document(run.terminal, {"path": str(file)})
    return run.terminal.write(f"{file}\n")


def _warn_if_hidden(run: Invocation, setting: Setting) -> None:
    if setting.in_environment and os.environ.get(setting.name):
        run.terminal.say(f"note: the variable {setting.name} is set, and wins")


def _with_setting(path: Path, setting: Setting, value: object) -> str:
    """The file's text with one setting changed, or added before the first table."""
    # First of all: what cannot be read is an error that says why.
    in_file = next((name for name in read_config(path) if setting_named(name) is setting), setting.name)
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    # A JSON text is a TOML string too, as long as nothing in it is written as a surrogate pair.
    line = f"{in_file} = {value if isinstance(value, int) else json.dumps(value, ensure_ascii=False)}"
    pattern = re.compile(rf"^[ \t]*{re.escape(in_file)}[ \t]*=.*$", re.MULTILINE)
    table = re.search(r"^[ \t]*\[", text, re.MULTILINE)
    top, rest = (text[: table.start()], text[table.start() :]) if table else (text, "")
    if pattern.search(top):
        changed = pattern.sub(lambda _: line, top, count=1) + rest
    else:
        changed = f"{top}{'' if not top or top.endswith(chr(10)) else chr(10)}{line}\n{rest}"
    if _value_in(changed, in_file) != str(value):
        raise UsageError(f"`{path}` sets {in_file} in a way that cannot be changed here", hint="edit the file")
    return changed


def _value_in(text: str, name: str) -> str | None:
    with suppress(tomllib.TOMLDecodeError):
        return str(tomllib.loads(text).get(name))
    return None


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, beside = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(beside).replace(path)
        except BaseException:
            Path(beside).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OutputError(f"the settings in `{path}` cannot be written: {error.strerror}") from None
