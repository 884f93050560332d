"""A group in, a client with exactly that group's key out."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Run

from raptchat import (
    AiNotConfiguredError,
    CredentialService,
    Factory,
    GroupNotFoundError,
    OpenRouterClient,
    UsageError,
    get_ai_client,
    get_ai_client_for_group,
)
from raptchat.config import Settings
from raptchat.demo import DEMO_KEY, DemoGateway
from raptchat.errors import DecryptionFailedError

HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture
def open_factory(gateway: DemoGateway, home: Path) -> Iterator[Factory]:
    with Factory(Settings.load()) as factory:
        factory.vault.init("file", path=home / "master.key")
        yield factory


def add(factory: Factory, name: str, key: str | None = None, **columns: str) -> str:
    with factory.store.write():
        group = factory.store.groups.add(name, **columns)
    if key:
        CredentialService(factory).create(group.id, key)
    return group.id


def test_each_group_gets_the_client_of_its_own_key(open_factory: Factory, gateway: DemoGateway) -> None:
    keys = {add(open_factory, f"group {n}", f"{DEMO_KEY}-{n}"): f"{DEMO_KEY}-{n}" for n in range(4)}

    for group_id, key in [*keys.items(), *reversed(keys.items())]:
        client, credential_id = get_ai_client_for_group(group_id, factory=open_factory)
        with client:
            done = client.complete_chat(HELLO, model="demo/echo")
        assert done.content == "hello"
        assert gateway.requests[-1].api_key == key
        active = CredentialService(open_factory).get_active_for_group(group_id)
        assert active is not None
        assert credential_id == client.credential_id == active.id


def test_the_key_in_use_is_taken_and_no_other(open_factory: Factory, gateway: DemoGateway) -> None:
    group_id = add(open_factory, "biology", DEMO_KEY)
    credentials = CredentialService(open_factory)
    second = credentials.create(group_id, DEMO_KEY + "-second", replace=True)

    client, credential_id = get_ai_client_for_group(group_id, factory=open_factory)
    with client:
        client.complete_chat(HELLO, model="demo/echo")
    assert (credential_id, gateway.requests[-1].api_key) == (second.id, DEMO_KEY + "-second")

    credentials.deactivate(second.id)
    with pytest.raises(AiNotConfiguredError):
        get_ai_client_for_group(group_id, factory=open_factory)


def test_a_group_without_a_key_is_424_and_leads_to_where_one_is_added(open_factory: Factory) -> None:
    add(open_factory, "biology", DEMO_KEY)
    group_id = add(open_factory, "history")

    with pytest.raises(AiNotConfiguredError) as error:
        get_ai_client_for_group(group_id, factory=open_factory)

    assert (error.value.status_code, error.value.code, error.value.exit_code) == (424, "AI_NOT_CONFIGURED", 4)
    assert str(error.value) == (
        "AI is not configured for this group. Please add an API key: raptchat group add-key history"
    )
    assert error.value.hint == "raptchat group add-key history"
    assert error.value.fields["group"] == "history"


def test_a_folder_of_a_group_that_was_removed_chooses_nobody(
    biology: Run, gateway: DemoGateway, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    biology("group add-key history --stdin", stdin=DEMO_KEY + "-history")
    below = home.parent / "course" / "notes"
    below.mkdir(parents=True)
    monkeypatch.chdir(below.parent)
    biology("group bind biology")
    monkeypatch.chdir(below)
    biology("group remove biology --yes")

    # The one group that is left would have paid without a word.
    said = biology("chat hello", exit_code=3)

    assert said.out == ""
    assert f"the folder {below.parent} is tied to a group that was removed" in said.err
    assert "raptchat group unbind" in said.err
    assert gateway.requests == []
    monkeypatch.chdir(below.parent)
    biology("group unbind")
    biology("chat hello -m demo/echo")
    assert [request.api_key for request in gateway.requests] == [DEMO_KEY + "-history"]


def test_an_unknown_group_or_provider_is_an_error(open_factory: Factory) -> None:
    with pytest.raises(GroupNotFoundError, match="no group with the id `no-such-id`"):
        get_ai_client_for_group("no-such-id", factory=open_factory)
    with pytest.raises(UsageError) as refused:
        get_ai_client(add(open_factory, "biology", DEMO_KEY), "nobody", factory=open_factory)
    assert refused.value.hint == "providers: openrouter, openai-compatible"


def test_a_client_has_the_settings_and_the_groups_model(
    open_factory: Factory, monkeypatch: pytest.MonkeyPatch, gateway: DemoGateway
) -> None:
    group_id = add(open_factory, "biology", DEMO_KEY)
    own_id = add(open_factory, "history", DEMO_KEY + "-history", model="demo/bytes")
    monkeypatch.setenv("AI_REQUEST_TIMEOUT_MS", "1500")
    monkeypatch.setenv("AI_MAX_RETRIES", "4")
    monkeypatch.setenv("AI_DEFAULT_MODEL", "demo/echo")

    with Factory(Settings.load()) as factory:
        client, _ = get_ai_client_for_group(group_id, factory=factory)
        assert (client.timeout, client.max_retries, client.default_model) == (1.5, 4, "demo/echo")
        assert client.base_url == gateway.url
        own, _ = get_ai_client(own_id, "openrouter", factory=factory, timeout=7)
        assert (own.timeout, own.default_model) == (7, "demo/bytes")


def test_without_a_factory_the_default_store_is_opened_and_closed(
    open_factory: Factory, gateway: DemoGateway
) -> None:
    group_id = add(open_factory, "biology", DEMO_KEY)

    client, _ = get_ai_client_for_group(group_id)

    with client:
        assert client.complete_chat(HELLO, model="demo/echo").content == "hello"


def test_a_gateway_that_was_changed_gets_nothing(
    open_factory: Factory, gateway: DemoGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    group_id = add(open_factory, "biology", DEMO_KEY)
    with DemoGateway() as another:
        monkeypatch.setenv("AI_GATEWAY_URL", another.url)
        with pytest.raises(DecryptionFailedError, match="the gateway is now"):
            get_ai_client_for_group(group_id)
        assert another.requests == gateway.requests == []


def test_a_keys_own_address_wins_over_the_gateway_of_the_settings(
    open_factory: Factory, gateway: DemoGateway
) -> None:
    group_id = add(open_factory, "biology")
    with DemoGateway() as own:
        CredentialService(open_factory).create(group_id, DEMO_KEY, base_url=own.url)
        client, _ = get_ai_client_for_group(group_id, factory=open_factory)
        with client:
            client.complete_chat(HELLO, model="demo/echo")
        assert [request.api_key for request in own.requests] == [DEMO_KEY]
    assert gateway.requests == []


def test_two_clients_share_nothing(open_factory: Factory) -> None:
    group_id = add(open_factory, "biology", DEMO_KEY)
    first, _ = get_ai_client_for_group(group_id, factory=open_factory)
    second, _ = get_ai_client_for_group(group_id, factory=open_factory)

    assert first is not second
    with first:
        first.complete_chat(HELLO, model="demo/echo")
    with second:
        second.complete_chat(HELLO, model="demo/echo")


def test_a_client_takes_its_key_from_its_caller_and_from_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-or-v1-sentinel-of-the-environment")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-sentinel-of-the-environment")

    with pytest.raises(TypeError, match="api_key"):
        OpenRouterClient()  # type: ignore[call-arg]
    with pytest.raises(UsageError, match="empty"):
        OpenRouterClient(api_key="")
    assert OpenRouterClient(api_key=DEMO_KEY).credential_id is None
    assert "key" not in repr(OpenRouterClient(api_key=DEMO_KEY))


def test_the_environments_key_is_not_sent(
    open_factory: Factory, gateway: DemoGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-or-v1-demo-sentinel-of-the-environment")
    configured, bare = add(open_factory, "biology", DEMO_KEY), add(open_factory, "history")

    client, _ = get_ai_client_for_group(configured)
    with client:
        client.complete_chat(HELLO, model="demo/echo")

    assert gateway.requests[-1].api_key == DEMO_KEY
    with pytest.raises(AiNotConfiguredError):
        get_ai_client_for_group(bare)
    assert len(gateway.requests) == 1
