"""What commands do in the situations that a Secret Service gets into; the daemon is the real one.

Beside these: a keyring that is unlocked (`test_cli_vault`), one that asks nobody at a display
(`test_keyring_display`), a bus that never answers and first runs at once (`test_keyring`).
"""

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Run, rows
from secret_service import SecretService, running_secret_service

from raptchat.demo import DEMO_KEY, DemoGateway

# A backend that works, and that anybody can read.
PLAINTEXT = """
from pathlib import Path
from keyring.backend import KeyringBackend

class Keyring(KeyringBackend):
    priority = 9

    def get_password(self, service, username):
        return Path("plaintext").read_text() if Path("plaintext").exists() else None

    def set_password(self, service, username, password):
        Path("plaintext").write_text(password)
"""

Situation = Callable[[SecretService, pytest.MonkeyPatch], None]


def plaintext_backend(service: SecretService, monkeypatch: pytest.MonkeyPatch) -> None:
    del service
    Path("written_plainly.py").write_text(PLAINTEXT)
    monkeypatch.syspath_prepend(".")
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "written_plainly.Keyring")


def backend(name: str) -> Situation:
    return lambda _, monkeypatch: monkeypatch.setenv("PYTHON_KEYRING_BACKEND", f"keyring.backends.{name}.Keyring")


SITUATIONS: dict[str, Situation] = {
    "locked, without a display": lambda service, _: service.lock(),
    "daemon killed": lambda service, _: service.kill_daemon(),
    "bus killed": lambda service, _: service.kill_bus(),
    "dead bus address": lambda _, patch: patch.setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere/bus"),
    "null backend": backend("null"),
    "fail backend": backend("fail"),
    "plaintext backend": plaintext_backend,
}


def nothing_was_made(home: Path) -> bool:
    tables = ("groups", "ai_credentials", "vault_keys")
    counts = [rows(home, f"SELECT count(*) FROM {table}") for table in tables]  # noqa: S608 - named above
    return counts == [[(0,)]] * len(tables) and not Path("plaintext").exists()


@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_first_key_is_not_kept_in_a_keyring_that_is(
    situation: str,
    raptchat: Run,
    gateway: DemoGateway,
    fresh_secret_service: SecretService,
    monkeypatch: pytest.MonkeyPatch,
    home: Path,
) -> None:
    fresh_secret_service.apply(monkeypatch)
    SITUATIONS[situation](fresh_secret_service, monkeypatch)

    said = raptchat("group add-key biology --stdin", stdin=DEMO_KEY, exit_code=78)

    assert "hint: " in said.err
    assert nothing_was_made(home)


def test_a_first_key_is_not_kept_where_no_keyring_was_ever_made(
    raptchat: Run, gateway: DemoGateway, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    with running_secret_service(initialised=False) as service:
        service.apply(monkeypatch)
        said = raptchat("group add-key biology --stdin", stdin=DEMO_KEY, exit_code=78)

    assert "vault init --file" in said.err
    assert nothing_was_made(home)


@pytest.mark.parametrize("situation", SITUATIONS)
def test_the_recovery_key_opens_what_is_sealed_with_a_keyring_that_is(
    situation: str,
    raptchat: Run,
    gateway: DemoGateway,
    fresh_secret_service: SecretService,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    fresh_secret_service.apply(monkeypatch)
    raptchat("group add-key biology --stdin", stdin=DEMO_KEY)
    paper = tmp_path / "paper"
    paper.touch(0o600)
    paper.write_text(raptchat("vault add recovery").out)
    SITUATIONS[situation](fresh_secret_service, monkeypatch)

    raptchat("chat hello", exit_code=78)
    assert gateway.requests == []
    monkeypatch.setenv("RAPTCHAT_MASTER_KEY_FILE", str(paper))
    raptchat("chat hello")
    assert [request.api_key for request in gateway.requests] == [DEMO_KEY]
