"""A store beside a model of it: each change is done, or killed in the middle, and then the two are compared.

Each change is done by a `Factory` of its own, as by a command, in this process or in a child that is killed; then
another one reads everything.
"""

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import pyrage
from dying import DONE, REFUSED, Ended, end, trace
from store_model import Model, ModelGroup, ModelKey, OnConflict, RefusedError

from raptchat import CredentialService, Factory, RaptchatError, StoreError
from raptchat.bundle import age, document
from raptchat.bundle.taking_in import TakingIn, conflicts
from raptchat.bundle.taking_out import take_out
from raptchat.config import Settings
from raptchat.secret import Secret

FIRST = "first"

Change = Callable[[Factory], object]


class ComparedStore:
    """One store, the drawer with the files that hold its slots' secrets, bundles and copies of it.

    What is in the class is set by `begin`: the folder of all of them, what each begins with, and what they met.
    """

    folder: ClassVar[Path]
    begun: ClassVar[Model]
    first_bundle: ClassVar[bytes]
    met: ClassVar[dict[str, int]]
    identity: ClassVar[pyrage.x25519.Identity]

    def __init__(self) -> None:
        self.drawer = Path(tempfile.mkdtemp(dir=self.folder))
        self.numbers = iter(range(100_000))
        self.secrets = [FIRST]
        self.home, self.model = self.new_home("begun"), self.begun.copy()
        self.exports: list[tuple[bytes, Model]] = [(self.first_bundle, self.begun)]
        self.copies: list[tuple[Path, Model]] = [(self.folder / "begun" / "raptchat.db", self.begun)]

    def close(self) -> None:
        """Try every secret there ever was, and leave nothing behind."""
        try:
            for opener in self.secrets:
                self.open_with(opener)
        finally:
            shutil.rmtree(self.drawer)

    def open_with(self, opener: str) -> None:
        """What opens the vault opens every key of it; what does no more, or not yet, opens none by itself."""
        if opener in self.model.openers():
            assert self.found(opener).is_like(self.model)
        else:
            assert not self.opens(opener), f"`{opener}` opens the vault"
            self.count(refused=1)

    def opens(self, opener: str) -> bool:
        """Whether *opener* alone opens the vault."""
        with self.elsewhere(self.model.files - {opener}), self.factory(opener) as factory:
            try:
                factory.vault.data_key()
            except RaptchatError:
                return False
        return True

    def came_about(self, wanted: Model, found: Model) -> bool:
        """Whether *found* is what was wanted; of a recovery key it says only that there is one."""
        is_another = wanted.recovery not in {None, self.model.recovery}
        return found.is_like(wanted) and (not is_another or self.opens(str(wanted.recovery)))

    def change(self, act: Change, expect: Callable[[Model], object], crash: int | None = None) -> None:
        """Do *act*; then the store is what *expect* makes of the model, or what it was where *act* was killed."""
        wanted: Model | None = self.model.copy()
        assert wanted is not None
        try:
            expect(wanted)
        except RefusedError:
            wanted = None
        ended = self.do(act) if crash is None else end(lambda: self.do_traced(act, crash))
        killed = ended.code < 0
        self.count(changes=1, killed=killed, refused=ended.code == REFUSED)
        assert killed or ended.code == (REFUSED if wanted is None else DONE), ended
        found = self.found()
        if wanted is not None and (not killed or self.came_about(wanted, found)):
            self.model = wanted
        assert found.is_like(self.model), (found, self.model)
        # The ids of new groups are the store's choice.
        for name, group in found.groups.items():
            self.model.groups[name].id = group.id

    def do(self, act: Change) -> Ended:
        with self.factory() as factory:
            try:
                act(factory)
            except StoreError:
                raise
            except RaptchatError as error:
                return Ended(REFUSED, str(error))
        return Ended(DONE, "")

    def do_traced(self, act: Change, line: int) -> None:
        with self.factory() as factory:
            trace([0], line)
            act(factory)
            sys.settrace(None)

    def found(self, opener: str | None = None) -> Model:
        """What a new process finds in the store, opened with what is at hand or with *opener*."""
        found = Model()
        with self.factory(opener) as factory:
            service = CredentialService(factory)
            for group in factory.store.groups.all():
                there = found.groups[group.name] = ModelGroup(group.id)
                for one in service.list_for_group(group.id):
                    key = service.open_key(one).reveal()
                    assert key not in there.keys, "it is there twice"
                    there.keys[key] = ModelKey(one.base_url, one.is_active)
            for slot in factory.store.vault.slots():
                if slot.state == "active" and slot.kind == "file":
                    found.files.add(Path(str(slot.params["path"])).name)
                elif slot.state == "active":
                    found.recovery = slot.kind
            assert factory.store.checks.problems() == []
        return found

    def factory(self, opener: str | None = None) -> Factory:
        environ = {"RAPTCHAT_HOME": str(self.home)}
        if opener is not None:
            environ["RAPTCHAT_MASTER_KEY_FILE"] = str(self.secret(opener))
        return Factory(Settings.load(environ), keep=self.keep)

    def keep(self, text: str) -> None:
        paper = self.secret(self.secrets[-1])
        paper.touch(mode=0o600)
        paper.write_text(text, encoding="utf-8")

    def new_home(self, kind: str) -> Path:
        home = self.drawer / f"home {next(self.numbers)}"
        shutil.copytree(self.folder / kind, home)
        return home

    def new_secret(self) -> str:
        self.secrets.append(f"secret {next(self.numbers)}")
        return self.secrets[-1]

    def secret(self, name: str) -> Path:
        """The file that holds a slot's secret; the first one is the same for all machines."""
        return self.folder / name if name == FIRST else self.drawer / name

    @contextmanager
    def elsewhere(self, names: set[str]) -> Iterator[None]:
        """Without the secrets with these names: they are on another machine."""
        files = [self.secret(name) for name in names]
        for file in files:
            file.rename(file.with_name(f"{file.name} away"))
        try:
            yield
        finally:
            for file in files:
                file.with_name(f"{file.name} away").rename(file)

    def new_bundle(self) -> bytes:
        """An export of all groups."""
        with self.factory() as factory:
            return exported(factory)

    def import_(self, factory: Factory, bundle: bytes, choice: OnConflict, *, allow_shared: bool) -> None:
        read = document.read(age.decrypt(bundle, identities=[Secret(str(self.identity))]))
        choices = {conflict.group.id: choice for conflict in conflicts(factory.store, read)}
        taking_in = TakingIn(factory, read, choices, factory.vault.ensure(), allow_shared)
        taking_in.carry_out(taking_in.plan())

    def id_of(self, name: str) -> str:
        return self.model.groups[name].id

    def all_keys(self) -> list[tuple[str, str]]:
        return [(name, key) for name, group in sorted(self.model.groups.items()) for key in group.keys]

    @classmethod
    def count(cls, **what: int) -> None:
        for name, number in what.items():
            cls.met[name] = cls.met.get(name, 0) + number


