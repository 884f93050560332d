"""A group's rules, where its requests are made."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from spender import Spender

from raptchat import ChatService, Factory
from raptchat.config import Settings
from raptchat.demo import Answer
from raptchat.errors import PolicyError
from raptchat.records import Attachment, Budget, Message, Policy
from raptchat.store.groups import budget_columns, policy_columns


def test_rules_that_change_while_the_request_is_prepared_hold(spender: Spender) -> None:
    spender.set("1", models=("demo/*",))

    def list_slowly() -> Iterator[bytes]:
        with Factory(Settings.load()) as factory:
            factory.store.groups.set(spender.group_id, **policy_columns(Policy(models=("other/*",))))
        yield b'{"data": []}'

    spender.gateway.answer(Answer(200, {}, list_slowly()))
    assert "were changed meanwhile" in str(spender.fails())
    assert (spender.stored(), spender.reserved(), spender.chats()) == ((0, 0, 0), [], [])


def test_the_library_keeps_the_promise_of_no_history(spender: Spender) -> None:
    service = ChatService(spender.factory)
    session = service.create_session(spender.group_id)
    spender.set(no_history=True)
    refused: list[Callable[[], object]] = [
        lambda: service.create_session(spender.group_id),
        lambda: service.draft_session(spender.group_id),
        lambda: list(service.send_message(session.id, "hello")),
    ]
    for call in refused:
        with pytest.raises(PolicyError, match="`no-history`"):
            call()
    assert list(service.send_private(spender.group_id, [Message("user", "hello")]))
    assert spender.stored() == (1, 0, 1)


def test_rules_go_with_a_private_question(spender: Spender) -> None:
    spender.set(zdr=True, models=("demo/*",))
    service = ChatService(spender.factory)
    list(service.send_private(spender.group_id, [Message("user", "hello")]))
    assert spender.chats()[-1]["provider"] == {"zdr": True}
    with pytest.raises(PolicyError):
        list(service.send_private(spender.group_id, [Message("user", "hello")], model="other/model"))


class Meanwhile(list[Attachment]):
    """Nothing to attach; that is looked for while the request is prepared, and then *change* is made."""

    def __init__(self, change: Callable[[], object]) -> None:
        self._change = change

    def __iter__(self) -> Iterator[Attachment]:
        self._change()
        return iter(())


@pytest.mark.parametrize(
    "columns",
    [
        budget_columns(Budget(Decimal(1), "month")),
        policy_columns(Policy(models=("other/*",))),
        policy_columns(Policy(no_history=True)),
        {"suspended_at": "2026-11-23T00:00:00.000000Z"},
    ],
    ids=["budget", "models", "no-history", "suspended"],
)
def test_a_first_rule_that_is_set_while_the_request_is_prepared_holds(
    spender: Spender, columns: dict[str, Any]
) -> None:
    change = Meanwhile(lambda: spender.factory.store.groups.set(spender.group_id, **columns))
    error = spender.fails(attachments=change)
    assert isinstance(error, PolicyError)
    assert "were changed meanwhile" in str(error)
    assert (spender.stored(), spender.chats()) == ((0, 0, 0), [])
