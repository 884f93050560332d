"""`raptchat group add-key G --login`: from the command to a group that can chat, at a terminal and in scripts."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from browsers import AGREES, LOOKS_ONLY, WANTS_TERMINAL, Browser
from conftest import Run, environment, rows
from processes import PATIENCE_SECONDS, RAPTCHAT, AtTerminal, run

from raptchat.demo import DemoGateway

Open = Callable[[str], Browser]


@pytest.fixture
def vault(raptchat: Run, gateway: DemoGateway, tmp_path: Path) -> Run:
    """The app with an empty vault, and the demo gateway."""
    del gateway
    raptchat(["vault", "init", "--file", str(tmp_path / "master.key")])
    return raptchat


@pytest.fixture
def browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Makes a browser that does what a program says, and the person's own."""

    def make(program: str) -> Browser:
        made = Browser(tmp_path / "browser", program)
        monkeypatch.setenv("BROWSER", str(made.path))
        return made

    return make


LOGIN = ("group", "add-key", "biology", "--login")


def test_at_a_terminal_the_group_can_chat_afterwards(vault: Run, browser: Open, home: Path) -> None:
    browser(AGREES)
    with AtTerminal(*LOGIN, env=environment(), columns=200) as terminal:
        terminal.until("sign in and agree in the browser; this waits for 5 minutes, Ctrl-C ends it. The page:")
        said = terminal.ends(0)

    assert "group `biology` now pays with the key sk-or-v1" in said
    assert "noise" not in terminal.said
    assert rows(home, "SELECT label FROM ai_credentials") == [("biology",)]
    assert vault("chat -g biology hello").out


def test_the_key_is_shown_nowhere_and_the_document_is_all_there_is(
    vault: Run, browser: Open, gateway: DemoGateway
) -> None:
    del vault
    browser(AGREES)

    said = run(*LOGIN, "--json", env=environment())

    document = json.loads(said.stdout)
    assert document["group"] == "biology"
    made = [received.api_key for received in gateway.requests if received.api_key]
    assert not any(key in said.stdout + said.stderr for key in made)
    assert re.search(r"sk-[A-Za-z0-9_-]{12,}", said.stdout + said.stderr) is None


def test_without_a_browser_the_code_is_typed_and_not_seen(vault: Run) -> None:
    del vault
    with AtTerminal(*LOGIN, "--no-browser", env=environment(), columns=300) as terminal:
        terminal.until("open this page in any browser, sign in, agree, and type the code that it shows:")
        address = terminal.until("code: ").split()[0]
        found = re.search("<code>(.*)</code>", httpx.get(address).text)
        assert found
        terminal.keys(f"{found[1]}\r")
        said = terminal.ends(0)

    assert found[1] not in terminal.said
    assert "group `biology` now pays with the key" in said


def test_ctrl_c_ends_it_and_nothing_is_left(vault: Run, browser: Open, home: Path, gateway: DemoGateway) -> None:
    del vault
    browser(LOOKS_ONLY)
    with AtTerminal(*LOGIN, env=environment(), columns=200) as terminal:
        terminal.until("The page:")
        terminal.until("code_challenge")
        terminal.keys("\x03")
        said = terminal.ends(130)

    assert "Traceback" not in said
    assert rows(home, "SELECT 1 FROM groups") == []
    assert not any(received.path.endswith("/auth/keys") for received in gateway.requests)


def test_a_browser_of_text_does_not_get_the_terminal(vault: Run, browser: Open) -> None:
    del vault
    wants = browser(WANTS_TERMINAL)
    with AtTerminal(*LOGIN, env=environment(), columns=200) as terminal:
        terminal.until("no browser could be opened: open the page yourself")
        terminal.keys("\x03")
        terminal.ends(130)

    assert wants.seen == "has not None False False False"


def test_a_code_that_is_refused_leaves_no_group(vault: Run, home: Path) -> None:
    del vault
    with AtTerminal(*LOGIN, "--no-browser", env=environment()) as terminal:
        terminal.until("code: ")
        terminal.keys("made-up\r")
        said = terminal.ends(77)

    assert "the gateway refused the code" in said
    assert rows(home, "SELECT 1 FROM groups") == []


def test_where_nobody_can_type_the_headless_form_says_so(vault: Run) -> None:
    del vault
    ended = subprocess.run(
        [*RAPTCHAT, *LOGIN, "--no-browser"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environment(),
        timeout=PATIENCE_SECONDS,
        check=False,
        start_new_session=True,
    )

    assert ended.returncode == 2
    assert "there is no terminal to ask at" in ended.stderr
    assert "hint: run it at a terminal, or leave out --no-browser\n" in ended.stderr
    assert ended.stdout == ""


def test_no_key_is_made_that_could_not_be_kept(
    vault: Run, browser: Open, tmp_path: Path, gateway: DemoGateway
) -> None:
    browser(AGREES)
    (tmp_path / "master.key").unlink()

    vault("group add-key biology --login", exit_code=78)

    assert gateway.requests == []


def test_a_key_that_was_made_and_cannot_be_kept_is_named_for_it_to_be_deleted(
    vault: Run, home: Path, gateway: DemoGateway
) -> None:
    with AtTerminal(*LOGIN, "--no-browser", env=environment(), columns=300) as terminal:
        address = terminal.until("code: ").split()[-2]
        found = re.search("<code>(.*)</code>", httpx.get(address).text)
        assert found
        vault("group add-key biology --stdin", stdin="sk-or-v1-of-another-terminal-meanwhile")
        terminal.keys(f"{found[1]}\r")
        said = terminal.ends(6)

    assert "group `biology` has an active key" in said
    assert "hint: delete the key `raptchat-biology` at the gateway, which is stored nowhere" in said
    # Nor is a key that was made just now checked: there would be time to lose it.
    assert not any(received.path.endswith("/key") for received in gateway.requests)
    assert rows(home, "SELECT count(*) FROM ai_credentials") == [(1,)]
