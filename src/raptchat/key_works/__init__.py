"""The work on groups' keys at the gateway, with the account's management key.

There is no transaction across a gateway and a store. Instead each piece of work is written down before its
first request: under which name a key is made, or which key is to go. Whoever is killed leaves that line, and the
next one to work on keys takes back what nobody has, or finishes what was decided. What decides is one commit, in
which a new key is sealed and put in use. So a group has a working key at every moment.
"""

import hmac
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from raptchat.clock import utc_now
from raptchat.credentials import CredentialService
from raptchat.credentials.management_key import ManagementKeys, client_with, proved
from raptchat.errors import (
    AuthenticationFailedError,
    GatewayError,
    InvalidResponseError,
    RaptchatError,
    SharedKeyError,
    StoreBusyError,
    UnconfirmedError,
    UsageError,
)
from raptchat.factory import Factory
from raptchat.key_works.held import held_keys
from raptchat.naming import add_key_command, as_argument
from raptchat.outside import safe_line
from raptchat.providers import DEFAULT_PROVIDER
from raptchat.providers.json_calls import is_not_found
from raptchat.providers.key_info import KeyCaps, KeyInfo
from raptchat.providers.keys import read_key_info
from raptchat.providers.management import ManagementClient, hash_of
from raptchat.records import Credential, Group, KeyWork
from raptchat.secret import Secret
from raptchat.vault.lock import key_lock

_Tell = Callable[[str], None]

FINISHES = "raptchat account keys"

_TIMED_OUT = 408


class Rotated(NamedTuple):
    """What became of a rotation: the credential in use now, the one before, and the caps that both have."""

    new: Credential
    old: Credential
    caps: KeyCaps


@contextmanager
def at_the_gateway(factory: Factory, *, tell: _Tell) -> Iterator["KeyWorks"]:
    """Work on keys at the gateway that is in use, alone; what earlier work left unfinished is finished first.

    *tell* is handed what becomes of that. Raises `AiNotConfiguredError` when there is no management key,
    `StoreBusyError` when another process works on keys, what opening the vault does, and the gateway's errors.
    """
    keys = ManagementKeys(factory)
    # The vault first: whoever has to type a passphrase keeps nobody waiting.
    key = keys.open(keys.endpoint)
    with client_with(factory, key) as gateway, key_lock(factory.settings.paths.store):
        works = KeyWorks(factory, gateway, key, keys.endpoint, tell)
        works.finish_pending()
        yield works


