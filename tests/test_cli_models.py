"""`raptchat models`: what a group can use, for a person and for a script."""

import json
from pathlib import Path

from conftest import Run, environment
from mocked_gateway import naps_fixture  # noqa: F401 - pytest finds fixtures by import
from processes import AtTerminal

from raptchat.demo import DEMO_KEY, Answer, DemoGateway

HOSTILE = "\x1b]0;title\x07\x9b2J\u202e"


def answered(gateway: DemoGateway, *entries: object, status: int = 200) -> None:
    """Answer the next request with this list."""
    body = json.dumps({"data": entries}).encode()
    gateway.answer(Answer(status, {"Content-Type": "application/json"}, [body]))


def model(
    model_id: str, prompt: str = "0.000001", completion: str = "0.000002", **fields: object
) -> dict[str, object]:
    return {"id": model_id, "pricing": {"prompt": prompt, "completion": completion}, **fields}


def ids(out: str) -> list[str]:
    return [line.partition("\t")[0] for line in out.splitlines()]


def test_into_a_pipe_each_model_is_a_line_of_the_same_columns(biology: Run, gateway: DemoGateway) -> None:
    answered(
        gateway,
        model(
            "b/two",
            "0.00000025",
            "0.00001",
            name="Two",
            context_length=128000,
            architecture={"input_modalities": ["text", "image"]},
            supported_parameters=["structured_outputs", "temperature", "tools"],
            expiration_date="2026-12-31",
        ),
        model("A/router", "-1", "-1"),
    )
    biology("config set alias.mine b/two")
    biology("config set alias.again mine")

    said = biology("models")
    assert said.out == (
        "A/router\t-\t-\t-\t-\t-\t-\t-\n"
        "b/two\t0.25\t10.00\t128,000\ttext image\ttools schema\t2026-12-31\tmine again\n"
    )
    assert said.err == "note: `b/two`, which you use, is not offered any more from 2026-12-31\n"


def test_a_script_gets_money_as_text_and_what_is_unknown_as_null(biology: Run, gateway: DemoGateway) -> None:
    answered(gateway, model("a", "1e-7", "-1", name=HOSTILE, created=1760547638))
    biology("config set alias.mine a")
    out = biology("models --json").out

    assert out.isascii()
    assert json.loads(out) == [
        {
            "id": "a",
            "name": "\u241b]0;title\u2407\ufffd2J\ufffd",
            "aliases": ["mine"],
            "inputPricePerMillion": "0.1",
            "outputPricePerMillion": None,
            "requestPrice": None,
            "contextLength": None,
            "inputModalities": [],
            "supportedParameters": [],
            "createdAt": "2025-10-15T17:00:38Z",
            "expiresOn": None,
        }
    ]
    assert json.loads(biology("models nonesuch --json").out) == []


def test_a_list_is_asked_for_once_and_again_with_refresh(biology: Run, gateway: DemoGateway) -> None:
    for words in ("models", "models echo", "models --json", "models --refresh"):
        biology(words)

    assert [request.path for request in gateway.requests] == ["/api/v1/models/user"] * 2
    assert {request.api_key for request in gateway.requests} == {DEMO_KEY}


def test_all_words_must_be_in_the_id_the_name_or_an_alias(biology: Run, gateway: DemoGateway) -> None:
    answered(gateway, model("x/fast-1", name="The Quick"), model("x/slow-1", name="The Slow"), model("y/slow-2"))
    biology("config set alias.fox y/slow-2")

    assert ids(biology("models x/").out) == ["x/fast-1", "x/slow-1"]
    assert ids(biology("models the QUICK").out) == ["x/fast-1"]
    assert ids(biology(["models", "slow X/"]).out) == ["x/slow-1"]
    assert ids(biology("models fox").out) == ["y/slow-2"]


def test_the_order_is_by_id_or_as_asked_and_the_unknown_comes_last(biology: Run, gateway: DemoGateway) -> None:
    answered(
        gateway,
        model("c", "0.000003", "0", context_length=10, created=3),
        model("B", "0", "0", context_length=30, created=1),
        model("a", "-1", "-1"),
        model("d", "0.000001", "0.000001", context_length=20, created=2),
    )

    assert ids(biology("models").out) == ["a", "B", "c", "d"]
    assert ids(biology("models --sort price").out) == ["B", "d", "c", "a"]
    assert ids(biology("models --sort context").out) == ["B", "d", "c", "a"]
    assert ids(biology("models --sort new").out) == ["c", "d", "B", "a"]
    assert ids(biology("models --free").out) == ["B"]


