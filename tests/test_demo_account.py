"""The demo gateway's account: what replies cost, the records of them, and its keys."""

import hashlib
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from demo_requests import HELLO, api, ask, post

from raptchat.demo import DEMO_KEY, DemoGateway
from raptchat.demo.answers import answer_to
from raptchat.demo.generations import Generations
from raptchat.demo.keys import Key
from raptchat.demo.wire import Asked
from raptchat.errors import IncompleteReplyError
from raptchat.providers.openrouter import OpenRouterClient
from raptchat.records import DoneChunk


@pytest.fixture(scope="module")
def gateway() -> Iterator[DemoGateway]:
    with DemoGateway() as gateway:
        yield gateway


def ask_with(gateway: DemoGateway, key: str, model: str) -> int:
    return post(gateway, {**HELLO, "model": model}, key=key)[0]


def test_each_reply_has_an_id_of_its_own_in_the_header_and_in_every_chunk(gateway: DemoGateway) -> None:
    ids = set()
    for _ in range(2):
        _, headers, text = post(gateway, HELLO)
        chunks = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
        assert {chunk["id"] for chunk in chunks} == {headers["x-generation-id"]}
        ids.add(headers["x-generation-id"])
    _, headers, text = post(gateway, {**HELLO, "stream": False})
    assert json.loads(text)["id"] == headers["x-generation-id"]
    ids.add(headers["x-generation-id"])

    assert len(ids) == 3


def test_a_reply_costs_what_the_list_says(gateway: DemoGateway) -> None:
    listed = api(gateway, "GET", "/models")[1]["data"]
    tried = 0
    for model in listed:
        pricing = {name: Decimal(price) for name, price in model["pricing"].items()}
        if pricing["prompt"] < 0 or model["id"] in {"demo/long", "demo/slow", "demo/thinking"}:
            continue
        usage = ask(gateway, model["id"]).usage
        assert usage.input_tokens is not None
        assert usage.output_tokens is not None
        tokens = pricing["prompt"] * usage.input_tokens + pricing["completion"] * usage.output_tokens
        assert usage.cost == tokens + pricing["request"]
        tried += 1

    assert tried >= 5
    assert ask(gateway, "demo/cent", "x " * 500).usage.cost == Decimal("0.03")


@pytest.mark.parametrize("model", ["demo/echo", "demo/reasoning", "demo/length", "demo/cent", "demo/bytes"])
@pytest.mark.parametrize("how", [{"stream": True}, {"stream": False}])
def test_the_record_of_a_reply_says_what_the_reply_said(
    gateway: DemoGateway, model: str, how: dict[str, bool]
) -> None:
    _, headers, text = post(gateway, {**HELLO, "model": model, **how})
    usage = json.loads(re.findall(r'"usage": (\{.*?\}, "cost": [^}]*\})', text)[0])

    status, body = api(gateway, "GET", f"/generation?id={headers['x-generation-id']}", key=DEMO_KEY)

    record = body["data"]
    assert status == 200
    assert record["total_cost"] == record["usage"] == usage["cost"]
    assert (record["native_tokens_prompt"], record["native_tokens_completion"]) == (
        *(usage["prompt_tokens"], usage["completion_tokens"]),
    )
    assert (record["model"], record["upstream_inference_cost"]) == (model, None)


@pytest.mark.parametrize(
    ("model", "cost"),
    [("demo/cut", 26e-6), ("demo/hangup", 26e-6), ("demo/reset", 26e-6), ("demo/error-midstream", 0.0)],
)
def test_a_reply_that_broke_off_has_a_record_too(gateway: DemoGateway, model: str, cost: float) -> None:
    with (
        OpenRouterClient(api_key=DEMO_KEY, base_url=gateway.url) as client,
        pytest.raises(IncompleteReplyError) as raised,
    ):
        client.complete_chat([{"role": "user", "content": "hello"}], model=model)
    assert isinstance(raised.value.partial, DoneChunk)

    _, body = api(gateway, "GET", f"/generation?id={raised.value.partial.generation_id}", key=DEMO_KEY)

    assert body["data"]["total_cost"] == cost


