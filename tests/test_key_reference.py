"""Keys that are kept elsewhere: what a command or a file may give, and what is said when it gives none."""

import os
import shlex
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Run, environment, rows
from processes import RAPTCHAT, AtTerminal, run

from raptchat import CredentialService, Factory
from raptchat.credentials import key_command, key_reference
from raptchat.demo import DEMO_KEY, DemoGateway
from raptchat.errors import UsageError, VaultUnavailableError
from raptchat.records import KeyKind
from raptchat.secret import Secret

KEY = "sk-or-v1-0123456789abcdef0123456789abcdef"
SECRET = "W3nR5yJ6sentinelCdWxYzQrStUv"


def script(folder: Path, text: str, name: str = "get-key") -> Path:
    """A program that does what *text* says, in a shell's words."""
    file = folder / name
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o700)
    return file


def given_by(folder: Path, text: str) -> str:
    return key_reference.resolve("command", str(script(folder, text)), group="biology").reveal()


def writing(home: Path) -> str:
    """What a shell runs to see that nobody holds the store: whoever writes meanwhile is not kept waiting."""
    writer = home.parent / "writer.py"
    writer.write_text(
        f"import sqlite3\ndb = sqlite3.connect({str(home / 'raptchat.db')!r}, timeout=0)\n"
        "db.execute('BEGIN EXCLUSIVE'); db.rollback()"
    )
    return f"{sys.executable} {writer}"


@pytest.mark.parametrize(
    "text", [f"echo {KEY}", f"printf %s {KEY}", f"printf '{KEY}\\r\\n'", f"echo; echo ' {KEY} '; echo"]
)
def test_a_command_gives_what_it_prints_on_its_one_line(tmp_path: Path, text: str) -> None:
    assert given_by(tmp_path, text) == KEY


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"echo {SECRET}; echo {SECRET}", "printed two lines, and a key is one"),
        (f"echo {SECRET}; echo; echo {SECRET}", "printed 3 lines, and a key is one"),
        ("true", "printed nothing"),
        ("echo; echo ' '", "printed nothing"),
        (f"yes {SECRET}", "printed more than 64 KiB"),
        (f"head -c 4000000 /dev/zero | tr '\\0' x; echo {SECRET}", "printed more than 64 KiB"),
        (f"echo {SECRET}; exit 3", "ended with exit 3"),
        (f"echo {SECRET}; kill -KILL $$", "was ended by signal 9"),
        (f"echo {SECRET} and more", "printed what is no key: the API key holds white space"),
        (f"printf '{SECRET}\\033[2J'", "printed what is no key: the API key holds a control character"),
        (f"printf '{SECRET}\\377'", "printed what is no key: the API key holds a character that is not ASCII"),
        (f"printf '{SECRET}%0600d' 1", "printed what is no key: the API key is longer than 512 characters"),
    ],
)
def test_a_command_that_gives_no_key_says_what_was_wrong_and_never_what_it_printed(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(VaultUnavailableError) as caught:
        given_by(tmp_path, text)

    assert str(caught.value) == f"the command that has the key of group `biology`, `get-key`, {said}"
    assert caught.value.exit_code == 78
    assert "sentinel" not in f"{caught.value!r} {caught.value.hint} {caught.value.fields}"
    assert [*hidden_in(caught.value)] in ([], [UsageError])


def hidden_in(error: BaseException) -> Iterator[type[BaseException]]:
    """What an error comes of, also what `from None` hides."""
    while found := error.__cause__ or error.__context__:
        error = found
        yield type(error)


def test_a_command_that_hangs_is_killed_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_command, "SECONDS", 0.3)
    for closing in ("", "exec >&-; "):
        with pytest.raises(VaultUnavailableError, match=r"took more than 0\.3 s") as caught:
            given_by(tmp_path, f"{closing}sleep 1000 & echo $! > {tmp_path}/pid; wait")
        assert [*hidden_in(caught.value)] == []
        # It was killed too; where nobody has taken note of that yet it is a zombie.
        assert gone(int((tmp_path / "pid").read_text()))


def test_a_command_that_was_interrupted_interrupts(tmp_path: Path) -> None:
    for ending in ("exit 130", "kill -INT $$"):
        with pytest.raises(KeyboardInterrupt):
            given_by(tmp_path, f"echo {SECRET}; {ending}")


