"""`raptchat import-keys`: keys of other clients' files, each for its group, sealed, and gone from there."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from conftest import Run, Said, rows
from diagnosis import own_home_fixture  # noqa: F401 - a fixture
from processes import AtTerminal

from raptchat.credentials import CredentialService
from raptchat.demo import DEMO_KEY, DEMO_MANAGEMENT_KEY, DemoGateway
from raptchat.factory import Factory

OTHER_KEY = f"{DEMO_KEY}-2"
DEAD_KEY = "sk-or-v1-dead-0123456789abcdef"
NATIVE_KEY = "sk-ant-0123456789abcdefghij"

pytestmark = pytest.mark.process


@pytest.fixture
def vault(raptchat: Run, gateway: DemoGateway, home: Path) -> Run:
    """The app with a vault, no group, and a gateway."""
    raptchat(["vault", "init", "--file", str(home.parent / "master.key")])
    return raptchat


@pytest.fixture
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key of the person who runs the tests stands in the environment."""
    for name in os.environ:
        if name.endswith("_KEY"):
            monkeypatch.delenv(name)


def keep(own_home: Path, keys: dict[str, str], mode: int = 0o600) -> Path:
    """The keys of `llm`, as it keeps them."""
    path = own_home / ".config/io.datasette.llm/keys.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"// Note": "This file stores secrets", **keys}, indent=2) + "\n")
    path.chmod(mode)
    return path


def names(path: Path) -> list[str]:
    return list(json.loads(path.read_text()))[1:]


def document(said: Said) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(said.out)
    return found


def steps(said: Said) -> list[tuple[str, str, str | None, bool]]:
    keys = document(said)["keys"]
    return [(one["entry"], one["action"], one["group"], one["removed"]) for one in keys]


def key_of(group: str) -> str:
    with Factory() as factory:
        found = factory.store.groups.named(group)
        assert found is not None
        service = CredentialService(factory)
        return service.open_key(service.require_active(found)).reveal()


def test_one_key_is_checked_sealed_and_removed(
    vault: Run, gateway: DemoGateway, own_home: Path, home: Path
) -> None:
    path = keep(own_home, {"openrouter": DEMO_KEY, "anthropic": NATIVE_KEY})
    said = vault("import-keys llm --group biology --remove --json")

    assert steps(said) == [
        ("openrouter", "imported", "biology", True),
        ("anthropic", "unusable", None, False),
    ]
    assert names(path) == ["anthropic"]
    assert key_of("biology") == DEMO_KEY
    assert NATIVE_KEY not in said.out + said.err
    assert rows(home, "SELECT action, command FROM events WHERE credential_id IS NOT NULL") == [
        ("credential.create", "import-keys")
    ]
    assert vault("chat -g biology --plain hello").out


def test_several_keys_each_go_to_their_group(vault: Run, own_home: Path) -> None:
    path = keep(own_home, {"openrouter": DEMO_KEY, "team=b": OTHER_KEY, "old": "sk-or-v1-old-0123456789"})
    said = vault("import-keys llm --map openrouter=biology --map team=b=Chemistry --map old= --remove --json")

    assert steps(said) == [
        ("openrouter", "imported", "biology", True),
        ("team=b", "imported", "Chemistry", True),
        ("old", "skipped", None, False),
    ]
    assert names(path) == ["old"]
    assert (key_of("biology"), key_of("chemistry")) == (DEMO_KEY, OTHER_KEY)


def test_entries_of_one_name_are_told_apart(vault: Run, own_home: Path) -> None:
    path = own_home / ".config/fabric/.env"
    path.parent.mkdir(parents=True)
    path.write_text(f"OPENROUTER_API_KEY={DEMO_KEY}\nOPENROUTER_API_KEY={OTHER_KEY}\n")
    said = vault(
        "import-keys fabric --map OPENROUTER_API_KEY.2=b --map OPENROUTER_API_KEY=a --no-verify --remove --json"
    )

    assert [one[:3] for one in steps(said)] == [
        ("OPENROUTER_API_KEY", "imported", "a"),
        ("OPENROUTER_API_KEY.2", "imported", "b"),
    ]
    assert (key_of("a"), key_of("b"), path.read_text()) == (DEMO_KEY, OTHER_KEY, "")


def test_a_name_that_is_another_s_number_is_not_given_twice(vault: Run, own_home: Path) -> None:
    path = keep(own_home, {})
    path.write_text(f'{{"a": "{DEMO_KEY}", "a": "{OTHER_KEY}", "a.2": "{DEMO_KEY}-3"}}')
    said = vault("import-keys llm --map a.2=biology --remove --json")

    assert [one[:3] for one in steps(said)] == [
        ("a", "skipped", None),
        ("a.3", "skipped", None),
        ("a.2", "imported", "biology"),
    ]
    assert key_of("biology") == f"{DEMO_KEY}-3"
    assert path.read_text() == f'{{"a": "{DEMO_KEY}", "a": "{OTHER_KEY}"}}'