def test_a_reply_that_the_client_broke_off_is_billed_all_the_same(gateway: DemoGateway) -> None:
    with OpenRouterClient(api_key=DEMO_KEY, base_url=gateway.url) as client:
        ids: list[str | None] = []
        stream = client.stream_chat(
            [{"role": "user", "content": "hello"}],
            model="demo/endless",
            started=lambda start: ids.append(start.generation_id),
        )
        next(stream)
        stream.close()

    _, body = api(gateway, "GET", f"/generation?id={ids[0]}", key=DEMO_KEY)

    assert (body["data"]["native_tokens_completion"], body["data"]["total_cost"]) == (100, 501e-6)


def test_a_record_can_be_late(gateway: DemoGateway) -> None:
    _, headers, _ = post(gateway, {**HELLO, "model": "demo/late"})
    asked = [
        api(gateway, "GET", f"/generation?id={headers['x-generation-id']}", key=DEMO_KEY)[0] for _ in range(2)
    ]

    assert asked == [404, 200]


def test_a_record_names_the_model_that_answered(gateway: DemoGateway) -> None:
    _, headers, _ = post(gateway, {**HELLO, "model": "demo/status-503", "models": ["demo/cent"]})

    _, body = api(gateway, "GET", f"/generation?id={headers['x-generation-id']}", key=DEMO_KEY)

    assert (body["data"]["model"], body["data"]["total_cost"]) == ("demo/cent", 0.03)


def test_what_never_began_has_no_record(gateway: DemoGateway) -> None:
    _, headers, _ = post(gateway, {**HELLO, "model": "demo/garbage"})

    assert api(gateway, "GET", f"/generation?id={headers['x-generation-id']}", key=DEMO_KEY)[0] == 404
    assert api(gateway, "GET", "/generation", key=DEMO_KEY)[0] == 404
    assert api(gateway, "GET", "/generation?id=x", key=None)[0] == 401


def test_old_records_are_forgotten() -> None:
    generations = Generations()
    answer = answer_to(Asked.read(HELLO, "first"), {}, 0)
    for name in ["first", *map(str, range(10_000))]:
        generations.add(Asked.read(HELLO, name), answer)

    assert generations.answer("first").status == 404
    assert generations.answer("0").status == 200


def test_what_is_known_of_a_key_has_the_form_of_the_real_one(gateway: DemoGateway) -> None:
    key = DEMO_KEY + "-of-this-test"
    assert ask_with(gateway, key, "demo/cent") == 200

    status, body = api(gateway, "GET", "/key", key=key)

    assert status == 200
    assert body["data"] == {
        "label": "sk-or-v1-dem...test",
        "limit": None,
        "limit_remaining": None,
        "limit_reset": None,
        "include_byok_in_limit": False,
        "expires_at": None,
        **dict.fromkeys(["usage", "usage_daily", "usage_weekly", "usage_monthly"], 0.03),
        **dict.fromkeys(["byok_usage", "byok_usage_daily", "byok_usage_weekly", "byok_usage_monthly"], 0),
        "creator_user_id": None,
        "is_free_tier": False,
        "is_management_key": False,
        "is_provisioning_key": False,
        "rate_limit": {"requests": -1, "interval": "10s", "note": "This field is deprecated and safe to ignore."},
    }
    assert api(gateway, "GET", "/key", key=None)[0] == 401


