"""Makes COUNT conversations of each LENGTH in a group and prints their ids by length: GROUP COUNT LENGTH..."""

import json
import sys

from raptchat import Factory
from raptchat.naming import find_group

name, count, *lengths = sys.argv[1:]
made: dict[str, list[str]] = {}
with Factory() as factory, factory.store.write():
    sessions = factory.store.sessions
    group = find_group(factory.store, name)
    for length in lengths:
        made[length] = [sessions.add(group.id, title="a conversation").id for _ in range(int(count))]
        for session in made[length]:
            for _turn in range(int(length) // 2):
                sessions.add_message(session, "user", "What is a cell?")
                sessions.add_message(session, "assistant", "The unit of life. " * 20)
print(json.dumps(made))  # noqa: T201
