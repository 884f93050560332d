"""A gateway that means harm: the error that fits, in bounded time, no key shown, and a store as it must be."""

import itertools
import json
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Run, Said, rows
from hostile_cases import BOMB, FAMILIES, KEY, Case
from hostile_gateway import (
    HOST,
    Authorities,
    HostileGateway,
)
from hostile_gateway import running as hostile_gateway
from proof import Trials, tried
from test_streams import EVENTS, MIB, what_comes

from raptchat.demo import DEMO_KEY, Answer, DemoGateway
from raptchat.errors import AuthenticationFailedError, GatewayError, InvalidResponseError, RaptchatError
from raptchat.providers.openrouter import OpenRouterClient


@pytest.fixture(scope="module")
def gateway() -> Iterator[DemoGateway]:
    with DemoGateway() as gateway:
        yield gateway


LOOP = "http://127.0.0.1:1/"

HOSTILE: dict[str, tuple[Answer, type[RaptchatError], str]] = {
    **{
        f"redirect {status} to {target}": (
            Answer(status, {"Location": target}),
            InvalidResponseError,
            "sends the request on",
        )
        for status in (300, 301, 302, 303, 307, 308)
        for target in ("https://evil.example/", LOOP)
    },
    "redirect to a script": (
        Answer(302, {"Location": "javascript:alert(1)"}),
        InvalidResponseError,
        "sends the request",
    ),
    "redirect with escapes": (Answer(302, {"Location": "https://\x1b[31m/"}), InvalidResponseError, "HTTP"),
    "not modified": (Answer(304), InvalidResponseError, "(304)"),
    "gzip": (Answer(200, {**EVENTS, "Content-Encoding": "gzip"}, [BOMB]), InvalidResponseError, "compressed"),
    "deflate": (
        Answer(200, {**EVENTS, "Content-Encoding": "deflate"}, [BOMB]),
        InvalidResponseError,
        "compressed",
    ),
    "br": (Answer(200, {**EVENTS, "Content-Encoding": "gzip, br"}, [BOMB]), InvalidResponseError, "compressed"),
    "gzip error": (Answer(401, {"Content-Encoding": "gzip"}, [BOMB]), AuthenticationFailedError, "(401)"),
    "gzip unnamed": (Answer(200, EVENTS, [BOMB]), InvalidResponseError, "not a reply"),
    "huge event": (Answer(200, EVENTS, [b"data: " + b"x" * MIB] * 33), InvalidResponseError, "event larger than"),
    "huge line": (Answer(200, EVENTS, [b"x" * MIB] * 33), InvalidResponseError, "event larger than"),
    "huge comment": (Answer(200, EVENTS, [b":" * MIB] * 33), InvalidResponseError, "event larger than"),
    "huge error": (Answer(500, EVENTS, itertools.repeat(b"x" * MIB)), GatewayError, "(500)"),
    "huge error of one object": (
        Answer(402, {}, [b'{"error": "', *[b"x" * MIB] * 99]),
        RaptchatError,
        "(402)",
    ),
    "huge status line": (Answer(0, {}, [b"HTTP/1.1 200 " + b"x" * MIB]), InvalidResponseError, "HTTP"),
    "huge header": (Answer(200, {**EVENTS, "X": "x" * MIB}), InvalidResponseError, "HTTP"),
    "many headers": (Answer(200, {f"x{n}": "x" * 100 for n in range(5000)}), InvalidResponseError, "HTTP"),
    "huge generation": (
        Answer(200, {"X-Generation-Id": "x" * 90_000}, [b"junk"]),
        InvalidResponseError,
        "not a reply",
    ),
    "no length": (Answer(0, {}, [b"HTTP/1.1 200 OK\r\n\r\njunk"]), InvalidResponseError, "not a reply"),
    "bad chunk": (
        Answer(0, {}, [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"]),
        InvalidResponseError,
        "HTTP",
    ),
    "two lengths": (
        Answer(0, {}, [b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\njunk!"]),
        InvalidResponseError,
        "HTTP",
    ),
    "split header": (Answer(0, {}, [b"HTTP/1.1 200 OK\r\nA: b\r\r\nC\r\n\r\n"]), InvalidResponseError, "HTTP"),
    "another protocol": (Answer(0, {}, [b"SSH-2.0-OpenSSH_9.9\r\n\r\n"]), InvalidResponseError, "HTTP"),
    "http 2": (Answer(0, {}, [b"HTTP/2 200\r\n\r\n"]), InvalidResponseError, "HTTP"),
    "nothing": (Answer(0), GatewayError, "hung up"),
    "half a header": (Answer(0, {}, [b"HTTP/1.1 200 OK\r\nA"]), GatewayError, "hung up"),
    "reset at once": (Answer(0, {}, (), 0, "reset"), GatewayError, "broke"),
    "reset after the header": (Answer(200, EVENTS, (), 0, "reset"), GatewayError, "broke"),
    "reset in an error": (Answer(401, {}, [b'{"error"'], 0.2, "reset"), AuthenticationFailedError, "(401)"),
    "cut in an error": (Answer(402, {}, [b'{"error"'], 0, "cut"), RaptchatError, "(402)"),
    "no content": (Answer(204), GatewayError, "before it was whole"),
    "deep json": (
        Answer(200, EVENTS, [b"data: " + b'{"a":' * 200_000 + b"\n\n"]),
        InvalidResponseError,
        "not a reply",
    ),
    "deep error": (Answer(500, {}, [b'{"a":' * 12_000]), GatewayError, "(500)"),
    "huge number": (
        Answer(200, EVENTS, [b"data: " + b"9" * 100_000 + b"\n\n"]),
        InvalidResponseError,
        "not a reply",
    ),
    "status 999": (Answer(0, {}, [b"HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n"]), GatewayError, "(999)"),
    "escapes in an error": (
        Answer(400, {}, [json.dumps({"error": "\x1b]52;c;AAAA\x07\u202e\x9b2J"}).encode()]),
        GatewayError,
        "\u241b]52;c;AAAA\u2407",
    ),
    "key in an error": (
        Answer(500, {}, [json.dumps({"error": f"<{DEMO_KEY}>"}).encode()]),
        GatewayError,
        r"<\*\*\*>",
    ),
    "key in a stream": (
        Answer(200, EVENTS, [b'data: {"error": "' + DEMO_KEY.encode() + b'"}\n\n']),
        GatewayError,
        r": \*\*\*",
    ),
    "key as junk": (
        Answer(200, EVENTS, [b"data: " + DEMO_KEY.encode() + b"\n\n"]),
        InvalidResponseError,
        r"\*\*\*",
    ),
    "key at the edge of what is shown": (
        Answer(200, EVENTS, [b"x" * 190 + DEMO_KEY.encode()]),
        InvalidResponseError,
        r"x\*\*\*",
    ),
    "key as a host": (Answer(302, {"Location": f"https://{DEMO_KEY}/"}), InvalidResponseError, r"`\*\*\*`"),
}


def test_there_are_forty_hostile_cases() -> None:
    assert len(HOSTILE) >= 40


@pytest.mark.parametrize("case", HOSTILE)
def test_a_gateway_that_means_harm_gets_an_error_and_no_more(gateway: DemoGateway, case: str) -> None:
    hostile, kind, said = HOSTILE[case]
    asked = len(gateway.requests)
    gateway.answer(hostile)
    with OpenRouterClient(api_key=DEMO_KEY, base_url=gateway.url, max_retries=0, timeout=5) as client:
        began = time.monotonic()
        _, error, whole = what_comes(client)

    assert not whole
    assert isinstance(error, kind), repr(error)
    assert said.replace("\\", "") in str(error)
    assert DEMO_KEY not in f"{error} {error.hint} {error.fields}"
    assert str(error).isprintable()
    assert len(str(error)) < 500
    assert len(gateway.requests) == asked + 1
    assert time.monotonic() - began < 5


SECONDS = 10.0


@pytest.fixture
def enemy(
    raptchat: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[HostileGateway, Authorities]]:
    """A gateway without any good will, and groups `plain` and `secure` whose key it is meant to get."""
    authorities = Authorities()
    pem = home.parent / "authority.pem"
    pem.write_bytes(authorities.pem)
    for name, value in {
        "SSL_CERT_FILE": str(pem),
        "AI_REQUEST_TIMEOUT_MS": "200",
        "AI_MAX_RETRIES": "0",
        "RAPTCHAT_DEBUG": "1",
    }.items():
        monkeypatch.setenv(name, value)
    with hostile_gateway() as running:
        raptchat(["vault", "init", "--file", str(home.parent / "master.key")])
        for group, origin in (("plain", "http://127.0.0.1"), ("secure", f"https://{HOST}")):
            words = [
                "group",
                "add-key",
                group,
                "--stdin",
                "--allow-shared",
                "--base-url",
                f"{origin}:{running.port}/v1",
            ]
            raptchat(words, stdin=KEY)
        yield running, authorities


@tried("hostile gateway", commit=40, deep=200)
def test_a_gateway_that_means_harm_gets_no_further(
    trials: Trials, enemy: tuple[HostileGateway, Authorities], raptchat: Run, home: Path
) -> None:
    gateway, authorities = enemy
    for number in trials:
        family = FAMILIES[number % len(FAMILIES)]
        case = family(random.Random(number), number // len(FAMILIES), authorities)
        gateway.behave = case.behave
        gateway.requests.clear()
        as_json = number % 2 == 0
        began = time.monotonic()
        said = asked(raptchat, case, as_json=as_json)
        took = time.monotonic() - began

        assert took < SECONDS, (number, case.name, took)
        check_no_key(said, home, (number, case.name))
        if said.exit_code == 0:
            state, text = check_store(home)
            assert re.fullmatch(case.reply or "(?!)", text), (number, case.name, said)
            assert state == "complete"
            trials.count(ended_well=1)
            continue
        code = json.loads(said.err.splitlines()[-1])["code"] if as_json else None
        assert code is None or code in case.codes, (number, case.name, said)
        assert said.exit_code in {EXITS[code] for code in case.codes}, (number, case.name, said)
        assert bool(gateway.requests) <= case.sent, (number, case.name)
        state, text = check_store(home)
        assert state == ("incomplete" if text else "failed"), (number, case.name, state)
        written = json.loads(said.out)["content"] if as_json and said.out else said.out.rstrip("\n")
        assert written == text, (number, case.name, said)
        trials.count(refused=1, **{family.__name__: 1})


KINDS: list[type[RaptchatError]] = [*RaptchatError.__subclasses__(), *GatewayError.__subclasses__()]
EXITS = {kind.code: kind.exit_code for kind in KINDS}


def asked(raptchat: Run, case: Case, *, as_json: bool) -> Said:
    """What the command line makes of it, however that ends."""
    from typer.testing import CliRunner

    from raptchat.cli import app

    words = ["chat", "-g", "secure" if case.secure else "plain", "hello", *(["--json"] if as_json else [])]
    result = CliRunner().invoke(app, words)
    return Said(result.stdout, result.stderr, result.exit_code)


def check_no_key(said: Said, home: Path, case: object) -> None:
    """No 12 characters of the key stand in what was said, or in any file but the one with the vault's own."""
    parts = {KEY[at : at + 12].lower() for at in range(len(KEY) - 11)}
    text = (said.out + said.err).lower()
    assert not [part for part in parts if part in text], (case, said)
    assert "a bug in raptchat" not in text, (case, said)
    assert "traceback" not in text, (case, said)
    assert all(character.isprintable() or character in "\n" for character in said.err), (case, said)
    for file in home.rglob("*"):
        if file.is_file():
            data = file.read_bytes().lower()
            assert not [part for part in parts if part.encode() in data], (case, file)


def check_store(home: Path) -> tuple[str, str]:
    """The state of the last question, or of the reply that was kept and its text; all else is as it must be."""
    [(integrity,)] = rows(home, "PRAGMA integrity_check")
    assert integrity == "ok"
    [(session,)] = rows(home, "SELECT id FROM sessions ORDER BY rowid DESC LIMIT 1")
    found = rows(home, "SELECT role, content, state FROM messages WHERE session_id = ? ORDER BY seq", session)
    assert found[0][:2] == ("user", "hello")
    assert len(found) <= 2
    used = rows(home, "SELECT count(*) FROM ai_credentials WHERE last_used_at IS NOT NULL")
    ended_well = rows(home, "SELECT count(*) FROM messages WHERE role = 'assistant' AND state = 'complete'")
    assert bool(used[0][0]) == bool(ended_well[0][0])
    _, text, state = found[-1] if len(found) == 2 else (None, "", found[0][2])
    return state, text
