"""The sentinel scan: a key is in nothing that a whole day of use prints, writes, or hands to a child."""

import base64
import json
import shlex
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from age_files import Identity
from conftest import environment, rows
from processes import AtTerminal, run
from sample_files import PNG
from test_examples import TOP, paths
from typer.testing import CliRunner
from web_server import WebServer, answer, redirect, running

from raptchat.cli import app
from raptchat.cli.completing.answer import answered
from raptchat.demo import DEMO_MANAGEMENT_KEY, Answer, DemoGateway

pytestmark = pytest.mark.process

# Both open the demo gateway's door; neither stands in any file of the program.
KEY = "sk-or-v1-demo-Q7fB2xK9sentinelA"
SECOND_KEY = "sk-or-v1-demo-M4hT8wZ1sentinelB"
# Not of the form that the mask knows: only never being printed keeps it out.
PLAIN_KEY = "W3nR5yJ6sentinelCdWxYzQrStUv"
MANAGEMENT_KEY = f"{DEMO_MANAGEMENT_KEY}-X8cL3vU6sentinelD"
# It stands in a file of another program, and in one of the person's own.
THIRD_KEY = "sk-or-v1-demo-P2gD5sF8sentinelE"
SHARED_HINT = 12


def forms(key: str) -> set[bytes]:
    """The key as it might be hidden in bytes; the hint shows 8 and 4 of its characters, never more."""
    data = key.encode()
    encodings = {data, key.encode("utf-16-le"), data.hex().encode(), data.hex().upper().encode(), data[::-1]}
    encodings |= {base64.b64encode(b"x" * shift + data)[4:-4] for shift in range(3)}
    encodings |= {base64.urlsafe_b64encode(data), json.dumps(key).encode()}
    # A part of it is a leak too.
    return encodings | {data[SHARED_HINT:-4]}


FORBIDDEN = set().union(*map(forms, (KEY, SECOND_KEY, PLAIN_KEY, MANAGEMENT_KEY, THIRD_KEY)))


def check(data: bytes, where: object) -> None:
    """Fail when *data* holds a key in any form."""
    found = [form for form in FORBIDDEN if form in data]
    assert not found, (where, found)


def descendants(process: Path) -> Iterator[Path]:
    """The folders in /proc of those that *process* started, and of those that these started."""
    with suppress(OSError):  # one of them ended
        for file in process.glob("task/*/children"):
            for pid in file.read_text().split():
                child = Path("/proc", pid)
                yield child
                yield from descendants(child)


@contextmanager
def watched_command_lines() -> Iterator[list[bytes]]:
    """The command lines of all processes that were started meanwhile, as anybody on the machine can see them."""
    seen: set[bytes] = set()
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.002):
            for child in descendants(Path("/proc/self")):
                with suppress(OSError):
                    seen.add((child / "cmdline").read_bytes())

    thread = threading.Thread(target=watch)
    thread.start()
    found: list[bytes] = []
    try:
        yield found
    finally:
        over.set()
        thread.join()
        found.extend(seen)


