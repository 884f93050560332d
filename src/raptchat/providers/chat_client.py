"""The client of a chat gateway: one conversation goes out, and the reply comes back chunk by chunk.

The wire is `POST /chat/completions`, which OpenRouter and many others share. It always streams: only a stream can
be cancelled, and only a cancelled stream stops being billed. What a kind of gateway has of its own is in a module
of its own.
"""

import math
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Self

from raptchat import __version__
from raptchat.api_key import check_api_key
from raptchat.config import DEFAULT_MAX_RETRIES, DEFAULT_MODEL, DEFAULT_TIMEOUT_SECONDS
from raptchat.errors import GatewayError, IncompleteReplyError, InvalidResponseError, RaptchatError, UsageError
from raptchat.gateway_url import check_gateway_url
from raptchat.providers import answer, request
from raptchat.providers._http import Connection, Response
from raptchat.providers.cleaning import Cleaner
from raptchat.providers.reply import Reply
from raptchat.providers.retries import AttemptFailed, Repeat, Retries
from raptchat.records import Chunk, DoneChunk, Message, Model, Progress, RetryChunk, Start, Usage
from raptchat.secret import Secret

if TYPE_CHECKING:
    from raptchat.providers.json_calls import JsonCalls
    from raptchat.providers.key_info import KeyInfo

# Of the timeout: a host that only keeps the connection alive is waited for this much longer.
PATIENCE = 2.5
_ASIDE_SECONDS = 5.0
_SLOW = "choose another model, or raise `AI_REQUEST_TIMEOUT_MS`"


class Listener(NamedTuple):
    """Whoever is told how a request comes on."""

    started: Callable[[Start], None]
    progress: Callable[[Progress], None]


