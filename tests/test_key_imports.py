"""What the way from a group to its readable key costs: modules that are loaded, files and rows that are read.

A chat takes this way each time. Fresh interpreters are asked, and the keyring is a real one.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import environment
from secret_service import SecretService

from raptchat import crypto
from raptchat.config import Settings
from raptchat.credentials import CredentialService
from raptchat.factory import Factory
from raptchat.vault import SlotKind

KEY = "sk-or-v1-0123456789abcdef"

# Opens the group's key in an interpreter of its own; says which modules that took, and which files were opened.
_OPEN = """
import json, sys
opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
from raptchat.credentials import CredentialService
from raptchat.factory import Factory
with Factory() as factory:
    service = CredentialService(factory)
    [group] = factory.store.groups.all()
    secret = service.open_key(service.require_active(group))
print(json.dumps([secret.reveal()[:9], sorted(sys.modules), opened]))
"""

CHANGES = {"raptchat.vault.changes", "raptchat.vault.rotation", "raptchat.vault.lock"}
KINDS = {
    "file": {"raptchat.vault.file_slot"},
    "keyring": {"raptchat.vault.keyring_slot", "raptchat.vault.keyring", "raptchat.vault.secret_service"},
    "passphrase": {"raptchat.vault.passphrase_slot", "raptchat.vault.argon2"},
    "recovery": {"raptchat.vault.recovery_slot", "raptchat.vault.recovery_key"},
}
# Scanned, they say which keyrings there are: 55 to 125 ms.
METADATA = {"importlib.metadata", "importlib_metadata", "pkg_resources"}
KEYRING = {"keyring", "secretstorage", "jeepney"}
# What the public names of X25519 and AES-GCM bring along.
OPENSSL = {
    "cryptography.hazmat.backends.openssl",
    "cryptography.hazmat.primitives.asymmetric.ec",
    "cryptography.hazmat.primitives.asymmetric.rsa",
    "cryptography.hazmat.primitives.ciphers",
}


@dataclass(frozen=True)
class Opening:
    """What opening a key took."""

    modules: set[str]
    files: list[str]


def make(kind: SlotKind, home: Path, *others: SlotKind) -> None:
    """A store with one group and its key, and a vault with these slots."""
    with Factory(Settings.load(), keep=lambda _: None) as factory:
        factory.vault.init(kind, path=home.parent / "master.key")
        for other in others:
            factory.vault.add(other)
        group = factory.store.groups.add("biology")
        CredentialService(factory).create(group.id, KEY)


def opening(**variables: str) -> Opening:
    """Open the key of the one group there is."""
    # Coverage, which the tests may run under, brings modules of its own.
    env = {name: value for name, value in environment(**variables).items() if not name.startswith("COV")}
    said = subprocess.run([sys.executable, "-c", _OPEN], env=env, capture_output=True, text=True, check=True)
    start, modules, files = json.loads(said.stdout)
    assert start == KEY[:9]
    return Opening(set(modules), files)


def of_other_kinds(kind: str) -> set[str]:
    return set().union(*(modules for other, modules in KINDS.items() if other != kind))


def test_a_key_file_opens_a_key_with_what_that_takes(home: Path) -> None:
    make("file", home, "recovery")
    modules = opening().modules

    assert KINDS["file"] <= modules
    assert not modules & (CHANGES | of_other_kinds("file") | METADATA | KEYRING | OPENSSL)
    assert "raptchat.credentials.seal_report" not in modules


def test_a_passphrase_opens_a_key_with_what_that_takes(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    phrase = home.parent / "passphrase"
    phrase.write_text("a passphrase that is long\n")
    phrase.chmod(0o600)
    monkeypatch.setenv("RAPTCHAT_PASSPHRASE_FILE", str(phrase))
    make("passphrase", home)
    modules = opening().modules

    assert KINDS["passphrase"] <= modules
    assert not modules & (CHANGES | KINDS["keyring"] | KINDS["recovery"] | METADATA | KEYRING | OPENSSL)


def test_a_secret_service_opens_a_key_without_the_package_that_finds_keyrings(
    home: Path, secret_service: SecretService, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret_service.apply(monkeypatch)
    monkeypatch.setenv("RAPTCHAT_HOME", str(home))
    make("keyring", home, "recovery")
    modules = opening().modules

    assert KINDS["keyring"] | {"secretstorage"} <= modules
    assert not modules & (CHANGES | KINDS["passphrase"] | KINDS["recovery"] | METADATA | {"keyring"})


@pytest.mark.parametrize("variable", ["", "KEYRING_PROPERTY_APPID"])
def test_no_keyring_is_looked_for_among_the_packages_that_are_installed(
    home: Path, secret_service: SecretService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    secret_service.apply(monkeypatch)
    monkeypatch.setenv("RAPTCHAT_HOME", str(home))
    make("keyring", home)
    planted = tmp_path / "packages"
    (planted / "planted-1.dist-info").mkdir(parents=True)
    (planted / "planted-1.dist-info" / "METADATA").write_text("Name: planted\nVersion: 1\n")
    (planted / "planted-1.dist-info" / "entry_points.txt").write_text("[keyring.backends]\nplanted = planted\n")
    (planted / "planted.py").write_text("raise SystemExit('the planted keyring was loaded')\n")

    found = opening(PYTHONPATH=str(planted), **({variable: "raptchat"} if variable else {}))

    assert "planted" not in found.modules
    assert [file for file in found.files if ".dist-info" in file] == []
    # Who sets a property of `keyring`'s classes is asked by them.
    assert ("keyring.backends.SecretService" in found.modules) == bool(variable)


def test_to_open_a_key_few_statements_are_run(factory: Factory) -> None:
    group = factory.store.groups.add("biology")
    CredentialService(factory).create(group.id, KEY)
    with Factory(Settings.load()) as again:
        service = CredentialService(again)
        credential = service.require_active(group)
        first, second = (counted(again, lambda: service.open_key(credential)) for _ in range(2))

    # The vault at one moment, and then key, row and group at one moment.
    assert first == ["vault_keys", "vault_slots", "store", "groups", "ai_credentials", "vault_keys"]
    assert second == ["vault_keys", "groups", "ai_credentials", "vault_keys"]


def counted(factory: Factory, call: Callable[[], object]) -> list[str]:
    """The tables that the statements read which *call* runs, in their order."""
    statements: list[str] = []
    connection = factory.store.vault._db.raw
    connection.set_trace_callback(statements.append)
    call()
    connection.set_trace_callback(None)
    return [text.partition(" FROM ")[2].split()[0] for text in statements if " FROM " in text]


# With another version of the library, in which the classes are only where they are documented to be.
_ELSEWHERE = """
import types
import cryptography.hazmat.backends.openssl.backend
from cryptography.hazmat.bindings import _rust
from cryptography.hazmat.primitives.asymmetric import x25519
from cryptography.hazmat.primitives.ciphers import aead
from cryptography.hazmat.primitives.kdf import hkdf
from cryptography.hazmat.primitives import hashes, hpke
here = {{name: getattr(_rust.openssl, name) for name in {names}}}
del _rust.openssl
if here:
    _rust.openssl = types.SimpleNamespace(**here)
from raptchat import crypto
secret = bytes(range(32))
print(crypto.AESGCM is aead.AESGCM, crypto.x25519 is x25519, crypto.public_key(secret).hex())
sealed = crypto.Sealed(bytes.fromhex("{nonce}"), bytes.fromhex("{ciphertext}"))
print(crypto.open_sealed(secret, sealed, context=b"here").decode())
print(crypto.unwrap(bytes.fromhex("{wrapped}"), secret=secret, info=b"slot").decode())
"""


@pytest.mark.parametrize("names", [(), ("aead",), ("x25519",)], ids=repr)
def test_where_the_short_way_to_the_ciphers_is_gone_the_documented_one_gives_the_same(
    names: tuple[str, ...],
) -> None:
    secret = bytes(range(32))
    public = crypto.public_key(secret)
    sealed = crypto.seal(secret, b"a key", context=b"here")
    wrapped = crypto.wrap(b"a data key", public=public, info=b"slot")
    code = _ELSEWHERE.format(
        names=names, nonce=sealed.nonce.hex(), ciphertext=sealed.ciphertext.hex(), wrapped=wrapped.hex()
    )

    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert said.stdout.splitlines() == [f"True True {public.hex()}", "a key", "a data key"]
