"""The recovery key as a person meets it: offered, shown once, asked back; and when it is the last way in."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Run, environment, rows
from processes import RAPTCHAT, AtTerminal, run
from secret_service import SecretService

from raptchat.demo import DEMO_KEY, DemoGateway

pytestmark = pytest.mark.process

OFFER = "Make a recovery key, to keep on paper? [Y/n] "
WRITTEN_DOWN = "(Ctrl-C makes none): "
KEY = re.compile(r"(?:[A-Z2-7]{4}-){13}[A-Z2-7]{4}")
PRIVATE = re.compile(r"\x1b\[\?1049h.*?\x1b\[\?1049l", re.DOTALL)


def read_from_paper(terminal: AtTerminal) -> list[str]:
    """The groups of the key, once the page shows it."""
    terminal.until(WRITTEN_DOWN)
    numbered = dict(re.findall(r" (\d+) ([A-Z2-7]{4})\b", "\n".join(terminal.screen())))
    assert list(numbered) == [str(number) for number in range(1, 15)]
    return list(numbered.values())


def type_back(terminal: AtTerminal, groups: list[str], *, wrong: bool = False) -> None:
    """Type what is asked for; or something else. The page is gone by then, where the cursor can be moved."""
    for _ in range(1 if wrong else 2):
        terminal.until("Group ")
        number = int(terminal.until(": ")[:-2])
        assert "\x1b" not in terminal.said or not set(groups) & set("\n".join(terminal.screen()).split())
        terminal.keys(("aaaa" if wrong else groups[number - 1].lower().replace("o", "0")) + "\r")


def written_down(terminal: AtTerminal) -> str:
    """Do all that is asked, as somebody with a pencil; the key."""
    groups = read_from_paper(terminal)
    terminal.keys("\r")
    type_back(terminal, groups)
    return "-".join(groups)


def kinds(home: Path) -> list[str]:
    return [kind for (kind,) in rows(home, "SELECT kind FROM vault_slots WHERE state = 'active' ORDER BY kind")]


def seen_later(terminal: AtTerminal) -> str:
    """All that stays readable in the terminal: its screen and what can be scrolled back to."""
    return PRIVATE.sub("", terminal.said) + "\n".join(terminal.screen())


@pytest.fixture
def paper(biology: Run) -> str:
    """A recovery key of a store that has a vault in a key file, and a group."""
    return biology("vault add recovery").out.strip()


def test_the_first_key_offers_one_that_opens_what_the_keyring_no_longer_does(
    secret_service: SecretService, gateway: DemoGateway, home: Path
) -> None:
    env = {**secret_service.environ, "RAPTCHAT_HOME": str(home), "AI_GATEWAY_URL": gateway.url}
    with AtTerminal("group", "add-key", "biology", env=env) as terminal:
        terminal.until("(not shown): ")
        terminal.keys(DEMO_KEY + "\r")
        terminal.until("now pays with the key")
        terminal.until(OFFER)
        terminal.keys("\r")
        key = written_down(terminal)
        assert "the vault opens with the recovery key, too" in terminal.ends(0)
    assert not set(key.split("-")) & set(seen_later(terminal).split())
    assert kinds(home) == ["keyring", "recovery"]
    with AtTerminal("group", "add-key", "history", "--allow-shared", env=env) as terminal:
        terminal.until("(not shown): ")
        terminal.keys(DEMO_KEY + "\r")
        terminal.ends(0)
    assert OFFER not in terminal.said

    secret_service.clear()
    with AtTerminal("chat", "-g", "biology", "hello", env=env) as terminal:
        said = terminal.until("ecovery key: ")
        assert "keyring does not hold this store's master key" in said
        terminal.keys(f"{key[:-1]}{'A' if key[-1] != 'A' else 'B'}\r")
        assert "last group" in terminal.until("ecovery key: ")
        terminal.keys(f"{key.lower().replace('-', ' ')}\r")
        terminal.ends(0)
    assert not set(key.split("-")) & set(terminal.said.upper().split())
    refused = run("chat", "-g", "biology", "hello", env=env, exit_code=78).stderr
    assert "RAPTCHAT_MASTER_KEY_FILE" in refused
    file = home / "paper"
    file.write_text(key)
    file.chmod(0o600)
    run("chat", "-g", "biology", "hello", env={**env, "RAPTCHAT_MASTER_KEY_FILE": str(file)})
    assert [request.path for request in gateway.requests].count("/api/v1/chat/completions") == 2


@pytest.mark.parametrize(
    ("answer", "exit_code", "says"),
    [
        ("n\r", 0, "to make one later"),
        ("\x04", 0, "to make one later"),
        ("y\r\x04", 0, "is void"),
        ("\x03", 130, "interrupted"),
    ],
)
def test_whoever_declines_has_added_the_key_all_the_same(
    gateway: DemoGateway, home: Path, answer: str, exit_code: int, says: str
) -> None:
    with AtTerminal("group", "add-key", "biology") as terminal:
        for prompt, typed in [("(not shown): ", f"{DEMO_KEY}\r"), ("Which? ", "f\r"), (OFFER, answer)]:
            terminal.until(prompt)
            terminal.keys(typed)
        assert says in terminal.ends(exit_code)

    assert rows(home, "SELECT name FROM groups JOIN ai_credentials ON group_id = groups.id") == [("biology",)]
    assert kinds(home) == ["file"]


def test_whoever_has_just_chosen_a_passphrase_is_not_asked_for_it_again(home: Path) -> None:
    with AtTerminal("vault", "init", "--passphrase") as terminal:
        for prompt in ("Choose a passphrase: ", "The same again: "):
            terminal.until(prompt)
            terminal.keys("correct horse\r")
        terminal.until(OFFER)
        terminal.keys("y\r")
        written_down(terminal)
        terminal.ends(0)

    assert "Passphrase: " not in terminal.said
    assert kinds(home) == ["passphrase", "recovery"]


def test_a_script_is_never_asked(raptchat: Run, gateway: DemoGateway, tmp_path: Path) -> None:
    for number, words in enumerate((["--no-recovery"], ["--json"])):
        file, store = str(tmp_path / f"{number}.key"), str(tmp_path / f"{number}.db")
        with AtTerminal("vault", "init", "--file", file, "--store", store, *words) as terminal:
            terminal.ends(0)
        assert "recovery" not in terminal.said
    with AtTerminal(
        *("group", "add-key", "biology", "--no-recovery"),
        env=environment(RAPTCHAT_MASTER_KEY_FILE=str(tmp_path / "third.key")),
    ) as terminal:
        terminal.until("(not shown): ")
        terminal.keys(DEMO_KEY + "\r")
        terminal.ends(0)
    assert "recovery" not in terminal.said


def test_where_standard_output_is_a_file_none_is_offered(raptchat: Run, tmp_path: Path) -> None:
    into_a_file = ("/bin/sh", "-c", f'"$@" > {tmp_path}/out', "sh", *RAPTCHAT)
    with AtTerminal("vault", "init", "--file", str(tmp_path / "m.key"), program=into_a_file) as terminal:
        terminal.ends(0)
    assert "recovery" not in terminal.said

    with AtTerminal("vault", "add", "recovery", program=into_a_file) as terminal:
        terminal.ends(0)
    assert KEY.fullmatch((tmp_path / "out").read_text().strip())
    assert not KEY.search(terminal.said)


def test_a_new_vault_offers_one(home: Path, tmp_path: Path) -> None:
    with AtTerminal("vault", "init", "--file", str(tmp_path / "m.key"), columns=20, lines=24) as terminal:
        terminal.until("[Y/n] ")
        terminal.keys("y\r")
        groups = read_from_paper(terminal)
        terminal.keys("\r")
        type_back(terminal, groups)
        terminal.ends(0)

    assert kinds(home) == ["file", "recovery"]


def test_what_is_not_typed_back_is_no_key(biology: Run, home: Path) -> None:
    with AtTerminal("vault", "add", "recovery", env=environment(NO_COLOR="1")) as terminal:
        groups = read_from_paper(terminal)
        terminal.keys("\r")
        terminal.until("Group ")
        terminal.keys("\r")
        assert read_from_paper(terminal) == groups
        for _ in range(3):
            terminal.keys("\r")
            type_back(terminal, groups, wrong=True)
            if _ < 2:
                assert read_from_paper(terminal) == groups
                assert "That was not group" in "\n".join(terminal.screen())
        said = terminal.ends(2)

    assert "the new recovery key was not confirmed, and is void\r\nhint: raptchat vault add recovery" in said
    assert not set(groups) & set(seen_later(terminal).split())
    assert rows(home, "SELECT kind, state FROM vault_slots") == [("file", "active")]


@pytest.mark.parametrize("at", [WRITTEN_DOWN, "Group "])
@pytest.mark.parametrize(("typed", "exit_code", "says"), [("\x03", 130, "interrupted"), ("\x04", 2, "is void")])
def test_ctrl_c_and_ctrl_d_make_none_and_leave_nothing_on_the_screen(
    biology: Run, home: Path, at: str, typed: str, exit_code: int, says: str
) -> None:
    with AtTerminal("vault", "add", "recovery") as terminal:
        groups = read_from_paper(terminal)
        if at != WRITTEN_DOWN:
            terminal.keys("\r")
            terminal.until(at)
        assert says in terminal.ends(exit_code, pressing=typed)

    assert terminal.said.count("\x1b[?1049h") == terminal.said.count("\x1b[?1049l") == 1
    assert not set(groups) & set(seen_later(terminal).split())
    assert rows(home, "SELECT kind, state FROM vault_slots") == [("file", "active")]


@pytest.mark.parametrize(
    ("typed", "exit_code", "says"), [("\x03", 130, "interrupted"), ("\x04", 78, "cannot be read")]
)
def test_ctrl_c_and_ctrl_d_where_the_recovery_key_is_asked_for(
    biology: Run, paper: str, tmp_path: Path, typed: str, exit_code: int, says: str
) -> None:
    (tmp_path / "master.key").unlink()
    with AtTerminal("chat", "hello", columns=20) as terminal:
        terminal.until("Recovery key: ")
        terminal.keys(typed)
        terminal.ends(exit_code)
    assert says in terminal.said
    with AtTerminal("vault", "check", columns=200) as terminal:
        terminal.until("Recovery key: ")
        terminal.keys(typed)
        terminal.ends(130 if exit_code == 130 else 1)
    assert bool(re.search(r"recovery slot +not tried", terminal.said)) == (exit_code != 130)
    assert "Recovery key: \r\n" in terminal.said


def test_ctrl_z_does_not_leave_the_page_to_the_shell(biology: Run, home: Path) -> None:
    with AtTerminal("vault", "add", "recovery") as terminal:
        groups = read_from_paper(terminal)
        terminal.keys("\x1a\r")
        type_back(terminal, groups)
        terminal.ends(0)

    assert kinds(home) == ["file", "recovery"]


def test_a_killed_process_leaves_no_half_slot(biology: Run, home: Path) -> None:
    with AtTerminal("vault", "add", "recovery") as terminal:
        read_from_paper(terminal)
    status = json.loads(biology("vault --json").out)
    assert [one["kind"] for one in status["slots"]] == ["file"]
    assert [one["kind"] for one in status["leftovers"]] == ["recovery"]
    assert "left over" in biology("vault").out
    biology("chat hello")

    key = json.loads(biology("vault add recovery --json").out)["recoveryKey"]

    assert KEY.fullmatch(key)
    assert rows(home, "SELECT kind, state FROM vault_slots ORDER BY kind") == [
        ("file", "active"),
        ("recovery", "active"),
    ]


def test_at_a_dumb_terminal_the_key_is_only_written(biology: Run) -> None:
    with AtTerminal("vault", "add", "recovery", env=environment(TERM="dumb")) as terminal:
        written_down(terminal)
        terminal.ends(0)

    assert "\x1b" not in terminal.said


def test_into_a_pipe_it_is_one_line(biology: Run) -> None:
    said = biology("vault add recovery")
    assert KEY.fullmatch(said.out.removesuffix("\n"))
    assert "a recovery key" in said.err
    assert not KEY.search(said.err)
    refused = biology("vault add recovery", exit_code=2).err
    assert "there is a recovery key already" in refused
    assert "vault rotate --slot recovery" in refused
    biology("vault remove recovery --yes")
    made = json.loads(biology("vault add recovery --json").out)
    assert (made["kind"], bool(KEY.fullmatch(made["recoveryKey"]))) == ("recovery", True)


@pytest.fixture(params=["full disk", "closed pipe"])
def unwritable(request: pytest.FixtureRequest) -> Iterator[int]:
    """What takes nothing that is written to it."""
    if request.param == "full disk":
        writing = os.open("/dev/full", os.O_WRONLY)
    else:
        reading, writing = os.pipe()
        os.close(reading)
    yield writing
    os.close(writing)


@pytest.mark.parametrize(("flag", "slots"), [("", ["file"]), ("--json", ["file", "recovery"])])
def test_a_key_that_could_not_be_written_is_said(
    biology: Run, home: Path, unwritable: int, flag: str, slots: list[str]
) -> None:
    words = [*RAPTCHAT, "vault", "add", "recovery", *flag.split()]
    ended = subprocess.run(words, stdout=unwritable, stderr=subprocess.PIPE, check=False)

    assert ended.returncode == 74
    assert kinds(home) == slots
    assert (b"rotate --slot recovery" in ended.stderr) == bool(flag)
    assert KEY.search(biology("vault rotate --slot recovery" if flag else "vault add recovery").out)


def test_a_recovery_key_in_a_file_opens_a_store_without_its_key_file(
    biology: Run, paper: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "master.key").unlink()
    assert "RAPTCHAT_MASTER_KEY_FILE" in biology("chat hello", exit_code=78).err
    file = tmp_path / "from-paper"
    file.touch(0o600)
    file.write_text(paper.lower().replace("-", " ") + "\n")
    monkeypatch.setenv("RAPTCHAT_MASTER_KEY_FILE", str(file))

    biology("chat hello")
    file.write_text(paper[:-1] + ("A" if paper[-1] != "A" else "B"))
    biology("chat hello", exit_code=78)


def test_of_an_exchange_that_is_given_up_the_one_of_before_is_left(biology: Run, paper: str) -> None:
    with AtTerminal("vault", "rotate", "--slot", "recovery", columns=200) as terminal:
        terminal.until(WRITTEN_DOWN)
        terminal.keys("\x04")
        said = terminal.ends(2)
    assert "that of before still opens the vault\r\nhint: raptchat vault rotate --slot recovery" in said

    with AtTerminal("vault", "check") as terminal:
        terminal.until("Recovery key: ")
        terminal.keys(f"{paper}\r")
        terminal.ends(0)


def test_a_recovery_key_is_exchanged_for_another(
    biology: Run, paper: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = json.loads(biology("vault rotate --slot recovery --json").out)["recoveryKey"]
    file = tmp_path / "from-paper"
    file.touch(0o600)
    monkeypatch.setenv("RAPTCHAT_MASTER_KEY_FILE", str(file))

    for key, exit_code in ((paper, 78), (newer, 0)):
        file.write_text(key)
        biology("chat hello", exit_code=exit_code)
