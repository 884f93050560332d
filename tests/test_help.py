"""What `--help` shows: every command and flag under a heading, at every width."""

import inspect
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from conftest import Run

from raptchat.cli import Cli, app
from raptchat.cli.commands import COMMANDS
from raptchat.cli.help import command_panels, first_sentence, panels
from raptchat.cli.invocation import Invocation

TOP = typer.main.get_group(app)


def contexts(command: Any = TOP, name: str = "raptchat", parent: Any = None) -> Iterator[typer.Context]:
    """Every command of the app, in its context."""
    ctx = typer.Context(
        command, info_name=name, parent=parent, obj=Invocation(), help_option_names=["-h", "--help"]
    )
    yield ctx
    for below in getattr(command, "commands", {}):
        yield from contexts(command.commands[below], below, ctx)


@pytest.mark.parametrize("name", COMMANDS)
def test_what_the_list_says_of_a_command_is_what_it_says_itself(name: str) -> None:
    assert COMMANDS[name].help == first_sentence(inspect.cleandoc(TOP.commands[name].help or ""))


def test_raptchat_alone_shows_the_help(raptchat: Run) -> None:
    said = raptchat([])

    assert (said.err, said.out) == ("", raptchat("--help").out)
    assert [line for line in said.out.splitlines() if line.endswith(":") and not line.startswith(" ")] == [
        "Conversations:",
        "Groups and keys:",
        "Costs:",
        "Setup:",
        "Options:",
        "Examples:",
    ]
    assert all(f"\n  {name} " in said.out for name in COMMANDS)


def test_no_flag_is_left_out_and_none_stands_twice() -> None:
    for ctx in contexts():
        shown = [term for rows in panels(ctx.command, ctx).values() for term, _ in rows]
        visible = [each for each in ctx.command.get_params(ctx) if not each.hidden]  # type: ignore[attr-defined]
        assert len(shown) == len(set(shown)) == len(visible), ctx.command_path


def test_the_flags_of_chat_stand_under_headings(raptchat: Run) -> None:
    text = raptchat("chat --help").out
    headings = [line for line in text.splitlines() if line.endswith(":") and not line.startswith(" ")]

    assert headings == [
        "Arguments:",
        "Conversation:",
        "Request:",
        "Answer:",
        "Attachments:",
        "Output:",
        "Options:",
        "Examples:",
    ]
    output = text.partition("\nOutput:")[2].partition("\nOptions:")[0]
    assert "--json " in output
    assert "--help" not in output


@pytest.mark.parametrize("columns", [20, 40, 59, 60, 80, 200])
def test_the_help_fits_the_terminal(raptchat: Run, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    for words in (["--help"], ["chat", "--help"], ["group", "add-key", "--help"]):
        text = raptchat(words).out.partition("\nExamples:")[0]
        prose = [line for line in text.splitlines() if "-" not in line.strip()[:3] and "Usage" not in line]

        assert max(map(len, prose)) <= min(columns, 100)


def test_who_pays_stands_with_the_conversation_and_one_heading_alone_is_none(raptchat: Run) -> None:
    conversation = raptchat("chat --help").out.partition("\nConversation:\n")[2].partition("\n\n")[0]

    assert conversation.splitlines()[0].startswith("  -g, --group G ")
    whoami = raptchat("whoami --help").out
    assert "Conversation:" not in whoami
    assert whoami.partition("\nOptions:\n")[2].startswith("  -g, --group G ")


def test_a_command_that_is_not_in_the_table_is_listed_too() -> None:
    top = typer.Typer(cls=Cli, rich_markup_mode=None, add_completion=False)

    @top.callback()
    def nothing() -> None:
        """Do nothing."""

    @top.command()
    def another() -> None:
        """Say nothing.

        And nothing else.
        """

    group = typer.main.get_group(top)

    assert command_panels(group)["Commands"] == [("another", "Say nothing.")]
    assert "another" in group.commands
    assert "chat" in group.commands
    assert len(group.commands) == len(COMMANDS) + 1


def test_of_what_is_below_a_word_only_the_command_that_is_looked_up_is_built() -> None:
    group = typer.main.get_command(app).commands["group"]  # type: ignore[attr-defined]
    below = group.commands
    assert {"list", "budget", "rotate-key"} < set(below)
    assert below._built == {}

    assert below["budget"].name == "budget"
    assert list(below._built) == ["budget"]
