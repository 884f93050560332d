"""The demo gateway's account, its management key logged in, and a gateway that fails at a chosen request."""

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from raptchat import Factory
from raptchat.config import Settings
from raptchat.credentials.management_key import ManagementKeys, client_with
from raptchat.demo import DEMO_MANAGEMENT_KEY, DemoGateway
from raptchat.providers.key_info import KeyInfo
from raptchat.providers.management import ManagementClient

if TYPE_CHECKING:
    from conftest import Run


@pytest.fixture
def account(raptchat: "Run", gateway: DemoGateway, home: Path) -> "Run":
    """The app, with a vault in a key file and the demo gateway's management key."""
    del gateway  # in the environment
    raptchat(["vault", "init", "--file", str(home.parent / "master.key")])
    raptchat("account login --stdin", stdin=DEMO_MANAGEMENT_KEY)

    def run(*words: Any, **options: Any) -> Any:
        said = raptchat(*words, **options)
        assert DEMO_MANAGEMENT_KEY not in said.out + said.err
        return said

    return run


@pytest.fixture
def provisioned(account: "Run") -> "Run":
    """The same, and a group `biology` with a key that was made for it."""
    account("group provision biology --limit 5 --reset monthly --expires 2999-06-30 --model demo/echo")
    return account


@pytest.fixture
def flaky(
    raptchat: "Run", gateway: DemoGateway, monkeypatch: pytest.MonkeyPatch, home: Path
) -> "Iterator[FaultyGateway]":
    """The same, and what stands between us and the gateway: it lets everything pass until it is told otherwise."""
    monkeypatch.setenv("AI_MAX_RETRIES", "0")
    with faulty(gateway.url) as between:
        monkeypatch.setenv("AI_GATEWAY_URL", between.url)
        raptchat(["vault", "init", "--file", str(home.parent / "master.key")])
        raptchat("account login --stdin", stdin=DEMO_MANAGEMENT_KEY)
        raptchat("group provision biology --limit 5")
        yield between


def client(factory: Factory) -> ManagementClient:
    """A client with the management key that is logged in."""
    keys = ManagementKeys(factory)
    return client_with(factory, keys.open(keys.endpoint))


def pays(run: "Run", group: str = "biology") -> str:
    """The hint of the key that pays for a question."""
    assert run(f"chat -g {group} -m demo/echo hello").out == "hello\n"
    hint: str = json.loads(run(f"group show {group} --json").out)["keyHint"]
    return hint


def actions(run: "Run") -> list[str]:
    """What was done to keys, the last first."""
    return [one["action"] for one in json.loads(run("events --json").out)]


def only(keys: dict[str | None, KeyInfo]) -> KeyInfo:
    """The one key of the account."""
    [info] = keys.values()
    return info


def at_gateway() -> dict[str | None, KeyInfo]:
    """The account's keys by their hashes."""
    with Factory(Settings.load()) as factory, client(factory) as gateway:
        listed = gateway.keys()
    return {info.hash: info for info in listed}


def keys_shown(run: "Run") -> list[dict[str, Any]]:
    """What `account keys` shows."""
    found: list[dict[str, Any]] = json.loads(run("account keys --json").out)
    return found


class FaultyGateway(ThreadingHTTPServer):
    """Passes requests on to another gateway, but for those that are to fail.

    *failing* has a method, such as `DELETE`, and the status that it gets; 0 breaks the connection off. With *late*
    the gateway has done what it was asked for by then. *passing* are let through first.
    """

    def __init__(self, url: str) -> None:
        self.target = urlsplit(url)
        self.failing: dict[str, int] = {}
        self.late = False
        self.passing = 0
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{self.target.path}"

    def fails(self, method: str) -> bool:
        if method not in self.failing:
            return False
        self.passing -= 1
        return self.passing < 0


class _Handler(BaseHTTPRequestHandler):
    server: FaultyGateway

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fails = self.server.fails(self.command)
        self.close_connection = True
        status, content = 0, b""
        if not fails or self.server.late:
            target = http.client.HTTPConnection(str(self.server.target.hostname), self.server.target.port)
            target.request(self.command, self.path, body, dict(self.headers))
            answer = target.getresponse()
            status, content = answer.status, answer.read()
            target.close()
        if fails:
            status, content = self.server.failing[self.command], b'{"error": {"message": "no luck"}}'
        if status:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    do_GET = do_POST = do_PATCH = do_DELETE = _pass_on  # noqa: N815 - the names that http.server asks for

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that http.server has
        """Say nothing."""


@contextmanager
def faulty(url: str) -> Iterator[FaultyGateway]:
    """A `FaultyGateway` before the one at *url*."""
    with FaultyGateway(url) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
