"""`chat -a`: from the command line to what the gateway receives, and again with the next question."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import sample_files
from conftest import Run, rows
from processes import AtTerminal
from web_server import answer, dripping, running

from raptchat.demo import DemoGateway

FREE_ENGINE = {"id": "file-parser", "pdf": {"engine": "cloudflare-ai"}}


@pytest.fixture(autouse=True)
def files(tmp_path: Path) -> None:
    (tmp_path / "pixel.png").write_bytes(sample_files.PNG)
    (tmp_path / "page.pdf").write_bytes(sample_files.PDF)
    (tmp_path / "notes.md").write_text("```\nnaïve 漢字\n```\n", encoding="utf-8")


def received(gateway: DemoGateway) -> list[dict[str, Any]]:
    """The messages of the last request."""
    messages = gateway.requests[-1].body["messages"]
    assert isinstance(messages, list)
    return messages


def data(url: str) -> bytes:
    return base64.b64decode(url.partition(",")[2])


def test_an_address_that_is_slow_is_waited_for_in_sight_and_ctrl_c_ends_it(biology: Run) -> None:
    words = ["chat", "-a", "URL", "what is it?"]
    with running() as web:
        web.pages["/slow.png"] = dripping(answer(sample_files.PNG, length=10_000), b"\0")
        words[2] = f"{web.url}/slow.png"
        with AtTerminal(*words) as terminal:
            terminal.until("waiting for the attachment")
            terminal.keys("\x03")
            terminal.ends(130)
            assert not any("waiting" in line for line in terminal.screen())
        web.pages["/slow.png"] = answer(sample_files.PNG)
        with AtTerminal(*words, "-q") as terminal:
            assert "waiting for the attachment" not in terminal.ends(0)


def test_files_an_address_and_a_pipe_go_with_one_question(biology: Run, gateway: DemoGateway) -> None:
    with running() as web:
        web.pages["/beep.mp3"] = answer(sample_files.MP3)
        biology(
            [
                "chat",
                "-a",
                "pixel.png",
                "-a",
                "notes.md",
                "-a",
                "-",
                "-a",
                f"{web.url}/beep.mp3",
                "what",
                "is",
                "it?",
            ],
            stdin=sample_files.WAV,
        )

    [message] = received(gateway)
    text, image, wav, mp3 = message["content"]
    assert text["text"] == 'what is it?\n\nFile "notes.md":\n\n````\n```\nnaïve 漢字\n```\n````'
    assert data(image["image_url"]["url"]) == sample_files.PNG
    assert [one["input_audio"]["format"] for one in (wav, mp3)] == ["wav", "mp3"]
    assert base64.b64decode(wav["input_audio"]["data"]) == sample_files.WAV


def test_a_type_can_be_named(biology: Run, gateway: DemoGateway, tmp_path: Path) -> None:
    (tmp_path / "sound").write_bytes(bytes(8))

    biology("chat --at sound audio/pcm16 hello")

    [message] = received(gateway)
    assert message["content"][1]["input_audio"]["format"] == "pcm16"


def test_the_next_question_takes_the_file_along_from_the_store(
    biology: Run, gateway: DemoGateway, home: Path, tmp_path: Path
) -> None:
    biology("chat -a page.pdf -a pixel.png 'what is it?'")
    (tmp_path / "page.pdf").unlink()
    biology("chat -c -a pixel.png 'are you sure?'")

    first, _, second = received(gateway)
    assert data(first["content"][1]["file"]["file_data"]) == sample_files.PDF
    assert data(second["content"][1]["image_url"]["url"]) == sample_files.PNG
    assert [one.body["plugins"] for one in gateway.requests] == [[FREE_ENGINE], [FREE_ENGINE]]
    assert rows(home, "SELECT count(*) FROM attachments") == [(2,)]


def test_a_private_question_stores_no_file(biology: Run, gateway: DemoGateway, home: Path) -> None:
    biology("chat --private -a page.pdf 'what is it?'")

    assert gateway.requests[-1].body["plugins"] == [FREE_ENGINE]
    assert rows(home, "SELECT count(*) FROM attachments") == [(0,)]


def test_a_dry_run_names_the_files_and_shows_none(biology: Run, gateway: DemoGateway) -> None:
    said = biology("chat --dry-run -a page.pdf 'what is it?'")

    request = json.loads(said.out)["request"]
    assert request["messages"][0]["content"][1]["file"]["file_data"] == (
        f"<application/pdf, {len(sample_files.PDF)} bytes, page.pdf>"
    )
    assert request["plugins"] == [FREE_ENGINE]
    assert not gateway.requests


@pytest.mark.parametrize("words", ["-a missing.png", "-a .", "-a /dev/zero", "--at pixel.png video/mp4", "-a ''"])
def test_a_file_that_cannot_go_ends_it_before_anything_is_sent_or_stored(
    biology: Run, gateway: DemoGateway, home: Path, words: str
) -> None:
    said = biology(f"chat {words} 'what is it?'", exit_code=2)

    assert said.out == ""
    assert "hint: " in said.err
    assert not gateway.requests
    assert rows(home, "SELECT count(*) FROM sessions") == [(0,)]
