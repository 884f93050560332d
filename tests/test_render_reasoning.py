"""What a model thinks, at a terminal: folded, shown or hidden, and never in the way of the reply."""

import os
import re
import signal
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from conftest import Run, environment, rows
from hypothesis import given, settings
from hypothesis import strategies as st
from processes import AtTerminal, run
from rich.cells import split_graphemes
from screen import Clock, error_of, one_screen, shown
from test_terminal_safety import OURS, PAYLOADS, hostile, reached

from raptchat.errors import GatewayError
from raptchat.records import Chunk, ContentChunk, DoneChunk, ReasoningChunk, Usage
from raptchat.render import Terminal
from raptchat.render.reasoning import Tail
from raptchat.render.reply import ReasoningView, ReplyFormat, show
from raptchat.render.waiting import Waiting

LENGTH = r"thought for [\d.]+ m?s, [\d,]+ characters"
END = DoneChunk(content="4", usage=Usage(), model="m", finish_reason="stop")


def picture(terminal: Terminal) -> list[str]:
    return shown(error_of(terminal), width=terminal.width, height=terminal.height)


def thoughts(*texts: str) -> Iterator[Chunk]:
    yield from map(ReasoningChunk, texts)
    yield ContentChunk("It is 4.")
    yield END


def test_folded_it_ends_as_one_line_with_its_length() -> None:
    terminal = one_screen()

    show(thoughts("Two ", "and two.\n"), terminal, ReplyFormat.PLAIN, clock=Clock(step=2))

    assert picture(terminal) == ["thought for 2 s, 13 characters", "It is 4."]


def test_folded_its_last_lines_are_painted_below_what_is_waited_for() -> None:
    terminal = one_screen(width=20)
    seen: list[list[str]] = []

    with Waiting(terminal, clock=lambda: 0.0) as waiting:

        def chunks() -> Iterator[Chunk]:
            for text in ["One\n\ntwo\nthree\n", "four\nfi", "ve \x1b[2J and as", " many words as fit"]:
                yield ReasoningChunk(text)
                waiting.paint()
                seen.append(picture(terminal)[1:])
            yield ContentChunk("It is 4.")

        show(chunks(), terminal, ReplyFormat.PLAIN, waiting=waiting, clock=Clock(step=2))

    assert seen == [
        ["One", "two", "three"],
        ["two", "three", "four", "fi"],
        ["two", "three", "four", "five ␛[2J and as"],
        ["three", "four", "five ␛[2J and as", "many words as fit"],
    ]
    assert picture(terminal) == ["thought for 6 s, 54", "characters", "It is 4."]


def test_shown_it_is_written_as_it_comes_and_the_reply_begins_on_a_line_of_its_own() -> None:
    terminal = one_screen()
    seen: list[list[str]] = []

    def chunks() -> Iterator[Chunk]:
        for text in ["Two\n", "and \x1b[2Jtwo", "."]:
            yield ReasoningChunk(text)
            seen.append(picture(terminal))
        yield ContentChunk("It is 4.")

    show(chunks(), terminal, ReplyFormat.PLAIN, reasoning=ReasoningView.SHOW, clock=Clock(step=2))

    assert seen == [["Two"], ["Two", "and ␛[2Jtwo"], ["Two", "and ␛[2Jtwo."]]
    assert picture(terminal) == ["Two", "and ␛[2Jtwo.", "thought for 4 s, 16 characters", "It is 4."]


def test_hidden_nothing_of_it_is_written() -> None:
    terminal = one_screen()

    show(thoughts("Two", "and two."), terminal, ReplyFormat.PLAIN, reasoning=ReasoningView.HIDE)

    assert error_of(terminal) == "It is 4.\n"


@pytest.mark.parametrize("view", ReasoningView)
def test_quiet_it_is_only_shown_when_that_was_asked_for(view: ReasoningView) -> None:
    terminal = one_screen()

    show(thoughts("Two and two."), terminal, ReplyFormat.PLAIN, reasoning=view, quiet=True)

    assert picture(terminal) == [*(["Two and two."] if view is ReasoningView.SHOW else []), "It is 4."]


@pytest.mark.parametrize("view", ReasoningView)
@pytest.mark.parametrize("piped", ["out", "err"])
def test_it_goes_into_no_pipe_and_into_no_terminal_beside_one(view: ReasoningView, piped: str) -> None:
    terminal = replace(one_screen(), out_is_tty=piped != "out", err_is_tty=piped != "err")

    show(thoughts("Two and two."), terminal, ReplyFormat.PLAIN, reasoning=view)

    assert error_of(terminal) == "It is 4.\n"


