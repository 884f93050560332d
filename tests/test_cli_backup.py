"""`raptchat backup` and `raptchat restore`, as a person and a script use them."""

import json
from contextlib import closing
from pathlib import Path

import pytest
from conftest import Run, rows
from processes import AtTerminal

from raptchat.demo import DEMO_KEY
from raptchat.store import Store
from raptchat.vault.lock import vault_lock


@pytest.fixture
def chatted(biology: Run) -> Run:
    """A store with a group, a key and a session."""
    biology("chat -g biology hello")
    return biology


def test_a_copy_is_made_and_said(chatted: Run, tmp_path: Path) -> None:
    said = chatted("backup copy.bak")

    assert said.out == ""
    assert said.err == "backed up to `copy.bak`: 1 group, 1 credential, 1 session\n"
    with closing(Store.open(tmp_path / "copy.bak")) as copy:
        assert len(copy.sessions.listed()) == 1


def test_a_copy_is_one_document(chatted: Run, tmp_path: Path) -> None:
    document = json.loads(chatted("backup copy.bak --json").out)

    assert document == {"file": str(tmp_path / "copy.bak"), "groups": 1, "credentials": 1, "sessions": 1}


def test_a_file_that_is_there_is_written_over_only_when_that_was_said(chatted: Run, tmp_path: Path) -> None:
    (tmp_path / "copy.bak").write_text("notes")

    said = chatted("backup copy.bak", exit_code=2)
    assert "writing over `copy.bak` needs --yes" in said.err
    assert (tmp_path / "copy.bak").read_text() == "notes"

    chatted("backup copy.bak --yes")
    assert (tmp_path / "copy.bak").read_bytes().startswith(b"SQLite format 3")


def test_without_a_store_there_is_nothing_to_copy(raptchat: Run, home: Path) -> None:
    said = raptchat("backup copy.bak", exit_code=2)

    assert "there is no store at" in said.err
    assert not home.exists()


def test_a_place_that_takes_no_copy_is_an_error_in_json_too(chatted: Run, home: Path) -> None:
    said = chatted(["backup", str(home / "raptchat.db"), "--json", "--yes"], exit_code=2)

    assert json.loads(said.err)["code"] == "USAGE"
    assert said.out == ""


def test_a_store_is_put_back_and_said_to_be(chatted: Run, home: Path) -> None:
    chatted("backup copy.bak")
    chatted("group create chemistry")
    chatted("sessions remove --before 9999-01-01 --yes")

    said = chatted("restore copy.bak --yes")

    [previous] = home.glob("raptchat.db.before-restore-*.bak")
    [slot] = rows(home, "SELECT id FROM vault_slots")
    assert said.out == ""
    assert said.err.splitlines() == [
        "restored `copy.bak`: 1 group, 1 credential, 1 session",
        f"the store of before is kept as `{previous}`",
        f"its file slot {slot[0][:8]} opens",
    ]
    assert chatted("group list --json").out.count('"name"') == 1
    assert chatted("chat -g biology -c again").out
    assert "store.restore" in chatted("events").out


def test_a_restore_is_one_document(chatted: Run, home: Path, tmp_path: Path) -> None:
    chatted("backup copy.bak")
    document = json.loads(chatted("restore copy.bak --yes --json").out)

    [previous] = home.glob("raptchat.db.before-restore-*.bak")
    [(slot,)] = rows(home, "SELECT id FROM vault_slots")
    assert document == {
        "file": str(tmp_path / "copy.bak"),
        "previous": str(previous),
        "groups": 1,
        "credentials": 1,
        "sessions": 1,
        "slots": [{"id": slot, "kind": "file", "opens": True, "problem": None}],
    }


def test_what_is_there_is_replaced_only_when_that_was_said(chatted: Run, home: Path) -> None:
    chatted("backup copy.bak")
    chatted("group create chemistry")

    said = chatted("restore copy.bak", exit_code=2)

    assert "needs --yes" in said.err
    assert rows(home, "SELECT count(*) FROM groups") == [(2,)]
    assert not list(home.glob("*.bak"))


def test_a_person_is_asked_once_the_copy_is_known_to_be_good(chatted: Run, home: Path, tmp_path: Path) -> None:
    chatted("backup copy.bak")
    chatted("group create chemistry")
    (tmp_path / "notes").write_text("notes " * 1000)
    with AtTerminal("restore", "notes") as terminal:
        assert "replacing" not in terminal.ends(74)
    with AtTerminal("restore", "copy.bak") as terminal:
        terminal.until("? [y/N] ")
        terminal.keys("n\r")
        assert "nothing was changed" in terminal.ends(1)
    assert rows(home, "SELECT count(*) FROM groups") == [(2,)]
    with AtTerminal("restore", "copy.bak") as terminal:
        terminal.until("? [y/N] ")
        terminal.keys("y\r")
        terminal.ends(0)
    assert rows(home, "SELECT count(*) FROM groups") == [(1,)]


def test_a_change_of_the_vault_is_waited_for(chatted: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vault_lock, "__kwdefaults__", {"seconds": 0.1})
    chatted("backup copy.bak")
    with vault_lock(home / "raptchat.db"):
        said = chatted("restore copy.bak --yes", exit_code=75)

    assert "another process is changing the vault" in said.err
    assert not list(home.glob("*.bak"))
    chatted("restore copy.bak --yes")


def test_a_lost_store_comes_back_unasked(chatted: Run, home: Path) -> None:
    chatted("backup copy.bak")
    (home / "raptchat.db").unlink()

    said = chatted("restore copy.bak")

    assert "is kept" not in said.err
    assert chatted("chat -g biology hello").out


def test_a_copy_whose_slots_do_not_open_says_so(chatted: Run, tmp_path: Path) -> None:
    chatted("backup copy.bak")
    (tmp_path / "master.key").unlink()

    said = chatted("restore copy.bak --yes")

    assert "does not open: the key file" in said.err
    assert said.err.splitlines()[-1].startswith("none of its slots opens here")


def test_a_copy_that_needs_a_passphrase_says_so(raptchat: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("passphrase").write_text("correct horse battery staple\n")
    Path("passphrase").chmod(0o600)
    monkeypatch.setenv("RAPTCHAT_PASSPHRASE_FILE", "passphrase")
    raptchat("vault init --passphrase")
    raptchat("group add-key biology --stdin", stdin=DEMO_KEY)
    raptchat("backup copy.bak")
    monkeypatch.delenv("RAPTCHAT_PASSPHRASE_FILE")

    said = raptchat("restore copy.bak --yes")

    assert said.err.splitlines()[-2].endswith("was not tried")
    assert said.err.splitlines()[-1] == "it opens with its passphrase only"
