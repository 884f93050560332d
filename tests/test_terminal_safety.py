"""No text from outside acts on a terminal, whichever way it goes there (ECMA-48, UAX #9; checked with pyte)."""

import ast
import io
import json
import random
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pyte
import pytest
from conftest import Run
from processes import AtTerminal
from sample_files import PNG

import raptchat
from raptchat.cli.chat.notes import cite, usage_line, warn
from raptchat.errors import AiNotConfiguredError, SchemaMismatchError, UsageError
from raptchat.records import (
    Attachment,
    Chunk,
    Citation,
    ContentChunk,
    DoneChunk,
    FoundMessage,
    Message,
    ReasoningChunk,
    RetryChunk,
    Session,
    Usage,
)
from raptchat.render import Terminal, charts, errors, search_results, tables, transcript
from raptchat.render.markdown import MarkdownWriter
from raptchat.render.reasoning import Tail
from raptchat.render.region import Region
from raptchat.render.reply import ReasoningView, ReplyFormat, show
from raptchat.render.waiting import Waiting
from raptchat.schema import Schema
from raptchat.store.groups import name_key

PAYLOADS = [
    *map(chr, range(0x20)),
    *map(chr, range(0x7F, 0xA0)),
    "\x1b[2J\x1b[H",  # erase everything
    "\x1b[31mred\x1b[0m",
    "\x9b31mred",  # CSI in 8 bits
    "\x1b[6n\x1b[c\x1b[>c",  # questions, whose answers are typed into the shell
    "\x1b]0;title\x07",
    "\x1b]8;;https://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "\x1b]52;c;cm0gLXJmIH4=\x07",  # writes to the clipboard
    "\x9d52;c;cm0gLXJmIH4=\x9c",
    "\x1bP+q544e\x1b\\",  # DCS
    "\x1b_Gpayload\x1b\\",  # APC
    "\x1bX\x1b^\x1bc\x1b#8\x1b(0",
    "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[5;5r",
    "a\rb\x08c\x07",
    "\u202eevil\u202c \u2066x\u2069 \u202a\u202b\u202d",
    "\u2028\u2029\ufeff\ufff9\U000e0041",
    "\ud800\udfff",
    "[bold]x[/bold] [link=https://evil.example]y[/link] [/nothing] :smile:",
    "<script>alert(1)</script><kbd></kbd></kbd>",
    "&#27;[2J &#x9b;2J &#x202e; &#x2028; &#12; &#7; &#0;",
    "![x](\x1b]0;t\x07) [a](b\x1b[2J 'c\x9b') <http://\x1b[2J>",
    "```\x1b[2J\n\x1b[2J\n```",
    "| \x1b[2J | b |\n|---|---|\n| \x07 | \x9b |",
    "\x1b",
    "[2J",
]

_SEQUENCE = re.compile(
    r"\x1b\[[0-9;]*m"  # colours and weights
    r"|\x1b\[\?7l|\x1b\[\?7h\r"  # what is painted does not wrap
    r"|\x1b\[[0-9]+A|\x1b\[[JK]"  # back to its first row; a row, or all below, is erased
    r"|\x1b\[\?25[lh]"  # it has no cursor
    r"|\r\x1b\[J"  # what stood on standard error for a while goes
)
_ACTS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufff9-\ufffb\ufeff"
    r"\U000e0000-\U000e007f\ud800-\udfff]"
)


def acting(text: str) -> list[str]:
    """What in *text* acts on a terminal and is not ours."""
    return _ACTS.findall(_SEQUENCE.sub("", text))


