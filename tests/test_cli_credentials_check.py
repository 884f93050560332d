"""`raptchat credentials check`: a table of what the gateways say, and an exit code that a script can use."""

import io
import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import key_gateway
import pytest
import web_server
from conftest import Run, environment, rows
from key_gateway import KeyGateway, key_is, refused
from processes import AtTerminal
from web_server import answer

from raptchat.cli.credentials_check import show_checks
from raptchat.errors import GatewayError
from raptchat.key_checks import KeyCheck
from raptchat.providers.key_info import KeyInfo
from raptchat.records import Credential, Group
from raptchat.render import Terminal

KEYS = {name: f"sk-or-v1-key-of-{name}-0123456789" for name in ("art", "biology", "chemistry", "drama")}
FIELDS = {
    "id", "groupId", "group", "provider", "keyHint", "isActive", "verdict", "limit", "used", "left",
    "limitReset", "expiresAt", "isFreeTier", "problem",
}  # fmt: skip


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[KeyGateway]:
    monkeypatch.setenv("AI_MAX_RETRIES", "0")
    with key_gateway.running() as running:
        monkeypatch.setenv("AI_GATEWAY_URL", running.url)
        running.says = {key: key_is() for key in KEYS.values()}
        yield running


@pytest.fixture
def school(raptchat: Run, gateway: KeyGateway, tmp_path: Path) -> Run:
    """The app with four groups, whose keys the gateway takes."""
    del gateway
    raptchat(["vault", "init", "--file", str(tmp_path / "master.key")])
    for name, key in KEYS.items():
        raptchat(f"group add-key {name} --stdin", stdin=key)
    return raptchat


def hint(name: str) -> str:
    return f"{KEYS[name][:8]}...{KEYS[name][-4:]}"


def lines(out: str) -> dict[str, list[str]]:
    """The cells behind each group's name."""
    return {line.split("\t")[0]: line.split("\t")[1:] for line in out.splitlines()}


def in_days(days: float) -> datetime:
    return (datetime.now(UTC) + timedelta(days=days)).replace(microsecond=0)


