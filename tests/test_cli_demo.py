"""`raptchat demo`: the main job without a key and without a network."""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from conftest import Run, environment
from processes import PATIENCE_SECONDS, read_until, run, started


def test_the_demo_is_the_main_job(raptchat: Run, home: Path) -> None:
    said = raptchat("demo 'my own words'")

    assert "A reply from the demo gateway" in said.out
    assert "> my own words" in said.out
    assert re.search(r"^[0-9a-f-]{36}\tbiology\topenrouter\t\S+\tdemo\tactive\t.*\t\d{4}-", said.out, re.MULTILINE)
    assert "raptchat chat -g biology 'my own words'" in said.err
    assert "AI is not configured for this group" in said.err
    assert "  raptchat group add-key biology\n" in said.err
    assert not home.exists()


def test_the_demo_touches_nothing_of_the_real_thing(biology: Run, home: Path) -> None:
    before = {file: file.read_bytes() for file in home.rglob("*") if file.is_file()}
    biology("demo")

    assert {file: file.read_bytes() for file in home.rglob("*") if file.is_file()} == before


def test_an_empty_question_is_refused(raptchat: Run) -> None:
    assert raptchat("demo ''", exit_code=2).out == ""


@pytest.mark.parametrize("words", ["demo --json", "demo --serve --json", "demo --serve some words"])
def test_what_the_demo_has_no_form_for_is_refused(raptchat: Run, words: str) -> None:
    said = raptchat(words, exit_code=2)

    assert said.out == ""
    assert "USAGE" in said.err or "--serve takes no words" in said.err


def test_the_served_gateway_is_used_with_the_lines_it_prints(tmp_path: Path) -> None:
    with started("demo", "--serve") as process:
        assert process.stdout
        assert process.stderr
        lines = read_until(process.stdout.fileno(), b"demo/flaky-N").decode()
        read_until(process.stderr.fileno(), b"Ctrl-C ends it")
        script = "\n".join(line for line in lines.splitlines() if "status-429" not in line)
        bin_folder = tmp_path / "bin"
        bin_folder.mkdir()
        run("--version")
        python = Path(os.sys.executable)  # type: ignore[attr-defined]
        (bin_folder / "raptchat").write_text(f'#!/bin/sh\nexec "{python}" -m raptchat "$@"\n')
        (bin_folder / "raptchat").chmod(0o755)
        ended = subprocess.run(
            ["sh", "-e"],
            input=script + '\nrm -r "$RAPTCHAT_HOME"\n',
            env=environment(PATH=f"{bin_folder}:{os.environ['PATH']}"),
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_SECONDS) == 130

    assert ended.returncode == 0, ended.stderr
    assert "> What is osmosis?" in ended.stdout


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    with started("demo", "--serve") as process:
        assert process.stdout
        lines = read_until(process.stdout.fileno(), b"\n").decode()
        port = re.findall(r"127\.0\.0\.1:(\d+)", lines)[0]
        said = run("demo", "--serve", "--port", port, exit_code=2)
        process.terminate()
        assert process.wait(PATIENCE_SECONDS) == 143

    assert f"the port {port} cannot be used: Address already in use" in said.stderr
