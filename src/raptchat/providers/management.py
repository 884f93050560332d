"""OpenRouter's management of keys: a key that cannot chat makes, changes and deletes those that can.

The source is the OpenRouter API reference, "API Keys" (`/keys`), and its guide to management keys.
"""

import hashlib
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from raptchat.api_key import check_api_key
from raptchat.errors import AuthenticationFailedError, GatewayError, InvalidResponseError, UsageError
from raptchat.providers.json_calls import JsonCalls, is_not_found
from raptchat.providers.key_info import KeyCaps, KeyInfo
from raptchat.providers.keys import ask_key_info, key_info_in, read_key_info
from raptchat.secret import Secret

# Of up to 100 keys.
MOST_PAGES = 200


def hash_of(key: Secret) -> str:
    """The name by which OpenRouter knows *key*: its SHA-256 in hexadecimal, which is no secret.

    A key holds more randomness than can be tried out.
    """
    return hashlib.sha256(key.reveal().encode()).hexdigest()


class ManagementClient:
    """Manages the keys of the account of the management key *api_key*; a context manager.

    *timeout* is in seconds, as for `JsonCalls`. Every method raises the `GatewayError` that fits:
    `AuthenticationFailedError` when the gateway refuses the management key.
    """

    def __init__(self, *, api_key: Secret, base_url: str, timeout: float, max_retries: int) -> None:
        self._calls = JsonCalls(base_url, key=api_key, timeout=timeout, max_retries=max_retries)

    def __enter__(self) -> "ManagementClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the connections go; the client cannot be used afterwards."""
        self._calls.close()

    def key_info(self) -> KeyInfo:
        """What the gateway says of the management key itself."""
        return ask_key_info(self._calls)

    def keys(self) -> list[KeyInfo]:
        """All keys of the account, disabled ones too.

        `InvalidResponseError` when their list has no end in sight.
        """
        found: dict[str | KeyInfo, KeyInfo] = {}
        offset = 0
        for _ in range(MOST_PAGES):
            query = {"offset": str(offset), "include_disabled": "true"}
            entries = self._call("GET", "/keys", query=query).get("data")
            if not isinstance(entries, list):
                raise InvalidResponseError("the gateway's answer is no list of keys")
            infos = [read_key_info(entry) for entry in entries if isinstance(entry, dict)]
            # A key that was made meanwhile moves others on to the next page, and a gateway without pages
            # sends the same one for ever.
            fresh = {info.hash or info: info for info in infos if (info.hash or info) not in found}
            if not fresh:
                return list(found.values())
            found.update(fresh)
            offset += len(entries)
        raise InvalidResponseError(f"the gateway lists keys on more than {MOST_PAGES} pages")

    def create_key(
        self, name: str, *, limit: Decimal | None, limit_reset: str | None, expires_at: str | None
    ) -> tuple[Secret, KeyInfo]:
        """Make a key called *name*; the key itself, which the gateway shows this once, and what it says of it.

        *limit* is its cap in US dollars and *limit_reset* how often what was used counts from 0 again (`daily`,
        `weekly`, `monthly`), both `None` for not at all. *expires_at* is `YYYY-MM-DDTHH:MM:SSZ`, or `None` for
        never. It is never asked for twice: after an error other than a refusal it may exist all the same.
        """
        body = {"name": name, "limit": limit, "limit_reset": limit_reset, "expires_at": expires_at}
        said = self._call(
            "POST", "/keys", {field: value for field, value in body.items() if value is not None}, repeatable=False
        )
        data = said.get("data")
        data = data if isinstance(data, dict) else {}
        # The reference has it beside `data`, one of the guides has it inside.
        key = _key_in(said) or _key_in(data)
        if key is None:
            raise InvalidResponseError(
                "the gateway did not say which key it made",
                hint="the key may exist there without anyone knowing it: raptchat account keys",
            )
        return key, read_key_info({**data, "hash": hash_of(key)})

    def key(self, key_hash: str) -> KeyInfo | None:
        """What the gateway says of the key *key_hash*; `None` when it has none of it."""
        try:
            return key_info_in(self._call("GET", _path(key_hash)))
        except GatewayError as error:
            if is_not_found(error):
                return None
            raise

    def caps(self, key_hash: str) -> KeyCaps:
        """The caps of the key *key_hash*, to give them to another one.

        Raises `InvalidResponseError` when one cannot be read, which would be none for that other key.
        """
        said = self._call("GET", _path(key_hash))
        info, data = key_info_in(said), said["data"]
        caps = KeyCaps(info.limit, info.limit_reset, info.expires_at)
        if "limit" not in data or any(
            value is None and data.get(field) is not None for field, value in caps._asdict().items()
        ):
            raise InvalidResponseError("what the gateway says of the key's caps cannot be read")
        return caps

    def update_key(self, key_hash: str, **changes: str | bool | Decimal | None) -> KeyInfo:
        """Change `name`, `disabled`, `limit` or `limit_reset` of the key *key_hash*, and say what it is then.

        Whatever is not named stays; `None` takes a cap or its renewal away. A key that there is not is a
        `GatewayError` with the status 404 in its *fields*.
        """
        assert changes.keys() <= {"name", "disabled", "limit", "limit_reset"}
        return key_info_in(self._call("PATCH", _path(key_hash), changes))

    def delete_key(self, key_hash: str) -> None:
        """Delete the key *key_hash* for good, which stops working at once; one that is gone already is fine."""
        try:
            self._call("DELETE", _path(key_hash))
        except GatewayError as error:
            if not is_not_found(error):
                raise

    def _call(self, method: str, path: str, *body: Mapping[str, object], **how: Any) -> dict[str, Any]:
        try:
            return self._calls.call(method, path, *body, **how)
        except AuthenticationFailedError as error:
            raise AuthenticationFailedError(
                f"the management key does not work: {error}", hint="raptchat account login", **error.fields
            ) from None


def _key_in(data: Mapping[str, object]) -> Secret | None:
    key = data.get("key")
    try:
        return Secret(check_api_key(key)) if isinstance(key, str) else None
    except UsageError:
        return None


def _path(name: str) -> str:
    if not (len(name) == 64 and set(name) <= set("0123456789abcdef")):
        raise UsageError("a key's hash is 64 hexadecimal digits", hint="raptchat account keys")
    return f"/keys/{name}"
