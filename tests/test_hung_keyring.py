"""A keyring that is asked and never answers: no command waits for it for more than 12 seconds.

Here alone a duration is asserted: it is a promise. What a busy machine takes for other work is left out of it.
"""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from age_files import Identity
from conftest import Run, rows
from processes import RAPTCHAT
from proof import Trials, tried
from secret_service import SecretService
from test_examples import paths

from raptchat.demo import DEMO_KEY, DEMO_MANAGEMENT_KEY, DemoGateway

pytestmark = pytest.mark.process

MOST_SECONDS = 12.0
MUTE, LOCKED = "bus_that_never_answers", "nobody_at_the_display"

# Each command that opens the vault, or looks for a keyring; words in capitals stand for what is there.
ASKING = [
    "doctor",
    "chat hello",
    "chat --private hello",
    "models",
    "exec -g biology -- true",
    "credentials check",
    "usage reconcile",
    "account login --stdin",
    "account status",
    "account keys",
    "group provision chemistry",
    "group rotate-key biology",
    "group cap biology 5",
    "group suspend biology",
    "group resume biology",
    "import-keys env -g biology --replace --no-verify",
    "group add-key biology --replace --stdin",
    "group rename biology botany",
    "vault status",
    "vault check",
    "vault add file --file NEW",
    "vault add keyring",
    "vault remove keyring --yes",
    "vault rotate",
    "vault rotate --slot keyring",
    "vault export NEW --recipient RECIPIENT",
    "vault import BUNDLE --identity IDENTITY --on-conflict replace",
    "restore COPY --yes",
    "--store NEW group add-key biology --stdin",
    "--store NEW vault init",
]
OTHERS = [
    "whoami",
    "group list",
    "group create chemistry",
    "group show biology",
    "group set biology --model demo/echo",
    "group budget biology 5 --per month",
    "usage --refresh",
    "account logout --yes",
    "group bind biology",
    "group unbind",
    "group remove biology --yes",
    "credentials list",
    "credentials show CREDENTIAL",
    "credentials activate CREDENTIAL",
    "credentials deactivate CREDENTIAL",
    "credentials delete CREDENTIAL --yes",
    "sessions list",
    "sessions show SESSION",
    "sessions search hello",
    "sessions rename SESSION title",
    "sessions fork SESSION",
    "sessions export SESSION",
    "sessions remove SESSION --yes",
    "events",
    "usage",
    "config list",
    "config get default_model",
    "config set default_model demo/echo",
    "config unset default_model",
    "config path",
    "backup NEW",
    "completion bash",
]
COMMANDS = [*ASKING, *OTHERS]
# It runs until it is stopped, and has a vault of its own.
LEFT_OUT = {"demo"}


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended, and for how many seconds it waited for something."""

    code: int
    said: str
    waited: float


def test_every_command_is_tried() -> None:
    every = {" ".join(path) for path in paths()}
    leaves = {path for path in every if path and not any(other.startswith(f"{path} ") for other in every)}
    words = [command.removeprefix("--store NEW ") for command in COMMANDS]

    assert [
        leaf for leaf in leaves - LEFT_OUT if not any(f"{word} ".startswith(f"{leaf} ") for word in words)
    ] == []


def end(words: list[str], env: Mapping[str, str]) -> Ended:
    """Run a command to its end."""
    with subprocess.Popen(
        [*RAPTCHAT, *words], env=env, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        started = time.monotonic()
        assert process.stdin
        assert process.stderr
        key = DEMO_MANAGEMENT_KEY if "account" in words else DEMO_KEY
        process.stdin.write(f"{key}-new\n".encode())
        process.stdin.close()
        said = process.stderr.read().decode()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        seconds = time.monotonic() - started - busy_seconds(process.pid)
    return Ended(process.returncode, said, seconds)


def busy_seconds(pid: int) -> float:
    """How long the main thread ran, or could have run had there been a processor free (proc(5), `schedstat`)."""
    statistics = Path(f"/proc/{pid}/task/{pid}/schedstat")
    ran, queued, _ = statistics.read_text().split() if statistics.exists() else (0, 0, 0)
    return (int(ran) + int(queued)) / 1e9


@contextmanager
def mute_bus(folder: Path) -> Iterator[str]:
    """The address of a bus that takes every connection and never says a word."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "mute"))
        # The system accepts them: nobody here ever does.
        listening.listen(1000)
        yield f"unix:path={folder}/mute"


@pytest.fixture
def homes(
    raptchat: Run,
    gateway: DemoGateway,
    fresh_secret_service: SecretService,
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[str, str], tuple[list[str], dict[str, str]]]:
    """For the words of a command: what it runs with, in a home of its own whose vault opens with the keyring."""
    fresh_secret_service.apply(monkeypatch)
    monkeypatch.setenv("AI_GATEWAY_URL", gateway.url)
    monkeypatch.setenv("RAPTCHAT_HOME", str(home))
    raptchat("group add-key biology --stdin", stdin=DEMO_KEY)
    raptchat("account login --stdin", stdin=DEMO_MANAGEMENT_KEY)
    monkeypatch.setenv("OPENROUTER_API_KEY", f"{DEMO_KEY}-elsewhere")
    raptchat("chat hello")
    identity = Identity(tmp_path / "identity")
    known = {
        "RECIPIENT": identity.recipient,
        "IDENTITY": str(identity.file),
        "BUNDLE": str(tmp_path / "bundle"),
        "COPY": str(tmp_path / "copy"),
        "SESSION": rows(home, "SELECT id FROM sessions")[0][0],
        "CREDENTIAL": rows(home, "SELECT id FROM ai_credentials")[0][0],
    }
    raptchat(["vault", "export", known["BUNDLE"], "--recipient", known["RECIPIENT"]])
    raptchat(["backup", known["COPY"]])

    def made(words: str, name: str) -> tuple[list[str], dict[str, str]]:
        own = tmp_path / name
        shutil.copytree(home, own)
        here = {**known, "NEW": str(own / "new")}
        return [here.get(word, word) for word in words.split()], {**os.environ, "RAPTCHAT_HOME": str(own)}

    return made


@tried("commands with a keyring that never answers", commit=8, deep=len(COMMANDS))
def test_no_command_waits_for_a_keyring_for_more_than_twelve_seconds(
    homes: Callable[[str, str], tuple[list[str], dict[str, str]]],
    fresh_secret_service: SecretService,
    trials: Trials,
    tmp_path: Path,
) -> None:
    for _, count in trials.batches(len(COMMANDS)):
        ends = {}
        fresh_secret_service.lock()
        with (
            mute_bus(tmp_path) as address,
            fresh_secret_service.nobody_at_the_display() as shown,
            ThreadPoolExecutor(2 * count) as pool,
        ):
            for number, command in enumerate(COMMANDS[:count]):
                words, env = homes(command, f"mute-{number}")
                env["DBUS_SESSION_BUS_ADDRESS"] = address
                ends[command, MUTE] = pool.submit(end, words, env)
                words, env = homes(command, f"locked-{number}")
                ends[command, LOCKED] = pool.submit(end, words, env)
        assert shown.is_set()
        for (command, where), future in ends.items():
            ended = future.result()
            assert ended.waited < MOST_SECONDS, (command, where, ended)
            assert "a bug in raptchat" not in ended.said, (command, where, ended)
            trials.count(**{where: 1, "waited_ten_seconds": ended.waited > 9})
            if where == LOCKED:
                asked = "waiting for the operating system's keyring" in ended.said
                assert asked == (command in ASKING), (command, ended)
