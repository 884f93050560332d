"""The sentinel scan: a key is in nothing that a whole day of use prints, writes, or hands to a child."""

import base64
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import environment
from processes import AtTerminal, run

from raptchat.demo import Answer, DemoGateway

# Both open the demo gateway's door; neither stands in any file of the program.
KEY = "sk-or-v1-demo-Q7fB2xK9sentinelA"
SECOND_KEY = "sk-or-v1-demo-M4hT8wZ1sentinelB"
# Not of the form that the mask knows: only never being printed keeps it out.
PLAIN_KEY = "W3nR5yJ6sentinelCdWxYzQrStUv"
SHARED_HINT = 12


def forms(key: str) -> set[bytes]:
    """The key as it might be hidden in bytes; the hint shows 8 and 4 of its characters, never more."""
    data = key.encode()
    encodings = {data, key.encode("utf-16-le"), data.hex().encode(), data.hex().upper().encode(), data[::-1]}
    encodings |= {base64.b64encode(b"x" * shift + data)[4:-4] for shift in range(3)}
    encodings |= {base64.urlsafe_b64encode(data), json.dumps(key).encode()}
    # A part of it is a leak too.
    return encodings | {data[SHARED_HINT:-4]}


FORBIDDEN = forms(KEY) | forms(SECOND_KEY) | forms(PLAIN_KEY)


def check(data: bytes, where: object) -> None:
    """Fail when *data* holds a key in any form."""
    found = [form for form in FORBIDDEN if form in data]
    assert not found, (where, found)


@contextmanager
def watched_command_lines() -> Iterator[list[bytes]]:
    """The command lines of all processes that there were meanwhile, as far as anybody can see them."""
    seen: set[bytes] = set()
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.002):
            for file in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.add(file.read_bytes())
                except OSError:
                    continue

    thread = threading.Thread(target=watch)
    thread.start()
    found: list[bytes] = []
    try:
        yield found
    finally:
        over.set()
        thread.join()
        found.extend(seen)


def test_the_scan_finds_what_is_hidden() -> None:
    for hidden in (
        KEY.encode(),
        base64.b64encode(KEY.encode()),
        base64.b64encode(b"Bearer " + KEY.encode()),
        KEY.encode().hex().encode(),
        KEY[10:-2].encode(),
    ):
        with pytest.raises(AssertionError):
            check(b"some " + hidden + b" text", "here")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_key_is_in_nothing_that_is_printed_or_written(gateway: DemoGateway, home: Path, tmp_path: Path) -> None:
    env = environment(RAPTCHAT_DEBUG="1", AI_MAX_RETRIES="0", COURSE_KEY=SECOND_KEY)
    said: list[str] = []

    def say(*words: str, stdin: str = "") -> None:
        ended = run(*words, env=env, stdin=stdin, exit_code=None)
        said.append(ended.stdout + ended.stderr)

    def echo(status: int) -> None:
        message = f"the key {KEY} is bad; Authorization: Bearer {KEY}"
        body = json.dumps({"error": {"code": status, "message": message, "metadata": {"raw": KEY}}})
        gateway.answer(Answer(status, {"Content-Type": "application/json", "X-Key": KEY}, [body.encode()]))

    with watched_command_lines() as command_lines:
        say("vault", "init", "--file", str(tmp_path / "master.key"))
        say("group", "add-key", "biology", "--stdin", "--json", stdin=KEY)
        say("group", "add-key", "history", "--from-env", "COURSE_KEY")
        say("group", "add-key", "plain", "--stdin", stdin=PLAIN_KEY)
        say("chat", "-g", "biology", "What is osmosis?", "--json")
        say("chat", "-g", "plain", "hello")
        for bad in (f"{KEY} x", f"{KEY}\x1b", f"{KEY}é", KEY * 20, f"{PLAIN_KEY}\n{PLAIN_KEY}"):
            say("group", "add-key", "other", "--stdin", stdin=bad)
        say("group", "add-key", "other", "--stdin", stdin=KEY)
        say("group", "add-key", "biology", "--stdin", "--json", stdin=PLAIN_KEY)
        for status in (400, 401, 403, 500):
            echo(status)
            say("chat", "-g", "biology", "hello", *(["--json"] if status > 400 else []))
        say("chat", "-g", "biology", "-m", "demo/error-midstream", "--jsonl", "hello")
        say("chat", "-g", "biology", "--dry-run", "hello")
        say("credentials", "list")
        say("credentials", "list", "--json")
        say("whoami", "--json")
        say("group", "rename", "biology", "cells")
        say("usage", "--csv", "--by", "credential")
        (tmp_path / "master.key").rename(tmp_path / "kept.key")
        say("chat", "-g", "cells", "hello", "--json")
        (tmp_path / "kept.key").rename(tmp_path / "master.key")
        (home / "raptchat.db").chmod(0o666)
        say("chat", "-g", "cells", "hello")
        (home / "raptchat.db").chmod(0o600)
        with AtTerminal("group", "add-key", "typed", "--allow-shared", env=env) as terminal:
            terminal.until("(not shown): ")
            terminal.keys(KEY + "\r")
            terminal.ends(0)
        said.append(terminal.said)

    assert {request.api_key for request in gateway.requests} == {KEY, PLAIN_KEY}
    assert f"{KEY[:8]}...{KEY[-4:]}" in "".join(said)
    for text in said:
        check(text.encode(), text)
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert home / "raptchat.db" in files
    for file in files:
        check(file.read_bytes(), file)
    assert any(b"add-key" in line for line in command_lines)
    for line in command_lines:
        check(line, line)
