"""Signing in at the gateway with a browser, which makes a new key (RFC 8252, RFC 7636).

The verifier leaves this process in the exchange only; what travels through the browser is its SHA-256. So a code
that somebody else reads on the way is worth nothing to them.
"""

import base64
import hashlib
import os
import re
import secrets
import subprocess
import sys
import threading
from collections.abc import Callable

from raptchat.config import DEFAULT_MAX_RETRIES, child_environment
from raptchat.errors import GatewayTimeoutError
from raptchat.login.callback import Callback, check_code
from raptchat.providers import sign_in
from raptchat.secret import Secret

PATIENCE_SECONDS = 300.0
_LONGEST_LABEL = 64

# Isolated (`-I`): else a `webbrowser.py` in the working folder would be run.
_OPEN = "import sys, webbrowser; sys.exit(not webbrowser.open(sys.argv[1]))"


def log_in(
    gateway_url: str,
    *,
    label: str,
    browser: bool,
    show: Callable[[str], None],
    ask: Callable[[str], str],
    timeout: float,
    patience: float = PATIENCE_SECONDS,
) -> Secret:
    """A new key of whoever signs in at the gateway at *gateway_url*; there it is called as `key_name` has it.

    With *browser* the page is opened and brings the code back by itself, within *patience* seconds; without, on
    whichever machine, the page shows a code, which *ask* is asked for. *show* is told each line for the person.
    *timeout* is the longest wait in seconds for the gateway.

    Raises `GatewayTimeoutError` when nobody agrees in time, `AuthenticationFailedError` for a refusal or a code
    that is not good, `UsageError` for what cannot be a code, and what `sign_in.exchange_code` does.
    """
    # 86 characters of `A-Z a-z 0-9 - _`: RFC 7636, 4.1, wants 43 to 128.
    verifier = Secret(secrets.token_urlsafe(64))
    digest = hashlib.sha256(verifier.reveal().encode()).digest()
    challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    label = key_name(label)
    if browser:
        with Callback() as callback:
            url = sign_in.authorize_url(gateway_url, callback=callback.url, challenge=challenge, label=label)
            code = Secret(_brought(callback, url, show, patience))
    else:
        url = sign_in.authorize_url(gateway_url, callback=None, challenge=challenge, label=label)
        show("open this page in any browser, sign in, agree, and type the code that it shows:")
        show(url)
        code = Secret(check_code(ask("code: ")))
    return sign_in.exchange_code(gateway_url, code, verifier, timeout=timeout, max_retries=DEFAULT_MAX_RETRIES)


def _brought(callback: Callback, url: str, show: Callable[[str], None], patience: float) -> str:
    minutes = f"{patience / 60:g} minutes"
    show(f"sign in and agree in the browser; this waits for {minutes}, Ctrl-C ends it. The page:")
    show(url)
    failed = _open_browser(url)
    told = False

    def look() -> None:
        nonlocal told
        if failed.is_set() and not told:
            told = True
            show("no browser could be opened: open the page yourself, or from another machine use --no-browser")

    code = callback.wait(patience, meanwhile=look)
    if code is None:
        raise GatewayTimeoutError(
            f"nobody signed in within {minutes}",
            hint="run it again, with --no-browser where the browser is on another machine",
        )
    return code


def _open_browser(url: str) -> threading.Event:
    """Open *url* as `webbrowser` does (`BROWSER`); the event is set when that fails.

    It is opened by a process without this terminal: a browser that waits, or writes, must not disturb it, and one
    of text would take it over.
    """
    failed = threading.Event()
    # Without `TERM` no browser of text is chosen.
    environment = {name: value for name, value in child_environment(os.environ).items() if name != "TERM"}

    def run() -> None:
        try:
            ended = subprocess.run(
                [sys.executable, "-I", "-c", _OPEN, url],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                check=False,
            )
        except OSError:
            failed.set()
            return
        if ended.returncode:
            failed.set()

    try:
        threading.Thread(target=run, name="browser", daemon=True).start()
    except RuntimeError:  # no thread to be had
        failed.set()
    return failed


def key_name(label: str) -> str:
    """What the key with *label* is called at the gateway: `raptchat-`, then letters, digits, `.`, `_`, `-` alone.

    It is shown on a page, and in a list of keys.
    """
    return "raptchat-" + (re.sub(r"[^\w.-]+", "-", label)[:_LONGEST_LABEL].strip("-") or "key")
