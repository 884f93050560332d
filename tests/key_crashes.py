"""Work on keys at a gateway that is killed at a request or a commit, and what the group has then.

As in `crashes`, a process of its own is kept warm, sets the scene, forks, and lets the child do the work until it
is killed. The gateway is a real server in the process of the tests.
"""

import os
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from types import FrameType
from typing import Any

from account import client
from dying import DONE, Ended, end, trace
from homes import OLD, Home

from raptchat import CredentialService, DuplicateCredentialError, Factory
from raptchat.credentials.management_key import ManagementKeys, client_with
from raptchat.demo import DEMO_MANAGEMENT_KEY
from raptchat.key_works import at_the_gateway, new_group
from raptchat.key_works.revoking import revoking
from raptchat.providers.key_info import KeyCaps
from raptchat.providers.management import hash_of
from raptchat.records import Group
from raptchat.secret import Secret

CAPS = KeyCaps(Decimal(5), "monthly", "2999-12-31T23:59:59Z")


def _group(factory: Factory) -> Group | None:
    return factory.store.groups.named(OLD)


def provision(home: Home) -> None:
    with home.factory() as factory, at_the_gateway(factory, tell=_nobody) as works:
        works.provision(_group(factory) or new_group(OLD), CAPS)


def rotate(home: Home) -> None:
    with home.factory() as factory, at_the_gateway(factory, tell=_nobody) as works:
        group = _group(factory)
        assert group
        works.rotate(group)


def revoke(home: Home) -> None:
    with home.factory() as factory:
        if group := _group(factory):
            with revoking(factory, group, tell=_nobody):
                pass


def finish(home: Home) -> None:
    """What the next command on keys does first."""
    with home.factory() as factory, at_the_gateway(factory, tell=_nobody):
        pass


def _nobody(line: str) -> None:
    del line


@dataclass(frozen=True, slots=True)
class KeyWorkTried:
    """*act* is killed; the group has a key before, or has none; *keys* are how many it has when all is done."""

    act: Callable[[Home], None]
    has_key: bool
    keys: int


TRIED = {
    "provision": KeyWorkTried(provision, has_key=False, keys=1),
    "rotate-key": KeyWorkTried(rotate, has_key=True, keys=1),
    "remove --revoke": KeyWorkTried(revoke, has_key=True, keys=0),
}


def count(folder: Path, name: str, *, lines: bool) -> int:
    """How many points, or *lines* of raptchat, the work runs through."""
    home = set_scene(folder, name)
    reader, writer = os.pipe()

    def act() -> None:
        passed = [0]
        (trace if lines else trace_points)(passed)
        TRIED[name].act(home)
        sys.settrace(None)
        os.write(writer, str(passed[0]).encode())

    # Twice: the first loads what is loaded on first use.
    TRIED[name].act(home)
    home = set_scene(folder, name)
    ended = end(act)
    assert ended.code == DONE, ended
    os.close(writer)
    with os.fdopen(reader) as pipe:
        return int(pipe.read())


def kill_at(folder: Path, name: str, number: int, *, lines: bool) -> int:
    """Kill the work at a point or a line, counted from 1, and check what is left; how it ended."""
    home = set_scene(folder, name)

    def act() -> None:
        (trace if lines else trace_points)([0], number)
        TRIED[name].act(home)

    ended = end(act)
    try:
        _check(name, home, ended)
    except BaseException as error:
        error.add_note(f"{name}, killed at {'line' if lines else 'point'} {number}; {ended}")
        raise
    return ended.code


def set_scene(folder: Path, name: str) -> Home:
    """A home with a vault and a management key, and no key at the gateway but the group's, if it has one."""
    kept, home = Home(folder / "kept"), Home(folder / "home")
    if not kept.folder.exists():
        kept.folder.mkdir(mode=0o700)
        with kept.factory() as factory:
            factory.vault.init("file", path=folder / "master.key")
            keys = ManagementKeys(factory)
            keys.save(Secret(DEMO_MANAGEMENT_KEY), keys.endpoint)
    shutil.rmtree(home.folder, ignore_errors=True)
    shutil.copytree(kept.folder, home.folder)
    with home.factory() as factory, client(factory) as gateway:
        for info in list(gateway.keys()):
            assert info.hash
            gateway.delete_key(info.hash)
    if TRIED[name].has_key:
        provision(home)
    return home


def trace_points(passed: list[int], last: int = -1) -> None:
    """Count the requests and commits, and die as soon as the one with the number *last* is done.

    So each pair of them is parted once: what is killed before one is killed behind the one before.
    """

    def local(frame: FrameType, event: str, argument: Any) -> Any:
        del frame, argument
        if event == "return":
            passed[0] += 1
            if passed[0] == last:
                os.kill(os.getpid(), signal.SIGKILL)
        return local

    def traced(frame: FrameType, event: str, argument: Any) -> Any:
        del event, argument
        code = frame.f_code
        if code.co_filename.endswith("json_calls.py"):
            found = code.co_name == "_attempt"
        else:
            found = code.co_name == "execute" and frame.f_locals.get("sql") == "COMMIT"
        return local if found else None

    sys.settrace(traced)


def _check(name: str, home: Home, ended: Ended) -> None:
    work = TRIED[name]
    assert ended.code in {DONE, -signal.SIGKILL}, ended
    before = _working_keys(home)
    # At every moment: as long as there is a group that had a key, it has one.
    assert len(before) == 1 or not work.has_key or (name == "remove --revoke" and not _exists(home)), before
    finish(home)
    found = _working_keys(home)
    assert found == before
    assert _at_gateway(home) == found
    assert home.query("SELECT * FROM key_works") == []
    if name == "provision" and found:
        try:
            provision(home)
        except DuplicateCredentialError:
            return
        raise AssertionError("a second key was made")
    work.act(home)
    assert len(_working_keys(home)) == work.keys
    assert _at_gateway(home) == _working_keys(home)
    with home.factory() as factory:
        assert factory.store.checks.problems() == []


def _exists(home: Home) -> bool:
    with home.factory() as factory:
        return _group(factory) is not None


def _working_keys(home: Home) -> set[str]:
    """The hash of the group's active key, which the gateway must take."""
    with home.factory() as factory:
        group = _group(factory)
        credential = CredentialService(factory).get_active_for_group(group.id) if group else None
        if credential is None:
            return set()
        key = CredentialService(factory).open_key(credential)
        with client_with(factory, key) as asked:
            assert not asked.key_info().disabled
        return {hash_of(key)}


def _at_gateway(home: Home) -> set[str | None]:
    with home.factory() as factory, client(factory) as gateway:
        listed = gateway.keys()
    assert {KeyCaps(info.limit, info.limit_reset, info.expires_at) for info in listed} <= {CAPS}
    return {info.hash for info in listed}
