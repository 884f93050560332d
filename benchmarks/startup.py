"""What it takes until a command that asks nobody has said what it says."""

from collections.abc import Iterator

from measuring import Bench, Row

SECTION = "startup"


def measure(bench: Bench) -> Iterator[Row]:
    """`--version`, `--help` and the list of keys, beside an interpreter that does nothing."""
    nothing = bench.python("-c", "pass").named("python -c pass")
    for flag in ("--version", "--help"):
        programs = [bench.raptchat, bench.llm, bench.sgpt, bench.curl]
        yield from bench.compare(SECTION, flag, [nothing, *(one and one(flag) for one in programs)])
    keys = [bench.raptchat("credentials", "list"), bench.llm and bench.llm("keys", "list")]
    yield from bench.compare(SECTION, "credentials list", [nothing, *keys])
