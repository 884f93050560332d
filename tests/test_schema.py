"""`--schema`: how it is given, what is refused before anything is sent, and whether a reply fits."""

import json
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raptchat.errors import SchemaMismatchError, UsageError
from raptchat.outside import safe_line
from raptchat.schema import Schema

PERSON = Schema.read("name, age int")


def refused(text: str) -> str:
    """What is said of a schema that cannot be one."""
    with pytest.raises(UsageError) as error:
        Schema.read(text)
    message = str(error.value)
    assert len(message) < 600
    assert message.isprintable()
    return message


def mismatch(schema: Schema, reply: str) -> str:
    """What is said of a reply that does not fit."""
    with pytest.raises(SchemaMismatchError) as error:
        schema.check(reply)
    message = str(error.value)
    assert len(message) < 600
    assert message.isprintable()
    return message


# The short form


def test_the_short_form_makes_every_field_required_and_no_others_allowed() -> None:
    schema = Schema.read("name, age int, height float, is_alive bool, note str: any remark, bio: who it is")

    assert schema.document == {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "age": {"type": "integer"},
            "height": {"type": "number"},
            "is_alive": {"type": "boolean"},
            "note": {"type": "string", "description": "any remark"},
            "bio": {"type": "string", "description": "who it is"},
        },
        "required": ["name", "age", "height", "is_alive", "note", "bio"],
        "additionalProperties": False,
    }


def test_with_a_field_on_each_line_a_description_may_hold_commas_and_colons() -> None:
    schema = Schema.read("\n  name\r\n\n age int : in years, so far: whole ones\n")

    assert schema.document["properties"] == {
        "name": {"type": "string"},
        "age": {"type": "integer", "description": "in years, so far: whole ones"},
    }


def test_one_name_alone_and_a_comma_at_the_end_are_the_short_form_too() -> None:
    assert list(Schema.read("résumé-1,").document["properties"]) == ["résumé-1"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the schema is empty"),
        (" , ,", "the schema is empty"),
        ("-", "`-` is no field"),
        ("name, age integer", "`age integer` is no field"),
        ("name, age int years", "`age int years` is no field"),
        ("bio: short, in one sentence", "`in one sentence` is no field"),
        (": a description", "`: a description` is no field"),
        ("name, age int, name", "names `name` twice"),
        ("a\x1b[2Jb", "no field"),
        ("x" * 100_000, "no field"),
        ("name: \udcff", "not Unicode"),
        ("a\0b", "no field"),
    ],
)
def test_what_is_no_short_form_is_refused_and_named(text: str, said: str) -> None:
    assert said in refused(text)


@given(st.text(max_size=40))
def test_any_text_is_a_schema_or_a_usage_error(text: str) -> None:
    try:
        schema = Schema.read(text)
    except UsageError as error:
        assert str(error) == safe_line(str(error))  # noqa: PT017 - not every text is refused
    else:
        assert schema.document["properties"]


# Files and JSON


def test_a_schema_comes_from_a_file_or_is_json_itself(tmp_path: Path) -> None:
    document = {"type": "object", "properties": {"a": {"type": "integer"}}}
    file = tmp_path / "a shape, of mine"
    file.write_text(f"\ufeff{json.dumps(document)}\n", encoding="utf-8")

    assert Schema.read(str(file)).document == document
    assert Schema.read(f"\n {json.dumps(document)}").document == document


def test_a_schema_comes_from_a_pipe_with_a_name(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=('{"type": "object"}',))
    writer.start()
    schema = Schema.read(str(pipe))
    writer.join()

    assert schema.document == {"type": "object"}


def test_a_file_that_is_not_there_is_not_taken_for_a_field(tmp_path: Path) -> None:
    assert "no file `missing.json`" in refused("missing.json")
    assert "no file `./missing`" in refused("./missing")
    assert "no file" in refused(str(tmp_path))


