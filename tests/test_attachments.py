"""Files that go with a message: what is taken, what is refused, and what a person is told."""

import hashlib
import io
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import sample_files
from conftest import environment
from web_server import answer, running

from raptchat.attachments import check_media_type, from_bytes, from_file
from raptchat.cli.chat.attach import load
from raptchat.cli.invocation import Invocation
from raptchat.errors import UsageError
from raptchat.records import Attachment
from raptchat.render import Terminal

MOST = 100_000


def refusal(attach: Callable[[], Attachment]) -> UsageError:
    with pytest.raises(UsageError) as caught:
        attach()
    assert caught.value.hint
    assert caught.value.__cause__ is None
    assert str(caught.value).isprintable()
    return caught.value


def test_a_file_comes_with_its_name_type_size_and_hash(tmp_path: Path) -> None:
    path = tmp_path / "pixel.txt"
    path.write_bytes(sample_files.PNG)

    assert from_file(path, most_bytes=MOST) == Attachment(
        "pixel.txt",
        "image/png",
        hashlib.sha256(sample_files.PNG).hexdigest(),
        len(sample_files.PNG),
        sample_files.PNG,
    )


def test_a_type_that_is_named_wins_over_the_content(tmp_path: Path) -> None:
    path = tmp_path / "sound"
    path.write_bytes(bytes(8))

    assert from_file(path, most_bytes=MOST, media_type="audio/pcm16").media_type == "audio/l16"
    assert from_bytes(sample_files.PNG, "a", most_bytes=MOST, media_type="image/jpg").media_type == "image/jpeg"
    assert from_bytes(b"a,b", "a", most_bytes=MOST, media_type="text/csv").kind == "text"


@pytest.mark.parametrize("content", [sample_files.PNG, b"a\0b", "naïve".encode("latin-1"), "a".encode("utf-16")])
def test_what_is_no_text_is_not_sent_as_text(content: bytes) -> None:
    said = refusal(lambda: from_bytes(content, "a", most_bytes=MOST, media_type="text/plain"))

    assert str(said) == "`a` is not text in UTF-8"


def test_a_type_that_is_none_is_refused_and_does_not_act_on_the_terminal() -> None:
    assert check_media_type("image/png") == "image/png"
    said = refusal(lambda: from_bytes(b"a", "a", most_bytes=MOST, media_type="image/\x1b[2J"))

    assert str(said) == "`image/␛[2J` is no media type that can be sent"


@pytest.mark.parametrize("content", [sample_files.MP4, b"PK\x03\x04\x14\x00\x00\x00", b"\x7fELF\x02\x01\x01\x00"])
def test_a_file_of_no_known_kind_is_refused_with_the_known_ones(content: bytes) -> None:
    said = refusal(lambda: from_bytes(content, "film.png", most_bytes=MOST))

    assert str(said) == "`film.png` is of no kind that a model takes"
    assert "PNG" in said.hint
    assert "--at FILE TYPE" in said.hint


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_text_of_windows_is_told_how_to_become_text(encoding: str) -> None:
    content = "\ufeffhello".encode(encoding)

    assert "iconv -f UTF-16" in refusal(lambda: from_bytes(content, "a.txt", most_bytes=MOST)).hint


def test_size_limits_are_exact_and_name_the_command_that_moves_them(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(b"x" * 2**20)
    assert from_file(path, most_bytes=2**20).size == 2**20

    path.write_bytes(b"x" * (2**20 + 1))
    said = refusal(lambda: from_file(path, most_bytes=2**20))
    assert str(said) == "`notes.txt` is larger than 1 MiB"
    assert said.hint == "raptchat config set max_attachment_mb 2"
    assert str(refusal(lambda: from_bytes(path.read_bytes(), "stdin", most_bytes=2**20))) == (
        "`stdin` is larger than 1 MiB"
    )


def test_a_file_for_which_no_setting_is_enough_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    with path.open("wb") as file:
        file.truncate(2**40)

    assert refusal(lambda: from_file(path, most_bytes=20 * 2**20)).hint == (
        "attach a part of it: one request takes 64 MiB"
    )


@pytest.mark.skipif(not Path("/proc/cpuinfo").is_file(), reason="needs a file whose size is not what it says")
def test_a_file_that_says_it_is_empty_is_read_all_the_same() -> None:
    assert from_file(Path("/proc/cpuinfo"), most_bytes=10 * 2**20).media_type == "text/plain"
    assert "larger" in str(refusal(lambda: from_file(Path("/proc/cpuinfo"), most_bytes=10)))


def _is_missing(path: Path) -> None:
    pass


def _is_folder(path: Path) -> None:
    path.mkdir()


def _is_pipe(path: Path) -> None:
    os.mkfifo(path)


def _is_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _is_empty(path: Path) -> None:
    path.touch()


def _is_loop(path: Path) -> None:
    path.symlink_to(path)


def _is_below_a_file(path: Path) -> None:
    path.parent.rmdir()
    path.parent.touch()


def _is_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(path))  # the whole path may be too long for the name of a socket


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_is_missing, "there is no file"),
        (_is_folder, "is a folder"),
        (_is_pipe, "is not a plain file"),
        (_is_device, "is not a plain file"),
        (_is_empty, "is empty"),
        (_is_loop, "cannot be read: Too many levels"),
        (_is_below_a_file, "cannot be read: Not a directory"),
        (_is_socket, "cannot be read: No such device"),
    ],
)
def test_what_is_no_file_to_read_is_refused_at_once(
    tmp_path: Path, make: Callable[[Path], None], reason: str
) -> None:
    path = tmp_path / "folder" / "a.txt"
    path.parent.mkdir()
    make(path)
    before = os.listdir("/dev/fd")  # noqa: PTH208 - the descriptors of this process

    assert reason in str(refusal(lambda: from_file(path, most_bytes=MOST)))
    assert os.listdir("/dev/fd") == before  # noqa: PTH208