def gone(pid: int) -> bool:
    """Whether a process ended, or does so soon."""
    for _ in range(300):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state in "ZX":
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize("agent", ["sleep 20", "while sleep 0.02; do echo; done"])
def test_what_a_command_leaves_running_is_not_waited_for(tmp_path: Path, agent: str) -> None:
    # An agent that holds its output open, or goes on writing to it, and is there afterwards.
    assert given_by(tmp_path, f"({agent}) & echo $! > {tmp_path}/pid; echo {KEY}") == KEY
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("no-such-program-here --password sentinel", "`no-such-program-here`, was not found"),
        ("/etc/passwd sentinel", "`passwd`, cannot be run: Permission denied"),
    ],
)
def test_a_program_that_is_not_there_is_named_without_its_words(command: str, said: str) -> None:
    with pytest.raises(VaultUnavailableError) as caught:
        key_reference.resolve("command", command, group="biology")

    assert str(caught.value) == f"the command that has the key of group `biology`, {said}"


def test_a_command_gets_no_shell_no_input_and_nothing_that_leads_to_the_master_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAPTCHAT_MASTER_KEY_FILE", "/secret/one")
    monkeypatch.setenv("RAPTCHAT_PASSPHRASE_FILE", "/secret/two")
    program = script(
        tmp_path, f'env > {tmp_path}/env; cat > {tmp_path}/in; printf "%s" "$1" > {tmp_path}/word; echo k'
    )

    given = key_reference.resolve("command", f"{program} '$(id); `id` * ~'", group="biology")

    assert given == Secret("k")
    assert (tmp_path / "word").read_text() == "$(id); `id` * ~"
    assert (tmp_path / "in").read_bytes() == b""
    assert "/secret/" not in (tmp_path / "env").read_text()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("", "the command is empty"),
        ("  ", "the command is empty"),
        ("''", "the command is empty"),
        ("op read 'x", "a quotation mark that is not closed"),
        ("./get-key sentinel", "from the working folder"),
        ("bin/get-key sentinel", "from the working folder"),
        ("~/bin/get-key sentinel", "from the working folder"),
        ("op\nread sentinel", "U+000A"),
        ("op \x1b[2J sentinel", "U+001B"),
        ("op \u202e sentinel", "U+202E"),
        ("op \0", "U+0000"),
        (f"op {'x' * 5000}", "longer than 4096 characters"),
    ],
)
def test_what_cannot_be_a_command_is_refused_and_not_repeated(command: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        key_reference.check_reference("command", command)

    assert said in str(caught.value)
    assert "sentinel" not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize(
    ("kind", "text", "hint"),
    [
        ("command", "op read op://acme/openrouter/key", "command:op"),
        ("command", "/opt/1 password/op read x", "command:1"),
        ("command", "'/opt/1 password/op' read x", "command:op"),
        ("command", f"/usr/bin/{'x' * 100} y", f"command:{'x' * 31}…"),
        ("command", f"{KEY} y", "command:***"),
        ("file", "/run/secrets/openrouter", "file:openrouter"),
        ("none", "", "none"),
        ("key", KEY, "sk-or-v1...cdef"),
    ],
)
def test_a_hint_tells_what_it_is_and_no_more(kind: KeyKind, text: str, hint: str) -> None:
    assert key_reference.hint_of(kind, Secret(text)) == hint


def test_what_is_no_reference_is_itself() -> None:
    assert key_reference.resolve("key", KEY, group="biology") == Secret(KEY)
    assert key_reference.resolve("none", "", group="biology") == Secret("")


def test_a_file_is_read_as_a_key_file_is(tmp_path: Path) -> None:
    file = tmp_path / "key"
    for content, mode, said in [
        (f"{KEY}\n", 0o600, ""),
        (f"{KEY}\n", 0o640, "others can read"),
        (f"{KEY}\n{KEY}\n", 0o600, "must hold exactly one line"),
        ("", 0o600, "must hold exactly one line"),
        (f"{SECRET} x", 0o600, "holds no key: the API key holds white space"),
    ]:
        file.write_text(content)
        file.chmod(mode)
        if not said:
            assert key_reference.resolve("file", str(file), group="biology") == Secret(KEY)
            assert key_reference.absence("file", str(file)) is None
            continue
        with pytest.raises(VaultUnavailableError, match=said) as caught:
            key_reference.resolve("file", str(file), group="biology")
        assert "sentinel" not in str(caught.value)
        assert said in (key_reference.absence("file", str(file)) or "")
    file.unlink()
    os.mkfifo(file, 0o600)
    with pytest.raises(VaultUnavailableError, match="no regular file"):
        key_reference.resolve("file", str(file), group="biology")
    with pytest.raises(UsageError, match="not named by its whole path"):
        key_reference.check_reference("file", "key")
    with pytest.raises(UsageError, match="is empty"):
        key_reference.check_reference("file", "")
    with pytest.raises(UsageError, match="none is given"):
        key_reference.check_reference("none", KEY)


def test_a_command_is_looked_for_and_not_run_to_see_whether_it_is_there(tmp_path: Path) -> None:
    program = script(tmp_path, f"touch {tmp_path}/ran; echo {KEY}")

    assert key_reference.absence("command", f"{program} x") is None
    assert key_reference.absence("command", "no-such-program x") == (
        "the program `no-such-program` is not there, or cannot be run"
    )
    assert key_reference.absence("none", "") is key_reference.absence("key", KEY) is None
    assert not (tmp_path / "ran").exists()


def test_a_command_is_run_once_in_a_process_and_outside_of_any_transaction(
    factory: Factory, tmp_path: Path, home: Path
) -> None:
    runs = tmp_path / "runs"
    program = script(tmp_path, f"{writing(home)} || exit 9; echo x >> {runs}; echo {KEY}")
    with factory.store.write():
        group = factory.store.groups.add("biology")
    service = CredentialService(factory)
    made = service.create(group.id, str(program), kind="command", resolved=Secret(KEY))

    assert [service.open_key(made).reveal() for _ in range(3)] == [KEY] * 3
    assert service.open_key(service.require_active(group)).reveal() == KEY
    assert (tmp_path / "runs").read_text() == "x\n"
    with Factory() as another:
        assert CredentialService(another).open_key(made).reveal() == KEY
    assert (tmp_path / "runs").read_text() == "x\nx\n"
    stored = b"".join(path.read_bytes() for path in home.iterdir() if path.is_file())
    assert str(program).encode() not in stored
    assert rows(home, "SELECT kind, key_hint FROM ai_credentials") == [("command", "command:get-key")]


def test_a_conversation_asks_the_command_once(
    biology: Run, gateway: DemoGateway, home: Path, tmp_path: Path
) -> None:
    program = script(tmp_path, f"{writing(home)} || exit 9; echo x >> {tmp_path}/runs; echo {DEMO_KEY}")
    biology(["group", "add-key", "biology", "--replace", "--key-command", str(program)])
    with AtTerminal("chat", "-g", "biology", env=environment(AI_DEFAULT_MODEL="demo/echo")) as terminal:
        for _ in range(2):
            terminal.until("> ")
            terminal.keys("hello\r")
            terminal.until("hello")
        terminal.ends(0, pressing="\x04")

    assert [one.api_key for one in gateway.requests if one.api_key] == [DEMO_KEY] * 2
    assert (tmp_path / "runs").read_text() == "x\nx\n"


def test_a_command_can_ask_at_the_terminal_and_ctrl_c_there_ends_it(
    biology: Run, gateway: DemoGateway, tmp_path: Path
) -> None:
    asks = script(tmp_path, f"printf 'PIN: ' > /dev/tty; read pin < /dev/tty; test $pin = 42 && echo {DEMO_KEY}-2")
    with AtTerminal("group", "add-key", "history", "--no-verify", "--key-command", str(asks)) as terminal:
        terminal.until("PIN: ")
        # Ctrl-Z, which would stop it for good; Ctrl-U takes it back.
        terminal.keys("\x1a\x1542\r")
        assert "now pays with the key that command:get-key gives" in terminal.ends(0)
    with AtTerminal("chat", "-g", "history", "hello") as terminal:
        terminal.until("PIN: ")
        terminal.keys("\x03")
        terminal.ends(130)

    assert gateway.requests == []


def test_a_command_that_is_killed_while_it_asks_leaves_the_terminal_as_it_was(
    biology: Run, tmp_path: Path
) -> None:
    asks = script(tmp_path, "stty -echo < /dev/tty; printf 'PIN: ' > /dev/tty; exec sleep 1000")
    add = shlex.join([*RAPTCHAT, "group", "add-key", "history", "--key-command", str(asks)])
    show = f"trap : INT; {add}; echo ended; stty -a; echo shown"
    with AtTerminal(program=["/bin/sh", "-c", show]) as terminal:
        terminal.until("PIN: ")
        terminal.keys("\x03")
        terminal.until("ended")
        modes = terminal.until("shown").split()
        terminal.ends(0)

    assert "echo" in modes


@pytest.mark.parametrize(("name", "exit_code"), [("TERM", 143), ("HUP", 129), ("INT", 130)])
def test_a_signal_ends_the_command_too(biology: Run, tmp_path: Path, name: str, exit_code: int) -> None:
    # It comes while raptchat still starts the command, or just after.
    program = script(tmp_path, f"trap '' {name}; echo $$ > {tmp_path}/pid; kill -{name} $PPID; sleep 1000")
    run("group", "add-key", "history", "--key-command", str(program), exit_code=exit_code)
    assert gone(int((tmp_path / "pid").read_text()))
    assert "history" not in run("group", "list").stdout
