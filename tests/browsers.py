"""Browsers of a person who agrees to everything, or who does something else: programs for `BROWSER`."""

import os
import sys
from pathlib import Path

# Follows every redirect, as a browser does, and asks for an icon first.
AGREES = """
import sys, urllib.error, urllib.request
from urllib.parse import parse_qs, urlsplit
address = sys.argv[-1]
callback = parse_qs(urlsplit(address).query)["callback_url"][0]
try:
    urllib.request.urlopen(callback.rpartition("/")[0] + "/favicon.ico", timeout=20)
except urllib.error.HTTPError as refused:
    assert refused.code == 404
    refused.close()
with urllib.request.urlopen(address, timeout=20) as page:
    text = page.read()
with open(__file__ + ".seen", "wb") as seen:
    seen.write(address.encode() + b"\\n" + text)
print("[1:2] noise of a browser")
print("more noise", file=sys.stderr)
"""

# Brings a code that somebody made up.
FORGES = """
import sys, urllib.request
from urllib.parse import parse_qs, urlsplit
callback = parse_qs(urlsplit(sys.argv[-1]).query)["callback_url"][0]
urllib.request.urlopen(callback + "?code=made-up", timeout=20).close()
"""

LOOKS_ONLY = "import sys; open(__file__ + '.seen', 'w').write(sys.argv[-1])"
FAILS = "raise SystemExit(3)"

# A browser of text: it has the terminal, or nothing.
WANTS_TERMINAL = """
import os, sys
try:
    os.close(os.open("/dev/tty", os.O_RDWR))
    has = "has"
except OSError:
    has = "has not"
with open(__file__ + ".seen", "w") as seen:
    seen.write(f"{has} {os.environ.get('TERM')} {sys.stdin.isatty()} {sys.stdout.isatty()} {sys.stderr.isatty()}")
sys.exit(1)
"""


class Browser:
    """A program at *path* that does what *program* says, for the variable `BROWSER`."""

    def __init__(self, path: Path, program: str) -> None:
        self.path = path
        path.write_text(f"#!{sys.executable} -IS\n{program}")
        os.chmod(path, 0o700)  # noqa: PTH101

    @property
    def seen(self) -> str:
        """What it left to be looked at."""
        return Path(f"{self.path}.seen").read_text()
