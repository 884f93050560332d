"""Signing in with a browser: a key comes of it, or a reason, and nothing else of the way is worth anything."""

import re
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from browsers import AGREES, FAILS, FORGES, LOOKS_ONLY, Browser

from raptchat.demo import DemoGateway
from raptchat.demo.wire import refusal
from raptchat.errors import (
    AuthenticationFailedError,
    GatewayError,
    GatewayTimeoutError,
    UsageError,
)
from raptchat.login import log_in
from raptchat.secret import Secret

Open = Callable[[str], Browser]


@pytest.fixture(autouse=True)
def browsers_end() -> Iterator[None]:
    """None is left running."""
    yield
    for thread in threading.enumerate():
        if thread.name == "browser":
            thread.join(20)
            assert not thread.is_alive()


@pytest.fixture
def browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Makes a browser that does what a program says, and the person's own."""

    def make(program: str) -> Browser:
        made = Browser(tmp_path / "browser", program)
        monkeypatch.setenv("BROWSER", str(made.path))
        return made

    return make


class Person:
    """Somebody at a terminal, who sees *lines* and types *code*."""

    def __init__(self, code: str | Callable[[str], str] = "") -> None:
        self.lines: list[str] = []
        self._code = code

    @property
    def address(self) -> str:
        """The page that was shown."""
        [address] = [line for line in self.lines if line.startswith("http")]
        return address

    def type(self, prompt: str) -> str:
        assert prompt == "code: "
        return self._code if isinstance(self._code, str) else self._code(self.address)

    def log_in(self, url: str, *, browser: bool, patience: float = 20, label: str = "biology") -> Secret:
        return log_in(
            url, label=label, browser=browser, show=self.lines.append, ask=self.type, timeout=10, patience=patience
        )


def code_on(address: str) -> str:
    """The code that the page at *address* shows."""
    found = re.search(r"<code>(.*)</code>", httpx.get(address).text)
    assert found
    return found[1]


def works(gateway: DemoGateway, key: Secret) -> bool:
    return httpx.get(f"{gateway.url}/key", headers={"Authorization": f"Bearer {key.reveal()}"}).status_code == 200


def test_the_browser_brings_the_code_and_the_key_works(gateway: DemoGateway, browser: Open) -> None:
    agrees = browser(AGREES)
    person = Person()

    key = person.log_in(gateway.url, browser=True)

    assert works(gateway, key)
    assert person.lines[0].startswith("sign in and agree in the browser; this waits for")
    for thread in threading.enumerate():
        if thread.name == "browser":
            thread.join(20)
    address, _, page = agrees.seen.partition("\n")
    assert address == person.address
    assert "You can close this window" in page


def test_what_travels_through_the_browser_opens_nothing(gateway: DemoGateway, browser: Open) -> None:
    browser(AGREES)
    person = Person()

    key = person.log_in(gateway.url, browser=True)

    query = parse_qs(urlsplit(person.address).query)
    assert set(query) == {"callback_url", "code_challenge", "code_challenge_method", "key_label"}
    assert query["code_challenge_method"] == ["S256"]
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", query["code_challenge"][0])
    assert query["key_label"] == ["raptchat-biology"]
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[A-Za-z0-9_-]{43}", query["callback_url"][0])
    [exchange] = [request.body for request in gateway.requests if request.path == "/api/v1/auth/keys"]
    verifier = exchange["code_verifier"]
    assert re.fullmatch(r"[A-Za-z0-9._~-]{43,128}", verifier)
    assert not {verifier, key.reveal()} & set(person.lines)
    assert verifier not in " ".join(person.lines)


def test_each_time_it_is_another_secret(gateway: DemoGateway, browser: Open) -> None:
    browser(AGREES)

    keys = [Person().log_in(gateway.url, browser=True).reveal() for _ in range(2)]

    bodies = [request.body for request in gateway.requests if request.path == "/api/v1/auth/keys"]
    assert len({*keys, *(body["code_verifier"] for body in bodies)}) == 4


def test_without_a_browser_the_code_is_typed(gateway: DemoGateway) -> None:
    person = Person(lambda address: f"  {code_on(address)}\n")

    key = person.log_in(gateway.url, browser=False)

    assert works(gateway, key)
    assert "callback_url" not in person.address


