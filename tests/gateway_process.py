"""A gateway of another project, as a process on the loopback: started, waited for, and gone at the end."""

import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from programs import is_missing

_PATIENCE_SECONDS = 90.0
_ATTEMPTS = 3


def program(variable: str, session: str) -> str:
    """The program that *variable* names; without it the test is left out, but not in CI."""
    return os.environ.get(variable) or is_missing(f"`nox -s {session}` installs it and sets {variable}")


@contextmanager
def serving(
    command: Callable[[int], Sequence[str]], *, ready: str, folder: Path, environ: Mapping[str, str]
) -> Iterator[int]:
    """The port at which *command* answers at the path *ready*; all that it starts is killed at the end.

    It runs in *folder*, with that as its home, and has nothing of the environment but *environ*.
    """
    log = folder / "log"
    for attempt in range(_ATTEMPTS):
        port = _free_port()
        with (
            log.open("wb") as out,
            subprocess.Popen(
                command(port),
                cwd=folder,
                env={"PATH": os.defpath, "HOME": str(folder), "PYTHONUNBUFFERED": "1", **environ},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            ) as process,
        ):
            try:
                if _answers(port, ready, process):
                    yield port
                    return
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        # Another process took the port in between: once in a while.
        if process.returncode is None or attempt == _ATTEMPTS - 1:
            break
    pytest.fail(f"{command(0)[0]} does not answer: {log.read_text(errors='replace')[-2000:]}")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _answers(port: int, path: str, process: "subprocess.Popen[bytes]") -> bool:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with (
            suppress(OSError, http.client.HTTPException),
            closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection,
        ):
            connection.request("GET", path)
            with connection.getresponse() as response:
                if response.status < 500:
                    return True
        time.sleep(0.1)
    return False
