"""Signing in at the demo gateway, as at OpenRouter ("OAuth PKCE"), but that nobody is asked to agree.

`/auth` gives a code to the address that asked for it, or shows it, and `/auth/keys` makes a key for the code.
Only PKCE with S256 is known (RFC 7636).
"""

import hashlib
import html
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

from raptchat.demo.keys import Keys
from raptchat.demo.wire import Answer, in_json, refusal

_CODE_SECONDS = 600
_MOST_CODES = 1000


class _Code(NamedTuple):
    challenge: str
    label: str
    made_at: float


class SignIn:
    """The codes that wait to be used. It is not safe between threads: whoever uses it has a lock."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._codes: dict[str, _Code] = {}

    def page(self, query: Mapping[str, str]) -> Answer:
        """`GET /auth`: the way back to `callback_url` with a code, or a page with the code where there is none."""
        challenge, callback = query.get("code_challenge", ""), query.get("callback_url")
        if not challenge or query.get("code_challenge_method") != "S256":
            return _page(400, "A code_challenge with the method S256 is required.")
        if callback is not None and not _may_be_called(callback):
            return _page(400, "The callback_url must be https, or http on this machine.")
        code = secrets.token_urlsafe(24)
        label = query.get("key_label") or (urlsplit(callback).netloc if callback else "demo")
        self._codes[code] = _Code(challenge, label, time.monotonic())
        if len(self._codes) > _MOST_CODES:
            del self._codes[next(iter(self._codes))]
        if callback is None:
            return _page(200, "Your code:", code)
        mark = "&" if urlsplit(callback).query else "?"
        return Answer(302, {"Location": f"{callback}{mark}{urlencode({'code': code})}"})

    def key_for_code(self, body: Mapping[str, object]) -> Answer:
        """`POST /auth/keys`: a key for a code and the verifier of its challenge; the code is used either way."""
        code, verifier = body.get("code"), body.get("code_verifier")
        if body.get("code_challenge_method", "S256") != "S256":
            return refusal(400, "Invalid code_challenge_method")
        found = self._codes.pop(code, None) if isinstance(code, str) else None
        if found is None or time.monotonic() > found.made_at + _CODE_SECONDS:
            return refusal(403, "Invalid code")
        if not isinstance(verifier, str) or _challenge(verifier) != found.challenge:
            return refusal(403, "Invalid code_verifier")
        text, _ = self._keys.make(found.label)
        return in_json({"key": text, "user_id": "user_demo"})


def _challenge(verifier: str) -> str:
    digest = hashlib.sha256(verifier.encode("utf-8", "replace")).digest()
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


def _may_be_called(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    local = parts.scheme == "http" and parts.hostname in {"localhost", "127.0.0.1"}
    # What is in it becomes a header.
    return url.isascii() and url.isprintable() and (local or parts.scheme == "https")


def _page(status: int, says: str, code: str = "") -> Answer:
    shown = f"<p><code>{html.escape(code)}</code></p>" if code else ""
    text = f"<!DOCTYPE html><title>raptchat demo</title><p>{html.escape(says)}</p>{shown}\n"
    return Answer(status, {"Content-Type": "text/html; charset=utf-8"}, [text.encode()])
