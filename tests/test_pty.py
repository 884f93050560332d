"""At a real terminal: replies, hidden prompts, questions, Ctrl-C and Ctrl-D."""

import os
import re
import stat
from pathlib import Path

import pytest
from conftest import Run, environment, rows
from processes import AtTerminal

from raptchat.credentials import CredentialService
from raptchat.demo import DEMO_KEY, DemoGateway
from raptchat.factory import Factory

pytestmark = pytest.mark.process


def test_a_reply_is_drawn_as_markdown(biology: Run) -> None:
    with AtTerminal("chat", "What is osmosis?") as terminal:
        terminal.ends(0)
        lines = terminal.screen()

    page = "\n".join(lines)
    assert "A reply from the demo gateway" in page
    assert "## " not in page
    assert "**no model**" not in page
    assert "return len(text.split())" in page
    assert "~~~" not in page
    assert "```" not in page


def test_at_a_dumb_terminal_nothing_moves_the_cursor_or_has_a_colour(biology: Run) -> None:
    with AtTerminal("chat", "hello", env=environment(TERM="dumb")) as terminal:
        terminal.ends(0)

    assert "\x1b" not in terminal.said
    assert "A reply from the demo gateway" in terminal.said


def test_no_color_leaves_no_colour(biology: Run) -> None:
    with AtTerminal("chat", "hello", env=environment(NO_COLOR="1")) as terminal:
        terminal.ends(0)

    assert not re.search(r"\x1b\[[0-9;]*3[0-7][0-9;]*m", terminal.said)


@pytest.mark.parametrize("words", [("chat", "hello"), ("credentials", "list"), ("whoami",), ("usage",)])
def test_at_twenty_columns_nothing_is_lost(biology: Run, words: tuple[str, ...]) -> None:
    biology("chat before")
    with AtTerminal(*words, columns=20, lines=60) as terminal:
        terminal.ends(0)
        letters = "".join("".join(terminal.screen()).split())

    assert {"chat": "thedemogateway", "credentials": "biology", "whoami": "biology", "usage": "biology"}[
        words[0]
    ] in letters


def test_ctrl_c_in_a_single_reply_ends_with_130_and_keeps_what_came(biology: Run, home: Path) -> None:
    with AtTerminal("chat", "-m", "demo/endless", "count") as terminal:
        terminal.until("20 21")
        terminal.keys("\x03")
        rest = terminal.ends(130)

    assert rest.endswith("raptchat: interrupted\r\n")
    assert rows(home, "SELECT role, state FROM messages ORDER BY seq")[1] == ("assistant", "incomplete")


HOSTILE_NAME = "lab\x1b]52;c;aGk=\x07\x9b31m\u202e\nraptchat: paid by history"


@pytest.fixture
def hostile(biology: Run) -> str:
    """The id of a group with a key whose name, in a changed store, acts on a terminal."""
    with Factory() as factory, factory.store.write():
        group = factory.store.groups.add(HOSTILE_NAME)
        CredentialService(factory).create(group.id, "sk-or-v1-demo-of-a-lab-1")
        return group.id


def acts(said: str) -> bool:
    """Whether the hostile name did anything but be read."""
    return bool(re.search("\x1b\\]|[\x07\x80-\x9f\u202e]|^raptchat: paid", said, re.MULTILINE))


def test_a_stored_name_does_not_act_on_a_terminal(hostile: str) -> None:
    assert acts(HOSTILE_NAME)
    with AtTerminal("group", "remove", hostile) as terminal:
        assert "removing group `lab␛]52;c;aGk=␇" in terminal.until("? [y/N] ")
        terminal.keys("n\r")
        terminal.ends(1)
        assert not acts(terminal.said)
    with AtTerminal("group", "add-key", hostile, "--replace") as terminal:
        assert "API key for group lab␛]52;c;aGk=␇" in terminal.until("(not shown): ")
        terminal.keys("sk-or-v1-demo-of-a-lab-2\r")
        terminal.ends(0)
        assert not acts(terminal.said)
    with AtTerminal("chat", "-g", hostile) as terminal:
        terminal.until("lab␛]52;c;aGk=␇")
        terminal.until("/help")
        terminal.until("paid by history> ")
        terminal.keys("\x04")
        terminal.ends(0)
        assert not acts(terminal.said)


