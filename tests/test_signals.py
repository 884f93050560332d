"""Signals, pipes and an environment that lacks something: real processes, as a shell starts them."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Run, environment, rows
from processes import PATIENCE_SECONDS, RAPTCHAT, read_until, run, started

from raptchat.demo import DEMO_KEY, DemoGateway
from raptchat.interruptions import signals_held_back

pytestmark = pytest.mark.process

ENDLESS = ("chat", "-m", "demo/endless", "--no-stdin", "count")


@pytest.mark.parametrize(
    ("number", "exit_code", "word"),
    [
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGTERM, 143, "terminated"),
        (signal.SIGHUP, 129, "terminated"),
        (signal.SIGQUIT, 131, "terminated"),
    ],
)
def test_a_signal_in_mid_reply_keeps_what_came(
    biology: Run, home: Path, number: signal.Signals, exit_code: int, word: str
) -> None:
    with started(*ENDLESS) as process:
        assert process.stdout
        assert process.stderr
        shown = read_until(process.stdout.fileno(), b"20 21")
        process.send_signal(number)
        rest, err = process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == exit_code
    assert err.decode() == f"raptchat: {word}\n"
    assert (shown + rest).endswith(b"\n")
    [_, (role, state, content)] = rows(home, "SELECT role, state, content FROM messages ORDER BY seq")
    assert (role, state) == ("assistant", "incomplete")
    written = (shown + rest).decode().removesuffix("\n")
    # The signal can come when a number is kept and not yet written.
    assert content.startswith(written)
    assert len(content.removeprefix(written).split()) <= 1
    [(model, cost)] = rows(home, "SELECT model, cost_nano_usd FROM ai_usage")
    assert (model, cost) == ("demo/endless", None)
    assert rows(home, "SELECT last_used_at FROM ai_credentials") == [(None,)]


@pytest.mark.parametrize(
    ("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
)
def test_a_signal_in_json_lines_is_an_error_line(biology: Run, number: signal.Signals, exit_code: int) -> None:
    with started(*ENDLESS, "--jsonl") as process:
        assert process.stdout
        shown = read_until(process.stdout.fileno(), b'"20 "')
        process.send_signal(number)
        rest, err = process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == exit_code
    lines = [json.loads(line) for line in (shown + rest).splitlines()]
    assert lines[0] == {"type": "content", "text": "1 "}
    assert (lines[-1]["type"], lines[-1]["code"], lines[-1]["statusCode"]) == ("error", "INTERRUPTED", 499)
    assert json.loads(err)["code"] == "INTERRUPTED"


def test_a_killed_process_leaves_the_question_and_what_came(biology: Run, home: Path) -> None:
    with started(*ENDLESS) as process:
        assert process.stdout
        read_until(process.stdout.fileno(), b"20 21")
        process.kill()
        process.wait()

    stored = rows(home, "SELECT role, state, content FROM messages ORDER BY seq")
    assert stored[0] == ("user", "complete", "count")
    assert stored[1][:2] == ("assistant", "incomplete")
    assert stored[1][2].startswith("1 ")
    assert "A reply" in biology("chat -c -m demo/reply 'go on'").out


def test_a_signal_that_is_ignored_from_the_start_stays_ignored(biology: Run) -> None:
    nohup = (
        "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    )
    command = [sys.executable, "-I", "-S", "-c", nohup, *RAPTCHAT, *ENDLESS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        read_until(process.stdout.fileno(), b"20 21")
        process.send_signal(signal.SIGHUP)
        read_until(process.stdout.fileno(), b"200 201")
        process.terminate()
        process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == 143


def test_a_closed_pipe_ends_a_reply_quietly_and_books_it(biology: Run, home: Path) -> None:
    with started(*ENDLESS) as process:
        assert process.stdout
        assert process.stderr
        read_until(process.stdout.fileno(), b"20 21")
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(PATIENCE_SECONDS) == 0

    assert rows(home, "SELECT state FROM messages WHERE role = 'assistant'") == [("incomplete",)]
    assert rows(home, "SELECT count(*) FROM ai_usage") == [(1,)]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_reply_that_met_a_full_disk_is_booked(biology: Run, home: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [*RAPTCHAT, "chat", "hello"],
            stdout=full,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            check=False,
        )

    assert ended.returncode == 74
    assert rows(home, "SELECT count(*) FROM ai_usage") == [(1,)]


@pytest.mark.parametrize(
    ("shell", "exit_code", "message"),
    [
        ("--help >&-", 74, "standard output cannot be written: it is closed"),
        ("group list >&-", 74, "standard output cannot be written: it is closed"),
        ("chat hello >&- </dev/null", 74, "standard output cannot be written: it is closed"),
        ("chat hello 2>&- <&-", 0, ""),
        ("chat <&-", 2, "the prompt is empty"),
        ("chat -g nobody hello 2>&-", 3, ""),
        ("group add-key history --stdin <&-", 2, "the API key is empty"),
        ("group remove biology <&-", 2, "needs --yes"),
        ("chat hello 0>written", 2, "standard input cannot be read: "),
        ("chat 0>written", 2, "standard input cannot be read: "),
        ("group add-key history --stdin 0>written", 2, "standard input cannot be read: "),
        ("chat hello --no-stdin 0>written", 0, ""),
    ],
)
def test_closed_streams(biology: Run, shell: str, exit_code: int, message: str) -> None:
    ended = subprocess.run(
        ["sh", "-c", f'"$0" -m raptchat {shell}', sys.executable], capture_output=True, text=True, check=False
    )

    assert ended.returncode == exit_code, ended.stderr
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_pipe_that_never_sends_is_waited_for_with_a_word(biology: Run) -> None:
    with started("chat", "hello", stdin=subprocess.PIPE) as process:
        assert process.stderr
        assert process.stdin
        said = read_until(process.stderr.fileno(), b"\n")
        assert said == b"waiting for standard input; --no-stdin does not read it\n"
        out, _ = process.communicate(b"and this first", timeout=PATIENCE_SECONDS)

    assert process.returncode == 0
    assert b"> and this first\n>\n> hello" in out.replace(b"> \n", b">\n")


def test_no_stdin_does_not_wait_for_a_pipe(biology: Run) -> None:
    with started("chat", "--no-stdin", "hello", stdin=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        assert b"> hello" in process.stdout.read()
        assert process.stderr.read() == b""
        assert process.wait(PATIENCE_SECONDS) == 0


def test_sigint_while_waiting_for_standard_input(biology: Run) -> None:
    with started("chat", "hello", stdin=subprocess.PIPE) as process:
        assert process.stderr
        read_until(process.stderr.fileno(), b"\n")
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_SECONDS) == 130
        assert process.stderr.read() == b"raptchat: interrupted\n"


def test_a_pipe_that_never_sends_a_key_is_waited_for_with_a_word(biology: Run) -> None:
    with started("group", "add-key", "history", "--stdin", stdin=subprocess.PIPE) as process:
        assert process.stderr
        said = read_until(process.stderr.fileno(), b"\n")
        assert said == b"waiting for standard input; --stdin reads the key there\n"
        _, err = process.communicate(b"sk-or-v1-demo-of-history\n", timeout=PATIENCE_SECONDS)

    assert process.returncode == 0
    assert err == b"group `history` now pays with the key sk-or-v1...tory\n"


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is of Linux")
def test_a_key_is_read_by_a_process_that_leaves_no_core_file(biology: Run) -> None:
    before, most = resource.getrlimit(resource.RLIMIT_CORE)
    if most == 0:
        pytest.skip("no process here may leave a core file")
    resource.setrlimit(resource.RLIMIT_CORE, (most, most))
    with started("group", "add-key", "history", "--stdin", stdin=subprocess.PIPE) as process:
        resource.setrlimit(resource.RLIMIT_CORE, (before, most))
        assert process.stderr
        read_until(process.stderr.fileno(), b"waiting for standard input")
        limits = Path(f"/proc/{process.pid}/limits").read_text()

    assert re.search(r"^Max core file size +0 ", limits, re.MULTILINE)


# Sends itself a SIGINT when a module's code or a function begins to run: at the same moment in every run.
_INTERRUPTED_AT = """
import signal, sys

