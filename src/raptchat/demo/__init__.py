"""A small gateway on the loopback: for `raptchat demo`, and the real server of the tests.

It speaks the language of OpenRouter and has no model behind it: it answers to the words it was sent. Which
faults it plays is chosen by the model's name, as in `demo/status-429`; the table is `MODELS` in `answers.py`. It
takes keys that begin with `sk-or-v1-demo` and no others, so that a real key, pasted by mistake, is refused. It
writes no log.
"""

from raptchat.demo.answers import MODELS
from raptchat.demo.server import DEMO_KEY, DemoGateway, Received
from raptchat.demo.wire import Answer

__all__ = ["DEMO_KEY", "MODELS", "Answer", "DemoGateway", "Received"]