class KeyWorks:
    """What is done to keys at one gateway; use `at_the_gateway`."""

    def __init__(
        self, factory: Factory, gateway: ManagementClient, key: Secret, endpoint: str, tell: _Tell
    ) -> None:
        self._factory = factory
        self._store = factory.store
        self._lines = factory.store.management
        self._service = CredentialService(factory)
        self._key = key
        self._tell = tell
        self.gateway = gateway
        self.endpoint = endpoint

    def finish_pending(self, *, is_late: bool = True) -> None:
        """Finish what was begun: keys that nobody has are deleted at the gateway, and those that are to go.

        What is late, because a command was cut off, is told. So is what the gateway refuses then: nothing else
        is kept waiting for it.
        """
        for work in self._lines.works(self.endpoint):
            if not hmac.compare_digest(work.proof, self._proved(work).proof):
                self._tell(
                    f"work on the keys of group `{work.group_name}` stays unfinished: it was begun with another"
                    f" management key, or its line in the store was altered; {FINISHES} lists what there is"
                )
                self._strike(work)
                continue
            try:
                self._finish(work, is_late=is_late)
            except GatewayError as error:
                is_refusal = error.fields.get("status") and not isinstance(error, AuthenticationFailedError)
                if not (is_late and is_refusal):
                    raise
                self._tell(
                    f"what a command for group `{work.group_name}` left undone is still to be done: {error}"
                )

    def provision(self, group: Group, caps: KeyCaps, *, model: str | None = None) -> Credential:
        """Make a key with *caps* for *group* and put it in use; the group is stored with it when it is not there.

        Raises `DuplicateCredentialError` when it has an active key, and the gateway's errors.
        """
        store = self._store
        is_new = store.groups.get(group.id) is None
        if not is_new:
            self._service.check_free(group, DEFAULT_PROVIDER, replace=False)
        work = self.begin(group)

        def keep() -> Credential:
            owner = store.groups.named(group.name) if is_new else store.groups.require(group.id)
            if owner is None:
                store.groups.put(group)
                owner = group
            if model:
                store.groups.set(owner.id, model=model)
            credential = self._service.create(owner.id, key)
            self._lines.finish(work.id)
            self.note("provision", owner, credential.id)
            return credential

        with self._made(work, caps) as key:
            return self._service.atomically(keep)

    def rotate(self, group: Group) -> Rotated:
        """Give *group* another key with the same caps, and end the one before at the gateway.

        Raises `UsageError` for a key that is not this account's, `SharedKeyError` for one that serves another
        group too, and the gateway's errors, which say so when the old key goes on existing.
        """
        old = self._service.require_active(group)
        old_hash, info = self.of_this_account(group, old)
        self._refuse_shared(group, old)
        caps = self.gateway.caps(old_hash)
        if is_expired(info):
            caps = caps._replace(expires_at=None)
            self._tell(f"the old key expired at {info.expires_at}: the new one does not expire")
        work = self.begin(group)
        switched = self._proved(work._replace(new_name=None, old_hash=old_hash))

        def switch() -> Credential:
            owner = self._store.groups.require(group.id)
            in_use = self._service.check_free(owner, old.provider, replace=True)
            if in_use is None or in_use.id != old.id:
                raise StoreBusyError(f"the key of group `{group.name}` was changed meanwhile", hint="look again")
            new = self._service.create(
                owner.id, key, provider=old.provider, label=old.label, base_url=old.base_url, replace=True
            )
            self._lines.go_on(switched)
            self.note("rotate-key", owner, new.id)
            return new

        with self._made(work, caps) as key:
            self._verify(key)
            new = self._service.atomically(switch)
        try:
            self._finish(switched, is_late=False)
        except RaptchatError as error:
            raise type(error)(
                f"group `{group.name}` pays with its new key {new.key_hint};"
                f" the old one, {old.key_hint}, may still be good at the gateway: {error}",
                hint=f"{FINISHES}, which ends it",
                **error.fields,
            ) from None
        return Rotated(new, old, caps)

    def of_this_account(self, group: Group, credential: Credential) -> tuple[str, KeyInfo]:
        """The hash of the key and what the gateway says of it; `UsageError` when it is not this account's."""
        if credential.kind == "none":
            raise UsageError(f"group `{group.name}` pays with no key: its gateway asks for none")
        if credential.kind != "key":
            raise UsageError(
                f"the key of group `{group.name}` is kept elsewhere ({credential.key_hint})",
                hint="change it where it is kept",
            )
        if credential.endpoint != self.endpoint:
            raise UsageError(
                f"the key of group `{group.name}` is for {credential.endpoint},"
                f" and the management key for {self.endpoint}",
                hint="set AI_GATEWAY_URL to the gateway of the key",
            )
        hash_, info = self.known(credential)
        if info is None:
            raise UsageError(
                f"the account of the management key has no key {credential.key_hint}: it was deleted there,"
                f" or group `{group.name}` pays with one of another account",
                hint=f"raptchat credentials deactivate {credential.id[:8]}, and then raptchat group provision"
                f" {as_argument(group.name)} makes one",
            )
        return hash_, info

    def known(self, credential: Credential) -> tuple[str, KeyInfo | None]:
        """The hash of the key, and what the gateway says of it; `None` when the account has no such key."""
        hash_ = hash_of(self._service.open_key(credential))
        return hash_, self.gateway.key(hash_)

    def note(self, action: str, group: Group, credential_id: str | None) -> None:
        """Book what was done as an event."""
        self._store.ledger.note(action, caller=self._factory.caller, group=group, credential_id=credential_id)

    def begin(self, group: Group, *, old_hash: str | None = None) -> KeyWork:
        """Write down that a key is to be made for *group*, or that the one with *old_hash* is to go."""
        work_id = str(uuid.uuid4())
        new_name = None if old_hash else _key_name(group.name, work_id)
        work = self._proved(KeyWork(work_id, group.name, self.endpoint, new_name, old_hash, utc_now()))
        with self._store.write():
            self._lines.begin(work)
        return work

    @contextmanager
    def _made(self, work: KeyWork, caps: KeyCaps) -> Iterator[Secret]:
        """A new key at the gateway, which is deleted there again when it cannot be put in use."""
        assert work.new_name is not None
        try:
            key, info = self.gateway.create_key(work.new_name, **caps._asdict())
        except GatewayError as error:
            if _was_refused(error):
                self._strike(work)
            raise
        hash_ = hash_of(key)
        if self._is_ours(key):
            self._strike(work)
            raise InvalidResponseError("the gateway answered with a key that is here already instead of a new one")
        try:
            if info.limit != caps.limit or (caps.limit is not None and info.limit_reset != caps.limit_reset):
                raise InvalidResponseError("the gateway made a key with another cap than it was asked for")
            yield key
        except UnconfirmedError:
            raise  # perhaps it is in use
        except RaptchatError:
            self._take_back(work, hash_)
            raise

    def _take_back(self, work: KeyWork, hash_: str) -> None:
        try:
            self._end(hash_)
        except RaptchatError as error:
            self._tell(
                f"the new key `{work.new_name}` is still at the gateway: {safe_line(str(error))};"
                f" {FINISHES} deletes it"
            )
            return
        self._tell(f"the new key of group `{work.group_name}` is deleted again; its keys here are as they were")
        self._strike(work)

    def _proved(self, work: KeyWork) -> KeyWork:
        return proved(work, self._key, self._store.id)

    def _is_ours(self, key: Secret) -> bool:
        """Whether *key* is that of a group, or the management key: what is neither new nor ours to delete."""
        fingerprint = self._factory.vault.data_key().fingerprint(key)
        return key == self._key or bool(self._store.credentials.with_fingerprint(fingerprint))

    def _verify(self, key: Secret) -> None:
        with client_with(self._factory, key) as one:
            info = one.key_info()
        if info.disabled or info.is_management:
            raise InvalidResponseError("the gateway made a key that cannot pay for a chat")

    def _refuse_shared(self, group: Group, credential: Credential) -> None:
        if sharing := self.sharing(group, credential):
            raise SharedKeyError(
                f"this very key serves group `{sharing.name}` too, which would be left without one",
                hint=f"{add_key_command(sharing.name, replace=True)} with a key of its own first",
                group=group.name,
            )

    def sharing(self, group: Group, credential: Credential) -> Group | None:
        """Another group that pays with the very same key."""
        same = self._store.credentials.with_fingerprint(credential.key_fingerprint)
        others = (other for other in same if other.group_id != group.id and other.is_active)
        return next((self._store.groups.require(other.group_id) for other in others), None)

    def _finish(self, work: KeyWork, *, is_late: bool = True) -> None:
        """Do what is left of *work*, and strike it out."""
        held = held_keys(self._factory, self.endpoint) if is_late else []
        in_use = {one.hash: one for one in held if one.credential.is_active}
        for hash_, called in self._to_go(work):
            if using := in_use.get(hash_):
                self._tell(
                    f"the key {using.credential.key_hint} was to be deleted at the gateway;"
                    f" group `{using.group.name}` uses it, and it stays"
                )
                continue
            self._end(hash_)
            if is_late:
                self._tell(
                    f"a command for group `{work.group_name}` was cut off: {called} is now deleted at the gateway"
                )
        self._strike(work)

    def _to_go(self, work: KeyWork) -> list[tuple[str, str]]:
        """The keys that *work* leaves to be deleted, by their hashes, and what they are called."""
        if work.new_name is None:
            assert work.old_hash is not None
            return [(work.old_hash, "its old key")]
        name, listed = read_key_info({"name": work.new_name}).name, self.gateway.keys()
        called = f"its key `{name}`, which nobody has,"
        return [(info.hash, called) for info in listed if info.hash is not None and info.name == name]

    def _end(self, hash_: str) -> None:
        try:
            self.gateway.update_key(hash_, disabled=True)
        except GatewayError as error:
            if not is_not_found(error):
                raise
        self.gateway.delete_key(hash_)

    def _strike(self, work: KeyWork) -> None:
        with self._store.write():
            self._lines.finish(work.id)


def new_group(name: str) -> Group:
    """A group called *name* that is not stored yet; `KeyWorks.provision` stores it with its key."""
    now = utc_now()
    return Group(str(uuid.uuid4()), name, None, None, None, None, now, now)


def is_expired(info: KeyInfo) -> bool:
    """Whether the key's time is over, by the clock of this machine."""
    return info.expires_at is not None and info.expires_at <= utc_now()


def rotate_command(group_name: str) -> str:
    """The command that gives a group another key with the same caps."""
    return f"raptchat group rotate-key {as_argument(group_name)}"


def _key_name(group_name: str, work_id: str) -> str:
    return f"raptchat {group_name} {work_id[:8]}"


def _was_refused(error: GatewayError) -> bool:
    """Whether it is certain that no key was made."""
    status = error.fields.get("status")
    return isinstance(error, AuthenticationFailedError) or (
        isinstance(status, int) and 400 <= status < 500 and status != _TIMED_OUT
    )
