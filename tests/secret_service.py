"""A real Secret Service on a bus of its own: what the keyring code is tested against.

`gnome-keyring-daemon` runs on a private `dbus-daemon` with its own home, so that neither the keyring nor the
session of whoever runs the tests is touched. The bus starts nothing by itself: a killed daemon stays dead, and
there is nobody to show a prompt, unless a test puts somebody there. Needs Linux, and the Debian packages
`gnome-keyring` and `dbus-daemon`.
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from keyring_daemon import BUS
from programs import installed

if sys.platform == "linux":  # the only place where `keyring` brings SecretStorage along
    import secretstorage
    from jeepney import (  # type: ignore[import-untyped]
        DBusAddress,
        DBusErrorResponse,
        HeaderFields,
        MessageType,
        new_method_call,
        new_method_return,
    )
    from jeepney.bus_messages import message_bus  # type: ignore[import-untyped]
    from jeepney.io.blocking import (  # type: ignore[import-untyped]
        DBusConnection,
        Proxy,
        open_dbus_connection,
    )
    from secretstorage.util import format_secret, open_session

    SECRETS = DBusAddress("/org/freedesktop/secrets", "org.freedesktop.secrets", "org.freedesktop.Secret.Service")
    # What the daemon has for its own tests: it unlocks without a prompt.
    INTERNAL = DBusAddress(
        SECRETS.object_path, SECRETS.bus_name, "org.gnome.keyring.InternalUnsupportedGuiltRiddenInterface"
    )
    PROMPTER = DBusAddress(
        "/org/gnome/keyring/Prompter", "org.gnome.keyring.SystemPrompter", "org.gnome.keyring.internal.Prompter"
    )

__all__ = ["SecretService", "fresh_secret_service", "running_secret_service", "secret_service", "shared_daemon"]

PASSWORD = "correct horse"
PATIENCE_SECONDS = 20.0

NOT_INHERITED = {
    "DBUS_SESSION_BUS_ADDRESS",
    "DISPLAY",
    "GNOME_KEYRING_CONTROL",
    "PYTHON_KEYRING_BACKEND",
    "WAYLAND_DISPLAY",
}


class SecretService:
    """A bus with a keyring daemon; *environ* is the whole environment of a process that is to reach it."""

    def __init__(self, home: Path) -> None:
        self.environ = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
        self.environ["HOME"] = str(home)
        self.environ["DBUS_SESSION_BUS_ADDRESS"] = f"unix:path={home}/bus"
        for name in ("XDG_RUNTIME_DIR", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
            folder = home / name.lower()
            folder.mkdir(mode=0o700)
            self.environ[name] = str(folder)
        self._home = home
        self._bus: subprocess.Popen[bytes] | None = None
        self._daemon: subprocess.Popen[bytes] | None = None

    def start(self, *, initialised: bool = True) -> None:
        """Start bus and daemon, unlocked; or else as on a machine where nobody ever logged in at a desktop."""
        settings = self._home / "bus.conf"
        settings.write_text(BUS.format(socket=self._home / "bus"))
        self._bus = self._popen("dbus-daemon", f"--config-file={settings}", "--nofork", "--nopidfile")
        self._wait_until(self._listens)
        self._start_daemon(initialised=initialised)

    def revive(self, *, seconds: float = 0) -> bool:
        """Start the daemon again if it has died, or does within *seconds*, with the keyring that it had.

        Whether it has: it does, once in many thousands, when a client is killed in the middle of a call.
        """
        if self._daemon is None:
            return False
        try:
            self._daemon.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        self._start_daemon(initialised=True)
        return True

    def _start_daemon(self, *, initialised: bool) -> None:
        unlock = ["--unlock"] if initialised else []
        self._daemon = self._popen(
            "gnome-keyring-daemon", "--foreground", "--components=secrets", *unlock, password=PASSWORD
        )
        self._wait_until(self._is_unlocked if initialised else self._is_there)

    def apply(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make this the keyring of the test's own process."""
        for name in os.environ.keys() - self.environ.keys():
            monkeypatch.delenv(name)
        for name, value in self.environ.items():
            monkeypatch.setenv(name, value)

    def lock(self) -> None:
        """Lock the default collection, as the desktop's password manager does."""
        with closing(self._connect()) as connection:
            secretstorage.Collection(connection).lock()

    def unlock(self) -> None:
        """Unlock the default collection without a prompt."""
        with closing(self._connect()) as connection:
            master = format_secret(open_session(connection), PASSWORD.encode(), "text/plain")
            (path,) = _call(connection, SECRETS, "ReadAlias", "s", "default")
            _call(connection, INTERNAL, "UnlockWithMasterPassword", "o(oayays)", path, master)

    def clear(self) -> None:
        """Make the keyring unlocked and empty again."""
        self.unlock()
        with closing(self._connect()) as connection:
            for item in secretstorage.Collection(connection).get_all_items():
                item.delete()

    def services(self) -> set[str]:
        """The service names of all entries."""
        with closing(self._connect()) as connection:
            items = secretstorage.Collection(connection).get_all_items()
            return {item.get_attributes()["service"] for item in items}

    @contextmanager
    def nobody_at_the_display(self) -> Iterator[threading.Event]:
        """A desktop that shows prompts while nobody is there; the event is set once one is shown.

        A thread owns the prompter's name on the bus, takes what it is asked to show, and never says that somebody
        answered. To the daemon that is the same as the desktop's own prompter on a screen that nobody looks at.
        """
        shown = threading.Event()
        with closing(self._connect()) as connection:
            (granted,) = Proxy(message_bus, connection).RequestName(PROMPTER.bus_name)
            assert granted == 1, "another prompter is on the bus"
            prompter = threading.Thread(target=_show_prompts, args=(connection, shown), daemon=True)
            prompter.start()
            try:
                yield shown
            finally:
                # Only a message wakes it: closing a socket that is waited for does not.
                with closing(self._connect()) as other:
                    _call(other, PROMPTER, "Quit", "")
                prompter.join()

    def kill_daemon(self) -> None:
        """End the daemon as a crash does."""
        _kill(self._daemon)

    def kill_bus(self) -> None:
        """End the bus as a crash does."""
        _kill(self._bus)

    def _popen(self, *command: str, password: str = "") -> "subprocess.Popen[bytes]":
        with (self._home / "log").open("ab") as log:
            process = subprocess.Popen(command, env=self.environ, stdin=subprocess.PIPE, stdout=log, stderr=log)
        assert process.stdin
        with process.stdin as stdin:
            stdin.write(password.encode())
        return process

    def _connect(self) -> "DBusConnection":
        return open_dbus_connection(self.environ["DBUS_SESSION_BUS_ADDRESS"])

    def _wait_until(self, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not ready():
            if time.monotonic() > deadline:
                pytest.fail(f"the Secret Service does not start: {(self._home / 'log').read_text()[-2000:]}")
            time.sleep(0.005)

    def _listens(self) -> bool:
        try:
            self._connect().close()
        except (FileNotFoundError, ConnectionError):
            return False
        return True

    def _is_there(self) -> bool:
        with closing(self._connect()) as connection:
            (owned,) = Proxy(message_bus, connection).NameHasOwner(SECRETS.bus_name)
            return bool(owned)

    def _is_unlocked(self) -> bool:
        with closing(self._connect()) as connection:
            try:
                return not secretstorage.Collection(connection).is_locked()
            except secretstorage.SecretStorageException:
                return False


@contextmanager
def running_secret_service(*, initialised: bool = True) -> Iterator[SecretService]:
    """A Secret Service of its own; its processes and files are gone at the end, whatever happens in between."""
    _require_programs()
    # Not pytest's folder: the path of a socket has 107 bytes at most.
    with tempfile.TemporaryDirectory(prefix="keyring-") as home:
        service = SecretService(Path(home))
        try:
            service.start(initialised=initialised)
            yield service
        finally:
            service.kill_daemon()
            service.kill_bus()


@pytest.fixture(scope="session")
def shared_daemon() -> Iterator[SecretService]:
    """One daemon for all tests of a worker; tests use `secret_service`, which empties it first."""
    with running_secret_service() as service:
        yield service


@pytest.fixture
def secret_service(shared_daemon: SecretService) -> SecretService:
    """An unlocked, empty keyring. Tests may lock it, and must not kill it."""
    shared_daemon.revive()
    try:
        shared_daemon.clear()
    except secretstorage.exceptions.SecretServiceNotAvailableException:
        # What the test before did to it has ended it only now.
        if not shared_daemon.revive(seconds=5):
            raise
        shared_daemon.clear()
    return shared_daemon


@pytest.fixture
def fresh_secret_service() -> Iterator[SecretService]:
    """An unlocked, empty keyring that this test may kill."""
    with running_secret_service() as service:
        yield service


def _require_programs() -> None:
    if sys.platform != "linux":
        pytest.skip("the Secret Service is a keyring of Linux desktops")
    installed("dbus-daemon", "dbus-daemon")
    installed("gnome-keyring-daemon", "gnome-keyring")


def _kill(process: "subprocess.Popen[bytes] | None") -> None:
    if process:
        process.kill()
        process.wait()


def _call(
    connection: "DBusConnection", address: "DBusAddress", method: str, signature: str, *body: object
) -> tuple[object, ...]:
    message = new_method_call(address, method, signature, body)
    reply = connection.send_and_get_reply(message, timeout=PATIENCE_SECONDS)
    if reply.header.message_type is MessageType.error:
        raise DBusErrorResponse(reply)
    answer: tuple[object, ...] = reply.body
    return answer


def _show_prompts(connection: "DBusConnection", shown: threading.Event) -> None:
    method = ""
    while method != "Quit":
        message = connection.receive()
        if message.header.message_type is MessageType.method_call:
            method = message.header.fields[HeaderFields.member]
            connection.send(new_method_return(message))
            if method == "BeginPrompting":
                shown.set()