def test_a_folder_of_a_fields_name_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "name").mkdir()

    assert list(Schema.read("name").document["properties"]) == ["name"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not JSON: Expecting value, line 1 column 1"),
        (b'{"type": "object",}', "not JSON: "),
        (b"true", "no JSON object"),
        (b"[]", "no JSON object"),
        (b"\xff\xfe{", "not UTF-8"),
        (b" " * 2_000_000, "larger than 1 MiB"),
        (b'{"type": "object", "type": "array"}', "has `type` twice"),
        (b'{"minimum": NaN}', "`NaN` is no JSON"),
        (b'{"minimum": 1e999}', "too large"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "nested too deeply"),
        (b'{"a":' * 201 + b"1" + b"}" * 201, "nested too deeply"),
    ],
)
def test_a_file_that_holds_no_schema_is_refused_and_why(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "shape.json"
    file.write_bytes(content)

    assert said in refused(str(file))


def test_a_file_that_cannot_be_read_is_named() -> None:
    # A file of this kind opens, and each read of it fails, also for root.
    assert "`/proc/self/mem` cannot be read" in refused("/proc/self/mem")


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"type": "objekt"}, "at `/type`"),
        ({"properties": {"a/b": {"type": "intger"}}}, 'at `/properties/a~1b/type`: "intger"'),
        ({"properties": 5}, "at `/properties`"),
        ({"pattern": "("}, "at `/pattern`"),
        ({"pattern": "((a{1,1000}){1,1000}){1,1000}"}, "at `/pattern`"),
        ({"required": "x" * 100_000}, "at `/required`"),
        ({"$schema": "https://example.org/\x1b[2Jmine"}, "no JSON Schema: "),
        ({"$schema": "https://example.org/mine"}, "no JSON Schema: "),
        ({"$ref": "#/$defs/missing"}, "no JSON Schema: "),
        ({"const": "\ud800"}, "not Unicode"),
    ],
)
def test_what_is_no_json_schema_is_refused_and_where(document: dict[str, object], said: str) -> None:
    assert said in refused(json.dumps(document))