@pytest.mark.parametrize("view", ReasoningView)
def test_as_lines_of_json_it_is_there_in_any_case_and_only_there(view: ReasoningView) -> None:
    terminal = one_screen()

    show(thoughts("Two"), terminal, ReplyFormat.JSONL, reasoning=view)

    assert error_of(terminal).splitlines() == [
        '{"type": "reasoning", "text": "Two"}',
        '{"type": "content", "text": "It is 4."}',
        '{"type": "done"}',
    ]


@pytest.mark.parametrize("view", [ReasoningView.SHOW, ReasoningView.FOLD])
def test_without_colours_it_has_none(view: ReasoningView) -> None:
    coloured, plain = one_screen(), replace(one_screen(), err_colors=None)
    for terminal in (coloured, plain):
        show(thoughts("Two"), terminal, ReplyFormat.PLAIN, reasoning=view)

    assert "\x1b[2m" in error_of(coloured)
    assert "\x1b" not in error_of(plain)
    assert picture(coloured) == picture(plain)


@pytest.mark.parametrize("view", ReasoningView)
@pytest.mark.parametrize("how", [ReplyFormat.PLAIN, ReplyFormat.MARKDOWN])
@pytest.mark.parametrize("raised", [GatewayError("cut off"), KeyboardInterrupt()])
def test_an_error_while_it_thinks_leaves_whole_lines(
    view: ReasoningView, how: ReplyFormat, raised: BaseException
) -> None:
    terminal = one_screen()

    def chunks() -> Iterator[Chunk]:
        yield ReasoningChunk("Two and")
        raise raised

    with pytest.raises(type(raised)), Waiting(terminal) as waiting:
        show(chunks(), terminal, how, reasoning=view, waiting=waiting)

    terminal.say("the error")
    length = "thought for 0 s, 7 characters"
    assert (
        picture(terminal)
        == {
            ReasoningView.SHOW: ["Two and", length, "the error"],
            ReasoningView.FOLD: [length, "the error"],
            ReasoningView.HIDE: ["the error"],
        }[view]
    )


@pytest.mark.parametrize("view", ReasoningView)
def test_a_thought_between_parts_of_the_answer_does_not_break_into_them(view: ReasoningView) -> None:
    terminal = one_screen()
    chunks: list[Chunk] = [ContentChunk("It "), ReasoningChunk("hm"), ContentChunk("is 4."), END]

    show(chunks, terminal, ReplyFormat.MARKDOWN, reasoning=view)

    assert picture(terminal) == ["It is 4."]


def test_an_empty_first_piece_of_the_answer_does_not_end_the_thinking() -> None:
    terminal = one_screen()
    chunks: list[Chunk] = [ReasoningChunk("a"), ContentChunk(""), ReasoningChunk("b"), ContentChunk("c"), END]

    show(chunks, terminal, ReplyFormat.PLAIN, reasoning=ReasoningView.SHOW, clock=Clock(step=2))

    assert picture(terminal) == ["ab", "thought for 2 s, 2 characters", "c"]


@pytest.mark.parametrize("how", [ReplyFormat.JSON, ReplyFormat.PLAIN])
def test_a_reply_that_is_shown_at_its_end_is_thought_about_before_it(how: ReplyFormat) -> None:
    terminal = one_screen()
    chunks: list[Chunk] = [ReasoningChunk("a"), ContentChunk("b"), ReasoningChunk("c"), ContentChunk("d"), END]

    show(chunks, terminal, how, stream=False, clock=Clock(step=2))

    assert picture(terminal) == ["thought for 2 s, 2 characters", *(["bd"] if how is ReplyFormat.PLAIN else [])]


PIECES = st.lists(st.text(st.sampled_from("ab 核\n\t\x1b🔬\u0301"), max_size=40), max_size=20)


@settings(max_examples=150, deadline=None, database=None)
@given(pieces=PIECES, width=st.integers(1, 30), looks=st.sets(st.integers(0, 20)))
def test_the_last_lines_fit_and_are_the_end_of_the_text(pieces: list[str], width: int, looks: set[int]) -> None:
    tail = Tail()
    for number, piece in enumerate(pieces):
        tail.add(piece)
        if number in looks:
            assert len(tail.lines(width)) <= 4
    lines = tail.lines(width)

    assert all(split_graphemes(line)[1] <= max(width, 2) for line in lines)
    assert all("\n" not in line and "\x1b" not in line and line.strip() for line in lines)
    text = re.sub(r"\s", "", "".join(pieces)).replace("\x1b", "␛")
    assert text.endswith(re.sub(r"\s", "", "".join(lines)))
    assert bool(lines) == bool(text)


def test_words_are_kept_whole_where_they_fit() -> None:
    tail = Tail()
    tail.add("the membrane lets water through and keeps the rest of it out")

    assert tail.lines(20) == ["the membrane lets ", "water through and ", "keeps the rest of it", "out"]


