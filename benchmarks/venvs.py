"""Virtual environments of the benchmark's own, kept from one run to the next."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from measuring import ProgramError

CHECKOUT = Path(__file__).resolve().parent.parent


def cache_folder() -> Path:
    """Where they are kept when no other folder is named."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "raptchat-benchmarks"


def of_checkout(work: Path) -> Path:
    """The Python of a venv below *work* that has this checkout as a wheel, as it is now."""
    python = of_packages(work / "raptchat")
    _pip(python, str(CHECKOUT))  # a folder is installed anew, also at the same version
    return python


def of_packages(folder: Path, *packages: str) -> Path:
    """The Python of a venv at *folder* with *packages*, installed when the venv is not there yet."""
    python, done = folder / "bin" / "python", folder / "installed"
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        _run(sys.executable, "-m", "venv", str(folder))
        if packages:
            _pip(python, *packages)
        done.touch()
    return python


def versions(python: Path, *packages: str) -> Mapping[str, str]:
    """The versions of *packages* that *python* has."""
    code = "import importlib.metadata as m, sys; print(*map(m.version, sys.argv[1:]))"
    return dict(zip(packages, _run(str(python), "-c", code, *packages).split(), strict=True))


def _pip(python: Path, *words: str) -> None:
    _run(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *words)


def _run(*command: str) -> str:
    try:
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:  # such as a venv whose Python is gone
        raise ProgramError(f"`{' '.join(command)}` cannot be started: {error}") from None
    if ended.returncode:
        raise ProgramError(f"`{' '.join(command)}` failed: {ended.stderr[-2000:]}")
    return ended.stdout