def chunks(text: str) -> Iterator[Chunk]:
    yield RetryChunk(text, 1.0)
    yield ReasoningChunk(text)
    # In two pieces, so that a sequence is cut.
    yield ContentChunk(text[: len(text) // 2])
    yield ContentChunk(text[len(text) // 2 :])
    yield DoneChunk(text, Usage(), text, text)


def markdown(terminal: Terminal, text: str) -> None:
    now = 0.0
    writer = MarkdownWriter(terminal, clock=lambda: now)
    for at in range(0, len(text), 150):
        now += 1
        writer.text(text[at : at + 150])
    writer.end()


def reply(
    how: ReplyFormat, *, stream: bool = True, reasoning: ReasoningView = ReasoningView.FOLD
) -> Callable[[Terminal, str], None]:
    def write(terminal: Terminal, text: str) -> None:
        show(chunks(text), terminal, how, stream=stream, reasoning=reasoning)

    return write


def done(text: str) -> DoneChunk:
    return DoneChunk(text, Usage(), text, "length", citations=(Citation(text, text), Citation(text)))


def waiting(terminal: Terminal, text: str) -> None:
    with Waiting(terminal, host=text, model=text) as waits:
        thoughts: list[Chunk] = [
            ReasoningChunk(text),
            RetryChunk(text, 1.0),
            ReasoningChunk(text),
            ContentChunk(text),
        ]
        for stage in ("connecting", "waiting", "processing"):
            waits.note(stage)
            waits.paint()
        for chunk in thoughts:
            show([chunk], terminal, ReplyFormat.PLAIN, waiting=waits)
            waits.paint()


def folded(terminal: Terminal, text: str) -> None:
    tail = Tail()
    tail.add(text[: len(text) // 2])
    tail.add(text[len(text) // 2 :])
    Region(terminal).paint(tail.lines(60))


def whole_session(terminal: Terminal, text: str) -> None:
    file = Attachment(text, text, text, 1)
    messages = [Message("user", text, 1, "failed", text, text, text, text, (file,)), Message("assistant", text, 2)]
    session = Session(text, text, text, text, text, text, text)
    transcript.show(terminal, transcript.as_markdown(session, text, messages))


def reply_of_no_shape(terminal: Terminal, text: str) -> None:
    names = "\n".join(("first", f"second: {text}"))
    for name, wrong in ((text, "{}"), (names, text), (names, json.dumps({text: 1})), (f"{text}.json", "")):
        try:
            Schema.read(name).check(wrong)
        except (SchemaMismatchError, UsageError) as error:
            errors.error(terminal, error)


def bar(text: str) -> charts.Bar:
    return charts.Bar(text, None, unknown=True, figures=(text,))


WAYS: dict[str, Callable[[Terminal, str], None]] = {
    "say": lambda terminal, text: terminal.say(text),
    "plain": reply(ReplyFormat.PLAIN),
    "plain, at the end": reply(ReplyFormat.PLAIN, stream=False),
    "raw": reply(ReplyFormat.RAW),
    "markdown": reply(ReplyFormat.MARKDOWN),
    "markdown, at the end": reply(ReplyFormat.MARKDOWN, stream=False),
    "markdown, painted": markdown,
    "reasoning": reply(ReplyFormat.MARKDOWN, reasoning=ReasoningView.SHOW),
    "reasoning, folded": folded,
    "waiting": waiting,
    "citations": lambda terminal, text: cite(terminal, done(text)),
    "warnings": lambda terminal, text: warn(terminal, done(text), asked=f"{text}b", options={"models": [text]}),
    "usage": lambda terminal, text: terminal.say(usage_line(done(text))),
    "session": whole_session,
    "found": lambda terminal, text: search_results.show(
        terminal, [FoundMessage(text, text, text, text, 1, "user", text, (text, text, text))]
    ),
    "schema": reply_of_no_shape,
    "jsonl": reply(ReplyFormat.JSONL),
    "json": reply(ReplyFormat.JSON),
    "table": lambda terminal, text: tables.table(terminal, [text, "b"], [[text, text]], empty=text),
    "narrow table": lambda terminal, text: tables.table(terminal, [text] * 20, [[text] * 20], empty=text),
    "empty table": lambda terminal, text: tables.table(terminal, [text], [], empty=text),
    "fields": lambda terminal, text: tables.fields(terminal, [(text, text), ("b", None)]),
    "document": lambda terminal, text: tables.document(terminal, {text: [text]}),
    "csv": lambda terminal, text: tables.csv_rows(terminal, ["a", text], [[text, None]]),
    "bars": lambda terminal, text: charts.bars(terminal, [bar(text)], [text], total=bar("total")),
    "error": lambda terminal, text: errors.error(terminal, UsageError(text, hint=text)),
    "error in json": lambda terminal, text: errors.error(
        terminal, UsageError(text, hint=text, group=text), as_json=True
    ),
    "not configured": lambda terminal, text: errors.error(
        terminal, AiNotConfiguredError(text, hint=text, group=text, provider=text)
    ),
}


def output(way: str, text: str, *, is_tty: bool = True) -> str:
    """All that *way* writes of *text*."""
    terminal = Terminal.recorded(is_tty=is_tty)
    WAYS[way](terminal, text)
    assert isinstance(terminal.out, io.StringIO)
    assert isinstance(terminal.err, io.StringIO)
    # The rows of CSV end in CR LF (RFC 4180).
    return terminal.out.getvalue().replace("\r\n", "\n") + terminal.err.getvalue()


def hostile(count: int) -> Iterator[str]:
    """Random texts: payloads, pieces of payloads, Markdown and letters."""
    chance = random.Random(20261122)
    alphabet = "".join(PAYLOADS) + "\x1b\x9b\x9d[];?0123ABCHJKmhl" * 20 + "ab *_`~#>|-[]()\n\n" * 20
    for _ in range(count):
        yield "".join(chance.choices(alphabet, k=chance.randrange(1, 24)))


class Recorder:
    """A listener of pyte's that remembers which control functions the text called, modes by their number."""

    def __init__(self) -> None:
        self.reached: set[str] = set()

    def __getattr__(self, name: str) -> Callable[..., None]:
        def remember(*numbers: int, **_: object) -> None:
            self.reached.add(f"{name} {numbers[0]}" if name.endswith("_mode") and numbers else name)

        return remember


def reached(text: str) -> set[str]:
    """The control functions of a terminal that *text* calls; carriage returns are the terminal driver's."""
    recorder = Recorder()
    pyte.Stream(recorder).feed(  # type: ignore[arg-type]
        text.replace("\n", "\r\n")
    )
    return recorder.reached


OURS = {
    "draw",
    "linefeed",
    "carriage_return",
    "tab",
    "select_graphic_rendition",
    "cursor_up",
    "erase_in_display",
    "erase_in_line",
    "set_mode 7",
    "reset_mode 7",
    "set_mode 25",
    "reset_mode 25",
}


def test_the_emulator_notices_what_is_not_cleaned() -> None:
    assert reached("Hello\n") == {"draw", "linefeed", "carriage_return"}
    assert reached("\x1b]0;title\x07") == {"set_title", "set_icon_name"}
    assert sum(bool(reached(payload) - OURS) for payload in PAYLOADS) >= 12
    assert sum(bool(acting(payload)) for payload in PAYLOADS) > 70


@pytest.mark.parametrize("way", WAYS)
def test_no_payload_acts_on_a_terminal(way: str) -> None:
    outputs = [output(way, payload) for payload in PAYLOADS]

    assert {payload: acting(text) for payload, text in zip(PAYLOADS, outputs, strict=True) if acting(text)} == {}
    assert reached("".join(outputs)) <= OURS


@pytest.mark.parametrize("way", WAYS)
def test_no_random_text_acts_on_a_terminal(way: str) -> None:
    texts = list(hostile(5_000))
    # A hundred at a time, each its own paragraph: rich and pyte are slow to start.
    outputs = "".join(output(way, "\n\n".join(texts[at : at + 100])) for at in range(0, len(texts), 100))

    assert acting(outputs) == []
    assert reached(outputs) <= OURS


@pytest.mark.parametrize(
    "way",
    [
        *("plain", "markdown", "table", "fields", "csv", "jsonl", "json", "document"),
        *("session", "found", "reasoning", "bars"),
    ],
)
def test_into_a_pipe_goes_no_control_character_but_newline_tab_and_return(way: str) -> None:
    text = "\n\n".join(hostile(2_000))

    assert set(re.findall(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", output(way, text, is_tty=False))) <= {
        "\n",
        "\t",
        "\r",
    }


def test_raw_into_a_pipe_is_the_one_way_that_cleans_nothing() -> None:
    text = "\n\n".join(hostile(500))
    terminal = Terminal.recorded()

    show([ContentChunk(text)], terminal, ReplyFormat.RAW)

    assert isinstance(terminal.out, io.StringIO)
    assert terminal.out.getvalue() == text


HOSTILE = "\x1b]0;owned\x07\x9b2J\x1b[2J\x1b]52;c;eA==\x07\u202ex"
# Wherever the store and the list of models have a text that somebody else may have chosen.
EVERYWHERE = (
    ("groups", ("name", "description", "model", "system_prompt")),
    ("sessions", ("title", "model", "system_prompt")),
    ("messages", ("content", "model", "reasoning", "created_at")),
    ("message_attachments", ("name", "media_type")),
    ("ai_credentials", ("label", "key_hint", "created_by", "created_at")),
    ("ai_usage", ("model", "group_name", "os_user", "finish_reason")),
)
NAMED = ("sessions", "groups", "ai_credentials")
LOOKS = (
    "sessions",
    "sessions show {0}",
    "sessions search osmosis",
    "sessions export {0}",
    "sessions export {0} -f html",
    "sessions export {0} -f json",
    "sessions fork {0} --at 99",
    "sessions remove {0}",
    "events",
    "usage --by group,model",
    "usage --by session",
    "group list",
    "group show {1}",
    "credentials list",
    "credentials show {2}",
    "whoami",
    "models",
    "models x",
    "chat -m demo/rply hello",
    "chat --dry-run hello",
)

# They show ids only, or what was checked when the list of models was read.
CLEAN = {"sessions fork {0} --at 99", "sessions remove {0}", "usage --by session", "models", "models x"}


@pytest.fixture
def hostile_home(biology: Run, home: Path, tmp_path: Path) -> list[str]:
    """Ids of a session, a group and a credential in a store that somebody else has filled."""
    (tmp_path / "cell.png").write_bytes(PNG)
    biology("chat -m demo/reasoning -a cell.png osmosis")
    biology("models")
    with closing(sqlite3.connect(home / "raptchat.db")) as db, db:
        for table, columns in EVERYWHERE:
            for column in columns:
                changed = f"UPDATE {table} SET {column} = coalesce({column}, '') || ?"  # noqa: S608
                db.execute(changed, (HOSTILE,))
        # No event can be changed; one more can be slipped in.
        db.execute(
            "INSERT INTO events (created_at, action, command, os_user, host, group_name, credential_id)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            [HOSTILE] * 7,
        )
        db.execute("UPDATE groups SET name_key = ?", (name_key(f"biology{HOSTILE}"),))
        ids = [db.execute(f"SELECT id FROM {table}").fetchone()[0] for table in NAMED]  # noqa: S608
    [cache] = (home / "models").iterdir()
    listed = json.loads(cache.read_text(encoding="utf-8"))
    for model in listed["models"]:
        model |= {"name": HOSTILE, "expiration_date": HOSTILE, "supported_parameters": [HOSTILE, "x"]}
    listed["models"].append({"id": HOSTILE, "name": HOSTILE})
    cache.write_text(json.dumps(listed), encoding="utf-8")
    return ids


def test_nothing_that_is_stored_acts_on_a_terminal_whichever_command_shows_it(
    hostile_home: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAGER", "cat")
    acted = {}
    for look in LOOKS:
        with AtTerminal(*look.format(*hostile_home).split()) as terminal:
            if "remove" in look:
                terminal.until("[y/N]")
                terminal.keys("n\r")
            terminal.ends(None)
        said = terminal.said.replace("\r\n", "\n")
        assert "a bug in raptchat" not in said
        assert ("\u241b" in said or "\\u001b" in said) is (look not in CLEAN), said
        acted[look] = acting(said)

    assert {look: found for look, found in acted.items() if found} == {}


# Where text may leave the process: through Terminal, drawn by drawing.py, and through the prompts of the command
# line, which write their own words and wait for an answer.
ALLOWED = {
    "render/__init__.py": {"sys.stdout", "sys.stderr"},
    "render/drawing.py": {"Console"},
    # The line editor draws what is typed; what it shows beside that is made safe.
    "cli/chat/conversation/prompt.py": {"Vt100_Output"},
}
PROMPTS = {"getpass", "getpass.getpass", "typer.prompt", "typer.confirm", "input"}
_WRITERS = {"print", "Console", "typer.echo", "typer.secho", "click.echo", "click.secho", "rich.print", "os.write"}
_LINE_EDITORS = {"create_output", "Vt100_Output", "Vt100_Output.from_pty", "print_formatted_text"}
_STREAMS = {"sys.stdout", "sys.stderr", "sys.__stdout__", "sys.__stderr__"}


def names_of_writers(source: str) -> set[str]:
    """What in *source* writes to a terminal, or asks there."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in _WRITERS | _LINE_EDITORS | PROMPTS:
            found.add(ast.unparse(node.func))
        elif isinstance(node, ast.Attribute) and ast.unparse(node) in _STREAMS:
            found.add(ast.unparse(node))
        elif isinstance(node, ast.ImportFrom) and node.module == "sys":
            found.update(f"sys.{alias.name}" for alias in node.names if f"sys.{alias.name}" in _STREAMS)
    return found


def test_the_scan_finds_every_way_to_write() -> None:
    source = "sys.stdout.write('')\nfrom sys import stderr\nprint(1), typer.echo(''), Console().print(''), input()"

    assert names_of_writers(source) == {"print", "sys.stdout", "sys.stderr", "typer.echo", "Console", "input"}


def test_nothing_writes_to_a_terminal_but_render_and_the_prompts() -> None:
    package = Path(raptchat.__file__).parent
    found = {
        file.relative_to(package).as_posix(): names_of_writers(file.read_text(encoding="utf-8"))
        for file in package.rglob("*.py")
    }
    wrong = {}
    for file, names in found.items():
        allowed = ALLOWED.get(file, set()) | (PROMPTS if file.startswith("cli/") else set())
        if names - allowed:
            wrong[file] = names - allowed

    assert wrong == {}
    assert found["render/__init__.py"] == ALLOWED["render/__init__.py"]
    assert found["render/drawing.py"] == ALLOWED["render/drawing.py"]
