"""The examples of the help: each command has one, and each of them works as it stands."""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from conftest import Run, rows
from sample_files import PNG

from raptchat.cli import app
from raptchat.cli.examples import EXAMPLES, Example
from raptchat.cli.invocation import Invocation
from raptchat.demo import DEMO_KEY, DEMO_MANAGEMENT_KEY

TOP = typer.main.get_group(app)
PAIRS = [(path, example) for path, examples in EXAMPLES.items() for example in examples]

# What a person answers at a terminal, what needs a keyring, and what runs until it is stopped.
ONLY_PARSED = {
    "raptchat chat -g biology",
    "raptchat group add-key biology",
    "raptchat group add-key biology --replace",
    "raptchat group add-key biology --login",
    'raptchat group add-key biology --key-command "op read op://acme/openrouter/key"',
    "raptchat group add-key biology --provider openai-compatible --base-url http://127.0.0.1:4000/v1",
    "raptchat account login",
    "raptchat import-keys llm -g biology --sessions",
    'raptchat exec -g biology -- llm "What is osmosis?"',
    "raptchat exec -g biology --env OPENAI_API_KEY -- sgpt 'What is osmosis?'",
    "raptchat vault add passphrase",
    "raptchat vault add recovery",
    "raptchat vault remove keyring",
    "raptchat vault rotate --slot passphrase",
    "raptchat vault export ~/raptchat.age --with-sessions",
    'raptchat vault export -g biology --recipient "$(cat colleague.pub)" biology.age',
    "raptchat vault import ~/raptchat.age --dry-run",
    "raptchat vault import ~/raptchat.age",
    "raptchat vault import biology.age --identity key.txt --on-conflict skip",
    "raptchat sessions remove 1f0c",
    "raptchat restore ~/raptchat.bak",
    "raptchat demo --serve",
    "raptchat demo",
}
MAKES_IT = {("group", "create"), ("group", "add-key"), ("vault", "init")}
# They work on a key that was made at the gateway, with what is kept for that.
OF_THE_ACCOUNT = {
    *(("account", word) for word in ("status", "logout", "keys")),
    *(("group", word) for word in ("provision", "rotate-key", "cap", "suspend", "resume", "remove")),
}
PIPED: dict[tuple[str, ...], str] = {("group", "add-key"): DEMO_KEY, ("account", "login"): DEMO_MANAGEMENT_KEY}


def paths(command: Any = TOP, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words that lead to each command."""
    yield path
    for name in getattr(command, "commands", {}):
        yield from paths(command.commands[name], (*path, name))


def words_of(example: Example) -> list[str]:
    """What a shell hands over to raptchat, of a line with pipes and redirections."""
    words = shlex.split(example.line.replace("<(", "").rstrip(")"))
    words = words[words.index("raptchat") + 1 :]
    ends = [number for number, word in enumerate(words) if word in {"|", ">"}]
    return words[: ends[0]] if ends else words


def test_every_command_has_an_example_and_nothing_else_has() -> None:
    assert set(EXAMPLES) == set(paths())


@pytest.mark.parametrize(("path", "example"), PAIRS, ids=lambda each: getattr(each, "line", None))
def test_an_example_belongs_to_its_command(path: tuple[str, ...], example: Example) -> None:
    words = words_of(example)
    assert tuple(words[: len(path)]) == path

    ctx: Any = TOP.make_context("raptchat", words, obj=Invocation())
    while getattr(ctx.command, "commands", None) and ctx._protected_args:
        name, command, rest = ctx.command.resolve_command(ctx, [*ctx._protected_args, *ctx.args])
        assert command is not None
        ctx = command.make_context(name, rest, parent=ctx)


@pytest.mark.parametrize(
    ("path", "example"),
    [pair for pair in PAIRS if pair[1].line not in ONLY_PARSED],
    ids=lambda each: getattr(each, "line", None),
)
def test_an_example_works(
    path: tuple[str, ...], example: Example, biology: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("AI_DEFAULT_MODEL", "demo/json" if "--schema" in example.line else "demo/reply")
    Path("diagram.png").write_bytes(PNG)
    Path("roster.csv").write_text("name,limit\nhistory,5\n")
    if path[:1] in {("sessions",), ("chat",), ("usage",)}:
        biology("chat -g biology first")
        biology("chat -c second")
    biology("group bind biology")
    [(credential,)] = rows(home, "SELECT id FROM ai_credentials")
    [(session,)] = rows(home, "SELECT max(id) FROM sessions")
    known = session or credential
    if path in MAKES_IT:
        monkeypatch.setenv("RAPTCHAT_HOME", str(home / "another"))
    if path in OF_THE_ACCOUNT:
        biology("account login --stdin", stdin=DEMO_MANAGEMENT_KEY)
        biology("group remove biology --yes")
        biology("group provision biology --limit 5")
    if path == ("import-keys",):
        monkeypatch.setenv("LLM_USER_PATH", str(home.parent))
        (home.parent / "keys.json").write_text(json.dumps({"openrouter": DEMO_KEY}))
    if path == ("group", "add-key"):
        biology(["vault", "init", "--file", str(home / "another.key")])
    words = [known if word == "1f0c" else word.replace("~", str(home)) for word in words_of(example)]

    piped = PIPED.get(path, "what came before")

    assert biology(words, stdin=piped if "|" in example.line else None).exit_code == 0


def test_examples_are_shown_as_they_are_typed(raptchat: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    for path, examples in EXAMPLES.items():
        text = raptchat([*path, "--help"]).out
        assert all(f"\n    $ {example.line}\n" in f"{text}\n" for example in examples)
