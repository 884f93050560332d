"""What is heavy is imported where it is used: fresh interpreters are asked."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Run, environment
from secret_service import SecretService

from raptchat.cli.commands import COMMANDS
from raptchat.demo import DEMO_KEY, DemoGateway

# All that is not Python's own and may be loaded: by every command, and by one that asks a gateway.
COMMAND_LINE = {"annotated_doc", "raptchat", "shellingham", "typer"}
CHAT = COMMAND_LINE | {"_cffi_backend", "anyio", "certifi", "cryptography", "h11", "httpcore", "httpx", "idna"}

# What Python has, takes long to load, and is needed by none of these commands.
HEAVY = {"asyncio", "importlib.metadata", "concurrent.futures", "multiprocessing", "unittest", "sqlite3.dump"}
NETWORK = {"email", "http", "logging", "socket", "ssl", "urllib.request"}

# Of raptchat's own: what only another form of the command needs.
NOT_FOR_A_PLAIN_CHAT = {
    "raptchat.attachments": "nothing is attached",
    "raptchat.cli.chat.conversation": "it is one question",
    "raptchat.cli.chat.dry_run": "it is sent",
    "raptchat.cli.documents": "nothing is written as JSON",
    "raptchat.cli.help": "no help is asked for",
    "raptchat.providers.fields": "no further field of the request is set",
    "raptchat.model_cache": "no model is looked up",
    "raptchat.models": "no model is looked up",
    "raptchat.render.columns": "nothing is aligned",
    "raptchat.render.markdown": "it goes into a pipe",
    "raptchat.render.tables": "there is no table",
    "raptchat.schema": "no shape is asked for",
    "csv": "there is no table",
    "tomllib": "there is no config.toml",
    "platformdirs": "RAPTCHAT_HOME is set",
}


def loaded(*words: str, module: str = "raptchat") -> set[str]:
    """The modules that this command imports, in an interpreter of its own."""
    # -X importtime leaves out what `importlib.import_module` imports.
    command = [sys.executable, "-v", "-m", module, *words]
    # Coverage, which the tests may run under, brings modules of its own.
    env = {name: value for name, value in environment().items() if not name.startswith("COV")}
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True, env=env)
    return set(re.findall(r"^import '(\S+)' #", ended.stderr, re.MULTILINE))


def foreign(modules: set[str]) -> set[str]:
    """The packages among *modules* that come neither with Python nor with its installation."""
    packages = {name.partition(".")[0] for name in modules}
    return packages - set(sys.stdlib_module_names) - {"__editable__", "_distutils_hack", "sitecustomize"}


def test_the_version_is_written_by_an_interpreter_that_loaded_nothing() -> None:
    assert loaded("--version") - loaded(module="this") <= {"atexit", "gc", "raptchat"}


@pytest.mark.parametrize(
    "words", ["--help", "chat --help", "group add-key --help", "sessions --help", "completion bash"]
)
def test_help_loads_the_command_line_alone(words: str) -> None:
    modules = loaded(*words.split())

    assert foreign(modules) == COMMAND_LINE
    assert not (HEAVY | NETWORK | {"sqlite3"}) & modules


@pytest.mark.parametrize("words", [(), ("--help",)])
def test_what_says_nothing_of_a_command_imports_none(words: tuple[str, ...]) -> None:
    assert {name for name in loaded(*words) if name.startswith("raptchat.cli.")} <= {
        "raptchat.cli.command",
        "raptchat.cli.commands",
        "raptchat.cli.examples",
        "raptchat.cli.help",
        "raptchat.cli.invocation",
    }


def test_a_tab_loads_the_command_line_and_the_command_that_is_completed(
    biology: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_RAPTCHAT_COMPLETE", "fish")
    for words in ((), ("whoami", "-g"), ("chat", "-m"), ("sessions", "show"), ("config", "get")):
        modules = loaded(*words)

        assert foreign(modules) == COMMAND_LINE
        assert not (HEAVY | NETWORK | {"raptchat.vault"}) & modules
        commands = {name.removeprefix("raptchat.cli.") for name in modules} & set(COMMANDS)
        assert commands == set(words[:1])


def test_a_tab_behind_the_version_is_a_tab(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_RAPTCHAT_COMPLETE", "fish")

    assert "raptchat.cli.completing.answer" in loaded("--version")


@pytest.mark.parametrize("words", ["credentials list", "group list", "sessions list", "usage", "whoami", "events"])
def test_lists_load_the_command_line_and_the_store(biology: Run, words: str) -> None:
    biology("chat hello")
    modules = loaded(*words.split())

    assert "sqlite3" in modules
    assert foreign(modules) == COMMAND_LINE
    not_needed = {"raptchat.chat", "raptchat.cli.help", "raptchat.vault", "csv", "hashlib", "tomllib"}
    assert not (HEAVY | NETWORK | not_needed) & modules


@pytest.mark.process
def test_a_chat_into_a_pipe_loads_what_it_takes_to_ask(biology: Run) -> None:
    modules = loaded("chat", "hello")

    assert foreign(modules) <= CHAT
    assert "raptchat.providers.openrouter" in modules
    assert not (HEAVY | set(NOT_FOR_A_PLAIN_CHAT)) & modules


def test_what_another_form_of_a_chat_needs_has_these_names() -> None:
    for name in NOT_FOR_A_PLAIN_CHAT:
        assert importlib.util.find_spec(name), name


@pytest.mark.process
def test_a_chat_with_the_keyring_looks_for_no_other(
    raptchat: Run, gateway: DemoGateway, secret_service: SecretService, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    secret_service.apply(monkeypatch)
    monkeypatch.setenv("RAPTCHAT_HOME", str(home))
    monkeypatch.setenv("AI_GATEWAY_URL", gateway.url)
    raptchat("group add-key biology --stdin", stdin=DEMO_KEY)
    modules = loaded("chat", "hello")

    assert foreign(modules) <= CHAT | {"jeepney", "keyring", "secretstorage"}
    assert "secretstorage" in modules
    # Its packages announce their backends in their metadata, all of which it reads to find them.
    backends = {name for name in modules if name.startswith("keyring.backends.")}
    assert backends <= {"keyring.backends.SecretService"}
    assert not (HEAVY | set(NOT_FOR_A_PLAIN_CHAT)) & modules


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
