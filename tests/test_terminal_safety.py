"""No text from outside acts on a terminal, whichever way it goes there (ECMA-48, UAX #9; checked with pyte)."""

import io
import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pyte
import pytest
from proof import Trials, tried

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
from raptchat.render.private_page import private_page
from raptchat.render.reasoning import Tail
from raptchat.render.region import Region
from raptchat.render.reply import ReasoningView, ReplyFormat, show
from raptchat.render.waiting import Waiting
from raptchat.schema import Schema

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
    r"|\x1b\[[0-9]+A|\x1b\[K|\x1b\[J\r?"  # back to its first row; a row, or all below, is erased
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
    # Of many texts each stands in one field or another: as Markdown they are slow to draw.
    texts = text.split("\n\n")
    stripes = ["\n\n".join(texts[at::_FIELDS]) or text for at in range(_FIELDS)]
    name, media_type, hash_, *fields = stripes
    file = Attachment(hash_, name, media_type, 1)
    question = Message("user", fields[0], 1, "failed", fields[1], fields[2], fields[3], fields[4], (file,))
    a, b, c, d, e, f, g = fields[5:12]
    session = Session(a, b, c, d, e, f, g)
    messages = [question, Message("assistant", fields[12], 2)]
    transcript.show(terminal, transcript.as_markdown(session, fields[12], messages))


def shown_once(terminal: Terminal, text: str) -> None:
    # Without the page's own sequences, which nobody else may use.
    with private_page(replace(terminal, err_repaints=False)) as show_page:
        show_page([text, f"  {text}"])


def reply_of_no_shape(terminal: Terminal, text: str) -> None:
    names = "\n".join(("first", f"second: {text}"))
    for name, wrong in ((text, "{}"), (names, text), (names, json.dumps({text: 1})), (f"{text}.json", "")):
        try:
            Schema.read(name).check(wrong)
        except (SchemaMismatchError, UsageError) as error:
            errors.error(terminal, error)


# More than a terminal has room for: the rows are then shown field by field.
WIDE = ["a" * 30] * 10
_FIELDS = 16


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
    "shown once": shown_once,
    "one line": Terminal.write_line,
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
    "narrow table": lambda terminal, text: tables.table(
        terminal, [text, text, *WIDE], [[text, text, *WIDE]], empty=text
    ),
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
    written = terminal.out.getvalue() + terminal.err.getvalue()
    # The rows of CSV end in CR LF (RFC 4180).
    return written.replace("\r\n", "\n") if way == "csv" else written


_ALPHABET = "".join(PAYLOADS) + "\x1b\x9b\x9d[];?0123ABCHJKmhl" * 20 + "ab *_`~#>|-[]()\n\n" * 20


def hostile(count: int, first: int = 0) -> Iterator[str]:
    """Random texts: payloads, pieces of payloads, Markdown and letters; each number has its own."""
    for number in range(first, first + count):
        chance = random.Random(number)
        yield "".join(chance.choices(_ALPHABET, k=chance.randrange(1, 24)))


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


def what_acts(way: str, texts: Sequence[str]) -> list[str]:
    """Those of *texts* that act on a terminal when *way* writes them, or some that do when they are together."""
    written = output(way, "\n\n".join(texts))
    if not acting(written) and reached(written) <= OURS:
        return []
    half = len(texts) // 2
    return (half and [*what_acts(way, texts[:half]), *what_acts(way, texts[half:])]) or list(texts)


def test_of_many_texts_those_that_act_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(WAYS, "careless", lambda terminal, text: terminal.write(text))

    assert what_acts("careless", [*"abcdef", "\x1b[2J", *"ghi", "\u202e"]) == ["\x1b[2J", "\u202e"]
    assert what_acts("say", [*"abcdef", "\x1b[2J"]) == []


# Rich and pyte are slow to start: so many texts at once, each a paragraph of its own.
TOGETHER = (20, 100, 250)


@tried("terminal", commit=5_000, deep=1_000_000)
def test_no_random_text_acts_on_a_terminal_whichever_way_it_goes_there(trials: Trials) -> None:
    for first, count in trials.batches(1000):
        texts = list(hostile(count, first))
        together = TOGETHER[first // 1000 % len(TOGETHER)]
        for way in WAYS:
            found = [what_acts(way, texts[at : at + together]) for at in range(0, count, together)]
            assert [text for some in found for text in some] == [], (way, first)
        would_act = sum(bool(acting(text)) for text in texts)
        trials.count(strings=count, renderings=count * len(WAYS), would_act_raw=would_act, acted=0)


@pytest.mark.parametrize(
    "way",
    [
        *("plain", "markdown", "table", "fields", "csv", "jsonl", "json", "document"),
        *("session", "found", "reasoning", "bars", "one line"),
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
