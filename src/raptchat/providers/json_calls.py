"""Calls of a gateway's API that are answered with one JSON object: keys, generations, sign-in."""

import json
import math
import time
from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from raptchat import __version__
from raptchat.errors import GatewayError, InvalidResponseError, RaptchatError, UsageError
from raptchat.gateway_url import check_gateway_url
from raptchat.providers import answer, refusals
from raptchat.providers._http import Connection, Response, first_bytes, is_compressed
from raptchat.providers.cleaning import Cleaner
from raptchat.providers.retries import MAX_WAIT_SECONDS, AttemptFailed, Repeat, Retries
from raptchat.secret import Secret

# As for a list of models: a LiteLLM says some kilobytes of each of its own.
MAX_BYTES = 5 * 1024 * 1024
_NO_CONTENT, _NOT_FOUND = 204, 404
_TOO_MANY = 429


class JsonCalls:
    """Calls the API at *base_url* with *key*, or without one; a context manager.

    *timeout* is the longest wait in seconds for an answer to begin, for it to end, between two bytes of it, and
    until a call is sent again; *max_retries* how often that is. *address_hint* says what to do when something else
    than the gateway seems to be at its address. `UsageError` when a value cannot be right.
    """

    def __init__(
        self,
        base_url: str,
        *,
        key: Secret | None,
        timeout: float,
        max_retries: int,
        address_hint: str = "check `AI_GATEWAY_URL`",
    ) -> None:
        if not (math.isfinite(timeout) and timeout > 0):
            raise UsageError("the timeout must be a number of seconds above 0")
        try:
            checked = check_gateway_url(base_url)
        except ValueError as error:
            raise UsageError(
                f"the gateway's address {error}", hint="such as https://openrouter.ai/api/v1"
            ) from None
        self._key = key
        self._clean = Cleaner(key or Secret(""))
        self._address_hint = address_hint
        self._timeout = timeout
        self._max_retries = max_retries
        self._connection = Connection(checked, timeout=timeout)

    def __enter__(self) -> "JsonCalls":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the connections go; nothing can be called afterwards."""
        self._connection.close()

    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        query: Mapping[str, str] | None = None,
        repeatable: bool = True,
    ) -> dict[str, Any]:
        """The object that answers *method* at *path*, its fractions as `Decimal`; empty where nothing is said.

        Of a call that is not *repeatable*, because a second one would do it twice, nothing is sent again once any
        of it may have arrived; but one that was refused as one too many was not done.

        Raises the `GatewayError` that fits, or `InsufficientCreditError`. Where the gateway answered with an
        error, its HTTP status is `status` in the error's *fields*; for 404 there is `is_not_found`.
        """
        if query:
            path = f"{path}?{urlencode(query)}"
        content = None if body is None else json.dumps(body, allow_nan=False, default=_number).encode()
        retries = Retries(self._max_retries, min(self._timeout, MAX_WAIT_SECONDS))
        while True:
            try:
                return self._attempt(method, path, content, repeatable=repeatable)
            except AttemptFailed as failure:
                wait = retries.wait_after(failure)
                if wait is None:
                    raise failure.error from None
            time.sleep(wait)

    def _attempt(self, method: str, path: str, content: bytes | None, *, repeatable: bool) -> dict[str, Any]:
        sent, status = False, 0

        def all_sent() -> None:
            nonlocal sent
            sent = True

        try:
            with self._connection.exchange(
                path,
                headers=self._headers(content),
                body=content,
                method=method,
                seconds=self._timeout,
                sent=all_sent,
            ) as response:
                status = response.status_code
                if status == _NOT_FOUND:
                    raise self._not_found(response)
                return self._read(response)
        except AttemptFailed as failure:
            # What broke while it was being sent is one that may be repeated once.
            if not repeatable and status != _TOO_MANY and (sent or failure.repeat is not Repeat.YES):
                failure.repeat = Repeat.NEVER
            raise

    def _headers(self, content: bytes | None) -> dict[str, str]:
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": f"raptchat/{__version__}",
        }
        if content is not None:
            headers["Content-Type"] = "application/json"
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key.reveal()}"
        return headers

    def _read(self, response: Response) -> dict[str, Any]:
        try:
            answer.check_status(
                response, model="", clean=self._clean, seconds=self._timeout, address_hint=self._address_hint
            )
        except AttemptFailed as failure:
            failure.error.fields["status"] = response.status_code
            raise
        body = answer.read_whole(response, seconds=self._timeout, most_bytes=MAX_BYTES)
        if response.status_code == _NO_CONTENT:
            return {}
        data = answer.parse(body.decode("utf-8", "replace"))
        if data is None:
            # Not shown: it may hold a key that was just made.
            raise InvalidResponseError(
                "the gateway's answer is not a JSON object",
                hint=f"{self._address_hint}, and the network for a sign-in page",
            )
        if data.get("error"):
            refused = refusals.of_object(data, model="", clean=self._clean)
            refused.error.fields["status"] = refused.status
            raise refused
        return data

    def _not_found(self, response: Response) -> GatewayError:
        compressed, most = is_compressed(response), refusals.MAX_BODY_BYTES
        body = b"" if compressed else first_bytes(response, most, seconds=self._timeout)
        if answer.parse(body.decode("utf-8", "replace")) is None:
            return GatewayError(f"there is no gateway at this address ({_NOT_FOUND})", hint=self._address_hint)
        said = f"the gateway does not know what it was asked for ({_NOT_FOUND})"
        return GatewayError(said, hint=self._address_hint, status=_NOT_FOUND)


def is_not_found(error: RaptchatError) -> bool:
    """Whether the gateway says that there is no such thing, or no such call; a page of a proxy does not count."""
    return error.fields.get("status") == _NOT_FOUND


def _number(value: object) -> float:
    if not isinstance(value, Decimal):
        raise TypeError(f"no JSON form for {type(value).__name__}")
    # The shortest digits that mean this float, which are written, are those of *value*, up to 15 of them.
    return int(value) if value == value.to_integral_value() else float(value)
