"""Which address of the demo gateway answers what, and to whom."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from urllib.parse import parse_qsl

from raptchat.demo import key_api
from raptchat.demo.answers import answer_to
from raptchat.demo.generations import Generations
from raptchat.demo.keys import Key, Keys
from raptchat.demo.model_list import model_list
from raptchat.demo.sign_in import SignIn
from raptchat.demo.wire import Answer, Asked, Received, refusal

PATH = "/api/v1"
_MOST_FIELDS = 20

_Answering = Callable[[Received, Mapping[str, str]], Answer]


class Account:
    """An account with its keys and its replies; *pace* is the seconds that a whole reply takes.

    It is not safe between threads: whoever uses it has a lock.
    """

    def __init__(self, pace: float) -> None:
        self._pace = pace
        self._failures: dict[str, int] = {}
        self._keys = keys = Keys()
        self._generations = generations = Generations()
        sign_in = SignIn(keys)
        self._addresses: dict[str, dict[str, _Answering]] = {
            f"{PATH}/chat/completions": {"POST": lambda received, _: self._chat(received)},
            # Anybody may read the public list; only a key has one of its own.
            f"{PATH}/models": {"GET": lambda *_: model_list()},
            f"{PATH}/models/user": {"GET": self._with_key(lambda *_: model_list())},
            f"{PATH}/key": {"GET": self._with_key(lambda key, _: key_api.of_itself(key))},
            f"{PATH}/generation": {
                "GET": self._with_key(lambda _, query: generations.answer(query.get("id", "")))
            },
            f"{PATH}/keys": {
                "GET": self._managing(lambda _, query: key_api.listed(keys, query)),
                "POST": self._managing(lambda received, _: key_api.make(keys, received.body)),
            },
            "/auth": {"GET": lambda _, query: sign_in.page(query)},
            f"{PATH}/auth/keys": {"POST": lambda received, _: sign_in.key_for_code(received.body)},
        }
        one_key = self._managing(lambda received, _: key_api.of_one(keys, received))
        self._one_key = dict.fromkeys(("GET", "PATCH", "DELETE"), one_key)

    def answer(self, received: Received) -> Answer:
        """The answer to a request."""
        address, _, query = received.path.partition("?")
        methods = self._addresses.get(address)
        if methods is None and address.startswith(f"{PATH}/keys/"):
            methods = self._one_key
        if methods is None:
            return refusal(404, "the demo gateway has no such address")
        if received.method not in methods:
            return refusal(405, "Method Not Allowed")
        try:
            fields = dict(parse_qsl(query, keep_blank_values=True, max_num_fields=_MOST_FIELDS))
        except ValueError:
            return refusal(400, "the address holds too much")
        return methods[received.method](received, fields)

    def _with_key(self, answer: Callable[[Key, Mapping[str, str]], Answer]) -> _Answering:
        """*answer*, for any key that works."""

        def answering(received: Received, query: Mapping[str, str]) -> Answer:
            key = self._keys.working(received.api_key)
            return _unknown_key() if key is None else answer(key, query)

        return answering

    def _managing(self, answer: _Answering) -> _Answering:
        """*answer*, for the management key."""

        def answering(received: Received, query: Mapping[str, str]) -> Answer:
            key = self._keys.working(received.api_key)
            if key is None:
                return _unknown_key()
            if not key.is_management:
                return refusal(403, "Only management keys can perform this operation")
            return answer(received, query)

        return answering

    def _chat(self, received: Received) -> Answer:
        key = self._keys.working(received.api_key)
        if key is None:
            return _unknown_key()
        if key.is_management:
            return refusal(403, "Management keys cannot be used for this. Use an API key.")
        if key.remaining == 0:
            window = key.limit_reset or "total"
            return refusal(
                403, f"Key limit exceeded ({window} limit)", metadata={"limit_source": "openrouter_key_limit"}
            )
        try:
            asked = Asked.read(received.body, self._generations.new_id())
        except ValueError as error:
            return refusal(400, str(error))
        answer = answer_to(asked, self._failures, self._pace)
        self._generations.add(asked, answer)
        if answer.bill is not None:
            key.spend(answer.bill.cost)
        if answer.status != 200:
            return answer
        return replace(answer, headers={**answer.headers, "X-Generation-Id": asked.generation_id})


def _unknown_key() -> Answer:
    return refusal(401, "User not found.")
