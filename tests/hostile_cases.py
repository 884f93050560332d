"""What a hostile gateway does, by a number: faults of TLS, cuts, echoes of the key, redirects, too much of all."""

import gzip
import itertools
import json
import random
import re
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from hostile_gateway import (
    Authorities,
    Behaviour,
    cut_in_the_handshake,
    drips,
    hangs,
    over_tls,
    record,
    says,
)
from test_streams import MIB, TRANSCRIPT, WHOLE, delta
from web_server import answer, redirect

# Without the time: the same each time that it is sent.
BOMB = gzip.compress(b"data: {}\n\n" * MIB, mtime=0)

# Of no form that a pattern knows; the hint shows 8 and 4 of its characters.
KEY = "W3nR5yJ6sentinelCdWxYzQrStUv"

BROKEN = {"GATEWAY_ERROR", "INCOMPLETE_REPLY", "INVALID_RESPONSE"}
REFUSED = {
    *("GATEWAY_ERROR", "AUTHENTICATION_FAILED", "INSUFFICIENT_CREDIT", "CONTENT_REFUSED", "MODEL_NOT_AVAILABLE"),
    *("RATE_LIMITED", "TIMEOUT"),
}


@dataclass(frozen=True)
class Case:
    """What the gateway does, and what may become of it: codes of errors, and whether the key may be sent.

    *reply* is what the reply must match where it may be whole all the same.
    """

    name: str
    behave: Behaviour
    codes: set[str]
    secure: bool = False
    sent: bool = True
    reply: str | None = None


Family = Callable[[random.Random, int, Authorities], Case]


def of_tls(chance: random.Random, turn: int, authorities: Authorities) -> Case:
    """A fault of TLS, each in its turn."""
    good = authorities.good()
    reply = says(answer(b"{}"))
    faults: dict[str, Behaviour] = {
        name: over_tls(context, reply) for name, context in authorities.faulty().items()
    }
    faults |= {
        "TLS 1.0": over_tls(authorities.old(ssl.TLSVersion.TLSv1), reply),
        "TLS 1.1": over_tls(authorities.old(ssl.TLSVersion.TLSv1_1), reply),
        "plain HTTP": lambda _, connection: connection.sendall(answer(b"{}") * (len(connection.recv(65536)) > 0)),
        "a cut handshake": cut_in_the_handshake(good, chance.random() * 0.99, reset=chance.random() < 0.5),
        "a garbage record": lambda _, connection: connection.sendall(
            record(chance.randbytes(40), kind=chance.randrange(256), length=chance.randrange(65536))
        ),
        "garbage": lambda _, connection: connection.sendall(chance.randbytes(chance.randrange(1, 200))),
        "a certificate of ours demanded": over_tls(authorities.demanding(), reply),
        "a handshake without end": hangs,
    }
    name, behave = list(faults.items())[turn % len(faults)]
    sent = name == "a certificate of ours demanded"
    codes = {"GATEWAY_ERROR", "TIMEOUT"} if "record" in name or name == "garbage" else {"GATEWAY_ERROR"}
    if name == "a handshake without end":
        codes = {"TIMEOUT"}
    if sent:  # the refusal comes when the request is on its way
        codes = BROKEN
    return Case(name, behave, codes, secure=True, sent=sent)


def cut(chance: random.Random, turn: int, authorities: Authorities) -> Case:
    """A reply that ends at any byte of it."""
    whole = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + TRANSCRIPT
    at, reset, secure = chance.randrange(len(whole)), chance.random() < 0.5, turn % 2 == 1
    behave = says(whole[:at], reset=reset)
    return Case(
        f"{'reset' if reset else 'cut'} at byte {at}{' of TLS' if secure else ''}",
        over_tls(authorities.good(), behave) if secure else behave,
        BROKEN,
        secure=secure,
        reply=re.escape(WHOLE) if at > whole.index(b'"stop"') else None,
    )


def spoken(chance: random.Random) -> str:
    """The key, or a part of it, as a careless gateway writes it into an error."""
    part = KEY[chance.randrange(8) :] if chance.random() < 0.5 else KEY[: -chance.randrange(1, 8)]
    text = chance.choice([KEY, KEY, part, KEY.lower(), KEY.upper(), KEY * 2, f"{part}{KEY}"])
    around = chance.choice(
        ["{}", "Bearer {}", "x" * chance.randrange(280, 310) + "{}", "\x1b[31m{}\x07", "\u202e{}\n"]
    )
    return around.format(text)


