"""raptchat, its peers and the limits, each with a home of its own, ready to ask the gateway.

No environment of whoever runs the benchmark reaches them: no proxy, no keyring, no settings.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import venvs
from gateway import KEY
from measuring import TIMEOUT_SECONDS, Bench, Program, ProgramError

GROUP = "bench"
# What is asked, and the models that the peers are told of.
PROMPT = "What is a cell?"
SHORT = "bench/prose-20"
STREAMS = {tokens: f"bench/prose-{tokens}" for tokens in (2_000, 20_000, 100_000)}

LIMITS = Path(__file__).with_name("limits")


def environ(home: Path) -> Mapping[str, str]:
    """The environment of a program whose home is *home*, which is made."""
    home.mkdir(parents=True, exist_ok=True)
    path = os.environ.get("PATH", os.defpath)
    return {"HOME": str(home), "PATH": path, "LANG": "C.UTF-8", "TERM": "xterm-256color"}


def raptchat(python: Path, home: Path, gateway: str) -> Program:
    """The raptchat that is installed beside *python*, with a key file for a vault and a key for `GROUP`."""
    command = python.with_name("raptchat")
    if not command.exists():
        raise ProgramError(f"there is no `{command}`: raptchat is not installed there")
    program = Program("raptchat", (str(command),), environ(home)).with_environ(
        RAPTCHAT_HOME=str(home / "raptchat"), AI_GATEWAY_URL=gateway
    )
    done(program("vault", "init", "--file", str(home / "master.key")))
    add_key(program)
    return program


def add_key(program: Program) -> None:
    """Give the group its key, in the vault that *program* has."""
    done(program("group", "add-key", GROUP, "--stdin"), stdin=KEY)


def done(program: Program, *, stdin: str = "") -> str:
    """Run *program*, which is not measured, and return what it writes; `ProgramError` when it fails or hangs."""
    try:
        ended = subprocess.run(
            program.command,
            env=program.environ,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        told = f"ended with {error.returncode}: {error.stderr[-2000:]}"
        raise ProgramError(f"`{' '.join(program.command)}` {told}") from None
    except subprocess.TimeoutExpired:
        raise ProgramError(f"`{program.name}` took more than {TIMEOUT_SECONDS:g} seconds") from None
    return ended.stdout


def llm(work: Path, home: Path, gateway: str) -> Program:
    """`llm`, from a venv below *work*."""
    python = venvs.of_packages(work / "llm", "llm")
    folder = home / "llm"
    program = Program("llm", (str(python.with_name("llm")),), environ(home)).with_environ(
        LLM_USER_PATH=str(folder)
    )
    folder.mkdir()
    # JSON is YAML as well.
    models = [
        {"model_id": model, "model_name": model, "api_base": gateway, "api_key_name": "bench", "vision": True}
        for model in (SHORT, *STREAMS.values())
    ]
    (folder / "extra-openai-models.yaml").write_text(json.dumps(models), encoding="utf-8")
    (folder / "keys.json").write_text(json.dumps({"bench": KEY}), encoding="utf-8")
    done(program("-m", SHORT, PROMPT))  # makes its database
    return program


def sgpt(work: Path, home: Path, gateway: str) -> Program:
    """`sgpt`, from a venv below *work*."""
    # It imports click, which the typer that it asks for no longer brings.
    python = venvs.of_packages(work / "shell-gpt", "shell-gpt", "click")
    program = Program("shell-gpt", (str(python.with_name("sgpt")),), environ(home)).with_environ(
        OPENAI_API_KEY=KEY,
        API_BASE_URL=gateway,
        CHAT_CACHE_PATH=str(home / "chats"),
        CACHE_PATH=str(home / "replies"),
    )
    done(program("--no-cache", "--no-md", "--model", SHORT, PROMPT))  # writes its settings
    return program


def script(python: Path, name: str, home: Path, gateway: str, *, called: str) -> Program:
    """A limit: a script of `limits/`, which is told the model and the question."""
    return Program(called, (str(python), str(LIMITS / name), gateway, KEY), environ(home))


def curl(home: Path) -> Program | None:
    """curl, where it is installed."""
    found = shutil.which("curl")
    return Program("curl", (found,), environ(home)) if found else None


def asking(bench: Bench, model: str) -> list[Program | None]:
    """Every program with one question for *model*: raptchat, the limits, the peers."""
    form = {"model": model, "stream": True, "messages": [{"role": "user", "content": PROMPT}]}
    request = ("-sSN", "--fail", "-H", f"Authorization: Bearer {KEY}", "-d", json.dumps(form))
    return [
        bench.raptchat(*chat(model)),
        bench.httpx(model, PROMPT),
        bench.http_client(model, PROMPT),
        bench.curl and bench.curl(*request, f"{bench.gateway}/chat/completions"),
        bench.llm and bench.llm("-m", model, PROMPT),
        # It would answer from its cache.
        bench.sgpt and bench.sgpt("--no-cache", "--no-md", "--model", model, PROMPT),
    ]


def chat(model: str, *words: str) -> tuple[str, ...]:
    """The words after `raptchat` that ask *model*."""
    return ("chat", "-g", GROUP, "-m", model, *words, PROMPT)
