"""The sealed management key: what it opens as, and where."""

from pathlib import Path

import pytest
from conftest import rows
from vaults import add_key, change, open_factory

from raptchat import AiNotConfiguredError, CredentialService, DecryptionFailedError, Factory
from raptchat.credentials.management_key import ManagementKeys, proved
from raptchat.records import KeyWork
from raptchat.secret import Secret

GATEWAY, OTHER = "https://gateway.example:443", "https://elsewhere.example:443"
KEY = Secret("sk-or-v1-a-management-key-for-tests-only")


def test_it_opens_for_its_gateway_alone(factory: Factory, home: Path) -> None:
    keys = ManagementKeys(factory)
    keys.save(KEY, GATEWAY)

    assert keys.open(GATEWAY).reveal() == KEY.reveal()
    with pytest.raises(AiNotConfiguredError):
        keys.open(OTHER)
    change(home, "UPDATE management_keys SET endpoint = ?", OTHER)
    with pytest.raises(DecryptionFailedError, match="altered"):
        keys.open(OTHER)
    assert KEY.reveal() not in repr(keys.status())


def test_a_second_one_for_the_same_gateway_takes_the_place_of_the_first(factory: Factory) -> None:
    keys = ManagementKeys(factory)
    keys.save(KEY, GATEWAY)
    keys.save(Secret("sk-or-v1-another-management-key"), GATEWAY)
    keys.save(KEY, OTHER)

    assert keys.open(GATEWAY).reveal() == "sk-or-v1-another-management-key"
    assert [key.endpoint for key in keys.status()] == [GATEWAY, OTHER]
    keys.remove(GATEWAY)
    assert keys.open(OTHER).reveal() == KEY.reveal()


def test_a_management_key_does_not_open_as_a_groups_key(factory: Factory, home: Path) -> None:
    group_id = add_key(factory)
    keys = ManagementKeys(factory)
    keys.save(KEY, keys.endpoint)
    [row] = rows(home, "SELECT id, encrypted_key, nonce, key_id FROM management_keys")
    change(home, "UPDATE ai_credentials SET (id, encrypted_key, nonce, key_id) = (?, ?, ?, ?)", *row)

    with open_factory() as other:
        service = CredentialService(other)
        [credential] = service.list_for_group(group_id)
        with pytest.raises(DecryptionFailedError):
            service.open_key(credential)


def test_a_groups_key_does_not_open_as_a_management_key(factory: Factory, home: Path) -> None:
    add_key(factory)
    keys = ManagementKeys(factory)
    keys.save(KEY, keys.endpoint)
    [row] = rows(home, "SELECT id, encrypted_key, nonce, key_id FROM ai_credentials")
    change(home, "UPDATE management_keys SET (id, encrypted_key, nonce, key_id) = (?, ?, ?, ?)", *row)

    with open_factory() as other, pytest.raises(DecryptionFailedError):
        ManagementKeys(other).open(keys.endpoint)


def test_a_new_data_key_seals_it_anew(factory: Factory, home: Path) -> None:
    ManagementKeys(factory).save(KEY, GATEWAY)
    add_key(factory)
    before = rows(home, "SELECT encrypted_key, key_id FROM management_keys")

    assert CredentialService(factory).rotate_vault().rows == 2

    assert rows(home, "SELECT encrypted_key, key_id FROM management_keys") != before
    with open_factory() as other:
        assert ManagementKeys(other).open(GATEWAY).reveal() == KEY.reveal()


def test_one_that_was_altered_stands_in_the_way_of_a_new_data_key(factory: Factory, home: Path) -> None:
    ManagementKeys(factory).save(KEY, GATEWAY)
    change(home, "UPDATE management_keys SET nonce = zeroblob(12)")
    before = rows(home, "SELECT * FROM management_keys")

    with open_factory() as other, pytest.raises(DecryptionFailedError) as caught:
        CredentialService(other).rotate_vault()

    assert "account logout" in caught.value.hint
    assert rows(home, "SELECT * FROM management_keys") == before


def test_a_key_saved_while_the_vault_gets_a_new_data_key_is_sealed_with_the_new_one(factory: Factory) -> None:
    factory.vault.data_key()
    with open_factory() as other:
        CredentialService(other).rotate_vault()

    ManagementKeys(factory).save(KEY, GATEWAY)

    with open_factory() as other:
        assert ManagementKeys(other).open(GATEWAY).reveal() == KEY.reveal()
        CredentialService(factory).rotate_vault()
        assert ManagementKeys(other).open(GATEWAY).reveal() == KEY.reveal()


def test_the_proof_of_a_line_is_for_all_of_it_and_for_its_store_and_key() -> None:
    work = KeyWork("1", "biology", GATEWAY, "a name", None, "2026-01-01T00:00:00Z")
    others = [
        work._replace(id="2"),
        work._replace(group_name="art"),
        work._replace(endpoint=OTHER),
        work._replace(new_name="another"),
        work._replace(new_name=None, old_hash="a name"),
        work._replace(created_at="2026-01-02T00:00:00Z"),
    ]

    proofs = {proved(one, KEY, "store").proof for one in (work, *others)}

    assert len(proofs) == 1 + len(others)
    assert proved(work, Secret("another"), "store").proof not in proofs
    assert proved(work, KEY, "another").proof not in proofs
