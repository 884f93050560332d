"""The areas `vault` and, of the store, `seals`: which slots open, and whether every key opens with them."""

import os
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from raptchat.credentials import CredentialService
from raptchat.doctor.finding import Check, Finding, ok, problem, warning
from raptchat.doctor.store_file import RESTORE
from raptchat.doctor.subject import Subject
from raptchat.errors import RaptchatError
from raptchat.factory import Factory
from raptchat.naming import add_key_command
from raptchat.providers import DEFAULT_PROVIDER
from raptchat.records import Slot

if TYPE_CHECKING:
    from raptchat.credentials.seal_report import RowCheck, SealReport, SlotCheck
    from raptchat.vault.patience import Patience

_KEYRING_VARIABLE = "PYTHON_KEYRING_BACKEND"
_MOST_LISTED = 5
_FOR_THE_REST_SECONDS = 2.0


def checks(subject: Subject) -> list[Check]:
    """What there is to look at; of a store whose tables are older nothing that is sealed can be read yet."""
    found = [
        Check("vault", "named files", lambda: _named_files(subject)),
        Check("vault", "keyring variable", lambda: _keyring_variable(subject)),
    ]
    if subject.store is not None and subject.store.state == "absent":
        found.insert(0, Check("vault", "slots", lambda: _no_vault(subject)))
    elif subject.store is not None and subject.store.state == "current":
        found.insert(0, Check("vault", "slots", lambda: _slots(subject)))
    else:
        text = "not looked at: the store cannot be read as it is, which is said above"
        found.insert(0, Check("vault", "slots", lambda: [warning("vault", "slots", text)]))
    return found


def _slots(subject: Subject) -> Iterator[Finding]:
    assert subject.store is not None
    with subject.store.opened() as store, Factory(subject.working_settings, tell=subject.tell) as factory:
        # Its own would make what is not there, and upgrade what is older.
        factory.store = store
        if not factory.vault.exists():
            yield from _no_vault(subject)
            return
        # What else is looked at takes its time too.
        factory.vault.patience.spend(_FOR_THE_REST_SECONDS)
        report = CredentialService(factory).check_seals()
        yield from _opening(report.slots)
        yield from _seals(report)
        yield from _references(report)
        slots = [one.slot for one in report.slots]
        yield _recovery(slots)
        for one in report.slots:
            if one.slot.kind == "keyring" and one.opens is False:
                yield from _moved(one.slot, subject, factory.vault.patience)
        yield from _key_files(slots, subject)
        yield from _leftovers(factory.vault.leftovers())


def _no_vault(subject: Subject) -> Iterator[Finding]:
    yield ok("vault", "slots", "none yet: the first raptchat group add-key makes the vault")
    settings = subject.working_settings
    if settings is not None and settings.master_key_file is None and settings.passphrase_file is None:
        yield from _keyring(subject)


def _opening(slots: "list[SlotCheck]") -> Iterator[Finding]:
    any_opens = any(one.opens for one in slots)
    others = any_opens or any(one.opens is None for one in slots)
    for one in slots:
        name = f"{one.slot.kind} {one.slot.id[:8]}"
        if one.opens:
            yield ok("vault", name, f"opens{_place(one.slot)}")
        elif one.opens is None:
            yield ok("vault", name, f"not tried: {_NOT_TRIED.get(one.slot.kind, 'it asks')}")
        else:
            text = f"does not open: {one.problem}"
            fix = _renewal(one.slot) if others else "bring back what it opens with, or a backup of the store"
            yield warning("vault", name, text, fix) if any_opens else problem("vault", name, text, fix)
    if not slots:
        text = "the vault has no slot: its rows were taken out of the store"
        yield problem("vault", "slots", text, RESTORE)


def _place(slot: Slot) -> str:
    place = slot.params.get({"keyring": "backend", "file": "path"}.get(slot.kind, ""))
    return f", by `{place}`" if place else ""


def _renewal(slot: Slot) -> str:
    """What gives the slot a new secret: it is opened by another one, and asks for that where it must."""
    command = f"raptchat vault rotate --slot {slot.id[:8]}"
    # Where its key file was may be a folder of another machine.
    return f"{command} --file ~/raptchat-master.key" if slot.kind == "file" else command


_NOT_TRIED = {
    "passphrase": "nobody is asked for the passphrase here",
    "recovery": "nobody is asked for the recovery key here",
}


def _seals(report: "SealReport") -> Iterator[Finding]:
    for account, why in report.management:
        if why:
            fix = "raptchat account logout, then raptchat account login"
            yield problem("store", "seals", f"{account.key_hint}: {why}", fix)
    bad = [one for one in report.rows if one.problem]
    for one in bad[:_MOST_LISTED]:
        yield problem("store", "seals", f"{one.credential.key_hint}: {one.problem}", _another_key(one))
    if len(bad) > _MOST_LISTED:
        text = f"{len(bad) - _MOST_LISTED:,} more keys do not open"
        yield problem("store", "seals", text, "raptchat vault check")
    if not any(one.opens for one in report.slots):
        asks = any(one.opens is None for one in report.slots)
        fix = "raptchat vault check" if asks else ""
        yield warning("store", "seals", "no key was tried: no slot opens by itself", fix)
    elif not bad:
        yield ok("store", "seals", f"every key opens: {len(report.rows):,}")