def test_when_nothing_is_found_the_nearest_are_named(biology: Run, gateway: DemoGateway) -> None:
    biology("config set alias.clever demo/thinking")

    assert biology("models ecko").err == "there is no model like `ecko`; did you mean `demo/echo`?\n"
    assert "did you mean `clever`" in biology("models clevr").err
    assert biology("models zzzzzz").err == "there is no model like `zzzzzz`\n"
    assert "no free model like `thinking`; did you mean `demo/thinking`" in biology("models --free thinking").err
    said = biology(["models", f"sk-or-v1-{'0' * 64}"])
    assert (said.out, said.err) == ("", "there is no model like `***`\n")


def test_a_list_without_models_says_so(biology: Run, gateway: DemoGateway) -> None:
    answered(gateway)
    assert biology("models").err == "the gateway lists no model for this group\n"

    answered(gateway, model("a"))
    assert biology("models --refresh --free").err == "there is no free model\n"


def test_without_a_network_there_is_an_error_or_the_stale_list_with_its_age(
    biology: Run, gateway: DemoGateway, home: Path, naps: list[float]
) -> None:
    answered(gateway, model("a"))
    biology("models")
    [file] = (home / "models").iterdir()
    file.write_text(json.dumps({**json.loads(file.read_text()), "fetched_at": "2026-01-31T12:00:00Z"}))
    gateway.stop()

    said = biology("models")
    assert ids(said.out) == ["a"]
    assert "no connection to" in said.err
    assert "note: this list is of 2026-01-31" in said.err
    assert "trying again in" in said.err
    refused = biology("models --refresh --json", exit_code=69)
    assert refused.out == ""
    assert json.loads(refused.err.splitlines()[-1])["code"] == "GATEWAY_ERROR"
    file.unlink()
    assert "it was refused" in biology("models", exit_code=69).err


def test_the_groups_own_list_is_shown(biology: Run, gateway: DemoGateway) -> None:
    biology("group add-key history --stdin", stdin=f"{DEMO_KEY}-of-history")
    answered(gateway, model("of/biology"))
    answered(gateway, model("of/history"))

    assert ids(biology("models -g biology").out) == ["of/biology"]
    assert ids(biology("models -g history").out) == ["of/history"]
    assert ids(biology("models -g biology").out) == ["of/biology"]
    assert [request.api_key for request in gateway.requests] == [DEMO_KEY, f"{DEMO_KEY}-of-history"]
    assert "no group is chosen" in biology("models", exit_code=3).err


def test_a_group_without_a_key_is_told_how_to_get_one(raptchat: Run) -> None:
    raptchat("group create history")

    assert "raptchat group add-key history" in raptchat("models", exit_code=4).err


def test_at_a_terminal_there_is_a_table_as_wide_as_that(biology: Run, gateway: DemoGateway) -> None:
    answered(
        gateway,
        model("anthropic/claude-haiku-4.5", context_length=200000, supported_parameters=["tools"], name=HOSTILE),
        model("openai/gpt-5", context_length=400000, architecture={"input_modalities": ["text"]}),
    )
    env = {**environment(), "PAGER": ""}
    with AtTerminal("models", env=env, columns=80) as terminal:
        terminal.ends(0)
        assert terminal.screen()[:3] == [
            "id                          in $/M  out $/M  context",
            "anthropic/claude-haiku-4.5    1.00     2.00  200,000",
            "openai/gpt-5                  1.00     2.00  400,000",
        ]
    with AtTerminal("models", env=env, columns=120) as terminal:
        terminal.ends(0)
        assert "takes  supports" in terminal.screen()[0]
    with AtTerminal("models", "haiku", env=env, columns=80) as terminal:
        said = terminal.ends(0)
        assert "price in   $1.00 for a million tokens" in terminal.screen()
        assert "supports   tools" in terminal.screen()
        assert "title\x07" not in said
    with AtTerminal("models", env=env, columns=48) as terminal:
        terminal.ends(0)
        assert terminal.screen()[0] == "id                          in $/M  out $/M"
