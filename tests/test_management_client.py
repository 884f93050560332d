"""Keys made, changed and deleted with a management key, against the demo gateway and against bad ones."""

import json
import threading
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from raptchat.demo import DEMO_KEY, DEMO_MANAGEMENT_KEY, Answer, DemoGateway
from raptchat.errors import (
    AuthenticationFailedError,
    GatewayError,
    InsufficientCreditError,
    InvalidResponseError,
    UsageError,
)
from raptchat.providers.key_info import KeyInfo
from raptchat.providers.management import MOST_PAGES, ManagementClient, hash_of
from raptchat.providers.openrouter import OpenRouterClient
from raptchat.secret import Secret

UNKNOWN = "0" * 64


@pytest.fixture
def demo() -> Iterator[DemoGateway]:
    with DemoGateway() as gateway:
        yield gateway


@pytest.fixture
def manager(demo: DemoGateway) -> Iterator[ManagementClient]:
    with managing(demo) as client:
        yield client


def managing(demo: DemoGateway, key: str = DEMO_MANAGEMENT_KEY) -> ManagementClient:
    return ManagementClient(api_key=Secret(key), base_url=demo.url, timeout=10, max_retries=0)


def made(manager: ManagementClient, name: str = "biology", **how: Any) -> tuple[Secret, KeyInfo]:
    return manager.create_key(name, **{"limit": None, "limit_reset": None, "expires_at": None, **how})


def listed(manager: ManagementClient) -> list[KeyInfo]:
    return manager.keys()


def chat(demo: DemoGateway, key: Secret, model: str = "demo/cent") -> str:
    with OpenRouterClient(api_key=key, base_url=demo.url, max_retries=0) as client:
        return client.complete_chat([{"role": "user", "content": "hello"}], model=model).content


def said(data: object, status: int = 200) -> Answer:
    return Answer(status, {"Content-Type": "application/json"}, [json.dumps(data).encode()])


def test_a_key_is_made_with_its_cap_and_can_chat(demo: DemoGateway, manager: ManagementClient) -> None:
    key, info = made(
        manager, "history", limit=Decimal("0.5"), limit_reset="weekly", expires_at="2126-12-01T00:00:00Z"
    )

    assert chat(demo, key) == "hello"
    assert (info.name, info.limit, info.limit_remaining, info.limit_reset) == (
        *("history", Decimal("0.5"), Decimal("0.5"), "weekly"),
    )
    assert (info.expires_at, info.hash, info.disabled) == ("2126-12-01T00:00:00Z", hash_of(key), False)
    assert key.reveal() not in repr((key, info))
    [sent] = [one.body for one in demo.requests if one.path.endswith("/keys")]
    assert sent == {
        "name": "history",
        "limit": 0.5,
        "limit_reset": "weekly",
        "expires_at": "2126-12-01T00:00:00Z",
    }


def test_what_a_key_spends_is_known_at_once(demo: DemoGateway, manager: ManagementClient) -> None:
    key, info = made(manager, limit=Decimal("0.1"), limit_reset="daily")
    for _ in range(2):
        chat(demo, key)

    after = manager.key(info.hash or "")
    assert after is not None
    assert (after.usage, after.limit_remaining) == (Decimal("0.06"), Decimal("0.04"))
    assert (after.usage_daily, after.usage_weekly, after.usage_monthly) == (Decimal("0.06"),) * 3


def test_a_key_stops_at_its_cap_and_goes_on_when_it_is_raised(
    demo: DemoGateway, manager: ManagementClient
) -> None:
    key, info = made(manager, limit=Decimal("0.05"))
    chat(demo, key)
    chat(demo, key)  # what is left is less than it costs
    with pytest.raises(InsufficientCreditError, match="the limit of the key is used up"):
        chat(demo, key)

    raised = manager.update_key(info.hash or "", limit=Decimal("0.07"))

    assert (raised.limit, raised.limit_remaining, raised.name) == (Decimal("0.07"), Decimal("0.01"), "biology")
    assert chat(demo, key) == "hello"


