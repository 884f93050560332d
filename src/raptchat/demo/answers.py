"""What the demo gateway answers: a reply to the words it was sent, or the fault that the model's name asks for."""

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from raptchat.demo import faults, replies
from raptchat.demo.wire import KEEP_ALIVE, Answer, Asked


@dataclass(frozen=True, slots=True)
class Model:
    """A model's name (`NNN` and `N` stand for a number), what it does, and how."""

    does: str
    answer: Callable[[Asked, int], Answer]


def answer_to(asked: Asked, failures: dict[str, int], pace: float) -> Answer:
    """The answer to *asked*; *failures* counts those of each `demo/flaky-N`, *pace* is the seconds of a reply.

    Where its model fails at once, the next of `models` answers.
    """
    fallbacks = asked.body.get("models")
    names = [name for name in fallbacks if isinstance(name, str)] if isinstance(fallbacks, list) else []
    answer = _answer_of(asked, failures, pace)
    for name in names:
        if answer.status < 400:
            break
        answer = _answer_of(replace(asked, model=name), failures, pace)
    return answer


def _answer_of(asked: Asked, failures: dict[str, int], pace: float) -> Answer:
    name, number = _numbered(asked.model)
    if name == "demo/flaky-N":
        failures[asked.model] = failures.get(asked.model, 0) + 1
        if failures[asked.model] > number:
            del failures[asked.model]
            name = "demo/reply"
    if name == "demo/reply" or not name.startswith("demo/"):
        return replies.reply(asked, replies.markdown(asked), pace)
    return MODELS[name].answer(asked, number) if name in MODELS else faults.unknown_model()


def _numbered(model: str) -> tuple[str, int]:
    if match := re.fullmatch(r"demo/(status-(\d{3})|flaky-(\d{1,2}))", model, re.ASCII):
        if match[2]:
            return "demo/status-NNN", int(match[2])
        return "demo/flaky-N", int(match[3])
    return model, 0


MODELS: dict[str, Model] = {
    "demo/reply": Model(
        "answers in Markdown, as do all names outside `demo/`",
        lambda asked, _: replies.reply(asked, replies.markdown(asked)),
    ),
    "demo/echo": Model(
        "sends back the last user message, exactly", lambda asked, _: replies.reply(asked, asked.text)
    ),
    "demo/cent": Model(
        "as `demo/echo`; three cents for each reply, and nothing for tokens",
        lambda asked, _: replies.reply(asked, asked.text),
    ),
    "demo/long": Model("answers in a hundred sections", lambda asked, _: replies.long(asked)),
    "demo/reasoning": Model("thinks before it answers", lambda asked, _: replies.reasoning(asked)),
    "demo/thinking": Model("thinks for long, in signed blocks", lambda asked, _: replies.thinking(asked)),
    "demo/cited": Model("names the pages that it rests on", lambda asked, _: replies.cited(asked)),
    "demo/json": Model("answers with what fits the schema asked for", lambda asked, _: replies.as_json(asked)),
    "demo/seen": Model("says which parts the last message has", lambda asked, _: replies.seen(asked)),
    "demo/bytes": Model("answers one byte at a time", lambda asked, _: replies.in_bytes(asked)),
    "demo/length": Model("is cut by its length limit", lambda asked, _: replies.cut_by_limit(asked)),
    "demo/empty": Model("ends without a word", lambda asked, _: replies.empty(asked)),
    "demo/slow": Model("pauses between its words", lambda asked, _: replies.slow(asked)),
    "demo/endless": Model("counts and never ends", lambda asked, _: replies.endless(asked)),
    "demo/keepalives": Model(
        "sends keep-alives and never a word", lambda *_: Answer(body=itertools.repeat(KEEP_ALIVE), pause=0.02)
    ),
    "demo/hang": Model("never answers", lambda *_: Answer(status=0, ending="hang")),
    "demo/stall": Model("begins a reply and says no more", lambda asked, _: faults.broken(asked, "hang")),
    "demo/cut": Model("ends in the middle of its reply", lambda asked, _: faults.broken(asked, "whole")),
    "demo/late": Model(
        "ends in the middle of its reply, whose cost the gateway does not know when first asked",
        lambda asked, _: replace(faults.broken(asked, "whole"), unrecorded=1),
    ),
    "demo/hangup": Model(
        "closes the connection in the middle of its reply", lambda asked, _: faults.broken(asked, "cut")
    ),
    "demo/reset": Model(
        "resets the connection in the middle of its reply",
        lambda asked, _: replace(faults.broken(asked, "reset"), pause=0.03),
    ),
    "demo/error-midstream": Model(
        "fails in the middle of its reply", lambda asked, _: faults.error_midstream(asked)
    ),
    "demo/garbage": Model("streams what is no JSON", lambda *_: Answer(body=[b"data: \xff{]\n\n"] * 3)),
    "demo/html": Model(
        "answers with a web page",
        lambda *_: Answer(200, {"Content-Type": "text/html"}, [b"<html>Please sign in</html>"]),
    ),
    "demo/not-http": Model("does not speak HTTP", lambda *_: Answer(status=0, body=[b"220 mail ready\r\n\r\n"])),
    "demo/status-NNN": Model(
        "answers with that HTTP status and its typical body", lambda _, nnn: faults.of_status(nnn)
    ),
    "demo/flaky-N": Model("fails N times with 503, then answers", lambda *_: faults.of_status(503)),
}