def test_a_code_that_was_made_up_is_refused(gateway: DemoGateway, browser: Open) -> None:
    browser(FORGES)

    with pytest.raises(AuthenticationFailedError, match="refused the code") as caught:
        Person().log_in(gateway.url, browser=True)
    assert "sign in again" in caught.value.hint


def test_a_code_of_another_sign_in_is_refused(gateway: DemoGateway) -> None:
    other = Person("x")
    with pytest.raises(AuthenticationFailedError):
        other.log_in(gateway.url, browser=False)

    with pytest.raises(AuthenticationFailedError, match="refused the code"):
        Person(lambda _: code_on(other.address)).log_in(gateway.url, browser=False)


@pytest.mark.parametrize("typed", ["", "two words", "é"])
def test_what_cannot_be_a_code_is_not_sent(gateway: DemoGateway, typed: str) -> None:
    with pytest.raises(UsageError, match="cannot be the code"):
        Person(typed).log_in(gateway.url, browser=False)
    assert gateway.requests == []


def test_whoever_closes_the_page_is_not_waited_for_for_ever(gateway: DemoGateway, browser: Open) -> None:
    browser(LOOKS_ONLY)

    with pytest.raises(GatewayTimeoutError, match="nobody signed in within") as caught:
        Person().log_in(gateway.url, browser=True, patience=0.3)
    assert "--no-browser" in caught.value.hint


def test_where_no_browser_opens_the_page_can_be_opened_by_hand(gateway: DemoGateway, browser: Open) -> None:
    browser(FAILS)
    person = Person()
    show = person.lines.append

    def opens_it_themselves(line: str) -> None:
        show(line)
        if line.startswith("no browser could be opened"):
            # What answers waits for this call to end.
            opens = partial(httpx.get, person.address, follow_redirects=True)
            threading.Thread(target=opens, name="browser").start()

    key = log_in(
        gateway.url,
        label="biology",
        browser=True,
        show=opens_it_themselves,
        ask=person.type,
        timeout=10,
        patience=20,
    )

    assert works(gateway, key)
    assert len(person.lines) == 3


def test_a_gateway_that_is_gone_after_the_consent_is_an_error(gateway: DemoGateway) -> None:
    def consent(address: str) -> str:
        code = code_on(address)
        gateway.stop()
        return code

    with pytest.raises(GatewayError, match="no connection"):
        Person(consent).log_in(gateway.url, browser=False)


def test_a_gateway_without_a_sign_in_says_so(gateway: DemoGateway) -> None:
    gateway.answer(refusal(404, "no such address"))

    with pytest.raises(GatewayError, match="has no sign-in"):
        Person("code").log_in(gateway.url, browser=False)


@pytest.mark.parametrize(
    ("group", "label"),
    [
        ("biology", "raptchat-biology"),
        ("Bio & Chemistry / 7b", "raptchat-Bio-Chemistry-7b"),
        ("生物学", "raptchat-生物学"),
        ("a" * 100, "raptchat-" + "a" * 64),
        ("🦖", "raptchat-key"),
    ],
)
def test_the_key_is_called_as_the_group(gateway: DemoGateway, group: str, label: str) -> None:
    person = Person(code_on)

    person.log_in(gateway.url, browser=False, label=group)

    assert parse_qs(urlsplit(person.address).query)["key_label"] == [label]


def test_a_folder_cannot_bring_a_browser_of_its_own(gateway: DemoGateway, browser: Open, tmp_path: Path) -> None:
    browser(AGREES)
    trap = tmp_path / "webbrowser.py"
    trap.write_text("open(__file__ + '.ran', 'w')")

    Person().log_in(gateway.url, browser=True)

    assert not (tmp_path / "webbrowser.py.ran").exists()


def test_without_a_way_to_start_programs_the_page_is_still_shown(
    gateway: DemoGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/nothing/here")
    person = Person()

    with pytest.raises(GatewayTimeoutError):
        person.log_in(gateway.url, browser=True, patience=0.5)

    assert person.address
    assert person.lines[-1].startswith("no browser could be opened")


def test_without_a_thread_to_be_had_the_page_is_opened_by_hand(
    gateway: DemoGateway, browser: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser(AGREES)
    start = threading.Thread.start

    def full(thread: threading.Thread) -> None:
        if thread.name == "browser":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", full)
    person = Person()

    with pytest.raises(GatewayTimeoutError):
        person.log_in(gateway.url, browser=True, patience=0.3)

    assert person.lines[-1].startswith("no browser could be opened")