def test_a_key_is_disabled_and_comes_back(demo: DemoGateway, manager: ManagementClient) -> None:
    key, info = made(manager)
    assert manager.update_key(info.hash or "", disabled=True).disabled
    with pytest.raises(AuthenticationFailedError):
        chat(demo, key)
    assert [one.disabled for one in listed(manager)] == [True]

    assert not manager.update_key(info.hash or "", disabled=False, name="renamed").disabled

    assert chat(demo, key) == "hello"
    assert [one.name for one in listed(manager)] == ["renamed"]


def test_a_cap_and_its_renewal_are_taken_away(manager: ManagementClient) -> None:
    _, info = made(manager, limit=Decimal(5), limit_reset="daily")

    assert manager.update_key(info.hash or "", limit_reset=None).limit_reset is None
    assert manager.update_key(info.hash or "", limit=None).limit is None


def test_a_deleted_key_is_gone_also_the_second_time(demo: DemoGateway, manager: ManagementClient) -> None:
    key, info = made(manager)
    for _ in range(2):
        manager.delete_key(info.hash or "")

    assert manager.key(info.hash or "") is None
    assert manager.keys() == []
    with pytest.raises(AuthenticationFailedError):
        chat(demo, key)
    with pytest.raises(GatewayError) as raised:
        manager.update_key(info.hash or "", disabled=True)
    assert raised.value.fields["status"] == 404
    assert "model" not in str(raised.value)


def test_only_the_gateway_itself_is_believed_that_a_key_is_gone(
    demo: DemoGateway, manager: ManagementClient
) -> None:
    key, info = made(manager)
    html = {"Content-Type": "text/html"}
    elsewhere = [
        Answer(404, html, [b"<html>Not found</html>"]),
        Answer(404, html, []),
        Answer(404, {"Content-Encoding": "gzip"}, [b"{}"]),
    ]
    for call in (manager.key, manager.delete_key):
        for answer in elsewhere:
            demo.answer(answer)
            with pytest.raises(GatewayError, match="no gateway at this address"):
                call(info.hash or "")

    assert chat(demo, key) == "hello"


def test_an_answer_that_says_nothing_does_not_say_that_a_key_is_gone(
    demo: DemoGateway, manager: ManagementClient
) -> None:
    demo.answer(said({}))
    with pytest.raises(InvalidResponseError, match="says nothing of a key"):
        manager.key(UNKNOWN)


def test_a_key_that_has_expired_is_refused(demo: DemoGateway, manager: ManagementClient) -> None:
    key, _ = made(manager, expires_at="2020-01-01T00:00:00Z")

    with pytest.raises(AuthenticationFailedError):
        chat(demo, key)


def test_all_pages_of_keys_are_read(demo: DemoGateway, manager: ManagementClient) -> None:
    names = [f"group {number}" for number in range(203)]
    for name in names:
        made(manager, name)

    assert [info.name for info in listed(manager)] == names
    asked = [one.path.partition("?")[2] for one in demo.requests if one.method == "GET"]
    assert asked == [f"offset={offset}&include_disabled=true" for offset in (0, 100, 200, 203)]


def test_a_key_that_is_made_while_they_are_listed_is_listed_once(
    demo: DemoGateway, manager: ManagementClient
) -> None:
    pages = [["a", "b"], ["b", "c"], []]
    demo.answer(*(said({"data": [{"hash": name * 64, "name": name} for name in page]}) for page in pages))

    assert [info.name for info in listed(manager)] == ["a", "b", "c"]


def test_a_gateway_that_knows_no_pages_is_asked_twice(demo: DemoGateway, manager: ManagementClient) -> None:
    page = said({"data": [{"name": "without a hash"}, "junk", {"hash": "a" * 64}]})
    demo.answer(page, page)

    assert [info.name for info in listed(manager)] == ["without a hash", None]
    assert len(demo.requests) == 2


def test_a_list_without_an_end_is_given_up(demo: DemoGateway, manager: ManagementClient) -> None:
    demo.answer(*(said({"data": [{"hash": f"{number:064x}"}]}) for number in range(MOST_PAGES)))

    with pytest.raises(InvalidResponseError, match="200 pages"):
        manager.keys()


@pytest.mark.parametrize("answer", [{}, {"data": None}, {"data": {"a": 1}}])
def test_an_answer_without_a_list_is_no_list(demo: DemoGateway, manager: ManagementClient, answer: object) -> None:
    demo.answer(said(answer))
    with pytest.raises(InvalidResponseError):
        manager.keys()


