"""What `import raptchat` gives, and what it costs."""

import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import environment

import raptchat
from raptchat import (
    AiNotConfiguredError,
    ChatService,
    CredentialService,
    Factory,
    errors,
    get_ai_client_for_group,
)
from raptchat.caller import Caller
from raptchat.config import Settings
from raptchat.demo import DEMO_KEY, DemoGateway
from raptchat.errors import RaptchatError
from raptchat.records import ContentChunk, DoneChunk, Message, ReasoningChunk

HEAVY = {"cryptography", "httpx", "keyring", "platformdirs", "rich", "sqlite3", "sqlite_utils", "typer"}


def in_a_fresh_interpreter(script: str) -> object:
    said = subprocess.run(
        [sys.executable, "-c", script], env=environment(), capture_output=True, text=True, check=True
    )
    return json.loads(said.stdout)


def test_importing_raptchat_opens_and_loads_nothing(home: Path) -> None:
    loaded = in_a_fresh_interpreter(
        "import sys; before = {*sys.modules}; import raptchat, json;"
        "print(json.dumps(sorted({name.partition('.')[0] for name in {*sys.modules} - before})))"
    )

    assert isinstance(loaded, list)
    assert "raptchat" in loaded
    assert HEAVY.isdisjoint(loaded)
    assert not home.exists()


@pytest.mark.parametrize("name", ["AiNotConfiguredError", "Message", "DoneChunk", "Factory"])
def test_a_light_name_loads_nothing_heavy(name: str) -> None:
    loaded = in_a_fresh_interpreter(
        f"import json, sys; before = {{*sys.modules}}; from raptchat import {name};"
        "print(json.dumps(sorted({*sys.modules} - before)))"
    )

    assert isinstance(loaded, list)
    assert "raptchat" in loaded
    assert HEAVY.isdisjoint(loaded)


def test_every_public_name_is_there() -> None:
    assert {*raptchat.__all__, "__version__"} == {*dir(raptchat)}
    for name in raptchat.__all__:
        assert getattr(raptchat, name).__name__ == name
    assert raptchat.__all__ == sorted(raptchat.__all__, key=lambda name: (name.islower(), name))
    assert raptchat._HOMES.keys() < {*raptchat.__all__}
    every = {name for name, each in inspect.getmembers(errors, inspect.isclass) if issubclass(each, RaptchatError)}
    assert every < {*raptchat.__all__}


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'OpenAiClient'"):
        raptchat.OpenAiClient  # noqa: B018 - reading it is the point


def test_no_module_has_a_client_a_service_or_a_connection_of_its_own(
    gateway: DemoGateway, home: Path, factory: Factory
) -> None:
    with factory.store.write():
        group = factory.store.groups.add("biology")
    service = CredentialService(factory)
    service.create(group.id, DEMO_KEY, base_url=gateway.url)
    session = ChatService(factory).create_session(group.id)
    list(ChatService(factory).send_message(session.id, "hello", model="demo/echo"))

    kinds = {"OpenRouterClient", "ChatService", "CredentialService", "Factory", "Store", "Connection", "Vault"}
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "raptchat":
            found = {type(value).__name__ for value in vars(module).values()}
            assert found.isdisjoint({*kinds, "Client", "Secret", "DataKey"}), name


def test_the_documented_lines_work(gateway: DemoGateway, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAPTCHAT_MASTER_KEY_FILE", str(home.parent / "master.key"))
    with Factory() as factory, factory.store.write():
        biology, history = factory.store.groups.add("biology"), factory.store.groups.add("history")
    made = CredentialService().create(biology.id, DEMO_KEY)

    client, credential_id = get_ai_client_for_group(biology.id)
    chunks = list(client.stream_chat([Message("user", "hello there")], model="demo/echo"))
    client.close()

    assert credential_id == made.id
    assert "".join(chunk.text for chunk in chunks if isinstance(chunk, ContentChunk)) == "hello there"
    assert isinstance(chunks[-1], DoneChunk)
    assert chunks[-1].content == "hello there"
    assert (chunks[-1].model, chunks[-1].finish_reason) == ("demo/echo", "stop")
    assert chunks[-1].usage.total_tokens == 4
    # A client of one's own is not the chat flow: only that notes the use.
    [listed] = CredentialService().list_for_group(biology.id)
    assert listed.last_used_at is None

    session = ChatService().create_session(biology.id)
    [*_, done] = ChatService().send_message(session.id, "think", model="demo/reasoning")
    assert isinstance(done, DoneChunk)
    assert done.credential_id == made.id
    [listed] = CredentialService().list_for_group(biology.id)
    assert listed.last_used_at
    with pytest.raises(AiNotConfiguredError):
        get_ai_client_for_group(history.id)


def test_reasoning_comes_apart_from_the_reply(gateway: DemoGateway, factory: Factory) -> None:
    with factory.store.write():
        group = factory.store.groups.add("biology")
    CredentialService(factory).create(group.id, DEMO_KEY, base_url=gateway.url)
    session = ChatService(factory).create_session(group.id)

    chunks = list(ChatService(factory).send_message(session.id, "2 + 2?", model="demo/reasoning"))

    assert "".join(chunk.text for chunk in chunks if isinstance(chunk, ReasoningChunk)) == "Two and two."
    assert [message.content for message in factory.store.sessions.messages(session.id)] == ["2 + 2?", "It is 4."]


def test_a_factory_opens_nothing_until_it_is_asked(home: Path) -> None:
    with Factory() as factory:
        assert not home.exists()
        assert factory.settings.paths.store == home / "raptchat.db"
        assert not home.exists()
        assert factory.store is factory.store
        assert factory.vault is factory.vault
        assert not factory.vault.exists()
    assert (home / "raptchat.db").exists()
    factory.close()


def test_a_named_store_wins_over_the_home(home: Path, tmp_path: Path) -> None:
    with Factory(store=tmp_path / "named.db") as factory:
        assert factory.store.groups.all() == []
    assert (tmp_path / "named.db").exists()
    assert not home.exists()


def test_whoever_has_no_name_here_is_booked_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getuid", lambda: 54321)
    monkeypatch.setenv("LOGNAME", "somebody-else")
    monkeypatch.setenv("USER", "somebody-else")

    assert Caller().os_user == "54321"


def test_every_error_has_its_numbers() -> None:
    def below(kind: type[RaptchatError]) -> set[type[RaptchatError]]:
        return {kind}.union(*(below(child) for child in kind.__subclasses__()))

    for kind in below(RaptchatError):
        error = kind("what happened")
        assert error.code == error.code.upper()
        assert 400 <= error.status_code < 600
        assert error.exit_code in {1, 2, 3, 4, 5, 6, 69, 74, 75, 77, 78, 130}
        assert kind.__doc__


def test_settings_are_read_when_they_are_needed_and_not_before(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    factory = Factory()
    monkeypatch.setenv("AI_MAX_RETRIES", "5")

    assert factory.settings.max_retries == 5
    assert Settings.load().max_retries == 5