def iso(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def test_good_keys_are_told_of_with_what_is_left(school: Run) -> None:
    said = school("credentials check")

    assert list(lines(said.out)) == ["art", "biology", "chemistry", "drama"]
    assert lines(said.out)["biology"] == [
        hint("biology"),
        *("valid", "$20.00", "$7.50", "$12.50", "monthly", "-", "no", "-"),
    ]
    assert said.err == ""


def test_json_has_all_of_it_and_what_is_not_known_is_null(school: Run, gateway: KeyGateway) -> None:
    gateway.says[KEYS["art"]] = key_is(
        limit=None, limit_remaining=None, limit_reset=None, is_free_tier=None, expires_at=iso(in_days(90))
    )

    art, biology, *_ = json.loads(school("credentials check --json").out)

    assert set(art) == FIELDS
    assert (art["limit"], art["left"], art["limitReset"], art["isFreeTier"]) == (None,) * 4
    assert (art["used"], art["verdict"], art["problem"]) == ("107.25", "valid", None)
    assert art["expiresAt"].endswith("Z")
    assert (biology["limit"], biology["used"], biology["left"]) == ("20", "7.5", "12.5")
    assert (biology["limitReset"], biology["isFreeTier"], biology["expiresAt"]) == ("monthly", False, None)


def test_an_unknown_window_says_nothing_of_what_was_used(school: Run, gateway: KeyGateway) -> None:
    gateway.says[KEYS["art"]] = key_is(limit_reset="yearly")

    [art] = json.loads(school("credentials check art --json").out)

    assert (art["used"], art["limitReset"]) == (None, "yearly")


def test_one_that_ends_within_a_week_says_when(school: Run, gateway: KeyGateway) -> None:
    soon, late = in_days(6.9), in_days(7.1)
    gateway.says[KEYS["art"]] = key_is(expires_at=iso(soon))
    gateway.says[KEYS["biology"]] = key_is(expires_at=iso(late))

    said = lines(school("credentials check").out)

    assert said["art"][1] == f"expires on {soon.astimezone().date()}"
    assert said["biology"][1] == "valid"
    assert said["biology"][6].startswith(str(late.astimezone().date()))


def test_those_that_cannot_be_used_end_it_with_77(school: Run, gateway: KeyGateway) -> None:
    ended = in_days(-1)
    gateway.says[KEYS["art"]] = refused("User not found.")
    gateway.says[KEYS["biology"]] = key_is(expires_at=iso(ended))
    gateway.says[KEYS["chemistry"]] = key_is(is_management_key=True)
    gateway.says[KEYS["drama"]] = key_is(disabled=True)

    said = school("credentials check", exit_code=77)

    assert [cells[1] for cells in lines(said.out).values()] == [
        "refused",
        f"expired on {ended.astimezone().date()}",
        "not a chat key",
        "disabled",
    ]
    assert said.err.startswith(f"raptchat: 4 of 4 keys cannot be used: {hint('art')} of group `art`, ")
    assert "hint: raptchat group add-key art --replace\n" in said.err
    found = json.loads(school("credentials check --json", exit_code=77).out)
    assert [one["verdict"] for one in found] == ["refused", "expired", "management", "disabled"]
    assert all(one["problem"] for one in found)


@pytest.mark.parametrize(
    ("said_of_it", "exit_code"),
    [
        (refused("oops", "500 Internal Server Error"), 69),
        (refused("slow down", "429 Too Many Requests"), 75),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\noops", 69),
    ],
)
def test_where_the_gateway_fails_nothing_is_known(
    school: Run, gateway: KeyGateway, said_of_it: bytes, exit_code: int
) -> None:
    gateway.says[KEYS["biology"]] = said_of_it

    said = school("credentials check", exit_code=exit_code)

    assert lines(said.out)["biology"][1] == "unknown"
    assert lines(said.out)["biology"][2:8] == ["-"] * 6
    assert lines(said.out)["biology"][8] != "-"
    assert [cells[1] for cells in lines(said.out).values()].count("valid") == 3
    assert "1 of 4 keys could not be checked" in said.err


def test_a_refused_key_counts_more_than_one_that_is_not_known(school: Run, gateway: KeyGateway) -> None:
    gateway.says[KEYS["art"]] = refused("oops", "500 Internal Server Error")
    gateway.says[KEYS["drama"]] = refused("User not found.")

    error = json.loads(school("credentials check --json", exit_code=77).err)

    assert error["code"] == "AUTHENTICATION_FAILED"
    assert error["error"] == f"1 of 4 keys cannot be used: {hint('drama')} of group `drama`"


def test_without_a_network_every_key_is_a_line(school: Run) -> None:
    with key_gateway.running() as gone:
        school(f"group add-key far --base-url {gone.url} --stdin", stdin="sk-or-v1-key-of-far-0123456789")

    said = school("credentials check far art", exit_code=69)

    assert [cells[1] for cells in lines(said.out).values()] == ["unknown", "valid"]
    assert "no connection to" in lines(said.out)["far"][8]
    assert "hint: check the network" in said.err


def test_a_key_of_another_gateway_is_a_line_and_stays_here(school: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with key_gateway.running() as other:
        monkeypatch.setenv("AI_GATEWAY_URL", other.url)
        said = school("credentials check", exit_code=78)

    assert {cells[1] for cells in lines(said.out).values()} == {"unknown"}
    assert "and the gateway is now" in said.out
    assert other.asked == []


def test_a_reference_is_followed_and_one_that_fails_is_a_line(
    school: Run, gateway: KeyGateway, tmp_path: Path
) -> None:
    key = "sk-or-v1-key-in-a-file-0123456789"
    place = tmp_path / "key"
    place.write_text(key)
    place.chmod(0o600)
    gateway.says[key] = key_is()
    school(f"group add-key far --key-file {place} --reference")

    assert lines(school("credentials check far").out)["far"][1] == "valid"
    place.unlink()
    said = school("credentials check far art", exit_code=78)

    assert [cells[1] for cells in lines(said.out).values()] == ["unknown", "valid"]
    assert gateway.asked.count(key) == 1


def test_a_gateway_that_asks_for_no_key_is_asked_all_the_same(raptchat: Run, tmp_path: Path) -> None:
    raptchat(["vault", "init", "--file", str(tmp_path / "master.key")])
    models = answer(b'{"data": []}', "Content-Type: application/json")
    with web_server.running() as local:
        local.pages = dict.fromkeys(["/v1/models", "/key/info"], models)
        raptchat(f"group add-key local --provider openai-compatible --base-url {local.url}/v1 --no-key")

        [found] = json.loads(raptchat("credentials check --json").out)

        assert found["verdict"] == "valid"
        assert {found["limit"], found["used"], found["left"], found["isFreeTier"]} == {None}
        assert not any("authorization" in headers for _, headers in local.requests)

        local.pages["/v1/models"] = answer(b"404 page not found", status="404 Not Found")
        said = raptchat("credentials check", exit_code=69)
        assert "1 of 1 keys could not be checked: group `local`\n" in said.err
        assert "hint: check the address that --base-url names" in said.err


def test_a_group_or_a_credential_can_be_named(school: Run, gateway: KeyGateway, home: Path) -> None:
    [(drama,)] = rows(
        home, "SELECT c.id FROM ai_credentials c JOIN groups g ON g.id = group_id WHERE g.name = 'drama'"
    )

    said = school(f"credentials check {drama[:13]} biology {drama}")

    assert list(lines(said.out)) == ["drama", "biology"]
    assert sorted(gateway.asked) == sorted([KEYS["drama"], KEYS["biology"]])


def test_a_retired_key_is_asked_for_only_when_it_is_named(school: Run, gateway: KeyGateway, home: Path) -> None:
    [(old,)] = rows(
        home, "SELECT c.id FROM ai_credentials c JOIN groups g ON g.id = group_id WHERE g.name = 'art'"
    )
    new = "sk-or-v1-another-key-of-art-0123"
    school("group add-key art --replace --stdin", stdin=new)
    gateway.says[new] = key_is()

    school("credentials check art")
    school("credentials check")
    assert KEYS["art"] not in gateway.asked

    [found] = json.loads(school(f"credentials check {old} --json").out)
    assert (found["id"], found["isActive"], found["verdict"]) == (old, False, "valid")


def test_a_group_without_a_key_says_how_to_add_one(school: Run) -> None:
    school("group create empty")

    said = school("credentials check empty --json", exit_code=4)

    error = json.loads(said.err)
    assert (error["code"], error["hint"]) == ("AI_NOT_CONFIGURED", "raptchat group add-key empty")
    assert said.out == ""


def test_an_unknown_word_is_an_error_with_what_is_near(school: Run, gateway: KeyGateway) -> None:
    assert "did you mean `biology`" in school("credentials check biolgy art", exit_code=3).err
    assert gateway.asked == []


def test_a_beginning_of_two_things_is_an_error_that_lists_them(school: Run, home: Path) -> None:
    [(group_id,)] = rows(home, "SELECT id FROM groups WHERE name = 'art'")
    # What two random ids begin with is the same once in 65,536.
    school(["group", "create", "zoology"])
    [(zoology,)] = rows(home, "SELECT id FROM groups WHERE name = 'zoology'")
    twin = group_id[:9] + zoology[9:]
    with closing(sqlite3.connect(home / "raptchat.db")) as db, db:
        db.execute("UPDATE ai_credentials SET id = ? WHERE group_id = ?", [twin, group_id])

    said = school(f"credentials check {group_id[:9]}", exit_code=3)

    assert group_id[:13] in said.err
    assert twin[:13] in said.err
    assert "art" in school(f"credentials check {group_id}", exit_code=78).out


def test_no_key_at_all_is_no_error(raptchat: Run) -> None:
    assert raptchat("credentials check").err == "there is no key yet: raptchat group add-key NAME\n"
    assert json.loads(raptchat("credentials check --json").out) == []


def test_without_the_vault_nothing_is_asked(school: Run, gateway: KeyGateway, tmp_path: Path) -> None:
    (tmp_path / "master.key").unlink()

    assert school("credentials check", exit_code=78).out == ""
    assert gateway.asked == []


def test_neither_the_key_nor_what_acts_on_a_terminal_comes_of_an_answer(school: Run, gateway: KeyGateway) -> None:
    gateway.says[KEYS["art"]] = refused(f"no such key {KEYS['art']} \x1b]0;owned\x07\u202e")

    said = school("credentials check", exit_code=77)

    assert KEYS["art"] not in said.out + said.err
    assert not {"\x1b", "\x07", "\u202e"} & set(said.out + said.err)


@pytest.mark.parametrize("width", [60, 80, 200])
def test_no_answer_acts_on_a_terminal(width: int) -> None:
    hostile = "\x1b]0;owned\x07\u202e\x9b2J"
    group = Group("1", f"art{hostile}", None, None, None, None, "", "")
    credential = Credential(
        "2", "1", "openrouter", b"", b"", "", hostile, "", None, None, "", True, "", "", None, ""
    )
    info = KeyInfo(limit=Decimal(1), limit_reset=hostile, expires_at=hostile)
    problem = GatewayError(f"no {hostile}\nwhatever", hint=hostile)
    terminal = Terminal.recorded(is_tty=True, width=width)

    show_checks(terminal, [KeyCheck(credential, group, "unknown", info, problem)])

    assert isinstance(terminal.out, io.StringIO)
    assert isinstance(terminal.err, io.StringIO)
    written = terminal.out.getvalue() + terminal.err.getvalue()
    assert not {"\x07", "\u202e", "\x9b"} & set(written)
    assert "\x1b]" not in written
    assert terminal.err.getvalue().count("\n") == 1


def test_at_a_terminal_it_says_how_far_it_is_and_leaves_the_table(school: Run, gateway: KeyGateway) -> None:
    del school
    go_on = threading.Event()
    gateway.says[KEYS["drama"]] = lambda: key_is() if go_on.wait(20) else b""
    with AtTerminal("credentials", "check", env=environment(), columns=120) as terminal:
        terminal.until("3 of 4 keys are checked")
        go_on.set()
        terminal.ends(0)
        screen = terminal.screen()

    assert screen[0].split() == ["group", "key", "verdict", "cap", "used", "left", "resets", "free", "tier"]
    assert [line.split()[2] for line in screen[1:5]] == ["valid"] * 4
    assert not any("are checked" in line for line in screen)


def test_on_a_narrow_terminal_the_table_stays_one_and_the_reasons_stand_below(
    school: Run, gateway: KeyGateway
) -> None:
    del school
    gateway.says[KEYS["biology"]] = refused("User not found.")
    gateway.says[KEYS["drama"]] = key_is(expires_at=iso(in_days(3)))
    with AtTerminal("credentials", "check", env=environment(), columns=80) as terminal:
        terminal.ends(77)
        screen = terminal.screen()

    assert screen[0].split() == ["group", "key", "verdict", "cap", "used", "left"]
    assert screen[2].split() == ["biology", hint("biology"), "refused", "-", "-", "-"]
    assert screen[4].startswith("drama")
    assert screen[5].startswith(f"{hint('biology')} of group `biology`: the gateway refused the key")
    assert screen[-1] == "hint: raptchat group add-key biology --replace"


def test_ctrl_c_ends_it_at_once(school: Run, gateway: KeyGateway) -> None:
    del school
    stuck = threading.Event()

    def nothing() -> bytes:
        stuck.wait(20)
        return b""

    gateway.says[KEYS["art"]] = nothing
    try:
        with AtTerminal("credentials", "check", env=environment()) as terminal:
            terminal.until("3 of 4 keys are checked")
            terminal.keys("\x03")
            said = terminal.ends(130)
            assert not stuck.is_set()
    finally:
        stuck.set()

    assert "Traceback" not in said
