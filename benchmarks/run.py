"""Measure raptchat beside its peers and the limits.

    python benchmarks/run.py [--quick] [--only SECTION]...

Installs what it measures into virtual environments of its own (the first time takes a minute or two), starts a
gateway on loopback, runs everything in turn and prints what it took. Only the installing needs the network.
"""
# ruff: noqa: T201 - its results are printed

import argparse
import importlib
import json
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import chart
import peers
import venvs
from gateway import EVENTS_PER_SECOND, Gateway
from measuring import Bench, Program, ProgramError, Row
from report import Results, replaced

# Each is a module with `measure`; the cheap ones come first.
SECTIONS = ["startup", "oneshot", "conversations", "streaming", "at_once", "markdown", "large_store"]

RUNS, QUICK_RUNS = 11, 5
SECONDS, QUICK_SECONDS = 15.0, 1.0


def main() -> None:
    """Measure, print and write."""
    arguments = parsed()
    if arguments.markdown:  # what cannot be written is better known before than after
        try:
            replaced(arguments.markdown.read_text(encoding="utf-8"), "")
        except (OSError, ValueError) as error:
            sys.exit(f"error: {error}")
    for ends in (signal.SIGTERM, signal.SIGHUP):  # as Ctrl-C does, so that nothing is left running
        if signal.getsignal(ends) != signal.SIG_IGN:  # as `nohup` has it
            signal.signal(ends, signal.default_int_handler)
    begun = time.monotonic()
    try:
        with prepared(arguments) as (bench, about):
            print("; ".join(f"{name} {value}" for name, value in about.items()), flush=True)
            rows, failures = measured(bench, arguments.only or SECTIONS)
    except ProgramError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted")
    results = Results({**about, "took": f"{time.monotonic() - begun:.0f} s"}, rows)
    print(f"\n{results.markdown()}", flush=True)
    try:
        write(results, arguments)
    except OSError as error:
        sys.exit(f"error: {error}")
    if failures:
        sys.exit(f"error: not measured: {', '.join(failures)}")


def write(results: Results, arguments: argparse.Namespace) -> None:
    """Write the results into the files that are named."""
    if arguments.json:
        arguments.json.write_text(json.dumps(results.document(), indent=2) + "\n", encoding="utf-8")
    if arguments.markdown:
        text = arguments.markdown.read_text(encoding="utf-8")
        arguments.markdown.write_text(replaced(text, results.markdown()), encoding="utf-8")
    if arguments.svg:
        arguments.svg.write_text(chart.svg(results.rows), encoding="utf-8")


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="less of each: under two minutes once all is installed"
    )
    parser.add_argument("--only", action="append", choices=SECTIONS, metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument(
        "--runs", type=int, help=f"how often each program runs; {RUNS}, or {QUICK_RUNS} with --quick"
    )
    parser.add_argument("--peers", action=argparse.BooleanOptionalAction, default=True, help="llm and shell-gpt")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results as JSON")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="write the chart of the README")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="put the results between the marks of FILE")
    parser.add_argument("--work", type=Path, metavar="FOLDER", default=venvs.cache_folder(), help="for the venvs")
    parser.add_argument(
        "--python", type=Path, help="measure the raptchat that this one has, instead of installing the checkout"
    )
    return parser.parse_args()


@contextmanager
def prepared(arguments: argparse.Namespace) -> Iterator[tuple[Bench, dict[str, str]]]:
    """Everything installed and the gateway running; and what the results are about."""
    work: Path = arguments.work.resolve()
    # The venv's Python is a link, and what it is linked to has no raptchat.
    python: Path = arguments.python.absolute() if arguments.python else venvs.of_checkout(work)
    scratch_folder = tempfile.TemporaryDirectory(prefix="raptchat-bench-", ignore_cleanup_errors=True)
    with scratch_folder as folder, Gateway() as gateway:
        scratch, url = Path(folder), gateway.url
        rate = gateway.events_per_second()
        if rate < EVENTS_PER_SECOND:
            raise ProgramError(f"the gateway sends {rate:,.0f} events a second and would be the limit itself")
        home = scratch / "home"
        environ = peers.environ(home)
        bench = Bench(
            raptchat=peers.raptchat(python, scratch / "raptchat", url),
            python=Program("python", (str(python),), environ),
            http_client=peers.script(python, "bare_http_client.py", home, url, called="http.client"),
            httpx=peers.script(python, "bare_httpx.py", home, url, called="httpx"),
            curl=peers.curl(home),
            llm=installable(lambda: peers.llm(work, scratch / "llm", url)) if arguments.peers else None,
            sgpt=installable(lambda: peers.sgpt(work, scratch / "sgpt", url)) if arguments.peers else None,
            gateway=url,
            scratch=scratch,
            quick=arguments.quick,
            runs=arguments.runs or (QUICK_RUNS if arguments.quick else RUNS),
            seconds=QUICK_SECONDS if arguments.quick else SECONDS,
        )
        yield bench, {**machine(), **installed(bench), "gateway": f"{rate:,.0f} events/s"}


def installable(peer: Callable[[], Program]) -> Program | None:
    """The *peer*; `None`, which is said on standard error, when it cannot be installed or does not answer."""
    try:
        return peer()
    except ProgramError as error:
        print(f"left out: {error}", file=sys.stderr, flush=True)
        return None


def measured(bench: Bench, sections: Sequence[str]) -> tuple[list[Row], list[str]]:
    """The rows of these sections, and the sections that failed or were interrupted, as standard error says."""
    rows, failures = list[Row](), list[str]()
    for section in sections:
        begun = time.monotonic()
        try:
            for row in importlib.import_module(section).measure(bench):
                rows.append(row)
                print(f"{section}: {row.name}: {row.program} {row.wall_ms:,.1f} ms", file=sys.stderr, flush=True)
        except KeyboardInterrupt:
            return rows, [*failures, *sections[sections.index(section) :]]
        except Exception as error:  # noqa: BLE001 - whatever it is, the other sections are measured
            print(f"{section}: {type(error).__name__}: {error}", file=sys.stderr)
            failures.append(section)
        print(f"{section}: {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    return rows, failures


def machine() -> dict[str, str]:
    """When and on what this runs."""
    return {
        "on": datetime.now(UTC).strftime("%-d %B %Y"),
        "processors": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
    }


def installed(bench: Bench) -> dict[str, str]:
    """The versions of what is measured."""
    found = dict(venvs.versions(Path(bench.python.command[0]), "raptchat", "httpx"))
    for program, package in ((bench.llm, "llm"), (bench.sgpt, "shell-gpt")):
        if program:
            found |= venvs.versions(Path(program.command[0]).with_name("python"), package)
    return found


if __name__ == "__main__":
    main()