class ChatClient(ABC):
    """What the clients of all kinds of gateways have in common.

    *api_key* is read from nowhere else; only a client that `needs_no_key` takes `None`, and then sends none.
    *credential_id* says whose it is, for the books. *timeout* is the longest wait in seconds between two bytes of
    an answer, *max_retries* how often a request is sent again before any of its reply came. `UsageError` when a
    value cannot be right.
    """

    needs_no_key: ClassVar[bool] = False

    def __init__(
        self,
        *,
        api_key: str | Secret | None,
        base_url: str,
        credential_id: str | None = None,
        default_model: str = DEFAULT_MODEL,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
        max_retries: int = DEFAULT_MAX_RETRIES,
    ) -> None:
        text = api_key.reveal() if isinstance(api_key, Secret) else api_key
        # `or ""`: what os.environ.get returns for a variable that is not set is an error as an empty key is.
        without_key = text is None and self.needs_no_key
        self._key = Secret("" if without_key else check_api_key(text or ""))
        if not (math.isfinite(timeout) and timeout > 0):
            raise UsageError("the timeout must be a number of seconds above 0")
        if max_retries < 0:
            raise UsageError("the number of retries must not be below 0")
        try:
            self.base_url = check_gateway_url(base_url)
        except ValueError as error:
            raise UsageError(
                f"the gateway's address {error}", hint="such as https://openrouter.ai/api/v1"
            ) from None
        self.credential_id = credential_id
        self.default_model = default_model
        self.timeout = timeout
        self.max_retries = max_retries
        self._clean = Cleaner(self._key)
        self._connection: Connection | None = None
        self._lock = threading.Lock()
        self._closed = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={self.base_url!r}, credential_id={self.credential_id!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the connections go; the client cannot be used afterwards."""
        with self._lock:
            self._closed = True
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def complete_chat(
        self,
        messages: Sequence[Message | Mapping[str, object]],
        *,
        model: str | None = None,
        options: Mapping[str, object] | None = None,
    ) -> DoneChunk:
        """The whole reply to *messages*; takes and raises what `stream_chat` does."""
        [last] = deque(self.stream_chat(messages, model=model, options=options), maxlen=1)
        assert isinstance(last, DoneChunk)
        return last

    def stream_chat(
        self,
        messages: Sequence[Message | Mapping[str, object]],
        *,
        model: str | None = None,
        options: Mapping[str, object] | None = None,
        started: Callable[[Start], None] | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> Generator[Chunk]:
        """Yield the reply to *messages* as it arrives, and one `DoneChunk` last.

        *options* are further fields of the request (`temperature`, `max_tokens` ...). A `RetryChunk` comes
        before each wait for another attempt. *started* is told once the gateway begins to answer: from then on
        the request may cost something, also when it is cancelled, by closing the generator. *progress* is told
        what is waited for, until the reply begins.

        Raises `UsageError` for a request that cannot be sent, the `GatewayError` that fits, or
        `InsufficientCreditError`; `IncompleteReplyError` with all that is known in `partial` once a part of the
        reply was yielded.
        """
        model = model or self.default_model
        body = request.encoded(self.request_form(messages, model, options or {}))
        listener = Listener(started or (lambda _: None), progress or (lambda _: None))
        return self._until_answered(body, model, listener)

    @staticmethod
    @abstractmethod
    def request_form(
        messages: Sequence[Message | Mapping[str, object]],
        model: str,
        options: Mapping[str, object],
        *,
        short: bool = False,
    ) -> dict[str, object]:
        """All fields of the request, as this kind of gateway takes them; *short* shows attachments by their names.

        Raises `UsageError` for what cannot be sent.
        """

    def list_models(self, *, retrying: Callable[[RetryChunk], None] = lambda _: None) -> list[Model]:
        """The models that the key may use, or all that the gateway has where it has no list for each key.

        *retrying* is told before each wait for another attempt. Raises the `GatewayError` that fits, or
        `InsufficientCreditError`.
        """
        from raptchat.providers.model_pages import ModelPages

        headers = {**self._headers(), "Accept": "application/json"}
        del headers["Content-Type"]
        return ModelPages(
            self._connect(),
            headers=headers,
            clean=self._clean,
            seconds=self.timeout * PATIENCE,
            max_retries=self.max_retries,
            lists=self._model_lists(),
            address_hint=self._address_hint(),
            retrying=retrying,
        ).models()

    @abstractmethod
    def key_info(self) -> "KeyInfo":
        """What the gateway says of the key. Raises `AuthenticationFailedError`, or another error that fits."""

    @abstractmethod
    def generation(self, generation_id: str) -> Usage | None:
        """What one reply took, as the gateway's books have it; `None` where they do not (yet). `GatewayError`."""

    @abstractmethod
    def _model_lists(self) -> Mapping[str, bool]:
        """Where the models are listed, the best list first, and of each whether a refusal there says nothing."""

    @abstractmethod
    def _address_hint(self) -> str:
        """What to do when no gateway answers at the address."""

    def _may_end_so(self, response: Response, reply: Reply) -> bool:
        """Whether a stream that ended with neither a finish reason nor `[DONE]` is a whole reply."""
        del response, reply
        return False

    def _until_answered(self, body: bytes, model: str, listener: Listener) -> Generator[Chunk]:
        retries = Retries(self.max_retries)
        while True:
            try:
                yield from self._attempt(body, model, listener)
            except AttemptFailed as failure:
                wait = retries.wait_after(failure)
                if wait is None:
                    raise failure.error from None
                reason = str(failure.error)
            else:
                return
            yield RetryChunk(reason, wait)
            time.sleep(wait)

    def _attempt(self, body: bytes, model: str, listener: Listener) -> Iterator[Chunk]:
        listener.progress("connecting")
        reply = Reply(model=model, clean=self._clean, credential_id=self.credential_id)
        try:
            with self._connect().exchange(
                "/chat/completions",
                headers=self._headers(),
                body=body,
                seconds=self.timeout * PATIENCE,
                sent=lambda: listener.progress("waiting"),
            ) as response:
                yield from self._read(response, reply, listener)
        except (AttemptFailed, GatewayError) as failure:
            yield from reply.close()
            if not reply.complete:
                if reply.begun:
                    raise _cut_short(failure, reply) from None
                raise
        yield from reply.close()
        yield reply.done()

    def _connect(self) -> Connection:
        with self._lock:
            if self._closed:
                raise UsageError("this client is closed")
            if self._connection is None:
                self._connection = Connection(self.base_url, timeout=self.timeout, slow_hint=_SLOW)
            return self._connection

    def _calls(self, base_url: str, *, can_do_without: bool = False) -> "JsonCalls":
        """Calls with the client's key; for what it *can_do_without* they are made once, and not for long."""
        from raptchat.providers.json_calls import JsonCalls

        return JsonCalls(
            base_url,
            key=self._key if self._key.reveal() else None,
            timeout=min(self.timeout, _ASIDE_SECONDS) if can_do_without else self.timeout,
            max_retries=0 if can_do_without else self.max_retries,
            address_hint=self._address_hint(),
        )

    def _headers(self) -> dict[str, str]:
        key = self._key.reveal()
        return {
            **({"Authorization": f"Bearer {key}"} if key else {}),
            "Content-Type": "application/json",
            "Accept": "text/event-stream",
            # A compressed answer can be a bomb, and each piece of it waits for its block to fill.
            "Accept-Encoding": "identity",
            "User-Agent": f"raptchat/{__version__}",
        }

    def _read(self, response: Response, reply: Reply, listener: Listener) -> Iterator[Chunk]:
        answer.check_status(
            response,
            model=reply.asked,
            clean=self._clean,
            seconds=self.timeout,
            address_hint=self._address_hint(),
        )
        reply.name_generation(response.headers.get("x-generation-id"))
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "application/json":
            yield from self._read_completion(response, reply, listener)
        elif kind == "text/html":
            raise InvalidResponseError(
                "the gateway sent a web page instead of a reply",
                hint=f"{self._address_hint()}, and the network for a sign-in page",
            )
        else:
            yield from self._read_events(response, reply, listener)

    def _read_completion(self, response: Response, reply: Reply, listener: Listener) -> Iterator[Chunk]:
        body = answer.read_whole(response, seconds=self.timeout * PATIENCE)
        data = answer.parse(body.decode("utf-8", "replace"))
        if data is None or not (data.get("choices") or data.get("error")):
            raise self._unintelligible(body)
        if not data.get("error"):
            listener.started(reply.start(data))
        reply.add(data)
        yield from reply.arrived()
        self._check(reply)

    def _read_events(self, response: Response, reply: Reply, listener: Listener) -> Iterator[Chunk]:
        def alive() -> None:
            if not reply.begun:
                listener.progress("processing")

        stream = answer.Stream(response, seconds=self.timeout * PATIENCE, alive=alive)
        begun = False
        for objects in stream:
            for data in objects:
                if not (begun or data.get("error")):
                    listener.started(reply.start(data))
                    begun = True
                reply.add(data)
            for chunk in reply.arrived():
                yield chunk
                stream.came_on()
            self._check(reply)
        if not begun and stream.garbage is not None:
            raise self._unintelligible(stream.garbage)
        if not (reply.complete or stream.finished or self._may_end_so(response, reply)):
            error = GatewayError("the gateway ended the reply before it was whole", hint="try again")
            raise AttemptFailed(error, Repeat.ONCE)

    def _check(self, reply: Reply) -> None:
        if reply.error is not None:
            from raptchat.providers import refusals

            raise refusals.of_object(reply.error, model=reply.asked, clean=self._clean)

    def _unintelligible(self, body: bytes) -> InvalidResponseError:
        sample = self._clean(body[: answer.SAMPLE_BYTES].decode("utf-8", "replace"), 200) or "nothing"
        return InvalidResponseError(f"the gateway's answer is not a reply: {sample}", hint=self._address_hint())


def _cut_short(failure: AttemptFailed | GatewayError, reply: Reply) -> IncompleteReplyError:
    error: RaptchatError = failure.error if isinstance(failure, AttemptFailed) else failure
    return IncompleteReplyError(
        f"the reply was cut short: {error}", partial=reply.cut_short(), hint=error.hint, **error.fields
    )
