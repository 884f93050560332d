"""The operating system's keyring, on a real Secret Service wherever one can be had."""

import importlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked, PasswordDeleteError
from secret_service import SecretService, running_secret_service

from raptchat import Factory
from raptchat.errors import RaptchatError, VaultLockedError, VaultUnavailableError
from raptchat.vault.keyring import ALLOWED, OsKeyring
from raptchat.vault.patience import Patience

SERVICE = "raptchat:store-1:entry-1"
SECRET = "c2VudGluZWwtMzItYnl0ZXMtb2Ytc2VjcmV0LWtleSE="
SECRET_SERVICE = "keyring.backends.SecretService.Keyring"

linux = pytest.mark.skipif(sys.platform != "linux", reason="the Secret Service is a keyring of Linux desktops")


PLAINTEXT_BACKEND = """
import os
import pathlib
from keyring.backend import KeyringBackend

class Keyring(KeyringBackend):
    priority = 9
    file = pathlib.Path(os.environ["PLAINTEXT_FOLDER"], "secrets.txt")

    def get_password(self, service, username):
        return self.file.read_text() if self.file.exists() else None

    def set_password(self, service, username, password):
        self.file.write_text(password)
"""


class InMemory(KeyringBackend):
    """A backend that works; the tests below change one thing of it each."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.entries: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.entries[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        if self.entries.pop((service, username), None) is None:
            raise PasswordDeleteError("No such password!")


class Failing(InMemory):
    """A backend whose reads raise *errors*, one after another, before they work."""

    def __init__(self, *errors: BaseException) -> None:
        super().__init__()
        self.errors = list(errors)

    def get_password(self, service: str, username: str) -> str | None:
        if self.errors:
            raise self.errors.pop(0)
        return super().get_password(service, username)


def a_script() -> Patience:
    return Patience(interactive=False, tell=lambda line: None)


def opened(backend: KeyringBackend, patience: Patience | None = None) -> OsKeyring:
    return OsKeyring(backend, patience or a_script())


def choose(**environ: str) -> OsKeyring:
    return OsKeyring.choose(environ, patience=a_script())


def remembered(name: str = SECRET_SERVICE, **environ: str) -> OsKeyring:
    return OsKeyring.remembered(name, environ, patience=a_script())


def refused(call: Callable[[], object], within: float = 5.0) -> RaptchatError:
    """The error that *call* ends with, no later than *within* seconds."""
    started = time.monotonic()
    with pytest.raises(RaptchatError) as caught:
        call()
    assert time.monotonic() - started < within
    assert SECRET not in f"{caught.value} {caught.value.hint}"
    return caught.value


def keyring_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "raptchat-keyring"]


def in_a_process(code: str, service: SecretService, **environ: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter with warnings as errors, reaching *service*."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**service.environ, **environ},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )


def settings_file(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`keyring`'s own settings file, naming a backend, in *folder*."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder))
    path = folder / "python_keyring" / "keyringrc.cfg"
    path.parent.mkdir()
    path.write_text(f"[backend]\ndefault-keyring={name}\n" if name else "")
    return path


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose path leaves room for a socket's name."""
    with tempfile.TemporaryDirectory(prefix="bus-") as folder:
        yield Path(folder)


@contextmanager
def listening(path: Path, monkeypatch: pytest.MonkeyPatch, greeting: bytes = b"") -> Iterator[None]:
    """A bus that takes a connection, answers the first line with *greeting*, and says nothing more."""
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", f"unix:path={path}")
    closing = threading.Event()

    def serve() -> None:
        client, _ = server.accept()
        with client:
            client.recv(1024)
            client.sendall(greeting)
            closing.wait(20)

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            closing.set()
            thread.join()


