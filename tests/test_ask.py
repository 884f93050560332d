"""What `chat` sends with a question, and what it says once the reply is written."""

import io
import json
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from conftest import Run, rows
from processes import AtTerminal
from screen import Clock

from raptchat.cli.chat.notes import cite, usage_line, warn
from raptchat.cli.chat.pace import Pace
from raptchat.demo import Answer, DemoGateway
from raptchat.records import Chunk, Citation, ContentChunk, DoneChunk, ReasoningChunk, RetryChunk, Usage
from raptchat.render import Terminal

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89"


def done(**fields: object) -> DoneChunk:
    values: dict[str, object] = {"content": "x", "usage": Usage(), "model": "a/b", "finish_reason": "stop"}
    return DoneChunk(**{**values, **fields})  # type: ignore[arg-type]


def paced(pace: Pace, clock: Clock, *steps: tuple[float, Chunk]) -> None:
    def chunks() -> Iterator[Chunk]:
        for seconds, chunk in steps:
            clock.now += seconds
            yield chunk

    assert list(pace.of(chunks())) == [chunk for _, chunk in steps]


def said_by(terminal: Terminal) -> str:
    assert isinstance(terminal.err, io.StringIO)
    return terminal.err.getvalue()


def test_the_pace_is_that_of_the_tokens_that_came() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.ask()
    clock.now += 1
    pace.ask()  # tried again

    paced(
        pace, clock, (0.0, RetryChunk("busy", 0)), (0.5, ContentChunk("a")), (2.0, ContentChunk("b")), (9, done())
    )

    assert pace.seconds_to_first_token == 1.5
    assert pace.tokens_per_second(Usage(output_tokens=100)) == 50
    assert pace.tokens_per_second(Usage(output_tokens=100, reasoning_tokens=60)) == 20
    assert pace.tokens_per_second(Usage()) is None
    assert pace.tokens_per_second(Usage(output_tokens=60, reasoning_tokens=60)) is None


def test_thoughts_that_came_are_among_the_tokens_that_came() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.ask()

    paced(pace, clock, (1.0, ReasoningChunk("a")), (4.0, ContentChunk("b")), (0.0, done()))

    assert pace.seconds_to_first_token == 1
    assert pace.tokens_per_second(Usage(output_tokens=100, reasoning_tokens=60)) == 25


def test_a_reply_in_one_piece_has_no_speed_and_one_that_never_came_no_pace() -> None:
    clock = Clock()
    whole, nothing = Pace(clock), Pace(clock)
    for pace in (whole, nothing):
        pace.ask()

    paced(whole, clock, (1.0, ContentChunk("all of it")), (1.0, done()))
    paced(nothing, clock, (1.0, done()))

    assert whole.seconds_to_first_token == 1
    assert whole.tokens_per_second(Usage(output_tokens=10)) is None
    assert nothing.seconds_to_first_token is None
    assert nothing.tokens_per_second(Usage(output_tokens=10)) is None


def test_the_usage_line_says_all_that_is_known_and_nothing_else() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.ask()
    paced(pace, clock, (0.84, ContentChunk("a")), (2.0, ContentChunk("b")))
    usage = Usage(1234, 567, 1801, 1000, 200, Decimal("0.001234"))

    assert usage_line(done(usage=usage), pace) == (
        "1,234 tokens in (1,000 cached), 567 out (200 reasoning), $0.001234, a/b, "
        "first token after 0.8 s, 184 tokens/s"
    )
    assert usage_line(done()) == "- tokens in, - out, cost unknown, a/b"
    assert usage_line(done(), Pace()) == "- tokens in, - out, cost unknown, a/b"


@pytest.mark.parametrize(
    ("asked", "fallbacks", "served", "told"),
    [
        ("a/b", ["c/d"], "a/b", False),
        ("a/b", ["c/d"], "c/d", True),
        ("a/b:free", ["c/d"], "a/b", False),
        ("a/b", ["c/d"], "a/b-2026-11-01", False),
        ("a/b", ["a/b-mini"], "a/b-mini", True),
        ("a/b-mini", ["a/b"], "a/b-mini-2026", False),
        ("a/b-mini", ["a/b"], "a/b-2026", True),
        ("a/b", ["a/b", "c/d"], "c/d", True),
        ("a/b", ["c/d"], "e/f", True),
        ("~a/b-latest", ["c/d"], "a/b-4.5", False),
        ("~a/b-latest", ["c/d"], "c/d", True),
        ("openrouter/auto", ["c/d"], "e/f", False),
    ],
)
def test_a_fallback_that_answered_is_told(asked: str, fallbacks: list[str], served: str, *, told: bool) -> None:
    terminal = Terminal.recorded()

    warn(terminal, done(model=served), asked=asked, options={"models": fallbacks})

    assert said_by(terminal) == (f"{served} answered in place of {asked}\n" if told else "")