def test_a_window_that_became_narrower_folds_what_was_folded() -> None:
    tail = Tail()
    tail.add("one two three four\nfive")

    assert tail.lines(40) == ["one two three four", "five"]
    assert tail.lines(9) == ["one two ", "three ", "four", "five"]


def test_what_scrolled_by_unseen_costs_nothing() -> None:
    """A hundred thousand characters in one line, in one piece or a hundred thousand: what is kept is bounded."""
    for pieces in (["x" * 100_000 + "the end"], [*"x" * 100_000, "the end"]):
        tail = Tail()
        for piece in pieces:
            tail.add(piece)
        assert sum(map(len, tail._new)) <= 8_000
        lines = tail.lines(80)
        assert [len(line) for line in lines[:3]] == [80] * 3
        assert lines[-1].endswith("the end")
        assert not tail._new


@pytest.mark.parametrize("view", [ReasoningView.FOLD, ReasoningView.SHOW])
def test_no_thought_acts_on_the_terminal(view: ReasoningView) -> None:
    for text in [*PAYLOADS, *hostile(300)]:
        terminal = one_screen()
        with Waiting(terminal, host=text, model=text) as waiting:

            def chunks(waiting: Waiting = waiting, text: str = text) -> Iterator[Chunk]:
                waiting.note("connecting")
                waiting.paint()
                # In two pieces, so that a sequence is cut.
                for piece in (text[: len(text) // 2], text[len(text) // 2 :]):
                    yield ReasoningChunk(piece)
                    waiting.paint()

            show(chunks(), terminal, ReplyFormat.PLAIN, reasoning=view, waiting=waiting)
        assert not reached(error_of(terminal)) - OURS, text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_signal_while_it_thinks_leaves_its_length_and_nothing_else(
    biology: Run, home: Path, number: signal.Signals
) -> None:
    with AtTerminal("chat", "-m", "demo/thinking", "hello", columns=120) as terminal:
        terminal.until("thinking 0 s")
        terminal.until("Step ")
        if number is signal.SIGINT:
            terminal.keys("\x03")
        else:
            terminal.signal(number)
        terminal.ends(128 + number)

    _, length, error = terminal.screen()
    assert re.fullmatch(LENGTH, length)
    assert error == ("raptchat: interrupted" if number is signal.SIGINT else "raptchat: terminated")


def test_a_long_thought_at_a_terminal(biology: Run, home: Path) -> None:
    # All at once: they wait more than they work.
    thinking = partial(AtTerminal, "chat", "-m", "demo/thinking", "hello")
    with (
        thinking("--reasoning", "fold", columns=120, lines=60) as folded,
        thinking("--reasoning", "show", columns=120, lines=60) as whole,
        thinking("--reasoning", "hide", columns=120, lines=60) as hidden,
        thinking("--plain", columns=20, lines=3) as loud,
        thinking("--plain", "-q", columns=20, lines=3) as quiet,
    ):
        for terminal, said in [
            (folded, ["thinking 0 s", "Step "]),
            (whole, ["Step 40"]),
            (hidden, ["thinking 0 s"]),
        ]:
            for text in said:
                terminal.until(text)
        for terminal in (folded, whole, hidden, loud, quiet):
            terminal.ends(0)

    for terminal, lengths, steps in [(folded, 1, 0), (whole, 1, 40), (hidden, 0, 0)]:
        lines = terminal.screen()
        assert sum(bool(re.fullmatch(LENGTH, line)) for line in lines) == lengths
        assert sum(line.startswith("Step ") for line in lines) == steps
        assert not [line for line in lines if " thinking " in line]
        assert any("A reply from the demo gateway" in line for line in lines)
    for (kept,) in rows(home, "SELECT reasoning FROM messages WHERE role = 'assistant'"):
        assert kept.count("Step ") == 40

    # On a small screen it leaves nothing either.
    assert " thinking " in loud.said
    above, reply = loud.screen()[: -len(quiet.screen())], loud.screen()[-len(quiet.screen()) :]
    assert reply == quiet.screen()
    assert re.fullmatch(r"biology.* vault: file *thought for [\d.]+ m?s, [\d,]+ ?characters", "".join(above))


def test_at_a_dumb_terminal_only_its_length_is_said(biology: Run) -> None:
    with AtTerminal("chat", "-m", "demo/reasoning", "hello", env=environment(TERM="dumb")) as terminal:
        terminal.ends(0)

    assert "\x1b" not in terminal.said
    assert re.search(r"thought for [\d.]+ m?s, 12 characters\r\nIt is 4.\r\n", terminal.said)


def test_into_a_pipe_goes_the_reply_alone(biology: Run) -> None:
    for view in ("show", "fold", "hide"):
        said = run("chat", "-m", "demo/reasoning", "--reasoning", view, "hello", env=dict(os.environ))
        assert (said.stdout, said.stderr) == ("It is 4.\n", "")
