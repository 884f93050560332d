"""The line editor of a conversation (prompt_toolkit)."""

import os
import signal
import sys
import termios
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from prompt_toolkit import PromptSession
from prompt_toolkit.application import Application, get_app
from prompt_toolkit.completion import Completer
from prompt_toolkit.data_structures import Size
from prompt_toolkit.document import Document
from prompt_toolkit.enums import DEFAULT_BUFFER, EditingMode
from prompt_toolkit.filters import Condition, has_focus, vi_navigation_mode
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.history import History
from prompt_toolkit.input import Input
from prompt_toolkit.input.vt100 import Vt100Input
from prompt_toolkit.key_binding import KeyBindings, KeyPress, KeyPressEvent
from prompt_toolkit.layout.processors import Processor, Transformation, TransformationInput
from prompt_toolkit.output import ColorDepth, Output
from prompt_toolkit.output.vt100 import Vt100_Output

from raptchat.cli.chat.conversation.history import HistoryFile, may_be_kept
from raptchat.cli.chat.conversation.lines import is_open_block
from raptchat.interruptions import TERMINATIONS, handled_by
from raptchat.outside import safe_line
from raptchat.render import DEFAULT_SIZE, Colors, Terminal

_DEPTHS: dict[Colors | None, ColorDepth] = {
    None: ColorDepth.DEPTH_1_BIT,
    "standard": ColorDepth.DEPTH_4_BIT,
    "256": ColorDepth.DEPTH_8_BIT,
    "truecolor": ColorDepth.DEPTH_24_BIT,
}


class LineEditor:
    """Reads messages at a terminal that can move its cursor.

    What *prompt* says at that moment is shown in *color*, and at the right end of the line what *aside* says.
    *history* is `None` where nothing may be written down.
    """

    def __init__(
        self,
        prompt: Callable[[], str],
        *,
        color: str,
        colors: Colors | None,
        vi: bool,
        history: HistoryFile | None,
        completer: Completer,
        aside: Callable[[], str],
        keyboard: Input,
        screen: Output,
    ) -> None:
        self._aside = aside
        self._margin = ""
        self._session: PromptSession[str] = PromptSession(
            lambda: [(f"bold fg:{color}", prompt())],
            multiline=True,
            editing_mode=EditingMode.VI if vi else EditingMode.EMACS,
            color_depth=_DEPTHS[colors],
            history=_Entries(history),
            completer=completer,
            complete_while_typing=False,
            key_bindings=_bindings(),
            input_processors=[_Visible()],
            prompt_continuation=_continuation,
            rprompt=self._at_the_right,
            search_ignore_case=True,
            enable_suspend=True,
            include_default_pygments_style=False,
            input=keyboard,
            output=screen,
        )

    def read(self, draft: str) -> str:
        """As `Lines.read`; `/edit TEXT` also for the key that opens the editor."""
        aside = self._aside()
        # One cell from the edge: a terminal that is made a little narrower does not wrap it.
        self._margin = f"{aside} " if aside else ""
        self._session.app.erase_when_done = False
        try:
            with _endings_leave(self._session.app) as notice:
                return self._session.prompt(default=draft, pre_run=notice)
        except OSError:  # the terminal is gone
            raise EOFError from None

    def _at_the_right(self) -> StyleAndTextTuples:
        # Not in the scrollback: what was spent then is no news later.
        return [] if self._session.app.is_done else [("", self._margin)]


def keyboard() -> Input:
    """The terminal that standard input is."""
    return _Keyboard(sys.stdin)


def screen(terminal: Terminal) -> Output:
    """The terminal that standard output is; it is not asked where the cursor is: not every terminal answers."""

    def size() -> Size:
        # Not what COLUMNS says: the cursor moves in the window as it is.
        try:
            columns, rows = os.get_terminal_size(terminal.out.fileno())
        except OSError:
            columns, rows = 0, 0
        return Size(rows=rows or DEFAULT_SIZE.lines, columns=columns or DEFAULT_SIZE.columns)

    term = os.environ.get("TERM")
    return Vt100_Output(terminal.out, size, term=term, enable_bell=False, enable_cpr=False)


