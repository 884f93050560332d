"""A gateway's list of models, asked for page by page, within limits."""

import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from raptchat.errors import GatewayError, GatewayTimeoutError, InvalidResponseError
from raptchat.providers import answer, model_list, refusals
from raptchat.providers._http import Connection, Response, body_pieces
from raptchat.providers.cleaning import Cleaner
from raptchat.providers.retries import AttemptFailed, Retries
from raptchat.records import Model, RetryChunk

# All pages together: the list of 400 models is about 1 MB.
MAX_BYTES = 5 * 1024 * 1024
_MOST_PAGES = 50
_LONGEST_QUERY = 1000

_NO_SUCH_LIST = {404, 405, 501}
_REFUSALS_OF_A_MODEL = {400, 401, 403, 422, 500}


class ModelPages:
    """Asks one gateway for its models with one key.

    *seconds* is the patience with each page, *max_retries* that with failures of it; *retrying* is told before
    each wait. *lists* are the paths, the best first, and of each whether it is doubtful: a refusal there, or an
    answer of another kind, means no more than that there is no such list. *address_hint* is what to do when no
    gateway answers.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        headers: Mapping[str, str],
        clean: Cleaner,
        seconds: float,
        max_retries: int,
        lists: Mapping[str, bool],
        address_hint: str,
        retrying: Callable[[RetryChunk], None],
    ) -> None:
        self._connection = connection
        self._headers = headers
        self._clean = clean
        self._seconds = seconds
        self._max_retries = max_retries
        self._lists = lists
        self._address_hint = address_hint
        self._retrying = retrying
        self._bytes_left = MAX_BYTES

    def models(self) -> list[Model]:
        """The models of the first list that is there.

        Raises the `GatewayError` that fits, or `InsufficientCreditError`.
        """
        for path in self._lists:
            entries = self._entries(path)
            if entries is not None:
                return [model for model in model_list.read(entries) if not self._says_key(model)]
        raise GatewayError("the gateway has no list of models", hint="name a model with -m all the same")

    def _says_key(self, model: Model) -> bool:
        # It would be printed, and remembered in plain text.
        said = "\n".join((model.id, model.name, *model.input_modalities, *model.supported_parameters))
        return self._clean.key.cut_out(said) != said

    def _entries(self, path: str) -> list[object] | None:
        entries: list[object] = []
        query, seen = "", {""}
        for _ in range(_MOST_PAGES):
            page = self._page(path + query, doubtful=self._lists[path] and not query)
            if page is None:
                return None
            entries += page["data"]
            query = _next_query(page)
            if query in seen or len(entries) >= model_list.MOST_MODELS:
                break
            seen.add(query)
        return entries

    def _page(self, path: str, *, doubtful: bool) -> dict[str, Any] | None:
        retries = Retries(self._max_retries)
        while True:
            try:
                return self._attempt(path, doubtful=doubtful)
            except AttemptFailed as failure:
                wait = retries.wait_after(failure)
                if wait is None:
                    raise failure.error from None
                self._retrying(RetryChunk(str(failure.error), wait))
            time.sleep(wait)

    def _attempt(self, path: str, *, doubtful: bool) -> dict[str, Any] | None:
        """The page at *path*; `None` when the gateway has no such list."""
        with self._connection.exchange(path, headers=self._headers, seconds=self._seconds) as response:
            status = response.status_code
            if status in _NO_SUCH_LIST or (doubtful and status in _REFUSALS_OF_A_MODEL):
                return None
            answer.check_status(
                response, model="", clean=self._clean, seconds=self._seconds, address_hint=self._address_hint
            )
            page = answer.parse(self._body(response).decode("utf-8", "replace"))
        if page is not None and isinstance(page.get("data"), list):
            return page
        if doubtful:
            return None
        if page is not None and page.get("error"):
            raise refusals.of_object(page, model="", clean=self._clean)
        raise InvalidResponseError(
            "the gateway's answer is no list of models",
            hint=f"{self._address_hint}, and the network for a sign-in page",
        )

    def _body(self, response: Response) -> bytes:
        pieces: list[bytes] = []
        end = time.monotonic() + self._seconds
        for piece in body_pieces(response):
            pieces.append(piece)
            self._bytes_left -= len(piece)
            if self._bytes_left < 0:
                raise InvalidResponseError(
                    f"the gateway's list of models is larger than {MAX_BYTES // 1024 // 1024} MiB"
                )
            if time.monotonic() > end:
                raise GatewayTimeoutError("the gateway took too long over its list of models")
        return b"".join(pieces)


def _next_query(page: Mapping[str, object]) -> str:
    links = page.get("links")
    link = links.get("next") if isinstance(links, dict) else None
    try:
        # Of the address only what asks for the page: the key goes nowhere that it was not meant for.
        query = urlsplit(link).query if isinstance(link, str) else ""
    except ValueError:
        return ""
    usable = query.isascii() and query.isprintable() and 0 < len(query) <= _LONGEST_QUERY
    return f"?{query}" if usable else ""
