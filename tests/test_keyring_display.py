"""A locked keyring on a desktop where nobody sits: the real prompter on a real X server."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from conftest import rows
from processes import run, started
from programs import installed, is_missing
from secret_service import SecretService

from raptchat.demo import DEMO_KEY, DemoGateway

if sys.platform == "linux":
    from jeepney.bus_messages import message_bus  # type: ignore[import-untyped]
    from jeepney.io.blocking import Proxy, open_dbus_connection  # type: ignore[import-untyped]

pytestmark = pytest.mark.process

PROMPTERS = ("/usr/libexec/gcr-prompter", "/usr/lib/gcr/gcr-prompter")
PROMPTER_NAME = "org.gnome.keyring.SystemPrompter"
WIDTH, HEIGHT = 640, 480
PATIENCE_SECONDS = 20.0


class Desktop:
    """A screen without a person."""

    def __init__(self, framebuffer: Path) -> None:
        self._framebuffer = framebuffer

    def shows_something(self) -> bool:
        """Whether a window is on the screen, which is of one colour without any."""
        # An XWD file: a header, then the pixels of 4 bytes.
        pixels = self._framebuffer.read_bytes()[-WIDTH * HEIGHT * 4 :]
        return pixels != pixels[:4] * (len(pixels) // 4)


@pytest.fixture
def desktop(secret_service: SecretService, tmp_path: Path) -> Iterator[Desktop]:
    """An X server with the desktop's own prompter, on the bus of `secret_service`."""
    prompter = next((path for path in PROMPTERS if Path(path).exists()), None)
    if prompter is None:
        is_missing("gcr-prompter not found (Debian package gcr)")
    environ = secret_service.environ
    reading, writing = os.pipe()
    server = [
        installed("Xvfb", "xvfb"),
        "-displayfd",
        str(writing),
        "-screen",
        "0",
        f"{WIDTH}x{HEIGHT}x24",
        "-nolisten",
        "tcp",
    ]
    with (
        open(reading) as display_number,  # noqa: PTH123 - a descriptor
        (tmp_path / "log").open("ab") as log,
        process([*server, "-fbdir", str(tmp_path)], environ, log.fileno(), pass_fds=[writing]),
    ):
        os.close(writing)
        display = f":{display_number.readline().strip()}"
        with process([prompter], {**environ, "DISPLAY": display}, log.fileno()):
            wait_until(lambda: is_owned(PROMPTER_NAME, environ["DBUS_SESSION_BUS_ADDRESS"]))
            yield Desktop(tmp_path / "Xvfb_screen0")


@contextmanager
def process(
    command: list[str], environ: dict[str, str], log: int, *, pass_fds: list[int] | None = None
) -> Iterator[None]:
    """A program that runs meanwhile, and takes its own files away at the end."""
    with subprocess.Popen(command, env=environ, stdout=log, stderr=log, pass_fds=pass_fds or []) as running:
        try:
            yield
        finally:
            running.terminate()


def is_owned(name: str, address: str) -> bool:
    with closing(open_dbus_connection(address)) as connection:
        (owned,) = Proxy(message_bus, connection).NameHasOwner(name)
        return bool(owned)


def wait_until(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_command_ends_though_nobody_answers_the_prompt_on_the_screen(
    secret_service: SecretService, desktop: Desktop, gateway: DemoGateway, home: Path
) -> None:
    env = {**secret_service.environ, "RAPTCHAT_HOME": str(home), "AI_GATEWAY_URL": gateway.url}
    run("group", "add-key", "biology", "--stdin", env=env, stdin=DEMO_KEY)
    secret_service.lock()
    assert not desktop.shows_something()

    with started("chat", "hello", env=env) as chat:
        wait_until(desktop.shows_something)
        out, err = chat.communicate(timeout=PATIENCE_SECONDS)

    assert chat.returncode == 78
    assert out == b""
    assert (
        b"waiting for the operating system's keyring; it may be asking for its password in another window" in err
    )
    assert b"did not answer within 10 seconds" in err
    assert gateway.requests == []
    assert rows(home, "SELECT count(*) FROM messages") == [(0,)]
    secret_service.unlock()
    run("chat", "hello", env=env)
    assert len(gateway.requests) == 1