def test_the_scan_finds_what_is_hidden() -> None:
    for hidden in (
        KEY.encode(),
        base64.b64encode(KEY.encode()),
        base64.b64encode(b"Bearer " + KEY.encode()),
        KEY.encode().hex().encode(),
        KEY[10:-2].encode(),
    ):
        with pytest.raises(AssertionError):
            check(b"some " + hidden + b" text", "here")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_key_is_in_nothing_that_is_printed_or_written(gateway: DemoGateway, home: Path, tmp_path: Path) -> None:
    env = environment(RAPTCHAT_DEBUG="1", AI_MAX_RETRIES="0", COURSE_KEY=SECOND_KEY)
    said: list[str] = []

    def say(*words: str, stdin: str = "") -> None:
        ended = run(*words, env=env, stdin=stdin, exit_code=None)
        said.append(ended.stdout + ended.stderr)

    def echo(status: int) -> None:
        message = f"the key {KEY} is bad; Authorization: Bearer {KEY}"
        body = json.dumps({"error": {"code": status, "message": message, "metadata": {"raw": KEY}}})
        gateway.answer(Answer(status, {"Content-Type": "application/json", "X-Key": KEY}, [body.encode()]))

    with watched_command_lines() as command_lines:
        say("vault", "init", "--file", str(tmp_path / "master.key"))
        say("group", "add-key", "biology", "--stdin", "--json", stdin=KEY)
        say("group", "add-key", "history", "--from-env", "COURSE_KEY")
        say("group", "add-key", "plain", "--stdin", stdin=PLAIN_KEY)
        say("chat", "-g", "biology", "What is osmosis?", "--json")
        say("chat", "-g", "plain", "hello")
        for bad in (f"{KEY} x", f"{KEY}\x1b", f"{KEY}é", KEY * 20, f"{PLAIN_KEY}\n{PLAIN_KEY}"):
            say("group", "add-key", "other", "--stdin", stdin=bad)
        say("group", "add-key", "other", "--stdin", stdin=KEY)
        say("group", "add-key", "biology", "--stdin", "--json", stdin=PLAIN_KEY)
        for status in (400, 401, 403, 500):
            echo(status)
            say("chat", "-g", "biology", "hello", *(["--json"] if status > 400 else []))
        say("chat", "-g", "biology", "-m", "demo/error-midstream", "--jsonl", "hello")
        say("chat", "-g", "biology", "--dry-run", "hello")
        say("credentials", "list")
        say("credentials", "list", "--json")
        say("whoami", "--json")
        say("group", "rename", "biology", "cells")
        say("usage", "--csv", "--by", "credential")
        (tmp_path / "master.key").rename(tmp_path / "kept.key")
        say("chat", "-g", "cells", "hello", "--json")
        (tmp_path / "kept.key").rename(tmp_path / "master.key")
        (home / "raptchat.db").chmod(0o666)
        say("chat", "-g", "cells", "hello")
        (home / "raptchat.db").chmod(0o600)
        with AtTerminal("group", "add-key", "typed", "--allow-shared", env=env) as terminal:
            terminal.until("(not shown): ")
            terminal.keys(KEY + "\r")
            terminal.ends(0)
        said.append(terminal.said)

    assert {request.api_key for request in gateway.requests} == {KEY, PLAIN_KEY}
    assert f"{KEY[:8]}...{KEY[-4:]}" in "".join(said)
    for text in said:
        check(text.encode(), text)
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert home / "raptchat.db" in files
    for file in files:
        check(file.read_bytes(), file)
    assert any(b"add-key" in line for line in command_lines)
    for line in command_lines:
        check(line, line)


# What a person does with what was said; `{0}` is the first session, `{1}` the one that is removed.
AFTERNOON = """
    group list --json
    group create empty
    group show biology --json
    group set biology --system "Be brief."
    group bind biology
    whoami
    group unbind
    chat -g biology --effort low -m demo/thinking --jsonl "And now?"
    chat -g biology -m demo/cited --web --zdr --fallback a/b -o user me hello
    chat -g biology --schema "name, age int" -m demo/echo "no JSON"
    chat -g biology -x hello
    chat -g biology --private -a cell.png -m demo/seen "what is this?"
    chat -g biology -c -a {web}/moved --at notes.txt text/plain -m demo/seen "and this?"
    chat -g biology --dry-run -a cell.png "what is this?"
    chat -g biology -m demo/rply hello
    chat -g biology -a {web}/nothing hello
    chat -g empty hello --json
    chat -g biology --session {0} -u "one more"
    models -g biology --json
    models -g biology --refresh
    models -g echoing --refresh --json
    sessions list
    sessions show {0}
    sessions search hello OR
    sessions fork {0} --json
    sessions rename {0} "Cells and more"
    sessions export {0} --output cells.md
    sessions export {0} -f json --output cells.json
    sessions export {0} -f html --output cells.html
    sessions remove {1} --yes
    usage --by day,model
    usage --json
    usage --month 2026-11 --by group,model --markdown
    usage --detail --csv
    usage --refresh
    usage reconcile
    credentials check --json
    credentials check
    group budget biology 20 --per month --warn 80%
    group set biology --models demo/* --max-cost 1
    chat -g biology --max-cost 0.10 -m demo/echo "within the rules"
    chat -g biology -m other/model "outside of them"
    group set biology --models "" --max-cost ""
    group suspend biology
    group resume biology
    account status
    account keys --json
    group provision music --limit 5 --reset monthly
    chat -g music hello
    group rotate-key music
    group cap music 10
    account keys
    group remove music --revoke --yes
    account logout --yes
    import-keys llm --dry-run
    import-keys llm --group music --remove --no-verify
    group add-key art --key-file {tmp}/art.key --reference --no-verify
    chat -g art -m demo/echo hello
    exec -g art -- there-is-no-such-program
    config set alias.fast demo/echo
    config list
    config get alias.fast
    config unset alias.fast
    config path
    completion bash
    completion zsh --help
    vault status
    vault add file --file {tmp}/second.key
    vault remove passphrase --yes
    vault add recovery --json
    vault rotate
    vault rotate --slot recovery
    vault check
    credentials show {2}
    credentials deactivate {2}
    credentials activate {2}
    credentials delete {3} --yes
    doctor --offline
    group rename biology cells
    vault export {tmp}/bundle.age --with-sessions --recipient {recipient} --json
    vault export {tmp}/bundle.age --recipient {recipient}
    vault import {tmp}/bundle.age --identity {tmp}/identity.txt --dry-run --json
    vault import {tmp}/bundle.age --identity {tmp}/identity.txt --on-conflict rename
    vault import {tmp}/bundle.age --identity {tmp}/identity.txt --on-conflict replace
    group remove history --yes
    backup copy.bak
    restore copy.bak --yes
    events
"""
# It runs on a gateway and in a home of its own.
ELSEWHERE = {("demo",), ("vault", "init"), ("account", "login"), ("credentials", "list")}
# A program of the person's own, which writes down all that it is handed.
WATCHER = """#!{python}
import os, sys
with open({seen!r}, "a") as file:
    file.write(repr([sys.argv, dict(os.environ), "" if sys.argv[1:] else sys.stdin.read()]))
    for name in sys.argv[1:]:
        file.write(open(name).read())
        open(name, "a").write("of the editor")
"""


