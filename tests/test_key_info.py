"""What a gateway says of a key, and of a reply, in any form that it may say it."""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raptchat.demo import DEMO_KEY, DEMO_MANAGEMENT_KEY, Answer, DemoGateway
from raptchat.errors import AuthenticationFailedError, GatewayError, InvalidResponseError
from raptchat.outside import safe_line
from raptchat.providers.answer import parse
from raptchat.providers.generations import ask_generation
from raptchat.providers.json_calls import JsonCalls
from raptchat.providers.key_info import KeyInfo
from raptchat.providers.keys import ask_key_info, read_key_info
from raptchat.providers.management import hash_of
from raptchat.records import Usage
from raptchat.secret import Secret

# The example of the reference.
REFERENCE = """{"data": {"label": "sk-or-v1-abc...123", "limit": 20,
  "limit_remaining": 12.5, "limit_reset": "monthly",
  "include_byok_in_limit": false, "expires_at": null,
  "usage": 7.5, "usage_daily": 0.1, "usage_weekly": 1, "usage_monthly": 7.5,
  "byok_usage": 0, "byok_usage_daily": 0, "byok_usage_weekly": 0, "byok_usage_monthly": 0,
  "is_free_tier": false, "is_management_key": false, "is_provisioning_key": false, "creator_user_id": null,
  "rate_limit": {"requests": -1, "interval": "10s", "note": "..."},
  "free_model_daily_requests": {"used": 3, "limit": 1000, "remaining": 997},
  "budgets": [{"scope": "key_limit", "limit_usd": 20}], "effective_budget": null,
  "allowed_data_regions": ["global"]}}"""


@pytest.fixture(scope="module")
def demo() -> Iterator[DemoGateway]:
    with DemoGateway() as gateway:
        yield gateway


def asking(gateway: DemoGateway, key: str = DEMO_KEY) -> JsonCalls:
    return JsonCalls(gateway.url, key=Secret(key), timeout=10, max_retries=0)


def said(data: object) -> Answer:
    return Answer(200, {"Content-Type": "application/json"}, [json.dumps(data).encode()])


def test_the_example_of_the_reference_is_read() -> None:
    data = (parse(REFERENCE) or {})["data"]

    assert read_key_info(data) == KeyInfo(
        label="sk-or-v1-abc...123",
        limit=Decimal(20),
        limit_remaining=Decimal("12.5"),
        limit_reset="monthly",
        usage=Decimal("7.5"),
        usage_daily=Decimal("0.1"),
        usage_weekly=Decimal(1),
        usage_monthly=Decimal("7.5"),
        is_free_tier=False,
    )


def test_nothing_is_required() -> None:
    assert read_key_info({}) == KeyInfo()
    assert read_key_info(dict.fromkeys(KeyInfo._fields)) == KeyInfo()


@pytest.mark.parametrize(
    ("value", "amount"),
    [
        (0, "0"),
        (20, "20"),
        (Decimal("0.1"), "0.1"),
        ("12.50", "12.50"),
        ("0", "0"),
        (10**9, "1000000000"),
        (-1, None),
        ("-0.5", None),
        (10**9 + 1, None),
        (Decimal("NaN"), None),
        (Decimal("Infinity"), None),
        (Decimal("1E+9999999"), None),
        (Decimal("-1E+9999999"), None),
        (True, None),
        ("", None),
        ("1e3", None),
        ("twenty", None),
        ("\u0661", None),
        ("1" * 40, None),
        ([], None),
        (1.5, None),
    ],
)
def test_an_amount_is_a_number_of_dollars_or_unknown(value: object, amount: str | None) -> None:
    for field in ("limit", "usage", "usage_daily", "usage_weekly", "usage_monthly"):
        assert getattr(read_key_info({field: value}), field) == (None if amount is None else Decimal(amount))


def test_an_amount_has_as_many_digits_as_can_be_printed() -> None:
    for value in (Decimal("0E-999999"), Decimal("1E-400"), Decimal("0." + "3" * 500), Decimal("1E+5")):
        usage = read_key_info({"usage": value}).usage
        assert usage is not None
        assert len(f"{usage:f}") < 40


def test_a_key_that_is_overdrawn_has_nothing_left() -> None:
    assert read_key_info({"limit_remaining": Decimal("-0.5")}).limit_remaining == 0


@pytest.mark.parametrize(
    ("value", "time"),
    [
        ("2026-12-01T00:00:00Z", "2026-12-01T00:00:00Z"),
        ("2026-12-01T00:00:00.000Z", "2026-12-01T00:00:00Z"),
        ("2026-12-01T23:59:59.123456+00:00", "2026-12-01T23:59:59Z"),
        ("2026-12-01T00:00:00", None),
        ("2026-12-01T00:00:00+02:00", None),
        ("2026-12-01T00:00Z", None),
        ("2026-13-01T00:00:00Z", None),
        ("2026-02-30T00:00:00Z", None),
        ("2026-12-01", None),
        ("soon\x1b[31m", None),
        ("\u0662\u0660\u0662\u0666-12-01T00:00:00Z", None),
        (1_790_000_000, None),
    ],
)
def test_a_time_is_in_utc_or_unknown(value: object, time: str | None) -> None:
    info = read_key_info({"expires_at": value, "created_at": value})

    assert (info.expires_at, info.created_at) == (time, time)


