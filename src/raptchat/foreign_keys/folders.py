"""Where programs keep their settings, by the variables that say so."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path


def home(environ: Mapping[str, str]) -> Path:
    """The home folder."""
    return Path(environ.get("HOME") or os.path.expanduser("~"))  # noqa: PTH111 - Path.home raises without one


def config(environ: Mapping[str, str]) -> Path:
    """The folder for settings of the XDG Base Directory Specification."""
    return Path(environ.get("XDG_CONFIG_HOME") or home(environ) / ".config")


def application_data(environ: Mapping[str, str]) -> Path:
    """The system's folder for settings, as `click.get_app_dir` and Rust's `dirs::config_dir` have it."""
    is_mac = sys.platform == "darwin"
    return home(environ) / "Library" / "Application Support" if is_mac else config(environ)