def exported(factory: Factory) -> bytes:
    """A bundle of all groups that only these tests can read."""
    return age.encrypt(document.write(take_out(factory)), recipients=[str(ComparedStore.identity.to_public())])


def begin(folder: Path) -> None:
    """Make in *folder* a home that is empty but for its vault, and one with what every store begins with."""
    ComparedStore.folder, ComparedStore.met = folder, {}
    ComparedStore.identity = pyrage.x25519.Identity.generate()
    ComparedStore.begun = model = Model(files={FIRST})
    with Factory(Settings.load({"RAPTCHAT_HOME": str(folder / "empty")})) as factory:
        factory.vault.init("file", path=folder / FIRST)
    shutil.copytree(folder / "empty", folder / "begun")
    with Factory(Settings.load({"RAPTCHAT_HOME": str(folder / "begun")})) as factory:
        for name in ("delta", "gamma"):
            with factory.store.write():
                group = factory.store.groups.add(name)
            model.groups[name] = ModelGroup(group.id)
            for age_of in ("old", "new"):
                key = f"sk-or-v1-{name}-{age_of}-{'0' * 30}"
                CredentialService(factory).create(group.id, key, replace=True)
                model.add_key(name, key, None, replace=True)
        ComparedStore.first_bundle = exported(factory)
