"""`raptchat group add-key`: where the key comes from, and whether the gateway is asked about it first."""

import json
from pathlib import Path

import pytest
from conftest import Run, environment, rows
from processes import AtTerminal, run

from raptchat.config import Settings
from raptchat.demo import DEMO_KEY, DEMO_MANAGEMENT_KEY, DemoGateway
from raptchat.factory import Factory

KEY = "sk-or-v1-0123456789abcdef0123456789abcdef"
ANOTHER = f"{DEMO_KEY}-another"
NOBODY = "http://127.0.0.1:9/v1"


def private(file: Path, text: str) -> Path:
    file.write_text(f"{text}\n")
    file.chmod(0o600)
    return file


def kinds(home: Path) -> list[tuple[str | None, str]]:
    """What is sealed for `history`, and the hint."""
    return rows(
        home,
        "SELECT kind, key_hint FROM ai_credentials JOIN groups ON groups.id = group_id"
        " WHERE groups.name = 'history'",
    )


def test_a_command_is_kept_and_run_for_each_question(
    biology: Run, gateway: DemoGateway, home: Path, tmp_path: Path
) -> None:
    file = private(tmp_path / "elsewhere", ANOTHER)
    said = biology(["group", "add-key", "history", "--key-command", f"cat {file}"])

    assert said.err == "group `history` now pays with the key that command:cat gives, when it is needed\n"
    assert kinds(home) == [("command", "command:cat")]
    biology("chat -g history hello")
    assert gateway.requests[-1].api_key == ANOTHER
    file.write_text(f"{ANOTHER}-of-today\n")
    biology("chat -g history hello")
    assert gateway.requests[-1].api_key == f"{ANOTHER}-of-today"
    file.unlink()
    refused = biology("chat -g history hello --json", exit_code=78)
    assert json.loads(refused.err.splitlines()[-1])["error"] == (
        "the command that has the key of group `history`, `cat`, ended with exit 1"
    )
    assert str(file) not in refused.err


def test_a_file_is_copied_or_referred_to(biology: Run, gateway: DemoGateway, home: Path, tmp_path: Path) -> None:
    private(tmp_path / "key", ANOTHER)
    biology("group add-key history --key-file key --reference")
    assert kinds(home) == [("file", "file:key")]
    private(tmp_path / "key", f"{ANOTHER}-of-today")
    biology("chat -g history hello")
    assert gateway.requests[-1].api_key == f"{ANOTHER}-of-today"
    (tmp_path / "key").chmod(0o644)
    assert (
        "others can read the file with the key of group `history`"
        in biology("chat -g history x", exit_code=78).err
    )

    (tmp_path / "key").chmod(0o600)
    biology("group add-key geography --key-file key")
    (tmp_path / "key").unlink()
    biology("chat -g geography hello")
    assert gateway.requests[-1].api_key == f"{ANOTHER}-of-today"


@pytest.mark.parametrize(
    ("flags", "exit_code", "said"),
    [
        ("--key-command true", 78, "`true`, printed nothing"),
        ("--key-command no-such-program", 78, "`no-such-program`, was not found"),
        ("--key-command ./key", 2, "from the working folder"),
        ("--key-file nowhere --reference", 78, "cannot be read"),
        ("--reference", 2, "--reference goes with --key-file"),
        ("--stdin --reference", 2, "--reference goes with --key-file"),
        ("--no-browser", 2, "--no-browser goes with --login"),
        ("--no-key", 2, "`openrouter` asks for one"),
        (
            "--login --provider openai-compatible --base-url http://127.0.0.1:1/v1",
            2,
            "--login is for `openrouter`",
        ),
        ("--provider openai-compatible --no-key", 2, "needs the gateway's address"),
        ("--stdin --login", 2, "from one place only, not from --stdin and --login"),
        ("--key-command true --from-env HOME --no-key", 2, "not from --from-env and --key-command and --no-key"),
    ],
)
def test_what_gives_no_key_makes_no_group(biology: Run, flags: str, exit_code: int, said: str) -> None:
    assert said in biology(f"group add-key history {flags}", stdin=KEY, exit_code=exit_code).err
    biology("group show history", exit_code=3)


