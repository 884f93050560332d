"""What is heavy is imported where it is used: fresh interpreters are asked."""

import re
import subprocess
import sys

import pytest
from conftest import Run, environment

from raptchat.cli.commands import COMMANDS

HEAVY = {
    "asyncio",
    "cryptography",
    "httpx",
    "jsonschema_rs",
    "keyring",
    "markdown_it",
    "prompt_toolkit",
    "pydantic",
    "rich",
    "sqlite3",
    "sqlite_utils",
}
FOR_LISTS = {"cryptography", "httpx", "keyring", "rich.markdown", "sqlite_utils", "pydantic"}


def loaded(*words: str) -> set[str]:
    """The modules that this command imports, in an interpreter of its own."""
    # -X importtime leaves out what `importlib.import_module` imports.
    command = [sys.executable, "-v", "-m", "raptchat", *words]
    # Coverage, which the tests may run under, brings modules of its own.
    env = {name: value for name, value in environment().items() if not name.startswith("COV")}
    ended = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    return set(re.findall(r"^import '(\S+)' #", ended.stderr, re.MULTILINE))


@pytest.mark.parametrize(
    "words", [("--help",), ("--version",), ("chat", "--help"), ("group", "add-key", "--help")]
)
def test_help_imports_nothing_heavy(words: tuple[str, ...]) -> None:
    modules = loaded(*words)

    assert "typer" in modules
    assert not HEAVY & modules


@pytest.mark.parametrize("words", [(), ("--help",), ("--version",)])
def test_what_says_nothing_of_a_command_imports_none(words: tuple[str, ...]) -> None:
    assert {name for name in loaded(*words) if name.startswith("raptchat.cli.")} <= {
        "raptchat.cli.command",
        "raptchat.cli.commands",
        "raptchat.cli.examples",
        "raptchat.cli.help",
        "raptchat.cli.invocation",
    }


def test_a_tab_imports_nothing_heavy_and_only_the_command_that_is_completed(
    biology: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_RAPTCHAT_COMPLETE", "fish")
    for words in ((), ("whoami", "-g"), ("chat", "-m"), ("sessions", "show"), ("config", "get")):
        modules = loaded(*words)

        assert not (HEAVY - {"sqlite3"}) & modules
        assert "raptchat.vault" not in modules
        commands = {name.removeprefix("raptchat.cli.") for name in modules} & set(COMMANDS)
        assert commands == set(words[:1])


@pytest.mark.parametrize("words", ["credentials list", "group list", "sessions list", "usage", "whoami"])
def test_lists_import_no_client_and_no_cryptography(biology: Run, words: str) -> None:
    biology("chat hello")
    modules = loaded(*words.split())

    assert "sqlite3" in modules
    assert not FOR_LISTS & modules


def test_the_package_itself_imports_next_to_nothing() -> None:
    script = "import sys, raptchat; print(sorted(name for name in sys.modules if name.startswith('raptchat.')))"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert ended.stdout == "[]\n"


def test_every_public_name_can_be_imported() -> None:
    import raptchat

    assert all(getattr(raptchat, name) is not None for name in raptchat.__all__)
    assert set(raptchat.__all__) < set(dir(raptchat))
    with pytest.raises(AttributeError, match="nonesuch"):
        raptchat.nonesuch  # noqa: B018
