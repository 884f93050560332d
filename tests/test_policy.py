"""The rules of a group: which models it may ask, and what the gateway must keep."""

from typing import Any

import pytest

from raptchat.errors import PolicyError, UsageError
from raptchat.policy import check, check_model, patterns, refuse_history
from raptchat.records import Group, Policy


def checked(policy: Policy, model: str = "anthropic/claude", **options: Any) -> dict[str, object]:
    return check(policy, provider="openrouter", model=model, options=options, group="biology")


@pytest.mark.parametrize(
    ("allowed", "model"),
    [
        ("anthropic/*", "anthropic/claude-opus"),
        ("anthropic/*", "~anthropic/claude-haiku-latest"),
        ("~anthropic/claude-haiku-latest", "~anthropic/claude-haiku-latest"),
        ("anthropic/claude-haiku-latest", "~anthropic/claude-haiku-latest"),
        ("Anthropic/*", "anthropic/Claude-Opus"),
        ("openai/gpt-5", "openai/gpt-5:nitro"),
        ("openai/gpt-5:free", "openai/gpt-5:free"),
        ("*/gpt-*-mini", "openai/gpt-5-mini"),
        ("*", "llama3:8b"),
        ("a/b,openai/**", "openai/x"),
        ("openrouter/auto", "openrouter/auto"),
        ("@preset/strict", "@preset/strict"),
        ("a[b]?", "a[b]?"),
    ],
)
def test_a_model_that_a_pattern_fits_is_allowed(allowed: str, model: str) -> None:
    check_model(Policy(models=patterns(allowed)), model, group="biology")


@pytest.mark.parametrize(
    ("allowed", "model"),
    [
        ("anthropic/*", "openai/gpt-5"),
        ("anthropic/*", "not-anthropic/claude"),
        ("openai/gpt-5", "openai/gpt-5-mini"),
        ("openai/gpt-5:free", "openai/gpt-5"),
        ("openai/gpt-5:free", "openai/gpt-5:nitro"),
        ("*", "openrouter/auto"),
        ("openrouter/*", "openrouter/auto"),
        ("*", "~openrouter/auto"),
        ("*", "@preset/mine"),
        ("anthropic/*", "anthropic/claude@preset/mine"),
        ("a*a", "a"),
        ("a/?", "a/b"),
        ("*x*", "abc"),
    ],
)
def test_a_model_that_no_pattern_fits_is_refused(allowed: str, model: str) -> None:
    with pytest.raises(PolicyError, match="allows no model but") as raised:
        check_model(Policy(models=patterns(allowed)), model, group="biology")
    assert raised.value.fields["rule"] == "models"


def test_the_refusal_names_the_group_the_rule_and_the_model() -> None:
    with pytest.raises(PolicyError) as raised:
        checked(Policy(models=("anthropic/*",)), "openai/gpt-5")
    assert str(raised.value) == (
        "group `biology` has the rule `models`, which allows no model but `anthropic/*`: `openai/gpt-5`"
    )
    assert raised.value.fields == {"rule": "models", "group": "biology", "model": "openai/gpt-5"}
    assert (raised.value.code, raised.value.exit_code) == ("POLICY_REFUSED", 2)


@pytest.mark.parametrize(
    "options",
    [
        {"models": ["anthropic/other", "openai/gpt-5"]},
        {"models": "openai/gpt-5"},
        {"models": [1]},
        {"model": "openai/gpt-5"},
        {"preset": "mine"},
        {"fallbacks": ["openai/gpt-5"]},
        {"fallbacks": [{"model": "openai/gpt-5"}]},
        {"plugins": [{"id": "auto-router"}]},
        {"plugins": [{"id": "fusion", "enabled": True}]},
        {"plugins": [{"id": "x", "config": {"analysis_models": ["openai/gpt-5"]}}]},
        {"tools": [{"type": "openrouter:advisor", "parameters": {"model": "openai/gpt-5"}}]},
        {"tools": [{"type": "x", "parameters": [{"deep": [{"judgeModel": "openai/gpt-5"}]}]}]},
    ],
    ids=str,
)
def test_no_other_model_is_smuggled_in(options: dict[str, Any]) -> None:
    with pytest.raises(PolicyError) as raised:
        checked(Policy(models=("anthropic/*",)), **options)
    assert raised.value.fields["rule"] == "models"


