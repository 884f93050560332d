"""What `raptchat doctor` says of an installation, as a test reads it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import Run

__all__ = ["Diagnosis", "diagnose", "own_home_fixture"]


@pytest.fixture(name="own_home")
def own_home_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder of the test's own, in which no other tool keeps anything yet."""
    folder = tmp_path / "person"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    for name in ("XDG_CONFIG_HOME", "LLM_USER_PATH", "AICHAT_CONFIG_DIR", "AICHAT_CONFIG_FILE", "AICHAT_ENV_FILE"):
        monkeypatch.delenv(name, raising=False)
    return folder


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The document of `raptchat doctor --json`."""

    document: dict[str, Any]

    def of(self, area: str, name: str) -> list[dict[str, Any]]:
        """What the check *name* found."""
        return [one for one in self.document["findings"] if (one["area"], one["name"]) == (area, name)]

    def the(self, area: str, name: str) -> dict[str, Any]:
        """The one thing that the check *name* found."""
        [found] = self.of(area, name)
        return found

    def worse(self) -> list[tuple[str, str, str]]:
        """Every check that found a warning or a problem."""
        return [
            (one["area"], one["name"], one["level"]) for one in self.document["findings"] if one["level"] != "ok"
        ]


def diagnose(raptchat: Run, *flags: str, ok: bool = True) -> Diagnosis:
    """Run the doctor without the network, and see that it ends as what it found says."""
    said = raptchat(["doctor", "--json", "--offline", *flags], exit_code=0 if ok else 1)
    document = json.loads(said.out)
    problems = [one for one in document["findings"] if one["level"] == "problem"]
    assert document["ok"] is ok, document
    assert ok is not bool(problems)
    assert said.err == ""
    return Diagnosis(document)
