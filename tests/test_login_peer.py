"""Whose program is at the other end: this user's, another one's, or nobody's any more."""

import os
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from raptchat.login import peer
from raptchat.login.callback import Callback
from raptchat.login.peer import is_of_this_user

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells whose a socket is")

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """The two ends of a connection on 127.0.0.1; the first is the accepted one."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        other = socket.create_connection(listening.getsockname())
        accepted, _ = listening.accept()
    with accepted, other:
        yield accepted, other


def owned_by(pair: Pair, user: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, prefix: str = "") -> None:
    """Have the system say that the other end is *user*'s."""
    accepted, other = pair
    here, there = (f"{prefix}0100007F:{end.getsockname()[1]:04X}" for end in (accepted, other))
    row = "   {}: {} {} 01 00000000:00000000 00:00000000 00000000 {:5d}        0 12345 1 0000 20 4 30 10 -1\n"
    rows = [row.format(0, here, there, 0), row.format(1, there, here, user)]
    table = tmp_path / "tcp"
    table.write_text("  sl  local_address rem_address   st tx_queue rx_queue\n" + "".join(rows))
    monkeypatch.setattr(peer, "_TABLES", {str(tmp_path / "missing"): "", str(table): prefix})


def test_a_program_of_this_user_is_ours(pair: Pair) -> None:
    assert is_of_this_user(pair[0])


@linux
def test_the_system_says_whose_it_is(pair: Pair) -> None:
    assert peer._owner(pair[0].getsockname(), pair[0].getpeername()) == os.getuid()


@linux
def test_a_program_that_speaks_ipv6_is_ours_too() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        try:
            other = socket.socket(socket.AF_INET6)
            other.connect(("::ffff:127.0.0.1", listening.getsockname()[1]))
        except OSError:
            pytest.skip("there is no IPv6 here")
        accepted, _ = listening.accept()
    with accepted, other:
        assert peer._owner(accepted.getsockname(), accepted.getpeername()) == os.getuid()


@linux
@pytest.mark.skipif(sys.byteorder != "little", reason="the table is written as on a little-endian machine")
@pytest.mark.parametrize("prefix", ["", "0000000000000000FFFF0000"])
def test_one_of_another_user_is_not(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: str
) -> None:
    for user, ours in ((os.getuid() + 1, False), (0, True), (os.getuid(), True)):
        owned_by(pair, user, tmp_path, monkeypatch, prefix=prefix)
        assert is_of_this_user(pair[0]) is ours


@linux
def test_one_that_hung_up_is_nobodys(pair: Pair) -> None:
    accepted, other = pair
    other.sendall(b"GET /")
    other.close()

    assert not is_of_this_user(accepted)


@linux
def test_one_that_was_reset_is_nobodys(pair: Pair) -> None:
    accepted, other = pair
    other.sendall(b"GET /")
    other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    other.close()

    assert not is_of_this_user(accepted)


def test_where_the_system_does_not_tell_it_is_taken_for_ours(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer, "_TABLES", {str(tmp_path / "missing"): ""})
    assert is_of_this_user(pair[0])

    monkeypatch.setattr(sys, "platform", "darwin")
    pair[1].close()
    assert is_of_this_user(pair[0])


@linux
@pytest.mark.skipif(os.getuid() != 0, reason="only root can act as somebody else")
def test_another_user_who_read_the_address_brings_nothing() -> None:
    with Callback() as callback:
        port, path = callback.url.rpartition(":")[2].split("/")
        os.seteuid(65534)
        try:
            other = socket.create_connection(("127.0.0.1", int(port)))
        finally:
            os.seteuid(0)
        with other:
            other.sendall(f"GET /{path}?code=evil HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
            assert callback.wait(0.1) is None
            assert other.recv(65536).startswith(b"HTTP/1.1 404 ")
