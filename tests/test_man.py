"""The manual pages: fresh, one for each command, and sound roff that shows what it is meant to show."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from programs import installed

from raptchat.cli import app
from raptchat.cli.examples import EXAMPLES

FOLDER = Path(__file__).parent.parent / "man"
PAGES = sorted(FOLDER.glob("man1/*.1"))


def test_the_manual_pages_are_fresh(tmp_path: Path) -> None:
    copy = tmp_path / "generate.py"
    copy.write_bytes((FOLDER / "generate.py").read_bytes())
    subprocess.run([sys.executable, str(copy)], check=True, capture_output=True, cwd=tmp_path)

    made = {page.name: page.read_text(encoding="utf-8") for page in tmp_path.glob("man1/*.1")}
    assert made == {page.name: page.read_text(encoding="utf-8") for page in PAGES}


def test_every_command_has_a_page() -> None:
    top = typer.main.get_group(app)
    names = {"raptchat.1"}
    for name, command in top.commands.items():
        names |= {
            f"raptchat-{name}.1",
            *(f"raptchat-{name}-{below}.1" for below in getattr(command, "commands", {})),
        }

    assert {page.name for page in PAGES} == names


def formatted(page: Path, *flags: str) -> str:
    """A page as a person sees it, 80 columns wide, without styles."""
    command = [installed("groff", "groff"), "-man", "-Tutf8", "-Kutf8", "-rLL=400n", *flags, str(page)]
    env = {**os.environ, "GROFF_NO_SGR": "1"}
    ended = subprocess.run(command, capture_output=True, check=True, env=env)
    assert ended.stderr == b""
    return re.sub(".\b", "", ended.stdout.decode())


def test_no_page_has_a_fault_of_roff() -> None:
    command = [installed("groff", "groff"), "-man", "-ww", "-z", "-Tutf8", "-Kutf8", *map(str, PAGES)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)

    assert ended.stderr == ""


@pytest.mark.parametrize("path", EXAMPLES, ids=" ".join)
def test_an_example_can_be_copied_out_of_a_page(path: tuple[str, ...]) -> None:
    text = formatted(FOLDER / "man1" / f"{'-'.join(('raptchat', *path))}.1")

    for example in EXAMPLES[path]:
        assert example.line in text


def test_the_first_page_names_variables_exit_codes_and_the_other_pages() -> None:
    text = formatted(FOLDER / "man1" / "raptchat.1")

    assert re.search(r"^ +RAPTCHAT_GROUP$", text, re.MULTILINE)
    assert re.search(r"^ +4 +AI_NOT_CONFIGURED$", text, re.MULTILINE)
    assert "raptchat-chat(1)" in text
    assert "--version" in text


def test_a_line_that_begins_like_a_request_is_none(tmp_path: Path) -> None:
    page = tmp_path / "page.1"
    script = (
        "import runpy, sys; made = runpy.run_path(sys.argv[1]); print('.TH X 1');"
        "[print(made['_line'](text)) for text in sys.argv[2:]]"
    )
    command = [
        sys.executable,
        "-c",
        script,
        str(FOLDER / "generate.py"),
        ".so /etc/passwd",
        "'br",
        'a\\b -c ^d~e`f"g',
    ]
    page.write_bytes(subprocess.run(command, capture_output=True, check=True).stdout)
    text = " ".join(formatted(page).split())

    assert ".so /etc/passwd 'br a\\b -c ^d~e`f\"g" in text