# Root reads everything: then it is done as nobody.
READING = """
import os, sys
from pathlib import Path
from raptchat.attachments import from_file
from raptchat.errors import UsageError
if os.geteuid() == 0:
    os.setgroups([])
    os.setuid(65534)
try:
    from_file(Path(sys.argv[1]), most_bytes=10)
except UsageError as error:
    assert error.hint and error.__cause__ is None
    print(error)
"""


def test_a_file_of_others_is_refused() -> None:
    # Not pytest's folder, which nobody else may enter.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = Path(folder, "a.txt")
        path.touch(mode=0o000)
        command = [sys.executable, "-c", READING, str(path)]
        said = subprocess.run(command, capture_output=True, text=True, check=True, env=environment())

    assert "cannot be read: Permission denied" in said.stdout


@pytest.mark.parametrize("name", ["a\0b", "x" * 300, "\x1b[2J\n", "\udcff\udcfe"])
def test_no_name_breaks_the_error_about_it(tmp_path: Path, name: str) -> None:
    refusal(lambda: from_file(tmp_path / name, most_bytes=MOST))


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\x1b[2J\n\u202eb.png", "a␛[2J␊\ufffdb.png"),
        ("\udcff.png", "\ufffd.png"),
        ("x" * 100, "x" * 100),
        ("x" * 150 + "report.pdf", "x" * 89 + "…report.pdf"),
    ],
)
def test_a_name_is_stored_safe_and_short_and_its_end_stays(name: str, shown: str) -> None:
    assert from_bytes(b"a", name, most_bytes=MOST).name == shown


@pytest.fixture(name="run")
def run_fixture() -> Invocation:
    return Invocation(terminal=Terminal.recorded())


def pipe_in(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def test_a_file_is_named_as_a_shell_or_a_conversation_names_it(
    run: Invocation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "pixel.png").write_bytes(sample_files.PNG)

    for word in ("pixel.png", "./pixel.png", str(tmp_path / "pixel.png"), "~/pixel.png"):
        assert load(run, word).name == "pixel.png"
    assert load(run, "pixel.png", media_type="image/webp").media_type == "image/webp"


def test_a_dash_is_standard_input_whatever_it_holds(run: Invocation, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe_in(monkeypatch, sample_files.WAV)
    found = load(run, "-")
    assert (found.name, found.media_type, found.content) == ("stdin", "audio/wav", sample_files.WAV)

    assert str(refusal(lambda: load(run, "-"))) == "`stdin` is empty"
    pipe_in(monkeypatch, b"\0\0")
    assert load(run, "-", media_type="audio/pcm16").media_type == "audio/l16"


def test_too_much_on_standard_input_is_not_read_to_its_end(
    run: Invocation, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.mkdir(exist_ok=True)
    (home / "config.toml").write_text("max_attachment_mb = 1\n")
    pipe_in(monkeypatch, b"x" * (2**20 + 100))

    assert "larger than 1 MiB" in str(refusal(lambda: load(run, "-")))
    assert len(sys.stdin.buffer.read()) == 99


def test_an_address_is_fetched(run: Invocation) -> None:
    with running() as web:
        web.pages["/pixel.png"] = answer(sample_files.PNG)

        assert load(run, f"{web.url}/pixel.png").name == "pixel.png"
        assert load(run, f"HTTP{web.url[4:]}/pixel.png", media_type="image/gif").media_type == "image/gif"


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("", "the name of the attachment is empty"),
        ("~nobody-of-this-name/a.png", "there is no home folder for"),
        ("ftp://example.com/a.png", "`ftp://` cannot be fetched"),
        ("file:///etc/passwd", "`file://` cannot be fetched"),
        ("http://example.com/a.png", "must be https"),
        ("missing.png", "there is no file `missing.png`"),
    ],
)
def test_a_word_that_names_nothing_is_refused(run: Invocation, word: str, reason: str) -> None:
    assert reason in str(refusal(lambda: load(run, word)))


def test_a_wrong_type_is_said_before_anything_is_read(run: Invocation) -> None:
    assert "is no media type" in str(refusal(lambda: load(run, "missing.png", media_type="png")))


def test_no_client_is_loaded_for_a_file_of_this_machine(tmp_path: Path) -> None:
    script = (
        "import sys; from raptchat.attachments import from_file; from pathlib import Path;"
        "from_file(Path('a.txt'), most_bytes=9); print({'httpx', 'sqlite3', 'mimetypes'} & set(sys.modules))"
    )
    (tmp_path / "a.txt").write_text("hello")
    # Coverage, which the tests may run under, brings modules of its own.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=env)

    assert ended.stdout == "set()\n"
