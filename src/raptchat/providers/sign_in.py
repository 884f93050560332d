"""Signing in with a browser: OpenRouter makes a key, and hands it over for a code.

The source is OpenRouter's guide "OAuth PKCE", which follows RFC 7636 with the method S256. It knows no `state`.
"""

from urllib.parse import urlencode

from raptchat.api_key import check_api_key
from raptchat.errors import (
    AuthenticationFailedError,
    GatewayError,
    InvalidResponseError,
    RaptchatError,
    UsageError,
)
from raptchat.providers.json_calls import JsonCalls
from raptchat.secret import Secret

_AGAIN = "sign in again: a code is good for one use within 10 minutes"
_NOBODYS = "delete the new key on the gateway's page of keys, if there is one, and sign in again"


def authorize_url(base_url: str, *, callback: str | None, challenge: str, label: str) -> str:
    """The page where a person lets the gateway at *base_url* make a key.

    The browser is sent to *callback*, on this machine, with a `code`; without one the page shows the code.
    *challenge* is the SHA-256 of the verifier in base64url without padding (RFC 7636, 4.2), *label* what the key
    shall be called.
    """
    query = {"code_challenge": challenge, "code_challenge_method": "S256", "key_label": label}
    if callback is not None:
        query = {"callback_url": callback, **query}
    return f"{base_url.rstrip('/').removesuffix('/api/v1')}/auth?{urlencode(query)}"


def exchange_code(base_url: str, code: Secret, verifier: Secret, *, timeout: float, max_retries: int) -> Secret:
    """The key for *code*, which the page gave, and *verifier*, which was made for its challenge.

    A code is good for one use, so it is never sent twice. Raises `AuthenticationFailedError` when the code is not
    good, `UsageError` when it was asked for in another way than with the verifier, or what `JsonCalls.call` does.
    """
    body = {"code": code.reveal(), "code_verifier": verifier.reveal(), "code_challenge_method": "S256"}
    with JsonCalls(base_url, key=None, timeout=timeout, max_retries=max_retries) as calls:
        try:
            said = calls.call("POST", "/auth/keys", body, repeatable=False)
        except RaptchatError as error:
            raise _refused(error) from None
    key = said.get("key")
    try:
        return Secret(check_api_key(key if isinstance(key, str) else ""))
    except UsageError:
        raise InvalidResponseError("the gateway took the code, and gave no key for it", hint=_NOBODYS) from None


def _refused(error: RaptchatError) -> RaptchatError:
    match error.fields.get("status"):
        case 400:
            return UsageError("the gateway does not take this code with this sign-in (400)", hint=_AGAIN)
        case 401 | 403:
            return AuthenticationFailedError(
                "the gateway refused the code: it is wrong, used or too old", hint=_AGAIN
            )
        case 404 | 405:
            return GatewayError(
                "the gateway has no sign-in for keys", hint="make a key on its page, and give it to add-key"
            )
    # Nobody knows whether a key was made.
    error.hint = f"{error.hint}; {_NOBODYS}" if error.hint else _NOBODYS
    return error