def echo(chance: random.Random, turn: int, _: Authorities) -> Case:
    """An error that says the key, in any place where an error has a text."""
    said, status = spoken(chance), chance.choice([400, 401, 402, 403, 404, 408, 413, 418, 429, 500, 502, 503, 529])
    body = {
        "error": {
            "message": said,
            "type": said,
            "metadata": {
                **dict.fromkeys(("raw", "remedy_hint", "provider_name", "resets_at", "limit_source"), said),
                "reasons": [said],
            },
            "availability": {"code": said, "excluded_by": [said], "fallback_models": [said]},
        },
        "user_id": said,
        said: said,
    }
    line = said.encode("ascii", "replace").replace(b"\n", b" ").replace(b"\x1b", b"").replace(b"\x07", b"")
    data = json.dumps(body).encode()
    refusal = answer(
        data, "Content-Type: application/json", f"X-Key: {line.decode()}", status=f"{status} {line.decode()}"
    )
    start = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Generation-Id: " + line + b"\r\n\r\n"
    places: list[tuple[str, bytes, set[str]]] = [
        ("body", refusal, REFUSED),
        ("text", answer(said.encode(), f"X: {line.decode()}", status=f"{status} No"), REFUSED),
        ("event", start + b"data: " + data + b"\n\n", REFUSED | {"GATEWAY_ERROR"}),
        ("broken reply", start + delta(delta={"content": "a"}) + b"data: " + data + b"\n\n", {"INCOMPLETE_REPLY"}),
        ("junk", start + b"data: " + line + b"\n\n", {"INVALID_RESPONSE"}),
        ("bytes", line + b"\r\n\r\n", {"INVALID_RESPONSE"}),
        ("header", b"HTTP/1.1 200 OK\r\n" + line + b"\r\n\r\n", {"INVALID_RESPONSE"}),
        ("chunk", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + line + b"\r\n", {"INVALID_RESPONSE"}),
        ("host", redirect(f"https://{line.decode().replace(' ', '-')}/"), {"INVALID_RESPONSE"}),
        ("address", redirect(f"https://other.example/{line.decode()}?key={KEY}#{KEY}"), {"INVALID_RESPONSE"}),
        ("user", redirect(f"https://{KEY}:{KEY}@other.example/"), {"INVALID_RESPONSE"}),
        ("kind", answer(b"", f"Content-Type: {line.decode()}", f"Content-Encoding: {KEY}"), {"INVALID_RESPONSE"}),
    ]
    if turn % (len(places) + 1) == len(places):
        return in_the_reply(chance)
    name, whole, codes = places[turn % (len(places) + 1)]
    return Case(f"the key as {name}, {status}", says(whole), codes)


def in_the_reply(chance: random.Random) -> Case:
    """A reply that says the key, cut anywhere."""
    text = f"it is {KEY}."
    cuts = sorted(chance.choices(range(len(text)), k=chance.randrange(6)))
    pieces = [text[begin:end] for begin, end in pairwise([0, *cuts, len(text)])]
    details = {"reasoning_details": [{"type": "reasoning.text", "text": text, "signature": KEY}]}
    deltas = [delta(delta={"reasoning": piece, "content": piece, **details}) for piece in pieces]
    body = b"".join([*deltas, delta(delta={}, finish_reason="stop"), b"data: [DONE]\n\n"])
    start = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    # What was yielded before anybody could know stays.
    return Case("the key as reply", says(start, body), set(), reply=r"it is (W|W3|W3n)?\*\*\*\.")


def elsewhere(chance: random.Random, turn: int, _: Authorities) -> Case:
    """A redirect to anywhere."""
    status = chance.choice([300, 301, 302, 303, 304, 305, 307, 308, 399])
    target = chance.choice(
        [
            *(
                "https://evil.example/",
                "//evil.example",
                "http://127.0.0.1:1/",
                "http://[::1]:1/",
                "/elsewhere",
                "",
            ),
            *("https://openrouter.ai@evil.example/", "https://evil.example\\@openrouter.ai/", "https://[x", "?"),
            *(
                "javascript:alert(1)",
                "file:///etc/passwd",
                "data:,x",
                "ftp://evil.example",
                f"https://{'a' * 5000}/",
            ),
            *("https://xn--e1awd7f.example/", "https://evil.example:99999/", "https://\xfc.example/"),
        ]
    )
    return Case(f"{status} to {target[:40]}", says(redirect(target, f"{status} Elsewhere")), {"INVALID_RESPONSE"})


def too_much(chance: random.Random, turn: int, authorities: Authorities) -> Case:
    """An answer that is too large, or takes too long."""
    start = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    forever = itertools.repeat
    pause = chance.choice([0.01, 0.05])
    cases: list[tuple[str, Behaviour, set[str]]] = [
        (
            "a dripping header",
            drips(itertools.chain([b"HTTP/1.1 200 OK\r\nX: "], forever(b"y")), pause=pause),
            {"TIMEOUT"},
        ),
        ("a bomb", says(answer(BOMB, "Content-Encoding: gzip")), {"INVALID_RESPONSE"}),
        ("signs of life", drips(itertools.chain([start], forever(b": alive\n\n")), pause=pause), {"TIMEOUT"}),
        ("a huge event", says(start, *[b"data: " + b"x" * MIB] * 33), {"INVALID_RESPONSE"}),
        ("nothing", hangs, {"TIMEOUT"}),
        (
            "a dripping error",
            drips(itertools.chain([b"HTTP/1.1 500 No\r\n\r\n"], forever(b" ")), pause=pause),
            {"GATEWAY_ERROR"},
        ),
        ("a huge header", says(b"HTTP/1.1 200 OK\r\nX: " + b"x" * MIB), {"INVALID_RESPONSE"}),
        ("a dripping stream", drips(itertools.chain([start], forever(b"x")), pause=pause), {"TIMEOUT"}),
        ("an error without end", says(b"HTTP/1.1 402 No\r\n\r\n", *[b"x" * MIB] * 64), {"INSUFFICIENT_CREDIT"}),
        ("empty events", drips(itertools.chain([start], forever(b"data: {}\n\n")), pause=pause), {"TIMEOUT"}),
        ("deep JSON", says(start + b"data: " + b'{"a":' * 100_000 + b"\n\n"), {"INVALID_RESPONSE"}),
        (
            "a stall",
            drips([start + delta(delta={"content": "a"}), *[b""] * 1000], pause=pause),
            {"INCOMPLETE_REPLY"},
        ),
    ]
    name, behave, codes = cases[turn % len(cases)]
    secure = chance.random() < 0.3
    return Case(name, over_tls(authorities.good(), behave) if secure else behave, codes, secure=secure)


FAMILIES: Sequence[Family] = (of_tls, cut, echo, elsewhere, too_much)
