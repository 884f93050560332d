"""What the documents say is checked like the code."""

import inspect
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from raptchat import errors
from raptchat.cli import app
from raptchat.errors import RaptchatError

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
TOP = typer.main.get_command(app)


def commands(command: object = TOP, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    """Every command of the app, with the words that lead to it."""
    below = getattr(command, "commands", None)
    if below is None:
        yield path, command
    else:
        for name, each in below.items():
            yield from commands(each, (*path, name))


def documented() -> dict[str, set[str]]:
    """The commands in the README's list: for each first word those that stand behind it."""
    found = re.search(r"## All commands\n\n```text\n(.*?)```", README, re.DOTALL)
    assert found
    table: dict[str, set[str]] = {}
    for line in found[1].splitlines():
        raptchat, noun, *rest = line.split(" ", 2)
        assert raptchat == "raptchat"
        words = rest[0] if rest else ""
        # A command is in small letters, an argument in capitals or brackets.
        found_here = {part.split()[0] for part in words.split("|") if part.strip()[:1].islower()}
        table.setdefault(noun, set()).update(found_here)
    return table


def test_every_command_is_in_the_readme_and_no_other() -> None:
    there: dict[str, set[str]] = {}
    for (noun, *verb), _ in commands():
        there.setdefault(noun, set()).update(verb)

    assert documented() == there


@pytest.mark.parametrize("path", [path for path, _ in commands()], ids=" ".join)
def test_every_command_and_every_flag_has_help(path: tuple[str, ...]) -> None:
    command = dict(commands())[path]
    text = inspect.cleandoc(getattr(command, "help", None) or "")
    assert text.splitlines()[0].endswith((".", ";"))

    for parameter in command.params:  # type: ignore[attr-defined]
        if parameter.param_type_name == "option" and not parameter.hidden:
            assert parameter.help, parameter.name


def test_the_exit_codes_of_the_readme_are_those_of_the_errors() -> None:
    rows = re.findall(r"^\| ([\d, ]+) \|([^|]*)\|[^|]*\|$", README, re.MULTILINE)
    table = {code: int(exits.split(",")[0]) for exits, codes in rows for code in re.findall(r"`(\w+)`", codes)}

    classes = [each for _, each in inspect.getmembers(errors, inspect.isclass) if issubclass(each, RaptchatError)]
    assert table == {each.code: each.exit_code for each in classes}
    assert {int(number) for exits, _ in rows for number in exits.split(",")} == {0, 143, *table.values()}


def test_the_tree_in_errors_is_true() -> None:
    listed = re.findall(r"^ *(\w+Error) +(\d+)  (\w+)", errors.__doc__ or "", re.MULTILINE)

    assert {name: (int(number), code) for name, number, code in listed} == {
        name: (each.exit_code, each.code)
        for name, each in inspect.getmembers(errors, inspect.isclass)
        if issubclass(each, RaptchatError)
    }


def test_the_first_two_blocks_are_one_line_each_and_ci_calls_the_second() -> None:
    first, second, *_ = re.findall(r"^```sh\n(.*?)```$", README, re.MULTILINE | re.DOTALL)
    assert first.count("\n") == second.count("\n") == 1
    assert first.rstrip().endswith("raptchat demo")
    assert "--group" not in first + second

    called = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert called.splitlines()[-1] == second.strip()


@pytest.mark.parametrize(
    "line", re.findall(r"^\$ (?:.*\| )?raptchat (.*?)(?: +#.*| \|.*| [<>].*)?$", README, re.MULTILINE)
)
def test_every_example_of_the_readme_has_words_that_the_app_knows(line: str) -> None:
    words = shlex.split(line)
    command: object = TOP
    while getattr(command, "commands", None) and words:
        if command.invoke_without_command and words[0] not in command.commands:  # type: ignore[attr-defined]
            break
        word = words.pop(0)
        assert word in command.commands, line  # type: ignore[attr-defined]
        command = command.commands[word]  # type: ignore[attr-defined]
    known = {flag for parameter in command.params for flag in parameter.opts}  # type: ignore[attr-defined]
    assert {word for word in words if re.fullmatch(r"--?[a-z][a-z-]*", word)} <= known


def test_the_completions_are_fresh(tmp_path: Path) -> None:
    folder = ROOT / "completions"
    before = {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}
    copy = tmp_path / "completions"
    copy.mkdir()
    (copy / "generate.py").write_bytes(before["generate.py"])
    subprocess.run([sys.executable, str(copy / "generate.py")], check=True, capture_output=True, cwd=tmp_path)

    assert {file.name: file.read_bytes() for file in copy.iterdir() if file.is_file()} == before


def test_the_version_is_that_of_the_package() -> None:
    from raptchat import __version__

    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)
    assert __version__ in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


SECURITY = (ROOT / "SECURITY.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(set(re.findall(r"\btest_\w+\.py\b", SECURITY))))
def test_every_test_that_the_security_page_names_is_there(name: str) -> None:
    assert (ROOT / "tests" / name).is_file()


def test_every_proof_stands_on_the_security_page() -> None:
    proofs = {
        name
        for file in (ROOT / "tests").glob("test_*.py")
        for name in re.findall(r'^@tried\("(.+)", commit=', file.read_text(encoding="utf-8"), re.MULTILINE)
    }

    assert set(re.findall(r"^\| ([^|`]+) \| [\d,]+ \| [\d,]+ \|", SECURITY, re.MULTILINE)) == proofs
    assert len(proofs) > 20