def test_a_secret_comes_back_until_it_is_deleted(
    secret_service: SecretService, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret_service.apply(monkeypatch)
    chosen = choose()
    assert chosen.backend == SECRET_SERVICE
    assert chosen.get(SERVICE) is None

    chosen.put(SERVICE, SECRET)

    assert secret_service.services() == {SERVICE}
    assert remembered(chosen.backend).get(SERVICE) == SECRET
    remembered(chosen.backend).delete(SERVICE)
    assert chosen.get(SERVICE) is None
    chosen.delete(SERVICE)
    assert keyring_threads() == []


def test_an_entry_is_never_overwritten(secret_service: SecretService, monkeypatch: pytest.MonkeyPatch) -> None:
    secret_service.apply(monkeypatch)
    remembered().put(SERVICE, "the first")

    error = refused(lambda: remembered().put(SERVICE, SECRET))

    assert isinstance(error, VaultUnavailableError)
    assert f"`{SERVICE}`" in str(error)
    assert remembered().get(SERVICE) == "the first"


@pytest.mark.parametrize("opening", [choose, remembered])
@pytest.mark.parametrize("method", ["get", "put", "delete"])
def test_a_locked_keyring_without_a_display_says_how_to_unlock_it(
    secret_service: SecretService, monkeypatch: pytest.MonkeyPatch, method: str, opening: Callable[[], OsKeyring]
) -> None:
    secret_service.apply(monkeypatch)
    remembered().put(SERVICE, SECRET)
    secret_service.lock()
    arguments = (SERVICE, SECRET) if method == "put" else (SERVICE,)

    error = refused(lambda: getattr(opening(), method)(*arguments))

    assert isinstance(error, VaultLockedError)
    assert "is locked" in str(error)
    assert "unlock the login keyring" in error.hint
    secret_service.unlock()
    assert remembered().get(SERVICE) == SECRET


def test_a_failed_call_leaves_no_connection_open(
    secret_service: SecretService, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret_service.apply(monkeypatch)
    secret_service.lock()
    locked = remembered()
    refused(lambda: locked.get(SERVICE))
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - counted, not read

    for _ in range(5):
        refused(lambda: locked.get(SERVICE))

    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_a_locked_keyring_with_nobody_at_the_display_ends_at_the_deadline(
    secret_service: SecretService, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret_service.apply(monkeypatch)
    monkeypatch.setattr("raptchat.vault.patience.DEADLINE_SECONDS", 0.5)
    monkeypatch.setattr("raptchat.vault.patience.NOTICE_SECONDS", 0.1)
    secret_service.lock()
    told: list[str] = []
    chosen = OsKeyring.choose({}, patience=Patience(interactive=False, tell=told.append))

    with secret_service.nobody_at_the_display() as shown:
        error = refused(lambda: chosen.get(SERVICE), within=2)
        assert shown.is_set()

    assert isinstance(error, VaultUnavailableError)
    assert "within 0.5 seconds" in str(error)
    assert error.hint == (
        "unlock the keyring and try again, or do without it: "
        "raptchat vault init --file PATH, or raptchat vault init --passphrase"
    )
    assert len(told) == 1
    assert told[0].startswith("waiting for the operating system's keyring; it may be asking for its password")
    # With the prompt gone, so is the thread that waited for it.
    for thread in keyring_threads():
        thread.join(5)
    assert keyring_threads() == []


def test_a_keyring_that_is_unlocked_elsewhere_while_it_asks_is_read(
    secret_service: SecretService, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret_service.apply(monkeypatch)
    remembered().put(SERVICE, SECRET)
    secret_service.lock()
    with ThreadPoolExecutor(1) as pool:
        with secret_service.nobody_at_the_display() as shown:
            reading = pool.submit(remembered().get, SERVICE)
            assert shown.wait(20), "no prompt was asked for"
            secret_service.unlock()
        assert reading.result(20) == SECRET


def test_ctrl_c_works_while_the_keyring_waits(secret_service: SecretService) -> None:
    secret_service.lock()
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from raptchat.vault.keyring import OsKeyring\n"
        "from raptchat.vault.patience import Patience\n"
        "patience = Patience(interactive=True, tell=print)\n"
        f"OsKeyring.remembered({SECRET_SERVICE!r}, patience=patience).get({SERVICE!r})"
    )
    with secret_service.nobody_at_the_display() as shown:
        process = subprocess.Popen(
            [sys.executable, "-c", code], env=secret_service.environ, stderr=subprocess.PIPE, text=True
        )
        with process:
            assert shown.wait(20), "no prompt was asked for"
            started = time.monotonic()
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=20)

    assert time.monotonic() - started < 3
    assert said.rstrip().endswith("KeyboardInterrupt")


def test_a_daemon_that_died_is_started_again_for_the_tests_that_follow(
    fresh_secret_service: SecretService, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh_secret_service.apply(monkeypatch)
    assert not fresh_secret_service.revive()

    fresh_secret_service.kill_daemon()

    assert fresh_secret_service.revive()
    assert fresh_secret_service.services() == set()


def test_a_keyring_that_was_never_set_up_is_not_available(monkeypatch: pytest.MonkeyPatch) -> None:
    with running_secret_service(initialised=False) as service:
        service.apply(monkeypatch)

        error = refused(lambda: choose().put(SERVICE, SECRET))

    assert isinstance(error, VaultUnavailableError)
    assert "not available: Failed to create the collection" in str(error)
    assert "raptchat vault init --file PATH" in error.hint


@pytest.mark.parametrize("method", ["get", "delete"])
def test_to_look_for_an_entry_or_to_remove_it_nobody_is_asked_to_make_a_keyring(
    monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr("raptchat.vault.patience.DEADLINE_SECONDS", 2.0)
    with running_secret_service(initialised=False) as service, service.nobody_at_the_display() as shown:
        service.apply(monkeypatch)

        assert getattr(remembered(), method)(SERVICE) is None
        assert not shown.is_set()


def test_a_daemon_that_dies_between_two_calls_is_not_available(
    fresh_secret_service: SecretService, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh_secret_service.apply(monkeypatch)
    chosen = choose()
    chosen.put(SERVICE, SECRET)
    fresh_secret_service.kill_daemon()

    errors = [refused(lambda: chosen.get(SERVICE)), refused(choose)]

    for error in errors:
        assert isinstance(error, VaultUnavailableError)
        assert "not available" in str(error)
        assert "raptchat vault init --passphrase" in error.hint


def test_a_bus_that_dies_between_two_calls_is_not_available(
    fresh_secret_service: SecretService, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh_secret_service.apply(monkeypatch)
    chosen = choose()
    chosen.put(SERVICE, SECRET)
    fresh_secret_service.kill_bus()

    error = refused(lambda: chosen.get(SERVICE))

    assert isinstance(error, VaultUnavailableError)
    assert "Connection refused" in str(error)


def test_two_first_runs_at_once_both_keep_their_secret(
    fresh_secret_service: SecretService, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "import sys\n"
        "from raptchat.vault.keyring import OsKeyring\n"
        "from raptchat.vault.patience import Patience\n"
        "chosen = OsKeyring.choose(patience=Patience(interactive=False, tell=print))\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "chosen.put(sys.argv[1], sys.argv[1] + ' secret')\n"
    )
    services = [f"raptchat:store-{number}:entry" for number in range(2)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", code, service],
            env=fresh_secret_service.environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for service in services
    ]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=30)

    assert [process.returncode for process in processes] == [0, 0]
    fresh_secret_service.apply(monkeypatch)
    chosen = choose()
    assert [chosen.get(service) for service in services] == [f"{service} secret" for service in services]


@pytest.mark.parametrize(
    "opening",
    ["OsKeyring.choose({}", f"OsKeyring.remembered({SECRET_SERVICE!r}, {{}}"],
    ids=["choose", "remembered"],
)
def test_no_entry_points_are_scanned(secret_service: SecretService, opening: str) -> None:
    code = (
        "import keyring\n"
        "from keyring.compat.py312 import metadata\n"
        "from raptchat.vault.keyring import OsKeyring\n"
        "from raptchat.vault.patience import Patience\n"
        "scans = []\n"
        "metadata.entry_points = lambda **wanted: scans.append(wanted) or ()\n"
        f"{opening}, patience=Patience(interactive=False, tell=print)).get({SERVICE!r})\n"
        "ours = len(scans)\n"
        "keyring.get_keyring()\n"
        "print(ours, len(scans))\n"
    )

    assert in_a_process(code, secret_service).stdout == "0 1\n"


def test_a_chainer_stands_for_the_best_backend_that_answers(
    secret_service: SecretService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    secret_service.apply(monkeypatch)
    chainer = "keyring.backends.chainer.ChainerBackend"
    assert choose(PYTHON_KEYRING_BACKEND=chainer).backend == SECRET_SERVICE

    settings_file(chainer, tmp_path, monkeypatch)

    assert choose().backend == SECRET_SERVICE


def test_a_broken_backend_does_not_stand_in_the_way_of_one_that_works(
    secret_service: SecretService, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret_service.apply(monkeypatch)
    monkeypatch.setitem(sys.modules, "keyring.backends.libsecret", None)

    assert choose().backend == SECRET_SERVICE


def test_the_settings_file_may_name_an_allowed_backend(
    secret_service: SecretService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    secret_service.apply(monkeypatch)
    settings_file(SECRET_SERVICE, tmp_path, monkeypatch)

    assert choose().backend == SECRET_SERVICE


@linux
@pytest.mark.parametrize("address", ["unix:path={0}/nothing", "tcp:host=localhost,port=1", "nonsense", None])
def test_a_dead_bus_address_is_not_available(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, address: str | None
) -> None:
    if address is None:
        monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    else:
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address.format(tmp_path))

    for call in (choose, lambda: remembered().get(SERVICE)):
        error = refused(call)
        assert isinstance(error, VaultUnavailableError)
        assert "raptchat vault init --file PATH" in error.hint


@linux
def test_a_bus_that_accepts_and_never_answers_is_given_up(
    monkeypatch: pytest.MonkeyPatch, short_folder: Path
) -> None:
    with listening(short_folder / "bus", monkeypatch):
        error = refused(lambda: remembered().get(SERVICE))

    assert isinstance(error, VaultUnavailableError)
    assert "Did not authenticate" in str(error)


@linux
def test_a_bus_that_falls_silent_after_the_greeting_ends_at_the_deadline(
    monkeypatch: pytest.MonkeyPatch, short_folder: Path
) -> None:
    monkeypatch.setattr("raptchat.vault.patience.DEADLINE_SECONDS", 0.5)
    with listening(short_folder / "bus", monkeypatch, greeting=b"OK 0123456789abcdef0123456789abcdef\r\n"):
        error = refused(choose, within=2)
        waiting = keyring_threads()

    assert isinstance(error, VaultUnavailableError)
    assert "within 0.5 seconds" in str(error)
    assert len(waiting) == 1
    waiting[0].join(5)
    assert keyring_threads() == []


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("keyring.backends.null.Keyring", "it keeps nothing"),
        ("keyring.backends.fail.Keyring", "it stands for no keyring at all"),
        ("plaintext_backend.Keyring", "may keep secrets in a plain file"),
        ("keyrings.alt.file.PlaintextKeyring", "may keep secrets in a plain file"),
        ("not a class path", "may keep secrets in a plain file"),
    ],
)
@pytest.mark.parametrize("source", ["variable", "settings file", "store"])
def test_a_backend_that_is_not_the_operating_systems_is_refused_before_it_is_imported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, why: str, source: str
) -> None:
    (tmp_path / "plaintext_backend.py").write_text(PLAINTEXT_BACKEND)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PLAINTEXT_FOLDER", str(tmp_path))
    monkeypatch.delitem(sys.modules, "plaintext_backend", raising=False)
    settings = settings_file(name if source == "settings file" else "", tmp_path, monkeypatch)
    tries: dict[str, tuple[str, Callable[[], OsKeyring]]] = {
        "variable": ("PYTHON_KEYRING_BACKEND", lambda: choose(PYTHON_KEYRING_BACKEND=name)),
        "settings file": (str(settings), choose),
        "store": ("the store", lambda: remembered(name)),
    }
    named_by, call = tries[source]

    error = refused(call)

    assert isinstance(error, VaultUnavailableError)
    assert f"`{name}`, named by {named_by}, is refused" in str(error)
    assert why in str(error)
    assert error.hint == "raptchat vault init --file PATH, or raptchat vault init --passphrase"
    assert "plaintext_backend" not in sys.modules
    assert not (tmp_path / "secrets.txt").exists()


def test_the_variable_wins_over_what_the_store_remembers() -> None:
    name = "keyring.backends.kwallet.DBusKeyring"

    assert remembered(SECRET_SERVICE, PYTHON_KEYRING_BACKEND=name).backend == name


def test_an_empty_variable_and_a_chainer_leave_what_the_store_remembers() -> None:
    for value in ("", "keyring.backends.chainer.ChainerBackend"):
        assert remembered(SECRET_SERVICE, PYTHON_KEYRING_BACKEND=value).backend == SECRET_SERVICE


def test_a_store_cannot_remember_a_chainer() -> None:
    error = refused(lambda: remembered("keyring.backends.chainer.ChainerBackend"))

    assert "named by the store, is refused" in str(error)


def test_an_allowed_backend_that_cannot_work_here_says_why() -> None:
    name = "keyring.backends.Windows.WinVaultKeyring"

    error = refused(lambda: choose(PYTHON_KEYRING_BACKEND=name))

    assert isinstance(error, VaultUnavailableError)
    assert "Requires Windows and pywin32" in str(error)


def test_a_broken_settings_file_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings_file("", tmp_path, monkeypatch).write_text("default-keyring without a section\n")

    assert isinstance(refused(choose), VaultUnavailableError)


@pytest.mark.filterwarnings("ignore::ImportWarning")  # libsecret's bindings, where they are installed
@pytest.mark.parametrize("name", sorted(ALLOWED))
def test_every_allowed_name_is_a_class_of_keyring(name: str) -> None:
    assert remembered(name).backend == name


@pytest.mark.parametrize("kept", [None, "", SECRET[:-1], f"{SECRET}\n", "ü"])
def test_a_backend_that_does_not_give_back_what_it_was_given_is_refused(kept: str | None) -> None:
    class Lying(InMemory):
        def set_password(self, service: str, username: str, password: str) -> None:
            if kept is not None:
                super().set_password(service, username, kept)

    error = refused(lambda: opened(Lying()).put(SERVICE, SECRET))

    assert isinstance(error, VaultUnavailableError)
    assert "did not keep what it was given" in str(error)


def test_an_entry_that_another_process_deletes_first_is_gone_all_the_same() -> None:
    class Raced(InMemory):
        def delete_password(self, service: str, username: str) -> None:
            self.entries.clear()
            raise PasswordDeleteError("No such password!")

    raced = Raced()
    opened(raced).put(SERVICE, SECRET)

    opened(raced).delete(SERVICE)

    assert opened(raced).get(SERVICE) is None


@pytest.mark.parametrize("says", ["Cancelled by user", None])
def test_an_entry_that_stays_is_not_called_deleted(says: str | None) -> None:
    class Keeping(InMemory):
        def delete_password(self, service: str, username: str) -> None:
            if says:
                raise PasswordDeleteError(says)

    keeping = Keeping()
    opened(keeping).put(SERVICE, SECRET)

    error = refused(lambda: opened(keeping).delete(SERVICE))

    assert isinstance(error, VaultUnavailableError)
    assert f"did not remove its entry `{SERVICE}`" in str(error)
    assert str(error).endswith(f": {says}" if says else "`")


@pytest.mark.parametrize(
    "error",
    [
        OSError(1312, "A specified logon session does not exist"),
        ModuleNotFoundError("No module named 'gi'"),
        ValueError("Empty module name"),
        type("PanicException", (BaseException,), {})("a panic"),
        AssertionError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_a_backend_raises_is_not_available(error: BaseException) -> None:
    said = refused(lambda: opened(Failing(error)).get(SERVICE))

    assert type(said) is VaultUnavailableError
    assert (str(error) or "AssertionError") in str(said)
    assert said.__context__ is None, "the foreign error, and with it its frames, would live on"


def secret_storage_errors(*names: str) -> list[Any]:
    """Errors as SecretStorage has them, also where it is not installed."""
    return [type(name, (Exception,), {})("said by the service") for name in names]


@pytest.mark.parametrize(
    "error",
    [KeyringLocked("no"), *secret_storage_errors("LockedException", "PromptDismissedException")],
    ids=lambda error: type(error).__name__,
)
def test_a_locked_keyring_is_told_from_one_that_is_not_there(error: Exception) -> None:
    said = refused(lambda: opened(Failing(error)).get(SERVICE))

    assert type(said) is VaultLockedError
    assert str(error) in str(said)


@linux
def test_the_names_of_secret_storages_errors_are_still_these() -> None:
    from secretstorage import exceptions

    for name in ("LockedException", "PromptDismissedException", "ItemNotFoundException"):
        assert hasattr(exceptions, name)


@pytest.mark.parametrize(("times", "found"), [(1, True), (3, True), (4, False)])
def test_an_item_that_vanishes_for_a_moment_is_asked_for_again(times: int, *, found: bool) -> None:
    backend = Failing(*secret_storage_errors(*["ItemNotFoundException"] * times))
    backend.entries[SERVICE, "raptchat"] = SECRET

    if found:
        assert opened(backend).get(SERVICE) == SECRET
    else:
        assert type(refused(lambda: opened(backend).get(SERVICE))) is VaultUnavailableError


def test_what_a_backend_says_cannot_act_on_the_terminal_or_show_the_secret() -> None:
    class Chatty(InMemory):
        def set_password(self, service: str, username: str, password: str) -> None:
            raise ValueError(f"\x1b[2Jcannot keep {password}\n" + "x" * 5000)

    error = refused(lambda: opened(Chatty()).put(SERVICE, SECRET))

    assert "␛[2Jcannot keep ***␊" in str(error)
    assert str(error).isprintable()
    assert len(str(error)) < 300


@pytest.mark.parametrize(
    ("interactive", "deadline"),
    [(False, "DEADLINE_SECONDS"), (True, "INTERACTIVE_DEADLINE_SECONDS")],
    ids=["script", "person"],
)
def test_a_script_and_a_person_have_a_deadline_each(
    monkeypatch: pytest.MonkeyPatch, *, interactive: bool, deadline: str
) -> None:
    monkeypatch.setattr(f"raptchat.vault.patience.{deadline}", 0.05)
    end = threading.Event()

    class Hanging(InMemory):
        def get_password(self, service: str, username: str) -> str | None:
            end.wait(20)
            return None

    try:
        patience = Patience(interactive=interactive, tell=lambda line: None)
        error = refused(lambda: opened(Hanging(), patience).get(SERVICE))
    finally:
        end.set()
    for thread in keyring_threads():
        thread.join(5)

    assert "within 0.05 seconds" in str(error)


def test_the_first_slow_answer_is_announced_and_a_fast_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raptchat.vault.patience.NOTICE_SECONDS", 0.05)
    announced = threading.Event()

    class Slow(InMemory):
        def get_password(self, service: str, username: str) -> str | None:
            announced.wait(20)
            if service == "slow again":
                time.sleep(0.1)
            return super().get_password(service, username)

    told: list[str] = []

    def announce(line: str) -> None:
        told.append(line)
        announced.set()

    slow = opened(Slow(), Patience(interactive=True, tell=announce))

    for service in (SERVICE, SERVICE, "slow again"):
        assert slow.get(service) is None

    assert len(told) == 1
    assert keyring_threads() == []


def test_once_a_call_was_given_up_the_next_is_not_even_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raptchat.vault.patience.DEADLINE_SECONDS", 0.05)
    end = threading.Event()
    calls: list[str] = []

    class Hanging(InMemory):
        def get_password(self, service: str, username: str) -> str | None:
            calls.append(service)
            end.wait(20)
            return None

    told: list[str] = []
    patience = Patience(interactive=False, tell=told.append)
    hanging, other = opened(Hanging(), patience), opened(InMemory(), patience)
    try:
        errors = [
            refused(lambda: hanging.get(SERVICE)),
            refused(lambda: hanging.get(SERVICE)),
            refused(lambda: other.put(SERVICE, SECRET)),
            refused(lambda: OsKeyring.choose({}, patience=patience)),
        ]
    finally:
        end.set()
    for thread in keyring_threads():
        thread.join(5)

    assert {str(error) for error in errors} == {str(errors[0])}
    assert "within 0.05 seconds" in str(errors[0])
    assert calls == [SERVICE]
    assert len(told) == 1


def test_a_backend_is_imported_before_anything_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    importing: list[threading.Thread] = []
    real = importlib.import_module

    def noted(name: str) -> object:
        importing.append(threading.current_thread())
        return real(name)

    monkeypatch.setattr(importlib, "import_module", noted)
    for opening in (remembered, choose):
        importing.clear()
        with suppress(RaptchatError):
            opening()
        assert importing[0] is threading.main_thread()


def test_what_one_call_takes_the_next_does_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raptchat.vault.patience.DEADLINE_SECONDS", 20.0)
    never = threading.Event()

    class Slow(InMemory):
        def get_password(self, service: str, username: str) -> str | None:
            never.wait(0.1)
            return None

    patience = Patience(interactive=False, tell=lambda line: None)
    for calls in (1, 2, 3):
        opened(Slow(), patience).get(SERVICE)
        assert patience.left < 20.0 - 0.09 * calls


def test_a_vault_with_several_entries_in_a_hanging_keyring_waits_once(
    secret_service: SecretService, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret_service.apply(monkeypatch)
    monkeypatch.setenv("RAPTCHAT_HOME", str(home))
    with Factory() as factory:
        factory.vault.init("keyring")
        factory.vault.add("keyring")
    secret_service.lock()
    monkeypatch.setattr("raptchat.vault.patience.DEADLINE_SECONDS", 0.5)
    monkeypatch.setattr("raptchat.vault.patience.NOTICE_SECONDS", 0.1)
    told: list[str] = []

    with secret_service.nobody_at_the_display(), Factory(tell=told.append) as factory:
        assert [status.opens for status in factory.vault.status()] == [False, False]
        with pytest.raises(VaultUnavailableError, match=r"within 0\.5 seconds"):
            factory.vault.data_key()

    assert len(told) == 1
    for thread in keyring_threads():
        thread.join(5)
