"""The area `store`: what its tables hold, and where the file lies."""

from collections.abc import Iterator, Sequence

from raptchat.doctor import store_place
from raptchat.doctor.finding import Check, Finding, ok, problem, warning
from raptchat.doctor.store_file import RESTORE, StoreFile
from raptchat.doctor.subject import Subject
from raptchat.store.sharing import groups_by_fingerprint

_MOST_LISTED = 3


def checks(subject: Subject) -> list[Check]:
    """What there is to look at, of a store that is there."""
    file = subject.store
    if file is None:
        return [Check("store", "file", lambda: [_nowhere(subject)])]
    found = [Check("store", "file", lambda: file.findings)]
    if file.state in {"older", "current"}:
        found += [
            Check("store", "integrity", lambda: _integrity(file)),
            Check("store", "foreign keys", lambda: _foreign_keys(file)),
        ]
    if file.state == "current":
        found += [
            Check("store", "row sums", lambda: _row_sums(file)),
            Check("store", "attachments", lambda: _attachments(file)),
            Check("store", "usage", lambda: _usage(file)),
            Check("store", "shared keys", lambda: _shared_keys(file)),
        ]
    return found + store_place.checks(file)


def _nowhere(subject: Subject) -> Finding:
    assert subject.problem is not None  # why there are no paths
    return problem("store", "file", str(subject.problem), subject.problem.hint)


def _integrity(file: StoreFile) -> Iterator[Finding]:
    with file.opened() as store:
        found = store.checks.integrity()
    yield _summed("integrity", found, "SQLite finds every page and index whole")


def _foreign_keys(file: StoreFile) -> Iterator[Finding]:
    with file.opened() as store:
        found = store.checks.foreign_keys()
    yield _summed("foreign keys", found, "what belongs to something is there with it")


def _row_sums(file: StoreFile) -> Iterator[Finding]:
    with file.opened() as store:
        damaged = store.checks.row_sums()
    found = [f"a row of `{row.table}` is not as it was written: {row.key or 'all'}" for row in damaged]
    yield _summed("row sums", found, "every row is as raptchat wrote it")


def _attachments(file: StoreFile) -> Iterator[Finding]:
    with file.opened() as store:
        hashes = store.checks.attachments()
    found = [f"the content of the attachment `{hash_[:12]}` is another one" for hash_ in hashes]
    yield _summed("attachments", found, "every file is as it was attached")


def _usage(file: StoreFile) -> Iterator[Finding]:
    with file.opened() as store:
        found = [f"the sums of {day} are not those of its lines" for day in store.checks.usage_sums()]
    yield _summed("usage", found, "the sums of each day are those of its lines")


def _shared_keys(file: StoreFile) -> Iterator[Finding]:
    with file.opened() as store, store.snapshot():
        names = {group.id: group.name for group in store.groups.all()}
        credentials = store.credentials.all()
    shared = groups_by_fingerprint(credentials)
    hints = {one.key_fingerprint: one.key_hint for one in credentials}
    for fingerprint, ids in list(shared.items())[:_MOST_LISTED]:
        groups = ", ".join(f"`{name}`" for name in sorted(names.get(each, each) for each in ids))
        text = f"the key {hints[fingerprint]} serves more than one group: {groups}"
        yield warning(
            "store", "shared keys", text, "give each a key of its own: raptchat group add-key G --replace"
        )
    if len(shared) > _MOST_LISTED:
        more = f"{len(shared) - _MOST_LISTED:,} more keys serve more than one group"
        yield warning("store", "shared keys", more, "raptchat credentials list")
    if not shared:
        yield ok("store", "shared keys", "no key serves more than one group")


def _summed(name: str, found: Sequence[str], well: str) -> Finding:
    if not found:
        return ok("store", name, well)
    more = f", and {len(found) - _MOST_LISTED:,} more" if len(found) > _MOST_LISTED else ""
    return problem("store", name, "; ".join(found[:_MOST_LISTED]) + more, RESTORE)