def test_what_nests_without_end_is_refused() -> None:
    nested: Any = "x"
    for _ in range(60):
        nested = {"a": nested}
    with pytest.raises(PolicyError, match="leaves it open"):
        checked(Policy(models=("anthropic/*",)), plugins=[nested])


@pytest.mark.parametrize(
    "options",
    [
        {"models": ["anthropic/other"], "tools": None, "plugins": "odd"},
        {"models": None},
        {"plugins": [{"id": "fusion", "enabled": False}, "odd"]},
        {"plugins": [{"id": "web", "max_results": 5}]},
        {
            "tools": [
                {"type": "function", "function": {"parameters": {"properties": {"model": {"type": "string"}}}}}
            ]
        },
    ],
    ids=str,
)
def test_what_names_no_other_model_passes_as_it_is(options: dict[str, Any]) -> None:
    assert checked(Policy(models=("anthropic/*",)), **options) == options


def test_what_the_gateway_must_keep_goes_with_the_request() -> None:
    policy = Policy(zdr=True, deny_training=True)

    assert checked(policy) == {"provider": {"zdr": True, "data_collection": "deny"}}
    said = checked(policy, provider={"order": ["x"], "zdr": True, "data_collection": None}, seed=1)
    assert said == {"provider": {"order": ["x"], "zdr": True, "data_collection": "deny"}, "seed": 1}
    assert checked(policy, provider=None) == {"provider": {"zdr": True, "data_collection": "deny"}}
    assert checked(Policy()) == {}


@pytest.mark.parametrize(
    ("policy", "routing", "rule"),
    [
        (Policy(zdr=True), {"zdr": False}, "zdr"),
        (Policy(deny_training=True), {"data_collection": "allow"}, "deny-training"),
        (Policy(deny_training=True), "deny", "deny-training"),
    ],
)
def test_an_option_that_says_the_contrary_is_refused(policy: Policy, routing: object, rule: str) -> None:
    with pytest.raises(PolicyError, match=f"`{rule}`") as raised:
        checked(policy, provider=routing)
    assert raised.value.fields["rule"] == rule


@pytest.mark.parametrize(
    "options",
    [
        {"tools": [{"type": "openrouter:web_search"}]},
        {"plugins": [{"id": "web"}]},
        {"models": ["a/b:free:online"]},
        {"web_search_options": {}},
    ],
    ids=str,
)
def test_a_search_of_the_web_leaves_the_hosts_that_keep_nothing(options: dict[str, Any]) -> None:
    with pytest.raises(PolicyError, match="a search of the web") as raised:
        checked(Policy(zdr=True), **options)
    assert raised.value.fields["rule"] == "zdr"
    assert checked(Policy(deny_training=True), **options)


@pytest.mark.parametrize("policy", [Policy(zdr=True), Policy(deny_training=True)])
def test_a_provider_that_cannot_keep_a_rule_gets_nothing(policy: Policy) -> None:
    with pytest.raises(PolicyError, match="`openai-compatible` cannot keep"):
        check(policy, provider="openai-compatible", model="x", options={}, group="biology")


def test_the_callers_options_stay_as_they_are() -> None:
    routing: dict[str, object] = {"order": ["x"]}
    checked(Policy(zdr=True), provider=routing)
    assert routing == {"order": ["x"]}


def test_a_group_without_history_is_refused_one() -> None:
    group = Group("id", "biology", None, None, None, None, "", "")
    refuse_history(group)
    with pytest.raises(PolicyError, match="`no-history`"):
        refuse_history(group._replace(policy=Policy(no_history=True)))


def test_patterns_are_read_from_a_list_with_commas() -> None:
    assert patterns(" a/*, b/c ,,a/* ") == ("a/*", "b/c")
    assert patterns("") == ()


@pytest.mark.parametrize("text", [",", " , ", "a b", "a\x1b[1m", "x" * 201, ",".join(f"m{n}" for n in range(101))])
def test_what_is_no_list_of_patterns_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        patterns(text)


def test_a_pattern_of_many_stars_takes_no_time() -> None:
    with pytest.raises(PolicyError):
        check_model(Policy(models=("*a" * 80,)), "a" * 79 + "b", group="biology")
