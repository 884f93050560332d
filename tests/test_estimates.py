"""What a request may cost, told before it is sent."""

import hashlib
from decimal import Decimal
from typing import Any

import pytest

from raptchat.estimates import USUAL_REPLY, Estimate, Prices, dearest
from raptchat.records import Attachment, Message, Model, Usage

MILLION = 1_000_000
PRICES = Prices(Decimal("0.000001"), Decimal("0.00001"), Decimal(0))


def estimate(text: str = "x" * 2000, prices: Prices = PRICES, *files: Attachment, **options: Any) -> Estimate:
    return Estimate(prices, options.pop("model", "a/b"), [Message("user", text, attachments=files)], options)


def file(media_type: str, size: int) -> Attachment:
    content = bytes(size)
    return Attachment("file", media_type, hashlib.sha256(content).hexdigest(), size, content)


def test_a_prompt_is_taken_for_half_as_many_tokens_as_it_has_bytes() -> None:
    assert estimate("x" * 2000).input == (1000 + 16) * PRICES.input
    assert estimate("水" * 1000).input == (1500 + 16) * PRICES.input


def test_what_the_model_thought_before_is_sent_and_paid_again() -> None:
    thought = Estimate(PRICES, "a/b", [Message("assistant", "xx", reasoning_details="y" * 100)], {})
    assert thought.input == (51 + 16) * PRICES.input


def test_a_reply_without_a_limit_is_taken_for_a_usual_one() -> None:
    one = estimate()
    assert one.worst({}) == one.input + USUAL_REPLY * PRICES.output
    short = estimate("x" * 2000, PRICES._replace(most_output=100))
    assert short.worst({}) == short.input + 100 * PRICES.output


@pytest.mark.parametrize(
    ("options", "tokens"),
    [
        ({"max_tokens": 50}, 50),
        ({"max_completion_tokens": 60}, 60),
        ({"max_tokens": 50, "max_completion_tokens": 60}, 60),
        ({"max_tokens": True}, USUAL_REPLY),
        ({"max_tokens": "50"}, USUAL_REPLY),
        ({"max_tokens": 100_000}, 100_000),
    ],
)
def test_the_limit_that_is_set_is_what_a_reply_may_take(options: dict[str, Any], tokens: int) -> None:
    one = estimate(**options)
    assert one.worst(options) == one.input + tokens * PRICES.output


def test_several_replies_cost_so_often() -> None:
    options: dict[str, Any] = {"n": 3, "max_tokens": 10}
    one = estimate(**options)
    assert one.worst(options) == one.input + 30 * PRICES.output


def test_no_prompt_is_longer_than_the_model_takes() -> None:
    assert estimate("x" * MILLION, PRICES._replace(context=8000)).input == 8000 * PRICES.input


@pytest.mark.parametrize(
    ("media_type", "size", "tokens"),
    [
        ("image/png", 5_000_000, 4000),
        ("application/pdf", 80_000, 11_000),
        ("audio/wav", 100_000, 1000),
        ("text/plain", 1000, 500),
    ],
)
def test_files_are_counted_by_their_kind(media_type: str, size: int, tokens: int) -> None:
    assert estimate("xx", PRICES, file(media_type, size)).input == (tokens + 17) * PRICES.input


@pytest.mark.parametrize(
    "options",
    [
        {"model": "a/b:online"},
        {"tools": [{"type": "openrouter:web_search"}]},
        {"model": "a/b:online:nitro"},
        {"models": ["a/c:free:online"]},
        {"plugins": [{"id": "web"}, "odd", {"no": "id"}]},
    ],
)
def test_searches_of_the_web_are_paid_too(options: dict[str, Any]) -> None:
    assert estimate(**options).input > Decimal("0.10")


def test_a_search_that_is_switched_off_costs_nothing() -> None:
    assert estimate(plugins=[{"id": "web", "enabled": False}]).input == estimate().input


