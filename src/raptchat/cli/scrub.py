"""What may be left of the text that was removed, once it is listed no more."""

import shlex

from raptchat.cli.invocation import Invocation
from raptchat.errors import StoreError


def scrub(run: Invocation) -> None:
    """Write the store's file anew without it, and name the copies of the file that may still have it.

    Raises `StoreError` when the disk does not let it.
    """
    from raptchat.store.checks import copies

    store = run.factory.settings.paths.store
    try:
        run.factory.store.sessions.scrub()
    except StoreError as error:
        raise type(error)(
            f"what was removed is not listed any more, but scraps of its text may be left in the file: {error}",
            hint="to try again: raptchat sessions remove --before 1970-01-01",
        ) from None
    for backup in copies(store):
        run.terminal.say(f"an older copy of the store may still hold it: rm {shlex.quote(str(backup))}")