@pytest.mark.parametrize("options", [{}, {"models": []}, {"models": "c/d"}, {"models": [7, None]}])
def test_without_fallbacks_none_is_told(options: dict[str, object]) -> None:
    terminal = Terminal.recorded()

    warn(terminal, done(model="c/d"), asked="a/b", options=options)

    assert said_by(terminal) == ""


def test_sources_are_numbered_where_somebody_looks_and_do_not_act() -> None:
    seen, piped = Terminal.recorded(is_tty=True), Terminal.recorded()
    citations = (Citation("https://example.org/a", "A\x1b[2J\nB"), Citation("https://example.org/b"))

    for terminal in (seen, piped):
        cite(terminal, done(citations=citations))
        cite(terminal, done())

    assert said_by(seen) == "sources:\n[1] A␛[2J␊B https://example.org/a\n[2] https://example.org/b\n"
    assert said_by(piped) == ""


def test_usage_is_said_with_its_pace(biology: Run) -> None:
    said = biology("chat -u -m demo/slow hello")

    assert said.out == "One word after the other\n"
    assert re.fullmatch(
        r"\d+ tokens in, \d+ out, \$0\.\d{6}, demo/slow, first token after [\d.]+ m?s, \d+ tokens/s\n", said.err
    )


def test_sources_at_a_terminal_and_in_json(biology: Run) -> None:
    with AtTerminal("chat", "-m", "demo/cited", "hello") as terminal:
        terminal.ends(0)
    assert terminal.screen()[-3:] == [
        "sources:",
        "[1] Osmosis https://example.org/osmosis",
        "[2] What a membrane lets through https://example.org/membrane",
    ]
    with AtTerminal("chat", "-m", "demo/cited", "-q", "hello") as terminal:
        terminal.ends(0)
    assert terminal.screen() == ["Water moves to where more is dissolved."]

    assert biology("chat -m demo/cited hello").err == ""
    document = json.loads(biology("chat -m demo/cited hello --json").out)
    assert document["citations"][0] == {"url": "https://example.org/osmosis", "title": "Osmosis"}


def test_json_has_the_reasoning_where_there_was_any(biology: Run) -> None:
    document = json.loads(biology("chat -m demo/reasoning hello --json").out)

    assert document["content"] == "It is 4."
    assert document["reasoning"] == "Two and two."
    assert not {"reasoning", "citations", "extracted"} & set(json.loads(biology("chat hello --json").out))


FENCED = "Run this:\n\n```sh\nls *.txt\n```\n\nand not\n\n```\nrm\n```\n"


def test_only_the_first_block_is_shown_and_the_whole_reply_is_kept(biology: Run, home: Path) -> None:
    assert biology(["chat", "-m", "demo/echo", "-x", FENCED]).out == "ls *.txt\n"
    assert biology(["chat", "-m", "demo/echo", "-x", "--raw", "```\na\x1b[1mb\n```"]).out == "a\x1b[1mb\n"
    assert biology(["chat", "-m", "demo/echo", "-x", "```\na\x1b[1mb\n```"]).out == "a[1mb\n"

    [(kept,)] = rows(home, "SELECT content FROM messages WHERE role = 'assistant' ORDER BY rowid LIMIT 1")
    assert kept == FENCED


def test_a_block_at_a_terminal_is_no_markdown_and_does_not_act(biology: Run) -> None:
    with AtTerminal("chat", "-m", "demo/echo", "-q", "-x", "```\n# a *b* \x1b[2J\n```") as terminal:
        terminal.ends(0)

    assert terminal.said == "# a *b* ␛[2J\r\n"


@pytest.mark.parametrize("private", [False, True])
def test_a_reply_without_a_block_is_kept_and_an_error(biology: Run, home: Path, *, private: bool) -> None:
    said = biology(["chat", "-m", "demo/echo", "-x", "-u", "no code", *(["--private"] * private)], exit_code=1)

    assert said.out == ""
    usage, error, hint = said.err.splitlines()
    assert "tokens in" in usage
    assert error == "raptchat: the reply has no code block to extract"
    assert ("raptchat sessions show " in hint) is not private
    assert rows(home, "SELECT state FROM messages WHERE role = 'assistant'") == (
        [] if private else [("complete",)]
    )


