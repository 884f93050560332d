"""Slots whose secret was not at hand when the data key was changed: they open, and lead nobody astray."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import rows
from secret_service import SecretService
from vaults import KEY, PASSPHRASE, add_key, change, key_of, open_factory, typed

from raptchat import crypto
from raptchat.credentials import CredentialService
from raptchat.errors import DecryptionFailedError
from raptchat.records import Slot, TrailStep
from raptchat.store.vault import canonical_trail
from raptchat.vault import recovery_key
from raptchat.vault.lock import vault_lock
from raptchat.vault.sealing import DataKey, slot_info
from raptchat.vault.wrapping import led_on


@dataclass(frozen=True, slots=True)
class Away:
    """A vault with a slot at hand (a key file), and one that is not: here a key file that was moved away."""

    home: Path
    slot: Slot
    group_id: str
    keys: list[DataKey]

    def rotate(self) -> None:
        """Change the data key while the other slot's file is away."""
        with open_factory() as factory:
            CredentialService(factory).rotate_vault()
            self.keys.append(factory.vault.data_key())

    def open(self) -> str:
        """The group's key, as the slot that was away opens it."""
        os.environ["RAPTCHAT_MASTER_KEY_FILE"] = str(self.home / "away.key")
        try:
            return key_of(self.group_id)
        finally:
            del os.environ["RAPTCHAT_MASTER_KEY_FILE"]

    def row(self) -> Slot:
        """What the store says of the slot."""
        with open_factory() as factory:
            return next(slot for slot in factory.store.vault.slots() if slot.id == self.slot.id)


@pytest.fixture
def away(home: Path) -> Away:
    with open_factory() as factory:
        factory.vault.init("file", path=home / "master.key")
        slot = factory.vault.add("file", path=home / "other.key")
        group_id = add_key(factory)
        key = factory.vault.data_key()
    (home / "other.key").rename(home / "away.key")
    return Away(home, slot, group_id, [key])


@pytest.mark.parametrize("rotations", [1, 2, 5])
def test_a_slot_that_was_away_opens_and_needs_its_trail_no_more(away: Away, rotations: int) -> None:
    for _ in range(rotations):
        away.rotate()
    assert [step.key_id for step in away.row().trail] == [key.id for key in away.keys[:-1]]
    assert away.row().proof == away.slot.proof

    assert away.open() == KEY

    assert away.row().trail == ()
    assert away.row().proof != away.slot.proof
    assert away.open() == KEY
    away.rotate()
    assert away.open() == KEY


def test_a_slot_that_came_back_needs_its_trail_no_more_after_the_next_rotation(away: Away) -> None:
    away.rotate()
    (away.home / "away.key").rename(away.home / "other.key")
    away.rotate()
    (away.home / "other.key").rename(away.home / "away.key")

    assert away.row().trail == ()
    assert away.open() == KEY


def test_the_old_data_keys_rows_are_not_kept_for_it(away: Away) -> None:
    away.rotate()
    away.rotate()

    assert rows(away.home, "SELECT id FROM vault_keys") == [(away.keys[-1].id,)]