def test_a_key_that_was_made_is_said_once(gateway: DemoGateway) -> None:
    status, body = api(gateway, "POST", "/keys", {"name": "biology", "limit": 1.5, "unknown": 1})

    key = body["key"]
    assert status == 201
    assert re.fullmatch("sk-or-v1-made-[0-9a-f]{32}", key)
    assert body["data"]["hash"] == hashlib.sha256(key.encode()).hexdigest()
    assert (body["data"]["name"], body["data"]["limit"], body["data"]["disabled"]) == ("biology", 1.5, False)
    assert key not in json.dumps([api(gateway, "GET", "/keys"), api(gateway, "GET", "/key", key=key)])
    assert ask_with(gateway, key, "demo/echo") == 200


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": " "},
        {"name": 1},
        {"name": "x", "limit": -1},
        {"name": "x", "limit": "1"},
        {"name": "x", "limit": True},
        {"name": "x", "limit": float("nan")},
        {"name": "x", "limit_reset": "yearly"},
        {"name": "x", "limit_reset": ["daily"]},
        {"name": "x", "expires_at": "2126-01-01"},
        {"name": "x", "expires_at": "2126-01-01T00:00Z"},
        {"name": "x", "expires_at": "2126-01-01T00:00:00+02:00"},
        {"name": "x", "expires_at": "2126-02-30T00:00:00Z"},
        {"name": "x", "expires_at": 7},
    ],
)
def test_a_key_that_cannot_be_made_is_told_so(gateway: DemoGateway, body: object) -> None:
    status, said = api(gateway, "POST", "/keys", body)

    assert status == 400
    assert ": " in said["error"]["message"]


@pytest.mark.parametrize("change", [{"disabled": 1}, {"name": None}, {"limit": -1}, {"limit_reset": "yearly"}])
def test_a_change_is_made_whole_or_not_at_all(gateway: DemoGateway, change: dict[str, object]) -> None:
    made = api(gateway, "POST", "/keys", {"name": "whole"})[1]["data"]

    assert api(gateway, "PATCH", f"/keys/{made['hash']}", {"name": "other", "limit": 9, **change})[0] == 400
    assert api(gateway, "GET", f"/keys/{made['hash']}") == (200, {"data": made})


def test_a_cap_is_counted_anew_in_each_of_its_windows() -> None:
    key = Key("hash", "label", limit=Decimal(10))
    today = datetime.now(UTC).date()
    monday, first = today - timedelta(days=today.weekday()), today.replace(day=1)
    for day in {today, monday, first, monday - timedelta(days=1), first - timedelta(days=1)}:
        key.spent[day] += 1

    expected = {
        "daily": 1,
        "weekly": len({day for day in key.spent if day >= monday}),
        "monthly": len({day for day in key.spent if day >= first}),
        None: len(key.spent),
    }
    for window, spent in expected.items():
        key.limit_reset = window
        assert [key.usage(window), key.remaining] == [spent, 10 - spent]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("DELETE", "/keys", 405),
        ("POST", "/key", 405),
        ("GET", "/chat/completions", 405),
        ("POST", f"/keys/{'0' * 64}", 405),
        ("GET", f"/keys/{'0' * 64}", 404),
        ("GET", "/keys/", 404),
        ("GET", "/keys?offset=-1", 400),
        ("GET", "/keys?offset=x", 400),
        ("GET", "/keys?" + "a=1&" * 30, 400),
        ("PATCH", "/credits", 404),
    ],
)
def test_what_the_key_api_does_not_know_is_said(gateway: DemoGateway, method: str, path: str, status: int) -> None:
    answered, said = api(gateway, method, path, {})

    assert answered == said["error"]["code"] == status


def test_disabled_keys_are_listed_if_they_are_asked_for(gateway: DemoGateway) -> None:
    made = api(gateway, "POST", "/keys", {"name": "to be disabled"})[1]["data"]
    api(gateway, "PATCH", f"/keys/{made['hash']}", {"disabled": True})

    names = [
        {entry["name"] for entry in api(gateway, "GET", f"/keys{query}")[1]["data"]}
        for query in ("", "?include_disabled=true", "?include_disabled=true&offset=999")
    ]

    assert [("to be disabled" in found) for found in names] == [False, True, False]


def test_a_key_of_a_gateway_that_has_ended_is_unknown_to_the_next() -> None:
    with DemoGateway() as first:
        key = api(first, "POST", "/keys", {"name": "x"})[1]["key"]
    with DemoGateway() as second:
        assert ask_with(second, key, "demo/echo") == 401
