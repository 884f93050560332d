"""What is said when the keyring does not do what it should, word for word, and how often it is asked."""

import base64
import sys
import threading
import time
import types
from collections.abc import Callable

import pytest
from keyring.errors import KeyringLocked, PasswordDeleteError

from raptchat import crypto
from raptchat.errors import DecryptionFailedError, RaptchatError, VaultLockedError, VaultUnavailableError
from raptchat.records import Slot
from raptchat.vault import keyring as os_keyring
from raptchat.vault.keyring import OsKeyring
from raptchat.vault.keyring_slot import KeyringKind
from raptchat.vault.patience import Patience

SERVICE = "raptchat:store-1:entry-1"
SECRET = "c2VudGluZWwtMzItYnl0ZXMtb2Ytc2VjcmV0LWtleSE="
OTHERS = "raptchat vault init --file PATH, or raptchat vault init --passphrase"
STATUS = "raptchat vault status"


class Item:
    """A backend with one entry, whose calls raise *errors*, one after another, before they work."""

    def __init__(self, *errors: Exception, kept: str | None = None) -> None:
        self.errors = list(errors)
        self.kept = kept
        self.calls: list[tuple[str, ...]] = []

    def _called(self, *words: str) -> None:
        self.calls.append(words)
        if self.errors:
            raise self.errors.pop(0)

    def get_password(self, *words: str) -> str | None:
        self._called("get", *words)
        return self.kept

    def set_password(self, *words: str) -> None:
        self._called("set", *words)
        self.kept = words[-1]

    def delete_password(self, *words: str) -> None:
        self._called("delete", *words)
        self.kept = None


# As SecretStorage has it, also where it is not installed.
VANISHED = type("ItemNotFoundException", (Exception,), {})


def opened(backend: object, tell: Callable[[str], None] = lambda line: None) -> OsKeyring:
    return OsKeyring(backend, Patience(interactive=False, tell=tell))  # type: ignore[arg-type]


def said(call: Callable[[], object]) -> tuple[type[RaptchatError], str, str]:
    """How *call* is refused."""
    with pytest.raises(RaptchatError) as refused:
        call()
    return type(refused.value), str(refused.value), refused.value.hint


def test_each_call_is_made_once_under_the_one_user_name() -> None:
    item = Item()
    told: list[str] = []
    opened(item, told.append).put(SERVICE, SECRET)
    assert opened(item, told.append).get(SERVICE) == SECRET
    opened(item, told.append).delete(SERVICE)
    assert told == []

    get = ("get", SERVICE, "raptchat")
    deleted = ("delete", SERVICE, "raptchat")
    assert item.calls == [get, ("set", SERVICE, "raptchat", SECRET), get, get, get, deleted, get]


def test_what_cannot_be_kept_or_removed_is_told_with_the_entry() -> None:
    class Keeping(Item):
        def delete_password(self, *words: str) -> None:
            self._called("delete", *words)

    class Cancelling(Item):
        def delete_password(self, *words: str) -> None:
            raise PasswordDeleteError("Cancelled")

    class Forgetting(Item):
        def set_password(self, *words: str) -> None:
            self._called("set", *words)

    stays = f"the keyring did not remove its entry `{SERVICE}`"
    assert said(lambda: opened(Item(kept="another")).put(SERVICE, SECRET)) == (
        VaultUnavailableError,
        f"the keyring has an entry `{SERVICE}` already, which is left as it is",
        STATUS,
    )
    backend = f"{__name__}.{Forgetting.__qualname__}"
    assert said(lambda: opened(Forgetting()).put(SERVICE, SECRET)) == (
        VaultUnavailableError,
        f"the keyring backend `{backend}` did not keep what it was given",
        OTHERS,
    )
    assert said(lambda: opened(Keeping(kept=SECRET)).delete(SERVICE)) == (VaultUnavailableError, stays, STATUS)
    assert said(lambda: opened(Cancelling(kept=SECRET)).delete(SERVICE)) == (
        VaultUnavailableError,
        f"{stays}: Cancelled",
        STATUS,
    )


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            KeyringLocked("it is shut"),
            (
                VaultLockedError,
                "the operating system's keyring is locked: it is shut",
                os_keyring.UNLOCK_HINT,
            ),
        ),
        (
            KeyringLocked(),
            (VaultLockedError, "the operating system's keyring is locked: KeyringLocked", os_keyring.UNLOCK_HINT),
        ),
        (
            OSError("no bus"),
            (VaultUnavailableError, "the operating system's keyring is not available: no bus", OTHERS),
        ),
        (
            OSError("x" * 300),
            (VaultUnavailableError, f"the operating system's keyring is not available: {'x' * 200}", OTHERS),
        ),
        (
            OSError("sk-or-v1-0123456789abcdef"),
            (VaultUnavailableError, "the operating system's keyring is not available: ***", OTHERS),
        ),
    ],
)
def test_what_a_backend_raises_is_told_in_one_line(
    error: Exception, expected: tuple[type[RaptchatError], str, str]
) -> None:
    for call in ("get", "delete"):
        keyring = opened(Item(error))
        assert said(lambda keyring=keyring, call=call: getattr(keyring, call)(SERVICE)) == expected  # type: ignore[misc]


@pytest.mark.parametrize(("errors", "calls"), [(0, 1), (1, 2), (3, 4)])
def test_an_entry_that_is_gone_for_an_instant_is_asked_for_four_times(errors: int, calls: int) -> None:
    item = Item(*[VANISHED()] * errors, kept=SECRET)

    assert opened(item).get(SERVICE) == SECRET
    assert len(item.calls) == calls


def test_an_entry_that_stays_away_is_not_available() -> None:
    item = Item(*[VANISHED("no item")] * 5)

    assert said(lambda: opened(item).get(SERVICE))[1].endswith(": no item")
    assert len(item.calls) == 4


