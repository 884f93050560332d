"""Runs one command and says what it took, seen from outside.

    python -I -S launcher.py pipe|file|pty OUTPUT COMMAND...

A process of its own and a small one: Linux counts what the forking process holds as the child's peak, also after
the child has become another program (`getrusage(2)`, `ru_maxrss`). So the floor of what is measured is this
process, not the harness with all that it has read. *OUTPUT* is the file that gets what the command wrote.

Prints one line: wall, CPU, time to the first byte and from the last byte to the end, in seconds; the peak in
bytes; the exit code, negative for a signal. Into a file no bytes are seen, and the times of bytes are 0.
"""

import os
import sys
import termios
import time

COLUMNS, LINES = 120, 40
# (POSIX, kill(1).) To import `signal` for it would raise the floor by a mebibyte.
SIGHUP = 1


def main() -> None:
    """Run the command and print what it took."""
    kind, output, *command = sys.argv[1:]
    ours, theirs = -1, -1
    actions: list[tuple[object, ...]] = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)]
    if kind == "file":
        actions += [(os.POSIX_SPAWN_OPEN, 1, output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)]
    elif kind == "pipe":
        ours, theirs = os.pipe()
        actions += [(os.POSIX_SPAWN_DUP2, theirs, 1)]
    else:
        ours, theirs = os.openpty()
        termios.tcsetwinsize(theirs, (LINES, COLUMNS))
        # Opened by the leader of a session that has none, it is the controlling terminal.
        actions = [(os.POSIX_SPAWN_OPEN, 0, os.ttyname(theirs), os.O_RDWR, 0)]
        actions += [(os.POSIX_SPAWN_DUP2, 0, 1), (os.POSIX_SPAWN_DUP2, 0, 2)]

    begun = time.perf_counter()
    # Under `nohup` too, what runs at a terminal ends with it.
    process = os.posix_spawn(
        command[0], command, os.environ, file_actions=actions, setsid=kind == "pty", setsigdef=[SIGHUP]
    )
    pieces = list[bytes]()
    first, last = begun, 0.0
    if ours >= 0:
        os.close(theirs)
        while piece := read(ours):
            last = time.perf_counter()
            first = first if pieces else last
            pieces.append(piece)
    _, status, usage = os.wait4(process, 0)
    ended = time.perf_counter()

    if ours >= 0:
        with open(output, "wb") as file:  # noqa: PTH123 - pathlib would be most of this process
            file.writelines(pieces)
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    tail = ended - last if pieces else 0.0
    cpu, code = usage.ru_utime + usage.ru_stime, os.waitstatus_to_exitcode(status)
    print(ended - begun, cpu, first - begun, tail, peak, code)  # noqa: T201


def read(descriptor: int) -> bytes:
    """The next bytes; none at the end, which a terminal shows as an error."""
    try:
        return os.read(descriptor, 1 << 16)
    except OSError:
        return b""


if __name__ == "__main__":
    main()
