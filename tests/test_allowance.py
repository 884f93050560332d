"""What one request may cost: by prices, by what earlier ones cost, by the word of who asks."""

from decimal import Decimal
from typing import Any

import pytest
from spender import CENT, COST, Spender

from raptchat import ChatService, CredentialService
from raptchat.demo import DEMO_KEY, Answer
from raptchat.errors import BudgetExceededError, PolicyError
from raptchat.models import Models


def test_the_dearest_of_the_fallbacks_is_reserved(spender: Spender) -> None:
    spender.set("0.02")
    Models(spender.factory).fetch(spender.group)
    error = spender.fails(model="demo/json", options={"models": [CENT], "max_tokens": 10})
    assert str(error.fields["estimate"]).startswith("0.0300")


def test_the_list_is_asked_for_once_when_nothing_is_remembered(spender: Spender) -> None:
    spender.set("1")
    spender.ask()
    spender.ask()
    assert [one.path for one in spender.gateway.requests].count("/api/v1/chat/completions") == 2
    assert sum("/models" in one.path for one in spender.gateway.requests) == 1


def test_no_list_is_asked_for_without_a_budget(spender: Spender) -> None:
    spender.ask()
    assert not [one for one in spender.gateway.requests if "/models" in one.path]


def test_what_has_no_price_reserves_twice_what_it_cost_before(spender: Spender) -> None:
    spender.set("0.10")
    spender.book("0.01", "some/model")
    spender.book("0.03", "some/model")
    spender.book("0.06", "other/model")
    error = spender.fails(model="some/model", options={"max_tokens": 1})
    assert (error.fields["estimate"], error.fields["spent"]) == ("0.06", "0.1")


def test_what_a_router_chose_before_tells_what_it_may_cost(spender: Spender) -> None:
    spender.set("0.10")
    spender.book("0.04", "some/model")
    for name in ("~some/latest", "openrouter/auto", "some/model@preset/mine"):
        assert spender.fails(model=name).fields["estimate"] == "0.08"


def test_what_nobody_can_tell_reserves_all_that_is_left(spender: Spender) -> None:
    spender.set("0.10")
    service = ChatService(spender.factory)
    draft = service.draft_session(spender.group_id, model="some/model")
    chunks = service.send_message(draft.id, "one two three", draft=draft)
    next(chunks)
    assert spender.reserved() == [100_000_000]
    error = spender.fails(model="some/model")
    assert error.fields["estimate"] is None
    assert "with --max-cost AMOUNT no more than that is reserved" in error.hint
    chunks.close()
    assert spender.standing().left == 0


def test_the_word_of_who_asks_stands_for_a_cost_that_nobody_can_tell(spender: Spender) -> None:
    spender.set("0.10")
    service = ChatService(spender.factory)
    draft = service.draft_session(spender.group_id, model="some/model")
    chunks = service.send_message(draft.id, "hello", draft=draft, max_cost=Decimal("0.04"))
    next(chunks)
    assert spender.reserved() == [40_000_000]
    chunks.close()


def test_a_gateway_without_a_list_is_no_obstacle(spender: Spender) -> None:
    spender.set("0.10")
    spender.gateway.answer(Answer(500, {}, [b"{}"]))
    assert spender.ask().content == "hello"
    assert spender.standing().spent == COST


def test_a_request_over_the_rule_gets_a_lower_limit(spender: Spender) -> None:
    spender.set(max_cost=Decimal("0.01"))
    spender.ask("hello", model="demo/reply")
    [sent] = spender.chats()
    assert 1900 < sent["max_tokens"] < 2000
    spender.ask("hello", model="demo/reply", options={"max_tokens": 100}, max_cost=Decimal("0.005"))
    assert spender.chats()[-1]["max_tokens"] == 100


@pytest.mark.parametrize(
    ("rule", "flag", "named"),
    [
        ("0.01", None, "`max-cost` of group `biology`"),
        (None, "0.01", "`--max-cost`"),
        ("0.02", "0.01", "`--max-cost`"),
        ("0.01", "0.02", "`max-cost` of group"),
    ],
)
def test_a_request_that_cannot_cost_so_little_is_refused(
    spender: Spender, rule: str | None, flag: str | None, named: str
) -> None:
    spender.set(max_cost=Decimal(rule) if rule else None)
    error = spender.fails(max_cost=Decimal(flag) if flag else None)
    assert isinstance(error, BudgetExceededError)
    assert named in str(error)
    assert error.fields["rule"] == "max-cost"
    assert (spender.stored(), spender.chats()) == ((0, 0, 0), [])


def test_a_rule_that_cannot_be_held_to_refuses(spender: Spender) -> None:
    spender.set(max_cost=Decimal("0.01"))
    error = spender.fails(model="some/model")
    assert isinstance(error, PolicyError)
    assert error.fields["rule"] == "max-cost"
    assert "raptchat models --refresh -g biology" in error.hint
    spender.book("0.004", "some/model")
    assert spender.ask(model="some/model").content
    spender.book("0.006", "some/model")
    assert isinstance(spender.fails(model="some/model"), BudgetExceededError)


def test_a_gateway_that_names_tokens_and_no_cost_is_paid_by_its_prices(spender: Spender) -> None:
    spender.set("1")
    Models(spender.factory).fetch(spender.group)
    spender.gateway.answer(
        Answer(
            body=[
                b'data: {"id": "gen-1", "choices": [{"delta": {"content": "hi"}, "finish_reason": "stop"}]}\n\n',
                b'data: {"choices": [], "usage": {"prompt_tokens": 1000, "completion_tokens": 100}}\n\n',
                b"data: [DONE]\n\n",
            ]
        )
    )
    spender.ask(model="demo/thinking", options={"max_tokens": 200})

    now = spender.standing()
    assert (str(now.spent), now.unknown_costs) == ("0.0045", 1)


@pytest.mark.parametrize(
    "options",
    [
        {"plugins": [{"id": "fusion"}]},
        {"tools": [{"type": "openrouter:advisor", "parameters": {"model": "demo/thinking"}}]},
        {"preset": "mine"},
        {"models": [{"odd": 1}]},
    ],
    ids=str,
)
def test_the_price_of_a_model_tells_nothing_where_others_are_asked_besides(
    spender: Spender, options: dict[str, Any]
) -> None:
    spender.set(max_cost=Decimal(1))
    assert isinstance(spender.fails(options=options), PolicyError)
    spender.set("1", "month")
    assert spender.ask(options={"plugins": [{"id": "fusion", "enabled": False}]}).usage.cost == COST


def test_what_was_free_before_tells_nothing_of_what_a_router_chooses_next(spender: Spender) -> None:
    spender.set("0")
    spender.book("0", "some/model")
    assert spender.fails(model="openrouter/auto").fields["estimate"] is None
    assert spender.ask(model="some/model").content


def test_a_gateway_that_never_names_a_cost_is_asked_only_for_what_a_person_allows(spender: Spender) -> None:
    CredentialService(spender.factory).create(
        spender.group_id, f"{DEMO_KEY}-2", provider="openai-compatible", base_url=spender.gateway.url
    )
    spender.factory.store.groups.set(spender.group_id, provider="openai-compatible")
    spender.set("1")
    error = spender.fails(model="llama")
    assert isinstance(error, BudgetExceededError)
    assert error.hint.startswith("--max-cost AMOUNT")
    assert (spender.stored(), spender.chats()) == ((0, 0, 0), [])

    spender.ask(model="llama", max_cost=Decimal("0.10"))
    assert spender.ask(model="llama").usage.cost  # it named one, and that stands for the next
