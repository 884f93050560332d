"""Programs measured from outside, in turn, and what came out: the frame of every section.

A section is a module with `measure(bench: Bench) -> Iterator[Row]`. It asks `bench.compare` for rows of programs
that run in turn (A B C A B C ...), so that what else the machine does hits all of them alike.

The harness runs in any Python, also in one without raptchat: a section imports nothing of it, and runs what needs
it as `bench.python(FILE, ...)`.
"""

import os
import signal
import statistics
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

LAUNCHER = Path(__file__).with_name("launcher.py")

# A run that takes longer is stuck.
TIMEOUT_SECONDS = 300.0

Output = Literal["pipe", "file", "pty"]


class ProgramError(Exception):
    """A program that is measured failed or took too long: nothing it took means anything."""


@dataclass(frozen=True)
class Program:
    """A program with its first words and its whole environment; called with more words, it is itself with them."""

    name: str
    command: tuple[str, ...]
    environ: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, *words: str) -> "Program":
        """The program with *words* after its own."""
        return replace(self, command=(*self.command, *words))

    def named(self, name: str) -> "Program":
        """The program under another name."""
        return replace(self, name=name)

    def with_environ(self, **changes: str) -> "Program":
        """The program with *changes* in its environment."""
        return replace(self, environ={**self.environ, **changes})


@dataclass(frozen=True)
class Run:
    """What one process took; *first_byte_ms* and *exit_ms* (from the last byte to the end) are 0 into a file."""

    wall_ms: float
    cpu_ms: float
    rss_mib: float
    first_byte_ms: float
    exit_ms: float
    output: bytes = field(repr=False)


@dataclass(frozen=True)
class Row:
    """The medians of *runs* runs of one program at one task; *extra* holds what only some sections measure."""

    section: str
    name: str
    program: str
    wall_ms: float
    cpu_ms: float
    rss_mib: float
    extra: Mapping[str, float] = field(default_factory=dict)
    runs: int = 1

    @classmethod
    def of(cls, section: str, name: str, program: str, runs: list[Run]) -> "Row":
        """The medians of *runs*."""

        def median(figure: str) -> float:
            return statistics.median([float(getattr(run, figure)) for run in runs])

        extra = {figure: median(figure) for figure in ("first_byte_ms", "exit_ms") if median(figure)}
        return cls(
            section, name, program, median("wall_ms"), median("cpu_ms"), median("rss_mib"), extra, len(runs)
        )


@dataclass(frozen=True)
class Bench:
    """What the sections measure with; *gateway* is the base URL of the gateway, *scratch* an empty folder.

    A program that is not installed is `None`. Each runs *runs* times in a row of the table, or until its runs have
    taken *seconds*, so that what is slow keeps nothing else from being measured well; one run may take *timeout*
    seconds.
    """

    raptchat: Program
    python: Program
    http_client: Program
    httpx: Program
    curl: Program | None
    llm: Program | None
    sgpt: Program | None
    gateway: str
    scratch: Path
    quick: bool = False
    runs: int = 11
    seconds: float = 15.0
    timeout: float = TIMEOUT_SECONDS

    def run(self, program: Program, *, to: Output = "pipe") -> Run:
        """Run *program* once; `ProgramError`, with what it said, when it fails."""
        return run(program, to=to, scratch=self.scratch, timeout=self.timeout)

    def compare(
        self, section: str, name: str, programs: Iterable[Program | None], *, to: Output = "pipe", runs: int = 0
    ) -> Iterator[Row]:
        """Run *programs* in turn, as often as *runs* or else the bench says; a row for each, in their order."""
        present = [program for program in programs if program]
        for program, its in zip(present, self.in_turn(present, to=to, runs=runs), strict=True):
            yield Row.of(section, name, program.name, its)

    def in_turn(self, programs: Sequence[Program], *, to: Output = "pipe", runs: int = 0) -> list[list[Run]]:
        """The runs of each of *programs*, which run in turn."""
        measured: list[list[Run]] = [[] for _ in programs]
        for _ in range(runs or self.runs):
            for program, its in zip(programs, measured, strict=True):
                if sum(run.wall_ms for run in its) < self.seconds * 1e3:
                    its.append(self.run(program, to=to))
        return measured


def run(program: Program, *, to: Output, scratch: Path, timeout: float) -> Run:
    """Run *program* once with its output through a pipe, into a file or to a terminal of 120 x 40 cells.

    Standard input is empty, or at a terminal the terminal. `ProgramError`, with what it said, when it fails or
    takes more than *timeout* seconds.
    """
    output = scratch / "output"
    command = [sys.executable, "-I", "-S", str(LAUNCHER), to, str(output), *program.command]
    with subprocess.Popen(
        command, env=program.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    ) as launcher:
        try:
            said, complaint = launcher.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            raise ProgramError(f"`{program.name}` took more than {timeout:g} seconds") from None
        finally:
            if launcher.returncode is None:  # with what it started; one at a terminal ends with its terminal
                os.killpg(launcher.pid, signal.SIGKILL)
    if launcher.returncode:
        raise ProgramError(f"`{program.name}` cannot be started: {complaint.decode(errors='replace')}")
    wall, cpu, first, tail, peak, code = map(float, said.split())
    written = output.read_bytes()
    if code:
        told = (complaint or written).decode(errors="replace")[-2000:]
        raise ProgramError(f"`{' '.join(program.command)}` ended with {code:.0f}: {told}")
    return Run(wall * 1e3, cpu * 1e3, peak / 2**20, first * 1e3, tail * 1e3, written)
