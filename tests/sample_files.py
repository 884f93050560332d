"""The smallest real files of each kind that a model takes: a pixel, a page, a moment of sound."""

import io
import struct
import wave
import zlib


def _png() -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0\0"))
        + chunk(b"IEND", b"")
    )


def _wav() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(16))
    return file.getvalue()


def _aiff() -> bytes:
    # 8000 Hz as an 80-bit float.
    common = b"COMM" + struct.pack(">IhLh", 18, 1, 4, 16) + bytes.fromhex("400bfa00000000000000")
    sound = b"SSND" + struct.pack(">III", 16, 0, 0) + bytes(8)
    return b"FORM" + struct.pack(">I", 4 + len(common) + len(sound)) + b"AIFF" + common + sound


def _ogg() -> bytes:
    opus = b"OpusHead\x01\x01\x00\x00\x80\xbb\x00\x00\x00\x00\x00"
    return b"OggS\x00\x02" + bytes(8) + b"\x01\0\0\0" + bytes(8) + bytes([1, len(opus)]) + opus


def _box(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", 8 + len(data)) + name + data


def id3(sound: bytes) -> bytes:
    """*sound* behind an ID3v2 tag with 200 bytes of padding (the size has 7 bits a byte)."""
    return b"ID3\x04\x00\x00\x00\x00\x01\x48" + bytes(200) + sound


PNG = _png()
JPEG = (
    bytes.fromhex("ffd8ffe000104a46494600010100000100010000ffdb004300")
    + bytes([8] * 64)
    + bytes.fromhex(
        "ffc0000b080001000101011100ffc40014000100000000000000000000000000000003ffda0008010100003f0037ffd9"
    )
)
WEBP = bytes.fromhex("524946461a000000574542505650384c0d0000002f0000001007101111888808fe0700")
GIF = bytes.fromhex("47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b")
PDF = (
    b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
    b"2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n3 0 obj<</Type/Page/Parent 2 0 R>>endobj\n"
    b"trailer<</Root 1 0 R/Size 4>>\n%%EOF\n"
)
WAV = _wav()
AIFF = _aiff()
MP3 = b"\xff\xfb\x90\xc4" + bytes(413)
AAC = b"\xff\xf1\x50\x80\x02\x1f\xfc" + bytes(9)
OGG = _ogg()
FLAC = b"fLaC\x80\x00\x00\x22\x10\x00\x10\x00" + bytes(6) + b"\x01\xf4\x01\xf0" + bytes(20)
M4A = _box(b"ftyp", b"M4A \x00\x00\x02\x00M4A mp42isom\x00\x00\x00\x00") + _box(b"free", b"")
M4A_OF_MP42 = _box(b"ftyp", b"mp42\x00\x00\x00\x00isommp42M4A ") + _box(b"free", b"")
MP4 = _box(b"ftyp", b"isom\x00\x00\x02\x00isomiso2avc1mp41") + _box(b"free", b"")

KINDS = {
    "image/png": [PNG],
    "image/jpeg": [JPEG],
    "image/webp": [WEBP],
    "image/gif": [GIF, GIF.replace(b"89a", b"87a")],
    "application/pdf": [PDF, b"\r\n\0junk of a printer\n" + PDF, b"%PDF-1.7\nall of it in ASCII\n"],
    "audio/wav": [WAV],
    "audio/mpeg": [MP3, id3(MP3), id3(b"")],
    "audio/aiff": [AIFF, AIFF.replace(b"AIFF", b"AIFC")],
    "audio/aac": [AAC, id3(AAC)],
    "audio/ogg": [OGG],
    "audio/flac": [FLAC, id3(FLAC)],
    "audio/mp4": [M4A, M4A_OF_MP42],
    "text/plain": [
        b"hello\n",
        b"\xef\xbb\xbfwith a mark of the byte order\r\n",
        "naïve 漢字 🦕\f\x1b[1mfrom a log\x1b[0m\t".encode(),
        b'{"a": [1, 2]}',
        b"name,age\nAda,36\n",
        b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        b"<!doctype html><title>x</title>",
        b"GIF89a, ID3, fLaC and OggS begin files; so do RIFF????WAVE and BM",
        b"#!/bin/sh\necho %PDF-1.4\n",
        "é".encode() * 100_000,
    ],
}
