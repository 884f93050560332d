"""What the tests share: a home of their own, the real app, the demo gateway, a real Secret Service."""

import gc
import os
import shlex
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from account import account, flaky, provisioned  # noqa: F401 - fixtures
from proof import Trials
from secret_service import (  # noqa: F401 - fixtures
    fresh_secret_service,
    secret_service,
    shared_daemon,
)
from spender import spender  # noqa: F401 - a fixture
from typer.testing import CliRunner

from raptchat.cli import app
from raptchat.config import Settings
from raptchat.demo import DEMO_KEY, DemoGateway
from raptchat.factory import Factory

# Started in the background by a script, tests ignore Ctrl-C, and so would all that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
# As with `nohup`; but the tests themselves go on. What has a handler here is not ignored by what is started here.
for number in (signal.SIGHUP, signal.SIGQUIT):
    if signal.getsignal(number) is signal.SIG_IGN or "PYTEST_XDIST_WORKER" in os.environ:
        signal.signal(number, lambda number, frame: None)

# Whatever of this is set where the tests run must not reach them.
OUTSIDE = (
    "AI_GATEWAY_URL",
    "AI_DEFAULT_MODEL",
    "AI_REQUEST_TIMEOUT_MS",
    "AI_MAX_RETRIES",
    "RAPTCHAT_GROUP",
    "RAPTCHAT_DEBUG",
    "RAPTCHAT_MASTER_KEY_FILE",
    "RAPTCHAT_PASSPHRASE_FILE",
    "OPENROUTER_API_KEY",
    "OPENAI_API_KEY",
    "PYTHON_KEYRING_BACKEND",
    "PYTHONUNBUFFERED",
    "NO_COLOR",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "COLORTERM",
    "FORCE_COLOR",
    "COLUMNS",
    "LINES",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[Path]:
    """A home of its own for every test; nothing of the real one is read or written.

    Afterwards the key that most tests use must stand readable in no file of it, and in no line of a log.
    """
    for name in OUTSIDE:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    # No keyring of the person who runs the tests: a test that wants one asks for `secret_service`.
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", f"unix:path={tmp_path}/no-bus")
    folder = tmp_path / "home"
    monkeypatch.setenv("RAPTCHAT_HOME", str(folder))
    monkeypatch.chdir(tmp_path)
    yield folder
    assert [path for path in folder.rglob("*") if path.is_file() and DEMO_KEY.encode() in path.read_bytes()] == []
    assert DEMO_KEY not in caplog.text


@pytest.fixture
def trials(request: pytest.FixtureRequest) -> Iterator[Trials]:
    """How often a test that is `tried` tries, and what it met."""
    made = Trials(request.param, request.node.nodeid.partition("[")[0])
    made.resume()
    before = request.session.testsfailed
    yield made
    made.failed += request.session.testsfailed - before
    made.save()


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[DemoGateway]:
    """The demo gateway, where requests go."""
    with DemoGateway() as running:
        monkeypatch.setenv("AI_GATEWAY_URL", running.url)
        yield running


@pytest.fixture
def factory(home: Path) -> Iterator[Factory]:
    """A real store with a vault in a key file."""
    with Factory(Settings.load()) as opened:
        opened.vault.init("file", path=home / "master.key")
        yield opened


@dataclass(frozen=True, slots=True)
class Said:
    """What a command wrote, and how it ended."""

    out: str
    err: str
    exit_code: int


Run = Callable[..., Said]


@pytest.fixture
def raptchat(home: Path) -> Run:
    """Run the app in this process as a shell would: words, standard input, and the exit code it must have."""
    runner = CliRunner()

    def run(words: str | list[str], *, stdin: str | bytes | None = None, exit_code: int = 0) -> Said:
        args = shlex.split(words) if isinstance(words, str) else words
        result = runner.invoke(app, args, input=stdin)
        assert result.exit_code == exit_code, (args, result.exit_code, result.stdout, result.stderr)
        assert DEMO_KEY not in result.stdout + result.stderr, args
        return Said(result.stdout, result.stderr, result.exit_code)

    return run


@pytest.fixture
def biology(raptchat: Run, gateway: DemoGateway, home: Path) -> Run:
    """The app, with a vault in a key file and a group `biology` whose key the demo gateway takes."""
    raptchat(["vault", "init", "--file", str(home.parent / "master.key")])
    raptchat("group add-key biology --stdin", stdin=DEMO_KEY)
    return raptchat


def rows(home: Path, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
    """What a statement finds in the store's file, read without raptchat."""
    with closing(sqlite3.connect(home / "raptchat.db")) as db:
        return db.execute(sql, parameters).fetchall()


def environment(**changes: str) -> dict[str, str]:
    """The environment for a process of its own."""
    return {**os.environ, **changes}


def pytest_collection_finish() -> None:
    """Leave what collecting the tests has made out of every later search for garbage, which would take longer."""
    gc.collect()
    gc.freeze()
