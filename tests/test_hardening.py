"""What keeps a key inside the program: no log, no traceback, no core file, no child, no prompt that shows it."""

import ast
import io
import json
import logging
import re
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from conftest import Run, environment
from processes import AtTerminal
from web_server import answer, running

import raptchat
from raptchat.cli import app
from raptchat.config import child_environment
from raptchat.demo import DemoGateway
from raptchat.errors import RaptchatError, UsageError
from raptchat.factory import Factory
from raptchat.providers._http import Connection
from raptchat.providers.openrouter import OpenRouterClient
from raptchat.providers.retries import AttemptFailed
from raptchat.secret import Secret
from raptchat.vault.hardening import harden

# Of no form that a pattern knows.
KEY = "W3nR5yJ6sentinelCdWxYzQrStUv"
PACKAGE = Path(raptchat.__file__).parent


def family(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and all that it comes of, also what `from None` hides."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize("spoiled", [f"{KEY}\n", f"{KEY}\r\nX: y", f"\x00{KEY}", f"{KEY}é", f"{KEY}\ud800"])
def test_a_header_that_cannot_be_sent_is_an_error_of_ours_without_the_header(
    gateway: DemoGateway, spoiled: str
) -> None:
    connection = Connection(gateway.url, timeout=5)
    headers = {"Authorization": f"Bearer {spoiled}"}
    with pytest.raises(AttemptFailed) as caught, connection.exchange("/models", headers=headers, seconds=5):
        pytest.fail("it was sent")
    connection.close()

    assert isinstance(caught.value.error, RaptchatError)
    assert [type(error) for error in family(caught.value)] == [AttemptFailed]
    for error in (caught.value, caught.value.error):
        assert "sentinel" not in "".join(traceback.format_exception(error)) + repr(error.args)
    assert gateway.requests == []


@pytest.mark.parametrize(
    "hostile",
    [
        f"HTTP/1.1 200 OK\r\n{KEY} no header\r\n\r\n",
        f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{KEY}\r\n",
        f"HTTP/1.1 {KEY}\r\n\r\n",
        KEY,
        f'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: {{"error": "{KEY}"}}\n\n',
        f'HTTP/1.1 200 OK\r\n\r\ndata: {{"choices": [{{"delta": {{"content": "a"}}}}]}}\n\n'
        f'data: {{"error": "{KEY}"}}\n\n',
    ],
)
def test_no_error_has_a_key_in_what_it_comes_of(hostile: str) -> None:
    with running() as server:
        server.pages = {"/chat/completions": hostile.encode()}
        with (
            OpenRouterClient(api_key=KEY, base_url=server.url, max_retries=0) as client,
            pytest.raises(RaptchatError) as caught,
        ):
            list(client.stream_chat([{"role": "user", "content": "hello"}]))

    for error in family(caught.value):
        assert "sentinel" not in f"{error} {error!r} {vars(error)}", type(error)


def test_a_bug_shows_no_key_and_no_locals_also_with_debug(biology: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    biology("group add-key plain --stdin", stdin=KEY)
    monkeypatch.setenv("RAPTCHAT_DEBUG", "1")

    def send(_: object, request: httpx.Request, **__: object) -> None:
        raise RuntimeError(f"bad header: {request.headers['authorization']}, {KEY[:-3]}")

    monkeypatch.setattr(httpx.Client, "send", send)
    said = biology("chat -g plain hello", exit_code=1)

    assert "RuntimeError: bad header: Bearer ***, ***" in said.err
    assert "sentinel" not in said.err
    assert "request = " not in said.err
    assert "a bug in raptchat" in said.err


def test_no_traceback_of_typers_is_ever_shown() -> None:
    assert app.pretty_exceptions_show_locals is False
    assert app.pretty_exceptions_enable is False
    imported = {name for file in PACKAGE.rglob("*.py") for name in imports(file)}
    assert {"rich.traceback", "rich.logging", "cgitb", "faulthandler"} & imported == set()
    assert "rich.text" in imported


def imports(file: Path) -> Iterator[str]:
    """The names of the modules that *file* imports."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def test_whoever_logs_everything_logs_no_request_and_no_key(factory: Factory) -> None:
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        factory.vault.data_key()
        with running() as server:
            echo = json.dumps({"error": {"message": KEY}}).encode()
            server.pages = {"/chat/completions": answer(echo, f"X-Key: {KEY}", status="500 No")}
            with (
                OpenRouterClient(api_key=KEY, base_url=server.url, max_retries=0) as client,
                pytest.raises(RaptchatError),
            ):
                list(client.stream_chat([{"role": "user", "content": "hello"}]))
        for name in ("httpx", "httpcore.http11", "keyring.backends.SecretService", "secretstorage", "jeepney.io"):
            logging.getLogger(name).info("one %s", KEY)
        logging.getLogger("somebody.else").info("logged")
    finally:
        root.setLevel(level)
        root.removeHandler(handler)

    assert log.getvalue() == "logged\n"


# Says whether a core file could be written, and /proc/PID/mem be read, whenever the file with the key is opened.
_WATCH = """
import atexit, ctypes, resource, sys
dumpable = lambda: ctypes.CDLL(None).prctl(3, 0, 0, 0, 0) if sys.platform == "linux" else 0
found = []
def watch(event, args):
    if event == "open" and str(args[0]).endswith(("master.key", "passphrase", "api.key")):
        found.append((resource.getrlimit(resource.RLIMIT_CORE)[0], dumpable()))
resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
sys.addaudithook(watch)
atexit.register(lambda: print(sorted(set(found))))
%s
"""
_OPEN = "from raptchat import Factory\nwith Factory() as factory: factory.vault.data_key()"
_ADD = "from raptchat.cli import app\napp(['group', 'add-key', 'biology', '--key-file', 'api.key'])"


@pytest.mark.parametrize(
    ("kind", "code"), [("file", _OPEN), ("named", _OPEN), ("passphrase", _OPEN), ("file", _ADD)]
)
def test_no_core_file_can_be_written_from_before_the_first_secret_is_read(
    home: Path, monkeypatch: pytest.MonkeyPatch, kind: str, code: str
) -> None:
    key = home.parent / "api.key"
    key.write_text(KEY)
    key.chmod(0o600)
    secret = home.parent / "passphrase"
    secret.write_text("a passphrase that is long\n")
    secret.chmod(0o600)
    if kind == "passphrase":
        monkeypatch.setenv("RAPTCHAT_PASSPHRASE_FILE", str(secret))
    with Factory() as factory:
        if kind == "passphrase":
            factory.vault.init("passphrase")
        else:
            factory.vault.init("file", path=home.parent / "master.key")
    if kind == "named":
        monkeypatch.setenv("RAPTCHAT_MASTER_KEY_FILE", str(home.parent / "master.key"))

    said = subprocess.run(
        [sys.executable, "-c", _WATCH % code],
        env=environment(),
        cwd=home.parent,
        capture_output=True,
        text=True,
        check=True,
    )

    assert said.stdout.splitlines()[-1] == "[(0, 0)]"


# Into a header, a sealed row, a bundle, a program that it is lent to; out of a reply, and of other clients' files;
# what was typed twice; a recovery key, shown once; the command that comes in with a bundle.
REVEALING = (
    "api_key.py",
    "providers/hiding.py",
    "vault/",
    "credentials",
    "bundle/",
    "cli/vault.py",
    "cli/vault_export.py",
    "cli/vault_import.py",
    "doctor/plaintext_keys.py",
    "foreign_keys/",
    "lending.py",
    "login/__init__.py",
    "providers/chat_client.py",
    "providers/json_calls.py",
    "providers/management.py",
    "providers/sign_in.py",
)


def test_a_secret_is_revealed_only_where_it_is_needed() -> None:
    files = {
        file.relative_to(PACKAGE).as_posix()
        for file in PACKAGE.rglob("*.py")
        if ".reveal" in file.read_text(encoding="utf-8")
    }

    assert {file for file in files if not file.startswith((*REVEALING, "secret.py"))} == set()
    assert "providers/chat_client.py" in files


def test_hardening_twice_is_no_error() -> None:
    code = (
        "import resource; from raptchat.vault.hardening import harden; harden(); harden();"
        "print(resource.getrlimit(resource.RLIMIT_CORE)[0])"
    )

    assert subprocess.check_output([sys.executable, "-c", code]) == b"0\n"
    assert callable(harden)


_STARTS = re.compile(
    r"subprocess\.\w+|os\.(system|popen|startfile|fork\w*|exec\w+|spawn\w+|posix_spawnp?)|pty\.\w+|multiprocessing\.\w+"
    r"|(asyncio\.)?create_subprocess_\w+|(typer|click)\.(launch|edit)|run_system_command|open_in_editor"
)
# `child` and `environment` are what the pager, `exec` and the browser make of it.
_ENVIRONMENT = re.compile(r"(child_environment\(.*\)|child|environment)")


def starts_of_children(source: str) -> list[tuple[str, bool]]:
    """What in *source* starts another program, and whether it hands over an environment of its own."""
    found = []
    tree = ast.parse(source)
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    homes = {alias.asname or alias.name: f"{node.module}." for node in imports for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if _STARTS.fullmatch(homes.get(name, "") + name) or name.rpartition(".")[2] == "run_system_command":
                given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                found.append((name, bool(_ENVIRONMENT.fullmatch(given.get("env", "")))))
    return found


def test_every_child_gets_an_environment_without_what_leads_to_the_master_key() -> None:
    leads = {"RAPTCHAT_MASTER_KEY_FILE": "/a", "RAPTCHAT_PASSPHRASE_FILE": "/b"}
    assert child_environment({"PATH": "/bin", **leads}) == {"PATH": "/bin"}
    children = {
        (file.relative_to(PACKAGE).as_posix(), *start)
        for file in PACKAGE.rglob("*.py")
        for start in starts_of_children(file.read_text(encoding="utf-8"))
    }

    assert {child for child in children if not child[2]} == set()
    assert len(children) >= 2
    source = (
        "from subprocess import run\nos.execvp(a, b), run(x, env=child_environment(e)), subprocess.call(y, env=z)"
    )
    assert starts_of_children(source) == [("os.execvp", False), ("run", True), ("subprocess.call", False)]


def test_a_key_is_never_typed_where_it_can_be_read(home: Path) -> None:
    # Whoever cannot hide it, such as a terminal that is gone but for its name.
    code = (
        "import sys, termios\n"
        "def refuse(*_): raise termios.error('no')\n"
        "termios.tcgetattr = refuse\n"
        "sys.argv = ['raptchat', 'group', 'add-key', 'biology']\n"
        "from raptchat.__main__ import main; main()"
    )
    with AtTerminal(program=[sys.executable, "-c", code]) as terminal:
        said = terminal.ends(2)

    assert "the terminal cannot hide what is typed" in said
    assert "--stdin" in said


def test_without_a_terminal_nothing_is_asked(home: Path) -> None:
    said = subprocess.run(
        [sys.executable, "-m", "raptchat", "group", "add-key", "biology"],
        env=environment(),
        input=f"{KEY}\n",
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,
    )

    assert said.returncode == UsageError.exit_code
    assert "there is no terminal to ask at" in said.stderr
    assert "--stdin" in said.stderr
    assert said.stdout == ""
    assert "sentinel" not in said.stderr


def test_a_secret_of_this_process_is_cut_out_of_errors_of_other_parts(home: Path) -> None:
    from raptchat.render import Terminal, errors

    secret = Secret(KEY)
    for as_json in (False, True):
        terminal = Terminal.recorded()
        errors.error(
            terminal, UsageError(f"<{KEY}>", hint=f"<{secret.reveal()}>", path=f"<{KEY}>"), as_json=as_json
        )
        assert isinstance(terminal.err, io.StringIO)
        assert terminal.err.getvalue().count("<***>") == 3 - (not as_json)
        assert "sentinel" not in terminal.err.getvalue()