@pytest.mark.parametrize(
    "answer",
    [{"key": "sk-or-v1-new"}, {"data": {"key": "sk-or-v1-new", "name": "n"}}, {"key": "sk-or-v1-new", "data": 1}],
)
def test_the_new_key_is_found_wherever_it_is_said(
    demo: DemoGateway, manager: ManagementClient, answer: object
) -> None:
    demo.answer(said(answer, 201))
    key, info = made(manager)

    assert key == Secret("sk-or-v1-new")
    assert info.hash == hash_of(key)


@pytest.mark.parametrize(
    "answer", [{}, {"data": {}}, {"key": None}, {"key": ""}, {"key": "a b"}, {"key": "x" * 999}, {"key": ["x"]}]
)
def test_a_new_key_that_is_not_said_may_exist_all_the_same(
    demo: DemoGateway, manager: ManagementClient, answer: object
) -> None:
    demo.answer(said(answer, 201))
    with pytest.raises(InvalidResponseError, match="did not say which key") as raised:
        made(manager)

    assert "raptchat account keys" in raised.value.hint
    assert "xxx" not in str(raised.value)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_key_is_never_asked_for_twice(demo: DemoGateway, status: int) -> None:
    demo.answer(*[said({"error": {"code": status, "availability": {"retry_after": 0}}}, status)] * 3)
    client = ManagementClient(api_key=Secret(DEMO_MANAGEMENT_KEY), base_url=demo.url, timeout=10, max_retries=3)
    with client, pytest.raises(GatewayError):
        made(client)

    assert len(demo.requests) == 1


def test_a_request_that_was_one_too_many_made_no_key_and_is_sent_again(demo: DemoGateway) -> None:
    demo.answer(said({"error": {"code": 429, "availability": {"retry_after": 0}}}, 429))
    client = ManagementClient(api_key=Secret(DEMO_MANAGEMENT_KEY), base_url=demo.url, timeout=10, max_retries=1)
    with client:
        made(client)

        assert len(client.keys()) == 1


@pytest.mark.parametrize(
    ("key", "says"), [(DEMO_KEY, "Only management keys"), ("sk-or-v1-of-nobody", "User not found")]
)
def test_only_a_management_key_manages(demo: DemoGateway, key: str, says: str) -> None:
    with managing(demo, key) as client:
        for call in (
            client.keys,
            lambda: made(client),
            lambda: client.key(UNKNOWN),
            lambda: client.update_key(UNKNOWN, disabled=True),
            lambda: client.delete_key(UNKNOWN),
        ):
            with pytest.raises(AuthenticationFailedError, match=says):
                call()


def test_a_management_key_says_so_and_cannot_chat(demo: DemoGateway, manager: ManagementClient) -> None:
    assert manager.key_info().is_management
    with pytest.raises(AuthenticationFailedError, match="Management keys"):
        chat(demo, Secret(DEMO_MANAGEMENT_KEY))


@pytest.mark.parametrize("name", ["", "../keys", "A" * 64, "a" * 63, "a" * 64 + "/", "a" * 63 + "\n", "?" * 64])
def test_what_is_no_hash_is_asked_for_nowhere(demo: DemoGateway, manager: ManagementClient, name: str) -> None:
    for call in (manager.key, manager.delete_key, manager.update_key):
        with pytest.raises(UsageError):
            call(name)

    assert not demo.requests


def test_a_refusal_of_a_look_or_a_deletion_is_an_error(demo: DemoGateway, manager: ManagementClient) -> None:
    demo.answer(said({"error": {"code": 500}}, 500), said({"error": {"code": 500}}, 500))
    for call in (manager.key, manager.delete_key):
        with pytest.raises(GatewayError):
            call(UNKNOWN)


def test_many_chats_at_once_are_all_counted(demo: DemoGateway, manager: ManagementClient) -> None:
    key, info = made(manager, limit=Decimal("0.3"))
    refused: list[InsufficientCreditError] = []

    def spend() -> None:
        try:
            chat(demo, key)
        except InsufficientCreditError as error:
            refused.append(error)

    threads = [threading.Thread(target=spend) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    after = manager.key(info.hash or "")
    assert after is not None
    assert [len(refused), after.usage, after.limit_remaining] == [6, Decimal("0.3"), 0]
