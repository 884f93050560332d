"""A reply in Markdown that is painted by a thread: in time, whatever fails, and none is left behind."""

import io
import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from screen import Window, plain, shown

from raptchat.errors import OutputError
from raptchat.records import Chunk, ContentChunk
from raptchat.render.markdown.live import LiveMarkdownWriter
from raptchat.render.reply import ReplyFormat, show

_PATIENCE_SECONDS = 20

# Streams a tail of two rows and a line of input after it, so that somebody else decides when it goes on.
_CHILD = """
import sys
from raptchat.render import Terminal
from raptchat.render.markdown.live import LiveMarkdownWriter
from raptchat.render.terminal_modes import modes_restored

with modes_restored(sys.stdout, echo=False):
    writer = LiveMarkdownWriter(Terminal.of_process())
    writer.text("# Done\\n\\n- first\\n- unfinished")
    sys.stdin.readline()
    writer.text(" item\\n")
    writer.end()
"""


def until(is_so: Callable[[], bool]) -> None:
    """Wait for it."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def threads() -> list[str]:
    """The names of those that paint."""
    return [thread.name for thread in threading.enumerate() if thread.name == "markdown"]


def text_of(terminal: Window) -> str:
    assert isinstance(terminal.out, io.StringIO)
    return terminal.out.getvalue()


def test_a_reply_shows_what_came_before_the_gateway_goes_on() -> None:
    terminal = Window.recorded(is_tty=True)

    def chunks() -> Iterator[Chunk]:
        yield from (ContentChunk(word) for word in ("one", " two", " three"))
        until(lambda: "three" in text_of(terminal))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        show(chunks(), terminal, ReplyFormat.MARKDOWN)

    assert threads() == []
    assert shown(text_of(terminal)) == ["one two three"]


@pytest.mark.parametrize("repaints", [True, False])
def test_what_came_is_shown_although_nothing_more_comes(*, repaints: bool) -> None:
    terminal = replace(Window.recorded(is_tty=True), repaints=repaints)
    writer = LiveMarkdownWriter(terminal)

    for word in ["one ", "two ", "three\n\n"] * 50:
        writer.text(word)
    until(lambda: plain(text_of(terminal)).count("three") >= 50)

    assert threads() == ["markdown"]
    writer.end()
    assert threads() == []
    assert shown(text_of(terminal), height=200)[::2] == ["one two three"] * 50


def test_a_reply_without_text_starts_no_thread() -> None:
    terminal = Window.recorded(is_tty=True)
    writer = LiveMarkdownWriter(terminal)

    writer.text("")

    assert threads() == []
    writer.end()
    assert text_of(terminal) == ""


def test_where_no_thread_can_be_had_it_is_painted_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    terminal = Window.recorded(is_tty=True)
    writer = LiveMarkdownWriter(terminal)

    writer.text("One\n\nTwo")
    assert shown(text_of(terminal)) == ["One", "", "Two"]
    writer.text(" words")
    writer.end()
    assert shown(text_of(terminal)) == ["One", "", "Two words"]


class Full(io.StringIO):
    """A file on a full disk."""

    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


def test_what_fails_in_the_thread_rises_from_the_next_piece() -> None:
    writer = LiveMarkdownWriter(replace(Window.recorded(is_tty=True), out=Full()))
    writer.text("One\n\n")
    until(lambda: not threads())

    with pytest.raises(OutputError, match="No space left"):
        writer.text("Two")
    with pytest.raises(OutputError):
        writer.fail(KeyboardInterrupt())


def test_what_fails_in_the_thread_rises_from_the_end() -> None:
    writer = LiveMarkdownWriter(replace(Window.recorded(is_tty=True), out=Full()))
    writer.text("One\n\n")
    until(lambda: not threads())

    with pytest.raises(OutputError):
        writer.end()


def test_ctrl_c_keeps_what_came_and_leaves_no_thread() -> None:
    terminal = Window.recorded(is_tty=True)
    writer = LiveMarkdownWriter(terminal)
    for n in range(200):
        writer.text(f"- item {n}\n")

    writer.fail(KeyboardInterrupt())

    assert threads() == []
    assert shown(text_of(terminal), height=10) == [f" • item {n}" for n in range(200)]


def test_a_reply_that_another_thread_writes_takes_no_signal() -> None:
    terminal = Window.recorded(is_tty=True)
    handlers = []

    def write() -> None:
        writer = LiveMarkdownWriter(terminal)
        writer.text("One")
        handlers.append(signal.getsignal(signal.SIGTSTP))
        writer.end()

    thread = threading.Thread(target=write)
    thread.start()
    thread.join()

    assert handlers == [signal.SIG_DFL]
    assert shown(text_of(terminal)) == ["One"]


class Job:
    """A process of its own group in the foreground of a terminal, as a shell starts it."""

    def __init__(self) -> None:
        self._master, slave = pty.openpty()
        self.seen = ""
        # `setsid` and the first open make it the terminal's; without a shell above it, its group is an orphan's,
        # which no Ctrl-Z stops: so there is one.
        shell = (
            "import os, pty, signal, sys\n"
            "signal.signal(signal.SIGTTOU, signal.SIG_IGN)\n"
            "child = os.fork()\n"
            "if child == 0:\n"
            "    os.setpgid(0, 0)\n"
            "    os.tcsetpgrp(0, os.getpid())\n"
            "    signal.signal(signal.SIGTTOU, signal.SIG_DFL)\n"
            f"    os.execv({sys.executable!r}, [{sys.executable!r}, '-c', {_CHILD!r}])\n"
            "while True:\n"
            "    _, status = os.waitpid(child, os.WUNTRACED)\n"
            "    if not os.WIFSTOPPED(status):\n"
            "        sys.exit(os.waitstatus_to_exitcode(status))\n"
            "    os.tcsetpgrp(0, os.getpgrp())\n"
            "    print('stopped', flush=True)\n"
            "    sys.stdin.readline()\n"
            "    os.tcsetpgrp(0, child)\n"
            "    os.killpg(child, signal.SIGCONT)\n"
        )
        start = "import fcntl, sys, termios\nfcntl.ioctl(0, termios.TIOCSCTTY, 0)\n" + shell
        environ = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "40", "LINES": "12", "PYTHONUTF8": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", start],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env=environ,
        )
        os.close(slave)

    def type(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def read_until(self, words: str) -> None:
        """Read what it writes, until *words* are on the screen."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while words not in "\n".join(self.screen()):
            assert select.select([self._master], [], [], deadline - time.monotonic())[0], self.seen
            self.seen += os.read(self._master, 65536).decode()

    def screen(self) -> list[str]:
        return shown(self.seen.replace("\r\n", "\n"), width=40, height=12)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)


def test_ctrl_z_takes_the_tail_off_the_screen_and_it_comes_back_whole() -> None:
    job = Job()
    try:
        job.read_until("unfinished")

        job.type(b"\x1a")
        job.read_until("stopped")
        at_rest = job.screen()
        assert "unfinished" not in "".join(at_rest)
        assert job.seen.rindex("\x1b[?25h") > job.seen.rindex("\x1b[?25l")

        job.type(b"\n")
        job.read_until("unfinished")
        job.type(b"\n")
        job.read_until("unfinished item")
        assert job.process.wait(_PATIENCE_SECONDS) == 0
    finally:
        job.close()

    words = "\n".join(job.screen())
    assert [words.count(word) for word in ("Done", "first", "unfinished item")] == [1, 1, 1]
