"""Looks up the active key of each group that is named, each time in a store opened anew: STORE NAME...

Prints the median of the milliseconds that each took.
"""

import statistics
import sys
import time
from contextlib import closing
from pathlib import Path

from raptchat.store import Store

path, names = Path(sys.argv[1]), sys.argv[2:]
took = []
for name in names:
    begun = time.perf_counter()
    with closing(Store.open(path)) as store:
        group = store.groups.named(name)
        found = store.credentials.active(group.id, "openrouter") if group else None
    took.append(time.perf_counter() - begun)
    if found is None:
        sys.exit(f"{name} has no key")
print(statistics.median(took) * 1e3)  # noqa: T201