def test_a_reference_reads_no_file_and_no_network(tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text('{"type": "integer"}')
    folder = tmp_path / "schema.json"
    for reference in (other.as_uri(), "other.json", "http://127.0.0.1:9/x.json", "https://example.org/x"):
        folder.write_text(json.dumps({"$ref": reference}))
        assert "the schema is no JSON Schema" in refused(str(folder))


def test_a_schema_says_which_draft_it_is_in() -> None:
    draft = "http://json-schema.org/draft-04/schema#"
    old = Schema({"$schema": draft, "maximum": 3, "exclusiveMaximum": True})

    assert "the value is greater than or equal to the maximum of 3" in mismatch(old, "3")
    assert "at `/exclusiveMaximum`" in refused('{"maximum": 3, "exclusiveMaximum": true}')


# What is sent


def test_only_a_schema_that_leaves_nothing_open_is_strict() -> None:
    def strict(document: dict[str, object]) -> object:
        form = Schema(document).response_format()
        assert form["type"] == "json_schema"
        inner = form["json_schema"]
        assert isinstance(inner, dict)
        assert (inner["name"], inner["schema"]) == ("reply", document)
        return inner["strict"]

    closed = {"type": "object", "properties": {"a": {}}, "required": ["a"], "additionalProperties": False}
    assert strict(closed) is True
    assert strict(PERSON.document) is True
    assert strict({**closed, "required": []}) is False
    assert strict({**closed, "additionalProperties": True}) is False
    assert (
        strict(
            {"type": "array", "items": [{"type": "object"}], "$schema": "http://json-schema.org/draft-07/schema#"}
        )
        is False
    )
    assert strict({"type": "array", "items": closed}) is True
    assert strict({"type": "array", "items": {"anyOf": [closed, {"type": "object"}]}}) is False
    assert strict({**closed, "properties": {"required": {"const": 1}}, "required": ["required"]}) is True
    assert strict({"const": {"properties": {"a": 1}, "required": 5}}) is False


# Replies


@pytest.mark.parametrize(
    "reply",
    [
        '{"name": "x", "age": 4}',
        '\n {"age": 4.0, "name": ""}\n\n',
        '```json\n{"name": "x", "age": 4}\n```',
        '\n```\r\n{"name": "x",\r\n "age": 4}\r\n```\r\n',
        '~~~~ JSON\n{"name": "~~~", "age": 4}\n  ~~~~\n',
    ],
)
def test_a_reply_that_fits_is_taken_also_in_a_fence(reply: str) -> None:
    PERSON.check(reply)


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ("", "the reply is not JSON: Expecting value, line 1 column 1"),
        ("Here you are: {}", "not JSON: "),
        ('```json\n{"name": "x", "age": 4}', "not JSON: "),
        ('````json\n{"name": "x", "age": 4}\n```', "not JSON: "),
        ('```json\n{"name": "x", "age": 4}\n```\nIs that right?', "not JSON: "),
        ('{"name": "x", "age": 4} {}', "not JSON: Extra data"),
        ('{"name": "x", "age": NaN}', "`NaN` is no JSON"),
        ('{"name": "x", "age": 1e999}', "the number 1e999 is too large"),
        ('{"name": "x", "age": 1' + "0" * 5000 + "}", "a number of 5001 digits is too large"),
        ('{"name": "x", "age": 4, "age": "five"}', "an object has `age` twice"),
        ("[" * 100_000, "nested too deeply"),
        ("[" * 201 + "]" * 201, "nested too deeply"),
        ("[]", 'the reply does not fit the schema: the value is not of type "object"'),
        ("null", "does not fit the schema: "),
        ('{"name": "x"}', 'schema: "age" is a required property'),
        ('{"name": "x", "age": "4"}', 'schema at `/age`: the value is not of type "integer"'),
        ('{"name": "x", "age": 4, "a\\u001b[2J": 1}', "'a␛[2J' was unexpected"),
        ('{"name": "x", "age": 4, "' + "y" * 100_000 + '": 1}', "does not fit the schema: "),
        (json.dumps({"name": "x", "age": "z" * 100_000}), "at `/age`: the value is not of type"),
    ],
)
def test_a_reply_that_does_not_fit_is_refused_where_and_why(reply: str, said: str) -> None:
    assert said in mismatch(PERSON, reply)


def test_where_is_a_json_pointer() -> None:
    items = {"type": "array", "items": {"type": "object", "properties": {"a/~b": {"type": "integer"}}}}
    nested = Schema({"type": "object", "properties": {"rows": items}})

    assert "at `/rows/2/a~1~0b`" in mismatch(nested, '{"rows": [{}, {}, {"a/~b": "1"}]}')


def test_a_reply_of_the_deepest_level_that_is_allowed_fits_a_schema_of_itself() -> None:
    tree = Schema({"type": ["array"], "items": {"$ref": "#"}})

    tree.check("[" * 200 + "]" * 200)


def test_a_pattern_that_would_take_for_ever_is_given_up() -> None:
    hostile = Schema({"pattern": r"^(a|aa)+(?<!b)$"})

    assert "backtracking" in mismatch(hostile, json.dumps("a" * 200 + "b"))


@pytest.mark.parametrize("fence", ["~", "`"])
def test_a_fence_of_any_length_is_seen_through_once(fence: str) -> None:
    with pytest.raises(SchemaMismatchError):
        Schema({}).check(fence * 200_000 + "\n" + "x\n" * 200_000)
    Schema({"type": "integer"}).check(f"{fence * 200_000}\n7\n{fence * 200_000}")


def test_half_a_character_is_no_text() -> None:
    assert "not Unicode" in mismatch(Schema({"minLength": 1}), '"\\ud83d"')


def test_a_reply_of_ten_megabytes_is_checked() -> None:
    rows = Schema({"type": "array", "items": {"type": "object", "properties": {"a": {"type": "integer"}}}})
    many = ",".join([f'{{"a":1234567,"b":"{"x" * 120}"}}'] * 75_000)

    rows.check(f"[{many}]")
    assert "at `/75000/a`" in mismatch(rows, f'[{many},{{"a":null}}]')
