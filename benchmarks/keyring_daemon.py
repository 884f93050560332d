"""A real Secret Service on a bus of its own: what most desktops keep the master key in.

Needs Linux and the Debian packages `gnome-keyring` and `dbus-daemon`. No keyring of whoever measures is touched.
The tests have one that can be locked and killed, with packages that the harness does without.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from measuring import Program, ProgramError

_PATIENCE_SECONDS = 20.0

# A session bus that starts nothing by itself.
BUS = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
  "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""
_READ = "from keyring.backends.SecretService import Keyring; Keyring().get_password('benchmark', 'none')"


def is_installed() -> bool:
    """Whether this machine can have one."""
    return sys.platform == "linux" and all(map(shutil.which, ("dbus-daemon", "gnome-keyring-daemon")))


@contextmanager
def running(python: Program) -> Iterator[Mapping[str, str]]:
    """An unlocked, empty keyring; what is yielded goes into the environment of a program that is to use it.

    *python* has the package `keyring`, which tells when the daemon answers.
    """
    # The path of a socket has 107 bytes at most.
    with tempfile.TemporaryDirectory(prefix="keyring-") as folder, ExitStack() as stack:
        home = Path(folder)
        added = {"HOME": folder, "DBUS_SESSION_BUS_ADDRESS": f"unix:path={folder}/bus"}
        for name in ("XDG_RUNTIME_DIR", "XDG_DATA_HOME", "XDG_CONFIG_HOME"):
            added[name] = str(home / name.lower())
            Path(added[name]).mkdir(mode=0o700)
        (home / "bus.conf").write_text(BUS.format(socket=home / "bus"), encoding="utf-8")
        environ = {**python.environ, **added}
        _start(stack, environ, "dbus-daemon", f"--config-file={home}/bus.conf", "--nofork", "--nopidfile")
        _until((home / "bus").exists)
        password = _start(
            stack, environ, "gnome-keyring-daemon", "--foreground", "--components=secrets", "--unlock"
        )
        with password:
            password.write(b"benchmark")
        read = [*python.command, "-c", _READ]
        _until(lambda: _succeeds(read, environ))
        yield {name: value for name, value in added.items() if name != "HOME"}


def _start(stack: ExitStack, environ: Mapping[str, str], *command: str) -> IO[bytes]:
    """Start a daemon that ends with *stack*; returns its standard input."""
    process = subprocess.Popen(
        command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    stack.enter_context(process)
    stack.callback(process.kill)
    assert process.stdin
    return process.stdin


def _succeeds(command: Sequence[str], environ: Mapping[str, str]) -> bool:
    """Whether *command* does; one that is not answered is ended."""
    try:
        ended = subprocess.run(
            command, env=environ, stderr=subprocess.DEVNULL, timeout=_PATIENCE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return ended.returncode == 0


def _until(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not ready():
        if time.monotonic() > deadline:
            raise ProgramError("the Secret Service does not start")
        time.sleep(0.01)
