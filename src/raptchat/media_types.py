"""What a file is, told from its content and never from its name: the media types that a model takes.

The signatures are those of WHATWG "MIME Sniffing" (6.1, 6.2) where it has them; else the line names the format's
own specification.
"""

import re

PDF = "application/pdf"
TEXT = "text/plain"
IMAGES = ("image/png", "image/jpeg", "image/webp", "image/gif")
# What the gateway calls them (OpenRouter, "Audio"). PCM has no signature: nothing but `--at` tells it.
AUDIO_FORMATS = {
    "audio/wav": "wav",
    "audio/mpeg": "mp3",
    "audio/aiff": "aiff",
    "audio/aac": "aac",
    "audio/ogg": "ogg",
    "audio/flac": "flac",
    "audio/mp4": "m4a",
    "audio/l16": "pcm16",
    "audio/l24": "pcm24",
}
KINDS = "images (PNG, JPEG, WebP, GIF), PDF, audio (WAV, MP3, AIFF, AAC, OGG, FLAC, M4A), text in UTF-8"

_SIGNATURES = {
    "image/png": rb"\x89PNG\r\n\x1a\n",
    "image/jpeg": rb"\xff\xd8\xff",
    "image/webp": rb"RIFF.{4}WEBPVP",
    "image/gif": rb"GIF8[79]a",
    "audio/wav": rb"RIFF.{4}WAVE",
    "audio/aiff": rb"FORM.{4}AIF[FC]",
    "audio/ogg": rb"OggS\x00",
    "audio/flac": rb"fLaC",  # RFC 9639, 8
    # ISO/IEC 14496-12, 4.3: the major brand, or one of the compatible brands in the same box.
    "audio/mp4": rb"\x00\x00\x00.ftyp(?:.{4}.{4}(?:.{4}){0,20}?)?M4[AB] ",
    # ISO/IEC 13818-7, 6.2 (ADTS): the sync word, with layer 0.
    "audio/aac": rb"\xff[\xf0\xf1\xf8\xf9]",
    # ISO/IEC 11172-3, 2.4.1.3: the sync word, with layer III and a bit rate.
    "audio/mpeg": rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb][\x10-\xef]",
}
_SIGNATURE_BYTES = 128
_PDF_HEADER = rb"%PDF-\d"
# Adobe's readers, and others after them, take a header that stands this far from the beginning.
_PDF_HEADER_BYTES = 1024
# WHATWG "MIME Sniffing", 3: a "binary data byte".
_BINARY_BYTE = rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]"
_HTML = rb"(?i)(?:\xef\xbb\xbf)?\s*(?><!--(?s:.*?)-->\s*)*+<(?:!doctype\s+html|html|head|body)\b"
_HTML_BYTES = 1445  # as far as WHATWG's sniffer reads
_TEXT_TYPE = r"text/[a-z0-9.+-]{1,80}|application/(?:[a-z0-9.-]{1,80}\+)?(?:json|xml|yaml)"


def media_type_of(content: bytes) -> str | None:
    """The media type of *content*; `None` when it is none that a model takes."""
    if re.match(_PDF_HEADER, content):
        return PDF
    # Before the signatures, which a text about formats can begin with; no binary format is free of such bytes.
    if not re.search(_BINARY_BYTE, content) and _is_utf8(content):
        return TEXT
    return _signed(content) or (PDF if re.search(_PDF_HEADER, content[:_PDF_HEADER_BYTES]) else None)


def media_type_named(word: str) -> str:
    """The media type that *word* means, in the spelling used here; `ValueError` for none that can be sent.

    The names in common use are taken too: `image/jpg`, `audio/mp3`, `audio/x-wav`.
    """
    media_type = word.partition(";")[0].strip().lower()
    common = {**{f"audio/{form}": one for one, form in AUDIO_FORMATS.items()}, "image/jpg": "image/jpeg"}
    media_type = common.get(media_type.replace("/x-", "/"), media_type)
    if media_type in {PDF, *IMAGES, *AUDIO_FORMATS} or re.fullmatch(_TEXT_TYPE, media_type):
        return media_type
    raise ValueError("is no media type that can be sent")


def is_html(content: bytes) -> bool:
    """Whether *content* is a web page (WHATWG "MIME Sniffing", 7.1)."""
    return re.match(_HTML, content[:_HTML_BYTES]) is not None


def is_sendable_text(content: bytes) -> bool:
    """Whether *content* can stand in a message: UTF-8 without NUL."""
    return b"\0" not in content and _is_utf8(content)


def _signed(content: bytes) -> str | None:
    start = _end_of_id3(content)
    head = content[start : start + _SIGNATURE_BYTES]
    found = next((one for one, signature in _SIGNATURES.items() if re.match(signature, head, re.DOTALL)), None)
    return found or ("audio/mpeg" if start else None)


def _end_of_id3(content: bytes) -> int:
    """Where the sound begins behind an ID3v2 tag (id3.org, ID3v2.4.0 structure, 3.1); 0 without one."""
    if not content.startswith(b"ID3") or len(content) < 10:
        return 0
    size = 0
    for byte in content[6:10]:
        size = size << 7 | byte & 0x7F
    has_footer = content[5] & 0x10
    return 10 + size + (10 if has_footer else 0)


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True
