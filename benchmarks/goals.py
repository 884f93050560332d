"""What raptchat is to reach, and what was measured: ratios within one run, as seconds belong to a machine."""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from measuring import Row

# The rows of a run by section, name and program.
Rows = Mapping[tuple[str, str, str], Row]


class Goal(NamedTuple):
    """A figure that is to be no more than *limit*; *figure* reads it off the rows, for raptchat or for a peer.

    *figure* raises `KeyError` when a row that it needs was not measured. *peer* is the program to compare with.
    What no benchmark can show is *held_by* a test.
    """

    what: str
    limit: float
    figure: Callable[[Rows, str], float]
    peer: str = "llm"
    unit: str = ""
    held_by: str = ""


class Reached(NamedTuple):
    """A goal and what was measured; `None` is what was not."""

    goal: Goal
    raptchat: float | None
    peer: float | None

    @property
    def is_met(self) -> bool | None:
        """Whether the goal is met; `None` when it was not measured."""
        return None if self.raptchat is None else self.raptchat <= self.goal.limit


def reached(rows: Iterable[Row]) -> list[Reached]:
    """Every goal, with what *rows* say about it."""
    found = {(row.section, row.name, row.program): row for row in rows}

    def figure(goal: Goal, program: str) -> float | None:
        try:
            return goal.figure(found, program)
        except KeyError:
            return None

    return [Reached(goal, figure(goal, "raptchat"), figure(goal, goal.peer)) for goal in GOALS]


def _wall(section: str, name: str, *, over: str) -> Callable[[Rows, str], float]:
    """Wall time over that of the program *over*."""
    return lambda rows, program: rows[section, name, program].wall_ms / rows[section, name, over].wall_ms


def _extra(section: str, name: str, extra: str) -> Callable[[Rows, str], float]:
    return lambda rows, program: rows[section, name, program].extra[extra]


def _worst(section: str, extra: str, *, among: str = "", but: str = "\0") -> Callable[[Rows, str], float]:
    """The largest figure called *extra* in the rows of *section* whose names have *among*, and not *but*."""

    def figure(rows: Rows, program: str) -> float:
        found = [
            row.extra[extra]
            for row in rows.values()
            if (row.section, row.program) == (section, program)
            and among in row.name
            and but not in row.name
            and extra in row.extra
        ]
        if not found:
            raise KeyError(extra)
        return max(found)

    return figure


def _held(rows: Rows, program: str) -> float:
    raise KeyError(f"{program} in {len(rows)} rows")  # no row can show it


def _marginal(rows: Rows, program: str) -> float:
    per_token = _extra("streaming", _LONGEST, "us_per_token")
    return per_token(rows, program) / per_token(rows, "httpx")


def _storing(rows: Rows, program: str) -> float:
    per_token = _extra("streaming", _LONGEST, "us_per_token")  # without what it takes to start
    return per_token(rows, program) / per_token(rows, f"{program} --private") - 1


def _searching(rows: Rows, program: str) -> float:
    """The worst of the searches, which are what `llm` can do as well, in a store of full size."""
    large = [name for section, name, other in rows if (section, other) == ("large_store", "llm")]
    searches = [name for name in large if name.startswith("1,000,000 messages")]
    if not searches:
        raise KeyError("large_store")
    return max(_wall("large_store", name, over="llm")(rows, program) for name in searches)


_COMMON_WORD = ("large_store", "1,000,000 messages: search, a common word")
_KEY_FILE, _KEYRING, _LONGEST = "file vault", "Secret Service", "100000 tokens"

GOALS = [
    Goal(
        "`--version` / `python -c pass` in the same venv",
        1.6,
        _wall("startup", "--version", over="python -c pass"),
    ),
    Goal("`--help` / `llm --help`", 1 / 6, _wall("startup", "--help", over="llm")),
    Goal("one-shot chat, vault in a key file / bare httpx", 0.8, _wall("oneshot", _KEY_FILE, over="httpx")),
    Goal("one-shot chat, vault in a Secret Service / bare httpx", 1.1, _wall("oneshot", _KEYRING, over="httpx")),
    Goal("one-shot chat / `llm`", 1 / 5, _wall("oneshot", _KEY_FILE, over="llm")),
    Goal("one-shot chat, peak memory", 42, lambda rows, one: rows["oneshot", _KEY_FILE, one].rss_mib, unit=" MiB"),
    Goal("one-shot chat, exit after the last byte", 20, _extra("oneshot", _KEY_FILE, "exit_ms"), unit=" ms"),
    Goal("streaming, an event an HTTP chunk, marginal CPU / bare httpx", 1.1, _marginal),
    Goal("streaming 100,000 tokens, memory for each byte", 4, _extra("streaming", _LONGEST, "memory_per_byte")),
    Goal("streaming, CPU of storing the reply / of all else", 0.05, _storing),
    Goal(
        "Markdown on a terminal, 2,000 to 32,000 tokens, exponent",
        1.05,
        _worst("markdown", "exponent", but=" at "),  # at a model's pace each length is measured once
        "rich.live",
    ),
    Goal("Markdown, CPU a token / `rich` once", 2, _worst("markdown", "times_rich"), "rich.live"),
    Goal("Markdown, bytes for each character", 8, _worst("markdown", "bytes_per_character"), "rich.live"),
    Goal("Markdown, cursor moves above the tail", 0, _worst("markdown", "above_the_tail"), "rich.live"),
    Goal("Markdown, words lost or repeated", 0, _held, held_by="tests/test_render_markdown_stream.py"),
    Goal(
        "a key among 100,000 groups, open to close",
        1,
        _worst("large_store", "lookup_ms", among="100,000 groups"),
        unit=" ms",
    ),
    Goal("50 processes x 20 touches at once, failures", 0, _worst("at_once", "failed", among="touches")),
    Goal(
        "50 processes x 20 touches at once, worst wait",
        5_000,
        _worst("at_once", "worst_ms", among="touches"),
        unit=" ms",
    ),
    Goal("50 processes x 20 chats at once, failures", 0, _worst("at_once", "failed", among="20 chats")),
    Goal("16 first starts on a new store, failures", 0, _worst("at_once", "failed", among="first starts")),
    Goal(
        "16 first starts on a new store, worst wait",
        5_000,
        _worst("at_once", "worst_ms", among="first starts"),
        unit=" ms",
    ),
    Goal("search of 1,000,000 messages, a common word / `llm logs -q`", 1 / 20, _wall(*_COMMON_WORD, over="llm")),
    Goal("the worst of the searches / `llm logs -q`", 1 / 20, _searching),
]