@pytest.mark.parametrize("words", ["whoami", "group set {} --system x", "credentials list", "chat hello"])
def test_a_stored_name_does_not_act_in_any_other_line(
    biology: Run, hostile: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAPTCHAT_GROUP", hostile)
    with AtTerminal(*words.format(hostile).split(), columns=200, env=environment(TERM="dumb")) as terminal:
        terminal.ends(0)

    assert "lab␛]52" in terminal.said
    assert not acts(terminal.said)


def test_bytes_that_are_no_text_are_a_no(biology: Run, home: Path) -> None:
    with AtTerminal("group", "remove", "biology", env=environment(PYTHONIOENCODING="utf-8:strict")) as terminal:
        terminal.until("? [y/N] ")
        terminal.keys("y\udce9\r")
        assert "nothing was changed" in terminal.ends(1)

    assert rows(home, "SELECT count(*) FROM groups") == [(1,)]


def test_a_dry_run_without_a_prompt_is_no_conversation(biology: Run, gateway: DemoGateway) -> None:
    with AtTerminal("chat", "--dry-run") as terminal:
        assert "--dry-run needs a prompt" in terminal.ends(2)
    with AtTerminal("chat", "--no-stdin") as terminal:
        assert "the prompt is empty" in terminal.ends(2)

    assert gateway.requests == []


def test_the_key_is_typed_at_a_hidden_prompt(raptchat: Run, gateway: DemoGateway, tmp_path: Path) -> None:
    raptchat(["vault", "init", "--file", str(tmp_path / "master.key")])
    with AtTerminal("group", "add-key", "biology") as terminal:
        terminal.until("API key for group biology (not shown): ")
        terminal.keys(DEMO_KEY + "\r")
        terminal.ends(0)

    assert DEMO_KEY not in terminal.said
    assert f"now pays with the key {DEMO_KEY[:8]}...{DEMO_KEY[-4:]}" in terminal.said


def test_an_empty_key_makes_no_group(raptchat: Run, gateway: DemoGateway, tmp_path: Path) -> None:
    raptchat(["vault", "init", "--file", str(tmp_path / "master.key")])
    with AtTerminal("group", "add-key", "biology") as terminal:
        terminal.until("(not shown): ")
        terminal.keys("\r")
        said = terminal.ends(2)

    assert "the API key is empty" in said
    assert raptchat("group list").out == ""


@pytest.mark.parametrize(("typed", "exit_code", "message"), [("\x03", 130, "interrupted"), ("\x04", 2, "nothing")])
def test_ctrl_c_and_ctrl_d_at_the_hidden_prompt(
    raptchat: Run, gateway: DemoGateway, tmp_path: Path, typed: str, exit_code: int, message: str
) -> None:
    raptchat(["vault", "init", "--file", str(tmp_path / "master.key")])
    with AtTerminal("group", "add-key", "biology") as terminal:
        terminal.until("(not shown): ")
        terminal.keys(typed)
        assert message in terminal.ends(exit_code)

    assert raptchat("group list").out == ""


def test_without_a_keyring_a_key_file_is_offered(raptchat: Run, gateway: DemoGateway, home: Path) -> None:
    with AtTerminal("group", "add-key", "biology") as terminal:
        terminal.until("(not shown): ")
        terminal.keys(DEMO_KEY + "\r")
        terminal.until("[f] a key file, [p] a passphrase")
        terminal.until("Which? [f/p/N] ")
        terminal.keys("f\r")
        terminal.until("Only the key file opens this vault")
        terminal.until("[Y/n] ")
        terminal.keys("n\r")
        terminal.ends(0)

    assert stat.S_IMODE((home / "master.key").stat().st_mode) == 0o600
    assert "osmosis" in raptchat("chat osmosis").out


def test_a_folder_for_the_key_file_that_cannot_be_made_is_said(raptchat: Run, tmp_path: Path) -> None:
    (tmp_path / "raptchat").symlink_to(tmp_path / "nowhere")
    own = environment(XDG_CONFIG_HOME=str(tmp_path), XDG_DATA_HOME=str(tmp_path / "data"))
    del own["RAPTCHAT_HOME"]
    with AtTerminal("group", "add-key", "biology", env=own) as terminal:
        terminal.until("(not shown): ")
        terminal.keys(DEMO_KEY + "\r")
        terminal.until("Which? [f/p/N] ")
        terminal.keys("f\r")
        said = terminal.ends(2)

    assert f"the folder `{tmp_path}/raptchat` cannot be made" in said
    assert "raptchat vault init --file PATH" in said


def test_without_a_keyring_a_passphrase_is_offered(
    raptchat: Run, gateway: DemoGateway, home: Path, tmp_path: Path
) -> None:
    with AtTerminal("group", "add-key", "biology") as terminal:
        for prompt, typed in [
            ("(not shown): ", DEMO_KEY),
            ("Which? [f/p/N] ", "p"),
            ("Choose a passphrase: ", "correct horse"),
            ("The same again: ", "correct horse"),
            ("[Y/n] ", "n"),
        ]:
            terminal.until(prompt)
            terminal.keys(typed + "\r")
        terminal.ends(0)
    assert "correct horse" not in terminal.said

    with AtTerminal("chat", "osmosis") as terminal:
        terminal.until("Passphrase: ")
        terminal.keys("wrong\r")
        terminal.until("the passphrase is wrong")
        terminal.until("Passphrase: ")
        terminal.keys("correct horse\r")
        terminal.ends(0)
    assert "A reply from the demo gateway" in "\n".join(terminal.screen())

    assert "no terminal to ask" in raptchat("chat osmosis", exit_code=78).err


@pytest.mark.parametrize(("typed", "exit_code"), [("\r", 78), ("\x04", 130)])
def test_the_offer_can_be_refused(
    raptchat: Run, gateway: DemoGateway, home: Path, typed: str, exit_code: int
) -> None:
    with AtTerminal("group", "add-key", "biology") as terminal:
        terminal.until("(not shown): ")
        terminal.keys(DEMO_KEY + "\r")
        terminal.until("Which? [f/p/N] ")
        terminal.keys(typed)
        terminal.ends(exit_code)

    assert rows(home, "SELECT count(*) FROM groups") == [(0,)]
    assert rows(home, "SELECT count(*) FROM vault_keys") == [(0,)]


@pytest.mark.parametrize(("answer", "exit_code", "left"), [("\r", 1, 1), ("\x04", 1, 1), ("YES\r", 0, 0)])
def test_what_destroys_asks_first(biology: Run, home: Path, answer: str, exit_code: int, left: int) -> None:
    with AtTerminal("group", "remove", "biology") as terminal:
        terminal.until("removing group `biology` with its keys and sessions? [y/N] ")
        terminal.keys(answer)
        said = terminal.ends(exit_code)

    assert ("nothing was changed" in said) == bool(left)
    assert rows(home, "SELECT count(*) FROM groups") == [(left,)]


def test_a_group_without_a_key_is_a_panel_that_says_the_command(biology: Run) -> None:
    biology("group create history")
    with AtTerminal("chat", "-g", "history", "And the Ostrogoths?") as terminal:
        terminal.ends(4)
        page = "\n".join(terminal.screen())

    assert "AI is not configured for group history" in page
    assert "raptchat group add-key history" in page
    assert "https://openrouter.ai/keys" in page


def test_no_control_character_of_a_model_reaches_a_terminal(biology: Run) -> None:
    hostile = "a\x1b]52;c;aGk=\x07b\x9b31mc\u202ed"
    with AtTerminal("chat", "-m", "demo/echo", "-q", hostile, env=environment(TERM="dumb")) as terminal:
        terminal.ends(0)

    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e]", terminal.said)


def test_tables_have_a_header_at_a_terminal_and_none_in_a_pipe(biology: Run) -> None:
    with AtTerminal("credentials", "list", columns=120) as terminal:
        terminal.ends(0)
        lines = terminal.screen()

    assert lines[0].split()[:4] == ["id", "group", "provider", "key"]
    [piped] = biology("credentials list").out.splitlines()
    assert piped.split("\t")[1:3] == ["biology", "openrouter"]


def test_the_demo_runs_at_a_terminal(home: Path) -> None:
    with AtTerminal("demo", "my own words") as terminal:
        terminal.ends(0)

    page = "\n".join(terminal.screen())
    assert "my own words" in page
    assert "AI is not configured for group history" in page
    assert not home.exists()
    assert not list(Path(os.environ.get("TMPDIR", "/tmp")).glob("raptchat-demo-*"))