def test_a_slot_of_another_machines_keyring_opens_there_afterwards(
    secret_service: SecretService, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret_service.apply(monkeypatch)
    monkeypatch.setenv("RAPTCHAT_HOME", str(home))
    with open_factory() as factory:
        slot = factory.vault.init()
        factory.vault.add("file", path=home / "master.key")
        group_id = add_key(factory)
    bus = os.environ["DBUS_SESSION_BUS_ADDRESS"]
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", f"unix:path={home}/no-bus")
    for _ in range(2):
        with open_factory() as factory:
            CredentialService(factory).rotate_vault()
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", bus)
    (home / "master.key").unlink()

    assert key_of(group_id) == KEY
    assert secret_service.services() == {slot.params["service"]}
    assert rows(home, "SELECT trail FROM vault_slots WHERE kind = 'keyring'") == [("[]",)]


def test_a_passphrase_and_a_recovery_key_that_nobody_types_open_afterwards(home: Path) -> None:
    kept: list[str] = []
    with open_factory() as factory:
        factory.vault.init("file", path=home / "master.key")
        group_id = add_key(factory)
    with open_factory(ask=typed(PASSPHRASE, PASSPHRASE), keep=kept.append) as factory:
        factory.vault.add("passphrase")
        factory.vault.add("recovery")
    with open_factory() as factory:
        CredentialService(factory).rotate_vault()
        assert [len(slot.trail) for slot in factory.store.vault.slots()] == [0, 1, 1]
    (home / "master.key").unlink()

    assert key_of(group_id, ask=typed(PASSPHRASE)) == KEY
    assert key_of(group_id, ask=typed("", kept[0])) == KEY
    assert rows(home, "SELECT trail FROM vault_slots") == [("[]",)] * 3


def test_a_slot_with_a_trail_opens_where_nothing_can_be_written(away: Away) -> None:
    away.rotate()
    before = away.row()
    with vault_lock(away.home / "raptchat.db"):
        assert away.open() == KEY
    assert away.row() == before
    (away.home / "raptchat.db.vault-lock").unlink()
    (away.home / "raptchat.db.vault-lock").symlink_to(away.home / "nowhere")
    assert away.open() == KEY
    assert away.row() == before
    (away.home / "raptchat.db.vault-lock").unlink()
    change(away.home, "CREATE TRIGGER broken BEFORE INSERT ON vault_slots BEGIN SELECT RAISE(ABORT, 'no'); END")
    assert away.open() == KEY
    assert away.row() == before
    change(away.home, "DROP TRIGGER broken")

    os.environ["RAPTCHAT_MASTER_KEY_FILE"] = str(away.home / "away.key")
    with open_factory() as factory, factory.store.write():  # what is done in it may still be undone
        factory.vault.data_key()
    del os.environ["RAPTCHAT_MASTER_KEY_FILE"]
    assert away.row() == before
    assert away.open() == KEY
    assert away.row().trail == ()


def test_a_proof_is_not_renewed_over_a_change_that_was_made_meanwhile(away: Away) -> None:
    away.rotate()
    os.environ["RAPTCHAT_MASTER_KEY_FILE"] = str(away.home / "away.key")
    with open_factory() as factory:

        def change_first(statement: str) -> None:
            if statement == "BEGIN IMMEDIATE":
                change(away.home, "UPDATE vault_slots SET created_at = '2000'")

        factory.store._connection.raw.set_trace_callback(change_first)
        factory.vault.data_key()
    del os.environ["RAPTCHAT_MASTER_KEY_FILE"]

    assert len(away.row().trail) == 1


def swap_bit(value: bytes) -> bytes:
    return value[:-1] + bytes([value[-1] ^ 1])


def tampered(slot: Slot) -> dict[str, tuple[TrailStep, ...]]:
    """Each way to change one thing of a trail of three steps."""
    first, second, third = slot.trail
    wrong: dict[str, Callable[[TrailStep], TrailStep]] = {
        "key id": lambda step: step._replace(key_id="another"),
        "wrapped key": lambda step: step._replace(wrapped_key=swap_bit(step.wrapped_key)),
        "no wrapped key": lambda step: step._replace(wrapped_key=b""),
        "succession": lambda step: step._replace(succession=swap_bit(step.succession)),
        "no succession": lambda step: step._replace(succession=b""),
    }
    found = {
        "none": (),
        "first gone": (second, third),
        "middle gone": (first, third),
        "last gone": (first, second),
    }
    found |= {"twice": (first, second, third, third), "turned": (third, second, first)}
    found |= {"swapped": (first, second._replace(succession=third.succession), third)}
    for name, change_one in wrong.items():
        for at in range(3):
            steps = list(slot.trail)
            steps[at] = change_one(steps[at])
            found[f"{name} of step {at}"] = tuple(steps)
    return found


def test_a_trail_of_which_any_part_was_changed_opens_nothing(away: Away) -> None:
    for _ in range(3):
        away.rotate()
    slot = away.row()
    for name, trail in tampered(slot).items():
        text = canonical_trail(slot._replace(trail=trail))
        change(away.home, "UPDATE vault_slots SET trail = ? WHERE id = ?", text, slot.id)
        with pytest.raises(DecryptionFailedError):
            away.open()
        # The slot at hand has no trail: the MAC over all slots tells it that another's was changed.
        with pytest.raises(DecryptionFailedError, match="slots were altered"):
            key_of(away.group_id)
        assert away.row().trail == trail, name

    change(away.home, "UPDATE vault_slots SET trail = ? WHERE id = ?", canonical_trail(slot), slot.id)
    assert away.open() == KEY


@pytest.mark.parametrize(
    "text",
    [
        *("", "null", "7", "[7]", "[[]]", '[["a", 1, 2]]', '[["a", "?", "?"]]', "{", "[" * 100_000, '{"a": 1}'),
        r'[["\ud800", "", ""]]',
    ],
)
def test_a_trail_that_is_none_is_refused(away: Away, text: str) -> None:
    away.rotate()
    change(away.home, "UPDATE vault_slots SET trail = ? WHERE id = ?", text, away.slot.id)

    with pytest.raises(DecryptionFailedError):
        away.open()


def lead_astray(away: Away, slot: Slot, *, witness: DataKey | None, keep: bool) -> None:
    """Lead *slot* to a data key of one's own, with what *witness* (an old data key) can sign; *keep* its trail."""
    mine = DataKey("mine", away.keys[0].store_id, bytes(range(32)))
    assert slot.public_key
    if witness is None:
        step = TrailStep(slot.key_id or "", slot.wrapped_key or b"", bytes(32))
        forged = slot._replace(key_id=mine.id, trail=(*slot.trail, step))
        forged = forged._replace(wrapped_key=mine.wrapped_for(forged))
    else:
        old = slot._replace(key_id=witness.id, wrapped_key=witness.wrapped_for(slot._replace(key_id=witness.id)))
        forged = led_on(old if keep else old._replace(trail=()), witness, mine)
    change(away.home, "DELETE FROM vault_slots WHERE id <> ?", slot.id)
    change(away.home, "PRAGMA foreign_keys = OFF")
    change(
        away.home,
        "UPDATE vault_keys SET id = 'mine', check_value = ?, slots_mac = ?",
        mine.check_value(),
        mine.slots_mac([forged]),
    )
    change(
        away.home,
        "UPDATE vault_slots SET key_id = 'mine', wrapped_key = ?, trail = ?",
        forged.wrapped_key,
        canonical_trail(forged),
    )


@pytest.mark.parametrize("keep", [True, False])
def test_whoever_only_writes_the_file_leads_a_slot_nowhere(away: Away, *, keep: bool) -> None:
    away.rotate()
    lead_astray(away, away.row(), witness=None, keep=keep)

    with pytest.raises(DecryptionFailedError, match="the vault was replaced"):
        away.open()


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("stolen", [0, 1])
def test_whoever_has_an_old_data_key_leads_a_slot_that_was_renewed_nowhere(
    away: Away, stolen: int, *, keep: bool
) -> None:
    away.rotate()
    away.rotate()
    assert away.open() == KEY
    lead_astray(away, away.row(), witness=away.keys[stolen], keep=keep)

    with pytest.raises(DecryptionFailedError, match="the vault was replaced"):
        away.open()


def test_whoever_has_an_old_data_key_leads_a_slot_at_hand_nowhere(away: Away) -> None:
    away.rotate()
    with open_factory() as factory:
        at_hand = next(slot for slot in factory.store.vault.slots() if slot.id != away.slot.id)
    lead_astray(away, at_hand, witness=away.keys[0], keep=False)

    with pytest.raises(DecryptionFailedError, match="the vault was replaced"):
        key_of(away.group_id)


def test_a_succession_of_another_store_leads_nowhere(away: Away) -> None:
    old, new = away.keys[0], DataKey("new", away.keys[0].store_id, crypto.new_key())
    elsewhere = DataKey(old.id, "another store", old._key)

    assert elsewhere.succession(new.id, new.check_value()) != old.succession(new.id, new.check_value())
    assert old.succession("other", new.check_value()) != old.succession(new.id, new.check_value())


def test_a_list_of_slots_with_trails_is_not_signed_as_one_without(away: Away) -> None:
    away.rotate()
    slot = away.row()
    key = away.keys[-1]

    macs = {key.slots_mac([slot]), key.slots_mac([slot._replace(trail=())])}
    assert len(macs) == 2
    assert json.loads(canonical_trail(slot))[0][0] == away.keys[0].id
    assert slot_info(slot, key.store_id) != slot_info(slot._replace(key_id="x"), key.store_id)


def test_the_status_opens_slots_with_a_trail_and_changes_nothing(away: Away) -> None:
    away.rotate()
    (away.home / "away.key").rename(away.home / "other.key")
    before = away.row()
    with open_factory() as factory:
        assert [status.opens for status in factory.vault.status()] == [True, True]
        found = [key.check_value() for _, key in factory.vault.each_slot() if isinstance(key, DataKey)]
        assert found == [away.keys[-1].check_value()] * 2
    assert away.row() == before


def test_slots_that_are_added_and_removed_leave_the_trail_of_others(away: Away) -> None:
    away.rotate()
    with open_factory() as factory:
        added = factory.vault.add("file", path=away.home / "third.key")
        factory.vault.remove(added.id)
        [at_hand] = [slot for slot in factory.store.vault.slots() if slot.id != away.slot.id]
        factory.vault.rotate_slot(at_hand.id, path=away.home / "fourth.key")
    assert len(away.row().trail) == 1

    assert away.open() == KEY


def test_nobody_is_asked_for_a_status(home: Path) -> None:
    kept: list[str] = []
    with open_factory(ask=typed(PASSPHRASE, PASSPHRASE), keep=kept.append) as factory:
        factory.vault.init("passphrase")
        factory.vault.add("recovery")
    asked: list[str] = []
    with open_factory(ask=asked.append) as factory:
        assert [(status.slot.kind, status.opens) for status in factory.vault.status()] == [
            ("passphrase", None),
            ("recovery", None),
        ]
        assert [found for _, found in factory.vault.each_slot()] == [None, None]
    assert asked == []
    assert recovery_key.looks_like_one(kept[0])
