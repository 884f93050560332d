"""Sends a message, waits for the end of standard input, sends COUNT more, prints the slowest: GROUP MODEL COUNT.

The first message loads what a chat needs. Each has a store opened for it and a session of its own, as the chats of
a shell have. Seconds are printed; a failure ends the process with a traceback.
"""

import sys
import time

from raptchat import ChatService, Factory
from raptchat.naming import find_group

name, model, count = sys.argv[1:]


def chat() -> float:
    """How long one chat takes."""
    begun = time.monotonic()
    with Factory() as factory:
        service = ChatService(factory)
        session = service.create_session(find_group(factory.store, name).id)
        for _chunk in service.send_message(session.id, "What is a cell?", model=model):
            pass
    return time.monotonic() - begun


chat()
print("ready", flush=True)  # noqa: T201
sys.stdin.read()
print(max(chat() for _ in range(int(count))))  # noqa: T201
