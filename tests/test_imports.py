"""What is heavy is imported where it is used: fresh interpreters are asked."""

import subprocess
import sys

import pytest
from conftest import Run, environment

HEAVY = {"cryptography", "httpx", "keyring", "rich", "sqlite3", "sqlite_utils", "pydantic", "asyncio"}
FOR_LISTS = {"cryptography", "httpx", "keyring", "rich.markdown", "sqlite_utils", "pydantic"}


def loaded(*words: str) -> set[str]:
    """The modules that this command imports, in an interpreter of its own."""
    command = [sys.executable, "-X", "importtime", "-m", "raptchat", *words]
    # Coverage, which the tests may run under, brings modules of its own.
    env = {name: value for name, value in environment().items() if not name.startswith("COV")}
    ended = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    return {
        line.rpartition("|")[2].strip() for line in ended.stderr.splitlines() if line.startswith("import time:")
    }


@pytest.mark.parametrize(
    "words", [("--help",), ("--version",), ("chat", "--help"), ("group", "add-key", "--help")]
)
def test_help_imports_nothing_heavy(words: tuple[str, ...]) -> None:
    modules = loaded(*words)

    assert "typer" in modules
    assert not HEAVY & modules


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