def test_texts_are_safe_and_short_and_hold_no_key() -> None:
    held = Secret("sk-or-v1-sentinel-held-by-this-process")
    info = read_key_info(
        {
            "name": f"a\x1b[2J\u202e {held.reveal()} b" + "x" * 999,
            "label": "sk-or-v1-0e6...1c96",
            "limit_reset": "\x07",
        }
    )

    assert info.name is not None
    assert info.name.startswith("a␛[2J\ufffd ***")
    assert "sentinel" not in info.name
    assert len(info.name) <= 200
    assert info.label == "sk-or-v1...1c96"
    assert info.limit_reset is None


@pytest.mark.parametrize("value", ["", "0e6", "g" * 64, "a" * 63, "a" * 65, "../" + "a" * 61, None, 7])
def test_a_hash_is_64_digits_or_unknown(value: object) -> None:
    assert read_key_info({"hash": value}).hash is None
    assert read_key_info({"hash": "AB" * 32}).hash == "ab" * 32


@pytest.mark.parametrize("field", ["is_management_key", "is_provisioning_key"])
def test_a_management_key_is_told_by_either_name(field: str) -> None:
    assert read_key_info({field: True}).is_management
    assert not read_key_info({field: "yes"}).is_management


def test_disabled_and_free_tier_are_true_or_false_only() -> None:
    assert read_key_info({"disabled": True, "is_free_tier": True})[-3:-1] == (True, True)
    assert read_key_info({"disabled": 1, "is_free_tier": 1})[-3:-1] == (False, None)


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None, database=None)
@given(st.dictionaries(st.sampled_from([*KeyInfo._fields, "is_management_key"]), _ANYTHING))
def test_nothing_that_a_gateway_can_say_spoils_it(data: dict[str, Any]) -> None:
    info = read_key_info(data)

    for text in (info.name, info.label, info.limit_reset):
        assert text is None or (text == safe_line(text) and 0 < len(text) <= 200)
    for amount in (info.limit, info.limit_remaining, info.usage):
        assert amount is None or (amount.is_finite() and amount >= 0)


def test_a_gateway_is_asked_about_a_key(demo: DemoGateway) -> None:
    with asking(demo) as calls:
        info = ask_key_info(calls)
    assert [info.limit, info.usage, info.is_management, info.label] == [None, 0, False, "sk-or-v1...alue"]
    with asking(demo, DEMO_MANAGEMENT_KEY) as calls:
        assert ask_key_info(calls).is_management
    with asking(demo, "sk-or-v1-of-nobody") as calls, pytest.raises(AuthenticationFailedError):
        ask_key_info(calls)


@pytest.mark.parametrize("answer", [{}, {"data": None}, {"data": []}, {"data": "key"}])
def test_an_answer_without_a_key_is_no_answer(demo: DemoGateway, answer: object) -> None:
    demo.answer(said(answer), said(answer))
    with asking(demo) as calls:
        with pytest.raises(InvalidResponseError):
            ask_key_info(calls)
        with pytest.raises(InvalidResponseError):
            ask_generation(calls, "gen-1")


def test_a_hash_names_the_whole_key() -> None:
    assert hash_of(Secret("abc")) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def generation(demo: DemoGateway, **data: object) -> Usage | None:
    demo.answer(said({"data": data}))
    with asking(demo) as calls:
        return ask_generation(calls, "gen/1 &")


def test_a_reply_is_counted_in_the_tokens_of_its_model(demo: DemoGateway) -> None:
    counted = {
        "tokens_prompt": 1,
        "tokens_completion": 2,
        "native_tokens_prompt": 10,
        "native_tokens_completion": 20,
    }
    details = {"native_tokens_cached": 4, "native_tokens_reasoning": 5}

    assert generation(demo, **counted, **details, total_cost=0.25, usage=9) == Usage(
        10, 20, 30, 4, 5, Decimal("0.25")
    )
    assert demo.requests[-1].path == "/api/v1/generation?id=gen%2F1+%26"


def test_what_a_record_leaves_out_is_taken_from_what_it_has(demo: DemoGateway) -> None:
    assert generation(demo, tokens_prompt=1, tokens_completion=2, usage=3) == Usage(
        1, 2, 3, None, None, Decimal(3)
    )
    assert generation(demo, tokens_prompt=1) == Usage(1)
    assert generation(demo) == Usage()
    assert generation(demo, total_cost=-1, native_tokens_prompt="x", native_tokens_completion=True) == Usage()


def test_with_a_key_of_ones_own_the_host_is_paid_too(demo: DemoGateway) -> None:
    usage = generation(demo, total_cost=0.5, is_byok=True, upstream_inference_cost=2)

    assert usage is not None
    assert usage.cost == Decimal("2.5")


def test_an_unknown_reply_is_none_and_any_other_failure_an_error(demo: DemoGateway) -> None:
    with asking(demo) as calls:
        assert ask_generation(calls, "gen-of-nobody") is None
    demo.answer(Answer(500, {}, []))
    with asking(demo) as calls, pytest.raises(GatewayError):
        ask_generation(calls, "gen-of-nobody")
