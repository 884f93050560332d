"""The command that prints a key: run once, without a shell, in bounded time.

It is in a process group of its own, all of which can be killed, and has the terminal meanwhile: a password manager
may ask there.
"""

import os
import select
import signal
import subprocess
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

from raptchat.api_key import check_api_key
from raptchat.config import child_environment
from raptchat.errors import UsageError, VaultUnavailableError
from raptchat.interruptions import signals_held_back
from raptchat.secret import Secret

# A password manager may ask the person for a fingerprint; a script must not hang for ever.
SECONDS = 30.0
MOST_BYTES = 64 * 1024

# How often it is looked whether a signal came, or a program has ended whose output something else holds open.
_LOOK_SECONDS = 0.1


def printed_key(words: Sequence[str], what: str) -> Secret:
    """The key that the command *words* prints; *what* names the command in errors, without its words.

    `VaultUnavailableError` says what was wrong with it, and never what it printed.
    """
    # Else one that comes while it is being started would leave it running.
    with signals_held_back() as signals, _started(words, what) as process:
        output = _output(process, what, signals)
        code = process.wait()
    if code in {-signal.SIGINT, 128 + signal.SIGINT}:  # Ctrl-C goes to it alone while it has the terminal
        raise KeyboardInterrupt
    if code:
        ended = f"ended with exit {code}" if code > 0 else f"was ended by signal {-code}"
        raise _unusable(what, ended)
    return _one_key(output, what)


def _one_key(output: bytes, what: str) -> Secret:
    lines = output.decode(errors="replace").strip().splitlines()
    if not lines:
        raise _unusable(what, "printed nothing")
    if len(lines) > 1:
        raise _unusable(what, f"printed {'two' if len(lines) == 2 else len(lines)} lines, and a key is one")
    try:
        return Secret(check_api_key(lines[0]))
    except UsageError as error:
        raise _unusable(what, f"printed what is no key: {error}") from None


@contextmanager
def _started(words: Sequence[str], what: str) -> Iterator[subprocess.Popen[bytes]]:
    """The running command in a process group of its own, all of which is killed when it is not waited for."""
    try:
        process = subprocess.Popen(
            words,
            env=child_environment(os.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            process_group=0,
        )
    except FileNotFoundError:
        raise _unusable(what, "was not found") from None
    except OSError as error:
        raise _unusable(what, f"cannot be run: {error.strerror}") from None
    try:
        with _in_foreground(process.pid):
            yield process
    except BaseException:
        # Not waited for yet: its number is nobody else's.
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        raise
    finally:
        if process.stdout is not None:
            process.stdout.close()


@contextmanager
def _in_foreground(group: int) -> Iterator[None]:
    """Meanwhile the process group *group* has the terminal, where raptchat has it: else it could not ask there."""
    terminal = _terminal()
    if terminal is None:
        yield
        return
    try:
        modes = termios.tcgetattr(terminal)
        # Nobody would wake up what Ctrl-Z stops: the shell waits for raptchat.
        keys = modes[6].copy()
        keys[termios.VSUSP] = os.fpathconf(terminal, "PC_VDISABLE")
        termios.tcsetattr(terminal, termios.TCSADRAIN, [*modes[:6], keys])
        _hand_over(terminal, group)
        # What it wanted of the terminal before has stopped it.
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGCONT)
        try:
            yield
        finally:
            _hand_over(terminal, os.getpgrp())
            # Whoever is killed while it asks leaves what is typed unseen.
            with suppress(termios.error):
                termios.tcsetattr(terminal, termios.TCSADRAIN, modes)
    finally:
        os.close(terminal)


def _terminal() -> int | None:
    """The terminal, where somebody can be asked at it: not in the background, and not without one."""
    with suppress(OSError), ExitStack() as opened:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        opened.callback(os.close, terminal)
        if os.tcgetpgrp(terminal) == os.getpgrp():
            opened.pop_all()
            return terminal
    return None


def _hand_over(terminal: int, group: int) -> None:
    # Who is not in the foreground is stopped for it, unless the signal is blocked (POSIX, tcsetpgrp).
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
    try:
        with suppress(OSError):  # it has ended already
            os.tcsetpgrp(terminal, group)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _output(process: subprocess.Popen[bytes], what: str, signals: Sequence[int]) -> bytes:
    """What the command printed, once it has ended; `KeyboardInterrupt` when one of *signals* came meanwhile."""
    assert process.stdout is not None
    descriptor, data, ends = process.stdout.fileno(), b"", time.monotonic() + SECONDS
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    while (left := ends - time.monotonic()) > 0 and not signals:
        # Asked before: all that it printed itself can be read by then.
        ended = process.poll() is not None
        look = min(left, _LOOK_SECONDS)
        if poll.poll(0 if ended else look * 1000):
            piece = os.read(descriptor, MOST_BYTES)
            data += piece
            if len(data) > MOST_BYTES:
                raise _unusable(what, f"printed more than {MOST_BYTES // 1024} KiB")
            if not piece:
                with suppress(subprocess.TimeoutExpired):  # it holds the words: no error is made of it
                    process.wait(look)
                    return data
        elif ended:
            # What it left running, such as an agent, may hold its output open.
            return data
    if signals:
        raise KeyboardInterrupt
    raise _unusable(what, f"took more than {SECONDS:g} s")


def _unusable(what: str, why: str) -> VaultUnavailableError:
    return VaultUnavailableError(
        f"{what} {why}", hint="run the command by hand: it must print the key, alone on a line"
    )
