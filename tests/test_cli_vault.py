"""`raptchat vault`: the slots, and which of them open."""

import json
import stat
from pathlib import Path

import pytest
from conftest import Run
from secret_service import SecretService

from raptchat.demo import DEMO_KEY, DemoGateway


@pytest.fixture
def passphrase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with a passphrase, which the environment does not name yet."""
    file = tmp_path / "passphrase"
    file.write_text("correct horse\n")
    file.chmod(0o600)
    return file


def test_without_a_vault_it_says_how_one_is_made(raptchat: Run) -> None:
    said = raptchat("vault")

    assert said.out == ""
    assert "raptchat vault init" in said.err
    assert json.loads(raptchat("vault status --json").out) == {"exists": False, "slots": []}


def test_a_key_file_is_made_private_and_opens(raptchat: Run, tmp_path: Path) -> None:
    said = raptchat(["vault", "init", "--file", str(tmp_path / "m.key"), "--json"])
    made = json.loads(said.out)
    assert made["kind"] == "file"
    assert made["createdAt"].endswith("Z")
    assert stat.S_IMODE((tmp_path / "m.key").stat().st_mode) == 0o600

    [slot] = json.loads(raptchat("vault --json").out)["slots"]
    assert (slot["opens"], slot["problem"]) == (True, None)
    assert raptchat("vault status").out.split("\t")[1:3] == ["file", "opens"]
    assert "has a vault already" in raptchat(["vault", "init", "--file", "other"], exit_code=2).err


def test_a_second_slot_opens_when_the_first_is_gone(
    biology: Run, tmp_path: Path, passphrase: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAPTCHAT_PASSPHRASE_FILE", str(passphrase))
    biology("vault add passphrase")
    (tmp_path / "master.key").unlink()
    biology("chat hello")

    slots = json.loads(biology("vault status --json").out)["slots"]
    assert [(one["kind"], one["opens"]) for one in slots] == [("file", False), ("passphrase", True)]
    assert "cannot be read" in slots[0]["problem"]
    monkeypatch.delenv("RAPTCHAT_PASSPHRASE_FILE")
    assert "not tried" in biology("vault status").out


def test_the_last_slot_that_opens_stays(biology: Run, passphrase: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "is the last that opens" in biology("vault remove file --yes", exit_code=2).err
    monkeypatch.setenv("RAPTCHAT_PASSPHRASE_FILE", str(passphrase))
    biology("vault add passphrase")
    assert "needs --yes" in biology("vault remove file", exit_code=2).err
    assert json.loads(biology("vault remove file --yes --json").out)["kind"] == "file"

    biology("chat hello")
    assert [one["kind"] for one in json.loads(biology("vault --json").out)["slots"]] == ["passphrase"]
    assert "there is no slot `file`" in biology("vault remove file --yes", exit_code=2).err


def test_the_environment_says_how_the_first_key_is_kept(
    raptchat: Run, gateway: DemoGateway, passphrase: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RAPTCHAT_MASTER_KEY_FILE", str(tmp_path / "named.key"))
    raptchat("group add-key biology --stdin", stdin=DEMO_KEY)

    assert (tmp_path / "named.key").exists()
    assert [one["kind"] for one in json.loads(raptchat("vault --json").out)["slots"]] == ["file"]


def test_without_a_keyring_nothing_weaker_is_made(raptchat: Run, home: Path) -> None:
    for words in ("vault init", "vault init --keyring"):
        assert "vault init --file" in raptchat(words, exit_code=78).err

    assert json.loads(raptchat("vault --json").out) == {"exists": False, "slots": []}


def test_the_keyring_is_the_default(
    raptchat: Run, gateway: DemoGateway, secret_service: SecretService, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    secret_service.apply(monkeypatch)
    monkeypatch.setenv("RAPTCHAT_HOME", str(home))
    monkeypatch.setenv("AI_GATEWAY_URL", gateway.url)
    raptchat("group add-key biology --stdin", stdin=DEMO_KEY)
    raptchat("chat hello")

    assert len(secret_service.services()) == 1
    assert raptchat("vault status").out.split("\t")[1:3] == ["keyring", "opens"]
    secret_service.lock()
    assert "78" not in raptchat("credentials list").err
    said = raptchat("chat hello --json", exit_code=78)
    assert json.loads(said.err)["code"] in {"VAULT_LOCKED", "VAULT_UNAVAILABLE"}
    assert raptchat("vault status").out.split("\t")[2] == "does not open"
