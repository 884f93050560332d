"""The area `versions`: what runs here."""

import platform
import sqlite3
import ssl
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from raptchat import __version__
from raptchat.doctor.finding import Check, Finding, ok, problem
from raptchat.doctor.subject import Subject

# STRICT tables came with it.
_LEAST_SQLITE = (3, 37, 0)
_PACKAGES = ("cryptography", "keyring", "httpx")


def checks(subject: Subject) -> list[Check]:
    """What there is to say of each part."""
    del subject  # the parts are those of the program
    return [
        Check("versions", "raptchat", lambda: [_is("raptchat", __version__)]),
        Check("versions", "Python", lambda: [_is("Python", _python())]),
        Check("versions", "SQLite", lambda: [_sqlite()]),
        Check("versions", "OpenSSL", lambda: [_is("OpenSSL", ssl.OPENSSL_VERSION)]),
        Check("versions", "packages", _packages),
    ]


def _is(name: str, text: str) -> Finding:
    return ok("versions", name, text)


def _python() -> str:
    return f"{platform.python_version()} on {platform.system()} {platform.release()}"


def _sqlite() -> Finding:
    text = sqlite3.sqlite_version
    if sqlite3.sqlite_version_info >= _LEAST_SQLITE:
        return _is("SQLite", text)
    text = f"{text} is too old: it has no STRICT tables"
    return problem("versions", "SQLite", text, "use a Python with a newer SQLite")


def _packages() -> Iterator[Finding]:
    for name in _PACKAGES:
        try:
            yield _is(name, version(name))
        except PackageNotFoundError:
            yield problem("versions", name, "it is not installed", f"pip install {name}")
