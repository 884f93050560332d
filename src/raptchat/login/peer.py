"""Whose program is at the other end of a connection on 127.0.0.1.

An address that only the browser was told stands in its command line, which every user of the machine can read.
"""

import os
import socket
import sys
from pathlib import Path

# Linux, proc_net_tcp: the sockets of IPv4, and those of IPv6, which reach IPv4 as `::ffff:127.0.0.1`.
_TABLES = {"/proc/net/tcp": "", "/proc/net/tcp6": "0000000000000000FFFF0000"}
_ROOT = 0
_ESTABLISHED = 1
_LOCAL, _REMOTE, _USER = 1, 2, 7


def is_of_this_user(connection: socket.socket) -> bool:
    """Whether the other end of *connection* is this user's, or root's; where the system does not tell, it is.

    Linux tells. One without an owner there is outside of its view, such as the Windows around WSL; one that has
    hung up has no owner any more, and is not taken for ours.
    """
    if sys.platform != "linux":
        return True
    try:
        owner = _owner(connection.getsockname(), connection.getpeername())
    except OSError:  # it was reset
        return False
    # After the look at the table, so that whoever hung up before it is noticed.
    if connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != _ESTABLISHED:
        return False
    return owner is None or owner in {_ROOT, os.getuid()}


def _owner(here: tuple[str, int], there: tuple[str, int]) -> int | None:
    for table, prefix in _TABLES.items():
        ends = [prefix + _spelled(*there), prefix + _spelled(*here)]
        try:
            lines = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except (OSError, ValueError):
            continue
        for line in lines:
            fields = line.split()
            if fields[_LOCAL : _REMOTE + 1] == ends:
                return int(fields[_USER])
    return None


def _spelled(host: str, port: int) -> str:
    """An address as in the table: the number that its bytes are on this machine, and the port, in hexadecimal."""
    return f"{int.from_bytes(socket.inet_aton(host), sys.byteorder):08X}:{port:04X}"
