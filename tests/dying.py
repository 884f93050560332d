"""A child that does some work until it is killed: at a line of raptchat, or at one of its system calls."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import raptchat
from raptchat import RaptchatError

PACKAGE = str(Path(raptchat.__file__).parent)
PATIENCE_SECONDS = 60
# Of a line that runs again and again, so many times are counted: what it does then it did before.
FEW = 3
# Both are of prctl(2).
PR_SET_DUMPABLE, PR_SET_PTRACER = 4, 0x59616D61

DONE, REFUSED, BROKEN = 0, 3, 4


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended: its exit code, or the signal that killed it, negative; and the error that it met."""

    code: int
    error: str


def end(work: Callable[[], None], *, before: Callable[[int], None] = lambda _: None) -> Ended:
    """Do *work* in a child, which waits for *before*; that is given its id."""
    ours, its = socket.socketpair()
    child = os.fork()
    if child == 0:
        code = BROKEN
        try:
            ours.close()
            _be_traceable()
            its.send(b"!")
            its.recv(1)
            # A child that hangs dies of it.
            signal.alarm(PATIENCE_SECONDS)
            work()
            code = DONE
        except RaptchatError as error:
            code = REFUSED
            its.send(str(error).encode())
        except BaseException:  # noqa: BLE001 - whatever it is, it is shown, and the child ends
            traceback.print_exc()
        finally:
            os._exit(code)
    its.close()
    with ours:
        try:
            ours.recv(1)
            before(child)
            ours.send(b"!")
        finally:
            ours.shutdown(socket.SHUT_WR)
            ended = os.waitpid(child, 0)[1]
        return Ended(os.waitstatus_to_exitcode(ended), ours.recv(100_000).decode())


def _be_traceable() -> None:
    if sys.platform == "linux":
        # The parent has opened keys, and is hardened.
        libc = ctypes.CDLL(None)
        libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
        libc.prctl(PR_SET_PTRACER, ctypes.c_ulong(-1), 0, 0, 0)


def trace(lines: list[int], last: int = -1) -> None:
    """Count the lines of raptchat that run, in whichever thread, and die at the one with the number *last*.

    A line that runs again and again is counted the first few times.
    """
    times: Counter[tuple[CodeType, int]] = Counter()

    def local(frame: FrameType, event: str, argument: Any) -> Any:
        del argument
        place = frame.f_code, frame.f_lineno
        if event == "line" and times[place] < FEW:
            times[place] += 1
            lines[0] += 1
            if lines[0] == last:
                os.kill(os.getpid(), signal.SIGKILL)
        return local

    def traced(frame: FrameType, event: str, argument: Any) -> Any:
        del event, argument
        return local if frame.f_code.co_filename.startswith(PACKAGE) else None

    threading.settrace(traced)
    sys.settrace(traced)


@contextmanager
def strace(*words: str) -> Iterator[Callable[[int], None]]:
    """What puts a child under strace before it begins; at the end, strace has ended too."""
    started: list[subprocess.Popen[bytes]] = []

    def attach(child: int) -> None:
        tracer = subprocess.Popen(["strace", "-f", "-qq", *words, "-p", str(child)], stderr=subprocess.PIPE)
        started.append(tracer)
        while "TracerPid:\t0\n" in Path(f"/proc/{child}/status").read_text():
            assert tracer.poll() is None, tracer.communicate()
            time.sleep(0.0005)

    try:
        yield attach
    finally:
        for tracer in started:
            tracer.communicate(timeout=PATIENCE_SECONDS)