class _Keyboard(Vt100Input):
    """Also ends when the terminal was closed and nobody said so: SIGHUP may be ignored."""

    def read_keys(self) -> list[KeyPress]:
        keys = super().read_keys()
        if not keys:
            try:
                termios.tcgetattr(self.fileno())
            except (OSError, termios.error):
                self.stdin_reader.closed = True
        return keys


class _Entries(History):
    """What was typed, in memory and in a file; what looks like an API key in neither."""

    def __init__(self, file: HistoryFile | None) -> None:
        super().__init__()
        self._file = file

    def load_history_strings(self) -> Iterable[str]:
        return reversed(self._file.read()) if self._file else []

    def append_string(self, string: str) -> None:
        if may_be_kept(string):
            super().append_string(string)

    def store_string(self, string: str) -> None:
        if self._file:
            self._file.add(string)


class _Visible(Processor):
    """Shows what was pasted such that nothing of it acts on the terminal, each character as one."""

    def apply_transformation(self, transformation_input: TransformationInput) -> Transformation:
        fragments = transformation_input.fragments
        return Transformation([(style, safe_line(text), *rest) for style, text, *rest in fragments])  # type: ignore[misc]


def _continuation(width: int, line: int, wraps: int) -> str:
    """What stands before the further lines of a message; nothing where one is only wrapped."""
    del width, line
    return "" if wraps else "  "


def _bindings() -> KeyBindings:
    keys = KeyBindings()
    typing = has_focus(DEFAULT_BUFFER)

    @keys.add("enter", filter=typing)
    def _enter(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.complete_state and buffer.complete_state.current_completion:
            buffer.complete_state = None  # the choice is taken; the next Enter sends
        elif is_open_block(buffer.text):
            buffer.newline(copy_margin=False)
        else:
            buffer.validate_and_handle()

    @keys.add("escape", "enter", filter=typing)
    @keys.add("c-j", filter=typing & ~vi_navigation_mode)
    def _new_line(event: KeyPressEvent) -> None:
        event.current_buffer.newline(copy_margin=False)

    @keys.add("c-c", filter=typing)
    @keys.add("<sigint>")
    def _interrupt(event: KeyPressEvent) -> None:
        buffer = event.app.current_buffer
        if buffer.text:
            # Not `reset`: what was cleared by mistake comes back with undo.
            buffer.save_to_undo_stack()
            buffer.document = Document()
        elif not event.app.is_done:
            event.app.exit(exception=KeyboardInterrupt)

    @keys.add("c-d", filter=typing & Condition(lambda: not get_app().current_buffer.text))
    def _leave(event: KeyPressEvent) -> None:
        # Its own way to leave would draw the line anew, in grey.
        event.app.exit(exception=EOFError)

    @keys.add("c-x", "c-e", filter=typing)
    def _edit(event: KeyPressEvent) -> None:
        event.app.erase_when_done = True
        event.app.exit(result=f"/edit {event.current_buffer.text}")

    return keys


@contextmanager
def _endings_leave(app: Application[Any]) -> Iterator[Callable[[], None]]:
    """What terminates the program ends *app* in good order, and only then do what they do elsewhere.

    Their exception would be lost where it rises inside a callback of the event loop. Yields what *app* is to call
    first of all.
    """
    came: list[int] = []

    def leave() -> None:
        if came and app.is_running and not app.is_done:
            app.exit(exception=EOFError)

    def notice(number: int, frame: FrameType | None) -> None:
        del frame
        came.append(number)
        if app.loop is not None:
            app.loop.call_soon_threadsafe(leave)

    try:
        with handled_by(notice, TERMINATIONS):
            yield leave
    finally:
        if came:
            signal.raise_signal(came[0])