def test_a_key_that_a_reference_gives_is_compared_and_so_is_the_reference(
    biology: Run, home: Path, tmp_path: Path
) -> None:
    private(tmp_path / "key", DEMO_KEY)
    for flags in (f"--key-command 'cat {tmp_path}/key'", "--key-file key --reference"):
        refused = biology(f"group add-key history {flags}", exit_code=6)
        assert "this very key serves group `biology` already" in refused.err
    biology(f"group add-key history --key-command 'cat {tmp_path}/key' --allow-shared")
    private(tmp_path / "key", ANOTHER)
    refused = biology(f"group add-key geography --key-command 'cat {tmp_path}/key'", exit_code=6)
    assert "this very key serves group `history` already (`command:cat`)" in refused.err
    # What the reference gave is not kept: no fingerprint is that of the key.
    assert len(rows(home, "SELECT DISTINCT key_fingerprint FROM ai_credentials")) == 2


def test_a_gateway_without_keys_needs_none_and_none_is_shared(biology: Run, home: Path) -> None:
    for name in ("history", "geography"):
        said = biology(f"group add-key {name} --provider openai-compatible --base-url {NOBODY} --no-key --json")
        document = json.loads(said.out)
        assert (document["kind"], document["keyHint"], document["endpoint"]) == (
            "none",
            "none",
            "http://127.0.0.1:9",
        )
    assert "sharedWith" not in biology("credentials list --json").out
    biology("group rename history stories")
    biology("vault rotate")
    with Factory(Settings.load()) as factory:
        from raptchat import CredentialService

        group = factory.store.groups.named("stories")
        assert group is not None
        service = CredentialService(factory)
        assert service.open_key(service.require_active(group)).reveal() == ""


def test_enter_alone_is_no_key_only_where_there_need_be_none(home: Path, biology: Run) -> None:
    words = ("group", "add-key", "history", "--no-verify")
    with AtTerminal(*words, "--provider", "openai-compatible", "--base-url", NOBODY) as terminal:
        terminal.until("Enter alone for none): ")
        terminal.keys("\r")
        assert "now asks http://127.0.0.1:9, without a key" in terminal.ends(0)
    with AtTerminal(*words) as terminal:
        terminal.until("API key for group history (not shown): ")
        terminal.keys("\r")
        assert "the API key is empty" in terminal.ends(2)


def test_a_key_that_the_gateway_refuses_is_not_stored(biology: Run, home: Path) -> None:
    assert "now pays" in biology("group add-key refused --stdin", stdin="sk-or-v1-of-nobody-at-all").err
    refused = biology("group add-key history --stdin --verify", stdin="sk-or-v1-of-nobody", exit_code=77)
    assert refused.out == ""
    biology("group show history", exit_code=3)
    biology("group add-key history --stdin --verify", stdin=ANOTHER)
    assert kinds(home) == [(None, f"{ANOTHER[:8]}...{ANOTHER[-4:]}")]


def test_a_management_key_pays_for_no_group(biology: Run, home: Path) -> None:
    refused = biology("group add-key history --stdin --verify", stdin=DEMO_MANAGEMENT_KEY, exit_code=2)
    assert "management key" in refused.err
    assert "raptchat account login" in refused.err
    assert kinds(home) == []


def test_a_gateway_that_cannot_be_asked_holds_nobody_up_unless_it_must_be(
    biology: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AI_GATEWAY_URL", NOBODY)
    monkeypatch.setenv("AI_MAX_RETRIES", "0")
    biology("group add-key history --stdin --verify", stdin=ANOTHER, exit_code=69)
    assert kinds(home) == []
    with AtTerminal("group", "add-key", "history") as terminal:
        terminal.until("(not shown): ")
        terminal.keys(f"{ANOTHER}\r")
        said = terminal.ends(0)
    assert "the key was not checked: no connection to" in said
    assert "group `history` now pays with the key" in said


def test_at_a_terminal_a_key_is_checked_before_it_is_stored(biology: Run, home: Path) -> None:
    with AtTerminal("group", "add-key", "history") as terminal:
        terminal.until("(not shown): ")
        terminal.keys("sk-or-v1-of-nobody-at-all\r")
        terminal.ends(77)
    assert kinds(home) == []
    # In a script it is stored as it always was.
    run("group", "add-key", "history", "--stdin", stdin="sk-or-v1-of-nobody-at-all", env=environment())
    assert len(kinds(home)) == 1
