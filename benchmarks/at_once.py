"""Many processes at one store at once: how many fail, and how long the unluckiest waits."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from measuring import Bench, Program, ProgramError, Row
from peers import GROUP, PROMPT, SHORT, chat, done

SECTION = "at_once"

PROCESSES, TOUCHES, CHATS, QUICK_CHATS = 50, 20, 20, 2
FIRST_STARTS = 16
PROMPTS, PROMPTS_AT_ONCE = 24, 16

_WORKERS = Path(__file__).with_name("workers")


def measure(bench: Bench) -> Iterator[Row]:
    """50 processes that touch a key, or chat, 20 times each; 16 first commands on a new store; 24 prompts by 16.

    *failed* counts processes, *worst_ms* is the longest that one touch, chat or command took. There are more of
    them than processors, so much of that is waiting for a processor.
    """
    yield touches(bench, PROCESSES, TOUCHES)
    yield chats(bench, PROCESSES, QUICK_CHATS if bench.quick else CHATS)
    new = bench.raptchat.with_environ(RAPTCHAT_HOME=str(bench.scratch / "new"))
    starts = [new("group", "create", f"class {number}") for number in range(FIRST_STARTS)]
    yield together("first starts", starts, FIRST_STARTS)
    yield together("prompts", [bench.raptchat(*chat(SHORT))] * PROMPTS, PROMPTS_AT_ONCE)
    if bench.llm and not bench.quick:
        folder = bench.scratch / "new-llm"
        shutil.copytree(bench.llm.environ["LLM_USER_PATH"], folder, ignore=shutil.ignore_patterns("*.db*"))
        prompt = bench.llm("-m", SHORT, PROMPT)
        new = prompt.with_environ(LLM_USER_PATH=str(folder))
        yield together("first starts", [new] * FIRST_STARTS, FIRST_STARTS)
        yield together("prompts", [prompt] * PROMPTS, PROMPTS_AT_ONCE)


def touches(bench: Bench, processes: int, count: int) -> Row:
    """So many processes that note the use of one key *count* times each."""
    return _ready_first(bench, processes, f"{count} touches", "touch_often.py", GROUP, str(count))


def chats(bench: Bench, processes: int, count: int) -> Row:
    """So many processes that send *count* chats each."""
    return _ready_first(bench, processes, f"{count} chats", "chat_often.py", GROUP, SHORT, str(count))


def _ready_first(bench: Bench, processes: int, what: str, worker: str, *words: str) -> Row:
    """So many processes of a worker, all of them ready before the first begins."""
    command = [*bench.python.command, str(_WORKERS / worker), *words]
    gate, opener = os.pipe()
    with ExitStack() as stack:
        running = list[subprocess.Popen[str]]()
        for _ in range(processes):
            process = subprocess.Popen(
                command,
                env=bench.raptchat.environ,
                stdin=gate,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            running.append(stack.enter_context(process))
            stack.callback(process.kill)
        os.close(gate)
        for process in running:
            assert process.stdout
            process.stdout.readline()
        begun, before = time.monotonic(), _cpu_of_children()
        os.close(opener)
        try:
            said = [process.communicate(timeout=bench.timeout) for process in running]
        except subprocess.TimeoutExpired:
            raise ProgramError(f"{processes} processes do not end within {bench.timeout:g} seconds") from None
        wall, cpu = time.monotonic() - begun, _cpu_of_children() - before
    failures = [errors for process, (_, errors) in zip(running, said, strict=True) if process.returncode]
    worst = max((float(out) for out, _ in said if out), default=0.0)
    return _row(f"{processes} processes x {what}", "raptchat", wall, cpu, worst, failures)


def together(name: str, programs: Sequence[Program], at_once: int) -> Row:
    """All of *programs*, *at_once* of them at any time."""

    def run(program: Program) -> tuple[float, str | None]:
        begun = time.monotonic()
        try:
            done(program)
        except ProgramError as error:
            return time.monotonic() - begun, str(error)
        return time.monotonic() - begun, None

    begun, before = time.monotonic(), _cpu_of_children()
    with ThreadPoolExecutor(at_once) as pool:
        ended = list(pool.map(run, programs))
    wall, cpu = time.monotonic() - begun, _cpu_of_children() - before
    failures = [errors for _, errors in ended if errors is not None]
    worst = max(seconds for seconds, _ in ended)
    return _row(f"{len(programs)} {name}, {at_once} at once", programs[0].name, wall, cpu, worst, failures)


def _cpu_of_children() -> float:
    """The seconds that all processes took which have ended."""
    taken = os.times()
    return taken.children_user + taken.children_system


def _row(name: str, program: str, wall: float, cpu: float, worst: float, failures: list[str]) -> Row:
    if failures:
        print(f"{program}: {failures[0][-500:]}", file=sys.stderr)  # noqa: T201
    extra = {"failed": float(len(failures)), "worst_ms": worst * 1e3}
    return Row(SECTION, name, program, wall * 1e3, cpu * 1e3, 0.0, extra)
