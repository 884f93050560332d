"""What changes a vault: its key, its slots, and what takes keys from one store to another."""

import time
from collections.abc import Callable

import pyrage
from homes import KEYS, OLD, OTHER, RENAMED, Home, clean, populate, sound, with_a_key_file
from works import Work, changed, contents, rename, same

from raptchat import CredentialService
from raptchat.vault import SlotKind

# What bundles are encrypted for.
IDENTITY = pyrage.x25519.Identity.generate()


def with_every_slot(home: Home) -> None:
    """A vault in the keyring, a key file, and on paper, which is at hand nowhere."""
    with home.factory() as factory:
        factory.vault.init("keyring")
        factory.vault.add("file", path=home.folder / "master.key")
        factory.vault.add("recovery")
    populate(home)


def with_a_keyring(home: Home) -> None:
    with home.factory() as factory:
        factory.vault.init("keyring")
    populate(home)


def rotate(home: Home) -> None:
    with home.factory() as factory:
        CredentialService(factory).rotate_vault()


def rotate_slot(kind: SlotKind) -> Callable[[Home], None]:
    def act(home: Home) -> None:
        new = home.folder / f"{time.monotonic_ns()}.key"
        with home.factory() as factory:
            factory.vault.rotate_slot(kind, path=new if kind == "file" else None)

    return act


def add_slot(kind: SlotKind) -> Callable[[Home], None]:
    def act(home: Home) -> None:
        with home.factory() as factory:
            if kind not in factory.store.vault.kinds():
                factory.vault.add(kind, path=home.folder / "more.key")
            else:
                rotate(home)

    return act


def remove_slot(kind: SlotKind) -> Callable[[Home], None]:
    def act(home: Home) -> None:
        with home.factory() as factory:
            if kind in factory.store.vault.kinds():
                factory.vault.remove(kind)
            else:
                rotate(home)

    return act


def with_a_rotated_key(home: Home) -> None:
    with_every_slot(home)
    rotate(home)


def open_with_paper(home: Home) -> None:
    """What was not at hand when the key was changed opens it, and proves it from then on."""
    with home.factory(RAPTCHAT_MASTER_KEY_FILE=home.papers[0]) as factory:
        factory.vault.data_key()


def check_opened_with_paper(home: Home, acknowledged: bool) -> None:  # noqa: FBT001
    del acknowledged  # it opened: the proof may wait for the next time
    assert sound(home) == KEYS
    rotate(home)
    assert sound(home) == KEYS
    clean(home)


def prepare_import(home: Home) -> None:
    with_a_key_file(home)
    (home.folder / "identity").touch(mode=0o600)
    (home.folder / "identity").write_text(f"{IDENTITY}\n", encoding="utf-8")
    export_bundle(home)
    with home.factory() as factory:
        group = factory.store.groups.named(OLD)
        assert group
        CredentialService(factory).remove_group(group)


def export_bundle(home: Home) -> None:
    bundle = str(home.folder / "bundle")
    home.run("vault", "export", "--with-sessions", "--yes", "--recipient", str(IDENTITY.to_public()), bundle)


def import_bundle(home: Home) -> None:
    home.run(
        *["vault", "import", "--on-conflict", "skip", "--no-recovery", "--identity"],
        str(home.folder / "identity"),
        str(home.folder / "bundle"),
    )


def back_up(home: Home) -> None:
    home.run("backup", "--yes", str(home.folder / "copy"))


def check_backup(home: Home, acknowledged: bool) -> None:  # noqa: FBT001
    copy = home.folder / "copy"
    assert copy.exists() or not acknowledged
    if copy.exists():
        assert contents(copy) == contents(home.store)
    same(back_up, "copy")(home, acknowledged)


def prepare_restore(home: Home) -> None:
    with_a_key_file(home)
    back_up(home)
    rename(home)


def restore(home: Home) -> None:
    home.run("restore", "--yes", str(home.folder / "copy"))


# Which works there are with each kind of slot.
PER_SLOT: list[
    tuple[str, Callable[[Home], None], Callable[[SlotKind], Callable[[Home], None]], list[SlotKind]]
] = [
    ("rotate", with_every_slot, rotate_slot, ["keyring", "recovery"]),
    ("add", with_a_key_file, add_slot, ["keyring"]),
    ("add", with_a_keyring, add_slot, ["file"]),
    ("remove", with_every_slot, remove_slot, ["keyring", "file"]),
]

WITHOUT_OLD = {OTHER: KEYS[OTHER]}

VAULT_WORKS = {
    "rotate": Work(with_a_key_file, rotate, same(rotate)),
    "rotate-file-slot": Work(with_a_key_file, rotate_slot("file"), same(rotate_slot("file"), "*.key")),
    "import": Work(
        prepare_import,
        import_bundle,
        changed(import_bundle, WITHOUT_OLD, KEYS, files=("identity", "bundle")),
    ),
    "export": Work(
        prepare_import,
        export_bundle,
        changed(export_bundle, WITHOUT_OLD, WITHOUT_OLD, files=("identity", "bundle")),
    ),
    "backup": Work(with_a_key_file, back_up, check_backup),
    "restore": Work(
        prepare_restore,
        restore,
        changed(restore, RENAMED, KEYS, files=("copy", "raptchat.db.before-restore-*.bak")),
    ),
    "rotate-all-slots": Work(with_every_slot, rotate, same(rotate), keyring=True),
    "open-after-rotation": Work(with_a_rotated_key, open_with_paper, check_opened_with_paper, keyring=True),
    **{
        f"{what}-{kind}-slot": Work(prepare, act(kind), same(act(kind), "*.key", "more.key"), keyring=True)
        for what, prepare, act, kinds in PER_SLOT
        for kind in kinds
    },
}
