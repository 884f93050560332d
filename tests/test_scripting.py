"""raptchat among the tools of a shell: every command into a file, a pipe, a closed pipe and a full disk."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import pytest
from age_files import Identity
from processes import PATIENCE_SECONDS, RAPTCHAT, AtTerminal, run

from raptchat.demo import DEMO_KEY, DEMO_MANAGEMENT_KEY, DemoGateway

pytestmark = pytest.mark.process

# Each command that only shows something, and one chat of each form.
SHOWING = [
    "--help",
    "--version",
    "group --help",
    "chat --help",
    "group list",
    "group show biology",
    "credentials list",
    "credentials show CREDENTIAL",
    "sessions list",
    "sessions show SESSION",
    "sessions search osmosis",
    "sessions export SESSION",
    "sessions export SESSION --format html",
    "events",
    "usage",
    "usage --by day,model --csv",
    "usage --by group,model --markdown",
    "credentials check",
    "account keys",
    "import-keys llm --dry-run",
    "models",
    "whoami",
    "vault status",
    "doctor --offline",
    "vault check",
    "vault import BUNDLE --identity IDENTITY --dry-run",
    "config list",
    "config path",
    "completion bash",
    "chat --no-stdin --plain hello",
    "chat --no-stdin --jsonl hello",
    "chat --no-stdin --json hello",
    "chat --dry-run --no-stdin hello",
]
# What it writes is of another time or another conversation when it runs again.
CHANGING = ("chat", "usage", "sessions list", "credentials", "sessions search", "doctor")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """The environment of a home with a group, a key, a session and its usage; ids stand in it by their names."""
    folder = tmp_path_factory.mktemp("world")
    kept = {name: value for name, value in os.environ.items() if name == "PATH"}
    with DemoGateway() as gateway:
        env = {
            **kept,
            "HOME": str(folder),
            "RAPTCHAT_HOME": str(folder / "home"),
            "AI_GATEWAY_URL": gateway.url,
            "LLM_USER_PATH": str(folder),
            "DBUS_SESSION_BUS_ADDRESS": f"unix:path={folder}/no-bus",
        }
        run("vault", "init", "--file", str(folder / "master.key"), env=env)
        run("group", "add-key", "biology", "--stdin", stdin=DEMO_KEY, env=env)
        run("chat", "What is osmosis?", env=env)
        run("models", env=env)
        (folder / "keys.json").write_text(json.dumps({"openrouter": DEMO_KEY}))
        (folder / "keys.json").chmod(0o600)
        run("group", "budget", "biology", "1000", "--per", "month", env=env)
        run("account", "login", "--stdin", stdin=DEMO_MANAGEMENT_KEY, env=env)
        [session] = json.loads(run("sessions", "list", "--json", env=env).stdout)
        [credential] = json.loads(run("credentials", "list", "--json", env=env).stdout)
        identity = Identity(folder / "identity.txt")
        run("vault", "export", str(folder / "bundle.age"), "--recipient", identity.recipient, env=env)
        env |= {"BUNDLE": str(folder / "bundle.age"), "IDENTITY": str(identity.file)}
        env["RECIPIENT"] = identity.recipient
        # Other groups come: which one pays is said.
        yield {**env, "RAPTCHAT_GROUP": "biology", "SESSION": session["id"], "CREDENTIAL": credential["id"]}


def command(words: str, world: Mapping[str, str]) -> list[str]:
    return [*RAPTCHAT, *(world.get(word, word) if word.isupper() else word for word in words.split())]


@pytest.mark.parametrize("words", SHOWING)
def test_every_command_writes_into_a_file_a_pipe_a_closed_pipe_and_onto_a_full_disk(
    world: Mapping[str, str], tmp_path: Path, words: str
) -> None:
    reading, closed = os.pipe()
    os.close(reading)
    with ExitStack() as stack:
        places: dict[str, int | IO[bytes]] = {
            "file": stack.enter_context((tmp_path / "out").open("wb")),
            "closed": stack.enter_context(os.fdopen(closed, "wb")),
            "pipe": subprocess.PIPE,
        }
        if Path("/dev/full").exists():
            places["full"] = stack.enter_context(Path("/dev/full").open("wb"))
        started = {
            place: subprocess.Popen(
                command(words, world),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.PIPE,
                env=dict(world),
            )
            for place, out in places.items()
        }
        said = {place: process.communicate(timeout=PATIENCE_SECONDS) for place, process in started.items()}

    for place, process in started.items():
        assert process.returncode == (74 if place == "full" else 0), (place, said[place])
        assert b"Traceback" not in said[place][1]
    assert said["closed"][1] == b""
    assert "full" not in said or b"No space left on device" in said["full"][1]
    piped, written = said["pipe"][0], (tmp_path / "out").read_bytes()
    assert piped
    assert b"\x1b" not in piped
    if not words.startswith(CHANGING):
        assert written == piped


# Each command that changes something and says what it did; NEW stands for a name that is not taken yet.
CHANGING_SOMETHING = [
    "group create NEW --json",
    "group set biology --description NEW --json",
    "group bind biology --json",
    "sessions rename SESSION NEW --json",
    "sessions fork SESSION --json",
    "config set alias.NEW demo/echo --json",
    "vault export NEW --recipient RECIPIENT --json",
    "vault import BUNDLE --identity IDENTITY --on-conflict replace --json",
    "credentials activate CREDENTIAL --json",
    "group provision NEW --json",
    "group budget biology 20 --per month --json",
    "group resume biology --json",
]


@pytest.mark.parametrize("words", CHANGING_SOMETHING)
def test_what_is_done_is_done_also_where_it_cannot_be_said(world: Mapping[str, str], words: str) -> None:
    reading, closed = os.pipe()
    os.close(reading)
    with ExitStack() as stack:
        places: dict[str, tuple[int | IO[bytes], int]] = {
            "pipe": (subprocess.PIPE, 0),
            "closed": (stack.enter_context(os.fdopen(closed, "wb")), 0),
        }
        if Path("/dev/full").exists():
            places["full"] = (stack.enter_context(Path("/dev/full").open("wb")), 74)
        for place, (out, exit_code) in places.items():
            name = f"{place}-{CHANGING_SOMETHING.index(words)}"
            there = [word.replace("NEW", name) for word in command(words, world)]
            ended = subprocess.run(
                there, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.PIPE, env=dict(world), check=False
            )
            assert ended.returncode == exit_code, (place, ended.stderr)
            assert b"Traceback" not in ended.stderr
            if place == "pipe":
                json.loads(ended.stdout)
            if words.startswith("group create"):
                run("group", "show", name, env=world)


@pytest.mark.parametrize("words", [words for words in SHOWING if not words.startswith(("chat", "completion"))])
def test_every_command_fits_a_dumb_terminal_of_twenty_columns(world: Mapping[str, str], words: str) -> None:
    env = {**world, "TERM": "dumb", "NO_COLOR": "1", "PAGER": "cat"}
    with AtTerminal(*command(words, world)[len(RAPTCHAT) :], env=env, columns=20) as terminal:
        said = terminal.ends(0)

    assert said.strip()
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", said)


@pytest.mark.parametrize("words", ["group list --json", "sessions list --json", "usage --json", "models --json"])
def test_a_document_is_one_line_or_more_of_json_and_nothing_else(world: Mapping[str, str], words: str) -> None:
    said = run(*words.split(), env=world)

    assert isinstance(json.loads(said.stdout), list)
    assert said.stderr == ""


def test_without_a_home_the_platforms_other_folders_do(world: Mapping[str, str], tmp_path: Path) -> None:
    env = {name: value for name, value in world.items() if name not in {"HOME", "RAPTCHAT_HOME", "RAPTCHAT_GROUP"}}
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        env[name] = str(tmp_path / name)

    run("group", "create", "history", env=env)
    run("vault", "init", "--file", str(tmp_path / "master.key"), env=env)
    run("group", "add-key", "history", "--stdin", stdin=DEMO_KEY, env=env)
    run("models", env=env)

    assert run("chat", "-m", "demo/echo", "hello", env=env).stdout == "hello\n"
    assert sorted(path.relative_to(tmp_path).parts[:2] for path in tmp_path.glob("XDG*/raptchat")) == [
        ("XDG_CACHE_HOME", "raptchat"),
        ("XDG_DATA_HOME", "raptchat"),
    ]


@pytest.mark.skipif(shutil.which("xargs") is None, reason="needs xargs")
def test_eight_at_once_under_xargs(world: Mapping[str, str]) -> None:
    # Texts that stream at the same time mix; a document is one write.
    one = f'exec "{sys.executable}" -m raptchat chat --no-stdin --json -m demo/echo "$1"'
    questions = [f"question {number}" for number in range(24)]
    ended = subprocess.run(
        ["xargs", "-P", "8", "-I", "{}", "sh", "-c", one, "sh", "{}"],
        input="\n".join(questions).encode(),
        capture_output=True,
        env=dict(world),
        timeout=PATIENCE_SECONDS * 2,
        check=False,
    )

    assert (ended.returncode, ended.stderr) == (0, b"")
    decoder, text, answers = json.JSONDecoder(), ended.stdout.decode().strip(), []
    while text:
        document, end = decoder.raw_decode(text)
        answers.append(document["content"])
        text = text[end:].lstrip()
    assert sorted(answers) == sorted(questions)


def test_a_loop_over_lines_keeps_its_lines(world: Mapping[str, str]) -> None:
    loop = f'while read -r line; do "{sys.executable}" -m raptchat chat --no-stdin -m demo/echo "$line"; done'
    ended = subprocess.run(
        ["sh", "-c", loop],
        input=b"one\ntwo words\n  three\n",
        capture_output=True,
        env=dict(world),
        timeout=PATIENCE_SECONDS,
        check=False,
    )

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"one\ntwo words\nthree\n", b"")


def test_json_lines_give_the_text_back_piece_by_piece(world: Mapping[str, str]) -> None:
    said = run("chat", "--no-stdin", "--jsonl", "-m", "demo/reasoning", "2 + 2", env=world)
    events = [json.loads(line) for line in said.stdout.splitlines()]

    assert "".join(event["text"] for event in events if event["type"] == "content") == "It is 4."
    assert "".join(event["text"] for event in events if event["type"] == "reasoning") == "Two and two."
    assert [event["type"] for event in events][-1] == "done"
    assert events[-1]["usage"]["cost"]