CONVERSATION = """
a question
/attach {key}
/attach cell.png
/model demo/status-401
another
/model demo/reasoning
/retry
/save talk.md
/copy
/usage
/sessions
/resume {session}
/resume {key}
/edit a draft

/undo
\x15/exit
"""


@pytest.fixture
def afternoon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with files to attach; the person's pager and editor write all that they are handed into `seen`."""
    watcher = tmp_path / "watcher"
    watcher.write_text(WATCHER.format(python=sys.executable, seen=str(tmp_path / "seen")))
    watcher.chmod(0o755)
    (tmp_path / "temporary").mkdir()
    (tmp_path / "cell.png").write_bytes(PNG)
    (tmp_path / "notes.txt").write_text("the notes")
    (tmp_path / "keys.json").write_text(json.dumps({"openrouter": THIRD_KEY}))
    (tmp_path / "art.key").write_text(THIRD_KEY)
    (tmp_path / "art.key").chmod(0o600)
    for name, value in {
        "RAPTCHAT_DEBUG": "1",
        "AI_MAX_RETRIES": "0",
        "RAPTCHAT_MASTER_KEY_FILE": str(tmp_path / "master.key"),
        "TMPDIR": str(tmp_path / "temporary"),
        "PAGER": str(watcher),
        "LLM_USER_PATH": str(tmp_path),
        "VISUAL": str(watcher),
    }.items():
        monkeypatch.setenv(name, value)
    return tmp_path


@pytest.fixture
def web() -> Iterator[WebServer]:
    """A web server with pictures, that is also a gateway which says every key that it is shown."""
    with running() as server:
        refusal = {"error": {"message": f"the key {SECOND_KEY} is bad", "metadata": {"raw": SECOND_KEY}}}
        refused = answer(json.dumps(refusal).encode(), f"X-Key: {SECOND_KEY}", status="403 Forbidden")
        server.pages = {
            "/moved": redirect("/cell.png"),
            "/cell.png": answer(PNG, "Set-Cookie: a=b"),
            "/nothing": answer(b"nothing", status="404 Not Found"),
            "/key": refused,
            "/models": refused,
            "/models/user": refused,
        }
        yield server


def at_terminal(*words: str) -> str:
    """All that a command writes at a terminal."""
    with AtTerminal(*words) as terminal:
        terminal.ends(0)
    return terminal.said