def test_an_extracted_block_in_json_stands_beside_the_whole_reply(biology: Run) -> None:
    document = json.loads(biology(["chat", "-m", "demo/echo", "-x", "--json", FENCED]).out)
    assert (document["content"], document["extracted"]) == (FENCED, "ls *.txt\n")

    said = biology(["chat", "-m", "demo/echo", "-x", "--json", "no code"], exit_code=1)
    assert json.loads(said.out)["extracted"] is None
    assert json.loads(said.err)["code"] == "INCOMPLETE_REPLY"

    lines = [
        json.loads(line) for line in biology(["chat", "-m", "demo/echo", "-x", "--jsonl", FENCED]).out.splitlines()
    ]
    assert "".join(line["text"] for line in lines[:-1]) == FENCED
    assert lines[-1]["extracted"] == "ls *.txt\n"


def test_a_cut_reply_is_no_block(biology: Run) -> None:
    assert biology("chat -m demo/cut -x hello", exit_code=1).out == ""


def test_a_reply_of_another_shape_was_written_and_is_an_error(biology: Run, gateway: DemoGateway) -> None:
    fits = biology(["chat", "-m", "demo/json", "--schema", "name, age int", "hello"])
    assert json.loads(fits.out) == {"name": "demo", "age": 1}

    said = biology(["chat", "-m", "demo/echo", "--schema", "name, age int", '{"name": 7}'], exit_code=1)
    assert said.out == '{"name": 7}\n'
    assert said.err.startswith("raptchat: ")

    said = biology(["chat", "-m", "demo/echo", "--json", "--schema", "age int", '{"age": "x"}'], exit_code=1)
    assert json.loads(said.out)["content"] == '{"age": "x"}'
    assert json.loads(said.err)["code"] == "SCHEMA_MISMATCH"
    assert len(gateway.requests) == 3


def test_attachments_are_sent_and_a_dry_run_names_them(biology: Run, gateway: DemoGateway, tmp_path: Path) -> None:
    (tmp_path / "cell.png").write_bytes(PNG)

    dry = json.loads(biology("chat --dry-run -a cell.png look").out)
    assert gateway.requests == []
    [message] = dry["request"]["messages"]
    assert message["content"][0] == {"type": "text", "text": "look"}
    assert re.fullmatch(r"<image/png, .*, cell\.png>", message["content"][1]["image_url"]["url"])
    assert "base64" not in json.dumps(dry)

    biology("chat -a cell.png look")
    [sent] = gateway.requests[-1].body["messages"]
    assert sent["content"][1]["image_url"]["url"].startswith("data:image/png;base64,")


def test_attachments_of_a_private_message_are_sent_too(biology: Run, gateway: DemoGateway, tmp_path: Path) -> None:
    (tmp_path / "cell.png").write_bytes(PNG)

    biology("chat --private -a cell.png look")

    assert gateway.requests[-1].body["messages"][0]["content"][1]["type"] == "image_url"


def test_a_fallback_that_answers_is_told_also_when_quiet(biology: Run, gateway: DemoGateway) -> None:
    chunk = {"model": "demo/echo", "choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}]}
    body = f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n".encode()
    for answered in ("demo/echo", "demo/reply"):
        gateway.answer(Answer(body=[body.replace(b"demo/echo", answered.encode())]))
        said = biology("chat -q -m demo/reply --fallback demo/echo hello")
        assert said.out == "hi\n"
        assert said.err == ("demo/echo answered in place of demo/reply\n" if answered == "demo/echo" else "")


def test_what_the_model_does_not_take_is_neither_sent_nor_stored(
    biology: Run, gateway: DemoGateway, home: Path, tmp_path: Path
) -> None:
    (tmp_path / "cell.png").write_bytes(PNG)
    listed = {"id": "lab/text", "name": "Text", "architecture": {"input_modalities": ["text"]}}
    gateway.answer(Answer(200, {"Content-Type": "application/json"}, [json.dumps({"data": [listed]}).encode()]))
    biology("models")
    asked = len(gateway.requests)

    for dry in ("", "--dry-run"):
        said = biology(f"chat -m lab/text -a cell.png {dry} look", exit_code=2)
        assert "lab/text" in said.err
    assert len(gateway.requests) == asked
    assert rows(home, "SELECT (SELECT count(*) FROM sessions) + (SELECT count(*) FROM messages)") == [(0,)]

    biology("chat -m lab/text look")
    biology("chat -m demo/reply -a cell.png look")
    assert len(gateway.requests) == asked + 2
