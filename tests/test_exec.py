"""`raptchat exec`: another program with a group's key, and with no other."""

import errno
import hashlib
import json
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from conftest import Run, environment, rows
from processes import RAPTCHAT, AtTerminal, run, started

from raptchat.demo import DEMO_KEY, DemoGateway
from raptchat.errors import PolicyError, UsageError
from raptchat.factory import Factory
from raptchat.lending import check_variable, lend, rules_of
from raptchat.lending import environment as child_of
from raptchat.records import Budget, Policy
from raptchat.secret import Secret
from raptchat.store.groups import budget_columns, policy_columns

KEY = "sk-or-v1-0123456789abcdef0123456789abcdef"
URL = "https://gateway.example/v1"
# The demo key goes to nobody's eyes: what was lent is compared by its sum.
_SHOW = (
    "import hashlib, json, os, sys; print(json.dumps({name: hashlib.sha256(value.encode()).hexdigest()"
    " if 'KEY' in name else value for name, value in os.environ.items()} | {'words': sys.argv[1:]}))"
)


def sum_of(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def seen(*words: str, flags: tuple[str, ...] = (), changes: dict[str, str] | None = None) -> dict[str, Any]:
    """What a program sees that is run with the key of `biology`."""
    program = (sys.executable, "-c", _SHOW, *words)
    ended = run("exec", "-g", "biology", *flags, "--", *program, env=environment(**(changes or {})))
    found = json.loads(ended.stdout)
    assert isinstance(found, dict)
    return found


def test_the_program_has_the_groups_key_and_no_other(biology: Run, gateway: DemoGateway, home: Path) -> None:
    ambient = {
        "OPENROUTER_API_KEY": "sk-ambient",
        "OPENAI_API_KEY": "sk-ambient",
        "ANTHROPIC_API_KEY": "sk-ambient",
        "OPENROUTER_KEY": "sk-ambient",
        "OPENAI_BASE_URL": "https://evil.example/v1",
        "OPENROUTER_API_BASE": "https://evil.example/v1",
        "RAPTCHAT_MASTER_KEY_FILE": str(home.parent / "master.key"),
        "RAPTCHAT_PASSPHRASE_FILE": "/nowhere",
        "WEATHER_API_KEY": "of something else",
    }
    found = seen(changes=ambient)

    assert found["OPENROUTER_API_KEY"] == sum_of(DEMO_KEY)
    assert found["OPENROUTER_BASE_URL"] == found["OPENROUTER_API_BASE"] == gateway.url
    assert found["WEATHER_API_KEY"] == sum_of("of something else")
    kept = {"OPENROUTER_API_KEY", "OPENROUTER_API_BASE", "WEATHER_API_KEY"}
    assert {*ambient, "OPENAI_API_BASE"} & {*found} == kept
    assert "evil" not in json.dumps(found)

    found = seen(flags=("--env", "OPENAI_API_KEY"), changes=ambient)
    assert found["OPENAI_API_KEY"] == sum_of(DEMO_KEY)
    assert found["OPENAI_BASE_URL"] == found["OPENAI_API_BASE"] == gateway.url
    assert "OPENROUTER_API_KEY" not in found


def test_it_is_booked_as_an_event_and_as_a_use(biology: Run, home: Path) -> None:
    seen()

    assert rows(home, "SELECT action, command, group_name FROM events ORDER BY id DESC LIMIT 1") == [
        ("credential.lend", "exec", "biology")
    ]
    assert rows(home, "SELECT last_used_at IS NOT NULL FROM ai_credentials") == [(1,)]
    assert rows(home, "SELECT count(*) FROM ai_usage") == [(0,)]


def test_the_words_behind_the_program_are_its_own(biology: Run) -> None:
    words = ["--json", "-g", "history", "--", "--store", "x y", "", "*"]

    assert seen(*words)["words"] == words
    # Also without the two dashes in front.
    ended = run("exec", "-g", "biology", sys.executable, "-c", _SHOW, *words)
    assert json.loads(ended.stdout)["words"] == words


@pytest.mark.parametrize(
    ("program", "exit_code"),
    [("exit 7", 7), ("exit 0", 0), ("kill -TERM $$", -signal.SIGTERM), ("kill -PIPE $$", -13)],
)
def test_its_exit_code_and_its_signals_are_its_own(biology: Run, program: str, exit_code: int) -> None:
    run("exec", "-g", "biology", "--", "sh", "-c", program, exit_code=exit_code)


def test_a_signal_reaches_the_program_itself(biology: Run) -> None:
    code = "import signal; signal.signal(15, lambda *_: exit(5)); print('on', flush=True); signal.pause()"
    with started("exec", "-g", "biology", "--", sys.executable, "-c", code) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"on\n"
        process.terminate()
        assert process.wait(30) == 5


def test_the_program_has_the_terminal_and_standard_input(biology: Run) -> None:
    with AtTerminal("exec", "-g", "biology", "--", "sh", "-c", "test -t 0 && read x && echo got-$x") as terminal:
        terminal.keys("hello\r")
        assert "got-hello" in terminal.ends(0)
    assert run("exec", "-g", "biology", "--", "cat", stdin="piped").stdout == "piped"


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks /proc")
def test_the_program_starts_as_it_would_without_raptchat(biology: Run) -> None:
    # Python ignores two signals, and whoever opens a key allows no core file.
    show = "cat /proc/self/status; ulimit -S -c"
    program = shlex.join([*RAPTCHAT, "exec", "-g", "biology", "--", "sh", "-c", show])
    before = "ulimit -S -c $(ulimit -H -c); ulimit -S -c; exec"
    ended = subprocess.run(
        ["sh", "-c", f"{before} {program}"], env=environment(), capture_output=True, text=True, check=True
    )
    before_it, *status, in_it = ended.stdout.splitlines()
    signals = dict(line.split(":\t") for line in status if line.startswith(("SigBlk", "SigIgn", "SigCgt")))

    assert in_it == before_it
    # The two that the C library keeps for itself it may leave ignored, as `posix_spawn` of Python 3.13 does.
    of_the_library = 1 << 31 | 1 << 32
    masks = {name: int(mask, 16) & ~of_the_library for name, mask in signals.items()}
    assert masks == {"SigBlk": 0, "SigIgn": 0, "SigCgt": 0}


@pytest.mark.parametrize(
    ("program", "exit_code", "said"),
    [
        ("no-such-program", 127, "is not there"),
        ("/nowhere/x", 127, "is not there"),
        ("./plain", 126, "cannot be run"),
    ],
)
def test_what_cannot_be_started_is_not_lent_to(
    biology: Run, home: Path, program: str, exit_code: int, said: str
) -> None:
    Path("plain").write_text("echo")
    ended = run("exec", "-g", "biology", "--", program, "--word", exit_code=exit_code)

    assert ended.stderr.startswith(f"raptchat: the program `{program}` {said}")
    assert "--word" not in ended.stderr
    assert rows(home, "SELECT count(*) FROM events WHERE action = 'credential.lend'") == [(0,)]


def test_a_program_that_is_none_is_said_so(biology: Run) -> None:
    file = Path("broken")
    file.write_bytes(b"\x7fELF nothing")
    file.chmod(0o700)
    ended = run("exec", "-g", "biology", "--", "./broken", exit_code=126)
    assert ended.stderr.startswith("raptchat: the program `./broken` cannot be run: ")


@pytest.mark.parametrize(
    ("words", "exit_code", "said"),
    [
        ("exec -g biology", 2, "missing argument"),
        ("exec -g biology --json -- true", 2, "no JSON form"),
        ("exec -g nobody -- true", 3, "there is no group"),
        ("exec -g biology --env 'A B' -- true", 2, "cannot be the name of a variable"),
        ("exec -g biology --env PATH -- true", 2, "`PATH` is not for a key"),
        ("exec -g biology --env sk-or-v1-0123456789abcdef -- true", 2, "cannot be the name of a variable"),
    ],
)
def test_wrong_words_start_nothing(biology: Run, words: str, exit_code: int, said: str) -> None:
    refused = biology(words, exit_code=exit_code)
    assert said in refused.err
    assert "0123456789" not in refused.err


def test_a_group_without_a_key_or_suspended_lends_none(biology: Run) -> None:
    biology("group create history")
    assert "raptchat group add-key history" in biology("exec -g history -- true", exit_code=4).err
    with Factory() as factory, factory.store.write():
        group = factory.store.groups.named("biology")
        assert group is not None
        factory.store.groups.set(group.id, suspended_at="2026-11-23T00:00:00.000000Z")
    refused = biology("exec -g biology -- true", exit_code=4)
    assert refused.err.splitlines() == [
        "raptchat: group `biology` is suspended: nothing is sent with its key",
        "hint: raptchat group resume biology",
    ]
    biology("chat -g biology hello", exit_code=4)


def test_rules_that_another_program_does_not_keep_are_named(biology: Run) -> None:
    with Factory() as factory:
        group = factory.store.groups.named("biology")
        assert group is not None
        assert rules_of(group) == []
        policy = Policy(("a/*",), zdr=True, deny_training=True, max_cost=Decimal(1), no_history=True)
        with factory.store.write():
            columns = {**policy_columns(policy), **budget_columns(Budget(Decimal(5), "month"))}
            factory.store.groups.set(group.id, **columns)
        ruled = factory.store.groups.require(group.id)
        with pytest.raises(PolicyError) as caught:
            lend(factory, ruled, {}, variable="OPENROUTER_API_KEY")
        assert caught.value.fields["rules"] == [
            *("models", "zdr", "deny-training", "max-cost", "no-history", "budget"),
        ]
        assert DEMO_KEY not in repr(lend(factory, ruled, {}, variable="OPENROUTER_API_KEY", despite_rules=True))
    refused = run("exec", "-g", "biology", "--", "echo", "ran", exit_code=2)
    assert (refused.stdout, "--no-rules" in refused.stderr) == ("", True)
    assert run("exec", "-g", "biology", "--no-rules", "--", "echo", "ran").stdout == "ran\n"


@pytest.mark.parametrize(("flags", "name"), [((), "OPENROUTER"), (("--env", "OPENAI_API_KEY"), "OPENAI")])
def test_a_key_of_another_gateway_goes_where_it_is_told_with_that_gateways_address(
    biology: Run, flags: tuple[str, ...], name: str
) -> None:
    base = ("--provider", "openai-compatible", "--base-url", "http://127.0.0.1:9/v1")
    run("group", "add-key", "proxy", *base, "--stdin", stdin="sk-of-the-proxy")
    run("group", "add-key", "local", *base, "--no-key")
    ambient = environment(OPENAI_API_KEY="sk-ambient", OPENROUTER_API_KEY="sk-ambient")
    for group, key in (("proxy", "sk-of-the-proxy"), ("local", "")):
        ended = run(
            "exec", "-g", group, *flags, "--", "sh", "-c", "env | grep -E '_API_KEY|_BASE_URL'", env=ambient
        )
        found = {f"{name}_BASE_URL=http://127.0.0.1:9/v1"} | ({f"{name}_API_KEY={key}"} if key else set())
        assert {*ended.stdout.splitlines()} == found


def test_a_reference_is_followed_for_the_program(biology: Run, gateway: DemoGateway) -> None:
    run("group", "add-key", "history", "--key-command", f"echo {KEY}")
    ended = run("exec", "-g", "history", "--", sys.executable, "-c", _SHOW)
    assert json.loads(ended.stdout)["OPENROUTER_API_KEY"] == sum_of(KEY)


def test_an_environment_has_the_key_in_one_place_alone() -> None:
    environ = {"PATH": "/bin", "MY_KEY": "old", "OPENAI_BASE_URL": "https://evil.example", "HF_TOKEN": "x"}

    assert child_of(environ, variable="MY_KEY", key=Secret(KEY), base_url=URL) == {"PATH": "/bin", "MY_KEY": KEY}
    assert child_of(environ, variable="MY_KEY", key=Secret(""), base_url=URL) == {"PATH": "/bin"}
    assert environ["MY_KEY"] == "old"


@pytest.mark.parametrize(
    "name", ["", "1A", "A-B", "A=B", "A\n", "Ä", "A" * 129, "LD_PRELOAD", "PYTHONPATH", "HOME"]
)
def test_what_cannot_hold_a_key_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        check_variable(name)


def test_the_key_is_in_no_argument_list(biology: Run) -> None:
    show = "ps -ww -o args= -p $$ || tr '\\0' ' ' < /proc/$$/cmdline"
    said = run("exec", "-g", "biology", "--", "sh", "-c", show)
    assert said.stdout.startswith("sh -c ")  # `run` sees that the key is in none of it


def test_what_the_system_does_not_start_is_said_once_it_was_booked(
    biology: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started_with = []

    def refuse(path: str, words: list[str], env: dict[str, str]) -> None:
        started_with.append((path, words, sum_of(env["OPENROUTER_API_KEY"]), env["OPENROUTER_BASE_URL"]))
        raise OSError(errno.ENOEXEC, "Exec format error")

    monkeypatch.setattr(os, "execve", refuse)
    limit = resource.getrlimit(resource.RLIMIT_CORE)
    before = {number: signal.getsignal(number) for number in (signal.SIGPIPE, signal.SIGXFSZ)}
    try:
        said = biology("exec -g biology -- sh -c 'echo x'", exit_code=126)
        assert {signal.getsignal(number) for number in before} == {signal.SIG_DFL}
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

    assert said.err.startswith("raptchat: the program `sh` cannot be run: Exec format error\n")
    assert said.out == ""
    url = os.environ["AI_GATEWAY_URL"]
    assert started_with == [(shutil.which("sh"), ["sh", "-c", "echo x"], sum_of(DEMO_KEY), url)]
    assert resource.getrlimit(resource.RLIMIT_CORE) == limit
    assert rows(home, "SELECT count(*) FROM events WHERE action = 'credential.lend'") == [(1,)]


def test_wrong_programs_are_said_where_nothing_was_opened(raptchat: Run, home: Path) -> None:
    Path("plain").write_text("echo")
    assert "cannot be run" in raptchat("exec ./plain", exit_code=126).err
    assert "is not there" in raptchat("exec no-such-program", exit_code=127).err
    assert not home.exists()


def test_a_program_asks_with_the_lent_key_where_that_may_be_sent(biology: Run, gateway: DemoGateway) -> None:
    code = (
        "import os, urllib.request as web; name = 'OPENAI';"
        "key, url = (os.environ[f'{name}_{what}'] for what in ('API_KEY', 'BASE_URL'));"
        "request = web.Request(f'{url}/models', headers={'Authorization': f'Bearer {key}'});"
        "print(web.urlopen(request).status)"
    )
    asked = run("exec", "-g", "biology", "--env", "OPENAI_API_KEY", "--", sys.executable, "-c", code)

    assert asked.stdout == "200\n"
    assert gateway.requests[-1].api_key == DEMO_KEY