def conversation(session_id: str) -> str:
    """All that is written while a key is typed in the wrong place; what a person types is shown to that person."""
    with AtTerminal("chat", "-g", "cells") as terminal:
        for line in CONVERSATION.format(key=KEY, session=session_id).strip("\n").split("\n"):
            terminal.until("\x1b[?2004h")
            terminal.keys(f"{line}\r")
        terminal.ends(0)
    return terminal.said.replace(KEY, "")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_key_is_in_no_conversation_export_cache_or_child_process(
    gateway: DemoGateway, web: WebServer, home: Path, afternoon: Path
) -> None:
    runner = CliRunner()
    recipient = Identity(afternoon / "identity.txt").recipient
    said: list[str] = []

    def say(*words: str, stdin: str = "") -> None:
        ended = runner.invoke(app, words, input=stdin)
        assert "a bug in raptchat" not in ended.stderr, (words, ended.stderr)
        said.append(ended.stdout + ended.stderr)

    with watched_command_lines() as command_lines:
        say("vault", "init", "--file", str(afternoon / "master.key"))
        say("group", "add-key", "biology", "--stdin", stdin=KEY)
        say("group", "add-key", "history", "--stdin", stdin=PLAIN_KEY)
        say("account", "login", "--stdin", stdin=MANAGEMENT_KEY)
        say("group", "add-key", "other", "--stdin", "--verify", stdin=MANAGEMENT_KEY)
        say("account", "login", "--stdin", stdin=KEY)
        say("group", "add-key", "echoing", "--stdin", "--base-url", web.url, stdin=SECOND_KEY)
        say("chat", "-g", "biology", "hello")
        say("chat", "-g", "history", "hello")
        ids = [value for (value,) in rows(home, "SELECT id FROM sessions ORDER BY rowid")]
        ids += [value for (value,) in rows(home, "SELECT id FROM ai_credentials ORDER BY rowid")]
        lines = AFTERNOON.format(*ids, web=web.url, tmp=afternoon, recipient=recipient).strip().splitlines()
        for line in lines:
            say(*shlex.split(line))
        for end in ("credentials show ", "chat -g ", "sessions show ", "chat -m "):
            shells = ("bash", "fish", "powershell")
            said += [answered(TOP, shell, end.split(), {"_RAPTCHAT_LINE": f"raptchat {end}"}) for shell in shells]
        said += [at_terminal("sessions"), at_terminal("sessions", "show", ids[0]), at_terminal("usage")]
        said += [at_terminal("models", "-g", "cells"), conversation(ids[0])]

    for path, headers in web.requests:
        assert (SECOND_KEY in str(headers)) is path.startswith(("/models", "/key")), path
        check(str({**headers, "authorization": ""}).encode(), path)
    assert {path for path, _ in web.requests} == set(web.pages)
    for text in said:
        check(text.encode(), text)
    seen = (afternoon / "seen").read_text()
    assert seen.count("TMPDIR") == 5
    assert "RAPTCHAT_MASTER_KEY_FILE" not in seen
    for line_of_command in command_lines:
        check(line_of_command, line_of_command)
    # What was made at the gateway, and sealed here.
    made = {str(request.api_key) for request in gateway.requests} - {KEY, PLAIN_KEY, MANAGEMENT_KEY, THIRD_KEY}
    assert len(made) == 2
    for text in said:
        assert not [key for key in made if key in text]
    (afternoon / "art.key").unlink()
    check_files(home, afternoon)
    check_vault(said, afternoon)
    done = {tuple(shlex.split(line)[:count]) for line in lines for count in (1, 2)}
    nouns = {path[:-1] for path in paths()}
    assert {path for path in paths() if path not in done | nouns} == ELSEWHERE


def check_files(home: Path, afternoon: Path) -> None:
    """No file holds a key, nothing temporary is left, and what is raptchat's own nobody else can read."""
    files = [file for file in afternoon.rglob("*") if file.is_file()]
    for file in files:
        check(file.read_bytes(), file)
    assert list((afternoon / "temporary").iterdir()) == []
    ours = {
        file.name: file.stat().st_mode & 0o777 for file in files if file.parent not in {afternoon, home.parent}
    }
    written = ("cells.md", "cells.json", "cells.html", "talk.md")
    ours |= {name: (afternoon / name).stat().st_mode & 0o777 for name in written}
    assert len(list((home / "models").iterdir())) == len(list((home / "history").iterdir())) == 1
    assert {name: oct(mode) for name, mode in ours.items() if mode != 0o600} == {}
    folders = [home, *(each for each in home.rglob("*") if each.is_dir())]
    assert {folder.name: folder.stat().st_mode & 0o777 for folder in folders} == dict.fromkeys(
        ("home", "models", "history"), 0o700
    )


def check_vault(said: list[str], afternoon: Path) -> None:
    """What opens the vault stands in its own file only, and no core file holds what was in memory."""
    files = [file for file in afternoon.rglob("*") if file.is_file()]
    assert [file for file in files if file.name.startswith("core")] == []
    keys = [file for file in files if file.suffix == ".key"]
    assert len(keys) >= 2
    for secret in [file.read_text().strip() for file in keys]:
        assert len(secret) > 40
        assert [text for text in said if secret in text] == []
        assert [file for file in files if secret.encode() in file.read_bytes()] == [
            file for file in keys if file.read_text().strip() == secret
        ]
