"""A small gateway on the loopback: for `raptchat demo`, and the real server of the tests.

It speaks the language of OpenRouter and has no model behind it: it answers to the words it was sent. Which
faults it plays is chosen by the model's name, as in `demo/status-429`; the table is `MODELS` in `answers.py`. It
takes keys that begin with `sk-or-v1-demo`, those that were made with its management key or by signing in, and no
others, so that a real key, pasted by mistake, is refused. It writes no log, and keeps nothing when it ends.
"""

from raptchat.demo.answers import MODELS
from raptchat.demo.keys import DEMO_KEY, DEMO_MANAGEMENT_KEY
from raptchat.demo.server import DemoGateway
from raptchat.demo.wire import Answer, Received

__all__ = ["DEMO_KEY", "DEMO_MANAGEMENT_KEY", "MODELS", "Answer", "DemoGateway", "Received"]
