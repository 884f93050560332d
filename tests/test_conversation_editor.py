"""The person's own editor: what it is handed, what comes back, and that nothing is lost or left behind."""

import os
import shlex
import signal
import stat
import sys
import tempfile
from pathlib import Path

import pytest

from raptchat.cli.chat.conversation.editor import edit
from raptchat.errors import UsageError


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go; it is empty at the end of each test."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def script(tmp_path: Path, text: str) -> str:
    """A command that runs this Python with the file's path as `file`."""
    program = tmp_path / "my editor.py"
    program.write_text(f"import os, sys\nfrom pathlib import Path\nfile = Path(sys.argv[-1])\n{text}\n")
    return f"{shlex.quote(sys.executable)} {shlex.quote(str(program))} --wait"


def test_the_text_comes_back_as_it_was_left(tmp_path: Path, temporary: Path) -> None:
    editor = script(tmp_path, "file.write_text(file.read_text() + ' and naïve\\n\\nmore\\n\\n', encoding='utf-8')")

    assert edit("one\ntwo", {"EDITOR": editor}) == "one\ntwo and naïve\n\nmore"
    assert list(temporary.iterdir()) == []


def test_visual_wins_over_editor(tmp_path: Path) -> None:
    editor = script(tmp_path, "file.write_text('visual')")

    assert edit("", {"VISUAL": editor, "EDITOR": "false"}) == "visual"


def test_the_file_is_private_and_its_backups_go_with_it(tmp_path: Path, temporary: Path) -> None:
    editor = script(
        tmp_path,
        "modes = oct(file.stat().st_mode), oct(file.parent.stat().st_mode)\n"
        "file.with_name('message.md~').write_text('backup')\n"
        "file.write_text(' '.join(modes))",
    )
    before = os.umask(0)
    try:
        said = edit("secret", {"EDITOR": editor})
    finally:
        os.umask(before)

    assert [stat.S_IMODE(int(mode, 8)) for mode in said.split()] == [0o600, 0o700]
    assert list(temporary.iterdir()) == []


def test_the_editor_is_not_told_where_the_master_key_is(tmp_path: Path) -> None:
    editor = script(tmp_path, "file.write_text(' '.join(sorted(os.environ)))")
    environ = {"EDITOR": editor, "RAPTCHAT_MASTER_KEY_FILE": "x", "RAPTCHAT_PASSPHRASE_FILE": "x", "KEPT": "x"}

    said = edit("", environ).split()
    assert "KEPT" in said
    assert not {"RAPTCHAT_MASTER_KEY_FILE", "RAPTCHAT_PASSPHRASE_FILE"} & set(said)


@pytest.mark.parametrize(
    ("editor", "message"),
    [
        ("no-such-editor --wait", "`no-such-editor` cannot be used: No such file or directory"),
        ("false", r"`false` failed \(1\); the text is as it was"),
        ("'unclosed", "cannot be read: no closing quotation"),
        ("a\0b", "cannot be used: embedded null byte"),
        ("/", "cannot be used: Permission denied"),
        ("sh -c 'kill -9 $$'", r"`sh` failed \(-9\)"),
        ('sh -c \'printf "\\351" > "$0"\'', "`sh` left no UTF-8 text"),
        ("rm", "`rm` cannot be used: No such file"),
    ],
)
def test_an_editor_that_fails_is_an_error_that_says_why(editor: str, message: str, temporary: Path) -> None:
    environ = {"PATH": os.environ["PATH"], "EDITOR": editor}
    with pytest.raises(UsageError, match=message):
        edit("text", environ)
    assert list(temporary.iterdir()) == []


def test_without_an_editor_it_is_vi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "vi"
    program.write_text('#!/bin/sh\necho by vi > "$1"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    assert edit("", {**os.environ, "VISUAL": "", "EDITOR": " "}) == "by vi"


def test_ctrl_c_is_the_editors(tmp_path: Path) -> None:
    editor = script(tmp_path, "import signal\nos.kill(os.getppid(), signal.SIGINT)\nfile.write_text('kept')")
    before = signal.getsignal(signal.SIGINT)

    assert edit("", {"EDITOR": editor}) == "kept"
    assert signal.getsignal(signal.SIGINT) is before