moment = sys.argv.pop(1)

def interrupt(frame, event, argument):
    code = frame.f_code
    begins = frame.f_globals.get("__name__") if code.co_name == "<module>" else code.co_qualname
    if event == "call" and begins == moment:
        sys.setprofile(None)
        signal.raise_signal(signal.SIGINT)

from raptchat.__main__ import main
sys.setprofile(interrupt)
main()
"""


@pytest.mark.parametrize(
    "moment",
    [
        "raptchat.cli",
        "typer",
        "raptchat.errors",
        "raptchat.cli.chat.ask",
        "get_command",
        "Terminal.of_process",
        "_check_words",
        "raptchat.store",
        "raptchat.store.connection",
        "raptchat.vault",
        "httpx",
    ],
)
def test_ctrl_c_while_it_starts_shows_no_traceback(biology: Run, gateway: DemoGateway, moment: str) -> None:
    command = [sys.executable, "-c", _INTERRUPTED_AT, moment, "chat", "hello"]
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)

    assert (ended.returncode, ended.stdout) == (130, "")
    assert ended.stderr in {"", "raptchat: interrupted\n"}
    assert gateway.requests == []


def test_without_home_and_xdg_variables(tmp_path: Path) -> None:
    said = run("--version", env={"PATH": os.defpath})
    assert re.fullmatch(r"raptchat \d+\.\d+\.\d+\n", said.stdout)

    missing = run("config", "path", env={"PATH": os.defpath})
    assert missing.stdout.endswith("raptchat/config.toml\n")


def test_the_platforms_folders_are_used_without_a_home_of_its_own(tmp_path: Path) -> None:
    env = {"PATH": os.defpath, "HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data")}
    run("group", "create", "biology", env=env)

    assert (tmp_path / "data" / "raptchat" / "raptchat.db").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "data" / "raptchat").stat().st_mode & 0o777 == 0o700


def test_in_a_pipe_force_color_colours_no_data(biology: Run) -> None:
    said = run("credentials", "list", env=environment(FORCE_COLOR="1"))

    assert "\x1b" not in said.stdout
    assert said.stdout.count("\t") == 7


def test_in_a_deleted_folder(biology: Run, tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    script = f'rmdir "{folder}" && "$0" -m raptchat "$@"'
    for words, exit_code in [(["whoami"], 0), (["group", "bind", "biology"], 2), (["chat", "hello"], 0)]:
        folder.mkdir(exist_ok=True)
        ended = subprocess.run(
            ["sh", "-c", script, sys.executable, *words],
            cwd=folder,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        assert ended.returncode == exit_code, ended.stderr
        assert "Traceback" not in ended.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the names of files are Unicode")
def test_in_a_folder_whose_name_is_not_utf8(biology: Run, tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/lat\xe9/below"
    os.makedirs(folder)  # noqa: PTH103 - a path of bytes

    def there(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*RAPTCHAT, *words], cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
        )

    assert "chosen" not in there("chat", "hello").stderr
    refused = there("group", "bind", "biology")
    assert refused.returncode == 2
    assert "not valid UTF-8" in refused.stderr
    biology("group create history")
    biology("group bind biology")
    assert f"biology (chosen by the folder {tmp_path})" in there("whoami").stdout


def test_sixteen_processes_chat_at_once_in_one_store(biology: Run, home: Path, gateway: DemoGateway) -> None:
    commands = [[*RAPTCHAT, "chat", "-m", "demo/echo", f"word {number}"] for number in range(16)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for command in commands
    ]
    said = [process.communicate(timeout=PATIENCE_SECONDS) for process in processes]

    assert [process.returncode for process in processes] == [0] * 16
    assert said == [(f"word {number}\n".encode(), b"") for number in range(16)]
    assert rows(home, "SELECT count(*) FROM ai_usage") == [(16,)]
    assert rows(home, "SELECT state, count(*) FROM messages GROUP BY state") == [("complete", 32)]
    assert {request.api_key for request in gateway.requests} == {DEMO_KEY}


def test_of_several_signals_held_back_the_one_that_ends_the_program_rises() -> None:
    """A Ctrl-C in a conversation only stops a reply: it must not swallow the SIGTERM that came with it."""
    ended: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: ended.append(number))
    try:
        with signals_held_back():
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGTERM)
            assert ended == []
        assert ended == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)
