"""The line editor of a conversation, key by key (prompt_toolkit on a pipe)."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from prompt_toolkit.completion import DummyCompleter
from prompt_toolkit.data_structures import Size
from prompt_toolkit.input.base import PipeInput
from prompt_toolkit.input.defaults import create_pipe_input
from prompt_toolkit.output.vt100 import Vt100_Output
from screen import shown

from raptchat.cli.chat.conversation.history import HistoryFile
from raptchat.cli.chat.conversation.lines import PlainLines, is_open_block, message
from raptchat.cli.chat.conversation.prompt import LineEditor
from raptchat.render import Colors, Terminal
from raptchat.render.group_color import COLORS

PASTE, END_OF_PASTE = "\x1b[200~", "\x1b[201~"
ALT_ENTER = "\x1b\r"
CTRL_C, CTRL_D, CTRL_J, CTRL_R = "\x03", "\x04", "\n", "\x12"
UP = "\x1b[A"


@pytest.fixture
def keyboard() -> Iterator[PipeInput]:
    with create_pipe_input() as pipe:
        yield pipe


class Desk:
    """A line editor whose keys are typed ahead and whose screen is kept."""

    def __init__(
        self,
        keyboard: PipeInput,
        *,
        history: HistoryFile | None = None,
        vi: bool = False,
        colors: Colors | None = "truecolor",
        columns: int = 80,
        aside: str = "",
    ) -> None:
        self._keyboard = keyboard
        self._columns = columns
        self.written = io.StringIO()
        self._editor = LineEditor(
            lambda: "biology> ",
            color=COLORS[0],
            colors=colors,
            vi=vi,
            history=history,
            completer=DummyCompleter(),
            aside=lambda: aside,
            keyboard=keyboard,
            screen=Vt100_Output(self.written, lambda: Size(rows=24, columns=columns), enable_cpr=False),
        )

    def reads(self, keys: str, draft: str = "") -> str:
        if keys:
            self._keyboard.send_text(keys)
        return self._editor.read(draft)

    def screen(self) -> list[str]:
        return shown(self.written.getvalue().replace("\r\n", "\n"), width=self._columns)


def test_enter_sends_and_alt_enter_and_ctrl_j_begin_a_new_line(keyboard: PipeInput) -> None:
    assert Desk(keyboard).reads(f"one{ALT_ENTER}two{CTRL_J}three\r") == "one\ntwo\nthree"


@pytest.mark.parametrize("keys", ["emacs", "vi"])
def test_a_paste_of_fifty_lines_is_one_message(keyboard: PipeInput, keys: str) -> None:
    pasted = "\n".join(f"line {number}" for number in range(50))

    assert (
        Desk(keyboard, vi=keys == "vi").reads(f"{PASTE}{pasted.replace(chr(10), chr(13))}{END_OF_PASTE}\r")
        == pasted
    )


def test_a_paste_that_holds_commands_and_escape_sequences_does_nothing_until_enter(keyboard: PipeInput) -> None:
    pasted = "see\n/exit\n\x1b]52;c;aGk=\x07\x1b[2J\x03\x04\u202e\x9b31m"
    desk = Desk(keyboard)

    assert desk.reads(f"{PASTE}{pasted}{END_OF_PASTE} now\r") == f"{pasted} now"
    page = "\n".join(desk.screen())
    assert "␛]52;c;aGk=␇␛[2J␃␄" in page
    assert "\x1b]" not in desk.written.getvalue()
    assert not {"\x07", "\u202e", "\x9b", "\x03", "\x04"} & set(desk.written.getvalue())


def test_a_block_between_quotes_takes_enter_as_a_new_line(keyboard: PipeInput) -> None:
    assert Desk(keyboard).reads('"""\rone\r\rtwo\r"""\r') == '"""\none\n\ntwo\n"""'


def test_ctrl_c_clears_what_is_typed_and_at_an_empty_line_it_rises(keyboard: PipeInput) -> None:
    desk = Desk(keyboard)
    assert desk.reads(f"wrong{CTRL_J}word{CTRL_C}right\r") == "right"
    with pytest.raises(KeyboardInterrupt):
        desk.reads(CTRL_C)


def test_what_ctrl_c_cleared_comes_back_with_undo(keyboard: PipeInput) -> None:
    assert Desk(keyboard).reads(f"a long question{CTRL_C}\x1f\r") == "a long question"


def test_ctrl_d_leaves_at_an_empty_line_only(keyboard: PipeInput) -> None:
    desk = Desk(keyboard)
    assert desk.reads(f"ab\x01{CTRL_D}\r") == "b"
    with pytest.raises(EOFError):
        desk.reads(CTRL_D)


def test_a_closed_standard_input_leaves(keyboard: PipeInput) -> None:
    desk = Desk(keyboard)
    keyboard.close()
    with pytest.raises(EOFError):
        desk.reads("")


def test_a_draft_is_edited_further(keyboard: PipeInput) -> None:
    assert Desk(keyboard).reads(" more\r", draft="some") == "some more"


def test_the_editors_key_is_the_command_with_what_was_typed(keyboard: PipeInput) -> None:
    desk = Desk(keyboard)

    assert desk.reads("half a\x18\x05") == "/edit half a"
    assert desk.screen() == []
    assert desk.reads("next\r") == "next"
    assert desk.screen() == ["biology> next"]


def test_vi_keys_move_and_change(keyboard: PipeInput) -> None:
    assert Desk(keyboard, vi=True).reads("one two\x1bbcwthree\x1bI> \r") == "> one three"


def test_vi_and_emacs_both_begin_new_lines(keyboard: PipeInput) -> None:
    assert Desk(keyboard, vi=True).reads(f"one{ALT_ENTER}two{CTRL_J}three\r") == "one\ntwo\nthree"


def test_the_history_is_searched_and_paged_and_several_lines_stay_together(
    keyboard: PipeInput, tmp_path: Path
) -> None:
    desk = Desk(keyboard, history=HistoryFile(tmp_path / "history" / "g"))
    desk.reads("what is osmosis\r")
    desk.reads(f"one{CTRL_J}two\r")
    desk.reads("last\r")

    assert desk.reads(f"{UP}{UP}\r") == "one\ntwo"
    assert desk.reads(f"{CTRL_R}OSMO\r\r") == "what is osmosis"
    # As the next conversation finds it.
    assert HistoryFile(tmp_path / "history" / "g").read() == [
        "what is osmosis",
        "one\ntwo",
        "last",
        "one\ntwo",
        "what is osmosis",
    ]


def test_what_looks_like_a_key_is_not_remembered_even_in_memory(keyboard: PipeInput, tmp_path: Path) -> None:
    file = tmp_path / "history" / "g"
    desk = Desk(keyboard, history=HistoryFile(file))
    desk.reads("first\r")
    desk.reads("my key is sk-or-v1-0123456789abcdef0123\r")

    assert desk.reads(f"{UP}\r") == "first"
    assert "sk-or" not in file.read_text()


def test_without_a_file_the_history_ends_with_the_conversation(keyboard: PipeInput, tmp_path: Path) -> None:
    desk = Desk(keyboard)
    desk.reads("secret\r")

    assert desk.reads(f"{UP}\r") == "secret"
    assert list(tmp_path.rglob("*")) == []


def test_bytes_that_are_no_text_come_as_surrogates_and_are_not_kept(keyboard: PipeInput, tmp_path: Path) -> None:
    file = tmp_path / "history" / "g"
    desk = Desk(keyboard, history=HistoryFile(file))
    keyboard.send_bytes(b"a\xe9 b\r")

    with pytest.raises(UnicodeEncodeError):
        desk.reads("").encode()
    assert file.read_text() == ""


def test_no_question_is_sent_to_the_terminal(keyboard: PipeInput) -> None:
    desk = Desk(keyboard)
    desk.reads("hello\r")

    assert "\x1b[6n" not in desk.written.getvalue()


def test_the_aside_is_gone_from_the_scrollback(keyboard: PipeInput) -> None:
    desk = Desk(keyboard, aside="$0.001234 this month")
    desk.reads("hello\r")

    assert "$0.001234 this month" in desk.written.getvalue()
    assert desk.screen() == ["biology> hello"]


def test_at_twenty_columns_all_that_is_typed_is_seen(keyboard: PipeInput) -> None:
    desk = Desk(keyboard, columns=20, aside="$0.001234 this month")
    desk.reads("the quick brown fox jumps\r")

    assert "".join(desk.screen()) == "biology> the quick brown fox jumps"


@pytest.mark.parametrize(
    ("colors", "style"), [(None, "\x1b[0;1m"), ("256", "38;5;"), ("truecolor", "38;2;230;32;32")]
)
def test_the_prompt_has_the_groups_colour_where_colours_are_wanted(
    keyboard: PipeInput, colors: Colors | None, style: str
) -> None:
    desk = Desk(keyboard, colors=colors)
    desk.reads("hello\r")

    assert style in desk.written.getvalue()
    assert colors is not None or "\x1b[0;38" not in desk.written.getvalue()


class Gone(io.StringIO):
    """A terminal that was closed."""

    gone = False

    def write(self, text: str) -> int:
        if self.gone:
            raise OSError(5, "Input/output error")
        return super().write(text)


def test_a_terminal_that_is_gone_leaves(keyboard: PipeInput) -> None:
    terminal = Gone()
    editor = LineEditor(
        lambda: "> ",
        color=COLORS[0],
        colors=None,
        vi=False,
        history=None,
        completer=DummyCompleter(),
        aside=lambda: "",
        keyboard=keyboard,
        screen=Vt100_Output(terminal, lambda: Size(rows=24, columns=80), enable_cpr=False),
    )
    terminal.gone = True
    with pytest.raises(EOFError):
        editor.read("")


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("  hello \n", "hello"),
        ('"""\none\n  two\n"""', "one\n  two"),
        ('"""one"""', "one"),
        ('"""a""" and """b"""', '"""a""" and """b"""'),
        ('"""a""" and b', '"""a""" and b'),
        ('""""""', ""),
        ('"""', '"""'),
        ('"""""', '"""""'),
        (" \n\t", ""),
    ],
)
def test_what_of_a_text_is_sent(text: str, sent: str) -> None:
    assert message(text) == sent


def test_a_block_is_open_until_its_other_quotes() -> None:
    assert is_open_block('  """one\n')
    assert not is_open_block('"""one\n"""')
    assert not is_open_block('one """')


def test_plain_lines_read_blocks_and_show_a_draft(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal.recorded()
    monkeypatch.setattr("sys.stdin", io.StringIO('"""one\n\ntwo"""\nthree\n'))
    lines = PlainLines(terminal, lambda: "biology> ")

    assert lines.read("a\x1bdraft") == '"""one\n\ntwo"""'
    assert lines.read("") == "three"
    with pytest.raises(EOFError):
        lines.read("")
    assert isinstance(terminal.err, io.StringIO)
    assert terminal.err.getvalue() == "a␛draft\n\n"
