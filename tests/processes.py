"""Real processes: raptchat as a shell starts it, behind pipes or at a pseudo-terminal."""

import os
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self

import pytest
from screen import shown

from raptchat.demo import DEMO_KEY

PATIENCE_SECONDS = 30.0

RAPTCHAT = (sys.executable, "-m", "raptchat")

# Makes standard input the controlling terminal, as a login does, and becomes the command.
_AT_TERMINAL = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


def run(
    *words: str,
    env: Mapping[str, str] | None = None,
    stdin: str | bytes = b"",
    exit_code: int | None = 0,
) -> "subprocess.CompletedProcess[str]":
    """Run raptchat with these words, and see that it ends as it must (`None`: however it likes)."""
    data = stdin.encode() if isinstance(stdin, str) else stdin
    ended = subprocess.run(
        [*RAPTCHAT, *words], input=data, capture_output=True, env=env, timeout=PATIENCE_SECONDS, check=False
    )
    out, err = ended.stdout.decode(), ended.stderr.decode()
    if exit_code is not None:
        assert ended.returncode == exit_code, (words, ended.returncode, out, err)
    assert DEMO_KEY not in out + err, words
    return subprocess.CompletedProcess(ended.args, ended.returncode, out, err)


@contextmanager
def started(
    *words: str, env: Mapping[str, str] | None = None, stdin: int = subprocess.DEVNULL
) -> "Iterator[subprocess.Popen[bytes]]":
    """A running raptchat behind pipes; killed at the end if it still runs."""
    with subprocess.Popen(
        [*RAPTCHAT, *words], stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def read_until(descriptor: int, text: bytes) -> bytes:
    """What comes from *descriptor* until *text* is in it; fails when it ends or takes too long."""
    said = b""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while text not in said:
        readable, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        piece = os.read(descriptor, 65536) if readable else b""
        if not piece:
            pytest.fail(f"`{text!r}` did not come: {said[-2000:]!r}")
        said += piece
    return said


class AtTerminal:
    """A process at a pseudo-terminal of its own; *said* is all that it wrote."""

    def __init__(
        self,
        *words: str,
        env: Mapping[str, str] | None = None,
        columns: int = 80,
        lines: int = 24,
        program: Sequence[str] = RAPTCHAT,
    ) -> None:
        self.said = ""
        self.columns, self.lines = columns, lines
        self._mine, theirs = os.openpty()
        termios.tcsetwinsize(theirs, (lines, columns))
        environ = {**os.environ, "TERM": "xterm-256color"} if env is None else {"TERM": "xterm-256color", **env}
        command = [sys.executable, "-I", "-S", "-c", _AT_TERMINAL, *program, *words]
        self._process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environ)
        os.close(theirs)
        self._read = 0
        self._bytes = b""

    def keys(self, text: str) -> None:
        """Type *text*; a carriage return is Enter, U+0003 is Ctrl-C, U+0004 is Ctrl-D."""
        os.write(self._mine, text.encode(errors="surrogateescape"))

    def until(self, text: str) -> str:
        """Wait until *text* comes; return what came since the last call, up to the end of *text*."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (found := self.said.find(text, self._read)) < 0:
            if not self._more(deadline):
                pytest.fail(f"`{text!r}` did not come: {self.said[self._read :]!r}")
        begin, self._read = self._read, found + len(text)
        return self.said[begin : self._read]

    def ends(self, exit_code: int | None, *, pressing: str = "") -> str:
        """Read to the end and see that the process ended so (`None`: however it likes).

        Returns what came since the last `until`. *pressing* is typed now, and again each second: Python notices a
        Ctrl-C that comes in the moment before its `input` begins to read only with the next one.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        self.keys(pressing)
        while self._more(deadline, pressing=pressing):
            pass
        ended = self._process.wait(PATIENCE_SECONDS)
        assert exit_code is None or ended == exit_code, self.said
        return self.said[self._read :]

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        self._process.send_signal(number)

    def screen(self) -> list[str]:
        """The lines that a person sees now."""
        return shown(self.said.replace("\r\n", "\n"), width=self.columns, height=self.lines)

    def _more(self, deadline: float, *, pressing: str = "") -> bool:
        while not self._readable(min(deadline, time.monotonic() + 1) if pressing else deadline):
            if time.monotonic() < deadline:
                self.keys(pressing)
                continue
            pytest.fail(f"nothing more came: {self.said[-2000:]!r}")
        piece = b""
        with suppress(OSError):  # EIO: the other side is closed
            piece = os.read(self._mine, 65536)
        self._bytes += piece
        self.said = self._bytes.decode(errors="ignore")
        return bool(piece)

    def _readable(self, deadline: float) -> bool:
        return bool(select.select([self._mine], [], [], max(0.0, deadline - time.monotonic()))[0])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._mine)
