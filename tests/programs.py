"""Programs that tests need beside Python."""

import os
import shutil
from typing import NoReturn

import pytest


def installed(program: str, package: str) -> str:
    """Where *program* is; without it the test is left out, but not in CI, which installs the Debian *package*."""
    return shutil.which(program) or is_missing(f"{program} not found (Debian package {package})")


def is_missing(reason: str) -> NoReturn:
    """Leave the test out; in CI, which installs everything, fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
