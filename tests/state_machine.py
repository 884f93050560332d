"""A store that is used in every way at random, killed now and then, and compared with a model after each step."""

import os
import tempfile
from pathlib import Path

from compared_store import FIRST, ComparedStore, begin
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from store_model import Model, ModelGroup, OnConflict, RefusedError

from raptchat import CredentialService, Factory
from raptchat.caller import Caller
from raptchat.records import Credential, Slot
from raptchat.store.backup import back_up
from raptchat.store.restore import restore

NAMES = st.sampled_from(["gamma", "delta", "epsilon", "zeta"])
PLACES = st.sampled_from([None, "https://a.example/v1"])
CHOICES: st.SearchStrategy[OnConflict] = st.sampled_from(["skip", "replace", "rename"])
# The line of raptchat at which a change is killed, mostly none; early lines are as likely as the many late ones.
LINES = st.integers(0, 11).flatmap(lambda power: st.integers(2**power, 2 ** (power + 1)))
CRASHES = st.integers(0, 9).flatmap(lambda number: LINES if number == 9 else st.none())


class StoreMachine(ComparedStore, RuleBasedStateMachine):
    """Every change there is, each now and then killed."""

    def __init__(self) -> None:
        RuleBasedStateMachine.__init__(self)
        ComparedStore.__init__(self)

    def teardown(self) -> None:
        self.close()

    @rule(name=NAMES)
    def add_group(self, name: str) -> None:
        def expect(model: Model) -> None:
            model.groups[name] = ModelGroup("")

        if name not in self.model.groups:
            self.change(lambda factory: factory.store.groups.add(name), expect)

    @precondition(lambda self: self.model.groups)
    @rule(data=st.data(), place=PLACES, replace=st.booleans(), crash=CRASHES)
    def add_key(self, data: st.DataObject, place: str | None, replace: bool, crash: int | None) -> None:  # noqa: FBT001
        name = self.any_group(data)
        key = f"sk-or-v1-{'elsewhere' if place else 'here'}-{next(self.numbers):032d}"

        def act(factory: Factory) -> None:
            CredentialService(factory).create(self.id_of(name), key, base_url=place, replace=replace)

        self.change(act, lambda model: model.add_key(name, key, place, replace=replace), crash)

    @precondition(lambda self: len(self.model.groups) > 1 and self.all_keys())
    @rule(data=st.data())
    def add_the_key_of_another(self, data: st.DataObject) -> None:
        owner, key = data.draw(st.sampled_from(self.all_keys()))
        name = data.draw(st.sampled_from(sorted(self.model.groups.keys() - {owner})))

        def act(factory: Factory) -> None:
            CredentialService(factory).create(self.id_of(name), key, replace=True)

        # Another one may have it already, from a bundle that was allowed to share it.
        if key not in self.model.groups[name].keys:
            self.change(act, lambda model: model.add_key(name, key, None, replace=True))

    @precondition(lambda self: self.all_keys())
    @rule(data=st.data(), what=st.sampled_from(["activate", "deactivate", "delete"]), crash=CRASHES)
    def change_key(self, data: st.DataObject, what: str, crash: int | None) -> None:
        name, key = data.draw(st.sampled_from(self.all_keys()))

        def act(factory: Factory) -> None:
            service = CredentialService(factory)
            getattr(service, what)(credential_of(factory, self.id_of(name), key).id)

        def expect(model: Model) -> None:
            group = model.groups[name]
            match what:
                case "activate":
                    group.put_in_use(key)
                case "deactivate":
                    group.keys[key].active = False
                case _:
                    del group.keys[key]

        self.change(act, expect, crash)

    @precondition(lambda self: self.model.groups)
    @rule(data=st.data(), new=NAMES, crash=CRASHES)
    def rename(self, data: st.DataObject, new: str, crash: int | None) -> None:
        name = self.any_group(data)

        def act(factory: Factory) -> None:
            CredentialService(factory).rename_group(factory.store.groups.require(self.id_of(name)), new)

        self.change(act, lambda model: model.rename(name, new), crash)

    @precondition(lambda self: len(self.model.groups) > 2)
    @rule(data=st.data(), crash=CRASHES)
    def remove_group(self, data: st.DataObject, crash: int | None) -> None:
        name = self.any_group(data)

        def act(factory: Factory) -> None:
            CredentialService(factory).remove_group(factory.store.groups.require(self.id_of(name)))

        self.change(act, lambda model: model.groups.pop(name), crash)

    @rule(data=st.data(), crash=CRASHES)
    def rotate(self, data: st.DataObject, crash: int | None) -> None:
        at_hand = data.draw(st.lists(st.sampled_from(sorted(self.model.files)), min_size=1, unique=True))
        with self.elsewhere(self.model.files - set(at_hand)):
            self.change(lambda factory: CredentialService(factory).rotate_vault(), lambda model: None, crash)

    @precondition(lambda self: len(self.model.files) < 4)
    @rule(crash=CRASHES)
    def add_file(self, crash: int | None) -> None:
        name = self.new_secret()

        def act(factory: Factory) -> None:
            factory.vault.add("file", path=self.secret(name))

        self.change(act, lambda model: model.files.add(name), crash)

    @precondition(lambda self: self.model.recovery is None)
    @rule(crash=CRASHES)
    def add_recovery(self, crash: int | None) -> None:
        name = self.new_secret()

        def expect(model: Model) -> None:
            model.recovery = name

        self.change(lambda factory: factory.vault.add("recovery"), expect, crash)

    @rule(data=st.data(), crash=CRASHES)
    def remove_slot(self, data: st.DataObject, crash: int | None) -> None:
        name = data.draw(st.sampled_from(sorted(self.model.openers())))

        def expect(model: Model) -> None:
            if name == model.recovery:
                model.recovery = None
            elif len(model.files) == 1:
                raise RefusedError
            else:
                model.files.remove(name)

        self.change(lambda factory: factory.vault.remove(slot_of(factory, self.secret(name)).id), expect, crash)

    @rule(data=st.data(), crash=CRASHES)
    def rotate_slot(self, data: st.DataObject, crash: int | None) -> None:
        old = data.draw(st.sampled_from(sorted(self.model.openers())))
        new = self.new_secret()

        def act(factory: Factory) -> None:
            slot = slot_of(factory, self.secret(old))
            factory.vault.rotate_slot(slot.id, path=self.secret(new) if slot.kind == "file" else None)

        def expect(model: Model) -> None:
            if old == model.recovery:
                model.recovery = new
            else:
                model.files = model.files - {old} | {new}

        self.change(act, expect, crash)

    @rule()
    def export(self) -> None:
        self.exports.append((self.new_bundle(), self.model.copy()))

    @precondition(lambda self: self.exports)
    @rule(data=st.data(), choice=CHOICES, allow_shared=st.booleans(), crash=CRASHES)
    def take_in(self, data: st.DataObject, choice: OnConflict, allow_shared: bool, crash: int | None) -> None:  # noqa: FBT001
        bundle, there = data.draw(st.sampled_from(self.exports))
        if any(len(name) > 50 for name in [*there.groups, *self.model.groups]):
            return
        self.change(
            lambda factory: self.import_(factory, bundle, choice, allow_shared=allow_shared),
            lambda model: model.take_in(there, choice, allow_shared=allow_shared),
            crash,
        )

    @precondition(lambda self: self.exports)
    @rule(data=st.data())
    def move_to_a_new_machine(self, data: st.DataObject) -> None:
        bundle, there = data.draw(st.sampled_from(self.exports))
        self.home, self.model = self.new_home("empty"), Model(files={FIRST})
        self.change(
            lambda factory: self.import_(factory, bundle, "skip", allow_shared=True),
            lambda model: model.take_in(there, "skip", allow_shared=True),
        )

    @rule()
    def back_up(self) -> None:
        copy = self.drawer / f"copy {next(self.numbers)}"
        back_up(self.home / "raptchat.db", copy, confirm=lambda: None)
        self.copies.append((copy, self.model.copy()))

    @precondition(lambda self: self.copies)
    @rule(data=st.data(), crash=CRASHES)
    def restore(self, data: st.DataObject, crash: int | None) -> None:
        copy, there = data.draw(st.sampled_from(self.copies))

        def act(factory: Factory) -> None:
            restore(factory.settings.paths.store, copy, caller=Caller(), confirm=lambda: None)

        self.change(act, lambda model: vars(model).update(vars(there.copy())), crash)

    @rule(data=st.data())
    def open_with_any(self, data: st.DataObject) -> None:
        self.open_with(data.draw(st.sampled_from(self.secrets)))

    def any_group(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(sorted(self.model.groups)))


def credential_of(factory: Factory, group_id: str, key: str) -> Credential:
    """The group's credential that holds *key*."""
    service = CredentialService(factory)
    return next(one for one in service.list_for_group(group_id) if service.open_key(one).reveal() == key)


def slot_of(factory: Factory, secret: Path) -> Slot:
    """The slot that the file *secret* is of: of several kinds the one that is no file's."""
    slots = [slot for slot in factory.store.vault.slots() if slot.state == "active"]
    of_file = [slot for slot in slots if slot.params.get("path") == str(secret)]
    return of_file[0] if of_file else next(slot for slot in slots if slot.kind == "recovery")


def run(first: int, machines: int, steps: int) -> dict[str, int]:
    """Run so many machines with the seed *first*, each of so many steps; how many changes they made."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as name:
        begin(Path(name))
        run_state_machine_as_test(
            seed(first)(StoreMachine),
            settings=settings(
                max_examples=machines,
                stateful_step_count=steps,
                deadline=None,
                database=None,
                # A failure is told at once: making it smaller can take longer than a test may.
                phases=[Phase.generate],
                report_multiple_bugs=False,
                suppress_health_check=list(HealthCheck),
            ),
        )
        return {"machines": machines, **StoreMachine.met}
