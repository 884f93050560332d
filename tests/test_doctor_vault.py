"""`raptchat doctor` on vaults whose slots open, do not open, or are not asked for."""

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from conftest import Run, rows
from diagnosis import diagnose, own_home_fixture  # noqa: F401 - a fixture
from processes import AtTerminal
from secret_service import SecretService

from raptchat.config import Settings
from raptchat.credentials.management_key import ManagementKeys
from raptchat.demo import DEMO_KEY, DemoGateway
from raptchat.factory import Factory
from raptchat.secret import Secret

pytestmark = pytest.mark.usefixtures("own_home")

SECRET_SERVICE = "keyring.backends.SecretService.Keyring"
KWALLET = "keyring.backends.kwallet.DBusKeyring"


@pytest.fixture
def passphrase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with a passphrase, which the environment names."""
    file = tmp_path / "passphrase"
    file.write_text("correct horse\n")
    file.chmod(0o600)
    monkeypatch.setenv("RAPTCHAT_PASSPHRASE_FILE", str(file))
    return file


@pytest.fixture
def in_keyring(raptchat: Run, gateway: DemoGateway, home: Path, secret_service: SecretService) -> Iterator[Run]:
    """The app, with a group whose key is sealed by a real keyring."""
    with pytest.MonkeyPatch.context() as patch:
        kept = {"RAPTCHAT_HOME": str(home), "AI_GATEWAY_URL": gateway.url}
        secret_service.apply(patch)
        for name, value in kept.items():
            patch.setenv(name, value)
        raptchat("vault init --keyring")
        raptchat("group add-key biology --stdin", stdin=DEMO_KEY)
        yield raptchat


def slot_of(raptchat: Run, kind: str) -> str:
    slots = json.loads(raptchat("vault status --json").out)["slots"]
    return next(str(one["id"]) for one in slots if one["kind"] == kind)


def test_each_slot_and_each_key_is_said_to_open(biology: Run) -> None:
    found = diagnose(biology)

    assert found.the("vault", f"file {slot_of(biology, 'file')[:8]}")["text"].startswith("opens, by `/")
    assert found.the("store", "seals")["text"] == "every key opens: 1"
    assert found.the("vault", "recovery")["fix"] == "raptchat vault add recovery"


def test_a_recovery_key_is_said_to_be_there(biology: Run) -> None:
    shown: list[str] = []
    with Factory(Settings.load(), keep=shown.append) as factory:
        factory.vault.add("recovery")
    found = diagnose(biology)

    assert found.worse() == []
    assert "nobody is asked" in found.the("vault", f"recovery {slot_of(biology, 'recovery')[:8]}")["text"]
    assert shown[0] not in json.dumps(found.document)


def test_before_there_is_a_vault_it_says_whether_there_is_a_keyring_for_it(
    raptchat: Run, home: Path, secret_service: SecretService, monkeypatch: pytest.MonkeyPatch
) -> None:
    raptchat("group create biology")
    found = diagnose(raptchat)
    assert found.worse() == [("vault", "keyring", "warning")]
    assert found.the("vault", "keyring")["fix"].startswith("raptchat vault init --file PATH")

    monkeypatch.setenv("RAPTCHAT_MASTER_KEY_FILE", os.devnull)
    assert diagnose(raptchat).of("vault", "keyring") == []

    monkeypatch.delenv("RAPTCHAT_MASTER_KEY_FILE")
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", secret_service.environ["DBUS_SESSION_BUS_ADDRESS"])
    assert diagnose(raptchat).the("vault", "keyring")["text"] == SECRET_SERVICE


def test_the_only_slot_that_does_not_open_is_a_problem(biology: Run, tmp_path: Path) -> None:
    (tmp_path / "master.key").unlink()
    found = diagnose(biology, ok=False)

    slot = found.the("vault", f"file {slot_of(biology, 'file')[:8]}")
    assert slot["level"] == "problem"
    assert "cannot be read" in slot["text"]
    assert slot["fix"].startswith("bring back")
    assert "no key was tried" in found.the("store", "seals")["text"]
    assert found.the("store", "integrity")["level"] == "ok"


def test_one_of_two_slots_that_does_not_open_is_a_warning(biology: Run, tmp_path: Path, passphrase: Path) -> None:
    biology("vault add passphrase")
    (tmp_path / "master.key").unlink()
    found = diagnose(biology)

    lost = slot_of(biology, "file")[:8]
    assert found.the("vault", f"file {lost}")["level"] == "warning"
    fix = found.the("vault", f"file {lost}")["fix"]
    assert fix == f"raptchat vault rotate --slot {lost} --file ~/raptchat-master.key"
    assert found.the("vault", f"passphrase {slot_of(biology, 'passphrase')[:8]}")["text"] == "opens"
    assert found.the("store", "seals")["level"] == "ok"
    biology(fix.removeprefix("raptchat ").replace("~", str(tmp_path)))
    assert diagnose(biology).worse() == [("vault", "recovery", "warning")]


def test_nobody_is_asked_for_a_passphrase(
    biology: Run, passphrase: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    biology("vault add passphrase")
    monkeypatch.delenv("RAPTCHAT_PASSPHRASE_FILE")
    with AtTerminal("doctor", "--offline") as terminal:
        said = terminal.ends(0)

    assert "nobody is asked" in " ".join(said.split())
    assert "Passphrase" not in said
    biology("vault remove file --yes", exit_code=2)
    (tmp_path / "master.key").unlink()
    assert (
        "not tried"
        in diagnose(biology, ok=False).the("vault", f"passphrase {slot_of(biology, 'passphrase')[:8]}")["text"]
    )


def test_a_key_that_was_altered_is_named_and_the_others_are_opened(biology: Run, home: Path) -> None:
    biology("group add-key history --stdin --allow-shared", stdin=DEMO_KEY)
    with closing(sqlite3.connect(home / "raptchat.db")) as db, db:
        db.execute(
            "UPDATE ai_credentials SET endpoint = 'https://thief.example:443' WHERE group_id ="
            " (SELECT id FROM groups WHERE name = 'history')"
        )
    found = diagnose(biology, ok=False)

    seal = found.the("store", "seals")
    assert (seal["level"], "`history`" in seal["text"]) == ("problem", True)
    assert seal["fix"] == "raptchat group add-key history --replace"
    with closing(sqlite3.connect(home / "raptchat.db")) as db, db:
        db.execute("UPDATE ai_credentials SET provider = 'openai-compatible' WHERE endpoint LIKE '%thief%'")
    altered = diagnose(biology, ok=False)
    assert altered.the("store", "seals")["fix"].endswith("history --replace --provider openai-compatible")


def test_of_a_retired_key_that_was_altered_it_is_said_how_it_is_removed(biology: Run, home: Path) -> None:
    [(retired,)] = rows(home, "SELECT id FROM ai_credentials")
    biology("group add-key biology --stdin --replace", stdin=f"{DEMO_KEY}-2")
    with closing(sqlite3.connect(home / "raptchat.db")) as db, db:
        db.execute("UPDATE ai_credentials SET nonce = zeroblob(12) WHERE id = ?", [retired])
    fix = diagnose(biology, ok=False).the("store", "seals")["fix"]

    assert fix == f"raptchat credentials delete {retired[:8]}"
    biology(f"{fix.removeprefix('raptchat ')} --yes")
    assert diagnose(biology).the("store", "seals")["level"] == "ok"


def test_of_many_altered_keys_a_few_are_named(biology: Run, home: Path) -> None:
    for number in range(6):
        biology(f"group add-key g{number} --stdin --allow-shared", stdin=DEMO_KEY)
    with closing(sqlite3.connect(home / "raptchat.db")) as db, db:
        db.execute("UPDATE ai_credentials SET nonce = zeroblob(12)")
    found = diagnose(biology, ok=False).of("store", "seals")

    assert len(found) == 6
    assert found[-1]["text"] == "2 more keys do not open"


def test_slots_that_were_taken_out_are_a_problem(biology: Run, home: Path) -> None:
    with closing(sqlite3.connect(home / "raptchat.db")) as db, db:
        db.execute("DELETE FROM vault_slots")
    found = diagnose(biology, ok=False)

    assert [one["level"] for one in found.of("vault", "slots")] == ["problem"]


def test_a_data_key_that_was_taken_out_is_a_problem_with_its_fix(biology: Run, home: Path) -> None:
    with closing(sqlite3.connect(home / "raptchat.db")) as db, db:
        db.execute("DELETE FROM vault_keys")
    slots = diagnose(biology, ok=False).the("vault", "slots")

    assert (slots["level"], "taken out of the store" in slots["text"]) == ("problem", True)
    assert slots["fix"]


def test_what_a_killed_process_left_is_said(biology: Run, home: Path) -> None:
    with closing(sqlite3.connect(home / "raptchat.db")) as db, db:
        db.execute(
            "INSERT INTO vault_slots (id, kind, state, params, created_at)"
            " VALUES ('0b3e7c5e-1f0c-4b52-8a5e-6a7f9ad5a001', 'file', 'pending', '{}', '2026-11-01T00:00:00Z')"
        )

    assert "1 half made or half removed: file" in diagnose(biology, ok=False).the("vault", "leftovers")["text"]


def test_a_key_file_that_others_read_is_a_problem(biology: Run, tmp_path: Path) -> None:
    (tmp_path / "master.key").chmod(0o640)
    found = diagnose(biology, ok=False)

    assert found.the("vault", "key file")["fix"] == f"chmod 600 {tmp_path}/master.key"


def test_a_key_file_beside_the_store_is_a_warning(raptchat: Run, home: Path) -> None:
    raptchat(["vault", "init", "--file", str(home / "master.key")])

    found = diagnose(raptchat).the("vault", "key file")
    assert "a copy of the folder opens every key" in found["text"]
    assert (
        found["fix"]
        == f"raptchat vault rotate --slot {slot_of(raptchat, 'file')[:8]} --file ~/raptchat-master.key"
    )


def test_files_that_variables_name_are_looked_at(
    biology: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAPTCHAT_PASSPHRASE_FILE", str(tmp_path / "nowhere"))
    assert "is not there" in diagnose(biology, ok=False).the("vault", "passphrase file")["text"]
    monkeypatch.delenv("RAPTCHAT_PASSPHRASE_FILE")
    monkeypatch.setenv("RAPTCHAT_MASTER_KEY_FILE", str(tmp_path / "master.key"))
    assert diagnose(biology).the("vault", "key file")["level"] == "ok"
    (tmp_path / "master.key").chmod(0o604)
    assert diagnose(biology, ok=False).the("vault", "key file")["level"] == "problem"


def test_with_broken_settings_the_vault_is_still_looked_at(biology: Run, home: Path) -> None:
    (home / "config.toml").write_text("AI_MAX_RETRIES = 'many'\n")
    found = diagnose(biology, ok=False)

    assert found.the("environment", "settings")["level"] == "problem"
    assert found.the("store", "seals")["text"] == "every key opens: 1"


def test_of_a_keyring_slot_the_backend_is_said(in_keyring: Run) -> None:
    found = diagnose(in_keyring)

    slot = found.the("vault", f"keyring {slot_of(in_keyring, 'keyring')[:8]}")
    assert slot["text"] == f"opens, by `{SECRET_SERVICE}`"
    assert found.the("store", "seals")["level"] == "ok"


def test_a_locked_keyring_is_a_problem(in_keyring: Run, secret_service: SecretService) -> None:
    secret_service.lock()
    try:
        found = diagnose(in_keyring, ok=False)
    finally:
        secret_service.unlock()

    slot = found.the("vault", f"keyring {slot_of(in_keyring, 'keyring')[:8]}")
    assert (slot["level"], "locked" in slot["text"]) == ("problem", True)
    assert found.the("store", "mode")["level"] == "ok"


def test_a_slot_that_another_keyring_holds_is_said_with_what_makes_it_anew(in_keyring: Run, home: Path) -> None:
    in_keyring("vault add recovery")
    slot = slot_of(in_keyring, "keyring")
    with closing(sqlite3.connect(home / "raptchat.db")) as db, db:
        db.execute("UPDATE vault_slots SET params = json_set(params, '$.backend', ?)", [KWALLET])
    found = diagnose(in_keyring, ok=False)
    moved = found.the("vault", "keyring")
    assert (moved["level"], KWALLET in moved["text"], SECRET_SERVICE in moved["text"]) == ("warning", True, True)
    fix = found.the("vault", f"keyring {slot[:8]}")["fix"]
    assert fix == moved["fix"] == f"raptchat vault rotate --slot {slot[:8]}"


def test_where_a_keyring_was_emptied_the_fix_and_the_recovery_key_mend_it(
    in_keyring: Run, secret_service: SecretService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paper = tmp_path / "paper"
    paper.touch(0o600)
    paper.write_text(in_keyring("vault add recovery").out)
    secret_service.clear()
    found = diagnose(in_keyring, ok=False)
    slot = found.the("vault", f"keyring {slot_of(in_keyring, 'keyring')[:8]}")
    assert slot["level"] == "problem"
    monkeypatch.setenv("RAPTCHAT_MASTER_KEY_FILE", str(paper))
    in_keyring(slot["fix"].removeprefix("raptchat "))
    monkeypatch.delenv("RAPTCHAT_MASTER_KEY_FILE")

    assert diagnose(in_keyring).worse() == []


def test_a_keyring_that_a_variable_names_is_said(in_keyring: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", SECRET_SERVICE)
    assert diagnose(in_keyring).the("vault", "keyring variable")["level"] == "ok"

    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    found = diagnose(in_keyring, ok=False)
    refused = found.the("vault", "keyring variable")
    assert ("refused" in refused["text"], refused["fix"]) == (True, "unset PYTHON_KEYRING_BACKEND")
    assert found.of("vault", "keyring") == []


def test_a_keyring_that_does_not_answer_is_given_up(
    in_keyring: Run, secret_service: SecretService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raptchat.vault.patience.DEADLINE_SECONDS", 2.3)
    monkeypatch.setattr("raptchat.vault.patience.NOTICE_SECONDS", 0.1)
    with secret_service.nobody_at_the_display():
        secret_service.lock()
        said = in_keyring("doctor --offline", exit_code=1)
    secret_service.unlock()

    assert "waiting for the operating system's keyring" in said.err
    assert "did not answer within" in said.out


def test_a_reference_that_leads_nowhere_is_a_problem_and_no_command_is_run(
    biology: Run, home: Path, tmp_path: Path
) -> None:
    key, program = tmp_path / "key", tmp_path / "get-key"
    key.write_text("sk-or-v1-of-the-file-0123456789\n")
    key.chmod(0o600)
    program.write_text(f"#!/bin/sh\necho x >> {tmp_path}/ran\necho sk-or-v1-of-the-command-0123456789\n")
    program.chmod(0o700)
    biology("group add-key history --key-file key --reference")
    biology(["group", "add-key", "geography", "--key-command", f"{program} word"])
    found = diagnose(biology).the("vault", "references")
    assert (found["level"], found["text"]) == (
        *("ok", "every file and program that is to give a key is there: 2"),
    )

    key.chmod(0o644)
    program.unlink()
    found_both = diagnose(biology, ok=False).of("vault", "references")
    assert sorted((one["level"], one["fix"]) for one in found_both) == [
        ("problem", "raptchat group add-key geography --replace"),
        ("problem", "raptchat group add-key history --replace"),
    ]
    texts = " ".join(one["text"] for one in found_both)
    assert "group `geography` has no key: the program `get-key` is not there, or cannot be run" in texts
    assert "group `history` has no key: others can read the file with the key" in texts
    assert "word" not in texts
    assert (tmp_path / "ran").read_text() == "x\n"


def test_of_many_references_that_lead_nowhere_a_few_are_named(biology: Run, tmp_path: Path) -> None:
    key = tmp_path / "key"
    for number in range(7):
        key.write_text(f"sk-or-v1-of-the-file-{number}\n")
        key.chmod(0o600)
        biology(f"group add-key history{number} --key-file key --reference --allow-shared")
    [retired] = json.loads(biology("credentials list history0 --json").out)
    biology(f"credentials deactivate {retired['id']}")
    key.unlink()
    found = diagnose(biology, ok=False).of("vault", "references")
    assert len(found) == 6
    assert sorted({one["level"] for one in found}) in (["problem"], ["problem", "warning"])
    assert found[-1]["text"] == "2 more references lead nowhere"


def test_a_management_key_that_was_altered_is_said(biology: Run, home: Path) -> None:
    with Factory() as factory:
        ManagementKeys(factory).save(Secret("sk-or-v1-manages-0123456789"), "https://openrouter.ai:443")
    assert json.loads(biology("vault check --json").out)["managementKeys"][0]["opens"] is True
    assert "management key of https://openrouter.ai:443\topens" in biology("vault check").out
    assert diagnose(biology).of("store", "seals")[0]["level"] == "ok"
    with closing(sqlite3.connect(home / "raptchat.db")) as db, db:
        db.execute("UPDATE management_keys SET endpoint = 'https://evil.example:443'")

    found = diagnose(biology, ok=False).of("store", "seals")[0]
    assert (found["level"], found["fix"]) == ("problem", "raptchat account logout, then raptchat account login")
    assert "does not open" in found["text"]
    assert json.loads(biology("vault check --json", exit_code=1).out)["managementKeys"][0]["opens"] is False
