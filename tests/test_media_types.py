"""The type of a file is found from what is in it."""

import pytest
import sample_files
from hypothesis import given
from hypothesis import strategies as st

from raptchat.media_types import (
    AUDIO_FORMATS,
    IMAGES,
    PDF,
    is_html,
    is_sendable_text,
    media_type_named,
    media_type_of,
)
from raptchat.records import Attachment


@pytest.mark.parametrize(
    ("media_type", "content"), [(kind, content) for kind, files in sample_files.KINDS.items() for content in files]
)
def test_each_kind_is_known_by_its_content(media_type: str, content: bytes) -> None:
    assert media_type_of(content) == media_type


@pytest.mark.parametrize(
    "content",
    [
        b"\x7fELF\x02\x01\x01" + bytes(9),
        b"PK\x03\x04\x14\x00\x00\x00\x08\x00",
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
        "text in UTF-16".encode("utf-16"),
        "naïve in Latin-1".encode("latin-1"),
        b"cut in the middle of a character \xe6\xbc",
        b"a text with a NUL\0",
        sample_files.MP4,
        b"RIFF\x10\x00\x00\x00AVI LIST",
        b"RIFF\x10\x00\x00",
        b"\x89PNG\r\n",
        b"\xff\xfb\xf0\x00",  # a bit rate that is none
        b"ID3\x04\x00",
        b"\0" * 2000 + b"%PDF-1.4",
        bytes(range(256)),
    ],
)
def test_what_no_model_takes_has_no_type(content: bytes) -> None:
    assert media_type_of(content) is None


@given(st.binary(max_size=300))
def test_whatever_a_file_holds_it_has_one_type_or_none(content: bytes) -> None:
    found = media_type_of(content)

    assert found in {None, "text/plain", PDF, *IMAGES, *AUDIO_FORMATS}
    if found == "text/plain":
        assert is_sendable_text(content)


@pytest.mark.parametrize(
    ("word", "media_type"),
    [
        ("image/png", "image/png"),
        ("IMAGE/JPG", "image/jpeg"),
        (" audio/mp3 ", "audio/mpeg"),
        ("audio/x-wav", "audio/wav"),
        ("audio/x-m4a", "audio/mp4"),
        ("audio/pcm16", "audio/l16"),
        ("audio/L24", "audio/l24"),
        ("application/pdf", "application/pdf"),
        ("text/x-python", "text/x-python"),
        ("text/csv; charset=utf-8", "text/csv"),
        ("application/json", "application/json"),
        ("application/ld+json", "application/ld+json"),
    ],
)
def test_a_type_goes_by_its_common_names(word: str, media_type: str) -> None:
    assert media_type_named(word) == media_type


@pytest.mark.parametrize(
    "word",
    [
        "",
        "png",
        "/",
        "image/",
        "image/tiff",
        "image/svg+xml",
        "video/mp4",
        "text/",
        "text/a b",
        "text/\x1b[2J",
        "text/plain\n\x07",
        "application/zip",
        "audio/midi",
        "text/" + "x" * 100,
    ],
)
def test_a_type_that_cannot_be_sent_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="is no media type"):
        media_type_named(word)


def test_every_type_is_of_the_kind_that_it_is_sent_as() -> None:
    def kind(media_type: str) -> str:
        return Attachment("name", media_type, "", 0).kind

    assert {kind(one) for one in IMAGES} == {"image"}
    assert {kind(one) for one in AUDIO_FORMATS} == {"audio"}
    assert kind(PDF) == "pdf"
    assert {kind(media_type_named(word)) for word in ("text/csv", "application/json", "application/xml")} == {
        "text"
    }


@pytest.mark.parametrize(
    ("content", "is_page"),
    [
        (b"\xef\xbb\xbf\n <!DOCTYPE html><p>", True),
        (b"<!-- made\nby a machine --> <HTML lang=en>", True),
        (b"<html>", True),
        (b"<htmlx>", False),
        (b"a text about <html>", False),
        (b"<!--" + b"-" * 5000, False),
        (b"<!-- -->" * 1000, False),
    ],
)
def test_a_web_page_is_known(content: bytes, is_page: bool) -> None:  # noqa: FBT001
    assert is_html(content) == is_page