def test_of_two_keys_for_one_group_the_second_is_refused(vault: Run, own_home: Path) -> None:
    path = keep(own_home, {"old": DEMO_KEY, "new": OTHER_KEY})
    said = vault("import-keys llm --map old=biology --map new=Biology --replace --remove --json", exit_code=6)

    assert [one[1:] for one in steps(said)] == [("imported", "biology", True), ("refused", "biology", False)]
    assert "another of these keys" in said.err
    assert (key_of("biology"), names(path)) == (DEMO_KEY, ["new"])


def test_a_dry_run_shows_all_and_changes_nothing(raptchat: Run, own_home: Path, home: Path) -> None:
    path = keep(own_home, {"openrouter": DEMO_KEY, "openai\x1b[2J": NATIVE_KEY, DEAD_KEY: DEAD_KEY}, 0o644)
    before = path.read_bytes(), path.stat().st_mtime_ns
    said = raptchat("import-keys llm --dry-run --remove --group biology")

    assert f"openrouter\tsk-or-v1...alue\thttps://openrouter.ai:443\t-\tfound\t{path}" in said.out
    assert "not usable: no gateway that raptchat knows takes it" in said.out
    assert f"others can read the keys in `{path}`" in said.err
    assert "nothing was changed" in said.err
    assert "\x1b" not in said.out + said.err
    assert DEAD_KEY not in said.out + said.err
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert not home.exists()


def test_without_a_terminal_the_group_must_be_named(vault: Run, own_home: Path) -> None:
    path = keep(own_home, {"openrouter": DEMO_KEY})
    one = vault("import-keys llm --json", exit_code=2)
    assert json.loads(one.err)["hint"] == "--group NAME"

    keep(own_home, {"openrouter": DEMO_KEY, "b c": OTHER_KEY})
    for words in ("import-keys llm --json", "import-keys llm --group biology --json"):
        said = vault(words, exit_code=2)
        assert json.loads(said.err)["hint"] == "--map openrouter=NAME --map 'b c'=NAME"
    wrong = vault("import-keys llm --map else=biology --json", exit_code=2)
    assert "no usable key called `else`" in wrong.err
    assert "name is empty" in vault(["import-keys", "llm", "--group", " "], exit_code=2).err
    said = vault(["import-keys", "llm", "--map", "openrouter=a", "--map", f"b c={OTHER_KEY}"], exit_code=2)
    assert "looks like an API key" in said.err
    twice = vault("import-keys llm --map openrouter=a --map openrouter=b", exit_code=2)
    assert "names two groups for `openrouter`" in twice.err
    assert "takes ENTRY=NAME" in vault("import-keys llm --map openrouter", exit_code=2).err
    assert "for llm only" in vault("import-keys env --sessions", exit_code=2).err
    assert len(names(path)) == 2
    assert json.loads(vault("group list --json").out) == []


@pytest.mark.usefixtures("no_variables")
def test_where_there_is_nothing_it_says_where_it_looked(raptchat: Run, own_home: Path) -> None:
    path = own_home / ".config/io.datasette.llm/keys.json"
    assert f"no keys of llm in `{path}`" in raptchat("import-keys llm --dry-run", exit_code=2).err
    assert "there is no provider `llama`" in raptchat("import-keys llm --provider llama", exit_code=2).err
    assert "no keys of language models in the environment" in raptchat("import-keys env", exit_code=2).err
    keep(own_home, {})
    path.write_text("{")
    said = raptchat("import-keys llm --group a", exit_code=2)
    assert f"`{path}` is no JSON object of names and keys" in said.err


def test_only_keys_of_one_provider_are_taken_where_that_is_said(vault: Run, own_home: Path) -> None:
    keep(own_home, {"openai": "sk-proj-0123456789abc", "openrouter": DEMO_KEY})
    said = vault("import-keys llm --provider openrouter --group biology --json")

    assert steps(said) == [("openrouter", "imported", "biology", False)]
    assert "still in plain text: `openrouter` in `" in said.err