def test_a_keyring_that_does_not_answer_is_announced_and_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raptchat.vault.patience.DEADLINE_SECONDS", 0.1)
    monkeypatch.setattr("raptchat.vault.patience.NOTICE_SECONDS", 0.02)
    end = threading.Event()
    told: list[str] = []

    class Hanging(Item):
        def get_password(self, *words: str) -> str | None:
            end.wait(20)
            return None

    try:
        assert said(lambda: opened(Hanging(), told.append).get(SERVICE)) == (
            VaultUnavailableError,
            "the operating system's keyring did not answer within 0.1 seconds; it may be locked",
            f"unlock the keyring and try again, or do without it: {OTHERS}",
        )
        [waiting] = [thread for thread in threading.enumerate() if thread.name == "raptchat-keyring"]
        assert waiting.daemon, "a call that was given up must not keep the process"
    finally:
        end.set()
    waiting.join(5)
    assert told == [
        "waiting for the operating system's keyring; it may be asking for its password in another window"
    ]


def test_a_call_that_fails_closes_its_connections_and_those_of_what_it_failed_on() -> None:
    closed: list[str] = []

    class DBusConnection:
        def __init__(self, name: str) -> None:
            self.name = name

        def close(self) -> None:
            closed.append(self.name)

    class Failing(Item):
        def get_password(self, *words: str) -> str | None:
            connection = DBusConnection("outer")
            try:
                self.connect()
            except OSError:
                raise ValueError(connection.name) from None
            return None

        def connect(self) -> None:
            connection = DBusConnection("inner")
            raise OSError(connection.name)

    said(lambda: opened(Failing()).get(SERVICE))

    assert set(closed) == {"outer", "inner"}


LIBSECRET, KWALLET = "keyring.backends.libsecret", "keyring.backends.kwallet"


def choose() -> OsKeyring:
    return OsKeyring.choose({}, patience=Patience(interactive=False, tell=lambda line: None))


def test_the_backend_that_works_best_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    # Without a bus the Secret Service cannot work, and says so.
    for name, classes, priority in [
        (LIBSECRET, ["Keyring"], 0.5),
        (KWALLET, ["DBusKeyring", "DBusKeyringKWallet4"], 0.4),
    ]:
        module = types.ModuleType(name)
        for kind in classes:
            setattr(module, kind, type(kind, (Item,), {"priority": priority, "__module__": name}))
        monkeypatch.setitem(sys.modules, name, module)

    assert choose().backend == f"{LIBSECRET}.Keyring"


@pytest.mark.parametrize(("platform", "why"), [("darwin", "macOS"), ("win32", "Windows")])
def test_each_platform_has_its_own_backend(monkeypatch: pytest.MonkeyPatch, platform: str, why: str) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    [name] = os_keyring._of_platform()

    assert f".{why}." in name


def test_a_backend_that_is_not_on_the_list_is_told_why() -> None:
    patience = Patience(interactive=False, tell=lambda line: None)
    for name, why in [
        ("keyring.backends.null.Keyring", "it keeps nothing"),
        ("keyring.backends.fail.Keyring", "it stands for no keyring at all"),
        ("x.y", "it is none of the operating system's and may keep secrets in a plain file"),
    ]:
        assert said(lambda name=name: OsKeyring.remembered(name, {}, patience=patience)) == (  # type: ignore[misc]
            VaultUnavailableError,
            f"the keyring backend `{name}`, named by the store, is refused: {why}",
            OTHERS,
        )


class NeverDone(threading.Event):
    """What is waited for and does not come; it notes for how long."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout)
        return False


@pytest.mark.parametrize(
    ("interactive", "spent", "waits"),
    [(False, 0, [1.5, 8.5]), (True, 0, [1.5, 118.5]), (False, 9, [1, 0]), (False, 8.5, [1.5, 0])],
)
def test_all_that_is_left_is_waited_and_not_a_second_more(
    *, interactive: bool, spent: float, waits: list[float]
) -> None:
    told: list[str] = []
    patience = Patience(interactive=interactive, tell=told.append)
    patience.spend(spent)
    done = NeverDone()

    assert not patience.wait(done, since=time.monotonic())
    assert done.waits == waits
    assert patience.left == 0
    assert len(told) == 1


def test_what_the_keyring_holds_for_a_slot_is_its_secret_or_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[str | None] = [None]
    module = types.ModuleType(LIBSECRET)
    module.Keyring = type("Keyring", (), {"get_password": lambda *words: held[0]})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, LIBSECRET, module)
    kind = KeyringKind(Patience(interactive=False, tell=lambda line: None))
    params = {"backend": f"{LIBSECRET}.Keyring", "service": SERVICE}
    slot = Slot("id", "keyring", "active", "key", crypto.public_key(bytes(32)), b"", b"", params, "2026")

    assert said(lambda: kind.secret(slot)) == (
        VaultLockedError,
        "the keyring does not hold this store's master key now: it is locked, or another session's",
        "unlock it, or open the store where the key was added",
    )
    for text, message in [
        (base64.b64encode(bytes(range(32))).decode(), "the master key in the keyring is another one"),
        (base64.b64encode(bytes(31)).decode(), "a slot's secret is damaged: it is not what raptchat wrote"),
        ("", "a slot's secret is damaged: it is not what raptchat wrote"),
    ]:
        held[0] = text
        assert said(lambda: kind.secret(slot)) == (
            DecryptionFailedError,
            message,
            "use the one that belongs to this store; raptchat vault status lists its ways to open",
        )
    held[0] = base64.b64encode(bytes(32)).decode()
    assert kind.secret(slot) == bytes(32)
