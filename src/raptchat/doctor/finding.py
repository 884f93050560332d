"""What a check found."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from raptchat.errors import RaptchatError

Area = Literal["store", "vault", "gateway", "environment", "versions"]
Level = Literal["ok", "warning", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What the check *name* of an *area* found; *fix* is a command to paste, or the one thing to look at."""

    area: Area
    name: str
    level: Level
    text: str
    fix: str = ""


def ok(area: Area, name: str, text: str) -> Finding:
    """All is well."""
    return Finding(area, name, "ok", text)


def warning(area: Area, name: str, text: str, fix: str = "") -> Finding:
    """It still works, and should not stay so."""
    return Finding(area, name, "warning", text, fix)


def problem(area: Area, name: str, text: str, fix: str = "") -> Finding:
    """Some command fails, or a key is not safe."""
    return Finding(area, name, "problem", text, fix)


@dataclass(frozen=True, slots=True)
class Check:
    """One look at one thing: *run* gives what it finds, repairs nothing, and may raise what it likes."""

    area: Area
    name: str
    run: Callable[[], Iterable[Finding]]

    def findings(self) -> Iterator[Finding]:
        """What it finds; that it fails is a finding too, and takes nothing back of what came before."""
        try:
            yield from self.run()
        except RaptchatError as error:
            yield problem(self.area, self.name, str(error), error.hint)
        except Exception as error:  # noqa: BLE001 - the border to bugs, and to what a broken machine makes fail
            reason = getattr(error, "strerror", None) or type(error).__name__
            yield problem(self.area, self.name, f"could not be looked at: {reason}")
