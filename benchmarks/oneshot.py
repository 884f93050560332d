"""A question on the command line and its short answer into a pipe, stored and booked."""

import random
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import keyring_daemon
from measuring import Bench, Row
from peers import PROMPT, SHORT, add_key, asking, chat, done

SECTION = "oneshot"

_IMAGE_SIDE = 512


def measure(bench: Bench) -> Iterator[Row]:
    """With the vault in a file, with an image, and with a real Secret Service where there is one."""
    yield from bench.compare(SECTION, "file vault", asking(bench, SHORT))
    image = str(bench.scratch / "image.png")
    write_image(Path(image))
    ours = [bench.raptchat(*chat(SHORT, "-a", image)), bench.httpx(SHORT, PROMPT, image)]
    peer = bench.llm and bench.llm("-m", SHORT, PROMPT, "-a", image)
    yield from bench.compare(SECTION, "with an image", [*ours, peer])
    if keyring_daemon.is_installed():
        with keyring_daemon.running(bench.python) as environ:
            home = str(bench.scratch / "with-keyring")
            raptchat = bench.raptchat.with_environ(**environ, RAPTCHAT_HOME=home)
            done(raptchat("vault", "init", "--keyring"))
            add_key(raptchat)
            programs = [raptchat(*chat(SHORT)), bench.httpx(SHORT, PROMPT)]
            yield from bench.compare(SECTION, "Secret Service", programs)


def write_image(path: Path) -> None:
    """A grey image of noise, which no program can make small: 256 KiB of PNG (ISO/IEC 15948)."""
    side, noise = _IMAGE_SIDE, random.Random(5)  # noqa: S311 - any noise will do

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    lines = b"".join(b"\0" + noise.randbytes(side) for _ in range(side))
    data = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data)
