"""The fields of a request: what `-o KEY VALUE` may set, and how it goes together with the flags."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raptchat.errors import UsageError
from raptchat.outside import safe_line
from raptchat.providers.fields import FIELDS, check, combine, read
from raptchat.providers.request import OWN_FIELDS


def refused(fields: dict[str, object]) -> str:
    """What is said of fields that cannot be sent."""
    with pytest.raises(UsageError) as error:
        check(fields)
    message = str(error.value)
    assert message == safe_line(message)
    assert len(message) < 500
    return message


# What a value means


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("seed", "7", 7),
        ("seed", "seven", "seven"),
        ("user", "123", "123"),
        ("user", "true", "true"),
        ("user", "NaN", "NaN"),
        ("user", '{"a": 1}', '{"a": 1}'),
        ("user", '"quoted"', "quoted"),
        ("user", "null", None),
        ("user", "", ""),
        ("stop", "5", "5"),
        ("stop", '["a", "b"]', ["a", "b"]),
        ("verbosity", "low", "low"),
        ("provider", '{"zdr": true}', {"zdr": True}),
        ("provider", "zdr", "zdr"),
        ("logprobs", "true", True),
        ("something_new", "123", 123),
        ("something_new", "words and words", "words and words"),
    ],
)
def test_a_value_is_json_or_else_a_text(name: str, text: str, value: object) -> None:
    assert read(name, text) == value
    assert type(read(name, text)) is type(value)


def test_a_value_that_is_nested_too_deeply_is_refused() -> None:
    with pytest.raises(UsageError, match="`x` is nested too deeply"):
        read("x", "[" * 100_000)


# What a field may hold


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"temperature": "hot"}, "the field `temperature` must be a number from 0 to 2, and is `hot`"),
        ({"temperature": 2.01}, "from 0 to 2, and is `2.01`"),
        ({"temperature": True}, "from 0 to 2, and is `true`"),
        ({"frequency_penalty": -2.5}, "a number from -2 to 2"),
        ({"seed": 7.5}, "must be a whole number, and is `7.5`"),
        ({"seed": True}, "must be a whole number"),
        ({"max_tokens": 0}, "a whole number of 1 or more"),
        ({"top_logprobs": 21}, "a whole number from 0 to 20"),
        ({"logprobs": 1}, "must be true or false"),
        ({"user": 5}, "must be a text"),
        ({"user": ["a"]}, 'must be a text, and is `["a"]`'),
        ({"session_id": "x" * 257}, "a text of at most 256 characters"),
        ({"stop": 5}, "must be a text or a list of at most 4 texts"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "at most 4 texts"),
        ({"stop": ["a", 1]}, "at most 4 texts"),
        ({"models": "some/model"}, "must be a list of texts"),
        ({"tools": [1]}, "must be a list of objects"),
        ({"provider": "zdr"}, "must be an object, and is `zdr`"),
        ({"provider": {"zdr": "yes"}}, "the field `provider.zdr` must be true or false, and is `yes`"),
        ({"provider": {"max_price": {"prompt": -1}}}, "`provider.max_price.prompt` must be a number of 0 or more"),
        ({"provider": {"sort": {"by": 1}}}, "`provider.sort.by` must be a text"),
        ({"provider": {"order": ["a", None]}}, "`provider.order` must be a list of texts"),
        ({"reasoning": {"max_tokens": 1.5}}, "`reasoning.max_tokens` must be a whole number"),
        ({"metadata": {"a": 1}}, "must be an object of at most 16 texts"),
        ({"metadata": {str(each): "" for each in range(17)}}, "must be an object of at most 16 texts"),
        ({"user": "x" * 100_000, "seed": "y" * 100_000}, "`seed` must be a whole number"),
        ({"seed": "\x1b[2J\u202e"}, "and is `␛[2J\ufffd`"),
        ({"seed": "sk-or-v1-0123456789abcdef"}, "and is `***`"),
        ({"x": float("nan")}, "the value of `x` has no form in JSON"),
        ({"x\x1b": [float("inf")]}, "the value of `x␛` has no form in JSON"),
        ({"reasoning": {"effort": "low", "max_tokens": 5}}, "exclude each other"),
        (
            {"reasoning": {"effort": "low"}, "reasoning_effort": "high"},
            "`reasoning.effort` is `low`, and `reasoning_effort` is `high`",
        ),
    ],
)
def test_a_known_field_of_the_wrong_kind_is_refused_with_what_it_must_be(
    fields: dict[str, object], said: str
) -> None:
    assert said in refused(fields)


@pytest.mark.parametrize("name", OWN_FIELDS)
def test_the_fields_of_the_program_itself_cannot_be_set(name: str) -> None:
    assert refused({name: []}) == f"the field `{name}` cannot be set: the command decides it"


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": 0, "top_p": 1, "min_p": 0.0, "top_k": 0, "seed": -(2**63), "repetition_penalty": 2},
        {"stop": "x", "user": "", "session_id": "x" * 256, "logit_bias": {"50256": -100}},
        {"stop": [], "provider": {}, "tools": [], "tool_choice": {"type": "function"}},
        {"provider": {"max_price": {"prompt": "0.5", "completion": 1}, "sort": {"by": "price"}, "order": None}},
        {"provider": {"sort": "latency", "preferred_max_latency": {"p90": 3}}},
        {"reasoning": {"max_tokens": 1000, "exclude": True}},
        {"reasoning": {"effort": "low"}, "reasoning_effort": "low"},
        {"reasoning": {"effort": None, "max_tokens": 5}, "reasoning_effort": "low"},
        {"metadata": {str(each): "x" * 512 for each in range(16)}},
        {"brand_new_field": {"anything": [1, None]}, "x": "y"},
        dict.fromkeys(FIELDS),
    ],
)
def test_what_the_reference_allows_is_sent_without_a_word(fields: dict[str, object]) -> None:
    assert check(fields) == []


@pytest.mark.parametrize(
    ("fields", "near"),
    [
        ({"temprature": 1}, "did you mean `temperature`?"),
        ({"top-p": 1}, "did you mean `top_p`?"),
        ({"Max_Tokens": 1}, "did you mean `max_tokens`?"),
        ({"maxTokens": 1}, "did you mean `max_tokens`?"),
        ({"zdr": True}, "did you mean `-o provider '{\"zdr\": ...}'`?"),
        ({"provider.data_collection": "deny"}, "did you mean `-o provider '{\"data_collection\": ...}'`?"),
        ({"provider": {"data_colection": "deny"}}, "no field `provider.data_colection` is known"),
        ({"tempratur\x1be": 1}, "`tempratur␛e`"),
    ],
)
def test_what_looks_like_a_slip_is_sent_and_said(fields: dict[str, object], near: str) -> None:
    [note] = check(fields)

    assert near in note
    assert "sent as it is" in note


def test_a_word_that_the_reference_does_not_have_yet_is_sent_and_said() -> None:
    assert check({"service_tier": "turbo", "provider": {"data_collection": "denny"}}) == [
        "`service_tier` is sent as `turbo`; the known ones are auto, default, flex, priority, scale, fast",
        "`provider.data_collection` is sent as `denny`; the known ones are allow, deny",
    ]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from([*FIELDS, "anything"]), json_values)
def test_any_value_is_sent_or_refused_safely(name: str, value: object) -> None:
    try:
        notes = check({name: value})
    except UsageError as error:
        assert str(error) == safe_line(str(error))  # noqa: PT017 - not every value is refused
    else:
        assert all(note == safe_line(note) for note in notes)


# Together


def test_objects_are_put_together_field_by_field_and_lists_at_their_end() -> None:
    found = combine(
        {"provider": {"order": ["a"], "max_price": {"prompt": 1}}, "seed": 1},
        {"provider": {"order": ["b"], "zdr": True, "max_price": {"completion": 2}}, "seed": 1, "user": "x"},
        "--flag",
    )

    assert found == {
        "provider": {"order": ["a", "b"], "max_price": {"prompt": 1, "completion": 2}, "zdr": True},
        "seed": 1,
        "user": "x",
    }


def test_putting_together_changes_neither_part() -> None:
    one: dict[str, object] = {"provider": {"order": ["a"]}, "tools": [{"type": "openrouter:web_search"}]}
    other: dict[str, object] = {
        "provider": {"order": ["b"]},
        "tools": [{"type": "openrouter:web_search", "parameters": {}}],
    }
    before = json.dumps([one, other])
    combine(one, other, "--flag")

    assert json.dumps([one, other]) == before


@pytest.mark.parametrize(
    ("fields", "more", "said"),
    [
        (
            {"provider": {"zdr": False}},
            {"provider": {"zdr": True}},
            "`--flag` sets `provider.zdr` to `true`; it is `false` al",
        ),
        ({"provider": "x"}, {"provider": {"zdr": True}}, '`--flag` sets `provider` to `{"zdr": true}`; it is `x`'),
        ({"provider": None}, {"provider": {"zdr": True}}, "it is `null` already"),
        ({"stop": "a"}, {"stop": ["b"]}, '`stop` to `["b"]`'),
        ({"a\x1b": 1}, {"a\x1b": 2}, "`a␛`"),
        (
            {"plugins": [{"id": "web"}, {"id": "file-parser", "pdf": {"engine": "native"}}]},
            {"plugins": [{"id": "file-parser", "pdf": {"engine": "cloudflare-ai"}}]},
            "`plugins.pdf.engine` to `cloudflare-ai`; it is `native` already",
        ),
    ],
)
def test_two_values_for_one_field_are_refused(
    fields: dict[str, object], more: dict[str, object], said: str
) -> None:
    with pytest.raises(UsageError) as error:
        combine(fields, more, "--flag")

    assert said in str(error.value)


def test_a_plugin_or_a_tool_of_the_gateway_comes_once_and_functions_as_often_as_they_are_named() -> None:
    search = {"type": "openrouter:web_search", "parameters": {"max_results": 3}}
    function = {"type": "function", "function": {"name": "f"}}
    found = combine(
        {"tools": [function, search], "plugins": [{"id": "web"}], "stop": ["a"]},
        {
            "tools": [{"type": "openrouter:web_search"}, function],
            "plugins": [{"id": "web", "max_results": 3}, 5],
            "stop": ["a"],
        },
        "--flag",
    )

    assert found == {
        "tools": [function, search, function],
        "plugins": [{"id": "web", "max_results": 3}, 5],
        "stop": ["a", "a"],
    }


def test_a_key_in_a_value_is_not_shown_though_the_value_is_cut_in_it() -> None:
    key = "sk-or-v1-0123456789abcdef"
    with pytest.raises(UsageError) as raised:
        check({"temperature": "x" * 70 + key})

    assert "sk-" not in str(raised.value)