def test_a_key_that_the_gateway_refuses_stays_where_it_is_and_the_next_one_is_taken(
    vault: Run, own_home: Path
) -> None:
    path = keep(own_home, {"dead": DEAD_KEY, "manage": DEMO_MANAGEMENT_KEY, "live": DEMO_KEY})
    words = "import-keys llm --map dead=a --map manage=b --map live=c --remove --json"
    said = vault(words, exit_code=77)

    assert steps(said) == [
        ("dead", "refused", None, False),
        ("manage", "refused", None, False),
        ("live", "imported", "c", True),
    ]
    assert json.loads(said.err.splitlines()[-1])["code"] == "AUTHENTICATION_FAILED"
    assert names(path) == ["dead", "manage"]
    assert DEAD_KEY not in said.out + said.err


def test_offline_it_says_so_and_goes_on_unless_it_must_check(
    vault: Run, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(own_home, {"openrouter": DEMO_KEY})
    monkeypatch.setenv("AI_GATEWAY_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AI_MAX_RETRIES", "0")
    refused = vault("import-keys llm --group biology --verify --json", exit_code=69)
    assert steps(refused) == [("openrouter", "refused", None, False)]

    said = vault("import-keys llm --group biology --json")
    assert steps(said) == [("openrouter", "imported", "biology", False)]
    assert "`openrouter` was not checked: " in said.err


def test_a_group_with_a_key_keeps_it_unless_it_is_to_be_retired(biology: Run, own_home: Path) -> None:
    path = keep(own_home, {"openrouter": OTHER_KEY})
    said = biology("import-keys llm --group Biology --remove --json", exit_code=6)
    assert (steps(said), names(path)) == ([("openrouter", "refused", "biology", False)], ["openrouter"])
    assert key_of("biology") == DEMO_KEY

    said = biology("import-keys llm --group Biology --remove --replace --json")
    assert (steps(said), names(path)) == ([("openrouter", "imported", "biology", True)], [])
    assert key_of("biology") == OTHER_KEY


def test_a_key_of_another_group_is_refused_unless_it_may_be_shared(biology: Run, own_home: Path) -> None:
    keep(own_home, {"openrouter": DEMO_KEY})
    said = biology("import-keys llm --group history --json", exit_code=6)
    assert json.loads(said.err.splitlines()[-1])["code"] == "SHARED_KEY"

    said = biology("import-keys llm --group history --allow-shared --json")
    assert steps(said)[0][1] == "imported"


def test_a_key_that_its_group_has_already_is_only_removed(biology: Run, own_home: Path, home: Path) -> None:
    path = keep(own_home, {"openrouter": DEMO_KEY})
    said = biology("import-keys llm --group biology --remove --json")

    assert (steps(said), names(path)) == ([("openrouter", "present", "biology", True)], [])
    assert rows(home, "SELECT count(*) FROM ai_credentials") == [(1,)]


def test_an_id_s_beginning_makes_no_group_and_a_name_like_one_is_refused(
    biology: Run, own_home: Path, home: Path
) -> None:
    keep(own_home, {"openrouter": OTHER_KEY})
    [(id_,)] = rows(home, "SELECT id FROM groups")
    said = biology(["import-keys", "llm", "--group", id_[:6], "--json"], exit_code=2)
    assert "is the beginning of the id of group `biology`" in said.err
    assert rows(home, "SELECT count(*) FROM groups") == [(1,)]


def test_a_file_that_cannot_be_edited_keeps_its_key_and_says_so(vault: Run, own_home: Path) -> None:
    path = keep(own_home, {"openrouter": DEMO_KEY})
    (own_home / "second").hardlink_to(path)
    said = vault("import-keys llm --group biology --remove --json", exit_code=2)

    assert steps(said) == [("openrouter", "imported", "biology", False)]
    assert f"the plain text stays in `{path}`" in said.err
    assert key_of("biology") == DEMO_KEY


@pytest.mark.usefixtures("no_variables")
def test_a_variable_is_taken_and_it_is_said_that_it_is_still_set(
    vault: Run, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", DEMO_KEY)
    said = vault("import-keys env --group biology --remove")

    assert "OPENROUTER_API_KEY\tsk-or-v1...alue" in said.out
    assert "`OPENROUTER_API_KEY` is still set" in said.err
    assert key_of("biology") == DEMO_KEY


def test_a_key_for_another_gateway_is_sealed_for_that_one(
    vault: Run, own_home: Path, gateway: DemoGateway
) -> None:
    path = own_home / ".config/shell_gpt/.sgptrc"
    path.parent.mkdir(parents=True)
    path.write_text(f"OPENAI_API_KEY={DEMO_KEY}\nAPI_BASE_URL={gateway.url}\n")
    said = vault("import-keys shell_gpt --group biology --json")

    [key] = document(said)["keys"]
    assert (key["provider"], key["action"]) == ("openai-compatible", "imported")
    assert gateway.url.startswith(key["endpoint"])


def test_a_key_is_tied_to_the_router_where_the_gateway_in_use_is_another(vault: Run, own_home: Path) -> None:
    path = own_home / ".config/aichat/config.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(
        "clients:\n- type: openai-compatible\n  name: openrouter\n  api_base: https://openrouter.ai/api/v1\n"
        f"  api_key: {DEMO_KEY}\n"
    )
    said = vault("import-keys aichat --group biology --no-verify --json")

    [listed] = json.loads(vault("credentials list biology --json").out)
    assert document(said)["keys"][0]["endpoint"] == listed["endpoint"] == "https://openrouter.ai:443"


def test_a_person_is_asked_for_each_group_and_before_the_file_is_changed(biology: Run, own_home: Path) -> None:
    path = keep(own_home, {"first": OTHER_KEY, "second": f"{DEMO_KEY}-3", "third": f"{DEMO_KEY}-4"})
    with AtTerminal("import-keys", "llm", columns=200) as terminal:
        terminal.until("`first` in ")
        terminal.until("Which group pays with it? [Enter: none] ")
        terminal.keys("a\u202eb\r")
        terminal.until("cannot hold the character")
        terminal.keys("History\r")
        terminal.until("`second` in ")
        terminal.until("[Enter: none] ")
        terminal.keys("\r")
        terminal.until("`third` in ")
        terminal.keys("biology\r")
        terminal.until("Retire it? [y/N] ")
        terminal.keys("y\r")
        terminal.until(f"Remove `first`, `third` from `{path}`? [y/N] ")
        terminal.keys("y\r")
        terminal.ends(0)
    assert (key_of("History"), key_of("biology"), names(path)) == (OTHER_KEY, f"{DEMO_KEY}-4", ["second"])
    assert DEMO_KEY not in terminal.said


def test_ctrl_d_leaves_the_rest_alone_and_a_no_keeps_the_file(biology: Run, own_home: Path) -> None:
    path = keep(own_home, {"first": OTHER_KEY, "second": f"{DEMO_KEY}-3"})
    with AtTerminal("import-keys", "llm", columns=200) as terminal:
        terminal.until("[Enter: none] ")
        terminal.keys("History\r")
        terminal.until("[Enter: none] ")
        terminal.keys("\x04")
        terminal.until("? [y/N] ")
        terminal.keys("\r")
        terminal.until("still in plain text: `first`")
        terminal.ends(0)
    assert (key_of("History"), names(path)) == (OTHER_KEY, ["first", "second"])


def test_yes_asks_nothing(biology: Run, own_home: Path) -> None:
    path = keep(own_home, {"first": OTHER_KEY})
    with AtTerminal("import-keys", "llm", "--yes", "--group", "biology", "--remove", columns=200) as terminal:
        terminal.until("has an active key for `openrouter` already")
        terminal.ends(6)
    assert (key_of("biology"), names(path)) == (DEMO_KEY, ["first"])


def test_killed_before_the_file_is_changed_it_goes_on_the_next_time(biology: Run, own_home: Path) -> None:
    path = keep(own_home, {"first": OTHER_KEY})
    with AtTerminal("import-keys", "llm", "--group", "History", columns=200) as terminal:
        terminal.until("? [y/N] ")
        terminal.signal(signal.SIGKILL)
        terminal.ends(-signal.SIGKILL)
    assert (key_of("History"), names(path)) == (OTHER_KEY, ["first"])

    said = biology("import-keys llm --group History --remove --json")
    assert (steps(said), names(path)) == ([("first", "present", "History", True)], [])


def test_ctrl_c_at_the_question_removes_nothing(biology: Run, own_home: Path) -> None:
    path = keep(own_home, {"first": OTHER_KEY})
    with AtTerminal("import-keys", "llm", columns=200) as terminal:
        terminal.until("[Enter: none] ")
        terminal.ends(130, pressing="\x03")
    assert len(json.loads(biology("group list --json").out)) == 1
    with AtTerminal("import-keys", "llm", columns=200) as terminal:
        terminal.until("[Enter: none] ")
        terminal.keys("History\r")
        terminal.until("? [y/N] ")
        terminal.ends(130, pressing="\x03")
    assert (key_of("History"), names(path)) == (OTHER_KEY, ["first"])


def test_where_no_vault_can_be_made_nothing_is_removed(
    raptchat: Run, gateway: DemoGateway, own_home: Path, home: Path
) -> None:
    path = keep(own_home, {"openrouter": DEMO_KEY})
    raptchat("group create biology")
    said = raptchat("import-keys llm --group biology --remove --json", exit_code=78)

    assert "VAULT_UNAVAILABLE" in said.err
    assert names(path) == ["openrouter"]