def _references(report: "SealReport") -> Iterator[Finding]:
    """Whether what is to give a key is there: a file is read, a command is not run."""
    rows = [one for one in report.rows if one.credential.kind in {"command", "file"} and not one.problem]
    lost = [one for one in rows if one.absence and one.group]
    for one in lost[:_MOST_LISTED]:
        assert one.group is not None
        text = f"group `{one.group.name}` has no key: {one.absence}"
        said = problem if one.credential.is_active else warning
        yield said("vault", "references", text, _another_key(one))
    if len(lost) > _MOST_LISTED:
        text = f"{len(lost) - _MOST_LISTED:,} more references lead nowhere"
        yield problem("vault", "references", text, "raptchat credentials check")
    if rows and not lost:
        yield ok("vault", "references", f"every file and program that is to give a key is there: {len(rows):,}")


def _another_key(row: "RowCheck") -> str:
    if row.group is None:
        return RESTORE
    if not row.credential.is_active:
        return f"raptchat credentials delete {row.credential.id[:8]}"
    command = add_key_command(row.group.name, replace=True)
    provider = row.credential.provider
    return command if provider == DEFAULT_PROVIDER else f"{command} --provider {shlex.quote(provider)}"


def _recovery(slots: list[Slot]) -> Finding:
    if any(slot.kind == "recovery" for slot in slots):
        return ok("vault", "recovery", "there is a recovery key")
    text = "there is no recovery key: with the last of the slots above every key is lost"
    return warning("vault", "recovery", text, "raptchat vault add recovery")


def _keyring(subject: Subject) -> Iterator[Finding]:
    """Whether there is a keyring for a vault that is to be made."""
    from raptchat.vault.keyring import OsKeyring
    from raptchat.vault.patience import Patience

    try:
        patience = Patience(interactive=False, tell=subject.tell)
        backend = OsKeyring.choose(subject.environ, patience=patience).backend
    except RaptchatError as error:
        yield warning("vault", "keyring", str(error), error.hint)
    else:
        yield ok("vault", "keyring", backend)


def _moved(slot: Slot, subject: Subject, patience: "Patience") -> Iterator[Finding]:
    """That *slot* may not open because the keyring of today is another one."""
    from raptchat.vault.keyring import OsKeyring

    try:
        now = OsKeyring.choose(subject.environ, patience=patience).backend
    except RaptchatError:
        return  # why there is none is said of the slot
    if now != slot.params.get("backend"):
        text = f"the slot is in `{slot.params.get('backend')}`, and the keyring of today is `{now}`"
        yield warning("vault", "keyring", text, _renewal(slot))


def _key_files(slots: list[Slot], subject: Subject) -> Iterator[Finding]:
    assert subject.store is not None
    for slot in slots:
        if slot.kind != "file":
            continue
        path = Path(str(slot.params.get("path")))
        # Of one that the environment names it is said there.
        named = subject.environ.get("RAPTCHAT_MASTER_KEY_FILE") == str(path)
        if not named and (found := _not_private(path, "key file")):
            yield found
        elif path.parent == subject.store.path.parent and path.exists():
            text = f"`{path}` lies beside the store: a copy of the folder opens every key"
            yield warning("vault", "key file", text, _renewal(slot))


def _leftovers(left: list[Slot]) -> Iterator[Finding]:
    if left:
        kinds = ", ".join(sorted({slot.kind for slot in left}))
        text = f"{len(left)} half made or half removed: {kinds}; the next change of the vault clears it"
        yield warning("vault", "leftovers", text, "raptchat vault rotate")


def _named_files(subject: Subject) -> Iterator[Finding]:
    for name, what in (("RAPTCHAT_MASTER_KEY_FILE", "key file"), ("RAPTCHAT_PASSPHRASE_FILE", "passphrase file")):
        text = subject.environ.get(name)
        if not text:
            continue
        if not os.path.exists(text):  # noqa: PTH110 - Path.exists raises for some paths
            yield problem("vault", what, f"{name} names `{text}`, which is not there", f"unset {name}")
        elif found := _not_private(Path(text), what):
            yield found
        else:
            yield ok("vault", what, f"{name} names `{text}`")


def _not_private(path: Path, what: str) -> Finding | None:
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None  # that it does not open is said of its slot
    mode = stat.S_IMODE(status.st_mode)
    if not stat.S_ISREG(status.st_mode) or not mode & (stat.S_IRWXG | stat.S_IRWXO):
        return None
    text = f"others can read the {what} `{path}` (mode {mode:04o})"
    return problem("vault", what, text, f"chmod 600 {shlex.quote(str(path))}")


def _keyring_variable(subject: Subject) -> Iterator[Finding]:
    from raptchat.vault.keyring import ALLOWED

    name = subject.environ.get(_KEYRING_VARIABLE)
    if not name:
        return
    text = f"{_KEYRING_VARIABLE} chooses `{name[:100]}`"
    if name in ALLOWED:
        yield ok("vault", "keyring variable", text)
    else:
        refused = f"{text}, which is refused: it is none of the operating system's"
        yield warning("vault", "keyring variable", refused, f"unset {_KEYRING_VARIABLE}")
