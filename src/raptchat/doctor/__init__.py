"""`raptchat doctor`: what is right with an installation, what is not, and how it is mended.

It looks, and neither makes nor repairs anything. Each check stands alone: one that fails is a problem of its own,
and the others run. The areas are looked at at the same time, since some of them wait for a keyring or a network.
"""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import chain

from raptchat.doctor import environment, gateway, store, vault, versions
from raptchat.doctor.finding import Area, Check, Finding, problem
from raptchat.doctor.store_file import READING_SECONDS
from raptchat.doctor.subject import Subject
from raptchat.outside import without_keys

__all__ = ["Finding", "Subject", "examine"]

# Reading all of a large store takes the longest; every wait of the other areas is shorter.
LONGEST_SECONDS = READING_SECONDS + 5

_AREAS: dict[Area, Callable[[Subject], list[Check]]] = {
    "store": store.checks,
    "vault": vault.checks,
    "gateway": gateway.checks,
    "environment": environment.checks,
    "versions": versions.checks,
}


def examine(subject: Subject) -> list[Finding]:
    """What all checks find, area by area; no text of it holds what looks like a key."""
    found: dict[Area, list[Finding]] = {area: [] for area in _AREAS}
    threads = {
        area: threading.Thread(target=_look, args=[checks(subject), found[area]], name=area, daemon=True)
        for area, checks in _AREAS.items()
    }
    ends = time.monotonic() + LONGEST_SECONDS
    try:
        for thread in threads.values():
            thread.start()
        for area, thread in threads.items():
            thread.join(max(ends - time.monotonic(), 0))
            if thread.is_alive():
                found[area].append(problem(area, "time", f"not all was looked at in {LONGEST_SECONDS:g} s"))
    finally:
        # Ctrl-C does not wait until all of a large store is read.
        if subject.store is not None:
            subject.store.interrupt()
    # That of the vault finds out what there is to say of the store's seals.
    ordered = sorted(chain(*found.values()), key=lambda finding: list(_AREAS).index(finding.area))
    return [_without_keys(finding) for finding in ordered]


def _look(checks: Iterable[Check], found: list[Finding]) -> None:
    for check in checks:
        for finding in check.findings():
            found.append(finding)  # noqa: PERF402 - one by one: what was found stays found


def _without_keys(finding: Finding) -> Finding:
    return replace(finding, text=without_keys(finding.text), fix=without_keys(finding.fix))
