"""`raptchat chat`: what its flags and `-o` make of a request, and the shape of the answer."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Run, rows
from processes import AtTerminal
from sample_files import PDF, PNG

from raptchat.demo import DemoGateway


def fields(gateway: DemoGateway) -> dict[str, Any]:
    """The last request without what every request has."""
    return {name: value for name, value in gateway.requests[-1].body.items() if name not in OF_EVERY_REQUEST}


OF_EVERY_REQUEST = {"messages", "model", "stream", "session_id"}


# Flags and -o


@pytest.mark.parametrize(
    ("flags", "sent"),
    [
        ("--effort high", {"reasoning": {"effort": "high"}}),
        ("--effort none", {"reasoning": {"effort": "none"}}),
        ("--web", {"tools": [{"type": "openrouter:web_search"}]}),
        ("--zdr", {"provider": {"zdr": True}}),
        ("--fallback a/b --fallback c/d", {"models": ["a/b", "c/d"]}),
        ("--pdf-engine native", {"plugins": [{"id": "file-parser", "pdf": {"engine": "native"}}]}),
        ("--temperature 0 --top-p 0.5 --max-tokens 7", {"temperature": 0, "top_p": 0.5, "max_tokens": 7}),
        ("--temperature 0 -o temperature 0", {"temperature": 0}),
        ("-o user 123 -o seed 7 -o stop 5", {"user": "123", "seed": 7, "stop": "5"}),
        ("""-o provider '{"order": ["x"]}' -o provider '{"sort": "price"}' --zdr""",
         {"provider": {"order": ["x"], "sort": "price", "zdr": True}}),
        ("""--web -o tools '[{"type": "openrouter:web_search", "parameters": {"max_results": 2}}]'""",
         {"tools": [{"type": "openrouter:web_search", "parameters": {"max_results": 2}}]}),
        ("--effort low -o reasoning '{\"exclude\": true}'", {"reasoning": {"effort": "low", "exclude": True}}),
        ("-o models '[\"a/b\"]' --fallback c/d", {"models": ["a/b", "c/d"]}),
    ],
)  # fmt: skip
def test_flags_and_options_come_together_in_one_request(
    biology: Run, gateway: DemoGateway, flags: str, sent: dict[str, object]
) -> None:
    said = biology(f"chat {flags} hello")

    assert fields(gateway) == sent
    assert said.err == ""


def test_a_dry_run_shows_the_same_fields(biology: Run, gateway: DemoGateway) -> None:
    words = "chat --web --zdr --effort low --fallback a/b --schema 'name, age int' -m demo/json hello"
    shown = json.loads(biology(f"{words} --dry-run").out)["request"]
    assert gateway.requests == []
    biology(words)

    assert {name: value for name, value in shown.items() if name not in OF_EVERY_REQUEST} == fields(gateway)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--zdr -o provider '{\"zdr\": false}'", "`--zdr` sets `provider.zdr` to `true`; it is `false` already"),
        ('--effort low -o reasoning \'{"effort": "high"}\'', "`--effort` sets `reasoning.effort`"),
        ("--effort low -o reasoning '{\"max_tokens\": 100}'", "exclude each other"),
        ("--effort low -o reasoning_effort high", "`reasoning_effort` is `high`"),
        ("--temperature 1 -o temperature 2", "`--temperature` sets `temperature`"),
        ("-o seed 1 -o seed 2", "`-o seed` sets `seed` to `2`; it is `1` already"),
        ('--schema name -o response_format \'{"type": "text"}\'', "`response_format.type`"),
        ("--effort extreme", "--effort"),
        ("--pdf-engine best", "--pdf-engine"),
        ("--reasoning some", "--reasoning"),
        ("--fallback 'two words'", "the model must be a model's name"),
        ("--fallback ''", "the model must be a model's name"),
        ("--schema 'age integer'", "is no field of a schema's short form"),
        ("--schema missing.json", "no file `missing.json`"),
        ("--schema ''", "the schema is empty"),
        ("-o temperature hot", "the field `temperature` must be a number from 0 to 2, and is `hot`"),
        ("-o provider '{\"zdr\": 1}'", "the field `provider.zdr` must be true or false"),
        ("-o model x", "the field `model` cannot be set"),
        ("-a missing.png", "missing.png"),
        ("--at missing.png image/png", "missing.png"),
        ("--at missing.png", "is no media type"),
        ("-a - -a -", "standard input can be attached once"),
        ("-a - --at - text/plain", "standard input can be attached once"),
        ("-a - --no-stdin", "--no-stdin does not read it"),
    ],
)
@pytest.mark.parametrize("more", ["", " --dry-run"])
def test_what_contradicts_itself_or_cannot_be_sent_is_refused_before_anything_is_sent(
    biology: Run, gateway: DemoGateway, home: Path, flags: str, said: str, more: str
) -> None:
    ended = biology(f"chat {flags}{more} hello", stdin="", exit_code=2)

    assert said in ended.err
    assert ended.out == ""
    assert gateway.requests == []
    assert rows(home, "SELECT (SELECT count(*) FROM sessions) + (SELECT count(*) FROM ai_usage)") == [(0,)]


def test_a_slip_in_a_fields_name_is_sent_and_said_on_standard_error(biology: Run, gateway: DemoGateway) -> None:
    said = biology("chat -q -o temprature 1 -o provider.zdr true -m demo/echo hello")

    assert said.out == "hello\n"
    assert "did you mean `temperature`?" in said.err
    assert "did you mean `-o provider '{\"zdr\": ...}'`?" in said.err
    assert fields(gateway) == {"temprature": 1, "provider.zdr": True}


def test_a_fallback_may_be_an_alias(biology: Run, gateway: DemoGateway) -> None:
    biology("config set alias.fast some/small-model")
    biology("chat --fallback FAST --fallback a/b hello")

    assert fields(gateway)["models"] == ["some/small-model", "a/b"]


# Attachments


def test_what_is_attached_goes_along_in_its_order(biology: Run, gateway: DemoGateway, tmp_path: Path) -> None:
    (tmp_path / "dot.png").write_bytes(PNG)
    (tmp_path / "data.bin").write_text("1;2")
    said = biology("chat -m demo/seen --at data.bin text/csv -a dot.png hello")

    assert "image, data:image/png;base64" in said.out
    [text, image] = gateway.requests[-1].body["messages"][-1]["content"]
    assert text["text"].startswith("hello\n")
    assert 'File "data.bin"' in text["text"]
    assert image["type"] == "image_url"


def test_standard_input_can_be_attached_and_is_then_no_part_of_the_question(
    biology: Run, gateway: DemoGateway
) -> None:
    biology("chat -a - hello", stdin=PNG)
    content: Any = gateway.requests[-1].body["messages"][-1]["content"]
    assert [part["type"] for part in content] == ["text", "image_url"]
    assert content[0]["text"] == "hello"

    biology("chat --at - text/plain hello", stdin="notes")
    content = gateway.requests[-1].body["messages"][-1]["content"]
    assert content.startswith("hello\n\nFile ")
    assert "\nnotes\n" in content


def test_standard_input_that_is_attached_leaves_no_question_to_read(biology: Run, gateway: DemoGateway) -> None:
    said = biology("chat -a -", stdin=PNG, exit_code=2)

    assert "there is no prompt" in said.err
    assert gateway.requests == []


def test_the_engine_for_a_pdf_is_the_free_one_or_the_one_that_is_named(
    biology: Run, gateway: DemoGateway, tmp_path: Path
) -> None:
    (tmp_path / "page.pdf").write_bytes(PDF)
    for flags, engine in (("", "cloudflare-ai"), ("--pdf-engine native", "native")):
        biology(f"chat -a page.pdf {flags} hello")
        assert fields(gateway)["plugins"] == [{"id": "file-parser", "pdf": {"engine": engine}}]


# The shape of the answer


def test_a_schema_is_sent_and_the_reply_checked(biology: Run, gateway: DemoGateway) -> None:
    said = biology("chat -m demo/json --schema 'name, age int: in years' 'Invent a dog'")

    assert json.loads(said.out) == {"name": "demo", "age": 1}
    assert fields(gateway) == {
        "response_format": {
            "type": "json_schema",
            "json_schema": {
                "name": "reply",
                "strict": True,
                "schema": {
                    "type": "object",
                    "properties": {
                        "name": {"type": "string"},
                        "age": {"type": "integer", "description": "in years"},
                    },
                    "required": ["name", "age"],
                    "additionalProperties": False,
                },
            },
        },
        "provider": {"require_parameters": True},
    }


def test_a_schema_goes_with_what_else_is_said_of_hosts(biology: Run, gateway: DemoGateway, tmp_path: Path) -> None:
    (tmp_path / "shape.json").write_text('{"type": "object", "properties": {"a": {"type": "integer"}}}')
    biology('chat -m demo/json --schema shape.json --zdr -o provider \'{"order": ["x"]}\' hello')

    sent = fields(gateway)
    assert sent["provider"] == {"order": ["x"], "zdr": True, "require_parameters": True}
    assert sent["response_format"]["json_schema"]["strict"] is False


def test_a_reply_that_does_not_fit_is_written_and_kept_and_ends_with_1(biology: Run, home: Path) -> None:
    said = biology('chat -m demo/echo --schema \'name, age int\' \'{"name": "x", "age": "4"}\'', exit_code=1)
    assert said.out == '{"name": "x", "age": "4"}\n'
    assert 'does not fit the schema at `/age`: the value is not of type "integer"' in said.err

    said = biology("chat -m demo/echo --schema name 'no JSON at all' --json", exit_code=1)
    assert json.loads(said.out)["content"] == "no JSON at all"
    error = json.loads(said.err)
    assert (error["code"], error["statusCode"]) == ("SCHEMA_MISMATCH", 422)
    assert "the reply is not JSON: " in error["error"]
    assert rows(home, "SELECT DISTINCT state FROM messages") == [("complete",)]
    assert rows(home, "SELECT count(*) FROM ai_usage") == [(2,)]


def test_x_writes_the_first_block_and_nothing_else(biology: Run) -> None:
    said = biology(["chat", "-m", "demo/echo", "-x", "Try:\n\n```sh\nls -l\n```\nor\n```\nno\n```"])

    assert said.out == "ls -l\n"
    assert said.err == ""


def test_x_with_json_leaves_the_content_whole(biology: Run) -> None:
    text = "Try:\n```\nls\n```"
    document = json.loads(biology(["chat", "-m", "demo/echo", "-x", "--json", text]).out)

    assert (document["content"], document["extracted"]) == (text, "ls\n")


def test_x_without_a_block_writes_nothing_and_ends_with_1(biology: Run) -> None:
    said = biology("chat -m demo/echo -x hello", exit_code=1)

    assert said.out == ""
    assert "no code block" in said.err


@pytest.mark.parametrize("flag", ["-x", "--dry-run"])
def test_a_conversation_has_no_single_answer_to_extract_from_and_no_single_request(
    biology: Run, gateway: DemoGateway, flag: str
) -> None:
    with AtTerminal("chat", flag) as terminal:
        said = terminal.ends(2)

    assert f"{flag} needs a prompt" in said
    assert gateway.requests == []


def test_a_reply_that_was_cut_is_not_blamed_for_its_shape(biology: Run) -> None:
    said = biology("chat -m demo/cut --schema name --json hello", exit_code=1)

    assert json.loads(said.err)["code"] == "INCOMPLETE_REPLY"
