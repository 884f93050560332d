"""Waits for the end of standard input, then notes COUNT times that a group's key was used: GROUP COUNT.

Each time in a store opened anew, as each reply of a shell's chats does. The first time, before it waits, loads
what it takes. Prints the seconds that the slowest took; a failure ends the process with a traceback.
"""

import sys
import time

from raptchat import CredentialService, Factory
from raptchat.naming import find_group

name, count = sys.argv[1:]
with Factory() as factory:
    [credential] = CredentialService(factory).list_for_group(find_group(factory.store, name).id)


def touch() -> float:
    """How long one touch takes."""
    begun = time.monotonic()
    with Factory() as factory:
        CredentialService(factory).update_last_used(credential.id)
    return time.monotonic() - begun


touch()
print("ready", flush=True)  # noqa: T201
sys.stdin.read()
print(max(touch() for _ in range(int(count))))  # noqa: T201