@pytest.mark.parametrize(
    ("options", "times"),
    [
        ({"model": "a/b:nitro"}, 2),
        ({"models": ["a/c:nitro"]}, 2),
        ({"service_tier": "priority"}, 2),
        ({"service_tier": ["odd"]}, 2),
        ({"service_tier": "flex"}, 1),
        ({"model": "a/b:floor", "service_tier": None}, 1),
    ],
)
def test_hosts_that_serve_it_before_others_are_dearer(options: dict[str, Any], times: int) -> None:
    assert estimate(**options).worst({}) == times * estimate().worst({})


def test_tools_are_a_part_of_the_prompt() -> None:
    assert estimate(tools=[{"type": "function", "x": "y" * 2000}]).input > estimate().input + 1000 * PRICES.input


def test_pages_that_are_read_for_money_are_paid_too() -> None:
    free = estimate("x", PRICES, file("application/pdf", 50_000), plugins=[{"id": "file-parser", "pdf": None}])
    reader = [{"id": "file-parser", "pdf": {"engine": "mistral-ocr"}}]
    paid = estimate("x", PRICES, file("application/pdf", 50_000), plugins=reader)
    assert paid.input == free.input + 6 * Decimal("0.002")


def test_a_limit_is_set_by_which_the_worst_case_fits() -> None:
    one = estimate()
    held = one.held_to(Decimal("0.01"), {"seed": 1})
    assert held is not None
    assert held["seed"] == 1
    assert one.worst(held) <= Decimal("0.01") < one.worst({"max_tokens": held["max_tokens"] + 1})  # type: ignore[operator]


@pytest.mark.parametrize(
    ("options", "held"),
    [
        ({"max_tokens": 100}, {"max_tokens": 100}),
        ({"max_tokens": 100_000}, {"max_tokens": 898}),
        ({"max_completion_tokens": 100_000}, {"max_completion_tokens": 898}),
        ({"max_tokens": 10, "max_completion_tokens": 2000}, {"max_tokens": 10, "max_completion_tokens": 898}),
        ({"n": 2}, {"n": 2, "max_tokens": 449}),
    ],
)
def test_a_limit_that_is_too_high_is_lowered(options: dict[str, Any], held: dict[str, object]) -> None:
    assert estimate(**options).held_to(Decimal("0.01"), options) == held


def test_no_limit_is_set_where_none_is_needed() -> None:
    assert estimate("x", PRICES._replace(most_output=800)).held_to(Decimal("0.01"), {}) == {}
    assert estimate("x", PRICES._replace(output=Decimal(0))).held_to(Decimal("0.01"), {}) == {}
    assert estimate("x", PRICES._replace(output=Decimal("1e-15"))).held_to(Decimal("0.01"), {}) == {}


@pytest.mark.parametrize("most", ["0.000001", "0.001016", "0.0011"])
def test_what_cannot_cost_so_little_is_not_held_to_it(most: str) -> None:
    assert estimate().held_to(Decimal(most), {}) is None


def model(name: str, prompt: Any = 1, completion: Any = 2, **more: Any) -> Model:
    def price(value: Any) -> Decimal | None:
        return None if value is None else Decimal(value)

    return Model(name, name, input_price=price(prompt), output_price=price(completion), **more)


def test_of_several_models_the_dearest_counts() -> None:
    found = dearest(
        [
            model("a", 1, 20, context_length=10, request_price=Decimal("0.5")),
            model("b", 3, 2, context_length=100, max_output=50),
        ]
    )
    assert found == Prices(Decimal(3) / MILLION, Decimal(20) / MILLION, Decimal("0.5"), 100, 50)


def test_what_is_known_of_one_alone_bounds_nothing() -> None:
    found = dearest([model("a", context_length=10), model("b")])
    assert found is not None
    assert (found.context, found.most_output) == (None, None)


@pytest.mark.parametrize("models", [[], [None], [model("a"), None], [model("a", None)], [model("a", 1, None)]])
def test_a_model_without_a_price_leaves_the_cost_unknown(models: list[Model | None]) -> None:
    assert dearest(models) is None


def test_what_was_used_comes_to_its_tokens_times_their_price() -> None:
    prices = PRICES._replace(request=Decimal("0.1"))
    assert prices.of(Usage(1000, 100)) == Decimal("0.102")
    assert prices.of(Usage(1000, None)) is None
    assert prices.of(Usage(None, 5)) is None
